//! Earlier answers to reads, for when the system cannot be asked. Kept only where the operator wants that, within bounds, and found only by whoever got
//! them, as long as it has not written since.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::flight::Read;
use crate::call::{Source, ToolResult};

/// What all callers' earlier answers may take, in bytes: some ten thousand records.
const MAX_BYTES: u64 = 32 << 20;

/// Largest answer that is kept, in bytes: no single one drives out all others.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// What an entry costs beside its texts, in bytes.
const ENTRY_BYTES: usize = 256;

/// What is kept, by the caller's epoch and what was read.
type Key = (u64, Arc<Read>);

#[derive(Clone)]
struct Kept {
    result: Arc<ToolResult>,
    at: Instant,
    as_of: jiff::Timestamp,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Kept> for ByBytes {
    fn weight(&self, (_, read): &Key, kept: &Kept) -> u64 {
        (read.bytes() + kept.result.bytes() + ENTRY_BYTES) as u64
    }
}

/// The earlier answers of all callers.
pub struct StaleAnswers(Cache<Key, Kept, ByBytes>);

impl Default for StaleAnswers {
    fn default() -> Self {
        Self(Cache::with_weighter(1024, MAX_BYTES, ByBytes))
    }
}

impl StaleAnswers {
    /// `epoch` is the caller's from before the read: an answer that a write has overtaken is never found.
    pub fn keep(&self, epoch: u64, read: Arc<Read>, result: &ToolResult) {
        if result.bytes() <= MAX_ANSWER_BYTES && !matches!(result, ToolResult::Question(_)) {
            let as_of = whole_seconds(jiff::Timestamp::now());
            let kept = Kept { result: Arc::new(result.clone()), at: Instant::now(), as_of };
            self.0.insert((epoch, read), kept);
        }
    }

    /// The latest answer, if it is no older than `within`.
    pub fn find(&self, epoch: u64, read: &Arc<Read>, within: Duration) -> Option<(ToolResult, Source)> {
        let Kept { result, at, as_of } = self.0.get(&(epoch, Arc::clone(read)))?;
        let age = at.elapsed();
        (age <= within).then(|| ((*result).clone(), Source::Stale { age, as_of }))
    }

    /// What the system denies now was true once, and is not to be told any more.
    pub fn forget(&self, epoch: u64, read: Arc<Read>) {
        self.0.remove(&(epoch, read));
    }
}

fn whole_seconds(at: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::flight::tests::{read, result};

    const WITHIN: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_found_while_it_is_young_enough_with_its_age() {
        let (stale, read) = (StaleAnswers::default(), read("{}"));
        stale.keep(7, Arc::clone(&read), &result("{}"));
        tokio::time::advance(WITHIN).await;
        let (_, source) = stale.find(7, &read, WITHIN).unwrap();
        assert!(matches!(source, Source::Stale { age, .. } if age == WITHIN));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(stale.find(7, &read, WITHIN).is_none());
    }

    #[tokio::test]
    async fn an_answer_of_another_epoch_or_one_that_is_denied_is_not_found() {
        let (stale, read) = (StaleAnswers::default(), read("{}"));
        stale.keep(7, Arc::clone(&read), &result("{}"));
        assert!(stale.find(8, &read, WITHIN).is_none());
        stale.forget(7, Arc::clone(&read));
        assert!(stale.find(7, &read, WITHIN).is_none());
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        let stale = StaleAnswers::default();
        let large = result(&format!("\"{}\"", "x".repeat(MAX_ANSWER_BYTES)));
        stale.keep(7, read("{}"), &large);
        assert!(stale.find(7, &read("{}"), WITHIN).is_none());
        let half = result(&format!("\"{}\"", "x".repeat(MAX_ANSWER_BYTES / 2)));
        for number in 0..200 {
            stale.keep(7, read(&number.to_string()), &half);
        }
        let kept = (0..200).filter(|number| stale.find(7, &read(&number.to_string()), WITHIN).is_some());
        assert!(kept.count() as u64 <= MAX_BYTES / (MAX_ANSWER_BYTES as u64 / 2));
    }
}
