//! An identity provider as far as its tokens go: a key, and the file with its public half.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ED25519, SigningKey};
use serde_json::{Value, json};

/// `iss` of its tokens.
pub const ISSUER: &str = "https://id.example";
/// `aud` of its tokens.
pub const AUDIENCE: &str = "ferrata";

pub struct Issuer {
    key: KeyPair,
}

impl Issuer {
    pub fn new() -> Self {
        Self { key: KeyPair::generate_for(&PKCS_ED25519).unwrap() }
    }

    /// Its public keys (JWKS).
    pub fn keys(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key_raw());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x }] }).to_string()
    }

    /// What `ferrata.yaml` says of it when its keys are in `keys.json`.
    pub fn config() -> Value {
        json!({ "issuer": ISSUER, "audience": AUDIENCE, "jwks": "./keys.json", "algorithms": ["EdDSA"] })
    }

    /// A token for a user, made for an agent, good for a minute.
    pub fn token(&self, user: &str, agent: &str) -> String {
        self.sign(
            &json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": user, "azp": agent, "exp": in_seconds(60) }),
        )
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "EdDSA", "kid": "k1" });
        let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let signature = self.key.sign(message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// As tokens write a time.
pub fn in_seconds(seconds: i64) -> i64 {
    jiff::Timestamp::now().as_second() + seconds
}
