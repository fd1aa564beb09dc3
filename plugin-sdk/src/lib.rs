//! Write a Ferrata connector: tools for agents, over a system's own interface, in one file.
//!
//! A connector knows the system; the host holds the power. The connector says what to send and what an answer means. When and how often
//! something goes out, with which credential, and what happens after a failure is the host's: a tool reads as if nothing
//! could go wrong, and `?` passes on what did.
//!
//! # A connector
//!
//! ```
//! use ferrata_sdk::prelude::*;
//!
//! // What can be sent, and the limits that the system documents for it.
//! const SEARCH: Operation = Operation::get("api", "tickets.search", "/tickets");
//! const COMMENT: Operation = Operation::post("api", "tickets.comment", "/tickets/{id}/comments")
//!     .walls(&[Wall::new("60/min", "https://desk.example/docs/limits").per("ticket")]);
//!
//! #[settings]
//! struct Settings {
//!     /// Tickets asked for per page.
//!     #[serde(default = "default_page_size")]
//!     page_size: u32,
//! }
//!
//! fn default_page_size() -> u32 {
//!     50
//! }
//!
//! /// Finds tickets by words in their subject, newest first. Does not search comments.
//! #[input]
//! struct SearchTickets {
//!     /// Words that the subject contains.
//!     words: String,
//!     /// How many tickets to return at most.
//!     #[serde(default = "default_limit")]
//!     #[schemars(range(min = 1, max = 500))]
//!     limit: u32,
//!     /// `next` of the page before, to go on.
//!     #[serde(default)]
//!     cursor: Option<String>,
//! }
//!
//! fn default_limit() -> u32 {
//!     50
//! }
//!
//! #[output]
//! struct Ticket {
//!     id: String,
//!     subject: String,
//!     opened_at: Timestamp,
//! }
//!
//! // What the system answers.
//! #[answer]
//! struct Found {
//!     tickets: Vec<FoundTicket>,
//!     next: Option<String>,
//! }
//!
//! #[answer]
//! struct FoundTicket {
//!     number: u64,
//!     subject: String,
//!     created: Timestamp,
//! }
//!
//! fn search_tickets(cx: &Cx<Settings>, input: SearchTickets) -> Result<Page<Ticket>, Fault> {
//!     paginate(input.limit, input.cursor, |cursor, missing| {
//!         let found: Found = cx
//!             .request(&SEARCH)
//!             .query("words", &input.words)
//!             .query("limit", missing.min(cx.settings().page_size))
//!             .query_if("cursor", cursor)
//!             .bearer("desk.key")
//!             .send()?
//!             .json()?;
//!         let ticket = |found: FoundTicket| Ticket {
//!             id: found.number.to_string(),
//!             subject: found.subject,
//!             opened_at: found.created,
//!         };
//!         Ok(Page::new(found.tickets, found.next).map(ticket))
//!     })
//! }
//!
//! /// Adds a comment to a ticket. Its customer reads it.
//! #[input]
//! struct AddComment {
//!     /// The ticket's id.
//!     ticket: String,
//!     text: String,
//! }
//!
//! #[body]
//! struct Comment<'a> {
//!     text: &'a str,
//! }
//!
//! #[data]
//! struct Added {
//!     /// The comment's id.
//!     id: String,
//! }
//!
//! fn add_comment(cx: &Cx<Settings>, input: AddComment) -> Result<Added, Fault> {
//!     let request = cx.request(&COMMENT).segment("id", &input.ticket).bearer("desk.key");
//!     request.header("idempotency-key", cx.idempotency_key()).json(&Comment { text: &input.text }).send()?.json()
//! }
//!
//! // What an answer means, where the status does not say it.
//! fn classify(response: &Response) -> Verdict {
//!     #[answer]
//!     struct Problem {
//!         code: String,
//!     }
//!     match response.json::<Problem>() {
//!         Ok(problem) if problem.code == "slow_down" => Verdict::throttled(response.retry_after()),
//!         Ok(problem) if problem.code == "ticket_closed" => {
//!             Verdict::Rejected(Fault::gone("The ticket is closed.").with_code(problem.code).with_path("/ticket"))
//!         }
//!         _ => Verdict::by_status(response),
//!     }
//! }
//!
//! fn connector() -> Connector<Settings> {
//!     Connector::new("desk", env!("CARGO_PKG_VERSION"))
//!         .describe("Tickets of the service desk.")
//!         .upstream(Upstream::http("api").describe("Base URL of the desk's REST interface."))
//!         .credential(Credential::fixed("desk", "api").field("key").describe("Made under Settings, API keys."))
//!         .classify(classify)
//!         .tool(tool("search_tickets", &SEARCH, search_tickets))
//!         .tool(tool("add_comment", &COMMENT, add_comment))
//! }
//!
//! ferrata_sdk::export!(connector);
//!
//! // And its test, which needs no WebAssembly.
//! use ferrata_sdk::testing::{Answer, Harness, get, post};
//!
//! let mut desk = Harness::new(connector());
//! desk.expect(get("/tickets?words=pump&limit=1").header("authorization", "Bearer {{desk.key}}").answer(Answer::json(
//!     200,
//!     json!({ "tickets": [{ "number": 7, "subject": "Pump", "created": "2026-11-23T10:30:00+01:00" }], "next": "p2" }),
//! )));
//! let page = desk.call("search_tickets", json!({ "words": "pump", "limit": 1 })).unwrap();
//! assert_eq!(page["items"][0]["opened_at"], "2026-11-23T09:30:00Z");
//! assert_eq!((&page["complete"], &page["next"]), (&json!(false), &json!("p2")));
//!
//! desk.expect(post("/tickets/7/comments").answer(Answer::json(409, json!({ "code": "ticket_closed" }))));
//! let fault = desk.call("add_comment", json!({ "ticket": "7", "text": "Hello." })).unwrap_err();
//! assert_eq!(fault.kind(), FaultKind::Gone);
//! ```
//!
//! The crate of a connector has `crate-type = ["cdylib"]` and depends on this crate alone. `cargo build --release --target
//! wasm32-wasip2` makes the component; with `opt-level = "s"`, `lto = "fat"` and `codegen-units = 1` in `profile.release` it has half the
//! size and the same speed. A component begins with some kilobytes of heap. One whose answers are larger grows in every call, for two system
//! calls of the host; with more from the beginning it need not. In `.cargo/config.toml`:
//!
//! ```toml
//! [target.wasm32-wasip2]
//! rustflags = ["-C", "link-arg=--initial-heap=262144"]
//! ```
//!
//! # What the host does, so that a connector need not
//!
//! - It validates arguments, settings and results against the schemas. A tool gets what its types say.
//! - It writes secrets into requests; a connector has only their names. Only where the operator allows it: in the
//!   `Authorization` header unless configured otherwise.
//! - It waits, renews credentials and sends again, as each [`Verdict`] deserves, under limits that it shares with
//!   everyone who uses the same account. A connector never sleeps, and never repeats a request by itself.
//! - It keeps the deadline. A call that is over its time ends, wherever it is.
//!
//! # What goes where
//!
//! | | |
//! |---|---|
//! | [`settings`], [`input`], [`output`], [`data`], [`answer`], [`body`] | attributes for structs and enums; doc comments become what the model reads |
//! | [`Operation`], [`Wall`], [`Effect`] | what can be sent |
//! | [`Cx`] | the call: settings, requests, statements, deadline, subject |
//! | [`Request`], [`Response`] | one exchange; [`Request::send`] returns only what was classified as `Ok` |
//! | [`Verdict`] | what an answer means, and what the agent is told if it is a refusal |
//! | [`Fault`] | a failure; never an empty success |
//! | [`Page`], [`paginate`] | lists that say whether they are complete |
//! | [`Content`], [`WithContent`] | text, images, sound and documents, instead of an object or beside it |
//! | [`MayAsk`], [`Ask`], [`Cx::inputs`] | asking the agent's user or model before there is an answer |
//! | [`Cx::progress`] | how far a call has come |
//! | [`secret`], [`Parts`], [`Form`] | secrets by name, in headers and bodies |
//! | [`resource`], [`resource_template`] | what an agent can read without calling a tool |
//! | [`prompt`], [`Messages`] | what a person can begin a conversation with |
//! | [`Connector::login`], [`Login`], [`Session`], [`oauth`] | the system's own login |
//! | [`sql`] | statements for PostgreSQL |
//! | [`cache`], [`log`], [`time`] | a small memory, lines for the operator, time as agents see it |
//! | [`testing`] | tools against scripted exchanges, natively |

