//! Hosts that mean harm, against the whole program.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/mux.rs"]
#[allow(unreachable_pub, reason = "it is a module of several test binaries")]
mod mux;

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use mux::{Asked, Hosts, Reply, more, of_file, probe_answer};

/// What a run of the program may hold in memory, in bytes.
const MEMORY: u64 = 256_000_000;

const LOCK: &str = include_str!("../../../fixtures/packages/cluster.yaml.lock");

fn encoded(text: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A spec, and hosts that answer so. The first host is the master.
struct Place {
    dir: tempfile::TempDir,
    hosts: Hosts,
}

/// The address of a host, counted from 0.
fn address(host: usize) -> String {
    format!("10.99.{}.{}", host / 200, host % 200 + 1)
}

impl Place {
    fn new(hosts: usize, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = "schema: tarsops/v1\ncluster: prod\n\
             framework: {version: 3.0.17, packages: ./packages}\nrpc: none\n\
             registry: {endpoints: [10.99.0.1:17890]}\nnodes:\n"
            .to_owned();
        for host in 0..hosts {
            let role = if host == 0 { ", roles: [master]" } else { "" };
            spec.push_str(&format!("- {{name: {}{role}}}\n", address(host)));
        }
        std::fs::write(dir.path().join("cluster.yaml"), spec).unwrap();
        std::fs::write(dir.path().join("cluster.yaml.lock"), LOCK).unwrap();
        for folder in ["tmp", "home"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let hosts = Hosts::new((0..hosts).map(address), answer);
        Self { dir, hosts }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tarsops"));
        command
            .args(words)
            .args(["-f", "cluster.yaml"])
            .current_dir(self.dir.path())
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.hosts.bin().display()),
            )
            .env("TMPDIR", self.at("tmp"))
            .env("HOME", self.at("home"))
            .env("XDG_STATE_HOME", self.at("home/state"))
            .stdin(Stdio::null());
        for name in ["TARSOPS_SPEC", "TARSOPS_LOG", "NO_COLOR", "RUST_LOG"] {
            command.env_remove(name);
        }
        command
    }

    fn tarsops(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs the program; what it held in memory at most, in bytes, goes with its output.
    fn measured(&self, words: &[&str]) -> (Output, u64) {
        let files = ["out", "err"].map(|name| self.at(name));
        let mut child = self
            .command(words)
            .stdout(std::fs::File::create(&files[0]).unwrap())
            .stderr(std::fs::File::create(&files[1]).unwrap())
            .spawn()
            .unwrap();
        let mut peak = 0;
        let until = Instant::now() + Duration::from_secs(60);
        let status = loop {
            peak = peak.max(peak_of(child.id()));
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until || peak > 4 * MEMORY {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{words:?} does not end, or holds {peak} bytes");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        assert_eq!(status.signal(), None);
        let [stdout, stderr] = files.map(|file| std::fs::read(file).unwrap());
        let output = Output {
            status,
            stdout,
            stderr,
        };
        (output, peak)
    }
}

/// The most memory that a process held so far; 0 once it has ended.
fn peak_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().strip_suffix(" kB")?.parse().ok())
        .map_or(0, |kib: u64| kib << 10)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a host says at least, so that it is looked at further.
fn plain_lines(host: &str) -> Vec<String> {
    vec![
        format!("clock {}", now()),
        "user root 1".to_owned(),
        format!("hostname {host}"),
        format!("machine-id {}", host.replace('.', "0")),
        "boot-id 1".to_owned(),
        format!("interfaces hostname\n+{host}"),
        "tool crontab 1".to_owned(),
        "tool flock 1".to_owned(),
        "run-user 1".to_owned(),
        "disk 100000000".to_owned(),
        "writable 1".to_owned(),
        "base 0".to_owned(),
    ]
}

/// As much of everything as is read, beside the plain lines.
fn worst_lines() -> Vec<String> {
    let lines = |count: usize, entry: fn(usize) -> String| {
        let lines = (0..count).map(|i| format!("\n+{}", entry(i)));
        lines.collect::<String>()
    };
    // Long lines: their number costs time where nothing is optimised, and memory nowhere.
    let line = format!("#{}\n", "x".repeat(510));
    let file = line.repeat((64 << 10) / 512);
    let crontab = line.repeat((256 << 10) / 512);
    let mut all = Vec::new();
    all.push(format!("crontab raw\n{crontab}\nNONCE 0"));
    all.push("agent present".to_owned());
    all.push("folder tars 755".to_owned());
    let size = file.len();
    all.push(format!("conf text 644 tars {size}"));
    all.push(of_file(
        "tars/tarsnode/conf/tars.tarsnode.config.conf",
        &file,
    ));
    for script in ["start.sh", "stop.sh", "execute.sh", "monitor.sh"] {
        all.push(format!("util {script} text 755 tars {size}"));
        all.push(of_file(&format!("tars/tarsnode/util/{script}"), &file));
    }
    all.push("installed list".to_owned());
    all.extend((0..1024).map(|i| format!("has {i}")));
    all.push(format!(
        "exes 1{}",
        lines(1024, |i| format!("/usr/local/app/tars/a{i}/bin/a{i}"))
    ));
    all.push("strangers list".to_owned());
    all.extend((0..1024).map(|i| format!("stranger a{i}")));
    for process in 0..1024 {
        let program = "/usr/local/app/tars/tarsnode/bin/tarsnode";
        all.push(format!("process {process} tars - {program}"));
        all.push(format!("/proc/{process}/cmdline:{program}\0"));
    }
    all.push("processes all".to_owned());
    all
}

fn is_probe(asked: &Asked) -> bool {
    asked.variable("P_NONCE").is_some()
}

#[test]
fn a_hundred_hosts_that_send_all_that_is_read() {
    let worst = worst_lines();
    let place = Place::new(100, move |asked| {
        if !is_probe(asked) {
            return Reply::Text(b"\n".to_vec());
        }
        let lines = [plain_lines(&asked.host), worst.clone()].concat();
        let answer = probe_answer(asked, &lines);
        assert!(answer.len() < 1 << 20, "it is {} bytes", answer.len());
        assert!(answer.len() > 900 << 10, "it is {} bytes", answer.len());
        Reply::Text(answer)
    });
    let began = Instant::now();
    // `check` makes the same look and the same plan.
    let (output, peak) = place.measured(&["plan"]);
    let said = text(&output.stderr);
    println!("plan: {} MB, {:?}", peak / 1_000_000, began.elapsed());
    assert!(!said.contains("answered more"), "{said}");
    assert!(!text(&output.stdout).is_empty(), "{said}");
    assert!((1..MEMORY).contains(&peak), "{peak} bytes");
}

#[test]
fn a_hundred_hosts_that_send_without_end() {
    let place = Place::new(100, |asked| {
        Reply::Endless(match asked.host.as_str() {
            // Lines are counted as well.
            "10.99.0.1" => b"\n".repeat(1 << 10),
            _ => b"x".repeat(64 << 10),
        })
    });
    for words in [
        vec!["plan"],
        vec!["check"],
        vec!["history", "--on", "10.99.0.[123]*"],
    ] {
        let command = words[0];
        let began = Instant::now();
        let (output, peak) = place.measured(&words);
        let said = text(&output.stdout) + &text(&output.stderr);
        println!("{command}: {} MB, {:?}", peak / 1_000_000, began.elapsed());
        assert!((1..MEMORY).contains(&peak), "{command}: {peak} bytes");
        assert_eq!(output.status.code(), Some(4), "{said}");
        let most = match command {
            "history" => "4096 KiB",
            _ => "1024 KiB",
        };
        let refused = said
            .matches(&format!("it answered more than {most}"))
            .count();
        assert!(refused > 0, "{said}");
        assert!(said.contains("it answered more than 16384 lines"), "{said}");
    }
}

/// What no text may do to a terminal, a log or a document: escapes, C1, ends of lines with a line of ours
/// behind them, marks of direction, what cannot be seen, markup.
const HOSTILE: &str = "mark\x1b[2J\x1b]0;t\x07\u{9b}31m\u{85}\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}\u{e0041}\
                       \r\nINJECTED\r\u{7f} <b>&</b> [x](http://y) @z";

/// Whether a character is shown and obeyed by nobody: what the program thinks, and not one of those above.
fn is_harmless(c: char) -> bool {
    tarsops_model::display::is_harmless(c) && (c.is_ascii() || !HOSTILE.contains(c))
}

/// Runs of the program whose every output is harmless, as text, as a document and as a log; whether one
/// of them shows the hostile text, so that a test sees what it is about.
#[must_use]
fn harmless(place: &Place, words: &[&str]) -> bool {
    let mut shown = false;
    for more in [&["-vv"][..], &["-vv", "--log-json", "--json"], &["-vvv"]] {
        let output = place.tarsops(&[words, more].concat());
        for bytes in [&output.stdout, &output.stderr] {
            let text = std::str::from_utf8(bytes).unwrap();
            let bad = text
                .chars()
                .find(|c| !matches!(c, '\n' | '\t') && !is_harmless(*c));
            assert!(bad.is_none(), "{words:?} {more:?}: {bad:?} in {text}");
            let line = text
                .lines()
                .find(|l| l.trim_start().starts_with("INJECTED"));
            assert!(
                line.is_none(),
                "{words:?} {more:?}: a line of its own in {text}"
            );
            shown |= text.contains("mark\\u");
        }
        assert!(
            !matches!(output.status.code(), None | Some(101)),
            "{words:?} {more:?}: {}",
            text(&output.stderr)
        );
    }
    shown
}

/// A probe answer with hostile text wherever a host has a word of its own.
fn hostile_lines(host: &str) -> Vec<String> {
    let flat = HOSTILE.replace(['\r', '\n'], "_");
    let file = |name: &str| of_file(&format!("tars/tarsnode/{name}"), HOSTILE);
    let size = HOSTILE.len();
    let mut all = plain_lines(host);
    all.push(format!("hostname {flat}"));
    all.push(format!("crontab error{}", more(HOSTILE)));
    all.push(format!(
        "machine-id {}",
        HOSTILE.replace(['\r', '\n', ' '], "_")
    ));
    let lease = format!("run=1796026924868-cb4026\nholder={HOSTILE}\nbeat=1\nttl=99999999999\n");
    all.push(format!("lease {}{}", now(), more(&lease)));
    all.push("agent present".to_owned());
    all.push(format!(
        "folder {} 755",
        HOSTILE.replace(['\r', '\n', ' '], "_")
    ));
    all.push(format!("strangers list\nstranger {flat}"));
    all.push(format!("conf text 644 mark\u{9b} {size}"));
    all.push(file("conf/tars.tarsnode.config.conf"));
    all.push(format!("util start.sh text 755 tars {size}"));
    all.push(file("util/start.sh"));
    all.push(format!("installed list\nhas {flat}"));
    let program = "/usr/local/app/tars/tarsnode/bin/tarsnode";
    all.push(format!("process 1 mark\u{9b}\u{202e} - {program}"));
    all.push(of_file(
        "/proc/1/cmdline",
        &format!("{program}\0--nodeid={HOSTILE}\0--config={HOSTILE}\0"),
    ));
    all.push("processes all".to_owned());
    all
}

#[test]
fn what_hosts_say_is_shown_and_obeyed_by_nobody() {
    let place = Place::new(3, |asked| {
        Reply::Text(match asked.host.as_str() {
            _ if !is_probe(asked) => HOSTILE.as_bytes().to_vec(),
            "10.99.0.3" => format!("{HOSTILE}\n").into_bytes(),
            "10.99.0.2" => {
                let mut lines = plain_lines(&asked.host);
                lines.push(format!("conf {}", HOSTILE.replace(['\r', '\n'], "_")));
                probe_answer(asked, &lines)
            }
            host => probe_answer(asked, &hostile_lines(host)),
        })
    });
    for (command, shows) in [
        ("plan", true),
        ("check", true),
        ("drift", true),
        ("status", true),
    ] {
        assert_eq!(harmless(&place, &[command]), shows, "{command}");
    }
}

#[test]
fn what_hosts_remember_is_shown_and_obeyed_by_nobody() {
    let place = Place::new(1, |_| {
        let bad = encoded(HOSTILE);
        let intent = encoded(format!(
            "{{\"format\":\"tarsops.intent/1\",\"holder\":{0:?}}}",
            "mark\u{9b}"
        ));
        Reply::Text(
            format!(
                "tarsops-history/1\n\
                 change 1796026924868-cb4026 a {bad} failed {bad} {bad}\n\
                 change 1796026924868-cb4026 b {intent} ok {bad} {bad}\n\
                 change 1796026924868-cb4026 c\u{9b} {intent} mark\u{9b}\u{202e} {bad} {bad}\nend\n"
            )
            .into_bytes(),
        )
    });
    assert!(harmless(&place, &["history"]));
    assert!(harmless(&place, &["history", "1796026924868-cb4026"]));
}

#[test]
fn what_a_login_says_is_shown_and_obeyed_by_nobody() {
    let place = Place::new(1, |_| Reply::Text(Vec::new()));
    std::fs::write(place.at("said"), HOSTILE.replace(['\r', '\n'], " ")).unwrap();
    let script = "#!/bin/sh\nwhile [ $# -gt 1 ]; do [ \"$1\" != -E ] || l=$2; shift; done\n\
                  cat said >\"$l\"\nexit 255\n";
    std::fs::write(place.hosts.bin().join("ssh"), script).unwrap();
    assert!(harmless(&place, &["plan"]));
    assert!(harmless(&place, &["status"]));
}

/// A server on loopback that answers each connection by what it makes of the first bytes.
fn server(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> u16 {
    server_at("127.0.0.1:0", answer)
}

fn server_at(address: &str, answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> u16 {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = std::sync::Arc::new(answer);
    std::thread::spawn(move || {
        for mut peer in listener.incoming().flatten() {
            let answer = std::sync::Arc::clone(&answer);
            std::thread::spawn(move || {
                // A server of MySQL speaks first.
                let first = answer(&[]);
                let _ = peer.write_all(&first);
                let mut bytes = vec![0; 64 << 10];
                while let Ok(n) = peer.read(&mut bytes) {
                    if n == 0 || peer.write_all(&answer(&bytes[..n])).is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

impl Place {
    /// With further lines in the spec, in the place of what stands there.
    fn spec(&self, from: &str, to: &str) {
        let path = self.at("cluster.yaml");
        let spec = std::fs::read_to_string(&path).unwrap();
        assert!(spec.contains(from));
        std::fs::write(path, spec.replace(from, to)).unwrap();
    }
}

fn quiet(asked: &Asked) -> Reply {
    Reply::Text(probe_answer(asked, &plain_lines(&asked.host)))
}

#[test]
fn what_a_console_says_is_shown_and_obeyed_by_nobody() {
    let json = serde_json::json!({
        "ret_code": 500, "err_msg": HOSTILE, "data": {"webVersion": HOSTILE, "frameworkVersion": HOSTILE},
    })
    .to_string();
    let good = serde_json::json!({"webVersion": HOSTILE, "frameworkVersion": HOSTILE}).to_string();
    let page = format!("<html><body><h1>{HOSTILE}</h1><p>{HOSTILE}</p></body></html>");
    for (number, (kind, body)) in [
        ("application/json", good),
        ("text/html", page),
        ("text/plain", HOSTILE.to_owned()),
        ("application/json", HOSTILE.to_owned()),
        ("application/json", json),
    ]
    .into_iter()
    .enumerate()
    {
        let port = server(move |asked| {
            if asked.is_empty() {
                return Vec::new();
            }
            let head = format!(
                "HTTP/1.1 200 {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                "mark",
                body.len()
            );
            [head.as_bytes(), body.as_bytes()].concat()
        });
        let place = Place::new(1, quiet);
        std::fs::write(place.at("ticket"), "t\n").unwrap();
        place.spec(
            "nodes:",
            &format!("web: {{url: 'http://127.0.0.1:{port}', ticket: {{file: ./ticket}}}}\nnodes:"),
        );
        // Words of a page that is no answer are shown as far as they are words.
        let shown = harmless(&place, &["check"]);
        assert!(shown || number > 0, "{number}");
    }
}

#[test]
fn what_a_database_says_is_shown_and_obeyed_by_nobody() {
    let port = server(|asked| {
        if !asked.is_empty() {
            return Vec::new();
        }
        // ERR packet: too many connections, in its own words.
        let mut packet = vec![0xff, 0x10, 0x04];
        packet.extend(HOSTILE.as_bytes());
        let mut all = u32::try_from(packet.len()).unwrap().to_le_bytes()[..3].to_vec();
        all.push(0);
        all.extend(packet);
        all
    });
    let place = Place::new(1, quiet);
    std::fs::write(place.at("password"), "p\n").unwrap();
    place.spec(
        "nodes:",
        &format!(
            "database: {{address: '127.0.0.1:{port}', user: tars, password: {{file: ./password}}}}\nnodes:"
        ),
    );
    for command in ["plan", "check", "status"] {
        assert!(harmless(&place, &[command]), "{command}");
    }
}

#[test]
fn what_servants_say_is_shown_and_obeyed_by_nobody() {
    use tarsops_wire::packet::{Request, Response, take_frame};
    use tarsops_wire::{Encode as _, Writer};
    // AdminRegistry's port is always this one.
    let node = "127.99.3.7";
    server_at(&format!("{node}:12000"), |asked| {
        let Ok(Some((frame, _))) = take_frame(asked, 1 << 20) else {
            return Vec::new();
        };
        let Ok(request) = Request::from_frame(frame) else {
            return Vec::new();
        };
        // An answer in words, an answer with words in the place of data, and a failure in words.
        let mut body = Writer::new();
        0i32.encode(&mut body, 0);
        HOSTILE.to_owned().encode(&mut body, 1);
        HOSTILE.to_owned().encode(&mut body, 2);
        HOSTILE.to_owned().encode(&mut body, 3);
        let ret = match request.function.as_str() {
            "tars_ping" => -99,
            _ => 0,
        };
        let mut response = Response::to(&request, ret, body.finish());
        response.description = HOSTILE.to_owned();
        response.to_frame().unwrap()
    });
    let place = Place::new(1, quiet);
    place.spec("rpc: none\n", "rpc: direct\n");
    place.spec("[10.99.0.1:17890]", &format!("['{node}:17890']"));
    place.spec(
        "{name: 10.99.0.1,",
        &format!("{{name: {node}, address: 10.99.0.1,"),
    );
    for command in ["plan", "status"] {
        assert!(harmless(&place, &[command]), "{command}");
    }
}

#[test]
fn what_specs_and_lock_files_say_is_shown_and_obeyed_by_nobody() {
    let quoted = |text: &str| {
        serde_json::to_string(text)
            .unwrap()
            .replace('\u{7f}', "\\u007f")
    };
    let place = Place::new(1, quiet);
    let spec = std::fs::read_to_string(place.at("cluster.yaml")).unwrap();
    let mut shown = 0;
    for (from, to) in [
        (
            "cluster: prod".to_owned(),
            format!("cluster: {}", quoted(HOSTILE)),
        ),
        ("rpc: none".to_owned(), format!("{}: 1", quoted(HOSTILE))),
        ("3.0.17".to_owned(), quoted(HOSTILE)),
        ("10.99.0.1,".to_owned(), format!("{},", quoted(HOSTILE))),
        ("./packages".to_owned(), quoted(HOSTILE)),
        // What YAML itself allows to stand there, and what it does not.
        (
            "rpc: none".to_owned(),
            "rpc: mark\u{202e}\u{200b}\u{2028}x".to_owned(),
        ),
        ("rpc: none".to_owned(), "rpc: mark\u{1b}[2J".to_owned()),
    ] {
        std::fs::write(place.at("cluster.yaml"), spec.replace(&from, &to)).unwrap();
        let output = place.tarsops(&["validate"]);
        assert!(!output.status.success() || to.contains("packages"), "{to}");
        shown += usize::from(harmless(&place, &["validate"]));
    }
    // Some values are never repeated, as they might be secrets.
    assert!(shown > 2, "{shown}");
    std::fs::write(place.at("cluster.yaml"), &spec).unwrap();
    shown = 0;
    for lock in [
        LOCK.replace("version: 3.0.9", &format!("version: {}", quoted(HOSTILE))),
        LOCK.replace(
            "format: tarsops.lock/1",
            &format!("format: {}", quoted(HOSTILE)),
        ),
        LOCK.replace("tarsops.lock/1", "tarsops.lock/mark\u{202e}\u{9b}"),
        LOCK.replace("component: tarsnode", "component: mark\u{202e}\u{200b}"),
    ] {
        assert_ne!(lock, LOCK);
        std::fs::write(place.at("cluster.yaml.lock"), lock).unwrap();
        shown += usize::from(harmless(&place, &["plan"]));
    }
    assert!(shown > 0, "no lock file is shown");
    let note = LOCK.replace("running before adoption: \"gw-1\"", "mark\u{202e}\u{200b}");
    assert_ne!(note, LOCK);
    std::fs::write(place.at("cluster.yaml.lock"), note).unwrap();
    assert!(harmless(&place, &["package", "ls"]));
}

#[test]
fn names_in_packages_are_shown_and_obeyed_by_nobody() {
    let place = Place::new(1, quiet);
    let folder = place.at("packages");
    std::fs::create_dir(&folder).unwrap();
    let archive = |entry: &str| {
        let mut header = [0u8; 512];
        header[..entry.len()].copy_from_slice(entry.as_bytes());
        header[100..107].copy_from_slice(b"0000755");
        header[108..115].copy_from_slice(b"0000000");
        header[116..123].copy_from_slice(b"0000000");
        header[124..135].copy_from_slice(b"00000000001");
        header[136..147].copy_from_slice(b"00000000000");
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut tar = header.to_vec();
        tar.extend([0u8; 512 * 3]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, &tar).unwrap();
        gzip.finish().unwrap()
    };
    let file = folder.join("mark\u{1b}[2J\u{202e}\nINJECTED.tgz");
    std::fs::write(&file, "no archive").unwrap();
    assert!(harmless(&place, &["package", "lock"]));
    std::fs::remove_file(&file).unwrap();
    for entry in [
        "tarsnode/../mark\u{1b}[2J\u{202e}\nINJECTED",
        "/mark\u{9b}\u{202e}\nINJECTED",
    ] {
        std::fs::write(folder.join("tarsnode.tgz"), archive(entry)).unwrap();
        assert!(harmless(&place, &["package", "lock"]), "{entry:?}");
    }
}
