//! How far a call has come: from a guest to whoever asked.
//!
//! A guest may report without end. What is passed on increases, comes at a bounded rate and has a bounded size; the rest is dropped, because
//! the next report says more than the one that was missed.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

/// Reports that may follow each other at once; also those that wait for a client which reads slowly.
const BURST: u32 = 16;

/// How often a report may be passed on once the burst is used up.
const INTERVAL: Duration = Duration::from_millis(100);

/// Longest message, in bytes: a line for a person.
pub const MAX_MESSAGE_BYTES: usize = 256;

/// One report.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Grows from report to report; finite.
    pub done: f64,
    /// What `done` will be in the end, if that is known; finite.
    pub total: Option<f64>,
    pub message: Option<String>,
}

/// What arrives. Ends when the call does.
pub type Reports = mpsc::Receiver<Progress>;

/// The call's end of it.
#[derive(Debug)]
pub struct Reporter {
    reports: mpsc::Sender<Progress>,
    last: f64,
    /// How many reports may be passed on now.
    allowance: u32,
    /// When the allowance was last added to.
    added: Instant,
}

impl Reporter {
    pub fn new() -> (Self, Reports) {
        let (reports, arriving) = mpsc::channel(BURST as usize);
        let reporter = Self { reports, last: f64::NEG_INFINITY, allowance: BURST, added: Instant::now() };
        (reporter, arriving)
    }

    /// Passes a report on, or drops it. `message` is asked for only if it is passed on.
    pub fn report(&mut self, done: f64, total: Option<f64>, message: impl FnOnce() -> Option<String>) {
        if !done.is_finite() || done <= self.last || self.reports.is_closed() || !self.may_report() {
            return;
        }
        self.last = done;
        let total = total.filter(|total| total.is_finite());
        // A client that does not read misses reports, and holds nothing up.
        let _ = self.reports.try_send(Progress { done, total, message: message() });
    }

    fn may_report(&mut self) -> bool {
        let since = self.added.elapsed();
        let earned = u32::try_from(since.as_millis() / INTERVAL.as_millis()).unwrap_or(BURST);
        if earned > 0 {
            self.allowance = self.allowance.saturating_add(earned).min(BURST);
            self.added = Instant::now();
        }
        let may = self.allowance > 0;
        self.allowance -= u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(reports: &mut Reports) -> Vec<f64> {
        std::iter::from_fn(|| reports.try_recv().ok()).map(|report| report.done).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_passed_on_increases() {
        let (mut reporter, mut reports) = Reporter::new();
        for done in [1.0, 3.0, 2.0, 3.0, f64::NAN, f64::INFINITY, 4.0] {
            reporter.report(done, Some(f64::NAN), || None);
        }
        assert_eq!(reports.recv().await.unwrap().total, None);
        assert_eq!(arrived(&mut reports), [3.0, 4.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_thinned_out_and_its_messages_are_not_even_made() {
        let (mut reporter, mut reports) = Reporter::new();
        let mut made = 0;
        for done in 0..10_000 {
            reporter.report(f64::from(done), None, || {
                made += 1;
                None
            });
        }
        assert_eq!((made, arrived(&mut reports).len()), (BURST, BURST as usize));
        tokio::time::advance(INTERVAL * 3).await;
        for done in 10_000..20_000 {
            reporter.report(f64::from(done), None, || None);
        }
        assert_eq!(arrived(&mut reports), [10_000.0, 10_001.0, 10_002.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_holds_nothing_up() {
        let (mut reporter, mut reports) = Reporter::new();
        for done in 0..100 {
            reporter.report(f64::from(done), None, || None);
            tokio::time::advance(INTERVAL).await;
        }
        assert_eq!(arrived(&mut reports).len(), BURST as usize);
        drop(reports);
        reporter.report(1e9, None, || panic!("nobody is there to read it"));
    }
}
