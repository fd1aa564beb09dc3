//! Channels, and finding one by its name.

use std::collections::BTreeMap;

use ferrata_sdk::MAX_REQUESTS;
use ferrata_sdk::prelude::*;

use crate::message::{Metadata, next};
use crate::{LIST, Settings};

/// How long channels' names are remembered: listing them costs a wall, and a channel made meanwhile is not found.
const NAMES_KEPT: Duration = Duration::from_secs(60);
/// Names on a page that is remembered: with names of 80 bytes, Slack's longest, what the host keeps in one piece (64 KiB).
const NAMES_PER_PAGE: u32 = 500;

#[data]
pub(crate) struct Channel {
    id: String,
    name: String,
    #[serde(rename(deserialize = "is_private"))]
    private: bool,
    #[serde(rename(deserialize = "is_archived"))]
    archived: bool,
    /// Whether the bot is in it, and so can read it and post to it.
    #[serde(rename(deserialize = "is_member"))]
    member: bool,
    topic: Option<Topic>,
}

#[data]
struct Topic {
    value: String,
}

/// One page. Slack takes archived channels off it after cutting it: a short or empty page need not be the last.
pub(crate) fn channels(
    cx: &Cx<Settings>,
    cursor: Option<&str>,
    limit: u32,
    archived: bool,
) -> Result<Page<Channel>, Fault> {
    #[answer]
    struct Answer {
        channels: Vec<Channel>,
        response_metadata: Option<Metadata>,
    }
    let types =
        if cx.settings().private_channels { "public_channel,private_channel" } else { "public_channel" };
    let request =
        cx.request(&LIST).bearer("bot.token").query("types", types).query("exclude_archived", !archived);
    let answer: Answer = request.query("limit", limit).query_if("cursor", cursor).send()?.json()?;
    Ok(Page::new(answer.channels, next(answer.response_metadata)))
}

/// A channel's id, or its name with `#`.
#[input]
pub(crate) struct ChannelRef(#[schemars(length(min = 2, max = 100))] String);

/// The id of a channel that may be given by name. That a name is missing is said only when all pages were seen.
pub(crate) fn channel_id(cx: &Cx<Settings>, ChannelRef(wanted): ChannelRef) -> Result<String, Fault> {
    let Some(name) = wanted.strip_prefix('#') else { return Ok(wanted) };
    let mut cursor = None;
    for _ in 0..MAX_REQUESTS {
        let Names { mut ids, next } = names(cx, cursor.as_deref())?;
        if let Some(id) = ids.remove(name) {
            return Ok(id);
        }
        let missing = || Fault::not_found("The bot sees no channel of that name.").with_path("/channel");
        cursor = Some(next.ok_or_else(missing)?);
    }
    let many = "There are too many channels to find one by its name: use its id.";
    Err(Fault::rejected(many).with_path("/channel"))
}

/// One page of names, as it is remembered.
#[data]
struct Names {
    ids: BTreeMap<String, String>,
    next: Option<String>,
}

fn names(cx: &Cx<Settings>, cursor: Option<&str>) -> Result<Names, Fault> {
    cache::through(&format!("channel names {}", cursor.unwrap_or_default()), NAMES_KEPT, || {
        let page = channels(cx, cursor, NAMES_PER_PAGE, true)?;
        let ids = page.items.into_iter().map(|channel| (channel.name, channel.id)).collect();
        Ok(Names { ids, next: page.next })
    })
}
