//! Specs that are wrong: one for each rule, with the exact message.
//!
//! `UPDATE_FIXTURES=1 cargo test -p tarsops-spec` writes the messages again; read the difference.

use std::collections::BTreeSet;

use tarsops_model::component::Component;

use super::support::{GOOD, base, folder, on_cpu, said, specs};
use super::{Diagnostics, Rule, Severity, parse};

const FOLDER: &str = "fixtures/specs/invalid";

/// A file may have several variants: `code--what-is-special.yaml`.
fn code(name: &str) -> &str {
    name.split("--").next().unwrap()
}

fn read(name: &str, text: &str) -> Diagnostics {
    let file = format!("{name}.yaml");
    let padded = format!("{text}{}", "# more of the same\n".repeat(500_000));
    let text = if name == "too-large" { &padded } else { text };
    let parsed = match parse(text, &file) {
        Ok(parsed) => parsed,
        Err(said) => return said,
    };
    match parsed.lower(&base()) {
        Err(said) => said,
        Ok((_, warnings)) if !warnings.is_empty() => warnings,
        Ok((desired, _)) => {
            let there = BTreeSet::from([
                (Component::Tarsnode, "3.0.16".parse().unwrap()),
                (Component::Tarsnode, "3.0.17".parse().unwrap()),
            ]);
            let severity = Rule::VersionWithoutPackage.severity();
            parsed.check_packages(&desired, &there, &[Component::Tarsnode], severity)
        }
    }
}

