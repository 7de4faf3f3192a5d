#![allow(clippy::unwrap_used, reason = "tests")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tarsops_model::observed::Observed;
use tarsops_transport::FaultKind;

use super::{Answer, AnswerError, read};
use crate::Options;
use crate::limits::{ADDRESSES, CRONTAB, FILE, LIST, LISTENERS, NAME, NAMES, PATH, PROCESSES};

fn options() -> Options {
    Options {
        cluster: "prod".parse().unwrap(),
        install_path: "/usr/local/app".parse().unwrap(),
        run_user: "tars".parse().unwrap(),
        rehash: false,
        fence: None,
        parallel: 1,
        deadline: std::time::Duration::from_secs(1),
        servers: vec![],
    }
}

fn answer(lines: &[String]) -> Result<Answer, AnswerError> {
    let mut text = "tarsops-probe/1 n\n".to_owned();
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&format!("end {}\n", lines.len() + 1));
    read(text.as_bytes(), "n", &options(), 0)
}

fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

/// Lines of a kind of which one more than `most` is refused.
fn many(what: &str, most: usize, line: impl Fn(usize) -> String) {
    let lines: Vec<String> = (0..=most).map(line).collect();
    assert!(answer(&lines[..most]).is_ok(), "{what}");
    let why = answer(&lines).unwrap_err();
    assert!(
        matches!(why, AnswerError::TooMany { most: m, .. } if m == most),
        "{what}: {why}"
    );
    assert_eq!(why.kind(), FaultKind::TooMuch);
    assert!(why.to_string().contains(&most.to_string()), "{why}");
}

/// A list in one word of which one more than `most` is refused.
fn long_list(before: &str, most: usize, entry: impl Fn(usize) -> String) {
    let list = |n: usize| (0..n).map(|i| entry(i) + "\n").collect::<String>();
    let line = |n| vec![format!("{before} {}", encoded(&list(n)))];
    assert!(answer(&line(most)).is_ok(), "{before}");
    let why = answer(&line(most + 1)).unwrap_err();
    assert!(
        matches!(why, AnswerError::TooMany { most: m, .. } if m == most),
        "{before}: {why}"
    );
}

#[test]
fn lists_have_a_length() {
    many("processes", PROCESSES, |i| {
        format!("process {i} tars - - {}", encoded("x"))
    });
    many("processes of one component", PROCESSES, |i| {
        format!("server-process tarsconfig {i} tars - {}", encoded("x"))
    });
    many("tools", NAMES, |i| format!("tool t{i} 1"));
    many("staged files", NAMES, |i| format!("staged {i:064x}"));
    long_list("installed list", NAMES, |i| i.to_string());
    long_list("exes 1", NAMES, |i| i.to_string());
    long_list("strangers", NAMES, |i| i.to_string());
    long_list("listen", LISTENERS, |i| format!("{i:08X}:0016"));
    long_list("interfaces ip", ADDRESSES, |i| {
        std::net::Ipv4Addr::from(u32::try_from(i).unwrap()).to_string()
    });
}

#[test]
fn words_have_a_length() {
    let long = |before: &str, most: usize, after: &str| {
        let word = encoded(&"x".repeat(most + 3));
        let why = answer(&[format!("{before} {word}{after}")]).unwrap_err();
        assert!(
            matches!(why, AnswerError::TooLong { most: m, .. } if m == most),
            "{before}: {why}"
        );
        assert_eq!(why.kind(), FaultKind::TooMuch);
    };
    long("hostname", PATH, "");
    long("crontab unknown error", PATH, "");
    long("lease 1", PATH, "");
    long("labels", PATH, "");
    long("restart", PATH, "");
    long("interfaces ip", LIST, "");
    long("listen", LIST, "");
    long("exes 1", LIST, "");
    long("installed list", LIST, "");
    long("strangers", LIST, "");
    long("process 1 tars -", PATH, " eA==");
    long("process 1 tars - eA==", LIST, "");
    long("server-process tarsconfig 1 tars -", PATH, "");
    let name = "x".repeat(NAME + 1);
    for line in [
        format!("user {name} 1"),
        format!("machine-id {name}"),
        format!("boot-id {name}"),
        format!("tool {name} 1"),
        format!("folder {name} 755"),
        format!("process 1 {name} - eA== eA=="),
        format!("conf text 644 {name} eA=="),
    ] {
        let read = answer(std::slice::from_ref(&line));
        assert!(matches!(read, Err(AnswerError::Line(_))), "{line:.20}");
    }
}

