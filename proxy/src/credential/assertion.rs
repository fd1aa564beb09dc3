//! Signed assertions: JWTs (RFC 7523) made with keys that stay here. The operator's configuration says who claims what to whom; a guest can
//! only add to what it grants, and to what says who the client is, nothing.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Material, SecretValue};

/// How long an assertion is valid. Token endpoints commonly refuse more than five minutes; one is used within seconds.
const LIFETIME: Duration = Duration::from_secs(180);

/// Claims that only the host sets.
const HOSTS_CLAIMS: [&str; 7] = ["iss", "sub", "aud", "iat", "exp", "nbf", "jti"];

/// The field with the key that says who the client is (RFC 7523, 2.2). Every other key signs what a grant asserts (2.1).
const CLIENT_KEY: &str = "client_key";

/// The field with a grant's key.
const KEY: &str = "key";

/// What a guest adds to an assertion. The error is a sentence's end: the guest is to blame.
pub fn claims(text: &str) -> Result<Map<String, Value>, String> {
    let claims: Map<String, Value> =
        serde_json::from_str(text).map_err(|e| format!("cannot sign what is not a JSON object ({e})"))?;
    match HOSTS_CLAIMS.iter().find(|name| claims.contains_key(**name)) {
        Some(name) => Err(format!("cannot sign `{name}`, which is the host's to claim")),
        None => Ok(claims),
    }
}

/// Signs `claims` and the host's own with the key in `key_field`. `client_id`, `subject` and `audience` are fields of the same
/// credential; `subject` may be missing, and is then the client. With `client_key` the subject is always the client, the audience is
/// `client_audience`, and there is nothing to add. The error is a sentence's end, and holds nothing secret.
pub fn sign(material: &Material, key_field: &str, claims: Map<String, Value>) -> Result<SecretValue, String> {
    let of_client = key_field == CLIENT_KEY;
    if of_client && !claims.is_empty() {
        return Err("says who the client is, and signs nothing else".to_owned());
    }
    let claims = with_hosts_claims(material, of_client, claims)?;
    let pem = material.fields.get(key_field).ok_or_else(|| format!("there is no field `{key_field}`"))?;
    let (algorithm, key) = key(pem)?;
    let jwt = jsonwebtoken::encode(&Header::new(algorithm), &claims, &key)
        .map_err(|e| format!("the key does not sign: {e}"))?;
    Ok(SecretValue::new(jwt.into_bytes()))
}

fn with_hosts_claims(
    material: &Material,
    of_client: bool,
    mut claims: Map<String, Value>,
) -> Result<Map<String, Value>, String> {
    let text = |field: &str| {
        let value = material.fields.get(field)?;
        String::from_utf8(value.expose().to_vec()).ok()
    };
    let needed = |field: &str| text(field).ok_or_else(|| format!("the credential needs the field `{field}`"));
    let client = needed("client_id")?;
    let now = jiff::Timestamp::now().as_second();
    let subject = text("subject").filter(|_| !of_client).unwrap_or_else(|| client.clone());
    let audience = needed(if of_client { "client_audience" } else { "audience" })?;
    claims.insert("sub".to_owned(), subject.into());
    claims.insert("iss".to_owned(), client.into());
    claims.insert("aud".to_owned(), audience.into());
    claims.insert("jti".to_owned(), Uuid::new_v4().to_string().into());
    claims.insert("iat".to_owned(), now.into());
    claims.insert("exp".to_owned(), now.saturating_add_unsigned(LIFETIME.as_secs()).into());
    Ok(claims)
}

/// Whether a login's field can be what it is for: a key that was torn while it was written signs nothing.
pub fn judge(field: &str, value: &SecretValue) -> Result<(), String> {
    if signs(field) { key(value).map(|_| ()) } else { Ok(()) }
}

/// Whether a login's field is a private key: what it signs may be sent, and it may not.
pub fn signs(field: &str) -> bool {
    matches!(field, KEY | CLIENT_KEY)
}

/// RS256 for an RSA key, ES256 for one on P-256.
fn key(pem: &SecretValue) -> Result<(Algorithm, EncodingKey), String> {
    let rsa = EncodingKey::from_rsa_pem(pem.expose()).map(|key| (Algorithm::RS256, key));
    rsa.or_else(|_| EncodingKey::from_ec_pem(pem.expose()).map(|key| (Algorithm::ES256, key)))
        .map_err(|_| "it is no PEM of an RSA or P-256 private key".to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn material(key: &str) -> Material {
        let field = |name: &str, value: &str| (name.to_owned(), SecretValue::new(value.as_bytes().to_vec()));
        let fields = BTreeMap::from([
            field("key", key),
            field("client_key", key),
            field("client_id", "c1"),
            field("subject", "bot"),
            field("audience", "https://login.example"),
            field("client_audience", "https://issuer.example"),
        ]);
        Material::new(1, fields, BTreeMap::new())
    }

    fn signed(field: &str, claimed: &str, audience: &str) -> Map<String, Value> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let jwt = sign(&material(&pair.serialize_pem()), field, claims(claimed).unwrap()).unwrap();
        let mut validation = jsonwebtoken::Validation::new(Algorithm::ES256);
        validation.set_audience(&[audience]);
        let key = jsonwebtoken::DecodingKey::from_ec_pem(pair.public_key_pem().as_bytes()).unwrap();
        let text = std::str::from_utf8(jwt.expose()).unwrap();
        jsonwebtoken::decode(text, &key, &validation).unwrap().claims
    }

    #[test]
    fn the_host_says_who_claims_what_to_whom() {
        let made = signed("key", r#"{"scope":"api"}"#, "https://login.example");
        assert_eq!(
            (&made["iss"], &made["sub"], &made["scope"]),
            (&"c1".into(), &"bot".into(), &"api".into())
        );
    }

    #[test]
    fn the_clients_own_key_speaks_for_the_client_alone_and_never_twice_the_same() {
        let [one, other] = [(); 2].map(|()| signed("client_key", "{}", "https://issuer.example"));
        assert_eq!((&one["iss"], &one["sub"]), (&"c1".into(), &"c1".into()));
        assert_ne!(one["jti"], other["jti"]);
        let added = claims(r#"{"scope":"api"}"#).unwrap();
        assert!(sign(&material("-"), "client_key", added).unwrap_err().contains("nothing else"));
    }

    #[test]
    fn a_guest_cannot_claim_for_somebody_else() {
        assert!(claims(r#"{"sub":"admin"}"#).unwrap_err().contains("host's"));
        assert!(claims("[]").is_err());
    }

    #[test]
    fn a_key_that_is_torn_is_told_from_a_whole_one() {
        let pem = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
        let judged = |field: &str, text: &str| judge(field, &SecretValue::new(text.as_bytes().to_vec()));
        for field in ["key", "client_key"] {
            judged(field, &pem).unwrap();
            for length in [1, pem.len() / 2, pem.trim_end().len() - 1] {
                assert!(
                    judged(field, &pem[..length]).unwrap_err().contains("PEM"),
                    "{length} of {}",
                    pem.len()
                );
            }
        }
        judged("client_secret", "anything").unwrap();
    }

    #[test]
    fn a_key_that_is_none_is_said() {
        assert!(sign(&material("-"), "key", Map::new()).unwrap_err().contains("PEM"));
    }
}