#[test]
fn every_rule_says_exactly_what_is_expected() {
    let update = std::env::var_os("UPDATE_FIXTURES").is_some();
    let mut wrong = Vec::new();
    for (name, text) in specs(FOLDER) {
        let said = read(&name, &text);
        let found: BTreeSet<&str> = said.iter().map(|d| d.code.code()).collect();
        assert!(found.contains(code(&name)), "{name} breaks {found:?}");
        let shown = format!("{said}\n");
        assert!(!shown.contains("hunter2"), "{name} shows the secret");
        let path = folder(FOLDER).join(format!("{name}.txt"));
        if update {
            std::fs::write(&path, &shown).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != shown {
            wrong.push(format!("{name}:\n{shown}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "these say something else (UPDATE_FIXTURES=1 accepts it):\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_rule_has_a_fixture_of_its_own() {
    let names = specs(FOLDER);
    let have: BTreeSet<&str> = names.iter().map(|(n, _)| code(n)).collect();
    let want: BTreeSet<&str> = Rule::ALL.iter().map(|r| r.code()).collect();
    assert_eq!(have, want);
    assert_eq!(want.len(), Rule::ALL.len(), "two rules have one name");
    for (name, text) in names.iter().filter(|(n, _)| !n.contains("--")) {
        let said = read(name, text);
        let others: Vec<&str> = said
            .iter()
            .map(|d| d.code.code())
            .filter(|c| c != name)
            .collect();
        assert!(others.is_empty(), "{name} breaks {others:?} as well");
    }
}

#[test]
fn no_message_is_left_without_its_expected_text_or_spec() {
    for entry in std::fs::read_dir(folder(FOLDER)).unwrap() {
        let path = entry.unwrap().path();
        let pair = ["yaml", "txt"].map(|e| path.with_extension(e));
        assert!(pair.iter().all(|p| p.exists()), "{}", path.display());
    }
}

#[test]
fn messages_follow_the_house_style() {
    for (name, text) in specs(FOLDER) {
        for d in &read(&name, &text) {
            let first = d.message.chars().next().unwrap();
            assert!(!first.is_uppercase(), "{name}: {}", d.message);
            assert!(!d.message.ends_with('.'), "{name}: {}", d.message);
            assert!(d.help.is_some(), "{name} names no next step");
            assert_eq!(d.severity, d.code.severity());
            assert!(d.span.line >= 1 && d.span.column >= 1);
        }
    }
}

#[test]
fn all_mistakes_are_named_at_once() {
    let text = "\
schema: tarsops/v1
cluster: a b
rebuild: yes
framework: {version: x, packages: ./p, color: red}
registry: {endpoints: []}
nodes:
  - {nam: 10.0.0.1}
rollout: {settle: 3}
";
    let said = said(text);
    let codes: Vec<&str> = said.iter().map(|d| d.code.code()).collect();
    assert_eq!(
        codes,
        [
            "invalid-name",
            "rebuild-refused",
            "invalid-version",
            "unknown-key",
            "empty-list",
            "unknown-key",
            "invalid-duration",
        ]
    );
}

#[test]
fn every_wish_for_a_rebuild_is_refused() {
    for value in [
        "true",
        "yes",
        "always",
        "force",
        "1",
        "[never]",
        "{never: true}",
        "Never",
        "",
        "~",
    ] {
        let text = format!("{GOOD}rebuild: {value}\n");
        let said = said(&text);
        let codes: Vec<&str> = said.iter().map(|d| d.code.code()).collect();
        assert_eq!(codes, ["rebuild-refused"], "{value}");
    }
    for key in ["REBUILD", "Rebuild", "rebuild_db", "force-rebuild"] {
        let said = said(&format!("{GOOD}{key}: false\n"));
        assert!(said.iter().all(|d| d.code == Rule::RebuildRefused), "{key}");
    }
    for value in ["never", "bootstrap", "\"never\""] {
        assert!(said(&format!("{GOOD}rebuild: {value}\n")).is_empty());
    }
}

#[test]
fn no_form_of_a_written_secret_is_repeated() {
    let forms = [
        "password: hunter2",
        "password: \"hunter2\"",
        "password: 'hun''ter2 hunter2'",
        "password: |\n    hunter2\n    hunter2",
        "password:\n    hunter2",
        "password:\n    - hunter2",
        "password: [hunter2]",
        "password: {value: hunter2}",
        "password: {env: \"hunter2!\"}",
        "password: {env: A, plain: hunter2}",
        "password: {file: [hunter2]}",
        "Password: hunter2",
        "passwrd: hunter2",
        "db_pwd: hunter2",
        "token: hunter2",
        "password: &a hunter2",
        "password: !!str hunter2",
        "password: \"hunter2",
        "password: [hunter2",
        "password: hunter2: hunter2",
        "\"password\" : hunter2: x",
        "password: >\n    hunter2\n\tx",
        "user: a, password: hunter2: x",
        "address: \"mysql://root:hunter2@10.0.0.9\"",
        "password：hunter2",
        "password： hunter2",
        "password:\u{a0}hunter2",
        "pаssword: hunter2",
        "pass\u{200b}word: hunter2",
        "pass\u{200b}word: hun\u{200b}ter2 hunter2",
        "password: [hunter2]\n  х：y",
    ];
    for form in forms {
        let text = format!("{GOOD}database:\n  {form}\n");
        let said = said(&text);
        assert!(said.has_errors(), "{form} is accepted");
        let json = serde_json::to_string(&said).unwrap();
        for shown in [
            said.render(false),
            said.render(true),
            json,
            format!("{said:?}"),
        ] {
            assert!(!shown.contains("hunter2"), "{form} is repeated in {shown}");
        }
    }
}

#[test]
fn byte_order_mark_and_line_ends_are_no_mistake() {
    assert!(said(&format!("\u{feff}{GOOD}")).is_empty());
    assert!(said(&GOOD.replace('\n', "\r\n")).is_empty());
    assert!(said(&format!("---\n{GOOD}...\n")).is_empty());
    let text = format!("\u{feff}{GOOD}monitor: crn\n").replace('\n', "\r\n");
    let said = said(&text);
    let d = said.iter().next().unwrap();
    assert_eq!((d.span.line, d.span.column), (7, 10));
    assert_eq!(d.span.source, "monitor: crn");
}

/// Chinese, Cyrillic and the like are no mistake where any text may stand.
#[test]
fn other_alphabets_are_odd_only_where_they_pass_for_latin() {
    let with = |line: &str| said(&format!("{GOOD}{line}\n"));
    for line in [
        "# о：\u{200b}",
        "overrides: {10.0.0.1: {reason: 换磁盘，明天：о}} # \u{a0}",
        "overrides: {10.0.0.1: {reason: \"👩\u{200d}🔧 – «сo»\"}}",
        "ssh: {identity: ./ключи/о, config: 配置（新）}",
    ] {
        let said = with(line);
        assert!(
            said.iter().all(|d| d.code != Rule::OddCharacter),
            "{line}\n{said}"
        );
    }
    // The parser's complaint stays where no odd character explains it.
    let both = with("overrides: {10.0.0.1: {reason: 换磁盘，明天}\n");
    assert!(both.iter().all(|d| d.code == Rule::YamlSyntax), "{both}");
    let later = with("monitor: [\nrollout: {}\n# x\n");
    assert!(later.iter().all(|d| d.code == Rule::YamlSyntax), "{later}");
}

/// Each is named once a line, with its code point, on its own line.
#[test]
fn odd_characters_are_named_on_their_lines() {
    for (odd, code) in [
        ('\u{200b}', "U+200B"),
        ('\u{feff}', "U+FEFF"),
        ('\u{ad}', "U+00AD"),
        ('\u{2060}', "U+2060"),
        ('\u{a0}', "U+00A0"),
        ('\u{3000}', "U+3000"),
        ('\u{441}', "U+0441"),
        ('\u{3bf}', "U+03BF"),
        ('\u{2013}', "U+2013"),
        ('\u{ff0e}', "U+FF0E"),
    ] {
        for line in [format!("moni{odd}tor: cron"), format!("monitor: cr{odd}on")] {
            let said = said(&format!("{GOOD}{line}\nrollout: {{canary: 1}}\n"));
            let found: Vec<_> = said.iter().map(|d| (d.code, d.span.line)).collect();
            assert_eq!(found, [(Rule::OddCharacter, 7)], "{line}\n{said}");
            assert!(said.to_string().contains(code), "{line}\n{said}");
        }
    }
}

#[test]
fn columns_count_characters() {
    let text = format!("{GOOD}overrides: {{10.0.0.1: {{reason: 换磁盘, state: gon}}}}\n");
    let said = said(&text);
    let d = said.iter().next().unwrap();
    assert_eq!((d.span.line, d.span.column), (7, 44));
    assert_eq!(
        &d.span.source[d.span.offset..d.span.offset + d.span.length],
        "gon"
    );
}

#[test]
fn bombs_are_refused_quickly() {
    let mut aliases = String::from("a0: &a0 [x, x]\n");
    for i in 1..60 {
        aliases.push_str(&format!("a{i}: &a{i} [*a{}, *a{}]\n", i - 1, i - 1));
    }
    let texts = [
        aliases,
        "[".repeat(200_000),
        "{".repeat(200_000),
        "- ".repeat(200_000),
        "? ".repeat(200_000),
        "a: ".repeat(100_000),
        "\"".repeat(100_001),
        format!("{GOOD}overrides: {{{}}}", "a: {}, ".repeat(20_000)),
        format!("{GOOD}x: \"[1-9]{}\"\n", "[1-9]".repeat(1000)),
    ];
    for text in texts {
        let before = on_cpu();
        assert!(said(&text).has_errors());
        let cost = on_cpu() - before;
        let head: String = text.chars().take(20).collect();
        assert!(cost.as_secs() < 20, "{head} takes {cost:?}");
    }
}

#[test]
fn warnings_do_not_make_a_spec_invalid() {
    let warnings: Vec<&Rule> = Rule::ALL
        .iter()
        .filter(|r| r.severity() == Severity::Warning)
        .collect();
    assert_eq!(warnings.len(), 4);
    for (name, text) in specs(FOLDER) {
        let said = read(&name, &text);
        let warning = warnings.iter().any(|r| r.code() == code(&name));
        assert_eq!(said.has_errors(), !warning, "{name}");
    }
}

#[test]
fn diagnostics_become_json() {
    let said = said(&GOOD.replace("3.0.17", "latest"));
    let json = serde_json::to_value(&said).unwrap();
    assert_eq!(
        json,
        serde_json::json!([{
            "severity": "error",
            "code": "invalid-version",
            "message": "`latest` is not a valid version: it is not three numbers joined by dots",
            "file": "cluster.yaml",
            "line": 3,
            "column": 22,
            "source": "framework: {version: latest, packages: ./packages}",
            "offset": 21,
            "length": 6,
            "help": "write three numbers joined by dots, as in `3.0.17`",
        }])
    );
}
