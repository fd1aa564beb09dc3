//! Run tools against scripted exchanges with plain `cargo test`, without WebAssembly.
//!
//! A [`Harness`] plays the host: it says in which order the connector should send what, and what comes back. It checks what the
//! host would check (the manifest against its schema, arguments and results against the tools' schemas, requests and their secrets
//! against the manifest) and panics with a sentence when that fails or the connector does something else than the script says.
//!
//! Secrets are seen as the host sees them, by name: `{{bot.token}}`, and `base64(bot:{{bot.password}})` where they are encoded.
//!
//! ```
//! use ferrata_sdk::prelude::*;
//! use ferrata_sdk::testing::{Answer, Harness, get};
//!
//! # const USER: Operation = Operation::get("api", "user", "/users/{id}");
//! # #[input] struct GetUser { id: String }
//! # #[data] struct User { name: String }
//! # fn get_user(cx: &Cx<NoSettings>, input: GetUser) -> Result<User, Fault> {
//! #     cx.request(&USER).segment("id", input.id).bearer("bot.token").send()?.json()
//! # }
//! # fn connector() -> Connector<NoSettings> {
//! #     Connector::new("users", "0.1.0")
//! #         .upstream(Upstream::http("api"))
//! #         .credential(Credential::fixed("bot", "api").field("token"))
//! #         .tool(tool("get_user", &USER, get_user).describe("One user."))
//! # }
//! let mut harness = Harness::new(connector());
//! harness.expect(
//!     get("/users/U1")
//!         .header("authorization", "Bearer {{bot.token}}")
//!         .answer(Answer::status(429).header("retry-after", "3"))
//!         .sent_again(Answer::json(200, json!({ "name": "Ada", "locale": "en" }))),
//! );
//! assert_eq!(harness.call("get_user", json!({ "id": "U1" })).unwrap(), json!({ "name": "Ada" }));
//! ```

mod answer;
mod check;
mod exchange;
mod expect;
mod grants;
mod harness;
mod offers;
mod script;
mod written;

pub use answer::Answered;
pub use check::check;
pub use expect::{Answer, Expect, ExpectSql, Expectation, delete, get, patch, post, put, request, sql};
pub use harness::{Harness, LoggedIn};
pub use script::Reported;