#[test]
fn a_large_file_is_unknown_and_the_host_is_not() {
    let present = "agent present".to_owned();
    let crontab = |n| format!("crontab text {}", encoded(&"x".repeat(n)));
    let conf = |n| format!("conf text 644 root {}", encoded(&"x".repeat(n)));
    let (host, agent, _) = answer(&[present.clone(), crontab(CRONTAB), conf(FILE)]).unwrap();
    assert!(host.crontab.present().is_some());
    assert!(agent.present().unwrap().conf.present().is_some());
    let (host, agent, _) = answer(&[present, crontab(CRONTAB + 3), conf(FILE + 3)]).unwrap();
    assert_eq!(host.crontab.unknown(), Some("it is larger than 256 KiB"));
    let conf = &agent.present().unwrap().conf;
    assert_eq!(conf.unknown(), Some("it is larger than 64 KiB"));
}

#[test]
fn crontabs_are_read_as_they_are() {
    let read = |lines: &[String]| answer(lines).unwrap().0;
    let line = |text: &str| format!("crontab text {}", encoded(text));
    // A last line without an end has one once anybody changes it.
    let host = read(&[line("MAILTO=x\n0 3 * * * true")]);
    let text = "MAILTO=x\n0 3 * * * true\n".to_owned();
    assert_eq!(host.crontab, Observed::Present(text));
    assert_eq!(read(&[line("")]).crontab, Observed::Present(String::new()));
    let said = "You (tars) are not allowed to use this program (crontab)\n\
        See crontab(1) for more information\n";
    let host = read(&[format!("crontab unknown error {}", encoded(said))]);
    assert_eq!(
        host.crontab.unknown(),
        Some("You (tars) are not allowed to use this program (crontab)")
    );
    let system = "SHELL=/bin/sh\n17 * * * * root cd / && run-parts x\n@reboot  root x y\n# a b c d e f g\nA = b c d e f g\n";
    let host = read(&[
        format!("other-crontab system {}", encoded(system)),
        format!("other-crontab root {}", encoded("* * * * * x\n")),
    ]);
    let texts: Vec<&str> = host.other_crontabs.values().map(String::as_str).collect();
    let system = "SHELL=/bin/sh\n17 * * * * cd / && run-parts x\n@reboot x y\n# a b c d e f g\nA = b c d e f g\n";
    assert_eq!(texts, [system, "* * * * * x\n"]);
    let host = read(&[line("MAILTO=x\\r\n0 3 * * * a\\rb\r\n1 3 * * * true\\r")]);
    let text = "MAILTO=x\r\n0 3 * * * a\\rb\r\n1 3 * * * true\r\n".to_owned();
    assert_eq!(host.crontab, Observed::Present(text));
}

#[test]
fn programs_that_do_not_work_make_all_of_it_unknown() {
    let said = encoded("ls: error while loading\n");
    let (host, agent, servers) = answer(&[
        "agent present".to_owned(),
        "server tarsconfig absent".to_owned(),
        "processes all".to_owned(),
        format!("broken ls {said}"),
        "broken stat -".to_owned(),
    ])
    .unwrap();
    let why = Some("its ls does not work (ls: error while loading), its stat does not work");
    assert_eq!(agent.unknown(), why);
    assert_eq!(host.components.unknown(), why);
    assert_eq!(servers[&"tarsconfig".parse().unwrap()].unknown(), why);
}

#[test]
fn names_of_scripts_are_those_that_were_asked_for() {
    let lines = [
        "agent present".to_owned(),
        "util ../../../etc/x text 644 root eA==".to_owned(),
        "util start.sh text 644 root eA==".to_owned(),
    ];
    let (_, agent, _) = answer(&lines).unwrap();
    let names: Vec<&String> = agent.present().unwrap().util.keys().collect();
    assert_eq!(names, ["start.sh"]);
}

#[test]
fn no_clock_and_no_line_of_blanks_is_the_end_of_us() {
    assert!(answer(&[format!("clock {}", i64::MAX)]).is_ok());
    let early = read(
        format!("tarsops-probe/1 n\nclock {}\nend 2\n", i64::MIN).as_bytes(),
        "n",
        &options(),
        1,
    );
    assert!(matches!(early, Err(AnswerError::Line(_))));
    assert!(answer(&[" ".repeat(1 << 20)]).is_ok());
}
