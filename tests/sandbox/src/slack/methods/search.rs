//! `search.messages`: words, `in:` and `from:`, newest first; by page number or by cursor.

use serde_json::{Value, json};

use super::history::shown;
use super::{Call, Outcome, object};
use crate::slack::answer::Refusal;
use crate::slack::page;
use crate::slack::tokens::Grant;
use crate::slack::workspace::{Channel, Message, Workspace};

/// Matches on a page, unless the caller says otherwise, and at most.
const DEFAULT_COUNT: usize = 20;
const MAX_COUNT: usize = 100;

/// Highest page number.
const MAX_PAGE: usize = 100;

pub(super) fn messages(call: &mut Call) -> Outcome {
    let query = call.arguments.get("query").ok_or("no_query")?;
    let count = call.arguments.count("count", DEFAULT_COUNT, MAX_COUNT)?;
    let page = page_number(call)?;
    let mut found = find(call.workspace, &Query::read(query), &call.caller);
    found.sort_by_key(|(_, message)| std::cmp::Reverse(message.ts));
    let (total, pages) = (found.len(), found.len().div_ceil(count));
    let on_page: Vec<Value> = found
        .iter()
        .skip((page - 1) * count)
        .take(count)
        .map(|(channel, message)| matched(call.workspace, channel, message))
        .collect();
    let mut body = object(json!({
        "query": query,
        "messages": {
            "total": total,
            "matches": on_page,
            "paging": { "count": count, "total": total, "page": page, "pages": pages },
            "pagination": { "total_count": total, "page": page, "per_page": count, "page_count": pages },
        },
    }));
    // Only who starts with the cursor `*` is given cursors.
    if call.arguments.get("cursor").is_some() {
        let more = page < pages.min(MAX_PAGE);
        let next = if more { page::cursor("page", &(page + 1).to_string()) } else { String::new() };
        body.insert("response_metadata".to_owned(), json!({ "next_cursor": next }));
    }
    Ok(body)
}

fn page_number(call: &Call) -> Result<usize, Refusal> {
    match call.arguments.get("cursor") {
        None => call.arguments.count("page", 1, MAX_PAGE),
        Some("*") => Ok(1),
        Some(cursor) => page::first("page", cursor)?.parse().map_err(|_| Refusal::from("invalid_cursor")),
    }
}

struct Query {
    words: Vec<String>,
    channel: Option<String>,
    author: Option<String>,
}

impl Query {
    fn read(text: &str) -> Self {
        let mut query = Self { words: Vec::new(), channel: None, author: None };
        for term in text.split_whitespace() {
            if let Some(channel) = term.strip_prefix("in:") {
                query.channel = Some(channel.trim_start_matches('#').to_owned());
            } else if let Some(author) = term.strip_prefix("from:") {
                query.author = Some(author.trim_start_matches('@').to_owned());
            } else {
                query.words.push(term.trim_matches('"').to_lowercase());
            }
        }
        query
    }

    fn wants(&self, workspace: &Workspace, channel: &Channel, message: &Message) -> bool {
        let text = message.text.to_lowercase();
        self.channel.as_ref().is_none_or(|wanted| *wanted == channel.name || *wanted == channel.id)
            && self.author.as_deref().is_none_or(|wanted| wanted == workspace.user_name(&message.user))
            && self.words.iter().all(|word| text.contains(word))
    }
}

fn find<'a>(workspace: &'a Workspace, query: &Query, who: &Grant) -> Vec<(&'a Channel, &'a Message)> {
    let channels = workspace.channels.values().filter(|channel| channel.is_visible_to(who));
    let messages =
        channels.flat_map(|channel| channel.messages.values().map(move |message| (channel, message)));
    messages.filter(|(channel, message)| query.wants(workspace, channel, message)).collect()
}

fn matched(workspace: &Workspace, channel: &Channel, message: &Message) -> Value {
    let ts = message.ts.to_string();
    let link = format!("{}archives/{}/p{}", Workspace::team_url(), channel.id, ts.replace('.', ""));
    let mut matched = shown(channel, message);
    if let Some(members) = matched.as_object_mut() {
        members.insert("username".to_owned(), workspace.user_name(&message.user).into());
        members.insert("permalink".to_owned(), link.into());
        let place = json!({ "id": channel.id, "name": channel.name, "is_private": channel.is_private });
        members.insert("channel".to_owned(), place);
    }
    matched
}
