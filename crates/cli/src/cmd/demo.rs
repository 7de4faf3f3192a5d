//! `demo`: an embedded cluster on this machine.

use crate::args::{DemoCommand, Global};
use crate::exit;
use crate::failure::Result;

/// Does it.
pub fn run(_global: &Global, _command: Option<DemoCommand>) -> Result {
    Ok(exit::OK)
}
