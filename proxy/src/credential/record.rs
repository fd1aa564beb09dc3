//! One version of a credential as it is kept: what is in it, and how it is sealed.
//!
//! A sealed record is a byte for the format, a nonce, and AES-256-GCM over JSON. The record's key is bound to it, so that none can be
//! put in another's place. Where it is kept is [`store`](super::store)'s.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::SecretValue;
use super::lifecycle::Terms;

/// The format of this release. A release that changes it reads this one still.
const FORMAT: u8 = 1;

/// Bytes of the key.
const KEY_BYTES: usize = 32;

/// Bytes of a seed's name: too many to meet another by chance.
const NAME_BYTES: usize = 12;

/// Why nothing can be done with a record that another key was used for. The end of a sentence.
pub const SEALED_OTHERWISE: &str = "a record cannot be opened with this `state.key`: give back the key that it was sealed with, or a new refresh token";

/// Goes before what is digested to a mark, so that it is no digest that stands anywhere else.
const MARKED: &[u8] = b"ferrata seed 1\0";

/// What a credential's version consists of.
#[derive(Debug, Default)]
pub struct Record {
    /// The provider does not accept the family any more; all else is empty.
    pub is_dead: bool,
    /// What requests are written with, by field.
    pub fields: BTreeMap<String, SecretValue>,
    pub refresh_token: Option<SecretValue>,
    /// Base URLs that the login assigned, by upstream; checked when they were.
    pub base_urls: BTreeMap<String, String>,
    pub terms: Terms,
    /// Why it cannot be used though it was granted, as the end of a sentence.
    pub lacks: Option<String>,
}

/// The record's JSON. Lives in milliseconds, secrets in base64: they may be any bytes.
#[derive(Serialize, Deserialize)]
struct Written {
    dead: bool,
    fields: BTreeMap<String, String>,
    refresh_token: Option<String>,
    base_urls: BTreeMap<String, String>,
    life_ms: Option<u64>,
    refresh_life_ms: Option<u64>,
    family_life_ms: Option<u64>,
    #[serde(default)]
    lacks: Option<String>,
}

/// Seals and opens records.
pub struct Sealer(Zeroizing<[u8; KEY_BYTES]>);

impl Sealer {
    /// With a key that ends with the process: for records that do as well.
    pub fn of_this_process() -> Self {
        Self(Zeroizing::new(rand::random()))
    }

    /// With the key that a file holds: 32 bytes in base64 or hexadecimal digits. The error is a sentence's end.
    pub fn with_key(text: &SecretValue) -> Result<Self, String> {
        let text = text.expose().trim_ascii();
        // Hexadecimal digits are base64 too, of more bytes.
        let bytes = if text.len() == 2 * KEY_BYTES { hex(text) } else { STANDARD.decode(text).ok() };
        let bytes = Zeroizing::new(bytes.unwrap_or_default());
        let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice());
        key.map(|key| Self(Zeroizing::new(key))).map_err(|_| {
            "is no key: 32 random bytes in base64 are (`head -c 32 /dev/urandom | base64`)".to_owned()
        })
    }

    /// A name for a seed that tells nothing about it to who has not the key.
    pub fn name(&self, seed: &SecretValue) -> Result<String, String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).map_err(|e| e.to_string())?;
        mac.update(seed.expose());
        let digest = mac.finalize().into_bytes();
        Ok(digest.iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect())
    }

    /// A name for a seed that is the same with every key. Seeds are too random to be guessed by it.
    pub fn mark(seed: &SecretValue) -> String {
        let digest = Sha256::new().chain_update(MARKED).chain_update(seed.expose()).finalize();
        digest.iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn seal(&self, key: &str, record: &Record) -> Result<Vec<u8>, String> {
        let text = serde_json::to_vec(&Written::from(record)).map_err(|e| e.to_string())?;
        self.seal_text(key, text)
    }

    pub fn open(&self, key: &str, sealed: &[u8]) -> Result<Record, String> {
        let text = self.open_text(key, sealed)?;
        let written: Written =
            serde_json::from_slice(&text).map_err(|e| format!("a record is damaged: {e}"))?;
        written.try_into()
    }

    pub fn seal_text(&self, key: &str, mut text: Vec<u8>) -> Result<Vec<u8>, String> {
        let failed = |_| "a record cannot be sealed".to_owned();
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &*self.0).map_err(failed)?;
        let nonce = cipher.seal_in_place_append_tag(bound_to(key), &mut text).map_err(failed)?;
        Ok([&[FORMAT][..], nonce.as_ref(), &text].concat())
    }

    /// The error is a sentence's end.
    pub fn open_text(&self, key: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
        let failed = || SEALED_OTHERWISE.to_owned();
        let (format, sealed) = sealed.split_first().ok_or_else(failed)?;
        if *format != FORMAT {
            return Err(format!(
                "a record has format {format}, and this release knows {FORMAT}: run the one that wrote it"
            ));
        }
        let mut text = Zeroizing::new(sealed.to_vec());
        let (nonce, text) = text.split_at_mut_checked(NONCE_LEN).ok_or_else(failed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| failed())?;
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &*self.0).map_err(|_| failed())?;
        let text = cipher.open_in_place(nonce, bound_to(key), text).map_err(|_| failed())?;
        Ok(Zeroizing::new(text.to_vec()))
    }
}

