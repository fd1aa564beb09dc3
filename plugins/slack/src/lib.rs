//! Slack: messages, channels and people of one workspace.
//!
//! Owns the tools; what answers mean is `meaning`'s. A message's id is its `ts`, a text that must never become a number; beside
//! it the agent sees the time.

#![deny(unsafe_code)]

mod channel;
mod login;
mod meaning;
mod message;
#[cfg(test)]
mod tests;

use ferrata_sdk::prelude::*;

use channel::{Channel, ChannelRef, channel_id, channels};
use meaning::{meaning, refusal};
use message::{Message, messages, page, time};

const LIMITS: &str = "https://docs.slack.dev/apis/web-api/rate-limits";
const POSTING: &str = "https://docs.slack.dev/reference/methods/chat.postMessage";
const TIER_2: &[Wall] = &[Wall::new("20/min", LIMITS)];
/// Apps distributed commercially outside of Slack's marketplace get 1/min for history and replies: the operator's to say.
const TIER_3: &[Wall] = &[Wall::new("50/min", LIMITS)];
const TIER_4: &[Wall] = &[Wall::new("100/min", LIMITS)];
const PER_CHANNEL: &[Wall] = &[Wall::new("1/s", POSTING).per("channel")];

const POST: Operation = Operation::post("api", "chat.postMessage", "/chat.postMessage").walls(PER_CHANNEL);
const LIST: Operation = Operation::get("api", "conversations.list", "/conversations.list").walls(TIER_2);
const HISTORY: Operation =
    Operation::get("api", "conversations.history", "/conversations.history").walls(TIER_3);
const REPLIES: Operation =
    Operation::get("api", "conversations.replies", "/conversations.replies").walls(TIER_3);
const USER: Operation = Operation::get("api", "users.info", "/users.info").walls(TIER_4);
const LOOKUP: Operation = Operation::get("api", "users.lookupByEmail", "/users.lookupByEmail").walls(TIER_3);
const SEARCH: Operation = Operation::get("api", "search.messages", "/search.messages").walls(TIER_2);

/// Items asked for when the caller does not say.
const PER_PAGE: u32 = 100;
/// Slack's bounds: what a page of a list holds, matches on a page of a search, and such pages.
const MAX_PER_PAGE: u32 = 999;
const MATCHES: u32 = 100;
const SEARCH_PAGES: u32 = 100;

#[settings]
struct Settings {
    /// Whether private channels that the bot was invited to are listed and found by name; needs the scope `groups:read`.
    #[serde(default)]
    private_channels: bool,
}

/// A token of an app without token rotation, or a refresh token of one with it.
const KINDS: &[&str] = &["static", "refresh-token"];

fn connector() -> Connector<Settings, WithLogin> {
    let bot = Credential::login("bot", "api", KINDS).describe("Bot token (xoxb-…) of a Slack app.");
    let user = Credential::login("user", "api", KINDS).describe("User token (xoxp-…), to search with.");
    Connector::new("slack", env!("CARGO_PKG_VERSION"))
        .describe("Messages, channels and people of a Slack workspace.")
        .upstream(Upstream::http("api").describe("https://slack.com/api"))
        .credential(bot.field("token").scopes(&[
            "chat:write",
            "channels:read",
            "channels:history",
            "users:read",
            "users:read.email",
        ]))
        .credential(user.field("token").scopes(&["search:read"]).optional())
        .tool(tool("post_message", &POST, post_message))
        .tool(tool("list_channels", &LIST, list_channels))
        .tool(tool("channel_history", &HISTORY, channel_history))
        .tool(tool("thread_replies", &REPLIES, thread_replies))
        .tool(tool("get_user", &USER, get_user))
        .tool(tool("search_messages", &SEARCH, search_messages))
        .operations(&[LOOKUP, login::ACCESS])
        .classify(meaning)
        .login(login::log_in)
}

ferrata_sdk::export!(connector, login);

/// Posts a message to a channel, or as a reply to a thread. Each call posts anew.
#[input]
struct PostMessage {
    channel: ChannelRef,
    /// In Slack's mrkdwn.
    #[schemars(length(min = 1, max = 40_000))]
    text: String,
    /// `ts` of the message to reply to.
    thread_ts: Option<String>,
}

/// What was posted; `ts` is the new message's id in its channel.
#[data]
struct Posted {
    channel: String,
    ts: String,
    #[serde(skip_deserializing)]
    time: Option<Timestamp>,
}

fn post_message(cx: &Cx<Settings>, wanted: PostMessage) -> Result<Posted, Fault> {
    let channel = channel_id(cx, wanted.channel)?;
    let mut body = json!({ "channel": channel, "text": wanted.text });
    if let Some(thread) = wanted.thread_ts {
        body["thread_ts"] = thread.into();
    }
    let posted: Posted =
        cx.request(&POST).resource(&*channel).bearer("bot.token").json(&body).send()?.json()?;
    Ok(Posted { time: Some(time(&posted.ts, "/ts".to_owned())?), ..posted })
}

