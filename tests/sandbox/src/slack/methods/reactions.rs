//! `reactions.add`.

use super::{Call, Outcome};
use crate::slack::answer::Refusal;
use crate::slack::workspace::Ts;

pub(super) fn add(call: &mut Call) -> Outcome {
    let id = call.arguments.require("channel")?;
    let name = call.arguments.get("name").ok_or("invalid_name")?;
    let timestamp = call.arguments.get("timestamp").ok_or("no_item_specified")?;
    let ts: Ts = timestamp.parse().map_err(|_| Refusal::from("bad_timestamp"))?;
    let channel = call.workspace.channel(id, &call.caller)?;
    channel.require_readable(&call.caller)?;
    if channel.is_archived {
        return Err(Refusal::from("is_archived"));
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-+".contains(&b)) {
        return Err(Refusal::from("invalid_name"));
    }
    let message = channel.messages.get_mut(&ts).ok_or("message_not_found")?;
    let reacted = message.reactions.entry(name.to_owned()).or_default().insert(call.caller.user.clone());
    if reacted { Ok(serde_json::Map::new()) } else { Err(Refusal::from("already_reacted")) }
}
