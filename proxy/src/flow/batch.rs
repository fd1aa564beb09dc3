//! Calls that wait for the same slot and travel as one: who sits in which batch, and who has left.
//!
//! Knows neither tools nor walls: the first of a batch starts a journey (a task), which waits for the slot, [closes](Batches::close) the batch and makes
//! it. A journey ends when nobody waits for it any more.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

/// All batches that somebody can join, by what their calls must have in common.
#[derive(Debug)]
pub struct Batches<K, C, R>(Mutex<HashMap<K, Arc<Batch<C, R>>>>);

/// One batch.
#[derive(Debug)]
pub struct Batch<C, R> {
    items: Mutex<Vec<Item<C, R>>>,
    /// Those who wait for an answer.
    present: AtomicUsize,
    deserted: Notify,
    closed: AtomicBool,
}

/// One call and where its answer goes.
#[derive(Debug)]
pub struct Item<C, R> {
    pub call: C,
    answer: oneshot::Sender<R>,
}

/// A place in a batch; dropping it is leaving.
#[derive(Debug)]
pub struct Seat<C, R> {
    answer: oneshot::Receiver<R>,
    batch: Arc<Batch<C, R>>,
}

/// A seat, and the batch if it is a new one.
pub type Joined<C, R> = (Seat<C, R>, Option<Arc<Batch<C, R>>>);

impl<K, C, R> Default for Batches<K, C, R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone, C, R> Batches<K, C, R> {
    /// Takes a seat in the batch of that key, which has `most` seats. The batch comes along if it is a new one: its journey is to be started.
    pub fn join(&self, key: &K, call: C, most: usize) -> Joined<C, R> {
        let mut forming = self.lock();
        if let Some(batch) = forming.get(key) {
            let batch = Arc::clone(batch);
            let (seat, taken) = batch.sit(call);
            if taken >= most {
                // It still waits for its slot, with nobody more.
                forming.remove(key);
            }
            return (seat, None);
        }
        let batch = Arc::new(Batch::default());
        if most > 1 {
            forming.insert(key.clone(), Arc::clone(&batch));
        }
        (batch.sit(call).0, Some(batch))
    }

    /// Nobody can join that batch any longer; those of its calls that somebody waits for.
    pub fn close(&self, key: &K, batch: &Arc<Batch<C, R>>) -> Vec<Item<C, R>> {
        let mut forming = self.lock();
        if forming.get(key).is_some_and(|current| Arc::ptr_eq(current, batch)) {
            forming.remove(key);
        }
        batch.closed.store(true, Ordering::Release);
        let mut items = std::mem::take(&mut *batch.lock());
        items.retain(|item| !item.answer.is_closed());
        items
    }

    /// Those for whom `is_over` holds leave the batch, which goes on waiting for its slot, unless nobody is left in it.
    pub fn dismiss(
        &self,
        key: &K,
        batch: &Arc<Batch<C, R>>,
        is_over: impl Fn(&C) -> bool,
    ) -> Vec<Item<C, R>> {
        let mut forming = self.lock();
        let mut items = batch.lock();
        let (over, rest): (Vec<_>, Vec<_>) = items.drain(..).partition(|item| is_over(&item.call));
        *items = rest;
        if items.is_empty() && forming.get(key).is_some_and(|current| Arc::ptr_eq(current, batch)) {
            forming.remove(key);
        }
        over
    }

