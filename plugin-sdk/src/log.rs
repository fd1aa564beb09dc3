//! Lines for the operator. Known secrets are redacted by the host, and a call that writes too much is cut.

use crate::bindings::base::ferrata::connector::log::Level;
use crate::host;

/// Of use to who works on the connector.
pub fn debug(message: impl AsRef<str>) {
    host::log(Level::Debug, message.as_ref());
}

/// Of use to who runs it.
pub fn info(message: impl AsRef<str>) {
    host::log(Level::Info, message.as_ref());
}

/// Something that should be looked at.
pub fn warn(message: impl AsRef<str>) {
    host::log(Level::Warn, message.as_ref());
}

/// Something that is broken.
pub fn error(message: impl AsRef<str>) {
    host::log(Level::Error, message.as_ref());
}
