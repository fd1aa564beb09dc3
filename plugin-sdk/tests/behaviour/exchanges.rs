//! Requests as they go out, answers as they are read, and what a verdict leads to.

use ferrata_sdk::prelude::*;
use ferrata_sdk::testing::{Answer, Harness, delete, get, post};

const READ: Operation = Operation::get("api", "files.read", "/files/{owner}/{path...}");
const WRITE: Operation = Operation::post("api", "files.write", "/files/{owner}");
const REMOVE: Operation = Operation::delete("api", "files.remove", "/files/{owner}");

/// Reads a file.
#[input]
struct Read {
    owner: String,
    path: String,
    #[serde(default)]
    version: Option<u32>,
}

#[data]
struct File {
    size: u64,
}

fn read(cx: &Cx<NoSettings>, input: Read) -> Result<File, Fault> {
    let request = cx.request(&READ).segment("owner", &input.owner).rest("path", &input.path);
    request.query_if("version", input.version).query("view", "a&b").bearer("bot.token").send()?.json()
}

/// Writes a file.
#[input]
struct Write {
    owner: String,
    text: String,
}

#[output]
struct Written {
    id: String,
}

#[answer]
struct Stored {
    id: String,
}

fn write(cx: &Cx<NoSettings>, input: Write) -> Result<Written, Fault> {
    let request = cx.request(&WRITE).segment("owner", &input.owner).body("text/plain", input.text);
    let request = request.resource(input.owner);
    let stored: Stored = request.header("idempotency-key", cx.idempotency_key()).send()?.json()?;
    Ok(Written { id: stored.id })
}

/// Reads several files at once.
#[input]
struct ReadAll {
    paths: Vec<String>,
}

#[output]
struct Sizes {
    sizes: Vec<Option<u64>>,
}

fn read_all(cx: &Cx<NoSettings>, input: ReadAll) -> Result<Sizes, Fault> {
    let request = |path: &String| cx.request(&READ).segment("owner", "me").rest("path", path);
    let answers = cx.send_all(input.paths.iter().map(request).collect());
    let size = |answer: Result<Response, Fault>| match answer.and_then(|response| response.json::<File>()) {
        Ok(file) => Ok(Some(file.size)),
        Err(fault) if matches!(fault.kind(), FaultKind::NotFound | FaultKind::InvalidArguments) => Ok(None),
        Err(fault) => Err(fault),
    };
    Ok(Sizes { sizes: answers.into_iter().map(size).collect::<Result<_, _>>()? })
}

/// Removes everything of an owner.
#[input]
struct Remove {
    owner: String,
}

#[output]
struct Removed {}

fn remove(cx: &Cx<NoSettings>, input: Remove) -> Result<Removed, Fault> {
    cx.request(&REMOVE).segment("owner", input.owner).send()?;
    Ok(Removed {})
}

/// A system that answers 200 whatever happened.
fn classify(response: &Response) -> Verdict {
    #[answer]
    struct Problem {
        error: String,
    }
    match response.json::<Problem>() {
        Ok(problem) if problem.error == "slow_down" => Verdict::throttled(response.retry_after()),
        Ok(problem) if problem.error == "who_are_you" => Verdict::Unauthenticated,
        Ok(problem) => {
            Verdict::Rejected(Fault::rejected("The file system refused.").with_code(problem.error))
        }
        Err(_) => Verdict::by_status(response),
    }
}

fn connector() -> Connector<NoSettings> {
    Connector::new("files", "1.0.0")
        .upstream(Upstream::http("api"))
        .credential(Credential::fixed("bot", "api").field("token"))
        .classify(classify)
        .tool(tool("read", &READ, read))
        .tool(tool("write", &WRITE, write))
        .tool(tool("read_all", &READ, read_all))
        .tool(tool("remove", &REMOVE, remove))
}

fn files() -> Harness<NoSettings, ferrata_sdk::NoLogin> {
    Harness::new(connector())
}

fn a_file() -> Answer {
    Answer::json(200, json!({ "size": 3 }))
}

#[test]
fn what_an_agent_writes_stays_within_its_segment_and_its_parameter() {
    let mut files = files();
    let path = "/files/..%2F..%2Fadmin%3Fx%3D%23/a%20b/%C3%A9.txt?version=2&view=a%26b";
    files.expect(get(path).header("accept", "application/json").answer(a_file()));
    let arguments = json!({ "owner": "../../admin?x=#", "path": "a b/é.txt", "version": 2 });
    assert_eq!(files.call("read", arguments).unwrap(), json!({ "size": 3 }));
}

#[test]
fn a_segment_that_no_path_can_have_is_the_agents_mistake_and_is_not_sent() {
    for (owner, path) in [("..", "a"), ("", "a"), ("me", "a/../b"), ("me", "a//b")] {
        let fault = files().call("read", json!({ "owner": owner, "path": path })).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::InvalidArguments, "{owner} {path}");
    }
}

