//! The table of methods: which token and scopes each wants, which wall it has, and what it does.

mod auth;
mod chat;
mod conversations;
mod history;
mod oauth;
mod reactions;
mod search;
mod users;

use std::time::Duration;

use serde_json::{Map, Value};

use super::answer::Refusal;
use super::arguments::Arguments;
use super::tokens::{Grant, Grants};
use super::walls::{Tier, Walls};
use super::workspace::Workspace;
use crate::Request;

/// Which tokens a method takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    AnyToken,
    UserOnly,
    /// None is needed.
    Anyone,
}

/// One method of the Web API.
pub(super) struct Method {
    pub(super) name: &'static str,
    pub(super) tier: Tier,
    pub(super) access: Access,
    /// All of these are needed.
    pub(super) scopes: &'static [&'static str],
    /// Whether it looks into JSON bodies.
    pub(super) takes_json: bool,
    pub(super) run: fn(&mut Call) -> Outcome,
}

impl Method {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        METHODS.iter().find(|method| method.name == name)
    }

    /// A method that reads.
    const fn read(
        name: &'static str,
        tier: Tier,
        scopes: &'static [&'static str],
        run: fn(&mut Call) -> Outcome,
    ) -> Self {
        Self { name, tier, access: Access::AnyToken, scopes, takes_json: false, run }
    }

    /// A method that writes; those are the ones that take JSON.
    const fn write(
        name: &'static str,
        tier: Tier,
        scopes: &'static [&'static str],
        run: fn(&mut Call) -> Outcome,
    ) -> Self {
        Self { takes_json: true, ..Self::read(name, tier, scopes, run) }
    }

    const fn for_users(self) -> Self {
        Self { access: Access::UserOnly, ..self }
    }

    const fn for_anyone(self) -> Self {
        Self { access: Access::Anyone, ..self }
    }
}

const METHODS: &[Method] = &[
    Method::write("auth.test", Tier::Special, &[], auth::test),
    Method::write("chat.postMessage", Tier::Special, &["chat:write"], chat::post_message),
    Method::read("conversations.list", Tier::Two, &[], conversations::list),
    Method::read("conversations.info", Tier::Three, &[], conversations::info),
    Method::read("conversations.history", Tier::Three, &[], history::history),
    Method::read("conversations.replies", Tier::Three, &[], history::replies),
    Method::read("users.info", Tier::Four, &["users:read"], users::info),
    Method::read("users.lookupByEmail", Tier::Three, &["users:read.email"], users::lookup_by_email),
    Method::read("search.messages", Tier::Two, &["search:read"], search::messages).for_users(),
    Method::write("reactions.add", Tier::Three, &["reactions:write"], reactions::add),
    Method::read("oauth.v2.access", Tier::Four, &[], oauth::access).for_anyone(),
];

/// The members beside `ok`, or why not.
pub(super) type Outcome = Result<Map<String, Value>, Refusal>;

/// One call of one method.
pub(super) struct Call<'a> {
    pub(super) workspace: &'a mut Workspace,
    pub(super) walls: &'a mut Walls,
    pub(super) grants: &'a mut Grants,
    pub(super) caller: Grant,
    pub(super) arguments: &'a Arguments,
    pub(super) request: &'a Request,
    /// Since the Unix epoch.
    pub(super) now: Duration,
}

/// The object that a `json!({…})` is.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
