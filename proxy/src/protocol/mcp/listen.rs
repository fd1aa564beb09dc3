//! Telling a client that the list of tools has changed, for as long as it listens.
//!
//! Owns what a listener hears, in order: an acknowledgement (modern), a message for each change, and when
//! Ferrata drains, an end. Changes that come faster than they are read are heard as one.

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::events::{PING, PING_INTERVAL, event};
use super::results;
use crate::protocol::jsonrpc::Id;
use crate::server::Drain;

/// What a modern client asked to hear.
#[derive(Debug)]
pub struct Subscription {
    pub id: Box<Id>,
    pub tool_changes: bool,
}

/// The sources of what listeners hear, and the leave to be one.
#[derive(Debug)]
pub struct Feed {
    pub changes: watch::Receiver<u64>,
    pub drain: Drain,
    /// Held while somebody listens; there are only so many.
    pub permit: OwnedSemaphorePermit,
}

/// One listening client.
#[derive(Debug)]
pub struct Listener {
    changes: watch::Receiver<u64>,
    drain: Drain,
    _permit: OwnedSemaphorePermit,
    opening: Option<Vec<u8>>,
    /// Said at each change; nothing for a client that asked for nothing.
    change: Option<Vec<u8>>,
    closing: Option<Vec<u8>>,
    ended: bool,
}

impl Listener {
    /// For `subscriptions/listen`.
    pub fn modern(subscription: &Subscription, feed: Feed) -> Self {
        let Subscription { id, tool_changes } = subscription;
        let change = tool_changes.then(|| results::tools_changed(Some(id)));
        let opening = results::subscription_acknowledged(id, *tool_changes);
        Self {
            opening: Some(opening),
            closing: Some(results::subscription_ended(id)),
            ..Self::new(feed, change)
        }
    }

    /// For a legacy client, which hears of changes without asking.
    pub fn legacy(feed: Feed) -> Self {
        Self::new(feed, Some(results::tools_changed(None)))
    }

    /// What changed before is not told.
    fn new(feed: Feed, change: Option<Vec<u8>>) -> Self {
        let Feed { mut changes, drain, permit } = feed;
        changes.mark_unchanged();
        Self { changes, drain, _permit: permit, opening: None, change, closing: None, ended: false }
    }

    /// The next message; none once it is over. Safe to cancel.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(opening) = self.opening.take() {
            return Some(opening);
        }
        if self.ended {
            return None;
        }
        tokio::select! {
            biased;
            () = self.drain.begun() => {}
            changed = self.changes.changed(), if self.change.is_some() => {
                if changed.is_ok() {
                    return self.change.clone();
                }
            }
        }
        self.ended = true;
        self.closing.take()
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

    fn feed() -> (watch::Sender<u64>, DrainTrigger, Arc<Semaphore>, Feed) {
        let (change, changes) = watch::channel(0);
        let (trigger, drain) = drain();
        let seats = Arc::new(Semaphore::new(1));
        let permit = seats.clone().try_acquire_owned().unwrap();
        (change, trigger, seats, Feed { changes, drain, permit })
    }

    fn subscription(tool_changes: bool) -> Subscription {
        Subscription { id: RawValue::from_string("7".into()).unwrap(), tool_changes }
    }

    #[tokio::test]
    async fn a_subscription_is_acknowledged_told_and_ended() {
        let (change, trigger, seats, feed) = feed();
        change.send_replace(1);
        let mut listener = Listener::modern(&subscription(true), feed);
        change.send_replace(2);
        change.send_replace(3);
        let id = RawValue::from_string("7".into()).unwrap();
        assert_eq!(listener.next().await, Some(results::subscription_acknowledged(&id, true)));
        assert_eq!(listener.next().await, Some(results::tools_changed(Some(&id))));
        trigger.begin();
        assert_eq!(listener.next().await, Some(results::subscription_ended(&id)));
        assert_eq!(listener.next().await, None);
        assert_eq!(seats.available_permits(), 0);
        drop(listener);
        assert_eq!(seats.available_permits(), 1);
    }

    #[tokio::test]
    async fn what_was_not_asked_for_is_not_told() {
        let (change, trigger, _seats, feed) = feed();
        let mut listener = Listener::modern(&subscription(false), feed);
        listener.next().await.unwrap();
        change.send_replace(1);
        assert_eq!(listener.next().now_or_never(), None);
        trigger.begin();
        let id = RawValue::from_string("7".into()).unwrap();
        assert_eq!(listener.next().await, Some(results::subscription_ended(&id)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_stream_shows_life_while_nothing_happens() {
        let (change, trigger, _seats, feed) = feed();
        let mut events = Box::pin(Listener::legacy(feed).into_events());
        assert_eq!(events.next().await, Some(PING));
        change.send_replace(1);
        assert_eq!(events.next().await, Some(event(results::tools_changed(None))));
        trigger.begin();
        assert_eq!(events.next().await, None);
    }
}
