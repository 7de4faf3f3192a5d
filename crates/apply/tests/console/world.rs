//! A host with Node, PM2 and a console, and releases for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tarsops_conf::console::{ConfigFile, Installed, Texts, upgrade};
use tarsops_model::digest::Digest;
use tarsops_testkit::{Host, HostOptions, Network as Hosts};

use super::super::*;
use super::composed::change;
use crate::replaced::{Ssh, alone, place, run_id};

pub(crate) const STATE: &str = "/var/lib/tarsops/test";
pub(crate) const WEB: &str = "/usr/local/app/web";
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const OLD: &str = "3.0.14";
const NEW: &str = "3.0.15";
/// How commands of a host find PM2 and its folder, as on a login.
const LOGIN: &str =
    "export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; ";

/// How a release behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Healthy,
    /// Its program ends at once.
    Ends,
    /// It runs and does not listen.
    Deaf,
    /// It tells another version.
    Lies,
    /// Its program is no JavaScript.
    Broken,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn shipped() -> PathBuf {
    repository().join("fixtures/console/release")
}

/// A configuration file as a release ships it. The newer one has a setting more and another one changed.
pub(crate) fn config(file: ConfigFile, version: &str) -> Option<String> {
    let text = fs::read_to_string(shipped().join(file.path())).ok()?;
    match version {
        OLD => Some(text),
        _ => Some(text.replace("max: 10", "max: 20").replace(
            "    show: true,\n",
            "    show: true,\n    market: { url: 'http://db.tars.com' },\n",
        )),
    }
}

/// What the installer wrote on the host.
pub(crate) fn installed() -> Installed {
    Installed {
        host: "10.77.1.1".into(),
        db_host: "10.77.9.9".into(),
        db_port: 3306,
        db_user: "tarsAdmin".into(),
        db_password: "s3cret".into(),
        install_path: "/usr/local/app".into(),
    }
}

/// Lays a release out in a folder.
fn lay_out(folder: &Path, version: &str, behaviour: Behaviour) {
    let copied = Command::new("cp")
        .args(["-R", "-T"])
        .args([shipped().as_os_str(), folder.as_os_str()])
        .status()
        .unwrap();
    assert!(copied.success());
    let package = fs::read_to_string(folder.join("package.json")).unwrap();
    fs::write(
        folder.join("package.json"),
        package.replace("VERSION", version),
    )
    .unwrap();
    let word = match behaviour {
        Behaviour::Ends => "ends",
        Behaviour::Deaf => "deaf",
        Behaviour::Lies => "lies",
        Behaviour::Healthy | Behaviour::Broken => "healthy",
    };
    fs::write(folder.join("behaviour"), word).unwrap();
    if behaviour == Behaviour::Broken {
        fs::write(folder.join("bin/www"), "const x = {;\n").unwrap();
    }
    for file in ConfigFile::ALL {
        if let Some(text) = config(file, version) {
            fs::write(folder.join(file.path()), text).unwrap();
        }
    }
    // Of a checkout somebody works in.
    fs::create_dir(folder.join("log")).unwrap();
    fs::write(folder.join("log/of-the-release"), "").unwrap();
    fs::write(folder.join(format!("only-in-{version}")), "").unwrap();
}

/// The archive of a release.
pub(crate) fn archive(version: &str, behaviour: Behaviour) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    lay_out(&folder.path().join("web"), version, behaviour);
    let output = Command::new("tar")
        .args(["-cz", "--owner=0", "--group=0", "-C"])
        .arg(folder.path())
        .arg("web")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// The files of PM2, packed. It is installed by `.ci/pm2/install`.
