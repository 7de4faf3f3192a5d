//! What a change looks for before it begins: whether it comes too late, and whether it could start again
//! what it stops.

use std::fs;

use tarsops_model::names::RunId;

use super::super::{Expiry, Mode, change, launch, wait};
use super::launching::{said, start, word};
use super::world::{Kept, Kind, World};

fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    text.trim().to_owned()
}

/// Hundredths of a second since this machine was started.
fn uptime() -> u64 {
    let text = fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number of seconds"
    )]
    let hundredths = (seconds * 100.0) as u64;
    hundredths
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files_below(&path));
        }
        out.push(path);
    }
    out
}

#[test]
fn a_launch_that_comes_too_late_makes_nothing() {
    let late = [
        ("its moment has passed", boot_id(), uptime() - 1),
        (
            "the host was started again",
            "another".to_owned(),
            u64::MAX >> 8,
        ),
    ];
    for (why, boot_id, uptime) in late {
        let world = World::new(Kind::Upgrade, "dash");
        let expires = Expiry { boot_id, uptime };
        let (place, run) = (world.place(), RunId::from_parts(1, 1));
        let mut what = world.launch_of(&place, &run, 0);
        what.expires = Some(expires);
        let before = files_below(&world.path("app"));
        let ended = said(start(&world, &launch(&what)));
        assert_eq!(word(&ended), "late", "{why}: {ended:?}");
        assert_eq!(files_below(&world.path("app")), before, "{why}");
        assert_eq!(world.sound(), Ok(Kept::Old), "{why}");
        let again = said(start(&world, &wait(&place, &run, "change", Mode::Wait)));
        assert_eq!(word(&again), "unknown", "{why}: {again:?}");
    }
}

#[test]
fn a_launch_in_time_begins() {
    let world = World::new(Kind::Upgrade, "dash");
    world.stage();
    let expires = Expiry {
        boot_id: boot_id(),
        uptime: uptime() + 6000,
    };
    let (place, run) = (world.place(), RunId::from_parts(1, 1));
    let mut what = world.launch_of(&place, &run, 0);
    what.expires = Some(expires);
    let ended = said(start(&world, &launch(&what)));
    assert_eq!(word(&ended), "ok", "{ended:?}");
    assert_eq!(world.sound(), Ok(Kept::New));
}

/// The script itself looks again: it may have been held up after it was put there.
#[test]
fn a_change_that_begins_too_late_refuses() {
    let world = World::new(Kind::Upgrade, "dash");
    let folder = world.lay_out(&RunId::from_parts(1, 1), &change());
    fs::write(
        folder.join("expires"),
        format!("{} {}\n", boot_id(), uptime() - 1),
    )
    .unwrap();
    world.run(&folder.join("change.sh"), "act", &[]);
    let verdict = fs::read_to_string(folder.join("verdict")).unwrap();
    assert!(verdict.starts_with("late\n"), "{verdict}");
    assert_eq!(world.sound(), Ok(Kept::Old));
}

#[test]
fn nothing_is_stopped_that_could_not_be_started_again() {
    type Breaks = fn(&World, &std::path::Path);
    let ways: [(&str, Breaks); 2] = [
        ("does not exist here", |_, folder| {
            let env = folder.join("env");
            let text = fs::read_to_string(&env).unwrap();
            fs::write(env, format!("{text}T_USER='no-such-user'\nT_OWN=0\n")).unwrap();
        }),
        ("no util/start.sh", |world, folder| {
            fs::remove_file(world.path("app/tars/tarsnode/util/start.sh")).unwrap();
            let files = folder.join("files");
            let text = fs::read_to_string(&files).unwrap();
            let rest: Vec<&str> = text.lines().filter(|l| !l.ends_with("start.sh")).collect();
            fs::write(files, format!("{}\n", rest.join("\n"))).unwrap();
        }),
    ];
    for (why, breaks) in ways {
        let world = World::new(Kind::Upgrade, "dash");
        let folder = world.lay_out(&RunId::from_parts(1, 1), &change());
        breaks(&world, &folder);
        let before = world.agents(false);
        world.run(&folder.join("change.sh"), "act", &[]);
        let verdict = fs::read_to_string(folder.join("verdict")).unwrap();
        assert!(verdict.starts_with("refused\n"), "{verdict}");
        assert!(verdict.contains(why), "{verdict}");
        assert_eq!(world.agents(false), before, "{why}");
    }
}
