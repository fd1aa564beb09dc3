//! What a guest asks an agent's client: known requests, bounded, with what each must say.

use serde_json::{Map, Value};

use crate::call::{Capabilities, Question};

/// Most requests of one question: somebody has to answer them all.
const MAX_REQUESTS: usize = 16;

/// Largest requests and largest state, in bytes: they travel to the agent, and the state back.
const MAX_BYTES: usize = 64 << 10;

/// Longest key, in bytes.
const MAX_KEY_BYTES: usize = 128;

/// A question; the error is a sentence's end.
pub fn check(requests: &str, state: Option<String>) -> Result<Question, String> {
    if requests.len() > MAX_BYTES || state.as_ref().is_some_and(|state| state.len() > MAX_BYTES) {
        return Err(format!("a question of more than {MAX_BYTES} bytes"));
    }
    let requests: Map<String, Value> =
        serde_json::from_str(requests).map_err(|e| format!("its question is no object of requests ({e})"))?;
    if requests.len() > MAX_REQUESTS || (requests.is_empty() && state.is_none()) {
        return Err(format!("a question of {} requests; 1 to {MAX_REQUESTS}", requests.len()));
    }
    let mut needs = Capabilities::NONE;
    for (number, (key, request)) in requests.iter().enumerate() {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(format!("request {number} of its question has a key that is empty or long"));
        }
        let need = need(request).map_err(|why| format!("request {number} of its question {why}"))?;
        needs = needs.with(need);
    }
    let requests = serde_json::value::to_raw_value(&requests).map_err(|e| e.to_string())?;
    Ok(Question { requests, needs, state, idempotency_key: String::new() })
}

/// What a client must be able to do to answer a request; the error says what is wrong with it.
fn need(request: &Value) -> Result<Capabilities, &'static str> {
    let params = &request["params"];
    match request["method"].as_str() {
        Some("elicitation/create") if !params["message"].is_string() => Err("has no `message`"),
        Some("elicitation/create") => match params["mode"].as_str() {
            None | Some("form") if params["requestedSchema"]["type"] != "object" => {
                Err("has a `requestedSchema` that is not of an object")
            }
            None | Some("form") => Ok(Capabilities::FORM),
            Some("url") if params["url"].as_str().is_some_and(is_web_address) => Ok(Capabilities::URL),
            Some("url") => Err("has a `url` that is not of the web"),
            Some(_) => Err("has an unknown `mode`"),
        },
        Some("sampling/createMessage") if !params["messages"].is_array() => Err("has no `messages`"),
        Some("sampling/createMessage") if !params["maxTokens"].is_u64() => Err("has no `maxTokens`"),
        Some("sampling/createMessage") => {
            let tools = params.get("tools").is_some() || params.get("toolChoice").is_some();
            let needs = Capabilities::SAMPLING;
            Ok(if tools { needs.with(Capabilities::SAMPLING_TOOLS) } else { needs })
        }
        Some("roots/list") if params.is_null() || params.is_object() => Ok(Capabilities::ROOTS),
        Some("roots/list") => Err("has `params` that are no object"),
        _ => Err("has an unknown `method`"),
    }
}

/// Where a person may be sent: no other scheme, which a client might hand to a program.
fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let plain = !url.contains(|c: char| c.is_control() || c.is_whitespace());
    plain && rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(request: Value) -> Result<Capabilities, String> {
        check(&json!({ "key": request }).to_string(), None).map(|question| question.needs)
    }

    fn ask(method: &str, params: Value) -> Value {
        json!({ "method": method, "params": params })
    }

    #[test]
    fn a_request_says_what_it_needs() {
        let form = json!({"message": "?", "requestedSchema": {"type": "object", "properties": {}}});
        assert_eq!(verdict(ask("elicitation/create", form)), Ok(Capabilities::FORM));
        let url = json!({"mode": "url", "message": "?", "url": "https://id.example/consent"});
        assert_eq!(verdict(ask("elicitation/create", url)), Ok(Capabilities::URL));
        let sample = json!({"messages": [], "maxTokens": 9, "tools": []});
        let tools = Capabilities::SAMPLING.with(Capabilities::SAMPLING_TOOLS);
        assert_eq!(verdict(ask("sampling/createMessage", sample)), Ok(tools));
        assert_eq!(verdict(json!({"method": "roots/list"})), Ok(Capabilities::ROOTS));
    }

    #[test]
    fn what_no_client_could_answer_is_not_asked() {
        for bad in [
            json!(7),
            json!({}),
            ask("tools/call", json!({})),
            ask("elicitation/create", json!({"message": "?"})),
            ask("elicitation/create", json!({"requestedSchema": {"type": "object"}})),
            ask("elicitation/create", json!({"mode": "url", "message": "?", "url": "file:///etc/passwd"})),
            ask("elicitation/create", json!({"mode": "url", "message": "?", "url": "https:///x"})),
            ask("sampling/createMessage", json!({"messages": [], "maxTokens": -1})),
            ask("roots/list", json!([])),
        ] {
            assert!(verdict(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_question_is_bounded_and_asks_something() {
        let roots = ask("roots/list", json!({}));
        let many = |count: usize| -> String {
            let requests: Map<_, _> = (0..count).map(|i| (i.to_string(), roots.clone())).collect();
            Value::Object(requests).to_string()
        };
        assert!(check(&many(MAX_REQUESTS), None).is_ok() && check(&many(MAX_REQUESTS + 1), None).is_err());
        assert!(check("{}", Some("s".into())).is_ok() && check("{}", None).is_err());
        assert!(check("{}", Some("s".repeat(MAX_BYTES + 1))).is_err());
        assert!(check(&json!({"k".repeat(MAX_KEY_BYTES + 1): roots}).to_string(), None).is_err());
        for bad in ["", "[]", "{"] {
            assert!(check(bad, Some("s".into())).is_err(), "{bad}");
        }
    }
}
