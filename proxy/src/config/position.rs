//! Where in a request a secret may be written.

use std::str::FromStr;

use http::HeaderName;

/// A place in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    Header(HeaderName),
    Body,
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "body" => Ok(Self::Body),
            Some(("header", name)) => {
                name.parse().map(Self::Header).map_err(|_| format!("`{name}` is not the name of a header"))
            }
            _ => Err(format!("`{text}` is not a position: use `header:<name>` or `body`")),
        }
    }
}
