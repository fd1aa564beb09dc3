//! A store that cannot be used here, and says why.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Beginning, Commit, Entry, Owner, Store};

/// Why, as the end of a sentence.
pub struct Closed(pub Arc<str>);

impl Closed {
    fn refuse<'a, T: Send + 'a>(&self) -> Answer<'a, T> {
        Box::pin(ready(Err(self.0.to_string())))
    }
}

impl Store for Closed {
    fn is_durable(&self) -> bool {
        true
    }

    fn load<'a>(&'a self, _: &'a str) -> Answer<'a, Option<Entry>> {
        self.refuse()
    }

    fn begin<'a>(&'a self, _: &'a str, _: u64, _: Owner, _: Duration) -> Answer<'a, Beginning> {
        self.refuse()
    }

    fn holds<'a>(&'a self, _: &'a str, _: Owner, _: Duration) -> Answer<'a, bool> {
        self.refuse()
    }

    fn commit<'a>(&'a self, _: &'a str, _: Owner, _: Entry) -> Answer<'a, Commit> {
        self.refuse()
    }

    fn release<'a>(&'a self, _: &'a str, _: Owner, _: bool) -> Answer<'a, ()> {
        self.refuse()
    }
}
