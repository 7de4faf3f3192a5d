//! Tests of whole specs.

use super::*;

mod support;
mod valid;
