//! Where a configured field comes from: a file, the environment, or the configuration itself.

use std::path::PathBuf;

use super::SecretValue;
use crate::config::Field;
use crate::file::Stamp;

/// Largest secret, in bytes: beyond any key or certificate chain.
const MAX_SECRET_BYTES: u64 = 64 << 10;

/// No key in use is older than the year 2000, and no clock that has been set says so.
const EARLIEST: jiff::Timestamp = jiff::Timestamp::constant(946_684_800, 0);

/// A place that a field is read from.
#[derive(Clone, Debug)]
pub enum Source {
    File(PathBuf),
    Env(String),
    Value(String),
}

impl From<&Field> for Source {
    fn from(field: &Field) -> Self {
        match field {
            Field::Text(text) => {
                field.as_file().map_or_else(|| Self::Value(text.clone()), |f| Self::File(f.into()))
            }
            Field::Env(env) => Self::Env(env.env.clone()),
            Field::Value(value) => Self::Value(value.value.clone()),
        }
    }
}

impl Source {
    /// What the source looks like now; only a file can change. Cheap: one `stat`.
    pub fn stamp(&self) -> Option<Stamp> {
        let Self::File(path) = self else { return None };
        Stamp::of(path)
    }

    /// When what is read from it was put there; only a file says, unless it was written by a machine that did not know the time.
    pub fn changed(&self) -> Option<jiff::Timestamp> {
        let Self::File(path) = self else { return None };
        let changed = std::fs::metadata(path).and_then(|meta| meta.modified()).ok()?;
        jiff::Timestamp::try_from(changed).ok().filter(|changed| *changed >= EARLIEST)
    }

    /// The value; the error says where and why, and never what.
    pub fn read(&self) -> Result<SecretValue, String> {
        let bytes = match self {
            Self::File(path) => {
                let at = |e: std::io::Error| format!("{} cannot be read: {e}", path.display());
                if std::fs::metadata(path).map_err(at)?.len() > MAX_SECRET_BYTES {
                    return Err(format!("{} is larger than {MAX_SECRET_BYTES} bytes", path.display()));
                }
                strip_newline(std::fs::read(path).map_err(at)?)
            }
            Self::Env(name) => std::env::var(name)
                .map_err(|_| format!("the environment has no text in `{name}`"))?
                .into_bytes(),
            Self::Value(value) => value.clone().into_bytes(),
        };
        match self {
            _ if bytes.is_empty() => Err(format!("{} is empty", self.name())),
            Self::Value(_) => Ok(SecretValue::public(bytes)),
            Self::File(_) | Self::Env(_) => Ok(SecretValue::new(bytes)),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Env(name) => format!("the environment's `{name}`"),
            Self::Value(_) => "the configured value".to_owned(),
        }
    }
}

/// Editors and `echo` end a file with one newline, which is not part of the secret.
fn strip_newline(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}
