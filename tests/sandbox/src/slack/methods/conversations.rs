//! `conversations.list` and `conversations.info`.

use serde_json::{Value, json};

use super::{Call, Outcome, object};
use crate::slack::answer::Refusal;
use crate::slack::page;
use crate::slack::seed::TEAM_ID;
use crate::slack::tokens::Grant;
use crate::slack::workspace::Channel;

/// Channels on a page, unless the caller says otherwise, and at most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// Archived channels are taken off a page after it was cut: pages may be short, even empty, before the last one.
pub(super) fn list(call: &mut Call) -> Outcome {
    let limit = call.arguments.count("limit", DEFAULT_LIMIT, MAX_LIMIT)?;
    let types = types(call)?;
    let start = call.arguments.get("cursor").map(|cursor| page::first("team", cursor)).transpose()?;
    let mut listed = call
        .workspace
        .channels
        .range(start.unwrap_or_default()..)
        .map(|(_, channel)| channel)
        .filter(|channel| types.contains(&type_of(channel)) && channel.is_visible_to(&call.caller));
    let without_archived = call.arguments.flag("exclude_archived");
    let on_page: Vec<Value> = listed
        .by_ref()
        .take(limit)
        .filter(|channel| !(without_archived && channel.is_archived))
        .map(|channel| shown(channel, &call.caller))
        .collect();
    let next = listed.next().map(|channel| page::cursor("team", &channel.id)).unwrap_or_default();
    Ok(object(json!({ "channels": on_page, "response_metadata": { "next_cursor": next } })))
}

pub(super) fn info(call: &mut Call) -> Outcome {
    let id = call.arguments.require("channel")?;
    let channel = call.workspace.channel(id, &call.caller)?;
    call.caller.require(if channel.is_private { "groups:read" } else { "channels:read" })?;
    let mut shown = shown(channel, &call.caller);
    if !call.arguments.flag("include_num_members")
        && let Some(shown) = shown.as_object_mut()
    {
        shown.remove("num_members");
    }
    Ok(object(json!({ "channel": shown })))
}

/// The kinds of channel that are asked for; each needs a scope of its own.
fn types<'a>(call: &Call<'a>) -> Result<Vec<&'a str>, Refusal> {
    let types = call.arguments.get("types").unwrap_or("public_channel").split(',').map(str::trim);
    types
        .map(|kind| {
            let scope = match kind {
                "public_channel" => "channels:read",
                "private_channel" => "groups:read",
                "mpim" => "mpim:read",
                "im" => "im:read",
                _ => return Err(Refusal::from("invalid_types")),
            };
            call.caller.require(scope).map(|()| kind)
        })
        .collect()
}

fn type_of(channel: &Channel) -> &'static str {
    if channel.is_private { "private_channel" } else { "public_channel" }
}

fn shown(channel: &Channel, who: &Grant) -> Value {
    json!({
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": !channel.is_private,
        "is_group": channel.is_private,
        "is_private": channel.is_private,
        "is_im": false,
        "is_mpim": false,
        "is_general": channel.name == "general",
        "is_archived": channel.is_archived,
        "is_member": channel.members.contains(&who.user),
        "is_shared": false,
        "is_ext_shared": false,
        "is_org_shared": false,
        "created": channel.created,
        "creator": channel.creator,
        "context_team_id": TEAM_ID,
        "topic": { "value": channel.topic, "creator": channel.creator, "last_set": channel.created },
        "purpose": { "value": "", "creator": "", "last_set": 0 },
        "previous_names": [],
        "num_members": channel.members.len(),
    })
}
