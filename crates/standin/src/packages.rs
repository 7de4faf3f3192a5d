//! Release packages of stand-ins, in every layout in which the framework's are found.
//!
//! The configuration and the scripts inside are written here, for the stand-in; they have the keys,
//! the placeholders and the observable behaviour of the framework's own, and share no text with
//! them. Nothing here knows what becomes of a package.

mod service;

pub use service::{Inside, write_service, write_service_mode};

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::standin::{self, Identity, StandinError};

/// A package could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The stand-in inside could not be made.
    #[error("cannot make the stand-in for the package")]
    Standin(#[from] StandinError),
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Where the agent's administration port listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalAdmin {
    /// On the node's own address, so that many nodes fit on one machine's loopback addresses.
    OnNodeIp,
    /// On 127.0.0.1, as shipped.
    OnLoopback,
}

/// The agent's configuration as shipped, placeholders and all.
#[must_use]
pub fn conf(local: LocalAdmin) -> String {
    let host = match local {
        LocalAdmin::OnNodeIp => "localip.tars.com",
        LocalAdmin::OnLoopback => "127.0.0.1",
    };
    let adapter = |name: &str, port: u16, servant: &str| {
        format!(
            "\
            <{name}>
                # where this servant listens, and how much it takes
                endpoint=tcp -h localip.tars.com -p {port} -t 60000
                allow
                maxconns=1024
                threads=5
                queuecap=10000
                queuetimeout=4000
                servant=tars.tarsnode.{servant}
            </{name}>
"
        )
    };
    format!(
        "\
<tars>
    <application>
        # sets are not in use
        enableset=n
        setdivision=NULL
        <client>
            # the registries, joined by colons
            locator=tars.tarsregistry.QueryObj@registryAddress
            modulename=tars.tarsnode
            stat=tars.tarsstat.StatObj
            property=tars.tarsproperty.PropertyObj
            sync-invoke-timeout=6000
            async-invoke-timeout=5000
            refresh-endpoint-interval=60000
            report-interval=60000
            asyncthread=3
        </client>
        <server>
            app=tars
            server=tarsnode
            localip=localip.tars.com
            local=tcp -h {host} -p 19387 -t 10000
            basepath=TARS_PATH/tarsnode/bin
            datapath=TARS_PATH/tarsnode/data
            logpath=TARS_PATH/app_log
            logsize=10M
            logLevel=DEBUG
            config=tars.tarsconfig.ConfigObj
            notify=tars.tarsnotify.NotifyObj
            deactivating-timeout=3000
{node}{server}        </server>
    </application>
    <node>
        registryObj=tars.tarsregistry.RegistryObj
        adminObj=tars.tarsAdminRegistry.AdminRegObj
        <keepalive>
            heartTimeout=45
            monitorInterval=3
            synStatInterval=60
        </keepalive>
        <hashmap>
            file=serversCache.dat
            minBlock=500
            maxBlock=500
            factor=1
            size=10M
        </hashmap>
        <container>
            socket = /var/run/docker.sock
            timeout = 300
        </container>
    </node>
</tars>
",
        node = adapter("NodeAdapter", 19385, "NodeObj"),
        server = adapter("ServerAdapter", 19386, "ServerObj"),
    )
}

/// The agent's util scripts as shipped, by file name, placeholders and all.
#[must_use]
pub fn scripts() -> [(&'static str, &'static str); 4] {
    [
        ("execute.sh", EXECUTE),
        ("monitor.sh", MONITOR),
        (
            "start.sh",
            "#!/bin/bash\nsh TARS_PATH/tarsnode/util/execute.sh tarsnode start\n",
        ),
        (
            "stop.sh",
            "#!/bin/bash\nsh TARS_PATH/tarsnode/util/execute.sh tarsnode stop\n",
        ),
    ]
}

/// The util scripts of another component, by file name; `TARS_PATH` stands for the folder `tars`. Only
/// tarsregistry has a monitor, which looks for the process alone.
pub(crate) fn component_scripts(name: &str) -> Vec<(&'static str, String)> {
    let call =
        |what: &str| format!("#!/bin/bash\nsh TARS_PATH/{name}/util/execute.sh {name} {what}\n");
    let mut scripts = vec![
        ("execute.sh", EXECUTE.to_owned()),
        ("start.sh", call("start")),
        ("stop.sh", call("stop")),
    ];
    if name == "tarsregistry" {
        scripts.push(("monitor.sh", LOOK.replace("@NAME@", name)));
    }
    scripts
}

/// What must stay true of it: it kills by the binary's path wherever that stands on a command line,
/// leaves standard error open, and exits with 0 whatever happened. Operators' tools meet all three.
const EXECUTE: &str = r#"#!/bin/bash
# execute.sh COMPONENT start|stop
component=$1
wanted=$2
[ -n "$wanted" ] || exit 255

