//! The command line as scripts: what every command takes, writes and ends with.
//!
//! Each file below `cases` is a case: arguments, and the expected standard output, standard error
//! and exit code. None needs root, a network or a host. The specs that they share lie in `specs`,
//! which no case changes; a case that writes has a folder of its own (`.in` before, `.out` after).
//!
//! `TRYCMD=overwrite cargo test -p tarsops-cli --test cli` accepts what the program says now; read
//! the difference. The program sees an environment of its own: see [`stage`].
#![allow(clippy::unwrap_used, reason = "tests")]

mod asking;
mod console;
mod demo;
mod outside;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tarsops_sandbox::packages::{LocalAdmin, write_full};
use tarsops_sandbox::standin::{self, Identity};

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
    fs::write(&binary, "This stands for a program; nobody starts it.\n").unwrap();
    for version in VERSIONS {
        let folder = packages.join(version);
        fs::create_dir_all(&folder).unwrap();
        let identity = Identity::new(version, standin::Behaviour::Healthy);
        let package = folder.join("tarsnode.tgz");
        write_full(&binary, &package, &identity, LocalAdmin::OnLoopback).unwrap();
        standin::make(&binary, &folder.join("tarsnode"), &identity).unwrap();
    }
    // A lock file that is none.
    fs::create_dir_all(packages.join("lock")).unwrap();
    fs::write(packages.join("lock/cluster.yaml.lock"), "{}\n").unwrap();
    packages
}

#[test]
fn every_command_says_what_it_should() {
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
            "mkdir -p \"$2\" && cp '{}'/\"$1\" \"$2\"",
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
