//! The scripts that bring files to a host or read them there: payloads, binaries, saved rows, labels.

use tarsops_model::component::Component;
use tarsops_model::names::UserName;
use tarsops_transport::Script;

use super::text::flag;
use crate::place::Place;

pub(crate) const UPLOAD: &str = include_str!("../host/upload.sh");
pub(crate) const BINARY: &str = include_str!("../host/binary.sh");

/// The script that receives a payload.
pub(crate) fn upload() -> String {
    let mut script = Script::new();
    script.part(UPLOAD);
    script.into_text()
}

/// The answer of the upload script: `Ok`, or why not.
pub(crate) fn read_upload(stdout: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(stdout);
    match text
        .lines()
        .find_map(|l| l.strip_prefix("tarsops-upload/1 "))
    {
        Some("ok") => Ok(()),
        Some(other) => Err(other.trim_start_matches("failed ").to_owned()),
        None => Err("the host did not confirm the payload".to_owned()),
    }
}

/// The script that prints a component's installed binary. Root reads it with the rights of whoever can
/// put files there, so that a link leads no further than that user can read. A host that continues after
/// we have left does so for `seconds` at most.
#[must_use]
pub fn send_binary(
    place: &Place,
    run_user: &UserName,
    component: Component,
    seconds: u64,
) -> String {
    let mut script = Script::new();
    script
        .set("G_INSTALL", place.install_path.as_str())
        .set("G_CLUSTER", place.cluster.as_str())
        .set("G_USER", run_user.as_str())
        .set("G_COMPONENT", component.name())
        .set("G_SECONDS", &seconds.to_string())
        .part(BINARY);
    script.into_text()
}

/// Saves rows that are about to be deleted in a file of their own, for its owner only. Prints
/// `kept PATH`.
pub(crate) fn save_rows(place: &Place, name: &str, rows: &str) -> String {
    let mut script = place.records();
    script
        .set("R_NAME", name)
        .set("R_ROWS", rows)
        .part(include_str!("../host/records/save-rows.sh"));
    script.into_text()
}

/// Prints saved rows; nothing where there are none.
pub(crate) fn saved_rows(place: &Place, name: &str) -> String {
    let mut script = place.records();
    script
        .set("R_NAME", name)
        .part(include_str!("../host/records/print-rows.sh"));
    script.into_text()
}

/// Saves labels of the node's row, or removes what was saved. Prints `kept`.
pub(crate) fn save_labels(place: &Place, labels: Option<&str>) -> String {
    let mut script = place.records();
    script
        .set("R_LABELS", labels.unwrap_or_default())
        .set("R_FORGET", flag(labels.is_none()))
        .part(include_str!("../host/records/labels.sh"));
    script.into_text()
}
