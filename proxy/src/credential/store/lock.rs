//! Locks within one process: of a store that no other process can open.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Owner;

/// Who holds which key's lock until when. As many as there are credentials.
#[derive(Debug, Default)]
pub struct Locks(HashMap<String, (Owner, Instant)>);

impl Locks {
    /// Whether it is this owner's now.
    pub fn take(&mut self, key: &str, owner: Owner, ttl: Duration) -> bool {
        let now = Instant::now();
        match self.0.get(key) {
            Some((other, until)) if *other != owner && now < *until => false,
            _ => {
                self.0.insert(key.to_owned(), (owner, now + ttl));
                true
            }
        }
    }

    /// Whether it is this owner's for so long from now.
    pub fn holds(&self, key: &str, owner: Owner, needed: Duration) -> bool {
        let is_enough = |until: Instant| needed < until.saturating_duration_since(Instant::now());
        self.0.get(key).is_some_and(|(holder, until)| *holder == owner && is_enough(*until))
    }

    pub fn give_back(&mut self, key: &str, owner: Owner) {
        if self.0.get(key).is_some_and(|(holder, _)| *holder == owner) {
            self.0.remove(key);
        }
    }
}
