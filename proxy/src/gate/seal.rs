//! What a connector must remember between a question and its answer, on its way through the agent: sealed, so that it comes back as it was,
//! to the same tool, from the same caller and with the same arguments, within its time, or not at all.
//!
//! The key is made at start and lives here only: nothing is kept for a question that is never answered, and after a restart old ones
//! are asked anew.

use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::call::Caller;
use crate::fault::Fault;

/// How long a question may be thought about.
pub const VALID_FOR: Duration = Duration::from_secs(3600);

/// What a seal holds for: whoever asks with anything else has another one's state.
pub struct Bound<'a> {
    /// What was called, by its whole name.
    pub target: &'a str,
    pub caller: &'a Caller,
    pub arguments: &'a Value,
}

/// What is remembered.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The connector's own.
    pub state: Option<String>,
    /// The whole call's, however many questions it takes.
    pub idempotency_key: String,
    pub stage: Stage,
}

/// How far a call is that somebody must agree to. A stage comes with a ticket for one use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Nobody must, as far as is known.
    #[default]
    Free,
    /// Somebody was asked.
    Asked(u128),
    /// Somebody agreed, and then the connector had a question.
    Agreed(u128),
}

impl Stage {
    pub fn ticket(self) -> Option<u128> {
        match self {
            Self::Free => None,
            Self::Asked(ticket) | Self::Agreed(ticket) => Some(ticket),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Sealed<M> {
    /// Milliseconds after the seals were made.
    until: u64,
    memory: M,
}

/// Seals and opens.
pub struct Seals {
    key: Zeroizing<[u8; 32]>,
    made: Instant,
}

impl Seals {
    pub fn new() -> Self {
        Self { key: Zeroizing::new(rand::random()), made: Instant::now() }
    }

    /// Text without meaning to anybody else.
    pub fn seal(&self, bound: &Bound<'_>, memory: &Memory) -> Result<String, Fault> {
        let sealed = Sealed { until: self.millis(self.made.elapsed() + VALID_FOR), memory };
        let mut text = serde_json::to_vec(&sealed).map_err(Fault::internal)?;
        let nonce = self.key().and_then(|key| key.seal_in_place_append_tag(bound.digest(), &mut text));
        let nonce = nonce.map_err(Fault::internal)?;
        Ok(URL_SAFE_NO_PAD.encode([&nonce.as_ref()[..], &text].concat()))
    }

    /// What was sealed, if it was here, for this, and not too long ago. Which of them is wrong is not told.
    pub fn open(&self, bound: &Bound<'_>, sealed: &str) -> Option<Memory> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.key().ok()?.open_in_place(nonce, bound.digest(), text).ok()?;
        let sealed: Sealed<Memory> = serde_json::from_slice(text).ok()?;
        (self.millis(self.made.elapsed()) < sealed.until).then_some(sealed.memory)
    }

    fn key(&self) -> Result<RandomizedNonceKey, aws_lc_rs::error::Unspecified> {
        RandomizedNonceKey::new(&AES_256_GCM, &*self.key)
    }

    fn millis(&self, time: Duration) -> u64 {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Bound<'_> {
    /// Each part with its length before it, so that none can lend bytes to its neighbour.
    fn digest(&self) -> Aad<Vec<u8>> {
        let subject = self.caller.subject.as_ref();
        let who =
            subject.map_or(["", "", ""], |user| [user.name(), user.issuer(), user.tenant().unwrap_or("")]);
        let [name, issuer, tenant] = who;
        let arguments = self.arguments.to_string();
        let mut digest = Sha256::new();
        for part in [self.target, &self.caller.agent, name, issuer, tenant, &arguments] {
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            digest.update(part);
        }
        digest.update([u8::from(subject.is_some())]);
        Aad::from(digest.finalize().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::call::Subject;

    fn memory() -> Memory {
        Memory { state: Some("step 1".into()), idempotency_key: "k".into(), stage: Stage::Free }
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_comes_back_as_it_was_where_it_was_given() {
        let (seals, caller) = (Seals::new(), Caller::agent("a"));
        let (arguments, reordered) =
            (json!({"x": 1, "y": 2}), serde_json::from_str::<Value>(r#"{"y":2,"x":1}"#).unwrap());
        let bound = Bound { target: "crm_find", caller: &caller, arguments: &arguments };
        let sealed = seals.seal(&bound, &memory()).unwrap();
        assert_eq!(seals.open(&bound, &sealed), Some(memory()));
        assert_eq!(seals.open(&Bound { arguments: &reordered, ..bound }, &sealed), Some(memory()));
        assert!(!sealed.contains("step"));

        let other_agent = Caller::agent("b");
        let for_a_user = Caller { subject: Some(Subject::new("", "")), ..caller.clone() };
        let other = json!({"x": 1});
        for elsewhere in [
            Bound { target: "crm_delete", caller: &caller, arguments: &arguments },
            Bound { target: "crm_find", caller: &other_agent, arguments: &arguments },
            Bound { target: "crm_find", caller: &for_a_user, arguments: &arguments },
            Bound { target: "crm_find", caller: &caller, arguments: &other },
        ] {
            assert_eq!(seals.open(&elsewhere, &sealed), None);
        }
        assert_eq!(Seals::new().open(&bound, &sealed), None, "another process's");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_forged_cut_or_old_is_refused() {
        let (seals, caller, arguments) = (Seals::new(), Caller::agent("a"), json!({}));
        let bound = Bound { target: "crm_find", caller: &caller, arguments: &arguments };
        let sealed = seals.seal(&bound, &memory()).unwrap();
        let forged =
            [sealed.clone() + "-TAMPERED", sealed.clone() + "A", sealed[1..].into(), "".into(), "%".into()];
        for forged in forged {
            assert_eq!(seals.open(&bound, &forged), None, "{forged}");
        }
        for place in 0..sealed.len() {
            let mut flipped = sealed.clone().into_bytes();
            flipped[place] = if flipped[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(seals.open(&bound, std::str::from_utf8(&flipped).unwrap()), None, "{place}");
        }
        tokio::time::advance(VALID_FOR - Duration::from_secs(1)).await;
        assert!(seals.open(&bound, &sealed).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(seals.open(&bound, &sealed), None);
    }
}
