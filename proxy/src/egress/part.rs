//! Header values and bodies as guests write them: runs of bytes and secrets under an encoding.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::credential::SecretValue;

/// Most parts of one value and most atoms of one part: far more than any login dance needs.
pub const MAX_PARTS: usize = 1024;

/// How the bytes of a part are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Raw,
    Base64,
    Base64Url,
    Form,
    Json,
}

/// Bytes that the guest knows, or the name of a secret that it does not.
#[derive(Clone, Debug)]
pub enum Atom {
    Bytes(Vec<u8>),
    Secret(String),
}

impl Atom {
    fn plain<'s, 'a: 's, E>(
        &'s self,
        secret: &impl Fn(&str) -> Result<&'a SecretValue, E>,
    ) -> Result<&'s [u8], E> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Secret(name) => secret(name).map(SecretValue::expose),
        }
    }
}

/// Atoms that are encoded together.
#[derive(Clone, Debug)]
pub struct Part {
    pub encoding: Encoding,
    pub atoms: Vec<Atom>,
}

impl Part {
    /// Plain bytes, as they are.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { encoding: Encoding::Raw, atoms: vec![Atom::Bytes(bytes.into())] }
    }

    /// The names of the secrets in it.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.atoms.iter().filter_map(|atom| match atom {
            Atom::Secret(name) => Some(name.as_str()),
            Atom::Bytes(_) => None,
        })
    }

    /// Appends the encoded part to `out`; `secret` gives the value of a name.
    pub fn write<'a, E>(
        &self,
        out: &mut Vec<u8>,
        secret: &impl Fn(&str) -> Result<&'a SecretValue, E>,
    ) -> Result<(), E> {
        // Most are raw and hold a whole body: those need no copy between.
        if self.encoding == Encoding::Raw {
            return self.write_plain(out, secret);
        }
        let mut plain = zeroize::Zeroizing::new(Vec::with_capacity(self.plain_bytes(secret)?));
        self.write_plain(&mut plain, secret)?;
        encode(self.encoding, &plain, out);
        Ok(())
    }

    /// At most how many bytes it has when it is written.
    pub fn written_bytes<'a, E>(
        &self,
        secret: &impl Fn(&str) -> Result<&'a SecretValue, E>,
    ) -> Result<usize, E> {
        let plain = self.plain_bytes(secret)?;
        Ok(match self.encoding {
            Encoding::Raw => plain,
            Encoding::Base64 | Encoding::Base64Url => (plain / 3 + 1) * 4,
            Encoding::Form => plain * 3,
            // `\u001f` for one byte.
            Encoding::Json => plain * 6,
        })
    }

    fn plain_bytes<'a, E>(&self, secret: &impl Fn(&str) -> Result<&'a SecretValue, E>) -> Result<usize, E> {
        self.atoms.iter().map(|atom| Ok(atom.plain(secret)?.len())).sum()
    }

    fn write_plain<'a, E>(
        &self,
        out: &mut Vec<u8>,
        secret: &impl Fn(&str) -> Result<&'a SecretValue, E>,
    ) -> Result<(), E> {
        self.atoms.iter().try_for_each(|atom| {
            out.extend_from_slice(atom.plain(secret)?);
            Ok(())
        })
    }
}

/// What the URL Standard's form serializer leaves as it is, beside letters and digits.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_').remove(b' ');

/// Appends `plain` in that encoding.
pub fn encode(encoding: Encoding, plain: &[u8], out: &mut Vec<u8>) {
    match encoding {
        Encoding::Raw => out.extend_from_slice(plain),
        Encoding::Base64 => out.extend_from_slice(STANDARD.encode(plain).as_bytes()),
        Encoding::Base64Url => out.extend_from_slice(URL_SAFE_NO_PAD.encode(plain).as_bytes()),
        Encoding::Form => {
            let encoded = percent_encode(plain, FORM).flat_map(str::bytes);
            out.extend(encoded.map(|b| if b == b' ' { b'+' } else { b }));
        }
        Encoding::Json => {
            // A JSON string is text: bytes that are not UTF-8 become replacement characters.
            let quoted = serde_json::Value::from(String::from_utf8_lossy(plain)).to_string();
            out.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(encoding: Encoding, atoms: Vec<Atom>) -> String {
        let secret = SecretValue::new(b"s p\"t".to_vec());
        let mut out = Vec::new();
        let lookup = |name: &str| if name == "c.secret" { Ok(&secret) } else { Err(()) };
        Part { encoding, atoms }.write(&mut out, &lookup).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn atoms_of_a_part_are_encoded_together() {
        let basic = vec![Atom::Bytes(b"client:".to_vec()), Atom::Secret("c.secret".into())];
        assert_eq!(written(Encoding::Base64, basic.clone()), STANDARD.encode("client:s p\"t"));
        assert_eq!(written(Encoding::Base64Url, basic.clone()), URL_SAFE_NO_PAD.encode("client:s p\"t"));
        assert_eq!(written(Encoding::Form, basic.clone()), "client%3As+p%22t");
        assert_eq!(written(Encoding::Json, basic), "client:s p\\\"t");
    }
}
