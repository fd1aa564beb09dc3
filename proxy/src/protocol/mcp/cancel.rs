//! Giving up a call by a message of its own, as legacy clients over HTTP do: closing the connection means nothing to most of them.
//!
//! A request's id is its client's own. The session that a legacy client was given tells it from others; without one, a call cannot be given up
//! so.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::AbortHandle;

use crate::call::Caller;
use crate::protocol::jsonrpc::Id;

/// Longest session that is remembered, in bytes; those that Ferrata gives have 32.
const MAX_SESSION_BYTES: usize = 64;

/// Agent, session, and the request's id as it was written.
type Key = (Arc<str>, String, String);

/// Calls under way that can be given up.
#[derive(Debug, Default)]
pub struct Cancellations(Mutex<HashMap<Key, AbortHandle>>);

/// One client's calls.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    pub id: &'a str,
    pub all: &'a Arc<Cancellations>,
}

/// A call that can be given up as long as this lives.
#[derive(Debug)]
pub struct Noted {
    all: Arc<Cancellations>,
    key: Key,
}

impl<'a> Session<'a> {
    pub fn new(id: &'a str, all: &'a Arc<Cancellations>) -> Option<Self> {
        (1..=MAX_SESSION_BYTES).contains(&id.len()).then_some(Self { id, all })
    }

    /// None if a request of this id is under way: which of them is meant, nobody could say.
    pub fn note(&self, caller: &Caller, id: &Id, call: AbortHandle) -> Option<Noted> {
        let key = self.key(caller, id);
        match self.all.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                place.insert(call);
                Some(Noted { all: Arc::clone(self.all), key })
            }
        }
    }

    pub fn cancel(&self, caller: &Caller, id: &Id) {
        let noted = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(call) = noted.get(&self.key(caller, id)) {
            call.abort();
        }
    }

    fn key(&self, caller: &Caller, id: &Id) -> Key {
        (Arc::clone(&caller.agent), self.id.to_owned(), id.get().to_owned())
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[tokio::test]
    async fn a_call_is_given_up_by_whoever_made_it() {
        let all = Arc::<Cancellations>::default();
        let (session, other) = (Session::new("one", &all).unwrap(), Session::new("other", &all).unwrap());
        let (caller, stranger) = (Caller::agent("a"), Caller::agent("b"));
        let id = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let call = tokio::spawn(std::future::pending::<()>());
        let noted = session.note(&caller, &id("1"), call.abort_handle()).unwrap();
        assert!(session.note(&caller, &id("1"), call.abort_handle()).is_none());

        other.cancel(&caller, &id("1"));
        session.cancel(&stranger, &id("1"));
        session.cancel(&caller, &id("\"1\""));
        tokio::task::yield_now().await;
        assert!(!call.is_finished());
        session.cancel(&caller, &id("1"));
        assert!(call.await.unwrap_err().is_cancelled());
        drop(noted);
        assert!(all.0.lock().unwrap().is_empty());
        assert!(Session::new("", &all).is_none() && Session::new(&"x".repeat(65), &all).is_none());
    }
}
