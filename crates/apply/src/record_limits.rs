//! How much of what a host remembers is read. A host keeps ten runs; a run has a few steps per host, and
//! some fifty on the master.

/// Changes that one host may remember.
pub(crate) const CHANGES: usize = 4096;
/// Bytes of one change's intent. A large one has a crontab before and after it: 50 KiB.
pub(crate) const INTENT: usize = 512 << 10;
/// Bytes of a verdict's line or of a gate's, which are one sentence; the rest is cut.
pub(crate) const SENTENCE: usize = 4 << 10;
/// Bytes of the name of a run or a step; longer ones are none.
pub(crate) const NAME: usize = 256;

/// Why what a host remembers was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HistoryError {
    /// It does not begin or end as the script writes it.
    #[error("its answer cannot be read")]
    NotWhole,
    /// More changes than are read.
    #[error("it remembers more than {CHANGES} changes")]
    Changes,
    /// One of them is larger than is read.
    #[error("the record of step {step} of run {run} is larger than {} KiB", INTENT >> 10)]
    Intent {
        /// The run's folder.
        run: String,
        /// The step's folder.
        step: String,
    },
}
