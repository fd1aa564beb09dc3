//! Telling a client that a list has changed, for as long as it listens.
//!
//! Owns what a listener hears, in order: an acknowledgement (modern), a message for each change, and when
//! Ferrata drains, an end. Changes that come faster than they are read are heard as one.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::events::{PING, PING_INTERVAL, event};
use super::{notifications, results};
use crate::gate::{Changes, List};
use crate::protocol::jsonrpc::Id;
use crate::server::Drain;

/// What a modern client asked to hear.
#[derive(Debug)]
pub struct Subscription {
    pub id: Box<Id>,
    /// The lists of whose changes it hears.
    pub lists: Vec<List>,
}

/// The sources of what listeners hear, and the leave to be one.
#[derive(Debug)]
pub struct Feed {
    pub changes: watch::Receiver<Changes>,
    pub drain: Drain,
    /// Held while somebody listens; there are only so many.
    pub permit: OwnedSemaphorePermit,
}

/// One listening client.
#[derive(Debug)]
pub struct Listener {
    changes: watch::Receiver<Changes>,
    /// Up to where this client has heard.
    heard: Changes,
    drain: Drain,
    _permit: OwnedSemaphorePermit,
    /// Of a modern client.
    id: Option<Box<Id>>,
    lists: Vec<List>,
    /// What is to be said next: at most the opening, or one message for each list.
    waiting: VecDeque<Vec<u8>>,
    ended: bool,
}

impl Listener {
    /// For `subscriptions/listen`.
    pub fn modern(subscription: &Subscription, feed: Feed) -> Self {
        let Subscription { id, lists } = subscription;
        let opening = notifications::subscription_acknowledged(id, lists);
        Self { id: Some(id.clone()), waiting: VecDeque::from([opening]), ..Self::new(feed, lists.clone()) }
    }

    /// For a legacy client, which hears of changes without asking.
    pub fn legacy(feed: Feed) -> Self {
        Self::new(feed, List::ALL.to_vec())
    }

    /// What changed before is not told.
    fn new(feed: Feed, lists: Vec<List>) -> Self {
        let Feed { mut changes, drain, permit } = feed;
        let heard = *changes.borrow_and_update();
        Self {
            changes,
            heard,
            drain,
            _permit: permit,
            id: None,
            lists,
            waiting: VecDeque::new(),
            ended: false,
        }
    }

    /// The next message; none once it is over. Safe to cancel.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some(message);
            }
            if self.ended {
                return None;
            }
            tokio::select! {
                biased;
                () = self.drain.begun() => self.end(),
                changed = self.changes.changed(), if !self.lists.is_empty() => match changed {
                    Ok(()) => self.note_changes(),
                    Err(_) => self.end(),
                },
            }
        }
    }

    fn note_changes(&mut self) {
        let now = *self.changes.borrow_and_update();
        let changed = now.since(std::mem::replace(&mut self.heard, now));
        let told = changed.filter(|list| self.lists.contains(list));
        self.waiting.extend(told.map(|list| notifications::list_changed(list, self.id.as_deref())));
    }

    fn end(&mut self) {
        self.ended = true;
        self.waiting.extend(self.id.as_deref().map(results::subscription_ended));
    }

    /// The messages as server-sent events.
    pub fn into_events(self) -> impl Stream<Item = Bytes> + Send {
        stream::unfold(self, async |mut listener| {
            let event = match tokio::time::timeout(PING_INTERVAL, listener.next()).await {
                Err(_) => PING,
                Ok(message) => event(message?),
            };
            Some((event, listener))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::{FutureExt, StreamExt};
    use serde_json::value::RawValue;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::server::{DrainTrigger, drain};

    fn feed() -> (watch::Sender<Changes>, DrainTrigger, Arc<Semaphore>, Feed) {
        let (change, changes) = watch::channel(Changes::default());
        let (trigger, drain) = drain();
        let seats = Arc::new(Semaphore::new(1));
        let permit = seats.clone().try_acquire_owned().unwrap();
        (change, trigger, seats, Feed { changes, drain, permit })
    }

    fn change(changes: &watch::Sender<Changes>, list: List) {
        changes.send_modify(|changes| *changes = changes.and(list));
    }

    fn subscription(lists: &[List]) -> Subscription {
        Subscription { id: RawValue::from_string("7".into()).unwrap(), lists: lists.to_vec() }
    }

    #[tokio::test]
    async fn a_subscription_is_acknowledged_told_and_ended() {
        let (changes, trigger, seats, feed) = feed();
        change(&changes, List::Tools);
        let mut listener = Listener::modern(&subscription(&List::ALL), feed);
        change(&changes, List::Tools);
        change(&changes, List::Tools);
        change(&changes, List::Resources);
        let id = RawValue::from_string("7".into()).unwrap();
        assert_eq!(listener.next().await, Some(notifications::subscription_acknowledged(&id, &List::ALL)));
        assert_eq!(listener.next().await, Some(notifications::list_changed(List::Tools, Some(&id))));
        assert_eq!(listener.next().await, Some(notifications::list_changed(List::Resources, Some(&id))));
        trigger.begin();
        assert_eq!(listener.next().await, Some(results::subscription_ended(&id)));
        assert_eq!(listener.next().await, None);
        assert_eq!(seats.available_permits(), 0);
        drop(listener);
        assert_eq!(seats.available_permits(), 1);
    }

    #[tokio::test]
    async fn what_was_not_asked_for_is_not_told() {
        for lists in [&[][..], &[List::Resources]] {
            let (changes, trigger, _seats, feed) = feed();
            let mut listener = Listener::modern(&subscription(lists), feed);
            listener.next().await.unwrap();
            change(&changes, List::Tools);
            assert_eq!(listener.next().now_or_never(), None);
            trigger.begin();
            let id = RawValue::from_string("7".into()).unwrap();
            assert_eq!(listener.next().await, Some(results::subscription_ended(&id)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_stream_shows_life_while_nothing_happens() {
        let (changes, trigger, _seats, feed) = feed();
        let mut events = Box::pin(Listener::legacy(feed).into_events());
        assert_eq!(events.next().await, Some(PING));
        change(&changes, List::Resources);
        assert_eq!(events.next().await, Some(event(notifications::list_changed(List::Resources, None))));
        trigger.begin();
        assert_eq!(events.next().await, None);
    }
}
