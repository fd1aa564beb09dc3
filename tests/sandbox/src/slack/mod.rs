//! Slack's Web API: `POST` or `GET /api/METHOD`, status 200 with `ok: false` for nearly every failure.
//!
//! | file | owns |
//! |---|---|
//! | `arguments` | queries, forms and JSON bodies, as one set of named values; charset warnings |
//! | `answer` | the envelope: `ok`, `error`, warnings, headers, and the two spellings of "too fast" |
//! | `methods/` | the table of methods (scope, kind of token, wall), and what each does |
//! | `walls` | rolling windows and the per-channel bucket |
//! | `tokens` | grants: who a token is, what it may, when it dies, and rotation |
//! | `workspace` | channels, members, messages |
//! | `page` | opaque cursors |
//! | `acme`, `seed` | a workspace to start with, and the names that tests use of it |
//!
//! Not here: multipart bodies, blocks and attachments (accepted and ignored), direct messages, Enterprise Grid.

mod acme;
mod answer;
mod arguments;
mod methods;
mod page;
pub mod seed;
mod tokens;
mod walls;
mod workspace;

use std::sync::{Mutex, MutexGuard};

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::sandbox::lock;
use crate::serve::plain;
use crate::{Answer, Clock, Failure, Request, System};

use answer::{Refusal, Spelling};
use arguments::Arguments;
use methods::{Call, Method};
use tokens::Grants;
use walls::Walls;
use workspace::Workspace;

/// A message that was posted through the API, as a test wants to look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The channel's id.
    pub channel: String,
    pub ts: String,
    pub thread_ts: Option<String>,
    pub text: String,
}

/// The stand-in for Slack.
#[derive(Debug)]
pub struct Slack {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    workspace: Workspace,
    grants: Grants,
    walls: Walls,
    spelling: Spelling,
    /// Requests answered; makes `x-slack-req-id` unique.
    answered: u64,
}

impl Slack {
    /// Acme's workspace, with the tokens of [`seed`].
    pub fn acme(clock: Clock) -> Self {
        let state = State {
            workspace: acme::workspace(clock.now()),
            grants: seed::grants(clock.now()),
            walls: Walls::default(),
            spelling: Spelling::Status429,
            answered: 0,
        };
        Self { clock, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Messages posted through the API since the start, oldest first.
    pub fn posted(&self) -> Vec<Posted> {
        self.state().workspace.posted.clone()
    }

    /// Revokes an access or refresh token, as uninstalling the app does. Whether there was one.
    pub fn revoke(&self, token: &str) -> bool {
        self.state().grants.revoke(token)
    }

    /// Archives a channel, by id or name. Whether it exists.
    pub fn archive(&self, channel: &str) -> bool {
        let mut state = self.state();
        let found = state.workspace.channel_by_name_or_id(channel);
        found.map(|channel| channel.is_archived = true).is_some()
    }

    /// Takes the bot out of a channel, by id or name. Whether it was in.
    pub fn kick_bot(&self, channel: &str) -> bool {
        let mut state = self.state();
        let found = state.workspace.channel_by_name_or_id(channel);
        found.is_some_and(|channel| channel.members.remove(seed::BOT_USER))
    }

    /// Says "too fast" as status 200 with `rate_limited` from now on, or again as status 429.
    pub fn throttle_under_200(&self, under_200: bool) {
        self.state().spelling = if under_200 { Spelling::Under200 } else { Spelling::Status429 };
    }

    /// Takes all walls away, or puts them back with nothing used.
    pub fn enforce_walls(&self, enforce: bool) {
        self.state().walls = Walls::new(enforce);
    }
}

impl System for Slack {
    const BASE_PATH: &'static str = "/api";

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn answer(&self, request: &Request) -> Answer {
        let mut state = self.state();
        let arguments = Arguments::read(request);
        let outcome = state.run(request, &arguments, &self.clock);
        state.dress(outcome, &arguments)
    }

    fn refuse(&self, failure: &Failure) -> Answer {
        let mut state = self.state();
        let refusal = match failure {
            Failure::RateLimited { retry_after } => Refusal::RateLimited(*retry_after),
            Failure::Code(code) => Refusal::coded(code),
            Failure::Unavailable => {
                return plain(StatusCode::SERVICE_UNAVAILABLE, "text/html", "<h1>Service Unavailable</h1>");
            }
            _ => return plain(StatusCode::INTERNAL_SERVER_ERROR, "text/html", "<h1>Server Error</h1>"),
        };
        state.dress(Err(refusal), &Arguments::default())
    }

    fn control(&self, action: &str, arguments: &Map<String, Value>) -> Option<Value> {
        let text = |name: &str| arguments.get(name)?.as_str();
        let flag = |name: &str| arguments.get(name)?.as_bool();
        let done = match action {
            "revoke" => self.revoke(text("token")?),
            "archive" => self.archive(text("channel")?),
            "kick_bot" => self.kick_bot(text("channel")?),
            "throttle_under_200" => {
                self.throttle_under_200(flag("on")?);
                true
            }
            "enforce_walls" => {
                self.enforce_walls(flag("on")?);
                true
            }
            _ => return None,
        };
        Some(json!({ "done": done }))
    }
}

impl State {
    /// Who, whether, how fast; then what.
    fn run(
        &mut self,
        request: &Request,
        arguments: &Arguments,
        clock: &Clock,
    ) -> Result<Map<String, Value>, Refusal> {
        let name = request.path.strip_prefix("/api/").unwrap_or_default();
        let method = Method::named(name).ok_or_else(|| Refusal::unknown_method(name))?;
        if let Some(broken) = arguments.broken() {
            return Err(Refusal::from(broken));
        }
        let now = clock.now();
        let token = arguments::token(request, arguments);
        let caller = self.grants.authorize(method, token, now)?;
        self.walls.pass(method, &caller.installation, now)?;
        let arguments = if method.takes_json { arguments } else { &arguments.without_json() };
        let (walls, grants) = (&mut self.walls, &mut self.grants);
        let mut call =
            Call { workspace: &mut self.workspace, walls, grants, caller, arguments, request, now };
        (method.run)(&mut call)
    }

    fn dress(&mut self, outcome: Result<Map<String, Value>, Refusal>, arguments: &Arguments) -> Answer {
        self.answered += 1;
        answer::dress(outcome, arguments.warning(), self.spelling, self.answered)
    }
}
