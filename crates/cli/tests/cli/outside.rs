//! The outside of the program: exit codes, and what the control machine lacks.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Commands that look at hosts, database and platform.
const LOOKS: [&str; 6] = ["plan", "drift", "check", "status", "apply", "rollback"];

/// A folder with a spec and a program `ssh` that only leaves a trace.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    /// A spec of one host with these further lines, and `ssh` below its own `ssh` key.
    fn new(ssh: &str, more: &str) -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let spec = format!(
            "schema: tarsops/v1\ncluster: prod\n\
             framework: {{version: 3.0.17, packages: ./packages}}\n\
             ssh: {{connect_timeout: 5s{ssh}}}\n\
             registry: {{endpoints: [10.99.0.1:17890]}}\nrpc: none\n{more}\n\
             nodes: [{{name: 10.99.0.1, roles: [master], address: 127.0.0.1}}]\n"
        );
        std::fs::write(place.at("cluster.yaml"), spec).unwrap();
        std::fs::create_dir_all(place.at("packages")).unwrap();
        std::fs::write(place.at("packages/framework.tgz"), "").unwrap();
        for folder in ["bin", "tmp", "home"] {
            std::fs::create_dir(place.at(folder)).unwrap();
        }
        place.program(
            "ssh",
            &format!("touch '{}'; exit 255", place.at("ran").display()),
        );
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a program into the folder that alone is in `PATH`.
    fn program(&self, name: &str, script: &str) {
        let path = self.at("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(super::PROGRAM);
        command
            .args(words)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", self.at("bin"))
            .env("HOME", self.at("home"))
            .env("TMPDIR", self.at("tmp"))
            .stdin(Stdio::null());
        command
    }

    fn tarsops(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout)
}

/// Whether somebody has knocked at a port since it was opened.
fn was_asked(port: &TcpListener) -> bool {
    port.set_nonblocking(true).unwrap();
    port.accept().is_ok()
}

#[test]
fn what_this_machine_lacks_is_its_own_fault_and_nothing_is_looked_at() {
    let database = |password: &str, more: &str| {
        format!("database: {{address: '127.0.0.1:PORT', user: tars, password: {password}{more}}}")
    };
    let cases: [(&str, String, &str); 9] = [
        ("", database("{env: NOT_SET}", ""), "NOT_SET"),
        ("", database("{file: ./not-there}", ""), "not-there"),
        ("", database("{file: ./bin}", ""), "bin"),
        (
            "",
            database("{command: [not-a-program]}", ""),
            "not-a-program",
        ),
        ("", database("{command: [fails]}", ""), "fails"),
        (
            "",
            database("{file: ./secret}", ", ca: ./not-there.pem"),
            "not-there.pem",
        ),
        (
            "",
            "web: {url: 'http://127.0.0.1:PORT', ticket: {env: NOT_SET}}".to_owned(),
            "the ticket of the console",
        ),
        (", identity: ./no-key", String::new(), "no-key"),
        (
            ", identity: ./no-key, port: 2222",
            String::new(),
            "`ssh.identity`",
        ),
    ];
    for (ssh, more, named) in cases {
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = port.local_addr().unwrap().port().to_string();
        let place = Place::new(ssh, &more.replace("PORT", &number));
        place.program("fails", "exit 3");
        std::fs::write(place.at("secret"), "hunter2\n").unwrap();
        for command in LOOKS {
            let out = place.tarsops(&[command, "--allow-commands"]);
            let said = said(&out);
            assert_eq!(out.status.code(), Some(1), "{command} {named}: {said}");
            assert!(said.contains(named), "{command}: {said}");
            assert!(said.contains("no host was contacted"), "{command}: {said}");
            assert!(said.contains("\nhint: "), "{command}: {said}");
            assert!(!said.contains("127.0.0.1"), "no host is blamed: {said}");
        }
        assert!(!place.at("ran").exists(), "{named}: a host was looked at");
        assert!(!was_asked(&port), "{named}: it was asked all the same");
    }
}

#[test]
fn a_program_for_a_secret_that_may_not_run_is_named_with_its_option() {
    let place = Place::new(
        "",
        "database: {address: '127.0.0.1:1', user: tars, password: {command: [fails]}}",
    );
    let out = place.tarsops(&["drift"]);
    assert_eq!(out.status.code(), Some(1), "{}", said(&out));
    assert!(said(&out).contains("--allow-commands"), "{}", said(&out));
    assert!(!place.at("ran").exists());
}

#[test]
fn without_ssh_nothing_is_said_of_hosts() {
    let place = Place::new("", "");
    std::fs::remove_file(place.at("bin/ssh")).unwrap();
    for command in LOOKS.into_iter().chain(["history"]) {
        let out = place.tarsops(&[command]);
        assert_eq!(out.status.code(), Some(1), "{command}: {}", said(&out));
        assert!(said(&out).contains("openssh-client"), "{}", said(&out));
        assert!(!said(&out).contains("unknown"), "{}", said(&out));
    }
    // One that is there and cannot be started is none.
    std::fs::write(place.at("bin/ssh"), "#!/bin/sh\n").unwrap();
    let out = place.tarsops(&["plan"]);
    assert_eq!(out.status.code(), Some(1), "{}", said(&out));
}

