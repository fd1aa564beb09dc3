//! JSON-RPC 2.0: the envelope around a message, read without copying and written without a tree.
//!
//! Owns what makes a message a request, a notification or a response, and the error codes. What the
//! methods mean is `mcp`'s.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::nesting::is_too_deep;

pub const PARSE_ERROR: i32 = -32700;
pub const INVALID_REQUEST: i32 = -32600;
pub const METHOD_NOT_FOUND: i32 = -32601;
pub const INVALID_PARAMS: i32 = -32602;
pub const INTERNAL_ERROR: i32 = -32603;

/// Longest `id`: it is repeated in the answer, and no client needs more than a UUID and a prefix.
pub const MAX_ID_BYTES: usize = 256;

/// A message's `id`: a string or a number, as the client wrote it.
pub type Id = RawValue;

/// One message from a client, borrowed from its text.
#[derive(Debug)]
pub enum Message<'a> {
    Request {
        id: &'a Id,
        method: Cow<'a, str>,
        params: Option<&'a RawValue>,
    },
    Notification {
        method: Cow<'a, str>,
        params: Option<&'a RawValue>,
    },
    /// The answer to a request of ours; Ferrata makes none.
    Response,
}

/// A protocol mistake. What goes wrong with a call itself is a result, not an error.
#[derive(Debug)]
pub struct Error {
    pub code: i32,
    pub message: Cow<'static, str>,
    /// JSON text.
    pub data: Option<String>,
}

impl Error {
    pub fn new(code: i32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    pub fn invalid_params(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(INVALID_PARAMS, message)
    }

    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(INVALID_REQUEST, message)
    }

    pub fn method_not_found() -> Self {
        Self::new(METHOD_NOT_FOUND, "Method not found")
    }
}

/// Text that is not a message, with what could be read of it: the `id`; the method that it names, and its parameters.
#[derive(Debug)]
pub struct Malformed<'a> {
    pub id: Option<&'a Id>,
    pub claim: Option<(Cow<'a, str>, Option<&'a RawValue>)>,
    pub error: Error,
}

#[derive(Clone, Copy, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Tells a member that is `null` from one that is absent, which `Option` alone does not.
pub fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads one message. `text` is one JSON object: batches are taken apart before.
pub fn parse(text: &[u8]) -> Result<Message<'_>, Malformed<'_>> {
    let unreadable = |error| Malformed { id: None, claim: None, error };
    if is_too_deep(text) {
        return Err(unreadable(Error::new(PARSE_ERROR, "The message is nested too deeply")));
    }
    // All of it: members that nobody looks at would not be checked.
    let text = std::str::from_utf8(text)
        .map_err(|error| unreadable(Error::new(PARSE_ERROR, format!("The message is not JSON: {error}"))))?;
    // A struct can be read from an array too, member by member.
    let no_object = || unreadable(Error::invalid_request("The message is not a JSON-RPC object"));
    if text.trim_ascii_start().starts_with('[') {
        return Err(no_object());
    }
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => no_object(),
        _ => unreadable(Error::new(PARSE_ERROR, format!("The message is not JSON: {error}"))),
    })?;
    envelope.into_message().map_err(|error| envelope.malformed(error))
}

impl<'a> Envelope<'a> {
    fn malformed(self, error: Error) -> Malformed<'a> {
        let id = self.id.filter(|id| is_id(id));
        let claim = self.method.and_then(text).map(|method| (method, self.params));
        Malformed { id, claim, error }
    }

    fn into_message(self) -> Result<Message<'a>, Error> {
        if self.jsonrpc.and_then(text).as_deref() != Some("2.0") {
            return Err(Error::invalid_request("`jsonrpc` must be \"2.0\""));
        }
        let Some(method) = self.method else {
            let answers = self.result.is_some() || self.error.is_some();
            return answers.then_some(Message::Response).ok_or_else(|| Error::invalid_request("No `method`"));
        };
        let method = text(method).ok_or_else(|| Error::invalid_request("`method` must be a string"))?;
        match self.id {
            None => Ok(Message::Notification { method, params: self.params }),
            Some(id) if is_id(id) => Ok(Message::Request { id, method, params: self.params }),
            Some(_) => Err(Error::invalid_request("`id` must be a short string or a number")),
        }
    }
}

