//! Publishing on a node (TarsFramework `NodeServer/CommandPatch.cpp`): the package is downloaded from
//! tarspatch, unpacked, and what is in it is copied to where the server's program is. Nothing is
//! stopped or started, and nothing checks that the server's program was among the files.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use flate2::read::GzDecoder;
use tarsops_wire::codec::Bytes;
use tarsops_wire::interface::admin_code::LOAD_DESC;
use tarsops_wire::interface::field;

use super::super::net::{Client, body};
use super::super::notify::{self, NOTIFY};
use super::super::patch::{BATCH, PATCH, md5_of};
use super::super::shapes::{FileInfo, PatchInfo, PatchRequest, PatchResult};
use super::agent::Agent;

/// The server is being published (`EM_TARS_SERVICE_STATE_ERR`).
const BUSY: i32 = 1004;
/// Something is missing in the command (`EM_TARS_PARAMETER_ERR`).
const PARAMETER: i32 = 1007;
/// How long one part may take.
const DOWNLOADING: Duration = Duration::from_secs(60);
/// How far it is with the whole package there. The real one says 100 here already and is believed, if
/// it is asked before it has unpacked; that happens once in many times there, and here it would often.
const DOWNLOADED: i32 = 99;

type Key = (String, String);

/// What was published last, or is being published, of each server.
#[derive(Default)]
pub(super) struct Patches(Mutex<HashMap<Key, PatchInfo>>);

impl Patches {
    fn held(&self) -> MutexGuard<'_, HashMap<Key, PatchInfo>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_percent(&self, key: &Key, percent: i32) {
        if let Some(info) = self.held().get_mut(key) {
            info.percent = percent;
        }
    }

    /// The number and the words of `getPatchPercent` (`ServerObject.cpp`).
    pub(super) fn percent(&self, application: &str, server: &str) -> (i32, PatchInfo) {
        let key = (application.to_owned(), server.to_owned());
        let info = self.held().get(&key).cloned().unwrap_or_default();
        let ret = if info.success || info.patching { 0 } else { -1 };
        (ret, info)
    }
}

/// Takes the command, and carries it out in the background: a number and words.
pub(super) fn begin(agent: &Arc<Agent>, request: PatchRequest) -> (i32, Vec<u8>) {
    let name = format!("{}.{}", request.application, request.server);
    if super::link::loaded(agent, &request.application, &request.server).is_err() {
        return (LOAD_DESC, format!("load {name}|").into());
    }
    if request.md5.is_empty() {
        return (PARAMETER, "parameter error, md5 not setted.".into());
    }
    let key = (request.application.clone(), request.server.clone());
    {
        let mut patches = agent.patches.held();
        let info = patches.entry(key.clone()).or_default();
        if info.patching {
            let words = "cannot patch the server ,the server state is BatchPatching";
            return (BUSY, words.into());
        }
        *info = PatchInfo {
            patching: true,
            percent: 0,
            version: request.version.clone(),
            success: true,
            ..PatchInfo::default()
        };
    }
    let agent = Arc::clone(agent);
    thread::spawn(move || {
        let outcome = carry_out(&agent, &request, &key);
        let success = outcome.is_ok();
        let words = outcome.unwrap_or_else(|why| why);
        agent.log.write(&format!("INFO|{name}: {words}"));
        if let Some(info) = agent.patches.held().get_mut(&key) {
            info.patching = false;
            info.percent = 100;
            info.success = success;
            info.result.clone_from(&words);
        }
        report(&agent, &request, &words);
    });
    (0, Vec::new())
}

fn report(agent: &Agent, request: &PatchRequest, words: &str) {
    let of = [
        request.application.as_str(),
        request.server.as_str(),
        request.node.as_str(),
    ];
    notify::report(&agent.places(NOTIFY), of, words);
}

fn carry_out(agent: &Agent, request: &PatchRequest, key: &Key) -> Result<String, String> {
    let server = match request.group.as_str() {
        "" => &request.server,
        group => group,
    };
    let source = format!("{}.{server}", request.application);
    let downloads = agent.data.join("tmp/download");
    let folder = downloads.join("BatchPatchingLoad").join(&source);
    let file = folder.join(format!("{source}.tgz"));
    if md5_of(&file).is_ok_and(|md5| md5 == request.md5) {
        agent.patches.set_percent(key, DOWNLOADED);
    } else {
        fs::create_dir_all(&folder).map_err(|error| format!(" mkdir {error}"))?;
        let remote = format!("/{BATCH}/{}/{server}/{source}.tgz", request.application);
        download(agent, &remote, &file, |percent| {
            agent.patches.set_percent(key, percent);
        })
        .inspect_err(|why| report(agent, request, &format!("download error:{why}")))?;
        report(agent, request, "download succ");
        let md5 = md5_of(&file).map_err(|error| error.to_string())?;
        if md5 != request.md5 {
            return Err(format!(
                "request md5:{}, local file md5:{md5}, md5 is not equal",
                request.md5
            ));
        }
    }
    let unpacked = downloads
        .join("BatchPatching")
        .join(format!("{}.{}", request.application, request.server));
    unpack(&file, &unpacked)?;
    let exe = agent
        .servers
        .place(&request.application, &request.server)
        .ok_or_else(|| "server is not exist".to_owned())?;
    let bin = exe.parent().unwrap_or(Path::new("/"));
    let copied = copy(&innermost(&unpacked), bin).and_then(|()| write_start_script(&exe, bin));
    copied.map_err(|error| format!("copy to {} error: {error}", bin.display()))?;
    let result = PatchResult {
        application: request.application.clone(),
        server: request.server.clone(),
        node: request.node.clone(),
        version: request.version.clone(),
        user: request.user.clone(),
    };
    agent.patched(&result)?;
    Ok(format!(
        "patch {}.{} succ, version {}",
        request.application, request.server, request.version
    ))
}