#![deny(unsafe_code)]
#![warn(missing_docs)]

extern crate self as ferrata_sdk;

mod ask;
#[doc(hidden)]
pub mod bindings;
pub mod cache;
mod completion;
mod connector;
mod content;
mod credential;
mod cx;
mod decode;
mod fault;
#[doc(hidden)]
#[allow(missing_docs, reason = "for the export macro")]
pub mod guest;
mod host;
mod json_body;
mod limit;
pub mod log;
mod login;
pub mod oauth;
mod operation;
mod output;
mod page;
mod prompt;
mod request;
mod resource;
mod response;
mod schema;
mod secret;
mod settle;
pub mod sql;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod time;
mod tool;
mod verdict;

pub use ask::{Ask, Bring, Filled, Inputs, MayAsk, Root};
pub use completion::{Suggestions, Typed};
pub use connector::{Authenticate, Connector, NoLogin, NoSettings, WithLogin};
pub use content::{Content, WithContent};
pub use credential::{Credential, Upstream};
pub use cx::{Cx, Hash};
pub use fault::{Fault, FaultKind};
pub use ferrata_sdk_macros::{answer, body, data, input, output, settings};
pub use limit::{Limit, Observe};
pub use login::{Login, Session};
pub use operation::{Effect, Operation, Wall};
pub use output::ToolOutput;
pub use page::{MAX_REQUESTS, Page, paginate};
pub use prompt::{Messages, Prompt, prompt};
pub use request::Request;
pub use resource::{Document, Resource, resource, resource_template};
pub use response::Response;
pub use secret::{Atom, Encoding, Form, Parts, Secret, secret};
pub use settle::MAX_PARALLEL;
pub use time::Timestamp;
pub use tool::{Item, Tool, tool, tool_batch};
pub use verdict::{Classify, Verdict};

