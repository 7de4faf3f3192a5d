//! A world in memory, for trying whole runs: the real planner, checker and executor over hosts, a
//! framework and a clock that exist only here.
//!
//! Time is tokio's paused clock, and everything that is drawn comes from one seed, so a run with the
//! same seed is the same run. Hosts finish their changes by themselves, as real ones do, whether or
//! not the controller still lives. A world must be used within a runtime of the current thread whose
//! clock is paused; [`in_world`] makes one.
//!
//! | module | holds |
//! |---|---|
//! | `start` | how a cluster in memory begins |
//! | `world` | a cluster in memory: how it plans and runs |
//! | `life` | a whole life: faults, runs, and whether it ends well |
//! | `faults` | what goes wrong, and when |
//! | `state` | hosts, rows and time, shared by all |
//! | `laws`, `expected` | what must hold at each moment, and at the end |
//! | `part`, `machine` | a component; a host with its records, lease and fence |
//! | `work`, `acting` | a change of a host, and how the host carries it out by itself |
//! | `look`, `facts` | what hosts and the framework say of themselves |
//! | `host`, `framework`, `publish`, `database` | the ports |

mod acting;
mod database;
mod expected;
mod facts;
mod faults;
mod framework;
mod host;
mod laws;
mod life;
mod look;
mod machine;
mod part;
mod publish;
mod start;
mod state;
mod work;
mod world;

pub use faults::{Deed, Fault, Table};
pub use life::{Aim, Life, Story};
pub use state::Broken;
pub use world::{Deaf, NoPlan, NoRun, Planned, World, in_world};
