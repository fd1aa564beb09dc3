//! Calls that a person must agree to before they are made.
//!
//! The agent's client is asked; that it asks its user, and not itself, is the client's promise. What was agreed to is exactly what is called: the consent is
//! sealed to caller, tool and arguments, and good for one call.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::seal::{Bound, Memory, Seals, Stage, VALID_FOR};
use crate::call::{Capabilities, Consent, Inputs, Question};
use crate::fault::{Fault, FaultKind};

/// The key under which the answer comes back.
const KEY: &str = "ferrata-confirm";

/// Longest arguments that anybody is asked to agree to, in bytes: what is longer is not read.
const MAX_SHOWN_BYTES: usize = 8 << 10;

/// Most consents that are remembered as used: far more than people give within the time that one is good for.
const MAX_USED: usize = 65_536;

/// Consents that were used, until they would be too old anyway.
#[derive(Debug, Default)]
pub struct Used(Mutex<HashMap<u128, Instant>>);

impl Used {
    /// Uses it; false if it was used before, or nobody could remember that it is used now.
    pub fn spend(&self, ticket: u128) -> bool {
        let (mut used, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        if used.len() >= MAX_USED {
            used.retain(|_, until| now < *until);
        }
        used.len() < MAX_USED && used.insert(ticket, now + VALID_FOR).is_none()
    }
}

/// A ticket for one use.
pub fn ticket() -> u128 {
    rand::random()
}

/// What was answered.
pub fn consent(inputs: &Inputs) -> Consent {
    let answers: Value = serde_json::from_str(inputs.responses.get()).unwrap_or_default();
    let answer = &answers[KEY];
    match answer["action"] == "accept" && answer["content"]["confirm"] == true {
        true => Consent::Given,
        false => Consent::Refused,
    }
}

/// The question, or the fault that it cannot be asked. `shown`: the arguments as people may read them.
pub fn ask(
    seals: &Seals,
    bound: &Bound<'_>,
    shown: &str,
    can_be_asked: bool,
    idempotency_key: String,
) -> Result<Question, Fault> {
    let denied = |why: String| Err(Fault::new(FaultKind::PermissionDenied, why));
    let tool = bound.target;
    if !can_be_asked {
        return denied(format!(
            "A call of `{tool}` needs a person's consent, and the protocol that it was called with has no way to ask (MCP has, from \
             revision 2026-07-28 on)."
        ));
    }
    if shown.len() > MAX_SHOWN_BYTES {
        return denied(format!(
            "A call of `{tool}` needs a person's consent, and arguments of more than {MAX_SHOWN_BYTES} bytes are more than a person reads."
        ));
    }
    let message = message(bound, shown);
    let form = json!({
        "type": "object",
        "properties": { "confirm": { "type": "boolean", "title": "Do it", "default": false } },
        "required": ["confirm"],
    });
    let request = json!({
        "method": "elicitation/create",
        "params": { "mode": "form", "message": message, "requestedSchema": form },
    });
    let memory = Memory { state: None, idempotency_key, stage: Stage::Asked(ticket()) };
    Ok(Question {
        requests: serde_json::value::to_raw_value(&json!({ KEY: request })).map_err(Fault::internal)?,
        needs: Capabilities::FORM,
        state: Some(seals.seal(bound, &memory)?),
        idempotency_key: String::new(),
    })
}

fn message(bound: &Bound<'_>, shown: &str) -> String {
    let (agent, tool, arguments) = (&bound.caller.agent, bound.target, visible(shown));
    let user = bound.caller.subject.as_ref().map(|user| format!(" for `{}`", visible(user.name())));
    let user = user.unwrap_or_default();
    format!("The agent `{}` wants to call `{tool}`{user} with {arguments}. Shall it?", visible(agent))
}

/// The text with everything spelled out that would not be seen, or would make the rest look like something else.
fn visible(text: &str) -> String {
    let spelled = |c: char| match is_invisible(c) {
        true => c.escape_unicode().to_string(),
        false => c.to_string(),
    };
    text.chars().map(spelled).collect()
}

/// Controls, directions, joiners, tags.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::call::Caller;

    fn answer(answer: Value) -> Consent {
        let responses = RawValue::from_string(json!({ KEY: answer }).to_string()).unwrap();
        consent(&Inputs { responses, state: None })
    }

    #[test]
    fn only_a_plain_yes_is_one() {
        assert_eq!(answer(json!({ "action": "accept", "content": { "confirm": true } })), Consent::Given);
        for no in [
            json!({ "action": "accept", "content": { "confirm": false } }),
            json!({ "action": "accept", "content": { "confirm": "true" } }),
            json!({ "action": "accept" }),
            json!({ "action": "decline", "content": { "confirm": true } }),
            json!({ "action": "cancel" }),
            json!({}),
        ] {
            assert_eq!(answer(no.clone()), Consent::Refused, "{no}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_good_once() {
        let used = Used::default();
        let (one, other) = (ticket(), ticket());
        assert!(used.spend(one) && used.spend(other) && !used.spend(one));
        tokio::time::advance(VALID_FOR).await;
        assert!(!used.spend(other), "it is not forgotten before there are many");
    }

    #[test]
    fn who_agrees_sees_what_will_be_called() {
        let (caller, arguments) = (Caller::agent("support"), json!({}));
        let bound = Bound { target: "crm_delete", caller: &caller, arguments: &arguments };
        let shown = "{\"name\":\"\u{202e}gpj.exe\"}";
        let question = ask(&Seals::new(), &bound, shown, true, "k".to_owned()).unwrap();
        let requests: Value = serde_json::from_str(question.requests.get()).unwrap();
        let message = requests[KEY]["params"]["message"].as_str().unwrap();
        assert!(message.contains("`support`") && message.contains("`crm_delete`"), "{message}");
        assert!(message.contains("\\u{202e}gpj.exe") && !message.contains('\u{202e}'), "{message}");
        let long = "x".repeat(MAX_SHOWN_BYTES + 1);
        for (shown, can_be_asked) in [(shown, false), (long.as_str(), true)] {
            let fault = ask(&Seals::new(), &bound, shown, can_be_asked, "k".to_owned()).unwrap_err();
            assert_eq!(fault.kind, FaultKind::PermissionDenied);
        }
    }
}