bin="TARS_PATH/${component}/bin/${component}"
LD_LIBRARY_PATH=$LD_LIBRARY_PATH:TARS_PATH/${component}/bin/:TARS_PATH/tarsnode/data/lib/
export LD_LIBRARY_PATH
chmod a+x $bin

running=`ps -eo pid,cmd | grep "$bin" | grep "${component}" | grep -v "grep" | awk '{print $1}'`
if [ -n "$running" ]; then
    kill -9 $running
    echo "killed" $running
fi
[ "$wanted" = "start" ] || exit 0

ulimit -c unlimited
CONFIG=TARS_PATH/tarsnode/data/tars.${component}/conf/tars.${component}.config.conf
[ -f $CONFIG ] || CONFIG=TARS_PATH/${component}/conf/tars.${component}.config.conf

echo "starting $bin with $CONFIG"
if [ "$component" = "tarsnode" ]; then
    $bin --nodeid="localip.tars.com" --config=$CONFIG > /dev/null &
else
    $bin --config=$CONFIG > /dev/null &
fi
exit 0
"#;

const MONITOR: &str = r#"#!/bin/bash
# Called by cron every minute: start the agent again if it does not answer.
cd TARS_PATH/tarsnode/util
bin="TARS_PATH/tarsnode/bin/tarsnode"
$bin --monitor --config=TARS_PATH/tarsnode/conf/tars.tarsnode.config.conf
if [ $? -ne 0 ]; then
    sh TARS_PATH/tarsnode/util/start.sh
fi
"#;

const LOOK: &str = r#"#!/bin/bash
# Called by cron every minute: start the component again if it does not run.
bin="TARS_PATH/@NAME@/bin/@NAME@"
if [ -z "`ps -eo pid,cmd | grep "$bin" | grep -v "grep" | awk '{print $1}'`" ]; then
    sh TARS_PATH/@NAME@/util/start.sh
fi
"#;

/// `out` = `tarsnode.tgz` as an installed agent packed whole: `tarsnode/{bin,conf,util}`.
///
/// # Errors
/// When the stand-in cannot be made or the archive cannot be written.
pub fn write_full(
    exe: &Path,
    out: &Path,
    identity: &Identity,
    local: LocalAdmin,
) -> Result<(), PackageError> {
    let binary = Binary::make(exe, identity)?;
    archive(out, |tar| {
        tar.folder("tarsnode")?;
        tar.folder("tarsnode/bin")?;
        tar.binary("tarsnode/bin/tarsnode", &binary.path)?;
        tar.folder("tarsnode/conf")?;
        tar.text(
            "tarsnode/conf/tars.tarsnode.config.conf",
            &conf(local),
            0o644,
        )?;
        tar.folder("tarsnode/util")?;
        for (name, text) in scripts() {
            tar.text(&format!("tarsnode/util/{name}"), text, 0o755)?;
        }
        Ok(())
    })
}

/// `out` = a package that holds the binary only, as `tarsnode/tarsnode`.
///
/// # Errors
/// When the stand-in cannot be made or the archive cannot be written.
pub fn write_binary_only(exe: &Path, out: &Path, identity: &Identity) -> Result<(), PackageError> {
    let binary = Binary::make(exe, identity)?;
    archive(out, |tar| {
        tar.folder("tarsnode")?;
        tar.binary("tarsnode/tarsnode", &binary.path)
    })
}

/// `out` = a package of the component `name` with its binary only, as `X/bin/X`: what an upgrade needs.
///
/// # Errors
/// When the stand-in cannot be made or the archive cannot be written.
pub fn write_component(
    exe: &Path,
    out: &Path,
    name: &str,
    identity: &Identity,
) -> Result<(), PackageError> {
    let binary = Binary::make(exe, identity)?;
    archive(out, |tar| {
        tar.folder(name)?;
        tar.folder(&format!("{name}/bin"))?;
        tar.binary(&format!("{name}/bin/{name}"), &binary.path)
    })
}

/// `out` = `framework.tgz`: the five core components' binaries, `X/bin/X`. All but `tarsnode` are
/// small files that only have a digest.
///
/// # Errors
/// When the stand-in cannot be made or the archive cannot be written.
pub fn write_bundle(exe: &Path, out: &Path, identity: &Identity) -> Result<(), PackageError> {
    let binary = Binary::make(exe, identity)?;
    archive(out, |tar| {
        for name in [
            "tarsAdminRegistry",
            "tarsconfig",
            "tarspatch",
            "tarsregistry",
        ] {
            tar.folder(name)?;
            tar.folder(&format!("{name}/bin"))?;
            tar.text(
                &format!("{name}/bin/{name}"),
                &core_text(name, identity),
                0o755,
            )?;
        }
        tar.folder("tarsnode")?;
        tar.folder("tarsnode/bin")?;
        tar.binary("tarsnode/bin/tarsnode", &binary.path)
    })
}

