//! `schema`: the JSON Schema of the spec.

use crate::context::print;
use crate::exit;
use crate::failure::Result;

/// Prints it.
pub fn run() -> Result {
    print(tarsops_spec::json_schema_text());
    Ok(exit::OK)
}
