//! A panic of the client library ends here, as an error. Servers choose what the library reads, so no
//! answer may end the program or show its inner state.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

use futures::future::BoxFuture;

thread_local! {
    /// Whether a panic of this thread is caught below.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// Where the last one that was caught came from.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The library panicked; what it said is in the trace only, as it may hold what the server sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the client library failed at {place}")]
pub(super) struct Panicked {
    /// Source file and line.
    pub(super) place: String,
}

/// `work`, whose panics are errors.
pub(super) fn caught<'a, T, E>(
    work: impl Future<Output = Result<T, E>> + Send + 'a,
) -> impl Future<Output = Result<T, E>> + Send + 'a
where
    E: From<mysql_async::Error> + 'a,
    T: 'a,
{
    quiet_hook();
    CatchPanic(Some(Box::pin(work)))
}

/// Has the hook of the program pass over panics that are caught here.
fn quiet_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                return before(info);
            }
            let place = info.location().map(ToString::to_string);
            PLACE.with(|p| *p.borrow_mut() = place);
        }));
    });
}

struct CatchPanic<'a, T, E>(Option<BoxFuture<'a, Result<T, E>>>);

impl<T, E: From<mysql_async::Error>> Future for CatchPanic<'_, T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.0 else {
            // Nobody polls a future that has ended.
            return Poll::Pending;
        };
        let polled = guarded(|| work.as_mut().poll(context));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(out)) => {
                self.0 = None;
                Poll::Ready(out)
            }
            Err(panicked) => {
                // What it holds is not polled again; dropping it may fail as well.
                let work = self.0.take();
                let _ = guarded(|| drop(work));
                Poll::Ready(Err(mysql_async::Error::Other(Box::new(panicked)).into()))
            }
        }
    }
}

fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    let before = GUARDED.replace(true);
    let ran = panic::catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(before);
    ran.map_err(|payload| {
        let place = PLACE.with(|p| p.borrow_mut().take());
        let place = place.unwrap_or_else(|| "an unknown place".to_owned());
        tracing::debug!(
            place,
            said = words(&*payload),
            "the client library panicked"
        );
        Panicked { place }
    })
}

fn words(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Failure(String);
    impl From<mysql_async::Error> for Failure {
        fn from(error: mysql_async::Error) -> Self {
            Self(error.to_string())
        }
    }

    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "dropped in a panic only");
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_whenever_it_comes() {
        let at_once = caught::<(), Failure>(async { panic!("a secret") });
        let later = caught::<(), Failure>(async {
            tokio::task::yield_now().await;
            let empty: &[u8] = &[];
            let first = empty[usize::from(tokio::task::try_id().is_some())];
            Err(Failure(first.to_string()))
        });
        let dropped = caught::<(), Failure>(async {
            let bad = Bad;
            tokio::task::yield_now().await;
            drop(bad);
            Ok(())
        });
        for error in [at_once.await, later.await, dropped.await] {
            let Failure(said) = error.unwrap_err();
            assert!(said.contains("guard.rs:"), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
        // What does not panic is not touched, and what panics outside is not hidden.
        assert_eq!(caught::<u8, Failure>(async { Ok(7) }).await.unwrap(), 7);
        assert!(!GUARDED.get());
    }
}