#[test]
fn a_write_carries_the_calls_idempotency_key_and_its_body() {
    let mut files = files();
    let expected = post("/files/me").header("idempotency-key", "key-1").header("content-type", "text/plain");
    let expected = expected.resource("me");
    files.expect(expected.body("hello").answer(Answer::json(201, json!({ "id": "f1", "new": true }))));
    assert_eq!(
        files.call("write", json!({ "owner": "me", "text": "hello" })).unwrap(),
        json!({ "id": "f1" })
    );
}

#[test]
fn an_answer_that_was_sent_again_is_classified_anew() {
    let mut files = files();
    let throttled = Answer::json(200, json!({ "error": "slow_down" })).header("retry-after", "2");
    let unknown = Answer::json(200, json!({ "error": "who_are_you" }));
    files.expect(get("/files/me/a?view=a%26b").answer(throttled).sent_again(unknown).sent_again(a_file()));
    assert_eq!(files.call("read", json!({ "owner": "me", "path": "a" })).unwrap(), json!({ "size": 3 }));
}

#[test]
fn what_ends_an_exchange_ends_the_call() {
    let throttled = Answer::json(200, json!({ "error": "slow_down" })).header("retry-after", "1.5");
    let cases = [
        (throttled, FaultKind::RateLimited),
        (Answer::json(200, json!({ "error": "who_are_you" })), FaultKind::CredentialDead),
        (Answer::text(503, "<html>"), FaultKind::Unavailable),
        (Answer::status(429), FaultKind::RateLimited),
    ];
    for (answer, kind) in cases {
        let mut files = files();
        files.expect(get("/files/me/a?view=a%26b").answer(answer));
        let fault = files.call("read", json!({ "owner": "me", "path": "a" })).unwrap_err();
        assert_eq!((fault.kind(), fault.is_the_hosts()), (kind, true));
    }
}

#[test]
fn a_refusal_is_what_classify_says_and_never_an_empty_success() {
    let mut files = files();
    files.expect(delete("/files/me").answer(Answer::json(200, json!({ "error": "locked" }))));
    let fault = files.call("remove", json!({ "owner": "me" })).unwrap_err();
    assert_eq!(
        (fault.kind(), fault.code(), fault.is_the_hosts()),
        (FaultKind::Rejected, Some("locked"), false)
    );
}

#[test]
fn statuses_that_mean_a_refusal_have_their_own_kinds() {
    let cases = [(403, FaultKind::PermissionDenied), (404, FaultKind::NotFound), (409, FaultKind::Conflict)];
    for (status, kind) in cases.into_iter().chain([(410, FaultKind::Gone), (302, FaultKind::Rejected)]) {
        let mut files = files();
        files.expect(delete("/files/me").answer(Answer::status(status)));
        assert_eq!(files.call("remove", json!({ "owner": "me" })).unwrap_err().kind(), kind, "{status}");
    }
}

#[test]
fn drift_says_where_and_quotes_the_system() {
    let mut files = files();
    files.expect(get("/files/me/a?view=a%26b").answer(Answer::json(200, json!({ "size": "large" }))));
    let fault = files.call("read", json!({ "owner": "me", "path": "a" })).unwrap_err();
    assert_eq!((fault.kind(), fault.path()), (FaultKind::SchemaMismatch, Some("/size")));
    assert!(!fault.message().contains("large") && fault.upstream_text().unwrap().contains("large"));
}

#[test]
fn parallel_answers_keep_their_order_beyond_one_round_and_a_mistake_is_its_own() {
    let mut files = files();
    let paths: Vec<String> =
        (0..20).map(|i| if i == 3 { "..".to_owned() } else { format!("f{i}") }).collect();
    let mut sizes: Vec<Value> = (0..20).map(Value::from).collect();
    for (i, path) in paths.iter().enumerate().filter(|(i, _)| *i != 3) {
        let answer = if i == 5 { Answer::status(404) } else { Answer::json(200, json!({ "size": i })) };
        files.expect(get(&format!("/files/me/{path}")).answer(answer));
    }
    (sizes[3], sizes[5]) = (Value::Null, Value::Null);
    assert_eq!(files.call("read_all", json!({ "paths": paths })).unwrap(), json!({ "sizes": sizes }));
}

#[test]
fn what_an_answer_tells_of_limits_reaches_the_host() {
    fn limits(response: &Response) -> Vec<Limit> {
        let used = response.header("x-used").and_then(|used| used.parse().ok());
        used.map(|used| Limit::of_upstream().window(Duration::from_secs(60)).used(used)).into_iter().collect()
    }
    let mut files = Harness::new(connector().observe(limits));
    for answer in [
        Answer::json(200, json!({ "size": 1 })).header("x-used", "7"),
        Answer::json(200, json!({ "size": 1 })),
    ] {
        files.expect(get("/files/me/a?view=a%26b").answer(answer));
        files.call("read", json!({ "owner": "me", "path": "a" })).unwrap();
    }
    assert_eq!(files.observed(), [json!([{ "about": "upstream", "window_ms": 60_000, "used": 7 }])]);
}