fn bound_to(key: &str) -> Aad<Vec<u8>> {
    Aad::from([&[FORMAT], key.as_bytes()].concat())
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

impl Drop for Written {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.fields.values_mut().for_each(Zeroize::zeroize);
        self.refresh_token.zeroize();
    }
}

impl From<&Record> for Written {
    fn from(record: &Record) -> Self {
        let text = |secret: &SecretValue| STANDARD_NO_PAD.encode(secret.expose());
        let millis =
            |life: Option<Duration>| life.map(|life| u64::try_from(life.as_millis()).unwrap_or(u64::MAX));
        Self {
            dead: record.is_dead,
            fields: record.fields.iter().map(|(name, secret)| (name.clone(), text(secret))).collect(),
            refresh_token: record.refresh_token.as_ref().map(text),
            base_urls: record.base_urls.clone(),
            life_ms: millis(record.terms.life),
            refresh_life_ms: millis(record.terms.refresh_life),
            family_life_ms: millis(record.terms.family_life),
            lacks: record.lacks.clone(),
        }
    }
}

impl TryFrom<Written> for Record {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let secret = |text: &String| {
            let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| "a record is damaged".to_owned())?;
            Ok::<_, String>(SecretValue::new(bytes))
        };
        let fields = written.fields.iter().map(|(name, text)| Ok((name.clone(), secret(text)?)));
        Ok(Self {
            is_dead: written.dead,
            fields: fields.collect::<Result<_, String>>()?,
            refresh_token: written.refresh_token.as_ref().map(secret).transpose()?,
            base_urls: written.base_urls.clone(),
            lacks: written.lacks.clone(),
            terms: Terms {
                life: written.life_ms.map(Duration::from_millis),
                refresh_life: written.refresh_life_ms.map(Duration::from_millis),
                family_life: written.family_life_ms.map(Duration::from_millis),
                is_same: false,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretValue {
        SecretValue::new(text.as_bytes().to_vec())
    }

    fn sealer() -> Sealer {
        Sealer::with_key(&secret(&STANDARD.encode([7; 32]))).unwrap()
    }

    fn record() -> Record {
        Record {
            fields: BTreeMap::from([("access_token".to_owned(), secret("at"))]),
            refresh_token: Some(secret("the-refresh-token")),
            base_urls: BTreeMap::from([("api".to_owned(), "https://eu1.example".to_owned())]),
            terms: Terms { life: Some(Duration::from_secs(3600)), ..Terms::default() },
            ..Record::default()
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was_where_it_was_kept() {
        let sealed = sealer().seal("crm/login/1", &record()).unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("refresh"));
        let opened = sealer().open("crm/login/1", &sealed).unwrap();
        assert_eq!(opened.refresh_token.unwrap().expose(), b"the-refresh-token");
        assert_eq!(opened.fields["access_token"].expose(), b"at");
        assert_eq!((opened.terms, opened.base_urls), (record().terms, record().base_urls));
        assert!(sealer().open("crm/login/2", &sealed).unwrap_err().contains("state.key"));
        assert!(Sealer::of_this_process().open("crm/login/1", &sealed).is_err());
    }

    #[test]
    fn what_is_damaged_or_of_another_release_is_said() {
        let mut sealed = sealer().seal("k", &record()).unwrap();
        for cut in [0, 1, 5, sealed.len() - 1] {
            assert!(sealer().open("k", &sealed[..cut]).is_err());
        }
        sealed[0] = 9;
        assert!(sealer().open("k", &sealed).unwrap_err().contains("format 9"));
    }

    #[test]
    fn a_key_is_32_bytes_in_base64_or_hexadecimal() {
        let hexadecimal = secret(&"07".repeat(32));
        let sealed = Sealer::with_key(&hexadecimal).unwrap().seal("k", &record()).unwrap();
        assert!(sealer().open("k", &sealed).is_ok());
        for bad in ["", "secret", &"07".repeat(16), &"zz".repeat(32)] {
            assert!(Sealer::with_key(&secret(bad)).err().unwrap().contains("/dev/urandom"), "{bad}");
        }
    }

    #[test]
    fn seeds_have_names_that_only_the_key_connects_with_them() {
        let name = sealer().name(&secret("seed")).unwrap();
        assert_eq!((name.len(), &name), (24, &sealer().name(&secret("seed")).unwrap()));
        assert_ne!(name, sealer().name(&secret("other")).unwrap());
        assert_ne!(name, Sealer::of_this_process().name(&secret("seed")).unwrap());
    }
}
