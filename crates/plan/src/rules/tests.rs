#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use tarsops_model::observed::Observed;

use super::check::{Outcome, checks};
use super::*;
use crate::render::{self, Style};
use crate::support::framework::{database, world};
use crate::support::{self, name};

#[test]
fn every_line_of_the_registration_says_what_it_is() {
    let mut names = BTreeSet::new();
    for (name, _, meaning) in documentation() {
        assert!(names.insert(name), "{name} is there twice");
        let is_word = |word: &str| {
            !word.is_empty()
                && word
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        assert!(name.split('-').all(is_word), "{name}");
        assert!(!meaning.is_empty() && !meaning.contains('|'), "{name}");
    }
    for rule in rules() {
        assert!(!rule.healthy.is_empty(), "{}", rule.name);
        assert!(!rule.sources.is_empty(), "{}", rule.name);
        assert_eq!(rule.name.text().parse(), Ok(rule.name));
        let json = serde_json::to_string(&rule.name).unwrap();
        assert_eq!(json, format!("\"{}\"", rule.name));
        assert_eq!(serde_json::from_str::<RuleName>(&json).unwrap(), rule.name);
    }
    let error = serde_json::from_str::<RuleName>("\"no-such-rule\"").unwrap_err();
    assert!(error.to_string().contains("no finding `no-such-rule`"));
}

/// A rule is its file and its line in the registration: `test_only` is in no third place.
#[test]
fn a_rule_of_two_places_is_everywhere() {
    let name: RuleName = "test-only".parse().unwrap();
    let line = |world: &support::World| {
        let all = checks(&world.input());
        all.into_iter().find(|c| c.check == "test-only").unwrap()
    };
    let mut world = world(4);
    assert_eq!(line(&world).result, Outcome::Ok);
    assert_eq!(line(&world).text, test_only::RULE.healthy);
    database(&mut world).server = "test-only".to_owned();
    assert_eq!(line(&world).result, Outcome::Warning);
    let found = findings(&world.input());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name, name);
    let text = render::text(&world.plan(), Style::default());
    assert!(text.contains(&found[0].text), "{text}");
    assert!(text.contains("test-only"), "{text}");
    assert!(documentation().any(|(n, ..)| n == "test-only"));
    // Its scope and its source are judged as those of any rule.
    world.scope.nodes.insert(support::name("10.0.0.3"));
    assert_eq!(line(&world).result, Outcome::Skipped);
    assert!(findings(&world.input()).is_empty());
    world.scope.nodes.clear();
    let framework = world.inventory.framework.as_mut().unwrap();
    framework.database = Observed::Unknown("no answer".to_owned());
    assert_eq!(line(&world).result, Outcome::Unknown);
}

/// What one host under a taken nodeid costs does not grow with the number of the others.
#[test]
fn many_hosts_under_one_nodeid_are_few_words_each() {
    let size = |nodes: usize| {
        let mut world = support::World::new(nodes);
        for i in 1..nodes {
            world.process(i).nodeid = Some(world.node(0).to_string());
        }
        let found = findings(&world.input());
        assert_eq!(found.len(), nodes - 1);
        found
            .iter()
            .map(|f| serde_json::to_string(f).unwrap().len())
            .max()
            .unwrap()
    };
    let (few, many) = (size(12), size(3000));
    assert!(many < few + 100, "{few} bytes of 12 hosts, {many} of 3000");
    let mut world = support::World::new(14);
    for i in 1..14 {
        world.process(i).nodeid = Some(world.node(0).to_string());
    }
    let found = findings(&world.input());
    let is_last = |f: &&Finding| f.resource == ResourceId::Agent(name("10.0.0.14"));
    let last = found.iter().find(is_last).unwrap();
    // As text, the names from 10.0.0.7 on come last.
    assert!(last.text.contains("10.0.0.6 and 3 more"), "{}", last.text);
    assert_eq!(last.sources.len(), 12);
    assert!(last.sources.iter().any(|(s, _)| s == "host 10.0.0.14"));
    assert_eq!(last.sources[11].0, "3 more hosts");
    // Up to ten others are named one by one.
    let mut world = support::World::new(3);
    world.process(2).nodeid = Some(world.node(0).to_string());
    let found = findings(&world.input());
    assert!(
        found[0].text.contains("so does 10.0.0.1:"),
        "{}",
        found[0].text
    );
    assert_eq!(found[0].sources.len(), 2);
}
