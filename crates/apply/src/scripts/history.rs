//! The script that lists the records of runs on a host, and its answer.

use tarsops_model::display;
use tarsops_transport::Script;

use super::text::plain;
use crate::place::Place;
use crate::record_limits::{self, HistoryError};

pub(crate) const HISTORY: &str = include_str!("../host/history.sh");

/// The script that lists the records of runs on a host.
pub(crate) fn history(place: &Place, limit: usize) -> String {
    let mut out = Script::new();
    out.set("H_INSTALL", place.install_path.as_str());
    out.set("H_CLUSTER", place.cluster.as_str());
    out.set("H_LIMIT", &limit.to_string());
    out.part(HISTORY);
    out.into_text()
}

/// The record of one change, as its host prints it.
pub(crate) struct ChangeRecord {
    pub(crate) run: String,
    pub(crate) step: String,
    pub(crate) intent: String,
    pub(crate) verdict: String,
    pub(crate) text: String,
    pub(crate) gate: String,
}

/// Reads the answer of the history script.
///
/// # Errors
/// A [`HistoryError`] if it is not whole, or says more than is read.
pub(crate) fn read_history(stdout: &[u8]) -> Result<Vec<ChangeRecord>, HistoryError> {
    let text = String::from_utf8_lossy(stdout);
    let mut out = Vec::new();
    let mut lines = text.lines().skip_while(|l| *l != "tarsops-history/1");
    lines.next().ok_or(HistoryError::NotWhole)?;
    for line in lines {
        if line == "end" {
            return Ok(out);
        }
        // A line of blanks alone would cost sixteen times its size.
        let words: Vec<&str> = line.splitn(8, ' ').collect();
        if let ["change", run, step, intent, verdict, text, gate] = words.as_slice() {
            if run.len().max(step.len()).max(verdict.len()) > record_limits::NAME {
                return Err(HistoryError::NotWhole);
            }
            if intent.len() / 4 * 3 > record_limits::INTENT {
                let (run, step) = ((*run).to_owned(), (*step).to_owned());
                return Err(HistoryError::Intent { run, step });
            }
            if out.len() == record_limits::CHANGES {
                return Err(HistoryError::Changes);
            }
            let sentence =
                |word| display::cut(&plain(Some(word)), record_limits::SENTENCE).into_owned();
            out.push(ChangeRecord {
                run: (*run).to_owned(),
                step: (*step).to_owned(),
                intent: plain(Some(intent)),
                verdict: (*verdict).to_owned(),
                text: sentence(text),
                gate: sentence(gate),
            });
        }
    }
    Err(HistoryError::NotWhole)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    #[test]
    fn what_a_host_remembers_has_limits() {
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let answer = |lines: &str| format!("tarsops-history/1\n{lines}end\n");
        let change = |run: &str, intent: &str, text: &str| {
            let (intent, text) = (encode(intent), encode(text));
            format!("change {run} step {intent} ok {text} -\n")
        };
        let read = |lines: &str| read_history(answer(lines).as_bytes());
        let failure = |lines: &str| read(lines).map(|all| all.len()).unwrap_err();

        let most = change("r", "{}", "x").repeat(record_limits::CHANGES);
        assert_eq!(read(&most).unwrap().len(), record_limits::CHANGES);
        let more = format!("{most}{}", change("r", "{}", "x"));
        assert_eq!(failure(&more), HistoryError::Changes);

        assert!(read(&change("r", &"x".repeat(record_limits::INTENT - 3), "x")).is_ok());
        let large = failure(&change("r7", &"x".repeat(record_limits::INTENT + 3), "x"));
        assert_eq!(
            large.to_string(),
            "the record of step step of run r7 is larger than 512 KiB"
        );

        let long = read(&change(
            "r",
            "{}",
            &"x".repeat(10 * record_limits::SENTENCE),
        ))
        .unwrap();
        assert!(long[0].text.len() < record_limits::SENTENCE + 100);
        assert!(long[0].text.ends_with("more bytes)"), "{}", long[0].text);

        let name = "r".repeat(record_limits::NAME + 1);
        assert_eq!(failure(&change(&name, "{}", "x")), HistoryError::NotWhole);
        // Many words are no change, and are passed over as other lines that we do not know.
        assert!(
            read(&format!("change{}\n", " ".repeat(1 << 20)))
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            read_history(b"tarsops-history/1\n").map(|a| a.len()),
            Err(HistoryError::NotWhole)
        );
    }
}
