//! `conversations.history` and `conversations.replies`, and how a message looks.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Call, Outcome, object};
use crate::slack::answer::Refusal;
use crate::slack::page;
use crate::slack::seed::TEAM_ID;
use crate::slack::workspace::{Channel, Message, Ts};

/// Messages on a page, unless the caller says otherwise, and at most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 999;

/// Repliers that a thread's first message names.
const MAX_REPLY_USERS: usize = 5;

/// Newest first; replies stand in their threads only.
pub(super) fn history(call: &mut Call) -> Outcome {
    let limit = call.arguments.count("limit", DEFAULT_LIMIT, MAX_LIMIT)?;
    let range = range(call)?;
    let channel = readable(call)?;
    let listed = channel.messages.values().rev().filter(|m| !m.is_reply() && range.contains(m.ts));
    let start = start(call)?;
    let listed = listed.filter(|message| start.is_none_or(|start| message.ts <= start));
    Ok(paged(channel, listed, limit))
}

/// The thread's first message, then its replies, oldest first.
pub(super) fn replies(call: &mut Call) -> Outcome {
    let limit = call.arguments.count("limit", DEFAULT_LIMIT, MAX_LIMIT)?;
    let ts = call.arguments.require("ts")?;
    let range = range(call)?;
    let channel = readable(call)?;
    let not_found = || Refusal::from("thread_not_found");
    let first: Ts = ts.parse().map_err(|_| not_found())?;
    let parent = channel.messages.get(&first).ok_or_else(not_found)?;
    let start = start(call)?;
    let listed =
        std::iter::once(parent).chain(channel.replies(first).filter(|reply| range.contains(reply.ts)));
    let listed = listed.filter(|message| start.is_none_or(|start| message.ts >= start));
    Ok(paged(channel, listed, limit))
}

/// The channel, if the caller may read it.
fn readable<'a>(call: &'a Call) -> Result<&'a Channel, Refusal> {
    let id = call.arguments.require("channel")?;
    let found = call.workspace.channels.get(id).filter(|channel| channel.is_visible_to(&call.caller));
    let channel = found.ok_or("channel_not_found")?;
    call.caller.require(if channel.is_private { "groups:history" } else { "channels:history" })?;
    channel.require_readable(&call.caller)?;
    Ok(channel)
}

struct Range {
    oldest: Ts,
    latest: Ts,
    inclusive: bool,
}

impl Range {
    fn contains(&self, ts: Ts) -> bool {
        let edge = ts == self.oldest || ts == self.latest;
        (self.oldest..=self.latest).contains(&ts) && (self.inclusive || !edge)
    }
}

fn range(call: &Call) -> Result<Range, Refusal> {
    let edge = |name, error: &'static str, default| {
        let given = call.arguments.get(name).map(|text| text.parse::<Ts>().map_err(|_| Refusal::from(error)));
        given.transpose().map(|ts| ts.unwrap_or(default))
    };
    let oldest = edge("oldest", "invalid_ts_oldest", Ts(0))?;
    let latest = edge("latest", "invalid_ts_latest", Ts(u64::MAX))?;
    Ok(Range { oldest, latest, inclusive: call.arguments.flag("inclusive") })
}

/// Where a cursor says that the page starts.
fn start(call: &Call) -> Result<Option<Ts>, Refusal> {
    let Some(cursor) = call.arguments.get("cursor") else { return Ok(None) };
    let ts = page::first("next_ts", cursor)?.parse().map_err(|_| Refusal::from("invalid_cursor"))?;
    Ok(Some(ts))
}

fn paged<'a>(
    channel: &Channel,
    mut listed: impl Iterator<Item = &'a Message>,
    limit: usize,
) -> serde_json::Map<String, Value> {
    let on_page: Vec<Value> = listed.by_ref().take(limit).map(|message| shown(channel, message)).collect();
    let next = listed.next().map(|message| page::cursor("next_ts", &message.ts.to_string()));
    object(json!({
        "messages": on_page,
        "has_more": next.is_some(),
        "pin_count": 0,
        "response_metadata": { "next_cursor": next.unwrap_or_default() },
    }))
}

/// A message as every method shows it.
pub(super) fn shown(channel: &Channel, message: &Message) -> Value {
    let mut shown = object(json!({
        "type": "message",
        "user": message.user,
        "team": TEAM_ID,
        "text": message.text,
        "ts": message.ts.to_string(),
    }));
    let mut set = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    if let Some(bot) = &message.bot {
        set("bot_id", bot.as_str().into());
    }
    if !message.reactions.is_empty() {
        set("reactions", reactions(message));
    }
    if let Some(first) = message.thread {
        set("thread_ts", first.to_string().into());
        let parent = channel.messages.get(&first);
        match parent.filter(|_| message.is_reply()) {
            Some(parent) => {
                set("parent_user_id", parent.user.as_str().into());
            }
            None => thread_summary(channel, first, &mut set),
        }
    }
    Value::Object(shown)
}

fn thread_summary(channel: &Channel, first: Ts, set: &mut impl FnMut(&str, Value) -> Option<Value>) {
    let users: BTreeSet<&str> = channel.replies(first).map(|reply| reply.user.as_str()).collect();
    let latest = channel.replies(first).last().map(|reply| reply.ts.to_string());
    set("reply_count", channel.replies(first).count().into());
    set("reply_users_count", users.len().into());
    set("reply_users", users.iter().take(MAX_REPLY_USERS).copied().collect());
    set("latest_reply", latest.into());
    set("is_locked", false.into());
}

fn reactions(message: &Message) -> Value {
    let shown = |(name, users): (&String, &BTreeSet<String>)| json!({ "name": name, "users": users, "count": users.len() });
    message.reactions.iter().map(shown).collect()
}