fn pm2() -> Vec<u8> {
    let there = std::env::var_os("TARSOPS_PM2").map(PathBuf::from);
    let folder = there.unwrap_or_else(|| repository().join("target/pm2"));
    assert!(
        folder.join("node_modules/pm2/bin/pm2").exists(),
        "these tests need PM2 in {}: run .ci/pm2/install (it needs npm and a network once)",
        folder.display()
    );
    assert!(
        Path::new("/usr/bin/node").exists(),
        "these tests need /usr/bin/node: apt-get install -y --no-install-recommends nodejs"
    );
    let output = Command::new("tar")
        .args(["-c", "-C"])
        .arg(folder)
        .arg("node_modules")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

pub(crate) struct World {
    pub(crate) hosts: Hosts,
    pub(crate) host: Host,
    pub(crate) supervisor: Supervisor,
}

impl World {
    /// A host with a console of the old release that the supervisor runs.
    pub(crate) fn new(supervisor: Supervisor) -> Self {
        Self::with(HostOptions::numbered(0), supervisor)
    }

    pub(crate) fn with(options: HostOptions, supervisor: Supervisor) -> Self {
        tarsops_testkit::require_or_fail();
        let hosts = Hosts::new().unwrap();
        let host = hosts.host(options).unwrap();
        let world = Self {
            hosts,
            host,
            supervisor,
        };
        world.host.write("/usr/local/pm2.tar", pm2()).unwrap();
        world.sh(
            "mkdir -p /usr/local/lib /usr/local/bin && tar -xf /usr/local/pm2.tar -C /usr/local/lib && rm /usr/local/pm2.tar && \
             ln -s ../lib/node_modules/pm2/bin/pm2 /usr/local/bin/pm2",
        );
        world
            .host
            .write("/usr/local/bin/systemctl", include_str!("systemctl.sh"))
            .unwrap();
        world.sh("chmod 755 /usr/local/bin/systemctl; mkdir -p /etc/systemd/system");
        if supervisor == Supervisor::Systemd {
            world.sh("mkdir -p /run/systemd/system");
        }
        world.first();
        world
    }

    /// The first console: installed by hand, edited by operators, with packages and logs.
    fn first(&self) {
        let folder = tempfile::tempdir().unwrap();
        let web = folder.path().join("web");
        lay_out(&web, OLD, Behaviour::Healthy);
        for file in ConfigFile::ALL {
            if let Some(text) = config(file, OLD) {
                let text = tarsops_conf::console::installed(file, &text, &installed())
                    .replace("limit: 5000", "limit: 9000")
                    .replace("cookieDomain: ''", "cookieDomain: '.example.org'");
                fs::write(web.join(file.path()), text).unwrap();
            }
        }
        fs::create_dir(web.join("files")).unwrap();
        fs::write(web.join("files/tarsstat.tgz"), "a package").unwrap();
        fs::write(web.join("log/kept.log"), "what was there").unwrap();
        let packed = Command::new("tar")
            .args(["-c", "-C"])
            .arg(folder.path())
            .arg("web")
            .output()
            .unwrap();
        self.host
            .write("/usr/local/web.tar", packed.stdout)
            .unwrap();
        self.sh("mkdir -p /usr/local/app && tar -xf /usr/local/web.tar -C /usr/local/app && chmod 640 /usr/local/app/web/config/webConf.js");
        self.start_first();
    }

    fn start_first(&self) {
        match self.supervisor {
            Supervisor::Pm2 => self.sh(&format!(
                "cd {WEB} && pm2 start bin/www --name=tars-node-web >/dev/null"
            )),
            Supervisor::None => self.sh(&format!(
                "cd {WEB} && setsid node bin/www </dev/null >/dev/null 2>&1 &"
            )),
            Supervisor::Systemd => {
                let unit = change().unit_text(&place());
                let path = "/etc/systemd/system/tarsops-web-test.service";
                self.host.write(path, unit).unwrap();
                self.sh("systemctl enable tarsops-web-test.service && systemctl start tarsops-web-test.service")
            }
        };
        self.until("the first console answers", || self.answers() == OLD);
    }

    /// The first console again, and nothing else.
    pub(crate) fn renew(&self) {
        self.sh(&format!(
            "systemctl stop tarsops-web-test.service; systemctl disable tarsops-web-test.service; rm -f /etc/systemd/system/tarsops-web-*
             [ ! -e /root/.pm2/pm2.pid ] || kill -9 $(cat /root/.pm2/pm2.pid) 2>/dev/null; rm -rf /root/.pm2
             for p in $(pgrep -f '[b]in/www'); do kill -9 $p; done 2>/dev/null
             while pgrep -f '[b]in/www' >/dev/null; do sleep 0.05; done
             rm -rf {WEB} {WEB}.* {STATE} /run/kill /run/lines /run/reached; crontab -r 2>/dev/null
             tar -xf /usr/local/web.tar -C /usr/local/app && chmod 640 {WEB}/config/webConf.js"
        ));
        self.start_first();
    }

    pub(crate) fn sh(&self, script: &str) -> String {
        self.host.sh(&format!("{LOGIN}{script}")).unwrap()
    }

    pub(crate) fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < end, "{what}: never\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The version that a console at the port tells; empty where there is none.
    pub(crate) fn answers(&self) -> String {
        let ask = "fetch(\"http://127.0.0.1:3000/web_version\").then(a=>a.json()).then(b=>console.log(b.webVersion)).catch(()=>0)";
        self.sh(&format!("node -e '{ask}'"))
    }

    /// The configuration as the applier would have it: what is live, merged with the release.
    pub(crate) fn configuration(&self, version: &str) -> Vec<Configuration> {
        let one = |file: ConfigFile| {
            let live = self.host.read(&format!("{WEB}/{}", file.path())).ok();
            let text = live
                .as_ref()
                .map(|l| String::from_utf8_lossy(l).into_owned());
            let (old, new) = (config(file, OLD), config(file, version));
            let texts = Texts {
                old: old.as_deref(),
                new: new.as_deref(),
                live: text.as_deref(),
            };
            Configuration {
                path: file.path().to_owned(),
                before: live.as_ref().map(|l| Digest::of(l)),
                after: upgrade(file, texts, &installed())
                    .unwrap()
                    .map(FileText::new),
            }
        };
        ConfigFile::ALL.into_iter().map(one).collect()
    }

    /// The update to the new release, whose archive is brought to the host.
    pub(crate) fn update(&self, behaviour: Behaviour) -> ConsoleChange {
        let bytes = archive(NEW, behaviour);
        let digest = Digest::of(&bytes);
        self.sh(&format!("umask 077; mkdir -p {STATE}/stage"));
        self.host
            .write(&format!("{STATE}/stage/{digest}"), bytes)
            .unwrap();
        ConsoleChange {
            new: NewConsole::Release {
                archive: digest,
                strip: 1,
                space: 1 << 20,
            },
            configuration: self.configuration(NEW),
            old_supervisor: self.supervisor,
            supervisor: self.supervisor,
            ..change()
        }
    }

    pub(crate) fn carry_out(&self, change: &ConsoleChange, run: u64) -> ConsoleReport {
        let (place, run) = (place(), run_id(run));
        let remote = Ssh::to(&self.hosts, &format!("root@{}", self.host.ip()));
        alone(replacement(&place, &run, change).carry_out(&remote)).unwrap()
    }

    /// As it is asked after a connection broke or a host was away.
    pub(crate) fn recover(&self, change: &ConsoleChange, run: u64) -> ConsoleReport {
        let (place, run) = (place(), run_id(run));
        let remote = Ssh::to(&self.hosts, &format!("root@{}", self.host.ip()));
        alone(replacement(&place, &run, change).recover(&remote)).unwrap()
    }

    /// What cron does each minute, until there is nothing left to end.
    pub(crate) fn cron(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            self.sh(&format!(
                "[ ! -e {STATE}/guard.sh ] || sh {STATE}/guard.sh || :"
            ));
            let left = self.sh(&format!(
                "[ ! -e {STATE}/current ] || [ -e {STATE}/runs/*/s/verdict ] || echo left"
            ));
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "cron ends nothing\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn log(&self) -> String {
        self.sh(&format!(
            "tail -n 40 {STATE}/runs/*/s/log; tail -n 5 {STATE}/runs/*/s/verdict; tail -n 20 {STATE}/runs/*/s/console.log; \
             ls -la /usr/local/app {WEB}; tail -n 5 {WEB}/log/*; ps -eo pid,ppid,args; [ ! -e /root/.pm2/pm2.pid ] || pm2 ls; :"
        ))
    }

    /// The version that is there, where all is as it must be after any change: one folder, whole, with the data
    /// that no release brings and what operators wrote; a console that runs from it; nothing left of ours.
    pub(crate) fn sound(&self) -> Result<&'static str, String> {
        let fault = |what: &str| format!("{what}\n{}", self.log());
        let package = self.sh(&format!("cat {WEB}/package.json || :"));
        let version = [OLD, NEW]
            .into_iter()
            .find(|v| package.contains(&format!("\"version\": \"{v}\"")))
            .ok_or_else(|| fault("no version is installed"))?;
        let whole = self.sh(&format!(
            "cd {WEB} && cat files/tarsstat.tgz log/kept.log && ls only-in-{version} && ls -d only-in-* | wc -l && stat -c %a config/webConf.js && \
             grep -c 'limit: 9000' config/webConf.js; grep -c \"password: 's3cret'\" config/webConf.js; grep -c example.org config/loginConf.js; \
             grep -c \"max: 20\" config/webConf.js || :"
        ));
        let max = u8::from(version == NEW);
        let expected = format!("a packagewhat was thereonly-in-{version}\n1\n640\n1\n1\n1\n{max}");
        if whole != expected {
            return Err(fault(&format!("the folder is not whole: {whole}")));
        }
        let others = self.sh(&format!("ls -d {WEB}.* 2>/dev/null || :"));
        for other in others.lines() {
            if !other.starts_with(&format!("{WEB}.old-")) {
                return Err(fault(&format!("{other} is left")));
            }
        }
        let end = Instant::now() + Duration::from_secs(10);
        while self.answers() != version {
            if Instant::now() > end {
                return Err(fault(&format!("the console does not tell {version}")));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let running = self.sh("for p in $(pgrep -f '[b]in/www'); do echo $(readlink /proc/$p/exe) $(readlink /proc/$p/cwd); done 2>/dev/null | grep '/node ' || :");
        let running: Vec<&str> = running.lines().collect();
        if running != ["/usr/bin/node /usr/local/app/web"] {
            return Err(fault(&format!("what runs is {running:?}")));
        }
        let crontab = self.sh("crontab -l 2>/dev/null || :");
        if crontab.contains("tarsops") {
            return Err(fault(&format!("the crontab is {crontab}")));
        }
        let secrets = self.sh(&format!("grep -rl s3cret {STATE} 2>/dev/null || :"));
        if !secrets.is_empty() {
            return Err(fault(&format!("a secret is left in {secrets}")));
        }
        Ok(version)
    }
}

fn replacement<'a>(place: &'a Place, run: &'a RunId, change: &'a ConsoleChange) -> Replacement<'a> {
    Replacement {
        place,
        run,
        step: "s",
        holder: "a test",
        intent: "{}",
        expires: None,
        change,
    }
}
