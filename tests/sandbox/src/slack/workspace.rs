//! Channels, members and messages, and the rules about them that hold whatever method asks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::answer::Refusal;
use super::tokens::{Grant, Kind};
use super::{Posted, seed};

/// A message's id: its time, in microseconds since the Unix epoch, unique in its channel. Written `1503435956.000247`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ts(pub(super) u64);

/// Digits after the point.
const MICROS_PER_SECOND: u64 = 1_000_000;

impl fmt::Display for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / MICROS_PER_SECOND, self.0 % MICROS_PER_SECOND)
    }
}

/// Not a time in Slack's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotATs;

impl FromStr for Ts {
    type Err = NotATs;

    /// Fewer than six decimals, or none, are read as a decimal fraction would be.
    fn from_str(text: &str) -> Result<Self, NotATs> {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if fraction.len() > 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotATs);
        }
        let micros: u64 = format!("{fraction:0<6}").parse().map_err(|_| NotATs)?;
        let seconds: u64 = seconds.parse().map_err(|_| NotATs)?;
        seconds.checked_mul(MICROS_PER_SECOND).and_then(|s| s.checked_add(micros)).map(Ts).ok_or(NotATs)
    }
}

/// One message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) ts: Ts,
    /// The user's id; a bot has one too.
    pub(super) user: String,
    pub(super) bot: Option<String>,
    pub(super) text: String,
    /// The first message of its thread; equal to `ts` in a first message that has replies.
    pub(super) thread: Option<Ts>,
    /// Who reacted, by the emoji's name.
    pub(super) reactions: BTreeMap<String, BTreeSet<String>>,
}

impl Message {
    /// Whether it stands in a thread only, and not in the channel itself.
    pub(super) fn is_reply(&self) -> bool {
        self.thread.is_some_and(|first| first != self.ts)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) is_private: bool,
    pub(super) is_archived: bool,
    pub(super) topic: String,
    pub(super) creator: String,
    /// Seconds since the Unix epoch.
    pub(super) created: u64,
    pub(super) members: BTreeSet<String>,
    pub(super) messages: BTreeMap<Ts, Message>,
}

impl Channel {
    /// Whether someone can see that it exists.
    pub(super) fn is_visible_to(&self, who: &Grant) -> bool {
        !self.is_private || self.members.contains(&who.user)
    }

    /// Whether someone can read it: bots read where they are members, people also whatever is public.
    pub(super) fn require_readable(&self, who: &Grant) -> Result<(), Refusal> {
        let readable = who.kind == Kind::User || self.members.contains(&who.user);
        if readable { Ok(()) } else { Err(Refusal::from("not_in_channel")) }
    }

    /// Adds a message at `now`, or right after the last one so that its id is unique.
    pub(super) fn add(
        &mut self,
        now: Duration,
        author: (&str, Option<&str>),
        text: &str,
        thread: Option<Ts>,
    ) -> Ts {
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let ts =
            Ts(self.messages.last_key_value().map_or(now, |(last, _)| now.max(last.0.saturating_add(1))));
        if let Some(first) = thread.and_then(|first| self.messages.get_mut(&first)) {
            first.thread = Some(first.ts);
        }
        let (user, bot) = (author.0.to_owned(), author.1.map(str::to_owned));
        let message = Message { ts, user, bot, text: text.to_owned(), thread, reactions: BTreeMap::new() };
        self.messages.insert(ts, message);
        ts
    }

    /// Replies to a message, oldest first.
    pub(super) fn replies(&self, first: Ts) -> impl Iterator<Item = &Message> {
        self.messages
            .range(first..)
            .map(|(_, message)| message)
            .filter(move |m| m.is_reply() && m.thread == Some(first))
    }
}

#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) id: String,
    /// The handle.
    pub(super) name: String,
    pub(super) real_name: String,
    pub(super) email: String,
    pub(super) title: String,
    pub(super) is_deleted: bool,
    pub(super) is_bot: bool,
    pub(super) is_admin: bool,
}

#[derive(Debug)]
pub(super) struct Workspace {
    /// By id.
    pub(super) channels: BTreeMap<String, Channel>,
    /// By id.
    pub(super) users: BTreeMap<String, User>,
    pub(super) posted: Vec<Posted>,
}

impl Workspace {
    /// A channel by its id, if the caller can see it.
    pub(super) fn channel(&mut self, id: &str, who: &Grant) -> Result<&mut Channel, Refusal> {
        let found = self.channels.get_mut(id).filter(|channel| channel.is_visible_to(who));
        found.ok_or_else(|| Refusal::from("channel_not_found"))
    }

    /// A channel by its id or its name, with or without `#`, whoever asks.
    pub(super) fn channel_by_name_or_id(&mut self, channel: &str) -> Option<&mut Channel> {
        let name = channel.strip_prefix('#').unwrap_or(channel);
        self.channels.values_mut().find(|c| c.id == channel || c.name == name)
    }

    pub(super) fn user_name(&self, id: &str) -> &str {
        self.users.get(id).map_or("", |user| &user.name)
    }

    pub(super) fn team_url() -> String {
        format!("https://{}.slack.com/", seed::TEAM_DOMAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ts_is_read_as_it_is_written() {
        for text in ["1503435956.000247", "0.000000", "1.999999"] {
            assert_eq!(text.parse::<Ts>().unwrap().to_string(), text);
        }
        assert_eq!("12.5".parse::<Ts>(), Ok(Ts(12_500_000)));
        for bad in ["", "now", "-1.0", "1.0000001", "1.-1", "99999999999999999999.0"] {
            assert!(bad.parse::<Ts>().is_err(), "{bad}");
        }
    }
}
