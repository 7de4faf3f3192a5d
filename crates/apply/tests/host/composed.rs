//! Every script, whole and as it is sent, under shellcheck and under each shell that hosts have.

use std::fs;
use std::process::Command;

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::{RunId, UserName};
use tarsops_probe::{DockerLook, Look, probe_script};

use super::super::{
    LeaseMode, Mode, change, guard, history, launch, lease, save_labels, save_rows, saved_rows,
    send_binary, tree, upload, wait,
};
use super::world::{Kind, World};
use crate::records::{self, Program, Unmark};
use crate::words::ChangeWord;

fn all() -> Vec<(&'static str, String)> {
    let world = World::new(Kind::Upgrade, "dash");
    let (place, run, digest) = (world.place(), RunId::from_parts(1, 1), Digest::of(b"x"));
    let user = UserName::new("tars").unwrap();
    let stat = Component::Tarsstat;
    let program = Program {
        component: stat,
        path: "tarsstat/bin/tarsstat",
        before: Some(digest),
        run_user: &user,
        marked: true,
    };
    let until = Some((stat, Unmark::Until(&run)));
    let look = Look {
        nonce: "n".to_owned(),
        install_path: place.install_path.clone(),
        cluster: place.cluster.clone(),
        seconds: 9,
        run_user: user.clone(),
        rehash: false,
        fence: Some(run.clone()),
        servers: vec![stat],
        docker: Some(DockerLook {
            socket: "/var/run/docker.sock".parse().unwrap(),
            container: "tars-framework".parse().unwrap(),
            image: "tarscloud/framework:v3.0.20".parse().unwrap(),
        }),
        console: Some("/usr/local/app/web".parse().unwrap()),
    };
    let end = (ChangeWord::Ok, "done");
    vec![
        ("change", format!("{}{}", tree(), change())),
        ("tree", tree()),
        ("guard", guard()),
        ("launch", launch(&world.launch_of(&place, &run, 0))),
        ("wait", wait(&place, &run, "s", Mode::Wait)),
        (
            "lease",
            lease(&place, &run, "me", 45, &digest, LeaseMode::Acquire),
        ),
        ("history", history(&place, 10)),
        ("upload", upload()),
        ("binary", send_binary(&place, &user, stat, 9)),
        ("save-rows", save_rows(&place, "n", "{}")),
        ("print-rows", saved_rows(&place, "n")),
        ("labels", save_labels(&place, Some("x"))),
        (
            "write",
            records::write(&place, &run, "s", "{}", Some("done")),
        ),
        (
            "save-program",
            records::save_program(&place, &run, "s", "{}", &program),
        ),
        (
            "plan-restart",
            records::add_marker(&place, &run, "s", "{}", stat),
        ),
        (
            "mark",
            records::mark_pending_restart(&place, stat, run.as_str()),
        ),
        ("unmark", records::unmark(&place, stat, Unmark::Until(&run))),
        (
            "conclude",
            records::conclude(&place, &run, "s", end, "me", until, "x"),
        ),
        ("gate", records::note_gate(&place, &run, "s", "x")),
        ("delete", records::delete(&place, &run, "s")),
        ("save-dump", records::save_dump(&place, &digest, 10)),
        ("delete-dump", records::drop_dump(&place, &digest)),
        ("probe", probe_script(&look)),
        ("probe-tree", look_below()),
    ]
}

/// The part of a look that runs with another user's rights, as `probe.sh` starts it.
fn look_below() -> String {
    let mut script = tarsops_transport::Script::new();
    script
        .part(include_str!("../../../probe/src/tree.sh"))
        .part("look_below\n");
    script.into_text()
}

#[test]
fn every_script_passes_shellcheck_and_every_shell_reads_it() {
    read_by_all(all());
}

/// Shellcheck and the parser of each shell over whole scripts, as they are sent: names and texts.
pub(crate) fn read_by_all<'a>(scripts: impl IntoIterator<Item = (&'a str, String)>) {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (name, text) in scripts {
        let file = dir.path().join(format!("{name}.sh"));
        fs::write(&file, text).unwrap();
        files.push(file);
    }
    // Scripts in the variables of another one have expansions in single quotes (SC2016). A shellcheckrc of
    // whoever runs this does not count.
    let checked = Command::new("shellcheck")
        .args(["--norc", "--shell=sh", "--exclude=SC2016", "--format=gcc"])
        .args(&files)
        .output()
        .expect("these tests need the program shellcheck");
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{said}");
    for shell in ["dash", "bash", "busybox"] {
        for file in &files {
            let mut command = Command::new(shell);
            if shell == "busybox" {
                command.arg("sh");
            }
            let output = command.arg("-n").arg(file).output().unwrap();
            assert!(output.status.success(), "{shell}: {output:?}");
        }
    }
}
