//! Five thousand calls against a system with walls, on the paused clock: how often it says "too fast" to Ferrata's policies, and to a client
//! that has none.
//!
//! Nothing is scaled: the walls are those of the systems, and the hours pass as fast as they are waited for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::core::{Refusal, Request};
use super::tests::{account, request, send};
use super::{Account, Leave};
use crate::policy::breaker::Outcome;
use crate::policy::limit::{About, Observation};

const CALLS: usize = 5_000;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How long a request is on its way, and its answer.
const WAY: Duration = Duration::from_millis(40);

/// So many agents ask at once, each for its next as soon as it has an answer.
const AGENTS: usize = 50;

/// A system: it counts arrivals in a rolling window and knows nothing of its callers.
struct System {
    limit: usize,
    window: Duration,
    /// Used by somebody else, and not free again before the end.
    taken: usize,
    arrivals: Mutex<(VecDeque<Instant>, usize)>,
}

/// How long to wait, if it was too fast.
type TooFast = Option<Duration>;

impl System {
    fn new(limit: usize, window: Duration, taken: usize) -> Arc<Self> {
        Arc::new(Self { limit, window, taken, arrivals: Mutex::default() })
    }

    async fn ask(&self) -> TooFast {
        tokio::time::sleep(WAY).await;
        let answer = self.arrive(Instant::now());
        tokio::time::sleep(WAY).await;
        answer
    }

    fn arrive(&self, now: Instant) -> TooFast {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, refused) = &mut *arrivals;
        while taken.front().is_some_and(|at| *at + self.window <= now) {
            taken.pop_front();
        }
        if taken.len() + self.taken < self.limit {
            taken.push_back(now);
            return None;
        }
        *refused += 1;
        Some(taken.front().map_or(self.window, |at| *at + self.window - now))
    }

    /// How many it took within the window, and how often it has said "too fast".
    fn counted(&self) -> (usize, usize) {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        (arrivals.0.len(), arrivals.1)
    }
}

/// One call through the policies; whether it was let out.
async fn guarded(account: &Arc<Account>, system: &System, patience: Duration) -> Result<(), Refusal> {
    let asks: Request = request(account, patience);
    let leave: Leave = send(account.enter(&asks, false).await?);
    assert_eq!(system.ask().await, None, "let out too early");
    drop(leave.answered(|took| Outcome::Success { took }));
    Ok(())
}

/// One call of a client that does what it is told, when it is told, and knows nothing before.
async fn naive(system: &System, patience: Duration) {
    let deadline = Instant::now() + patience;
    while let Some(wait) = system.ask().await {
        if Instant::now() + wait >= deadline {
            return;
        }
        tokio::time::sleep(wait).await;
    }
}

/// Lets the agents make all calls; the results of each.
async fn all<R: Send + 'static>(call: impl AsyncFn() -> R + Copy) -> Vec<R> {
    let mut results = Vec::with_capacity(CALLS);
    let agents = (0..AGENTS).map(async |_| {
        let mut own = Vec::new();
        for _ in 0..CALLS / AGENTS {
            own.push(call().await);
        }
        own
    });
    for own in futures_util::future::join_all(agents).await {
        results.extend(own);
    }
    results
}

#[tokio::test(start_paused = true)]
async fn a_wall_of_a_minute_is_never_met_and_used_up_and_a_naive_client_meets_it_all_the_time() {
    let patience = 10 * MINUTE;
    let (system, account) = (System::new(20, MINUTE, 0), account(&["20/min", "100000/24h"]));
    let start = Instant::now();
    let results = all(async || guarded(&account, &system, patience).await).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(system.counted().1, 0);
    // 20 at once, and 20 more in each minute: a window begins with its first arrival and ends with the last answer.
    let (minutes, rounds) = (start.elapsed().as_secs_f64() / 60.0, (CALLS / 20 - 1) as f64);
    assert!((rounds..rounds * 1.005).contains(&minutes), "{minutes} minutes");

    let system = System::new(20, MINUTE, 0);
    all(async || naive(&system, patience).await).await;
    let (_, refused) = system.counted();
    println!("429s in {CALLS} calls against 20/min: 0, and {refused} for the naive client");
    assert!(refused > CALLS, "{refused}");
}

#[tokio::test(start_paused = true)]
async fn of_a_days_quota_what_others_left_is_used_up_and_the_rest_is_told_until_when() {
    const QUOTA: usize = 100_000;
    const TAKEN: usize = 96_000;
    let (system, account) = (System::new(QUOTA, DAY, TAKEN), account(&["100000/24h"]));
    // The first answer says what is used, as the systems' headers do.
    account.learn(&Observation {
        about: About::Upstream,
        window: Some(DAY),
        limit: Some(QUOTA as u64),
        remaining: None,
        used: Some(TAKEN as u64),
        resets_at: None,
        asked_at: account.now().mono,
    });
    let results = all(async || guarded(&account, &system, MINUTE).await).await;
    let refused: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert_eq!((system.counted(), refused.len()), ((QUOTA - TAKEN, 0), CALLS - (QUOTA - TAKEN)));
    for refusal in refused {
        let fault = account.refused("crm", &request(&account, MINUTE), refusal);
        assert_eq!(fault.kind, crate::fault::FaultKind::QuotaExhausted);
        assert!(fault.retry_at.is_some(), "{fault:?}");
    }

    let system = System::new(QUOTA, DAY, TAKEN);
    all(async || naive(&system, MINUTE).await).await;
    assert_eq!(system.counted(), (QUOTA - TAKEN, CALLS - (QUOTA - TAKEN)));
}