/// Lists the workspace's channels. An archived channel can be read, and nothing can be posted to it.
#[input]
struct ListChannels {
    #[serde(default)]
    include_archived: bool,
    /// 100 if nothing is said.
    #[schemars(range(min = 1, max = MAX_PER_PAGE))]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

fn list_channels(cx: &Cx<Settings>, wanted: ListChannels) -> Result<Page<Channel>, Fault> {
    paginate(wanted.limit.unwrap_or(PER_PAGE), wanted.cursor, |cursor, limit| {
        channels(cx, cursor, limit, wanted.include_archived)
    })
}

/// Reads a channel's messages, newest first. Replies stand in their threads: read those with `thread_replies`.
#[input]
struct ChannelHistory {
    channel: ChannelRef,
    /// Only messages after this time.
    after: Option<Timestamp>,
    /// Only messages before this time.
    before: Option<Timestamp>,
    /// 100 if nothing is said.
    #[schemars(range(min = 1, max = MAX_PER_PAGE))]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

fn channel_history(cx: &Cx<Settings>, wanted: ChannelHistory) -> Result<Page<Message>, Fault> {
    let channel = channel_id(cx, wanted.channel)?;
    let ask = || {
        let request = cx.request(&HISTORY).query("channel", &channel);
        let request = request.query_if("oldest", wanted.after.map(Timestamp::epoch_text));
        request.query_if("latest", wanted.before.map(Timestamp::epoch_text))
    };
    paginate(wanted.limit.unwrap_or(PER_PAGE), wanted.cursor, |cursor, limit| messages(ask(), cursor, limit))
}

/// Reads a thread: its first message, then the replies, oldest first.
#[input]
struct ThreadReplies {
    channel: ChannelRef,
    /// `ts` of the thread's first message.
    thread_ts: String,
    /// 100 if nothing is said.
    #[schemars(range(min = 1, max = MAX_PER_PAGE))]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

fn thread_replies(cx: &Cx<Settings>, wanted: ThreadReplies) -> Result<Page<Message>, Fault> {
    let channel = channel_id(cx, wanted.channel)?;
    let ask = || cx.request(&REPLIES).query("channel", &channel).query("ts", &wanted.thread_ts);
    paginate(wanted.limit.unwrap_or(PER_PAGE), wanted.cursor, |cursor, limit| messages(ask(), cursor, limit))
}

/// Finds a person by id or e-mail address. By address only active accounts are found.
#[input]
struct GetUser {
    #[schemars(length(min = 3, max = 254))]
    user: String,
}

#[data]
struct User {
    id: String,
    /// The handle.
    name: String,
    real_name: Option<String>,
    #[serde(rename(deserialize = "deleted"))]
    deactivated: bool,
    is_bot: Option<bool>,
    tz: Option<String>,
    profile: Profile,
}

#[data]
struct Profile {
    email: Option<String>,
    display_name: Option<String>,
    title: Option<String>,
}

fn get_user(cx: &Cx<Settings>, wanted: GetUser) -> Result<User, Fault> {
    #[answer]
    struct Answer {
        user: User,
    }
    let request = match wanted.user.contains('@') {
        true => cx.request(&LOOKUP).query("email", wanted.user),
        false => cx.request(&USER).query("user", wanted.user),
    };
    Ok(request.bearer("bot.token").send()?.json::<Answer>()?.user)
}

/// Searches messages, newest first, with Slack's own operators (`in:#channel`, `from:@name`, `after:2026-01-31`). Sees what the
/// person sees whose token is used.
#[input]
struct SearchMessages {
    #[schemars(length(min = 1, max = 1000))]
    query: String,
    /// `next` of the page before.
    cursor: Option<String>,
}

fn search_messages(cx: &Cx<Settings>, wanted: SearchMessages) -> Result<Page<Message>, Fault> {
    #[answer]
    struct Answer {
        messages: Found,
    }
    #[answer]
    struct Found {
        matches: Vec<Message>,
        paging: Paging,
    }
    #[answer]
    struct Paging {
        pages: u32,
    }
    let number: Option<u32> = wanted.cursor.as_deref().unwrap_or("1").parse().ok();
    let number =
        number.filter(|page| (1..=SEARCH_PAGES).contains(page)).ok_or_else(|| refusal("invalid_cursor"))?;
    let request = cx.request(&SEARCH).bearer("user.token").query("query", wanted.query);
    let request = request.query("sort", "timestamp").query("count", MATCHES).query("page", number);
    let found = request.send()?.json::<Answer>()?.messages;
    let pages = found.paging.pages;
    let next = (number < pages.min(SEARCH_PAGES)).then(|| (number + 1).to_string());
    page(found.matches, "/messages/matches", next, pages > SEARCH_PAGES)
}
