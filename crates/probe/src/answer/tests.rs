#![allow(clippy::unwrap_used, reason = "tests")]

use tarsops_model::container::Engine;
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
        docker: None,
        console: None,
    }
}

fn answer(lines: &[String]) -> Result<Answer, AnswerError> {
    let mut text = "tarsops-probe/2 n\n".to_owned();
    let (mut count, mut raw) = (1, false);
    for line in lines.iter().flat_map(|lines| lines.split('\n')) {
        text.push_str(line);
        text.push('\n');
        let of_file = line.starts_with('/') && line.contains(':');
        count += usize::from(!raw && !of_file);
        raw = !line.starts_with("n ") && (raw || line.ends_with(" raw"));
    }
    text.push_str(&format!("end {count}\n"));
    read(text.as_bytes(), "n", &options(), 0)
}

/// A text as the lines that follow another one.
fn more(text: &str) -> String {
    text.lines().map(|line| format!("\n+{line}")).collect()
}

/// What a program printed.
fn raw(text: &str, status: i32) -> String {
    format!("raw\n{text}\nn {status}")
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
    let line = |n| vec![format!("{before}{}", more(&list(n)))];
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
        format!("process {i} tars - -\n/proc/{i}/cmdline:x")
    });
    many("processes of one component", PROCESSES, |i| {
        format!("server-process tarsconfig {i} tars - x")
    });
    many("tools", NAMES, |i| format!("tool t{i} 1"));
    many("staged files", NAMES, |i| format!("staged {i:064x}"));
    let with = |head: &str, i: usize, line: String| match i {
        0 => format!("{head}\n{line}"),
        _ => line,
    };
    many("components", NAMES, |i| {
        with("installed list", i, format!("has {i}"))
    });
    many("files of other users", NAMES, |i| {
        with("strangers list", i, format!("stranger {i}"))
    });
    many("network addresses", ADDRESSES, |i| {
        format!("/proc/net/if_inet6:{i:032x} 01 80 10 80 lo")
    });
    long_list("exes 1", NAMES, |i| i.to_string());
    long_list("listen proc", LISTENERS, |i| format!("0: {i:08X}:0016"));
    long_list("listen ss", LISTENERS, |i| format!("LISTEN 0 1 *:{i} *:*"));
    long_list("interfaces ip", ADDRESSES, |i| {
        std::net::Ipv4Addr::from(u32::try_from(i).unwrap()).to_string()
    });
}

#[test]
fn texts_have_a_length() {
    let long = |before: &str, most: usize| {
        let text = "x".repeat(most + 1);
        let why = answer(&[format!("{before}{text}")]).unwrap_err();
        assert!(
            matches!(why, AnswerError::TooLong { most: m, .. } if m == most),
            "{before}: {why}"
        );
        assert_eq!(why.kind(), FaultKind::TooMuch);
    };
    long("hostname ", PATH);
    long("elsewhere ", PATH);
    long("broken ls ", PATH);
    long("base untrusted ", PATH);
    long("crontab error\n+", PATH);
    long("lease 1\n+", PATH);
    long("labels\n+", PATH);
    long("restart ", PATH);
    long("installed list\nhas ", PATH);
    long("strangers list\nstranger ", PATH);
    long("interfaces ip\n+", LIST);
    long("listen ss\n+", LIST);
    long("exes 1\n+", LIST);
    long("interfaces fib\n/proc/net/fib_trie:", LIST);
    long("/etc/cron.d/x:", LIST);
    long("process 1 tars - ", PATH);
    long("/proc/1/cmdline:", LIST);
    long("tars/tarsnode/util/start.sh:", LIST);
    long("server-process tarsconfig 1 tars - ", PATH);
    let name = "x".repeat(NAME + 1);
    for line in [
        format!("user {name} 1"),
        format!("machine-id {name}"),
        format!("boot-id {name}"),
        format!("tool {name} 1"),
        format!("folder {name} 755"),
        format!("process 1 {name} - x"),
        format!("conf text 644 {name} 1"),
    ] {
        let read = answer(std::slice::from_ref(&line));
        assert!(matches!(read, Err(AnswerError::Line(_))), "{line:.20}");
    }
}