    /// Ends a batch that nobody waits for any more; false if somebody has come after all.
    pub fn end_deserted(&self, key: &K, batch: &Arc<Batch<C, R>>) -> bool {
        let mut forming = self.lock();
        let deserted = batch.present.load(Ordering::Acquire) == 0;
        if deserted && forming.get(key).is_some_and(|current| Arc::ptr_eq(current, batch)) {
            forming.remove(key);
        }
        deserted
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<Batch<C, R>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C, R> Default for Batch<C, R> {
    fn default() -> Self {
        Self {
            items: Mutex::default(),
            present: AtomicUsize::new(0),
            deserted: Notify::new(),
            closed: AtomicBool::new(false),
        }
    }
}

impl<C, R> Batch<C, R> {
    fn sit(self: &Arc<Self>, call: C) -> (Seat<C, R>, usize) {
        let (sender, answer) = oneshot::channel();
        self.present.fetch_add(1, Ordering::AcqRel);
        let mut items = self.lock();
        items.push(Item { call, answer: sender });
        (Seat { answer, batch: Arc::clone(self) }, items.len())
    }

    /// Returns when nobody waits for an answer any more.
    pub async fn deserted(&self) {
        while self.present.load(Ordering::Acquire) > 0 {
            self.deserted.notified().await;
        }
    }

    /// What `read` makes of the first call that still sits here.
    pub fn first<T>(&self, read: impl FnOnce(&C) -> T) -> Option<T> {
        self.lock().first().map(|item| read(&item.call))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Item<C, R>>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C, R> Item<C, R> {
    /// The call, and where its answer goes.
    pub fn split(self) -> (C, oneshot::Sender<R>) {
        (self.call, self.answer)
    }

    /// Whoever asked may have left, and then nobody hears it.
    pub fn answer(self, answer: R) {
        let _ = self.answer.send(answer);
    }
}

impl<C, R> Seat<C, R> {
    /// The answer; none if the journey ended without one.
    pub async fn answer(&mut self) -> Option<R> {
        (&mut self.answer).await.ok()
    }

    /// Whether the batch has its permit and was sent on its way.
    pub fn is_under_way(&self) -> bool {
        self.batch.closed.load(Ordering::Acquire)
    }
}

impl<C, R> Drop for Seat<C, R> {
    fn drop(&mut self) {
        self.answer.close();
        if self.batch.present.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.batch.deserted.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    type Test = Batches<&'static str, u32, String>;

    #[tokio::test]
    async fn calls_of_one_key_sit_together_until_it_is_closed_and_each_gets_its_answer() {
        let batches = Test::default();
        let (mut first, batch) = batches.join(&"k", 1, 10);
        let batch = batch.unwrap();
        let (mut second, joined) = batches.join(&"k", 2, 10);
        assert!(joined.is_none() && batches.join(&"other", 3, 10).1.is_some());
        for item in batches.close(&"k", &batch) {
            let answer = format!("to {}", item.call);
            item.answer(answer);
        }
        assert_eq!(first.answer().await.unwrap(), "to 1");
        assert_eq!(second.answer().await.unwrap(), "to 2");
        assert!(batches.join(&"k", 4, 10).1.is_some());
    }

    #[test]
    fn a_full_batch_takes_nobody_more() {
        let batches = Test::default();
        let (_first, full) = batches.join(&"k", 1, 2);
        let _second = batches.join(&"k", 2, 2).0;
        let (_third, next) = batches.join(&"k", 3, 2);
        assert!(next.is_some());
        assert_eq!(batches.close(&"k", &full.unwrap()).len(), 2);
        assert!(batches.join(&"k", 4, 2).1.is_none());
        let alone = batches.join(&"single", 5, 1);
        assert!(alone.1.is_some() && batches.join(&"single", 6, 1).1.is_some());
    }

    #[tokio::test]
    async fn who_leaves_takes_nobody_along_and_the_last_ends_the_journey() {
        let batches = Test::default();
        let (first, batch) = batches.join(&"k", 1, 10);
        let batch = batch.unwrap();
        let (mut second, _) = batches.join(&"k", 2, 10);
        drop(first);
        assert!(batch.deserted().now_or_never().is_none());
        let items = batches.close(&"k", &batch);
        assert_eq!(items.iter().map(|item| item.call).collect::<Vec<_>>(), [2]);
        drop(items);
        assert_eq!(second.answer().await, None);
        drop(second);
        assert!(batch.deserted().now_or_never().is_some());
    }

    #[test]
    fn a_batch_that_somebody_joined_after_all_is_not_ended() {
        let batches = Test::default();
        let (first, batch) = batches.join(&"k", 1, 10);
        let batch = batch.unwrap();
        drop(first);
        let late = batches.join(&"k", 2, 10);
        assert!(late.1.is_none() && !batches.end_deserted(&"k", &batch));
        drop(late);
        assert!(batches.end_deserted(&"k", &batch));
        assert!(batches.join(&"k", 3, 10).1.is_some());
    }

    #[test]
    fn those_whose_time_is_over_leave_the_others_waiting() {
        let batches = Test::default();
        let (_first, batch) = batches.join(&"k", 1, 10);
        let _second = batches.join(&"k", 2, 10).0;
        let batch = batch.unwrap();
        assert_eq!(batches.dismiss(&"k", &batch, |call| *call == 1).len(), 1);
        let (_third, joined) = batches.join(&"k", 3, 10);
        assert!(joined.is_none() && batch.first(|call| *call) == Some(2));
        assert_eq!(batches.dismiss(&"k", &batch, |_| true).len(), 2);
        assert!(batch.first(|call| *call).is_none() && batches.join(&"k", 4, 10).1.is_some());
    }
}
