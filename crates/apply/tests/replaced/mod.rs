//! What the tests of a replaced container and of a replaced console share: scripts go over ssh to a test host, and a
//! script is cut off before each of its lines.

mod lines;
mod ssh;

pub(crate) use lines::{instrumented, line_of, some, while_it_waits};
pub(crate) use ssh::{Ssh, alone};

use tarsops_model::names::{AbsPath, ClusterName, RunId};

use crate::place::Place;

pub(crate) fn run_id(n: u64) -> RunId {
    RunId::from_parts(n, 1)
}

pub(crate) fn place() -> Place {
    Place {
        install_path: AbsPath::new("/usr/local/app").unwrap(),
        cluster: ClusterName::new("test").unwrap(),
    }
}
