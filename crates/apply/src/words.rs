//! The words with which scripts on hosts answer: each kind is one enum, read once where the answer
//! arrives.

use std::str::FromStr;

/// A word that is none of its kind; another version of tarsops may know it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a host answered with a word that is not known: {0}")]
pub(crate) struct UnknownWord(pub(crate) String);

/// Defines an enum of words: its variants, and how each is written.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name {
            $($(#[$what])* $variant,)+
        }

        impl $name {
            /// All of them.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),+];

            /// As scripts and records write it.
            #[cfg_attr(not(test), allow(dead_code, reason = "not every kind is written from here"))]
            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord(word.to_owned())),
                }
            }
        }
    };
}

words! {
    /// The verdict of a change. Records on hosts hold these words, so they stay.
    ChangeWord {
        /// The new state is there.
        Ok = "ok",
        /// It failed, and the old state is back.
        RolledBack = "rolled-back",
        /// A fact has changed since the plan; nothing was changed.
        Moved = "moved",
        /// It cannot be done there; nothing was changed.
        Refused = "refused",
        /// The container, or its image, may drop the framework's databases at a start; nothing was changed.
        Rebuild = "rebuild",
        /// It arrived after its time; nothing was changed.
        Late = "late",
        /// A newer run has been there; nothing was changed.
        Fenced = "fenced",
        /// Another change is at work there; nothing was changed.
        Busy = "busy",
        /// It failed, and was left as it is.
        Failed = "failed",
        /// It failed, and the old state could not be put back.
        Stuck = "stuck",
        /// The host knows no such change.
        Unknown = "unknown",
    }
}

words! {
    /// The answer of a script that saves something on a host, or removes what was saved.
    SaveWord {
        /// It is saved.
        Kept = "kept",
        /// It is removed.
        Gone = "gone",
        /// A fact has changed since the plan; nothing is saved.
        Moved = "moved",
        /// A newer run has been there; nothing is saved.
        Fenced = "fenced",
        /// It cannot be done there; nothing is saved.
        Refused = "refused",
    }
}

words! {
    /// The answer about the lease.
    LeaseWord {
        /// It is ours, or given back.
        Ok = "ok",
        /// Somebody else holds it.
        Held = "held",
        /// It was ours, and is not any more.
        Lost = "lost",
        /// The master could not tell or could not write it.
        Failed = "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_read_as_it_is_written() {
        for word in ChangeWord::ALL {
            assert_eq!(word.as_str().parse(), Ok(*word));
        }
        for word in SaveWord::ALL {
            assert_eq!(word.as_str().parse(), Ok(*word));
        }
        for word in LeaseWord::ALL {
            assert_eq!(word.as_str().parse(), Ok(*word));
        }
        assert_eq!(
            "okay".parse::<ChangeWord>(),
            Err(UnknownWord("okay".to_owned()))
        );
    }

    /// The history script passes on the verdicts that records hold; `unknown` is none of these.
    #[test]
    fn the_history_script_knows_every_verdict() {
        let script = include_str!("host/history.sh");
        let known = script
            .lines()
            .find(|l| l.contains("ok | rolled-back"))
            .unwrap();
        for word in ChangeWord::ALL {
            let words = known.trim().trim_end_matches(") ;;").split(" | ");
            let listed = words.into_iter().any(|w| w == word.as_str());
            assert_eq!(listed, *word != ChangeWord::Unknown, "{word:?}");
        }
    }
}