/// The deploy tree as the framework's build installs it, unpacked under the folder `root`:
/// `FRAMEWORK_VERSION.txt`, `framework/{servers,conf,util-linux,sql}`.
///
/// # Errors
/// When the stand-in cannot be made or a file cannot be written.
pub fn write_deploy_tree(
    exe: &Path,
    root: &Path,
    identity: &Identity,
    local: LocalAdmin,
) -> Result<(), PackageError> {
    let put = |path: &str, text: &str, mode: u32| -> Result<(), PackageError> {
        use std::os::unix::fs::PermissionsExt;
        let path = root.join(path);
        let parent = path.parent().unwrap_or(root);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, text))
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)))
            .map_err(|source| PackageError::Write { path, source })
    };
    standin::make(
        exe,
        &root.join("framework/servers/tarsnode/bin/tarsnode"),
        identity,
    )?;
    for (path, text, mode) in tree_texts(identity, local) {
        put(&path, &text, mode)?;
    }
    Ok(())
}

/// `out` = the deploy tree of [`write_deploy_tree`] as one `.tgz`, under the folder `name` inside if
/// one is given.
///
/// # Errors
/// When the stand-in cannot be made or the archive cannot be written.
pub fn write_deploy_archive(
    exe: &Path,
    out: &Path,
    identity: &Identity,
    local: LocalAdmin,
    name: Option<&str>,
) -> Result<(), PackageError> {
    let binary = Binary::make(exe, identity)?;
    let inside = |path: &str| match name {
        Some(name) => format!("{name}/{path}"),
        None => path.to_owned(),
    };
    archive(out, |tar| {
        tar.binary(
            &inside("framework/servers/tarsnode/bin/tarsnode"),
            &binary.path,
        )?;
        for (path, text, mode) in tree_texts(identity, local) {
            tar.text(&inside(&path), &text, mode)?;
        }
        Ok(())
    })
}

/// Every text file of a deploy tree: path, content, mode.
fn tree_texts(identity: &Identity, local: LocalAdmin) -> Vec<(String, String, u32)> {
    let mut files = vec![
        (
            "FRAMEWORK_VERSION.txt".to_owned(),
            format!("{}\n", identity.version),
            0o644,
        ),
        (
            "framework/conf/tarsnode/conf/tars.tarsnode.config.conf".to_owned(),
            conf(local),
            0o644,
        ),
        (
            "framework/sql/db_tars.sql".to_owned(),
            "-- no tables here\n".to_owned(),
            0o644,
        ),
        (
            "framework/sql/template/tars.default".to_owned(),
            "<tars>\n</tars>\n".to_owned(),
            0o644,
        ),
    ];
    for (name, text) in scripts() {
        files.push((
            format!("framework/util-linux/tarsnode/util/{name}"),
            text.to_owned(),
            0o755,
        ));
    }
    for name in [
        "tarsAdminRegistry",
        "tarsconfig",
        "tarspatch",
        "tarsregistry",
    ] {
        files.push((
            format!("framework/servers/{name}/bin/{name}"),
            core_text(name, identity),
            0o755,
        ));
    }
    files
}

/// A core component that only has a digest.
fn core_text(name: &str, identity: &Identity) -> String {
    format!(
        "#!/bin/sh\n# stand-in {name} {}\nexit 1\n",
        identity.version
    )
}

/// The stand-in on its way into an archive.
struct Binary {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Binary {
    fn make(exe: &Path, identity: &Identity) -> Result<Self, PackageError> {
        let folder = tempfile::tempdir().map_err(|source| PackageError::Write {
            path: std::env::temp_dir(),
            source,
        })?;
        let path = folder.path().join("binary");
        standin::make(exe, &path, identity)?;
        Ok(Self {
            path,
            _folder: folder,
        })
    }
}

/// A `.tgz` being written. Owner, group and times are fixed, so that equal content is equal bytes.
struct Archive(tar::Builder<GzEncoder<BufWriter<File>>>);

impl Archive {
    fn header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(mode);
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header
    }

    fn folder(&mut self, path: &str) -> io::Result<()> {
        let mut header = Self::header(tar::EntryType::Directory, 0, 0o755);
        self.0
            .append_data(&mut header, format!("{path}/"), io::empty())
    }

