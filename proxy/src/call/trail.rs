//! What was sent on behalf of a call, as far as it is to be written down: which operation of whose quota, what it cost, how it ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// Most exchanges of one call that are told one by one; the rest are only counted.
const MAX_EXCHANGES: usize = 32;

/// Where exchanges are noted. Nothing is, unless somebody wants to know.
#[derive(Clone, Debug, Default)]
pub struct Trail(Option<Arc<Mutex<Noted>>>);

/// What was noted so far.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    pub exchanges: Vec<Exchanged>,
    /// How many more there were.
    pub left_out: usize,
    /// The answer is that of an identical read, which was under way already.
    pub coalesced: bool,
    /// The exchanges that it made together with others, and how many calls those were.
    together: Option<(Trail, usize)>,
}

/// One request or statement, as it was sent.
#[derive(Clone, Debug, Serialize)]
pub struct Exchanged {
    /// Whose quota it was.
    pub account: Arc<str>,
    pub upstream: Arc<str>,
    pub operation: Arc<str>,
    /// What it took of each of the walls.
    pub cost: u64,
    pub walls: Vec<String>,
    pub ended: Ended,
    /// Of an HTTP answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(rename = "ms", serialize_with = "as_millis")]
    pub took: Duration,
    #[serde(skip)]
    pub began: Instant,
}

/// What became of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// There is no answer yet, or nobody waited for it.
    UnderWay,
    Answered,
    /// It may have arrived, and there is no answer.
    Unanswered,
    /// It never arrived, and cost nothing.
    NotSent,
}

/// An exchange that was noted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step(Option<usize>);

impl Trail {
    /// One that is kept.
    pub fn kept() -> Self {
        Self(Some(Arc::default()))
    }

    pub fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Notes what is about to be sent.
    pub fn begin(&self, exchange: impl FnOnce() -> Exchanged) -> Step {
        let Some(mut noted) = self.lock() else { return Step(None) };
        if noted.exchanges.len() >= MAX_EXCHANGES {
            noted.left_out += 1;
            return Step(None);
        }
        noted.exchanges.push(exchange());
        Step(Some(noted.exchanges.len() - 1))
    }

    /// Notes how it ended.
    pub fn end(&self, step: Step, ended: Ended, status: Option<u16>) {
        let (Some(mut noted), Some(index)) = (self.lock(), step.0) else { return };
        let Some(exchange) = noted.exchanges.get_mut(index) else { return };
        (exchange.ended, exchange.status, exchange.took) = (ended, status, exchange.began.elapsed());
        if ended == Ended::NotSent {
            exchange.cost = 0;
        }
    }

    pub fn note_coalesced(&self) {
        if let Some(mut noted) = self.lock() {
            noted.coalesced = true;
        }
    }

    /// From here on, the call travels with others.
    pub fn join(&self, together: Self, calls: usize) {
        if let Some(mut noted) = self.lock() {
            noted.together = Some((together, calls));
        }
    }

    /// What was noted, and how many calls were made together. None if nothing is kept.
    pub fn noted(&self) -> Option<(Noted, Option<usize>)> {
        let mut noted = self.lock()?.clone();
        let together = noted.together.take();
        let others = together.as_ref().and_then(|(trail, _)| Some(trail.lock()?.clone()));
        if let Some(others) = others {
            noted.exchanges.extend(others.exchanges);
            noted.left_out += others.left_out;
        }
        Some((noted, together.map(|(_, calls)| calls)))
    }

    fn lock(&self) -> Option<MutexGuard<'_, Noted>> {
        self.0.as_ref().map(|noted| noted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn as_millis<S: serde::Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(millis(*took))
}

/// With microseconds behind the point.
pub fn millis(took: Duration) -> f64 {
    took.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange() -> Exchanged {
        Exchanged {
            account: "acme".into(),
            upstream: "api".into(),
            operation: "read".into(),
            cost: 3,
            walls: Vec::new(),
            ended: Ended::UnderWay,
            status: None,
            took: Duration::ZERO,
            began: Instant::now(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_sent_is_noted_and_what_did_not_arrive_cost_nothing() {
        let trail = Trail::kept();
        let (first, second) = (trail.begin(exchange), trail.begin(exchange));
        tokio::time::advance(Duration::from_millis(7)).await;
        trail.end(first, Ended::Answered, Some(200));
        trail.end(second, Ended::NotSent, None);
        let (noted, together) = trail.noted().unwrap();
        let told: Vec<_> = noted.exchanges.iter().map(|e| (e.ended, e.status, e.cost)).collect();
        assert_eq!(told, [(Ended::Answered, Some(200), 3), (Ended::NotSent, None, 0)]);
        assert_eq!((noted.exchanges[0].took, together), (Duration::from_millis(7), None));
        assert!(Trail::default().noted().is_none());
    }

    #[tokio::test]
    async fn a_long_trail_is_counted_and_not_kept() {
        let trail = Trail::kept();
        for _ in 0..MAX_EXCHANGES + 5 {
            let step = trail.begin(exchange);
            trail.end(step, Ended::Answered, Some(200));
        }
        let (noted, _) = trail.noted().unwrap();
        assert_eq!((noted.exchanges.len(), noted.left_out), (MAX_EXCHANGES, 5));
    }

    #[tokio::test]
    async fn calls_that_travel_together_tell_the_same_exchanges() {
        let (one, together) = (Trail::kept(), Trail::kept());
        one.join(together.clone(), 4);
        together.begin(exchange);
        let (noted, calls) = one.noted().unwrap();
        assert_eq!((noted.exchanges.len(), calls), (1, Some(4)));
    }
}
