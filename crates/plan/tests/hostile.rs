//! Whatever a plan holds, nothing that is shown of it is obeyed by a terminal, hides, or looks like a
//! line of ours.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use proptest::prelude::*;
use serde_json::Value;
use support::damage::worlds;
use support::framework::babel;
use tarsops_model::display::{self, is_harmless};
use tarsops_plan::plan::Plan;
use tarsops_plan::render::{self, Style};

const BENIGN: &str = "benign";
/// One of each kind: escapes, C1, an end of line with a summary of ours behind it, marks of direction,
/// what cannot be seen, tags, separators.
const HOSTILE: &str = "benign\x1b[2J\x1b]0;title\x07\u{9b}31m\r\n\nPlan: 0 to add\0\x7f\u{85}\u{202e}\u{2066}\
                       \u{200f}\u{61c}\u{200b}\u{200d}\u{2060}\u{feff}\u{2028}\u{2029}\u{e0041}\u{fff9}";

/// The places of all texts below a value.
fn texts(value: &Value, place: String, out: &mut Vec<String>) {
    match value {
        Value::String(_) => out.push(place),
        Value::Array(all) => {
            for (number, one) in all.iter().enumerate() {
                texts(one, format!("{place}/{number}"), out);
            }
        }
        Value::Object(all) => {
            for (key, one) in all {
                let key = key.replace('~', "~0").replace('/', "~1");
                texts(one, format!("{place}/{key}"), out);
            }
        }
        _ => {}
    }
}

/// The plan with another text at each of some places, where such a plan can be: many texts are names
/// of a checked type, and no other gets into one.
fn altered(plan: &Value, places: &[&String], text: &str) -> Option<Plan> {
    let mut plan = plan.clone();
    for place in places {
        *plan.pointer_mut(place)? = Value::String(text.to_owned());
    }
    serde_json::from_value(plan).ok()
}

/// Our own colours, taken out.
fn without_colours(text: &str) -> String {
    ["\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[35m", "\x1b[0m"]
        .iter()
        .fold(text.to_owned(), |text, mark| text.replace(mark, ""))
}

/// Shows a plan in each way; the lines that each has.
fn shown(plan: &Plan) -> Result<Vec<usize>, TestCaseError> {
    let mut lines = Vec::new();
    for (verbose, color) in [(false, false), (true, false), (false, true), (true, true)] {
        let text = render::text(plan, Style { verbose, color });
        let text = if color {
            without_colours(&text)
        } else {
            text.to_string()
        };
        let bad = text.chars().find(|c| *c != '\n' && !is_harmless(*c));
        prop_assert!(bad.is_none(), "{bad:?} in {text}");
        lines.push(text.lines().count());
    }
    let json = plan.to_json().unwrap();
    let safe = display::json(&json);
    let bad = safe.chars().find(|c| *c != '\n' && !is_harmless(*c));
    prop_assert!(bad.is_none(), "{bad:?} in the document");
    let data = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    prop_assert_eq!(data(&safe), data(&json));
    Ok(lines)
}

/// Puts hostile text into each free text of a plan, alone; gives how many there are.
fn attack(plan: &Plan) -> Result<usize, TestCaseError> {
    let json = serde_json::to_value(plan).unwrap();
    let mut places = Vec::new();
    texts(&json, String::new(), &mut places);
    let mut free = Vec::new();
    for place in &places {
        let Some(hostile) = altered(&json, &[place], HOSTILE) else {
            continue;
        };
        // What a step does with a host is not shown; one text of it speaks for all.
        if place.contains("/action/") && free.iter().any(|f: &&String| f.contains("/action/")) {
            continue;
        }
        free.push(place);
        let lines = shown(&hostile)?;
        // Where it may have lines of its own, they are set in.
        if !place.ends_with("/diff")
            && let Some(benign) = altered(&json, &[place], BENIGN)
        {
            prop_assert_eq!(lines, shown(&benign)?, "{}", place);
        }
    }
    if let Some(all) = altered(&json, &free, HOSTILE) {
        shown(&all)?;
    }
    Ok(free.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn no_text_of_a_plan_is_obeyed(world in worlds(), speaking in babel()) {
        attack(&world.plan())?;
        attack(&speaking.plan())?;
    }
}

#[test]
fn free_texts_are_found() {
    let mut world = support::World::new(2);
    world
        .agents()
        .for_each(|a| a.version = support::version("3.0.18"));
    assert!(attack(&world.plan()).unwrap() > 5);
}