    fn text(&mut self, path: &str, text: &str, mode: u32) -> io::Result<()> {
        let mut header = Self::header(tar::EntryType::Regular, text.len() as u64, mode);
        self.0.append_data(&mut header, path, text.as_bytes())
    }

    fn binary(&mut self, path: &str, file: &Path) -> io::Result<()> {
        let file = File::open(file)?;
        let mut header = Self::header(tar::EntryType::Regular, file.metadata()?.len(), 0o755);
        self.0.append_data(&mut header, path, file)
    }
}

fn archive(
    out: &Path,
    fill: impl FnOnce(&mut Archive) -> io::Result<()>,
) -> Result<(), PackageError> {
    let write = || -> io::Result<()> {
        if let Some(folder) = out.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = BufWriter::new(File::create(out)?);
        let mut tar = Archive(tar::Builder::new(GzEncoder::new(file, Compression::fast())));
        fill(&mut tar)?;
        tar.0
            .into_inner()?
            .finish()?
            .into_inner()
            .map_err(|error| error.into_error())?;
        Ok(())
    };
    write().map_err(|source| PackageError::Write {
        path: out.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standin::Behaviour;
    use std::io::Read;

    fn names(path: &Path) -> Vec<String> {
        let tar = flate2::read::GzDecoder::new(File::open(path).unwrap());
        let mut archive = tar::Archive::new(tar);
        let entries = archive.entries().unwrap();
        entries
            .map(|e| e.unwrap().path().unwrap().display().to_string())
            .collect()
    }

    #[test]
    fn every_layout_holds_what_it_should() {
        let dir = tempfile::tempdir().unwrap();
        let exe = dir.path().join("exe");
        std::fs::write(&exe, b"program").unwrap();
        let identity = Identity::new("3.0.17", Behaviour::Healthy);
        let local = LocalAdmin::OnNodeIp;
        let path = |name: &str| dir.path().join(name);

        write_full(&exe, &path("a.tgz"), &identity, local).unwrap();
        write_full(&exe, &path("again.tgz"), &identity, local).unwrap();
        assert_eq!(
            std::fs::read(path("a.tgz")).unwrap(),
            std::fs::read(path("again.tgz")).unwrap()
        );
        assert!(names(&path("a.tgz")).contains(&"tarsnode/util/monitor.sh".to_owned()));
        write_binary_only(&exe, &path("b.tgz"), &identity).unwrap();
        assert_eq!(names(&path("b.tgz")), ["tarsnode/", "tarsnode/tarsnode"]);
        write_bundle(&exe, &path("framework.tgz"), &identity).unwrap();
        let bundle = names(&path("framework.tgz"));
        assert!(bundle.contains(&"tarsregistry/bin/tarsregistry".to_owned()));
        assert!(bundle.contains(&"tarsnode/bin/tarsnode".to_owned()));
        write_deploy_tree(&exe, &path("tree"), &identity, local).unwrap();
        assert!(path("tree/framework/util-linux/tarsnode/util/execute.sh").is_file());
        write_deploy_archive(&exe, &path("d.tgz"), &identity, local, Some("framework-3")).unwrap();
        assert!(names(&path("d.tgz")).contains(&"framework-3/FRAMEWORK_VERSION.txt".to_owned()));
    }

    #[test]
    fn the_placeholders_are_the_shipped_ones() {
        for local in [LocalAdmin::OnNodeIp, LocalAdmin::OnLoopback] {
            let text = conf(local);
            assert!(text.contains("localip=localip.tars.com\n"));
            assert!(text.contains("QueryObj@registryAddress\n"));
            assert!(text.contains("=TARS_PATH/tarsnode/data\n"));
        }
        assert!(conf(LocalAdmin::OnLoopback).contains("local=tcp -h 127.0.0.1 -p 19387"));
        assert!(EXECUTE.contains("--nodeid=\"localip.tars.com\""));
    }

    #[test]
    fn the_archive_unpacks_with_the_system_tar() {
        let dir = tempfile::tempdir().unwrap();
        let exe = dir.path().join("exe");
        std::fs::write(&exe, b"program").unwrap();
        let identity = Identity::new("3.0.17", Behaviour::Healthy);
        let out = dir.path().join("tarsnode.tgz");
        write_full(&exe, &out, &identity, LocalAdmin::OnNodeIp).unwrap();
        let status = std::process::Command::new("tar")
            .args(["-xzf", "tarsnode.tgz"])
            .current_dir(dir.path())
            .status()
            .unwrap();
        assert!(status.success());
        let mut text = String::new();
        File::open(dir.path().join("tarsnode/util/start.sh"))
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert!(text.starts_with("#!/bin/bash\nsh TARS_PATH/"));
    }
}
