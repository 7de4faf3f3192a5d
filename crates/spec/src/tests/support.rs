//! Fixtures, and what they are read with.

use std::path::PathBuf;
use std::time::Duration;

use super::{Base, Diagnostics, parse};

/// A folder of the repository.
pub(super) fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name)
}

/// What relative paths of fixtures mean.
pub(super) fn base() -> Base {
    Base {
        dir: "/spec".into(),
        home: Some("/home/me".into()),
        processors: 2,
    }
}

/// The specs of a folder by name.
pub(super) fn specs(name: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = std::fs::read_dir(folder(name))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        .map(|p| {
            let name = p.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(p).unwrap())
        })
        .collect();
    all.sort();
    all
}

/// How long this thread has had a processor: what work costs, however busy the machine is.
pub(super) fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// A small good spec, which tests vary.
pub(super) const GOOD: &str = "\
schema: tarsops/v1
cluster: small
framework: {version: 3.0.17, packages: ./packages}
registry: {endpoints: [10.0.0.1:17890]}
nodes:
  - {name: 10.0.0.1, roles: [master]}
";

/// All that is said about a spec, warnings included.
pub(super) fn said(text: &str) -> Diagnostics {
    match parse(text, "cluster.yaml").map(|p| p.lower(&base())) {
        Ok(Ok((_, warnings))) => warnings,
        Ok(Err(said)) | Err(said) => said,
    }
}
