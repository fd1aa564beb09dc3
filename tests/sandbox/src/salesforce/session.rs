//! Access tokens, which are session ids: each ends when it was not used for a while. Refresh tokens, which end with the consent or, with
//! rotation, when they are used.

use std::collections::HashMap;
use std::time::Duration;

/// How long a session lasts that nobody uses: the default of an org. Nobody tells a client.
pub const TIMEOUT: Duration = Duration::from_hours(2);

#[derive(Debug, Default)]
pub(super) struct Sessions {
    rotation: bool,
    /// Until when each is good.
    access: HashMap<String, Duration>,
    refresh: Vec<String>,
    made: u64,
}

impl Sessions {
    pub(super) fn new(rotation: bool) -> Self {
        Self { rotation, ..Self::default() }
    }

    pub(super) fn consent(&mut self) -> String {
        self.made += 1;
        let token = format!("5Aep861sandbox.refresh{:06}", self.made);
        self.refresh.push(token.clone());
        token
    }

    pub(super) fn open(&mut self, now: Duration) -> String {
        self.made += 1;
        // The exclamation mark is the org's divider, and no letter of base64url.
        let token = format!("00DACME00000001!AQ.sandbox{:06}", self.made);
        self.access.insert(token.clone(), now + TIMEOUT);
        token
    }

    /// Whether it was good, and there is a successor if the org rotates.
    pub(super) fn refresh(&mut self, token: &str) -> Option<Option<String>> {
        let at = self.refresh.iter().position(|known| known == token)?;
        if !self.rotation {
            return Some(None);
        }
        self.refresh.remove(at);
        Some(Some(self.consent()))
    }

    /// Whether it is good. Use in the second half of its time begins that anew.
    pub(super) fn is_used(&mut self, token: &str, now: Duration) -> bool {
        let Some(until) = self.access.get_mut(token).filter(|until| now < **until) else { return false };
        if now + TIMEOUT / 2 > *until {
            *until = now + TIMEOUT;
        }
        true
    }

    pub(super) fn end(&mut self) {
        self.access.clear();
    }

    pub(super) fn revoke(&mut self) {
        self.refresh.clear();
        self.end();
    }

    pub(super) fn granted(&self) -> u64 {
        self.made
    }
}
