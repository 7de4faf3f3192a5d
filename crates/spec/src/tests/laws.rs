//! Laws that hold for any text.

use proptest::prelude::*;

use super::support::{GOOD, base, on_cpu, said, specs};
use super::{Base, Diagnostic, Label, Rule, Severity, Span, parse};
use crate::document::{Count, Seconds};
use crate::range::{MAX_NAMES, expand};

fn corpus() -> Vec<String> {
    ["fixtures/specs/valid", "fixtures/specs/invalid"]
        .into_iter()
        .flat_map(specs)
        .map(|(_, text)| text)
        .collect()
}

/// One random edit of a text, kept UTF-8.
#[derive(Debug, Clone)]
enum Edit {
    Remove(usize, usize),
    Insert(usize, String),
    Double(usize, usize),
    Swap(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<prop::sample::Index>().prop_map(|i| i.index(4096));
    let bits = prop_oneof![
        "[\\[\\]{}:,&*!|>%@`'\"#~ \\-\\n\\t\\r?]{1,4}",
        "\\PC{1,4}",
        Just("\u{feff}".to_owned()),
        Just("\u{0}\u{7}\u{1b}[31m".to_owned()),
        Just("\u{2028}日本\u{301}🦀".to_owned()),
        Just("rebuild: true\n".to_owned()),
        Just("password: hunter2".to_owned()),
        Just("[1-99999999999]".to_owned()),
    ];
    prop_oneof![
        (at.clone(), 1..40usize).prop_map(|(a, n)| Edit::Remove(a, n)),
        (at.clone(), bits).prop_map(|(a, s)| Edit::Insert(a, s)),
        (at.clone(), 1..60usize).prop_map(|(a, n)| Edit::Double(a, n)),
        (at.clone(), at).prop_map(|(a, b)| Edit::Swap(a, b)),
    ]
}

fn apply(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for edit in edits {
        let len = chars.len();
        let at = |i: usize| if len == 0 { 0 } else { i % len };
        match edit {
            Edit::Remove(a, n) => {
                chars.drain(at(*a)..(at(*a) + n).min(len));
            }
            Edit::Insert(a, s) => {
                let a = at(*a);
                chars.splice(a..a, s.chars());
            }
            Edit::Double(a, n) => {
                let piece = chars[at(*a)..(at(*a) + n).min(len)].to_vec();
                let a = at(*a);
                chars.splice(a..a, piece);
            }
            Edit::Swap(a, b) if len > 0 => chars.swap(at(*a), at(*b)),
            Edit::Swap(..) => {}
        }
    }
    chars.into_iter().collect()
}

/// Reads, lowers and prints; the answer must not depend on when it is asked.
fn all_of_it(text: &str) {
    let once = said(text);
    let shown = once.render(false);
    let _ = once.render(true);
    assert!(
        !shown.chars().any(|c| c.is_control() && c != '\n'),
        "{shown:?}"
    );
    let lines = text.split('\n').count();
    for d in &once {
        assert!(d.span.line <= lines);
        assert!(d.span.source.is_char_boundary(d.span.offset));
        assert!(
            d.span
                .source
                .is_char_boundary(d.span.offset + d.span.length)
        );
    }
    assert_eq!(once, said(text));
    if let Ok(parsed) = parse(text, "f") {
        assert_eq!(parsed.lower(&base()), parsed.lower(&base()));
    }
}

proptest! {
    #[test]
    fn any_text_gives_an_answer(text in "\\PC{0,200}") {
        all_of_it(&text);
    }

    #[test]
    fn any_yaml_like_text_gives_an_answer(text in "[a-z0-9:,\\[\\]{}&*!|>%@'\"#~ \\-\\n\\t?.]{0,200}") {
        all_of_it(&text);
    }

    #[test]
    fn a_damaged_spec_gives_an_answer(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec(edit(), 1..6),
    ) {
        let corpus = corpus();
        all_of_it(&apply(&corpus[which.index(corpus.len())], &edits));
    }

    #[test]
    fn a_range_is_its_numbers(from in 0u32..2000, count in 0u32..300, width in 0usize..6) {
        let to = from + count;
        let low = format!("{from:0width$}");
        let names = expand(&format!("n-[{low}-{to}].x")).unwrap();
        prop_assert_eq!(names.len(), count as usize + 1);
        // Only leading zeros ask for a width.
        let width = if low.starts_with('0') && low.len() > 1 { low.len() } else { 0 };
        for (name, n) in names.iter().zip(from..=to) {
            prop_assert_eq!(name, &format!("n-{n:0width$}.x"));
        }
    }

    #[test]
    fn lists_and_several_brackets_multiply(a in 1u32..20, b in 1u32..20) {
        let names = expand(&format!("r[1-{a}]-[{b},0-{b}]")).unwrap();
        prop_assert_eq!(names.len(), (a * (b + 2)) as usize);
        prop_assert_eq!(&names[0], &format!("r1-{b}"));
    }

    #[test]
    fn any_pattern_gives_an_answer(pattern in "[a-z0-9\\[\\],\\- ]{0,40}") {
        if let Ok(names) = expand(&pattern) {
            prop_assert!(!names.is_empty() && names.len() <= MAX_NAMES);
            prop_assert!(names.iter().all(|n| !n.contains(['[', ']'])));
        }
    }

    #[test]
    fn durations_are_sums_of_their_units(h in 0u64..100, m in 0u64..1000, s in 0u64..10_000) {
        prop_assert_eq!(format!("{h}h{m}m{s}s").parse(), Ok(Seconds(h * 3600 + m * 60 + s)));
        prop_assert_eq!(format!("{m}m").parse(), Ok(Seconds(m * 60)));
        let bare: Result<Seconds, _> = s.to_string().parse();
        prop_assert!(bare.is_err());
        let turned: Result<Seconds, _> = format!("{s}s{m}m").parse();
        prop_assert!(turned.is_err());
    }

    #[test]
    fn percentages_end_at_a_hundred(n in 0u32..1000) {
        prop_assert_eq!(format!("{n}%").parse::<Count>().is_ok(), n <= 100);
    }

    #[test]
    fn any_place_can_be_printed(
        line in prop_oneof!["\\PC{0,60}", "[a\\t\u{202e}\u{200b}\u{e0041}\u{2028}\x00-\x1f\x7f-\u{9f}]{0,60}", "[\\t 日本🦀e\u{301}\\x00-\\x1f]{0,60}", "[a-z \\t日]{1500}"],
        offset in 0usize..2000,
        length in 0usize..2000,
        number in 1usize..100_000,
        column in 1usize..3000,
        other in 0usize..50,
        color in any::<bool>(),
    ) {
        let span = |offset, length| Span { line: number, column, source: line.clone(), offset, length };
        let d = Diagnostic {
            severity: Severity::Error,
            code: Rule::WrongType,
            message: line.clone(),
            file: "cluster.yaml".into(),
            span: span(offset, length),
            related: vec![
                Label { message: "here".into(), span: span(other, length) },
                Label { message: line.clone(), span: Span { line: number + other, ..span(0, 0) } },
            ],
            help: Some(line.clone()),
        };
        let shown = d.render(color);
        prop_assert!(!shown.is_empty());
        // The colours of the renderer, and nothing else that a terminal obeys.
        let plain = tarsops_model::display::Text::with_colours(&shown);
        prop_assert_eq!(&*plain, &shown);
    }
}

#[test]
fn ranges_keep_width_and_have_limits() {
    assert_eq!(expand("gw-[01-12]").unwrap()[11], "gw-12");
    assert_eq!(
        expand("10.0.1.[1-3,7]").unwrap(),
        ["10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.7"]
    );
    assert_eq!(expand("plain").unwrap(), ["plain"]);
    assert_eq!(expand("[1-10000]").unwrap().len(), MAX_NAMES);
    for bad in [
        "[1-10001]",
        "[]",
        "[1-]",
        "[-1]",
        "[1,,2]",
        "a]",
        "[1",
        "[[1]]",
        "[0-4294967296]",
        "[1-2-3]",
    ] {
        assert!(expand(bad).is_err(), "{bad}");
    }
}

#[test]
fn without_a_home_only_what_needs_one_is_refused() {
    let nowhere = Base {
        dir: "/spec".into(),
        home: None,
        processors: 2,
    };
    assert!(parse(GOOD, "f").unwrap().lower(&nowhere).is_ok());
    let text = format!("{GOOD}ssh: {{identity: ~/.ssh/id}}\n");
    let said = parse(&text, "f").unwrap().lower(&nowhere).unwrap_err();
    let d = said.iter().next().unwrap();
    assert_eq!((d.code, d.span.line, said.len()), (Rule::InvalidPath, 7, 1));
}

#[test]
fn ten_thousand_nodes_are_read_quickly() {
    let mut text = GOOD.to_owned();
    for i in 0..40 {
        text.push_str(&format!("  - {{name: \"10.1.{i}.[1-250]\"}}\n"));
    }
    text.push_str("overrides:\n");
    for i in 0..40 {
        for j in 1..=50 {
            text.push_str(&format!(
                "  10.1.{i}.{j}: {{address: h{i}-{j}.example, ssh: {{identity: ./k}}}}\n"
            ));
        }
    }
    let before = on_cpu();
    let (desired, said) = parse(&text, "f").unwrap().lower(&base()).unwrap();
    assert!(said.is_empty());
    assert_eq!(desired.hosts().count(), 10_001);
    let cost = on_cpu() - before;
    assert!(cost.as_secs() < 10, "{cost:?}");
}
