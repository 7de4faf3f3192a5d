//! `schema`: the JSON Schema of the spec.

use crate::exit;
use crate::failure::Result;
use crate::output::print;

/// Prints it.
pub fn run() -> Result {
    print(tarsops_spec::json_schema_text());
    Ok(exit::OK)
}
