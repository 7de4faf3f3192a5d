//! What `--on` means.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::World;
use tarsops_model::component::Component;
use tarsops_plan::Scope;

fn parse(w: &World, on: &str) -> Result<Scope, String> {
    Scope::parse(&[on.to_owned()], &w.desired).map_err(|e| e.to_string())
}

fn nodes(w: &World, on: &str) -> Vec<String> {
    let scope = parse(w, on).unwrap();
    scope.nodes.iter().map(ToString::to_string).collect()
}

fn world() -> World {
    let mut w = World::new(4);
    w.spec(2).labels.insert("idc".into(), "sz".into());
    w
}

#[test]
fn a_word_after_an_exclamation_mark_takes_away() {
    let w = world();
    let all = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
    for (on, left) in [
        ("!10.0.0.2", vec![all[0], all[2], all[3]]),
        ("!10.0.0.[23]", vec![all[0], all[3]]),
        ("!@idc=sz", vec![all[0], all[1], all[3]]),
        ("10.0.0.*,!10.0.0.4,!@idc", vec![all[0], all[1]]),
        // The order of the words does not matter.
        ("!10.0.0.4,10.0.0.[34]", vec![all[2]]),
    ] {
        assert_eq!(nodes(&w, on), left, "{on}");
        // What a saved plan has of it means the same.
        let scope = parse(&w, on).unwrap();
        assert_eq!(Scope::parse(&scope.words(), &w.desired).unwrap(), scope);
    }
    let scope = parse(&w, "!tarslog,!tarsnode").unwrap();
    assert!(scope.nodes.is_empty());
    assert!(scope.has_component(Component::Tarsconfig));
    assert!(!scope.has_component(Component::Tarslog) && !scope.has_component(Component::Tarsnode));
}

/// An empty set would mean everything, so it is refused; and so is a word that fits nothing, which may
/// be misspelt.
#[test]
fn what_leaves_nothing_or_fits_nothing_is_refused() {
    let w = world();
    for on in [
        "!*",
        "10.0.0.1,!10.0.0.1",
        "!10.0.0.[1-4]",
        "tarslog,!tarslog",
    ] {
        let why = parse(&w, on).unwrap_err();
        assert!(why.contains("leave no"), "{on}: {why}");
    }
    for on in [
        "!gw-*",
        "!nowhere",
        "!",
        "!!10.0.0.1",
        "!@idc=bj",
        "10.0.0.1,!10.0.0.9",
    ] {
        let why = parse(&w, on).unwrap_err();
        assert!(why.contains("is no node"), "{on}: {why}");
    }
    assert!(parse(&w, "![").unwrap_err().contains("not a pattern"));
}

/// A word that names again what another one named is no mistake.
#[test]
fn words_may_overlap() {
    let w = world();
    assert_eq!(nodes(&w, "10.0.0.1,10.0.0.*").len(), 4);
    assert_eq!(nodes(&w, "10.0.0.*,10.0.0.1").len(), 4);
}
