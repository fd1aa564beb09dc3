//! A secret's bytes: shared without copies, wiped when the last holder lets go, never printed.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// The value of one secret.
#[derive(Clone)]
pub struct SecretValue {
    bytes: Arc<Zeroizing<Vec<u8>>>,
    is_public: bool,
}

impl SecretValue {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: Arc::new(Zeroizing::new(bytes)), is_public: false }
    }

    /// What the operator wrote in the clear beside the secrets, as a user's name: it is written like them, and may come back.
    pub fn public(bytes: Vec<u8>) -> Self {
        Self { is_public: true, ..Self::new(bytes) }
    }

    /// Whether it may be seen.
    pub fn is_public(&self) -> bool {
        self.is_public
    }

    /// The bytes, for writing a request, for comparing and for scrubbing; for nothing else.
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
