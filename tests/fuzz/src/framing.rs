//! Messages as JSON-RPC, lines from a pipe.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use ferrata::protocol::jsonrpc::{self, INVALID_REQUEST, MAX_ID_BYTES, Malformed, Message, PARSE_ERROR};
use ferrata::protocol::stdio::lines::{Line, Lines};
use futures_util::FutureExt;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, ReadBuf};

/// Members that decide what a message is.
const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// Largest chunk and longest line that are tried: small, so that a short input has several of them.
const MAX_CHUNK: usize = 7;
const MAX_LINE: usize = 15;

pub fn run(input: &[u8]) {
    message(input);
    if let [max, chunk, text @ ..] = input {
        lines(usize::from(*max) % (MAX_LINE + 1), usize::from(*chunk) % MAX_CHUNK + 1, text);
    }
}

/// The members of an object as they stand there, with those that come twice.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Members {
    fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| &**value)
    }

    fn value(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    fn has_twice(&self) -> bool {
        MEMBERS.iter().any(|name| self.0.iter().filter(|(member, _)| member == name).count() > 1)
    }

    fn id(&self) -> Option<&RawValue> {
        let id = self.get("id")?;
        let shape = matches!(id.get().as_bytes()[0], b'"' | b'-' | b'0'..=b'9');
        (shape && id.get().len() <= MAX_ID_BYTES).then_some(id)
    }
}

fn message(text: &[u8]) {
    let read = jsonrpc::parse(text);
    if let Err(malformed) = &read {
        answers_to(malformed);
    }
    let code =
        || read.as_ref().map_or_else(|malformed| malformed.error.code, |message| panic!("{message:?}"));
    if std::str::from_utf8(text).is_err() {
        return assert_eq!(code(), PARSE_ERROR);
    }
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(text) {
        // Whichever is seen first: that it is no JSON, or that it is no message.
        return assert!([PARSE_ERROR, INVALID_REQUEST].contains(&code()), "{error}");
    }
    // Depth has a test of its own; here it would only hide the rest.
    if depth(text) > DEEPEST_IN_BOTH {
        return;
    }
    match serde_json::from_slice::<Members>(text) {
        Ok(members) => is_what_its_members_say(read, &members),
        Err(error) if error.is_data() => assert_eq!(code(), INVALID_REQUEST, "{error}"),
        // A member's name that is no text.
        Err(error) => assert_eq!(code(), PARSE_ERROR, "{error}"),
    }
}

/// serde_json gives up there.
const DEEPEST_IN_BOTH: usize = 127;

/// Of text that is JSON.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn is_what_its_members_say(read: Result<Message<'_>, Malformed<'_>>, members: &Members) {
    let method = members.value("method");
    let right = members.value("jsonrpc") == Some("2.0".into()) && !members.has_twice();
    let raw = |value: Option<&RawValue>| value.map(|value| value.get().to_owned());
    match read {
        Ok(Message::Request { id, method: named, params }) => {
            assert!(right);
            assert_eq!((Some(Value::from(&*named)), raw(Some(id))), (method, raw(members.id())));
            assert_eq!(raw(params), raw(members.get("params")));
            let answer = [jsonrpc::open_result(id, 0), b"{}}".to_vec()].concat();
            assert_eq!(
                serde_json::from_slice::<Members>(&answer).unwrap().get("id").unwrap().get(),
                id.get()
            );
        }
        Ok(Message::Notification { method: named, params }) => {
            assert!(right && members.get("id").is_none());
            assert_eq!(Some(Value::from(&*named)), method);
            assert_eq!(raw(params), raw(members.get("params")));
        }
        Ok(Message::Response) => {
            assert!(right && members.get("method").is_none());
            assert!(members.get("result").is_some() || members.get("error").is_some());
        }
        Err(malformed) => {
            assert_eq!(malformed.error.code, INVALID_REQUEST);
            let request = method.is_some_and(|method| method.is_string())
                && (members.get("id").is_none() || members.id().is_some());
            let response = members.get("method").is_none()
                && (members.get("result").is_some() || members.get("error").is_some());
            assert!(!(right && (request || response)), "{:?}", malformed.error);
            assert!(members.has_twice() || raw(malformed.id) == raw(members.id()));
        }
    }
}

/// A refusal is a message itself, for the request that it is about.
fn answers_to(malformed: &Malformed<'_>) {
    let answer = jsonrpc::error(malformed.id, &malformed.error);
    let members = serde_json::from_slice::<Members>(&answer).unwrap();
    assert_eq!(members.value("jsonrpc"), Some("2.0".into()));
    assert_eq!(members.get("id").unwrap().get(), malformed.id.map_or("null", RawValue::get));
    let error = members.value("error").unwrap();
    assert_eq!(error["code"], malformed.error.code);
    assert_eq!(error["message"], *malformed.error.message);
}

/// Gives a text away in chunks.
struct Chunks(VecDeque<Vec<u8>>);

impl AsyncRead for Chunks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(chunk) = self.0.pop_front() {
            buffer.put_slice(&chunk);
        }
        Poll::Ready(Ok(()))
    }
}

fn lines(max: usize, chunk: usize, text: &[u8]) {
    let mut expected: Vec<_> = text.split(|byte| *byte == b'\n').collect();
    // What follows the last end of a line is one only if there is something.
    expected.pop_if(|rest| rest.is_empty());
    let mut lines = Lines::new(Chunks(text.chunks(chunk).map(<[u8]>::to_vec).collect()), max);
    let mut next = || lines.next().now_or_never().expect("nothing to wait for").unwrap();
    for line in expected {
        let read = next().expect("a line");
        assert_eq!(read, if line.len() > max { Line::TooLong } else { Line::Whole(line.to_vec()) });
    }
    assert_eq!(next(), None);
}
