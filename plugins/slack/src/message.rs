//! Messages, and pages of them.

use ferrata_sdk::prelude::*;

/// `ts` is its id in the channel; `user` is an id that `get_user` knows.
#[data]
pub(crate) struct Message {
    ts: String,
    #[serde(skip_deserializing)]
    time: Option<Timestamp>,
    user: Option<String>,
    text: String,
    /// `ts` of the first message of its thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_ts: Option<String>,
    #[serde(rename(deserialize = "reply_count"), skip_serializing_if = "Option::is_none")]
    replies: Option<u64>,
    /// In what a search finds: where it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<Place>,
}

#[data]
struct Place {
    id: String,
    name: String,
}

pub(crate) fn messages(request: Request, cursor: Option<&str>, limit: u32) -> Result<Page<Message>, Fault> {
    #[answer]
    struct Answer {
        messages: Vec<Message>,
        has_more: Option<bool>,
        /// The workspace's plan hides older messages.
        is_limited: Option<bool>,
        response_metadata: Option<Metadata>,
    }
    let request = request.bearer("bot.token").query("limit", limit).query_if("cursor", cursor);
    let answer: Answer = request.send()?.json()?;
    let hidden = answer.has_more == Some(true) || answer.is_limited == Some(true);
    page(answer.messages, "/messages", next(answer.response_metadata), hidden)
}

/// With times, and without a claim to be complete if Slack holds something back.
pub(crate) fn page(
    mut found: Vec<Message>,
    at: &str,
    next: Option<String>,
    hidden: bool,
) -> Result<Page<Message>, Fault> {
    for (index, message) in found.iter_mut().enumerate() {
        message.time = Some(time(&message.ts, format!("{at}/{index}/ts"))?);
    }
    let mut page = Page::new(found, next);
    if hidden && page.complete {
        (page.complete, page.stopped_by) = (false, Some("hidden_by_slack".to_owned()));
    }
    Ok(page)
}

/// When a message was written, from its `ts`.
pub(crate) fn time(ts: &str, path: String) -> Result<Timestamp, Fault> {
    let mismatch =
        || Fault::schema_mismatch("A message's `ts` is not a time.").with_path(path).with_upstream_text(ts);
    Timestamp::from_epoch(ts).ok_or_else(mismatch)
}

/// What stands beside a list.
#[answer]
pub(crate) struct Metadata {
    next_cursor: Option<String>,
}

/// The cursor of the next page; none at the end.
pub(crate) fn next(metadata: Option<Metadata>) -> Option<String> {
    metadata?.next_cursor
}
