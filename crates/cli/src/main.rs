//! `tarsops`: desired state for Tars clusters.
fn main() {}
