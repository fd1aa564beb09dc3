//! Polls a connection once more when it woke itself.
//!
//! hyper's connection wakes its own task as soon as the handler, which it polls, begins to read the request's body. To the runtime that
//! is a task that yields: it is queued, and another worker is woken to steal it. With one call at a time that is a processor woken for
//! nothing, and the work that follows goes on beside cold caches.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

use crate::after;

/// A future that is polled once more, at once, when it was woken while it was being polled. The second time it yields like any other: a
/// guest that computes must let others work. What was left for after the answer is done then.
pub struct Repoll<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    waker: Waker,
}

/// Nobody has rung since the last poll.
const QUIET: u8 = 0;
/// The future is being polled.
const POLLED: u8 = 1;
/// Somebody has rung.
const RUNG: u8 = 2;

/// What the future rings to be polled.
#[derive(Debug, Default)]
struct Bell {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(RUNG, Ordering::AcqRel) == QUIET {
            self.task.wake();
        }
    }
}

impl<F: Future> Repoll<F> {
    pub fn new(future: F) -> Self {
        let bell = Arc::<Bell>::default();
        Self { future: Box::pin(future), waker: Waker::from(Arc::clone(&bell)), bell }
    }

    /// Polls the future; whether it was woken meanwhile, if it is not ready.
    fn poll_once(&mut self) -> Result<F::Output, bool> {
        self.bell.state.store(POLLED, Ordering::Release);
        match self.future.as_mut().poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(output) => Ok(output),
            Poll::Pending => Err(self.bell.state.swap(QUIET, Ordering::AcqRel) == RUNG),
        }
    }
}

impl<F: Future> Future for Repoll<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.bell.task.register(cx.waker());
        let polled = after::collecting(|| match self.poll_once() {
            Err(true) => self.poll_once(),
            polled => polled,
        });
        polled.map_or_else(
            |woken| {
                if woken {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            },
            Poll::Ready,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// How often the task was polled until a future was ready that wakes itself so many times.
    async fn polls(mut wakes: u32) -> u32 {
        let mut polled = 0;
        let mut waking = Repoll::new(poll_fn(move |cx| {
            if wakes == 0 {
                return Poll::Ready(());
            }
            wakes -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        poll_fn(|cx| {
            polled += 1;
            Pin::new(&mut waking).poll(cx)
        })
        .await;
        polled
    }

    #[tokio::test]
    async fn the_first_wake_of_a_poll_costs_the_task_nothing_and_the_second_yields() {
        assert_eq!(polls(1).await, 1);
        assert_eq!(polls(2).await, 2);
        assert_eq!(polls(5).await, 3);
    }

    #[tokio::test]
    async fn who_rings_from_elsewhere_is_heard_whenever_that_is() {
        for _ in 0..1_000 {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let waiting = tokio::spawn(Repoll::new(receiver));
            tokio::task::spawn_blocking(move || sender.send(7)).await.unwrap().unwrap();
            assert_eq!(waiting.await.unwrap(), Ok(7));
        }
    }
}
