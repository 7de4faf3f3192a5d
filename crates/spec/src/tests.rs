//! Tests of whole specs.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests read fixtures and measure time"
)]

use super::*;

mod invalid;
mod laws;
mod schema;
mod support;
mod valid;
