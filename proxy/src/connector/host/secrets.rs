//! `secrets`: signing with keys that stay in the host.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};

use super::fault::Tickets;
use super::{Guest, Run};
use crate::connector::bindings::secrets::{self, Hash};
use crate::connector::bindings::types;
use crate::credential::{SecretValue, assertion};
use crate::egress::Refusal;
use crate::egress::scope::Purpose;
use crate::fault::{Fault, FaultKind};

impl secrets::Host for Guest {
    async fn sign_jwt(
        &mut self,
        secret: String,
        claims: String,
    ) -> wasmtime::Result<Result<String, types::Fault>> {
        let signed = self.run.sign_assertion(&secret, &claims);
        Ok(signed.map_err(|fault| self.run.guest_view(fault)))
    }

    async fn sign_hmac(
        &mut self,
        secret: String,
        hash: Hash,
        message: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, types::Fault>> {
        let signed = match self.run.signing_key(&secret).await {
            Ok(key) => digest(hash, &key, &message),
            Err(fault) => Err(fault),
        };
        Ok(signed.map_err(|fault| self.run.guest_view(fault)))
    }
}

impl Run {
    /// An assertion for the login that is under way, kept under a name.
    fn sign_assertion(&self, secret: &str, claims: &str) -> Result<String, Fault> {
        let refuse = |why: &str| self.refuse_to_sign(secret, why);
        let Purpose::Login { credential } = &self.scope.purpose else {
            return Err(refuse("signs only inside its login"));
        };
        let field = match secret.split_once('.') {
            Some((name, field)) if *name == **credential => field,
            _ => return Err(refuse("is no part of this login")),
        };
        let credential =
            self.runtime.egress.credentials.get(credential).ok_or_else(|| refuse("is not granted"))?;
        let claims = assertion::claims(claims).map_err(|why| refuse(&why))?;
        let signed = assertion::sign(&*self.scope.granted()?, field, claims);
        let jwt = signed.map_err(|why| {
            Fault::new(
                FaultKind::CredentialDead,
                format!("The credential `{}` cannot sign: {why}.", credential.name),
            )
        })?;
        self.scope.keep(credential.upstreams.clone(), jwt).ok_or_else(|| refuse("was used too often"))
    }

    fn refuse_to_sign(&self, secret: &str, why: &str) -> Fault {
        self.runtime.egress.refuse(Refusal::new("sign", format!("`{secret}` {why}")))
    }

    /// The key, if the operator allowed signing with it: whoever may sign anything holds most of its power.
    async fn signing_key(&self, secret: &str) -> Result<SecretValue, Fault> {
        let refuse = |why: &str| self.refuse_to_sign(secret, why);
        let (name, field) = secret.split_once('.').ok_or_else(|| refuse("is not a configured secret"))?;
        let credentials = &self.runtime.egress.credentials;
        let credential = credentials.get(name).ok_or_else(|| refuse("is not granted"))?;
        if !credential.sign {
            return Err(refuse("may not sign: the operator grants that with `sign: true`"));
        }
        let material = match &self.scope.purpose {
            // The session that this login makes is what `current` would wait for.
            Purpose::Login { credential: own } if **own == *name => self.scope.granted()?,
            Purpose::Login { .. } => return Err(refuse("is no part of this login")),
            _ => {
                credentials
                    .current(credential, self.scope.caller.subject.as_ref(), self.scope.deadline)
                    .await?
            }
        };
        material.fields.get(field).cloned().ok_or_else(|| refuse("does not exist"))
    }
}

fn digest(hash: Hash, key: &SecretValue, message: &[u8]) -> Result<Vec<u8>, Fault> {
    fn run<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut mac = <M as KeyInit>::new_from_slice(key).map_err(Fault::internal)?;
        mac.update(message);
        Ok(mac.finalize().into_bytes().to_vec())
    }
    match hash {
        Hash::Sha256 => run::<Hmac<Sha256>>(key.expose(), message),
        Hash::Sha512 => run::<Hmac<Sha512>>(key.expose(), message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn hmac_is_the_standards() {
        let key = SecretValue::new(b"Jefe".to_vec());
        let mac = digest(Hash::Sha256, &key, b"what do ya want for nothing?").unwrap();
        assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        let mac = digest(Hash::Sha512, &key, b"what do ya want for nothing?").unwrap();
        assert_eq!(mac[..4], [0x16, 0x4b, 0x7a, 0x7b]);
    }
}