fn download(
    agent: &Agent,
    remote: &str,
    local: &Path,
    percent: impl Fn(i32),
) -> Result<(), String> {
    let places: Vec<SocketAddr> = agent.places(PATCH);
    let told = |error: io::Error| format!("download from patch exception,{error}");
    let place = places
        .first()
        .ok_or_else(|| "download from patch exception,no endpoint".to_owned())?;
    let mut client = Client::connect(*place, DOWNLOADING).map_err(told)?;
    let listed = client
        .call(PATCH, "listFileInfo", body(|w| w.put(1, remote)), &[])
        .map_err(told)?;
    let files: Vec<FileInfo> = field(&listed, 2).ok().flatten().unwrap_or_default();
    let Some(size) = files.first().map(|file| i64::from(file.size)) else {
        return Err(format!("{remote} not exist"));
    };
    let mut file = File::create(local).map_err(|_| format!("{} can not write", local.display()))?;
    let mut from = 0i32;
    loop {
        let arguments = body(|w| {
            w.put(1, remote);
            w.put(2, &from);
        });
        let answer = client
            .call(PATCH, "download", arguments, &[])
            .map_err(told)?;
        match field::<i32>(&answer, 0).ok().flatten() {
            Some(1) => return Ok(()),
            Some(0) => {}
            other => {
                let ret = other.unwrap_or(-1);
                return Err(format!("{remote} download from patch error {ret}"));
            }
        }
        let part: Bytes = field(&answer, 3).ok().flatten().unwrap_or_default();
        if part.0.is_empty() || file.write_all(&part.0).is_err() {
            return Err(format!("fwrite file '{}' error!", local.display()));
        }
        from = from.saturating_add(i32::try_from(part.0.len()).unwrap_or(i32::MAX));
        let part = i64::from(from) * 100 / size.max(1);
        percent(i32::try_from(part).unwrap_or(DOWNLOADED).min(DOWNLOADED));
    }
}

/// Whatever comes out of the archive counts, even if it breaks off; nothing at all does not.
fn unpack(file: &Path, folder: &Path) -> Result<(), String> {
    let failed = || {
        format!(
            " tar xzf {} -C {}, error!",
            file.display(),
            folder.display()
        )
    };
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).map_err(|_| failed())?;
    if let Ok(file) = File::open(file) {
        let mut archive = tar::Archive::new(GzDecoder::new(file));
        let _ = archive.unpack(folder);
    }
    let mut entries = fs::read_dir(folder).map_err(|_| failed())?;
    entries.next().map(drop).ok_or_else(failed)
}

/// As long as there is one folder and nothing beside it, what counts is in there.
fn innermost(folder: &Path) -> PathBuf {
    let mut folder = folder.to_path_buf();
    loop {
        let mut entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        match (entries.next(), entries.next()) {
            (Some(only), None) if only.path().is_dir() => folder = only.path(),
            _ => return folder,
        }
    }
}

/// Copies all that is in `from`, over what is in `to`: a file is removed before, so that one which
/// runs continues as the deleted one. What else is in `to` stays. A link does as well as a copy and costs
/// no room: what was unpacked is never written to, only removed.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (source, target) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if source.is_dir() {
            copy(&source, &target)?;
            continue;
        }
        match fs::remove_file(&target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// The script that the real one starts a server with and leaves behind.
fn write_start_script(exe: &Path, bin: &Path) -> io::Result<()> {
    let path = bin.join("tars_start.sh");
    fs::write(&path, format!("#!/bin/sh\n{} \"$@\" &\n", exe.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lone_folders_are_entered() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("x/bin");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("x"), "").unwrap();
        assert_eq!(innermost(root.path()), deep);
        fs::create_dir(root.path().join("x/conf")).unwrap();
        assert_eq!(innermost(root.path()), root.path().join("x"));
    }
}
