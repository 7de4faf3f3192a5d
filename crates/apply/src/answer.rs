//! The answer of a script that saves something on a host, or removes what was saved.

use tarsops_transport::Output;

use crate::verdict::Verdict;
use crate::words::SaveWord;

/// Why nothing is saved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotSaved {
    /// The host has seen a newer run.
    #[error("{0}")]
    Fenced(String),
    /// A fact has changed since the plan.
    #[error("{0}")]
    Moved(String),
    /// It cannot be done there.
    #[error("{0}")]
    Refused(String),
    /// The script did not answer; its last words are the reason.
    #[error("{0}")]
    NoAnswer(String),
}

impl NotSaved {
    /// The verdict of a step that rests upon what was to be saved; by `failed` where the script did not
    /// answer.
    pub(crate) fn verdict(self, failed: impl FnOnce(String) -> Verdict) -> Verdict {
        match self {
            Self::Fenced(why) => Verdict::NoLease(why),
            Self::Moved(why) => Verdict::Moved(why),
            Self::Refused(why) => Verdict::Refused(why),
            Self::NoAnswer(why) => failed(why),
        }
    }
}

/// Reads the answer: what the script says beside that it has saved or removed something, such as a path.
///
/// # Errors
/// [`NotSaved`] says why it has not.
pub(crate) fn saved(output: &Output) -> Result<String, NotSaved> {
    let text = String::from_utf8_lossy(&output.stdout);
    let answer = text.lines().find_map(|line| {
        let line = line.trim();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some((word.parse().ok()?, rest.trim().to_owned()))
    });
    match answer {
        Some((SaveWord::Kept | SaveWord::Gone, rest)) => Ok(rest),
        Some((SaveWord::Moved, why)) => Err(NotSaved::Moved(why)),
        Some((SaveWord::Fenced, why)) => Err(NotSaved::Fenced(why)),
        Some((SaveWord::Refused, why)) => Err(NotSaved::Refused(why)),
        None => {
            let why = output.stderr.lines().last().unwrap_or("it printed nothing");
            Err(NotSaved::NoAnswer(why.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stdout: &str, stderr: &str) -> Result<String, NotSaved> {
        saved(&Output {
            stdout: stdout.as_bytes().to_vec(),
            stderr: stderr.to_owned(),
            status: Some(0),
        })
    }

    #[test]
    fn each_answer_is_one_value() {
        assert_eq!(read("kept\n", ""), Ok(String::new()));
        assert_eq!(read("kept /a/b c\n", "warning"), Ok("/a/b c".to_owned()));
        assert_eq!(read("gone\n", ""), Ok(String::new()));
        let why = || "it is another one".to_owned();
        for (answer, expected, verdict) in [
            ("moved", NotSaved::Moved(why()), Verdict::Moved(why())),
            ("fenced", NotSaved::Fenced(why()), Verdict::NoLease(why())),
            ("refused", NotSaved::Refused(why()), Verdict::Refused(why())),
        ] {
            let read = read(&format!("{answer} it is another one\n"), "").unwrap_err();
            assert_eq!(read, expected);
            assert_eq!(read.verdict(Verdict::NotStarted), verdict);
        }
    }

    #[test]
    fn what_is_no_answer_has_the_last_words_of_the_script() {
        let no = |why: &str| Err(NotSaved::NoAnswer(why.to_owned()));
        assert_eq!(read("", ""), no("it printed nothing"));
        assert_eq!(
            read("keptfast\n", "sh: 1\nno space left"),
            no("no space left")
        );
        let failed = read("", "no space left").unwrap_err();
        let verdict = failed.verdict(|why| Verdict::NotStarted(format!("not saved: {why}")));
        assert_eq!(
            verdict,
            Verdict::NotStarted("not saved: no space left".to_owned())
        );
    }
}
