//! Tests of whole specs.

use super::*;

mod invalid;
mod laws;
mod schema;
mod support;
mod valid;
