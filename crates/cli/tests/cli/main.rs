//! The command line as scripts: what every command takes, writes and ends with.
//!
//! Each file below `cases` is a case: arguments, and the expected standard output, standard error
//! and exit code. None needs root, a network or a host. The specs that they share are in `specs`,
//! which no case changes; a case that writes has a folder of its own (`.in` before, `.out` after).
//!
//! `TRYCMD=overwrite cargo test -p tarsops-cli --test cli` accepts what the program says now; read
//! the difference. The program sees an environment of its own: see [`stage`].
#![allow(clippy::unwrap_used, reason = "tests")]

mod asking;
mod completing;
mod console;
mod demo;
mod images;
mod outside;
#[path = "../support/packages.rs"]
#[allow(dead_code, unreachable_pub, reason = "only the program is used")]
mod packages;
mod platform;
mod status;
mod terminal;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tarsops_standin::packages::{LocalAdmin, write_deploy_tree, write_full};
use tarsops_standin::standin::{self, Identity};

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_tarsops");

/// Versions of which there is a package.
const VERSIONS: [&str; 2] = ["3.0.16", "3.0.17"];

/// Where the helpers of the cases lie.
fn stage() -> PathBuf {
    let stage = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli");
    fs::create_dir_all(&stage).unwrap();
    stage
}

/// Writes a script that a case can call by its name.
fn script(name: &str, text: &str) -> PathBuf {
    let path = stage().join(name);
    let fresh = stage().join(format!("{name}.{}", std::process::id()));
    fs::write(&fresh, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&fresh, &path).unwrap();
    path
}

/// Makes the packages that cases take: small ones, whose binary is never run.
fn packages() -> PathBuf {
    let packages = stage().join("packages");
    let binary = stage().join("binary");
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
    elf.extend(b"This stands for a program; nobody starts it.\n");
    fs::write(&binary, elf).unwrap();
    for version in VERSIONS {
        let folder = packages.join(version);
        fs::create_dir_all(&folder).unwrap();
        let identity = Identity::new(version, standin::Behaviour::Healthy);
        let package = folder.join("tarsnode.tgz");
        write_full(&binary, &package, &identity, LocalAdmin::OnLoopback).unwrap();
        standin::make(&binary, &folder.join("tarsnode"), &identity).unwrap();
    }
    // Deploy trees: one in a folder of its own, one that is the packages folder itself.
    for (version, place) in [("3.0.16", "tree/3.0.16/deploy"), ("3.0.15", "tree/3.0.15")] {
        let identity = Identity::new(version, standin::Behaviour::Healthy);
        let _ = fs::remove_dir_all(packages.join(place));
        write_deploy_tree(
            &binary,
            &packages.join(place),
            &identity,
            LocalAdmin::OnLoopback,
        )
        .unwrap();
    }
    // What is no program, alone and in an archive, and an archive whose name tells nothing.
    let refused = packages.join("refused");
    fs::create_dir_all(&refused).unwrap();
    fs::write(refused.join("text"), "#!/bin/sh\n").unwrap();
    let identity = Identity::new("3.0.16", standin::Behaviour::Healthy);
    let archive = refused.join("text.tgz");
    write_full(
        &refused.join("text"),
        &archive,
        &identity,
        LocalAdmin::OnLoopback,
    )
    .unwrap();
    fs::copy(
        packages.join("3.0.17/tarsnode.tgz"),
        refused.join("some.tgz"),
    )
    .unwrap();
    // A lock file that is none, and a schema that is another one.
    fs::create_dir_all(packages.join("lock")).unwrap();
    fs::write(packages.join("lock/cluster.yaml.lock"), "{}\n").unwrap();
    fs::write(packages.join("lock/cluster.schema.json"), "{}\n").unwrap();
    packages
}

#[test]
fn every_command_prints_what_it_should() {
    // Nothing of the caller's environment reaches the program, but the way to `ssh`.
    let program = script(
        "tarsops",
        &format!(
            "exec env -i PATH=\"$PATH\" HOME=/nonexistent COLUMNS=100 \
             ${{CASE_SPEC:+TARSOPS_SPEC=\"$CASE_SPEC\"}} '{PROGRAM}' \"$@\" </dev/null"
        ),
    );
    let put = script(
        "put",
        &format!(
            "mkdir -p \"$2\" && cp -r '{}'/\"$1\" \"$2\"",
            packages().display()
        ),
    );
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("tarsops", trycmd::schema::Bin::Path(program))
        .register_bin("put", trycmd::schema::Bin::Path(put))
        .case("tests/cli/cases/*.toml")
        .case("tests/cli/cases/*.trycmd");
    cases.run();
}