#[test]
fn a_large_file_is_unknown_and_the_host_is_not() {
    let present = "agent present".to_owned();
    let crontab = |n: usize| format!("crontab {}", raw(&"x".repeat(n), 0));
    let conf = |n: usize| {
        let text = "x".repeat(n);
        format!("conf text 644 root {n}\ntars/tarsnode/conf/tars.tarsnode.config.conf:{text}")
    };
    let Answer { host, agent, .. } =
        answer(&[present.clone(), crontab(CRONTAB), conf(FILE)]).unwrap();
    assert!(host.crontab.present().is_some());
    assert!(agent.present().unwrap().conf.present().is_some());
    let Answer { host, agent, .. } =
        answer(&[present, crontab(CRONTAB + 1), conf(FILE + 1)]).unwrap();
    assert_eq!(host.crontab.unknown(), Some("it is larger than 256 KiB"));
    let conf = &agent.present().unwrap().conf;
    assert_eq!(conf.unknown(), Some("it is larger than 64 KiB"));
}

#[test]
fn files_are_read_as_they_are() {
    let read = |size: usize, lines: &[&str]| {
        let mut all = vec!["agent present".to_owned()];
        all.push(format!("util stop.sh text 755 tars {size}"));
        all.extend(
            lines
                .iter()
                .map(|l| format!("tars/tarsnode/util/stop.sh:{l}")),
        );
        let Answer { agent, .. } = answer(&all).unwrap();
        agent.present().unwrap().util["stop.sh"].clone()
    };
    let text = |size, lines: &[&str]| read(size, lines).present().map(|f| f.text.clone());
    assert_eq!(text(0, &[]).as_deref(), Some(""));
    assert_eq!(text(1, &[""]).as_deref(), Some("\n"));
    // The last line may have no end.
    assert_eq!(text(4, &["a", "b "]).as_deref(), Some("a\nb "));
    assert_eq!(text(6, &["a", "b \r"]).as_deref(), Some("a\nb \r\n"));
    // It changed meanwhile, or it has zero bytes, which no shell keeps.
    for (size, lines) in [(4, &["a"][..]), (0, &["a"]), (9, &[]), (1, &["a", "b"])] {
        let why = Some("it changed while it was read, or it is no text");
        assert_eq!(read(size, lines).unknown(), why, "{size} {lines:?}");
    }
}

#[test]
fn what_a_program_printed_is_no_line_of_ours() {
    let text = "fence 1796026924868-cb4026\n+x\nend 3\nn\n\nnn 0\n/proc/1/cmdline:x\n";
    let host = answer(&[format!("crontab {}", raw(text, 0)), "base 1".to_owned()])
        .unwrap()
        .host;
    assert_eq!(host.crontab, Observed::Present(text.to_owned()));
    assert_eq!(host.fence, None);
    // An end in the middle of it is none.
    for cut in [
        "crontab raw\n* * * * * true\n",
        "crontab raw\nx\nn\n",
        "crontab raw\nx\nn y\n",
    ] {
        let text = format!("tarsops-probe/2 n\n{cut}end 2\n");
        let read = read(text.as_bytes(), "n", &options(), 0);
        assert!(matches!(read, Err(AnswerError::CutOff)), "{cut:?}");
    }
}

