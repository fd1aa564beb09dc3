//! `chat.postMessage`.

use serde_json::json;

use super::{Call, Outcome, object};
use crate::slack::Posted;
use crate::slack::answer::Refusal;
use crate::slack::methods::history::shown;
use crate::slack::tokens::Grant;
use crate::slack::workspace::{Channel, Ts, Workspace};

/// Longest text, in characters.
const MAX_TEXT_CHARS: usize = 40_000;

pub(super) fn post_message(call: &mut Call) -> Outcome {
    let wanted = call.arguments.require("channel")?;
    let channel = find(call.workspace, wanted, &call.caller)?;
    if channel.is_archived {
        return Err(Refusal::from("is_archived"));
    }
    may_post(channel, &call.caller)?;
    let text = call.arguments.get("text").ok_or("no_text")?;
    if text.chars().count() > MAX_TEXT_CHARS {
        return Err(Refusal::from("msg_too_long"));
    }
    let thread = call.arguments.get("thread_ts").map(|ts| thread_of(channel, ts)).transpose()?;
    call.walls.post(&call.caller.installation, &channel.id, call.now)?;
    let ts = channel.add(call.now, (&call.caller.user, call.caller.bot.as_deref()), text, thread);
    let message = channel.messages.get(&ts).map(|message| shown(channel, message));
    let thread_ts = thread.map(|first| first.to_string());
    let (id, text) = (channel.id.clone(), text.to_owned());
    call.workspace.posted.push(Posted { channel: id.clone(), ts: ts.to_string(), thread_ts, text });
    Ok(object(json!({ "channel": id, "ts": ts.to_string(), "message": message })))
}

/// By id, or by name: the one method that still takes names.
fn find<'a>(workspace: &'a mut Workspace, wanted: &str, who: &Grant) -> Result<&'a mut Channel, Refusal> {
    let found = workspace.channel_by_name_or_id(wanted).filter(|channel| channel.is_visible_to(who));
    found.ok_or_else(|| Refusal::from("channel_not_found"))
}

/// Members post; with `chat:write.public` anyone posts to what is public.
fn may_post(channel: &Channel, who: &Grant) -> Result<(), Refusal> {
    let invited = channel.members.contains(&who.user);
    let public = !channel.is_private && who.has("chat:write.public");
    if invited || public { Ok(()) } else { Err(Refusal::from("not_in_channel")) }
}

/// The first message of the thread that `ts` belongs to.
fn thread_of(channel: &Channel, ts: &str) -> Result<Ts, Refusal> {
    let not_found = || Refusal::from("thread_not_found");
    let ts: Ts = ts.parse().map_err(|_| not_found())?;
    let message = channel.messages.get(&ts).ok_or_else(not_found)?;
    Ok(message.thread.unwrap_or(ts))
}