pub fn is_id(id: &RawValue) -> bool {
    let text = id.get();
    text.len() <= MAX_ID_BYTES && text.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit())
}

/// The value of a JSON string, borrowed where it holds no escapes.
pub fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|text| text.0)
}

/// Starts a response: everything up to and including `"result":`.
pub fn open_result(id: &Id, capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity + 64);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.get().as_bytes());
    out.extend_from_slice(b",\"result\":");
    out
}

/// A whole error response; `id` is `null` when the request's could not be read.
pub fn error(id: Option<&Id>, error: &Error) -> Vec<u8> {
    let mut out = b"{\"jsonrpc\":\"2.0\",\"id\":".to_vec();
    out.extend_from_slice(id.map_or("null", RawValue::get).as_bytes());
    out.extend_from_slice(b",\"error\":{\"code\":");
    out.extend_from_slice(error.code.to_string().as_bytes());
    out.extend_from_slice(b",\"message\":");
    push_string(&mut out, &error.message);
    if let Some(data) = &error.data {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data.as_bytes());
    }
    out.extend_from_slice(b"}}");
    out
}

/// A result is passed on as its connector wrote it, perhaps over several lines. Between the tokens of JSON, and only there,
/// a line may end: where messages end with their line, a blank does as well.
pub fn join_lines(message: &mut [u8]) {
    for byte in message.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
}

/// Appends `text` as a JSON string.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    push_json(out, text);
}

/// Appends `value` as JSON.
pub fn push_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let start = out.len();
    // Our own types have string keys and no failing parts; a failure must still leave valid JSON behind.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(text: &str) -> i32 {
        parse(text.as_bytes()).unwrap_err().error.code
    }

    #[test]
    fn a_request_is_borrowed_whole() {
        let text = br#" {"jsonrpc":"2.0","id":"a\u0031","method":"tools\/call","params":{"x":[1, 2]}} "#;
        let Message::Request { id, method, params } = parse(text).unwrap() else { panic!() };
        assert_eq!((id.get(), &*method), (r#""a\u0031""#, "tools/call"));
        assert_eq!(params.unwrap().get(), r#"{"x":[1, 2]}"#);
    }

    #[test]
    fn an_id_makes_the_difference_and_null_is_none() {
        let notification = parse(br#"{"jsonrpc":"2.0","method":"m"}"#).unwrap();
        assert!(matches!(notification, Message::Notification { .. }));
        assert!(matches!(parse(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#).unwrap(), Message::Response));
        assert_eq!(code_of(r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#), INVALID_REQUEST);
        assert_eq!(code_of(r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#), INVALID_REQUEST);
        let long = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"m"}}"#, "x".repeat(MAX_ID_BYTES));
        assert_eq!(code_of(&long), INVALID_REQUEST);
    }

    #[test]
    fn what_is_not_json_differs_from_what_is_not_json_rpc() {
        for text in ["", "{", r#"{"jsonrpc":"2.0","id":1,"method":"m"} x"#, "nonsense"] {
            assert_eq!(code_of(text), PARSE_ERROR, "{text}");
        }
        assert_eq!(parse(b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}").unwrap_err().error.code, PARSE_ERROR);
        for text in ["1", "[]", "{}", r#"{"id":1,"method":"m"}"#, r#"{"jsonrpc":"2.0","id":1,"method":3}"#] {
            assert_eq!(code_of(text), INVALID_REQUEST, "{text}");
        }
        let (array, twice) = (r#"["2.0",1,"m"]"#, r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#);
        assert_eq!(code_of(array), INVALID_REQUEST);
        assert_eq!(code_of(twice), INVALID_REQUEST);
    }

    #[test]
    fn a_readable_id_is_answered_even_when_the_rest_is_not() {
        let malformed = parse(br#"{"jsonrpc":"1.0","id":7,"method":"m"}"#).unwrap_err();
        assert_eq!(malformed.id.map(RawValue::get), Some("7"));
        assert_eq!(malformed.claim.as_ref().map(|(method, _)| &**method), Some("m"));
        let answer = error(malformed.id, &malformed.error);
        assert!(answer.starts_with(br#"{"jsonrpc":"2.0","id":7,"error":{"code":-32600,"message":"#));
    }
}