#[doc(hidden)]
pub use wit_bindgen;
pub use {schemars, serde, serde_json};

/// Everything that a connector usually needs.
pub mod prelude {
    pub use crate::{
        Ask, Bring, Connector, Content, Credential, Cx, Document, Effect, Encoding, Fault, FaultKind, Filled,
        Form, Item, Limit, Login, MayAsk, Messages, NoSettings, Operation, Page, Parts, Prompt, Request,
        Resource, Response, Secret, Session, Suggestions, Timestamp, Tool, Typed, Upstream, Verdict, Wall,
        WithContent, WithLogin, answer, body, cache, data, input, log, oauth, output, paginate, prompt,
        resource, resource_template, secret, settings, tool, tool_batch,
    };
    pub use serde_json::{self, Value, json};
    pub use std::time::Duration;
}

/// Makes a component of a connector: `export!(connector)`, where `connector` is a function that returns a [`Connector`], or
/// `export!(connector, login)` if it has a login of its own. What it offers besides tools comes last: `export!(connector, resources:
/// resources, prompts: prompts)`, where `resources` and `prompts` are functions that return lists of [`Resource`]s and [`Prompt`]s. Does nothing in a native build.
#[macro_export]
macro_rules! export {
    ($connector:path, login $(, $what:ident: $offer:path)* $(,)?) => {
        $crate::export!(@base $connector, $crate::guest::with_login);
        $crate::export!(@login $connector);
        $($crate::export!(@$what $connector, $offer);)*
    };
    ($connector:path $(, $what:ident: $offer:path)* $(,)?) => {
        $crate::export!(@base $connector, $crate::guest::without_login);
        $($crate::export!(@$what $connector, $offer);)*
    };
    (@login $connector:path) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::login::exports::ferrata::connector::authenticator::{Guest, Session};
            use $crate::bindings::base::ferrata::connector::types::Fault;

            struct Component;

            impl Guest for Component {
                fn authenticate(credential: String, grant: String) -> Result<Session, Fault> {
                    $crate::guest::authenticate(&$connector(), credential, &grant)
                }
            }
            $crate::bindings::login::export_login!(Component with_types_in $crate::bindings::login);
        };
    };
    (@resources $connector:path, $resources:path) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::base::ferrata::connector::types::{Completion, Document, Fault};
            use $crate::bindings::resources::exports::ferrata::connector::resources::{Entry, Guest};

            struct Component;

            impl Guest for Component {
                fn list_resources() -> Result<Vec<Entry>, Fault> {
                    $crate::guest::list_resources(&$resources())
                }

                fn read(path: String, variables: Vec<(String, String)>) -> Result<Vec<Document>, Fault> {
                    $crate::guest::read(&$connector(), &$resources(), &path, variables)
                }

                fn complete(
                    path: String,
                    variable: String,
                    value: String,
                    known: Vec<(String, String)>,
                ) -> Result<Completion, Fault> {
                    let typed = $crate::guest::typed(value, known);
                    $crate::guest::complete_resource(&$connector(), &$resources(), &path, &variable, typed)
                }
            }
            $crate::bindings::resources::export_resources!(Component with_types_in $crate::bindings::resources);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: fn() = || drop($crate::guest::resources_of(&$connector(), $resources()));
    };
    (@prompts $connector:path, $prompts:path) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::base::ferrata::connector::types::{Completion, Fault, Inputs};
            use $crate::bindings::prompts::exports::ferrata::connector::prompts::{Answer, Guest, Prompt};

            struct Component;

            impl Guest for Component {
                fn list_prompts() -> Result<Vec<Prompt>, Fault> {
                    $crate::guest::list_prompts(&$prompts())
                }

                fn get(
                    prompt: String,
                    arguments: Vec<(String, String)>,
                    inputs: Option<Inputs>,
                ) -> Result<Answer, Fault> {
                    $crate::guest::get(&$connector(), &$prompts(), &prompt, arguments, inputs)
                }

                fn complete(
                    prompt: String,
                    argument: String,
                    value: String,
                    known: Vec<(String, String)>,
                ) -> Result<Completion, Fault> {
                    let typed = $crate::guest::typed(value, known);
                    $crate::guest::complete_prompt(&$connector(), &$prompts(), &prompt, &argument, typed)
                }
            }
            $crate::bindings::prompts::export_prompts!(Component with_types_in $crate::bindings::prompts);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: fn() = || drop($crate::guest::prompts_of(&$connector(), $prompts()));
    };
    (@base $connector:path, $checked:path) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::base::exports::ferrata::connector::{manifest, tools};
            use $crate::bindings::base::ferrata::connector::types::Fault;

            struct Component;

            impl manifest::Guest for Component {
                fn describe() -> String {
                    $crate::guest::describe(&$checked($connector()))
                }
            }

            impl tools::Guest for Component {
                fn list_tools() -> Result<Vec<tools::Tool>, Fault> {
                    $crate::guest::list_tools(&$connector())
                }

                fn call(tool: String, invocations: Vec<tools::Invocation>) -> Vec<Result<tools::Answer, Fault>> {
                    $crate::guest::call(&$connector(), &tool, invocations)
                }
            }
            $crate::bindings::base::export_connector!(Component with_types_in $crate::bindings::base);
        };
        // Natively the connector counts as used, and the argument is checked all the same.
        #[cfg(not(target_family = "wasm"))]
        const _: fn() = || drop($checked($connector()));
    };
}
