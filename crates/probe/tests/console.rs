//! A look at the management platform: the script as it is sent, on folders and processes that look like one.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests make files and start shells"
)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use support::Host;
use tarsops_model::console::{ConsoleFacts, StartedBy, Supervisor};
use tarsops_model::digest::Digest;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_probe::{ConsoleLook, Options, look};

const SHELLS: [&[&str]; 3] = [&["dash"], &["bash"], &["busybox", "sh"]];

fn node() -> NodeName {
    "10.0.0.1".parse().unwrap()
}

/// A folder for a platform of a host.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("app")).unwrap();
        place
    }

    /// With an installed release.
    fn installed() -> Self {
        let place = Self::new();
        place.put(
            "web/package.json",
            "{\n    \"name\": \"tars-web\",\n    \"version\": \"3.0.15\"\n}\n",
        );
        place.put(
            "web/config/webConf.js",
            "module.exports = {\n    // alter: false,\n    webConf: {\n        port: 3000,\n        alter: true, // tables\n    },\n\
             dbConf: { password: 'hunter2' } };\nconf.webConf.alter = false;\n",
        );
        place.put(
            "web/config/tars.conf",
            "<tars>\n  locator = tars.tarsregistry.QueryObj@tcp -h 10.0.0.1 -p 17890\n</tars>\n",
        );
        fs::create_dir(place.path("web.old-20261130")).unwrap();
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What a look sees, and all that the host has sent.
    fn look_by(&self, shell: &[&str], console: Option<&NodeName>) -> (Inventory, String) {
        let host = Host {
            path: std::env::var("PATH").unwrap(),
            shell: shell.iter().map(|s| (*s).to_owned()).collect(),
            said: Mutex::default(),
        };
        let options = Options {
            install_path: self.path("app").parse().unwrap(),
            cluster: "console-test".parse().unwrap(),
            run_user: "root".parse().unwrap(),
            rehash: true,
            parallel: 1,
            deadline: Duration::from_secs(60),
            fence: None,
            servers: vec![],
            docker: None,
            console: console.map(|node| ConsoleLook {
                node: node.clone(),
                folder: self.path("web").parse().unwrap(),
            }),
        };
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let seen = runtime.block_on(look(&node(), &host, &options, 0)).unwrap();
        let mut inventory = Inventory::default();
        seen.into(&mut inventory);
        (inventory, host.said.into_inner().unwrap())
    }

    fn look(&self) -> ConsoleFacts {
        let (inventory, _) = self.look_by(&["sh"], Some(&node()));
        inventory.console().present().copied().unwrap().clone()
    }

    /// Starts a process that is like the platform's, by another of this name where one is given. It
    /// runs in `folder`.
    fn starts(&self, folder: &str, parent: Option<&str>) -> Processes {
        let script =
            "cd \"$0\"; bash -c 'exec -a \"node /x/$1\" sleep 300' - \"$1/www\" & echo $!; wait";
        let mut command = Command::new("bash");
        command.arg0(parent.unwrap_or("node"));
        let mut child = command
            .args(["-c", script, &self.path(folder), "bin"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let pid: u32 = line.trim().parse().unwrap();
        // It takes its name a moment later.
        let named = || {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).starts_with("node /x/bin/www")
        };
        while !named() {
            std::thread::yield_now();
        }
        Processes { parent: child, pid }
    }
}

struct Processes {
    parent: Child,
    pid: u32,
}

impl Drop for Processes {
    fn drop(&mut self) {
        let _gone = Command::new("kill")
            .args(["-9", &self.pid.to_string()])
            .status();
        let _ended = self.parent.kill();
        let _waited = self.parent.wait();
    }
}

#[test]
fn an_installed_platform_is_seen_by_every_shell() {
    let place = Place::installed();
    for shell in SHELLS {
        let (inventory, said) = place.look_by(shell, Some(&node()));
        let facts = inventory.console().present().copied().unwrap().clone();
        assert_eq!(facts.version, Observed::Present("3.0.15".parse().unwrap()));
        assert_eq!(facts.alters, Observed::Present(true), "{shell:?}");
        let locator = "tars.tarsregistry.QueryObj@tcp -h 10.0.0.1 -p 17890".to_owned();
        assert_eq!(facts.locator, Observed::Present(locator));
        let conf = fs::read(place.path("web/config/webConf.js")).unwrap();
        assert_eq!(facts.config["webConf.js"], Digest::of(&conf));
        assert!(facts.retired.contains("web.old-20261130"));
        assert_eq!(facts.processes, Observed::Absent);
        assert_eq!(
            facts.machine,
            Observed::Present(std::env::consts::ARCH.to_owned())
        );
        assert!(!said.contains("hunter2"), "no password leaves the host");
    }
}

#[test]
fn an_absence_is_told_from_what_cannot_be_seen() {
    let place = Place::new();
    assert_eq!(place.look().version, Observed::Absent);
    place.put("web", "a file");
    let why = place.look().version;
    assert!(why.unknown().unwrap().contains("is no folder"), "{why:?}");
    let place = Place::installed();
    fs::remove_file(place.path("web/package.json")).unwrap();
    assert!(place.look().version.unknown().is_some());
    place.put("web/package.json", "\"version\": \"next\"\n");
    assert!(place.look().version.unknown().is_some());
    place.put("web/config/webConf.js", "alter: true,\nalter: false,\n");
    assert!(place.look().alters.unknown().is_some());
    place.put("web/config/webConf.js", "alter: process.env.ALTER,\n");
    assert!(place.look().alters.unknown().is_some());
}

#[test]
fn who_started_it_and_from_which_folder_is_seen() {
    let place = Place::installed();
    place.put(
        "pm2/dump.pm2",
        &format!("[{{\"pm_cwd\": \"{}\"}}]", place.path("web")),
    );
    let title = format!("PM2 v5.4.3: God Daemon ({})", place.path("pm2"));
    let running = place.starts("web", Some(&title));
    let facts = place.look();
    let Observed::Present(all) = &facts.processes else {
        panic!("{facts:?}")
    };
    let [process] = all.as_slice() else {
        panic!("{all:?}")
    };
    assert_eq!(process.pid, running.pid);
    let home = place.path("pm2");
    assert_eq!(process.by, StartedBy::Pm2 { home });
    assert!(process.by.fits(Supervisor::Pm2));
    assert_eq!(process.folder, place.path("web"));
    assert_eq!(facts.saved, Observed::Present(true));
    // No unit starts PM2 with this machine.
    assert_eq!(facts.survives_reboot(), Observed::Present(false));
    place.put("pm2/dump.pm2", "[]");
    assert_eq!(place.look().saved, Observed::Present(false));
    drop(running);

    let other = place.starts("web.old-20261130", Some("forever"));
    let facts = place.look();
    let process = &facts.processes.present().unwrap()[0];
    assert!(process.folder.ends_with("web.old-20261130"));
    assert!(matches!(&process.by, StartedBy::Other { command } if command.contains("forever")));
    drop(other);

    // Many programs have a bin/www.
    let foreign = place.starts("app", None);
    assert_eq!(place.look().processes, Observed::Absent);
    drop(foreign);
}

#[test]
fn only_its_own_host_is_asked() {
    let place = Place::installed();
    for node in [None, Some("10.0.0.2".parse().unwrap())] {
        let (inventory, said) = place.look_by(&["sh"], node.as_ref());
        assert!(!said.contains("console"), "{said}");
        assert!(inventory.console().unknown().is_some());
    }
}
