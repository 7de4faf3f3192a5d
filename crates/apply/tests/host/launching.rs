//! The script that puts a change on its host and waits for it: twice at once, and broken off.

use std::io::Write as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use tarsops_model::names::RunId;

use super::super::{ChangeReport, Mode, history, launch, read_history, read_report, wait};
use crate::words::ChangeWord;

use super::world::{Kept, Kind, World};

pub(super) fn start(world: &World, text: &str) -> Child {
    let mut child = world
        .command("sh")
        .arg("-s")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    child
}

pub(super) fn said(child: Child) -> ChangeReport {
    let output = child.wait_with_output().unwrap();
    read_report(&output.stdout).unwrap_or_else(|| panic!("{output:?}"))
}

pub(super) fn word(said: &ChangeReport) -> &str {
    match said {
        ChangeReport::Verdict { word, .. } => word.map_or("not known", ChangeWord::as_str),
        ChangeReport::Lost { .. } => "lost",
    }
}

fn audited(world: &World) -> usize {
    let text = std::fs::read_to_string(world.path("app/.tarsops/audit.log")).unwrap();
    text.lines().count()
}

#[test]
fn two_launches_at_once_are_one_change() {
    for _ in 0..5 {
        let world = World::new(Kind::Upgrade, "dash");
        world.stage();
        let (place, run) = (world.place(), RunId::from_parts(1, 1));
        let text = launch(&world.launch_of(&place, &run, 0));
        let both = [start(&world, &text), start(&world, &text)];
        for child in both {
            let said = said(child);
            assert_eq!(word(&said), "ok", "{said:?}");
        }
        assert_eq!(world.sound(), Ok(Kept::New));
        assert_eq!(audited(&world), 1);
    }
}

#[test]
fn a_launch_that_is_broken_off_is_waited_for_by_another() {
    let world = World::new(Kind::Upgrade, "dash");
    world.stage();
    let (place, run) = (world.place(), RunId::from_parts(1, 1));
    // It settles for long enough to be waited for.
    let mut first = start(&world, &launch(&world.launch_of(&place, &run, 2)));
    std::thread::sleep(Duration::from_millis(700));
    first.kill().unwrap();
    first.wait().unwrap();
    let second = said(start(&world, &wait(&place, &run, "change", Mode::Wait)));
    assert_eq!(word(&second), "ok", "{second:?}");
    assert_eq!(world.sound(), Ok(Kept::New));
    assert_eq!(audited(&world), 1);
    // And launched once more, it is only told again.
    let third = said(start(&world, &launch(&world.launch_of(&place, &run, 2))));
    assert_eq!(word(&third), "ok");
    assert_eq!(audited(&world), 1);
}

#[test]
fn an_older_run_is_refused_after_a_newer_one() {
    let world = World::new(Kind::Upgrade, "dash");
    let (place, newer, older) = (
        world.place(),
        RunId::from_parts(9, 1),
        RunId::from_parts(3, 1),
    );
    world.stage();
    let ok = said(start(&world, &launch(&world.launch_of(&place, &newer, 0))));
    assert_eq!(word(&ok), "ok", "{ok:?}");
    world.stage();
    let late = said(start(&world, &launch(&world.launch_of(&place, &older, 0))));
    assert_eq!(word(&late), "fenced", "{late:?}");
    assert_eq!(world.sound(), Ok(Kept::New));
}

#[test]
fn damaged_records_are_told_and_not_passed_over() {
    let world = World::new(Kind::Upgrade, "dash");
    let (place, run) = (world.place(), RunId::from_parts(1, 1));
    world.stage();
    let ok = said(start(&world, &launch(&world.launch_of(&place, &run, 0))));
    assert_eq!(word(&ok), "ok", "{ok:?}");
    let told = || {
        let child = start(&world, &history(&place, 10));
        let output = child.wait_with_output().unwrap();
        let all = read_history(&output.stdout).unwrap();
        all.into_iter().map(|t| t.verdict).collect::<Vec<_>>()
    };
    assert_eq!(told(), ["ok"]);
    let verdict = world.path(&format!("app/.tarsops/runs/{run}/change/verdict"));
    for junk in [&b"\x1b[2J two words\n"[..], b"", b"\xff\xfe", b"okay\nx\n"] {
        std::fs::write(&verdict, junk).unwrap();
        assert_eq!(told(), ["damaged"], "{junk:?}");
    }
    // A damaged fence is no newer run: it is named, and nothing is changed.
    std::fs::write(world.path("app/.tarsops/fence"), b"\xff\x1b junk").unwrap();
    let newer = RunId::from_parts(2, 1);
    let refused = said(start(&world, &launch(&world.launch_of(&place, &newer, 0))));
    let ChangeReport::Verdict { word, text, .. } = refused else {
        panic!("lost");
    };
    assert_eq!(word, Some(ChangeWord::Refused));
    assert!(text.contains("fence is damaged"), "{text}");
}