#[test]
fn crontabs_are_read_as_they_are() {
    let read = |lines: &[String]| answer(lines).unwrap().host;
    let line = |text: &str| format!("crontab {}", raw(text, 0));
    // A last line without an end has one once anybody changes it.
    let host = read(&[line("MAILTO=x\n0 3 * * * true")]);
    let text = "MAILTO=x\n0 3 * * * true\n".to_owned();
    assert_eq!(host.crontab, Observed::Present(text));
    assert_eq!(read(&[line("")]).crontab, Observed::Present(String::new()));
    let failed = format!("crontab {}", raw("half of it", 1));
    let host = read(&[failed.clone(), "crontab absent".to_owned()]);
    assert_eq!(host.crontab, Observed::Absent);
    let said = "\n+You (tars) are not allowed to use this program (crontab)\n\
        +See crontab(1) for more information";
    let host = read(&[failed, format!("crontab error{said}")]);
    assert_eq!(
        host.crontab.unknown(),
        Some("You (tars) are not allowed to use this program (crontab)")
    );
    let system = "SHELL=/bin/sh\n17 * * * * root cd / && monitor.sh a\n# a b c d check.sh f g\nA = b c d e f g\n";
    let lines = system.lines().map(|l| format!("/etc/cron.d/x:{l}"));
    let root = "# other\nA=b\n* * * * * x\n* * * * * check.sh\n";
    let host = read(
        &lines
            .chain([format!("other-crontab {}", raw(root, 0))])
            .collect::<Vec<_>>(),
    );
    let texts: Vec<&str> = host.other_crontabs.values().map(String::as_str).collect();
    let system =
        "SHELL=/bin/sh\n17 * * * * cd / && monitor.sh a\n# a b c d check.sh f g\nA = b c d e f g\n";
    assert_eq!(texts, [system, "A=b\n* * * * * check.sh\n"]);
    // Where none starts the monitor there is nothing to know.
    let other = [
        "/etc/crontab:A=b".to_owned(),
        format!("other-crontab {}", raw("A=b", 0)),
    ];
    assert!(read(&other).other_crontabs.is_empty());
    let host = read(&[line("MAILTO=x\\r\n0 3 * * * a\\rb\r\n1 3 * * * true\\r")]);
    let text = "MAILTO=x\r\n0 3 * * * a\\rb\r\n1 3 * * * true\r\n".to_owned();
    assert_eq!(host.crontab, Observed::Present(text));
}

#[test]
fn programs_that_do_not_work_make_all_of_it_unknown() {
    let Answer {
        host,
        agent,
        servers,
        ..
    } = answer(&[
        "agent present".to_owned(),
        "server tarsconfig absent".to_owned(),
        "processes all".to_owned(),
        "broken ls ls: error while loading".to_owned(),
        "broken stat ".to_owned(),
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
        "util ../../../etc/x text 644 root 1".to_owned(),
        "tars/tarsnode/util/../../../etc/x:x".to_owned(),
        "util start.sh text 644 root 1".to_owned(),
    ];
    let Answer { agent, .. } = answer(&lines).unwrap();
    let names: Vec<&String> = agent.present().unwrap().util.keys().collect();
    assert_eq!(names, ["start.sh"]);
}

#[test]
fn no_clock_and_no_line_of_blanks_is_the_end_of_us() {
    assert!(answer(&[format!("clock {}", i64::MAX)]).is_ok());
    let early = read(
        format!("tarsops-probe/2 n\nclock {}\nend 2\n", i64::MIN).as_bytes(),
        "n",
        &options(),
        1,
    );
    assert!(matches!(early, Err(AnswerError::Line(_))));
    assert!(answer(&[" ".repeat(1 << 20)]).is_ok());
}

#[test]
fn states_of_an_engine_are_told_apart() {
    let engine = |word: &str| {
        let lines = ["docker /s".to_owned(), format!("engine {word}")];
        let docker = answer(&lines).unwrap().host.docker.unwrap();
        assert!(docker.containers.unknown().is_some());
        docker.engine
    };
    assert_eq!(engine("no-program"), Engine::NoProgram);
    assert_eq!(engine("no-socket"), Engine::NoSocket);
    assert_eq!(engine("not-allowed"), Engine::NotAllowed);
    let why = "a b".to_owned();
    assert_eq!(engine("silent a b"), Engine::Silent { why });
    assert!(answer(&["docker /s".to_owned(), "engine odd".to_owned()]).is_err());
    // One that answers and gave no list is no proof of anything.
    assert_eq!(engine("answers"), Engine::Answers);
}
