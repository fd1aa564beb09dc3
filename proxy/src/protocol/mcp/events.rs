//! JSON-RPC messages as server-sent events.

use std::time::Duration;

use bytes::Bytes;

use crate::protocol::jsonrpc::join_lines;

/// Rest between signs of life on an event stream: shorter than the minute after which proxies call it idle, and
/// the way in which a vanished client is noticed.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);

/// A comment, which clients skip.
pub const PING: Bytes = Bytes::from_static(b": ping\n\n");

/// One message as an event.
pub fn event(mut message: Vec<u8>) -> Bytes {
    join_lines(&mut message);
    [b"event: message\ndata: ", &message[..], b"\n\n"].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_many_lines_is_one_line_of_an_event() {
        let event = event(b"{\r\n\"a\":\n1}".to_vec());
        assert_eq!(event, "event: message\ndata: {  \"a\": 1}\n\n");
    }
}