/// A key that only an agent has is named by its public part, as OpenSSH does.
#[test]
fn a_key_of_an_agent_is_no_missing_key() {
    let place = Place::new(", identity: ./key", "");
    std::fs::write(place.at("key.pub"), "").unwrap();
    let out = place.tarsops(&["drift"]);
    assert_eq!(out.status.code(), Some(4), "{}", said(&out));
    assert!(place.at("ran").exists());
}

/// A program that hands out a secret may ask for a touch: it runs once.
#[test]
fn a_secret_is_read_once() {
    let place = Place::new(
        "",
        "database: {address: '127.0.0.1:1', user: tars, password: {command: [hands]}}\n\
         web: {url: 'http://127.0.0.1:1', ticket: {command: [hands]}}",
    );
    let counted = place.at("counted");
    place.program(
        "hands",
        &format!("echo run >>'{}'; echo hunter2", counted.display()),
    );
    let out = place.tarsops(&["check", "--allow-commands"]);
    assert!(!said(&out).contains("hunter2"));
    let runs = std::fs::read_to_string(&counted).unwrap();
    assert_eq!(runs.lines().count(), 2, "{}", said(&out));
}

#[test]
fn an_ssh_that_cannot_be_started_is_no_silent_host() {
    let place = Place::new("", "");
    std::fs::write(place.at("bin/ssh"), "#!/no/such/shell\n").unwrap();
    for command in ["plan", "drift", "check", "status", "apply"] {
        let out = place.tarsops(&[command]);
        assert_eq!(out.status.code(), Some(1), "{command}: {}", said(&out));
        let text = said(&out);
        assert!(text.contains("this machine could not connect"), "{text}");
        assert!(!text.contains("unknown"), "{text}");
    }
}

/// Files that cannot be written, with the cause that is to be named.
fn unwritable(place: &Place) -> [(PathBuf, &'static str); 3] {
    std::fs::write(place.at("file"), "").unwrap();
    std::fs::create_dir_all(place.at("folder")).unwrap();
    [
        (place.at("not-there/out"), "No such file"),
        (place.at("file/out"), "Not a directory"),
        (place.at("folder"), "is a directory"),
    ]
}

#[test]
fn outputs_are_opened_before_anything_is_done() {
    let place = Place::new("", "");
    let commands = LOOKS
        .into_iter()
        .chain(["history", "validate", "package lock"]);
    let mut cases: Vec<(Vec<&str>, &str)> = commands
        .map(|command| (command.split(' ').collect(), "--json-into"))
        .collect();
    cases.push((vec!["plan"], "-o"));
    cases.push((vec!["rollback"], "-o"));
    for (command, option) in cases {
        for (path, cause) in unwritable(&place) {
            let path = path.to_str().unwrap();
            let out = place.tarsops(&[&command[..], &[option, path]].concat());
            let text = said(&out);
            assert_eq!(out.status.code(), Some(1), "{command:?} {path}: {text}");
            assert!(text.contains(path) && text.contains(cause), "{text}");
            assert!(out.stdout.is_empty(), "{command:?}: {text}");
        }
    }
    assert!(!place.at("ran").exists(), "a host was looked at");
    assert!(!place.at("cluster.yaml.lock").exists());
    // Nothing of a trial is left beside the files.
    for folder in ["", "folder", "tmp"] {
        for entry in std::fs::read_dir(place.at(folder)).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(!name.to_string_lossy().starts_with('.'), "{name:?}");
        }
    }
}

#[test]
fn a_temporary_folder_that_is_not_there_is_named() {
    let place = Place::new("", "");
    for command in ["plan", "apply", "package lock"] {
        let words: Vec<&str> = command.split(' ').collect();
        let mut command = place.command(&words);
        let out = command.env("TMPDIR", place.at("no-tmp")).output().unwrap();
        let text = said(&out);
        assert_eq!(out.status.code(), Some(1), "{text}");
        assert!(text.contains("no-tmp") && text.contains("TMPDIR"), "{text}");
        assert!(text.contains("No such file"), "{text}");
    }
    assert!(!place.at("ran").exists());
}

/// What was there before stays until the new document is whole, and errors are documents, too.
#[test]
fn the_file_of_a_document_is_replaced_by_the_outcome() {
    let place = Place::new("", "");
    let out = place.at("out.json");
    std::fs::write(&out, "old").unwrap();
    let path = out.to_str().unwrap();
    let document = || -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap()
    };
    assert_eq!(
        place.tarsops(&["drift", "--json-into", path]).status.code(),
        Some(4)
    );
    assert_eq!(document()["format"], "tarsops.drift/1");
    std::fs::remove_file(place.at("bin/ssh")).unwrap();
    assert_eq!(
        place.tarsops(&["drift", "--json-into", path]).status.code(),
        Some(1)
    );
    assert_eq!(document()["format"], "tarsops.error/1");
    assert_eq!(document()["exit_code"], 1);
    // A device is written to. By a link, so that a program which replaces files harms no device here.
    std::os::unix::fs::symlink("/dev/full", place.at("full")).unwrap();
    let full = place.tarsops(&["validate", "--json-into", "full"]);
    assert_eq!(full.status.code(), Some(1), "{}", said(&full));
    assert!(said(&full).contains("could not write full") && said(&full).contains("No space left"));
}
