//! What a step waits for, reported every ten seconds: a person who sees nothing for minutes stops a run
//! that was about to end well.
//!
//! A wait says where it stands by [`Waiting`]; whoever runs the step says it aloud by [`aloud`]. Between
//! them lies a note that belongs to the task of the step, so that no wait has to know who listens.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tarsops_model::names::NodeName;
use tokio::time::Instant;

use crate::progress::{Observer, Progress};

/// Between two words about the same wait.
pub(crate) const EVERY: Duration = Duration::from_secs(10);

/// What is waited for, and until when at most.
#[derive(Debug, Clone)]
struct Note {
    why: String,
    until: Instant,
}

type Shared = Arc<Mutex<Option<Note>>>;

tokio::task_local! {
    static NOTE: Shared;
}

fn set(note: Option<Note>) {
    // Outside a step nobody listens.
    let _ = NOTE.try_with(|shared| {
        *shared.lock().unwrap_or_else(PoisonError::into_inner) = note;
    });
}

/// One wait; over when it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    until: Instant,
}

impl Waiting {
    /// A wait for `why`, a lowercase clause, that ends at `until` at the latest.
    pub(crate) fn until(until: Instant, why: impl Into<String>) -> Self {
        let waiting = Self { until };
        waiting.say(why);
        waiting
    }

    /// What is waited for now.
    pub(crate) fn say(&self, why: impl Into<String>) {
        set(Some(Note {
            why: why.into(),
            until: self.until,
        }));
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        set(None);
    }
}

/// Does the work of a step, `summary`, and tells `observer` every ten seconds what it waits for. A step
/// within a step is part of it.
pub(crate) async fn aloud<T>(
    observer: &dyn Observer,
    node: &NodeName,
    summary: &str,
    work: impl Future<Output = T>,
) -> T {
    if NOTE.try_with(|_| ()).is_ok() {
        return work.await;
    }
    let note = Shared::default();
    let work = NOTE.scope(Arc::clone(&note), work);
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::time::sleep(EVERY) => {
                let now = note.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let (why, left) = match &now {
                    Some(note) => {
                        let left = note.until.saturating_duration_since(Instant::now());
                        (note.why.as_str(), Some(left))
                    }
                    None => (summary, None),
                };
                observer.event(&Progress::StillWaiting { node, why, left });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<(String, Option<u64>)>>);

    impl Observer for Recorder {
        fn event(&self, progress: &Progress<'_>) {
            if let Progress::StillWaiting { why, left, .. } = progress {
                let left = left.map(|l| l.as_secs());
                self.0.lock().unwrap().push(((*why).to_owned(), left));
            }
        }
    }

    async fn nap(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    async fn reports(work: impl Future<Output = ()>) -> Vec<(String, Option<u64>)> {
        let recorder = Recorder::default();
        let node = "10.0.0.1".parse().unwrap();
        aloud(&recorder, &node, "the step", work).await;
        recorder.0.into_inner().unwrap()
    }

    fn words(all: &[(&str, Option<u64>)]) -> Vec<(String, Option<u64>)> {
        all.iter()
            .map(|(why, left)| ((*why).to_owned(), *left))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_reported_every_ten_seconds_with_its_deadline() {
        let reported = reports(async {
            let until = Instant::now() + Duration::from_secs(300);
            let waiting = Waiting::until(until, "the database is silent");
            nap(25).await;
            waiting.say("the registry is silent");
            nap(10).await;
            drop(waiting);
            nap(6).await;
        })
        .await;
        let expected = words(&[
            ("the database is silent", Some(290)),
            ("the database is silent", Some(280)),
            ("the registry is silent", Some(270)),
            // No wait is announced.
            ("the step", None),
        ]);
        assert_eq!(reported, expected);
        assert_eq!(reports(nap(9)).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_nested_step_is_reported_once_and_two_steps_do_not_mix() {
        let wait = |why: &'static str| async move {
            let _waiting = Waiting::until(Instant::now() + Duration::from_secs(60), why);
            nap(15).await;
        };
        let inner = Recorder::default();
        let node = "10.0.0.2".parse().unwrap();
        let reported = reports(aloud(&inner, &node, "back", wait("inner"))).await;
        assert_eq!(reported, words(&[("inner", Some(50))]));
        assert_eq!(inner.0.into_inner().unwrap(), []);
        let (one, two) = tokio::join!(reports(wait("one")), reports(wait("two")));
        assert_eq!(one, words(&[("one", Some(50))]));
        assert_eq!(two, words(&[("two", Some(50))]));
    }
}
