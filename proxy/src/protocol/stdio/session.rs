//! What one agent at a pipe has under way.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::io::AsyncRead;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tracing::{error, warn};

use super::lines::{Line, Lines};
use crate::call::Caller;
use crate::fault::{Fault, FaultKind};
use crate::gate::{Changes, Gate, MALFORMED};
use crate::protocol::jsonrpc::{self, Error, Id, Message};
use crate::protocol::mcp::refused::{self, Claim};
use crate::protocol::mcp::{
    self, Answer, Feed, Listener, Params, Reporting, Request, Said, Subscription, batch, version,
};
use crate::server::{Drain, DrainTrigger, drain};

/// Calls and subscriptions of one agent at a time; one more is refused.
const MAX_RUNNING: usize = 256;

/// Batches of one agent at a time, each of some dozens of calls; the next line is read when there is room for one more.
const MAX_BATCHES: usize = 8;

/// One agent's state between two lines.
pub struct Session {
    gate: Arc<Gate>,
    caller: Caller,
    out: mpsc::Sender<Vec<u8>>,
    patience: Duration,
    tasks: JoinSet<()>,
    /// By the id of the request, as the agent wrote it.
    running: HashMap<String, AbortHandle>,
    /// The revision that an `initialize` agreed on: this agent is legacy and hears of changes without asking.
    agreed: Option<&'static str>,
    changes: watch::Receiver<Changes>,
    /// Up to where this agent has heard.
    heard: Changes,
    seats: Arc<Semaphore>,
    batches: Arc<Semaphore>,
    ending: DrainTrigger,
    ended: Drain,
}

impl Session {
    /// `patience` is how long calls under way may take at the end.
    pub fn new(gate: Arc<Gate>, caller: Caller, out: mpsc::Sender<Vec<u8>>, patience: Duration) -> Self {
        let (ending, ended) = drain();
        let mut changes = gate.changes();
        let heard = *changes.borrow_and_update();
        Self {
            gate,
            caller,
            out,
            patience,
            tasks: JoinSet::new(),
            running: HashMap::new(),
            agreed: None,
            changes,
            heard,
            seats: Arc::new(Semaphore::new(MAX_RUNNING)),
            batches: Arc::new(Semaphore::new(MAX_BATCHES)),
            ending,
            ended,
        }
    }

    /// Serves line by line until the input ends, the drain begins or nobody reads the answers any more.
    pub async fn run<R: AsyncRead + Unpin>(
        mut self,
        mut lines: Lines<R>,
        mut drain: Drain,
    ) -> io::Result<()> {
        let out = self.out.clone();
        let end = loop {
            tokio::select! {
                biased;
                () = drain.begun() => break Ok(()),
                // Nobody is left to answer.
                () = out.closed() => return self.give_up().await,
                Some(done) = self.tasks.join_next_with_id() => self.note_end(done).await,
                Ok(()) = self.changes.changed(), if self.agreed.is_some() => self.tell_changes().await,
                line = lines.next() => match line {
                    Ok(Some(Line::Whole(text))) => self.handle(text).await,
                    Ok(Some(Line::TooLong)) => {
                        refused::count();
                        self.refuse(None, &Error::invalid_request("The line is too long")).await;
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                },
            }
        };
        self.finish().await;
        end
    }

    async fn tell_changes(&mut self) {
        let now = *self.changes.borrow_and_update();
        for list in now.since(std::mem::replace(&mut self.heard, now)) {
            self.send(mcp::list_changed(list, None)).await;
        }
    }

    async fn handle(&mut self, text: Vec<u8>) {
        if text.trim_ascii().is_empty() {
            return;
        }
        if batch::is_batch(&text) {
            return self.start_batch(text).await;
        }
        match jsonrpc::parse(&text) {
            Ok(Message::Request { id, method, params }) => {
                let request = Request { id, method: &method, params, headers: None, session: None };
                match mcp::runs_a_connector(request.method) {
                    true => self.start_call(request, &text).await,
                    false => self.answer(request).await,
                }
            }
            Ok(Message::Notification { method, params }) if method == "notifications/cancelled" => {
                self.cancel(params)
            }
            Ok(Message::Notification { method, params }) => {
                self.note(Claim { method: &method, params, headers: None }, MALFORMED);
            }
            Ok(Message::Response) => {}
            Err(malformed) => {
                refused::malformed(&self.gate, &self.caller, &malformed, None);
                self.refuse(malformed.id, &malformed.error).await;
            }
        }
    }

    /// Answers what needs no waiting, in the order in which it came.
    async fn answer(&mut self, request: Request<'_>) {
        match mcp::answer(&self.gate, &self.caller, request).await {
            Answer::Message { body, .. } => self.send(body).await,
            // A call, and calls are started.
            Answer::Reporting(reporting) => {
                report(reporting, &self.out).await;
            }
            Answer::Initialized { version, body } => {
                self.agreed = Some(version);
                self.send(body).await;
            }
            Answer::Listen(subscription) => self.start_listening(subscription).await,
        }
    }

    async fn start_call(&mut self, request: Request<'_>, text: &[u8]) {
        if self.running.len() >= MAX_RUNNING {
            let full = format!("{MAX_RUNNING} calls of this agent are under way.");
            self.note(request.into(), FaultKind::Overloaded.traits().label);
            return self.send(mcp::fail(request, &Fault::new(FaultKind::Overloaded, full))).await;
        }
        if self.running.contains_key(request.id.get()) {
            self.note(request.into(), MALFORMED);
        }
        let (gate, caller, out) = (self.gate.clone(), self.caller.clone(), self.out.clone());
        // A borrowed message cannot move along with its text, so the task reads it again.
        let text = text.to_owned();
        self.start(request.id, async move {
            let Ok(Message::Request { id, method, params }) = jsonrpc::parse(&text) else { return };
            let request = Request { id, method: &method, params, headers: None, session: None };
            match mcp::answer(&gate, &caller, request).await {
                Answer::Message { body, .. } => out.send(body).await.ok(),
                Answer::Reporting(reporting) => report(reporting, &out).await,
                Answer::Initialized { .. } | Answer::Listen(_) => None,
            };
        })
        .await;
    }

    async fn start_listening(&mut self, subscription: Subscription) {
        let Ok(permit) = self.seats.clone().try_acquire_owned() else {
            let error = Error::new(jsonrpc::INTERNAL_ERROR, "As many subscriptions as are allowed are open");
            return self.refuse(Some(&subscription.id), &error).await;
        };
        let feed = Feed { changes: self.gate.changes(), drain: self.ended.clone(), permit };
        let mut listener = Listener::modern(&subscription, feed);
        let out = self.out.clone();
        self.start(&subscription.id, async move {
            while let Some(message) = listener.next().await {
                if out.send(message).await.is_err() {
                    return;
                }
            }
        })
        .await;
    }

    /// Runs what answers the request `id`, so that it can be cancelled by it.
    async fn start(&mut self, id: &Id, work: impl Future<Output = ()> + Send + 'static) {
        if self.running.contains_key(id.get()) {
            return self.refuse(Some(id), &Error::invalid_request("A request of this id is under way")).await;
        }
        let task = self.tasks.spawn(work);
        self.running.insert(id.get().to_owned(), task);
    }

    async fn start_batch(&mut self, text: Vec<u8>) {
        if self.agreed != Some(version::WITH_BATCHES) {
            refused::count();
            return self.refuse(None, &batch::not_in_this_revision()).await;
        }
        // Never closed.
        let Ok(seat) = self.batches.clone().acquire_owned().await else { return };
        let (gate, caller, out) = (self.gate.clone(), self.caller.clone(), self.out.clone());
        self.tasks.spawn(async move {
            let _seat = seat;
            let answers = batch::answer(&gate, &caller, None, &text).await;
            if let Some(answers) = answers.unwrap_or_else(|error| Some(jsonrpc::error(None, &error))) {
                out.send(answers).await.ok();
            }
        });
    }

    /// Writes down what names itself a call and is turned away.
    fn note(&self, claim: Claim<'_>, outcome: &'static str) {
        refused::note(&self.gate, &self.caller, claim, outcome);
    }

    /// A cancelled request gets no answer.
    fn cancel(&mut self, params: Option<&RawValue>) {
        let Ok(Params { request_id: Some(id), .. }) = Params::read(params) else { return };
        if let Some(task) = self.running.remove(id.get()) {
            task.abort();
        }
    }

    async fn note_end(&mut self, ended: Result<(tokio::task::Id, ()), JoinError>) {
        let task = match &ended {
            Ok((task, ())) => *task,
            Err(failure) => failure.id(),
        };
        let id = self.running.iter().find(|(_, handle)| handle.id() == task).map(|(id, _)| id.clone());
        let Some(id) = id else { return };
        self.running.remove(&id);
        if let Err(failure) = ended
            && let Ok(id) = RawValue::from_string(id)
        {
            error!(%failure, "a call's task failed");
            self.refuse(Some(&id), &Error::new(jsonrpc::INTERNAL_ERROR, "Ferrata failed")).await;
        }
    }

    async fn refuse(&self, id: Option<&Id>, error: &Error) {
        self.send(jsonrpc::error(id, error)).await;
    }

    async fn send(&self, message: Vec<u8>) {
        // A closed pipe is seen, and acted on, in `run`.
        self.out.send(message).await.ok();
    }

    /// Ends subscriptions, waits for calls as long as patience lasts, and gives up the rest.
    async fn finish(mut self) {
        self.ending.begin();
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.patience, all_ended).await.is_err() {
            warn!(calls = self.tasks.len(), "calls were given up: they did not finish in time");
            self.tasks.shutdown().await;
        }
    }

    /// Drops the calls, and waits until each has left its line in the audit.
    async fn give_up(mut self) -> io::Result<()> {
        self.tasks.shutdown().await;
        Ok(())
    }
}

/// Passes progress on while the agent reads, and then the answer.
async fn report(mut reporting: Reporting, out: &mpsc::Sender<Vec<u8>>) -> Option<()> {
    loop {
        match reporting.next().await {
            Said::Progress(message) => drop(out.try_send(message)),
            Said::Answer { body, .. } => return out.send(body).await.ok(),
            Said::Nothing => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::sync::oneshot;

    use super::*;
    use crate::audit::{Audit, Console};
    use crate::config::{self, AuditFile, AuditQueue, AuditSink, Auth, OnAuditFailure};

    fn session() -> (Session, mpsc::Receiver<Vec<u8>>) {
        audited(Audit::default())
    }

    fn audited(audit: Audit) -> (Session, mpsc::Receiver<Vec<u8>>) {
        let (out, unread) = mpsc::channel(8);
        let gate = crate::protocol::tests::gate_with(&Auth::None, audit);
        (Session::new(gate, Caller::anonymous(), out, Duration::ZERO), unread)
    }

    fn id(text: &str) -> Box<Id> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn cancelled(id: &Id) -> Vec<u8> {
        let params = json!({"requestId": id});
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
            .to_string()
            .into_bytes()
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_call_is_dropped_and_not_answered() {
        let (mut session, mut unread) = session();
        let (held, dropped) = oneshot::channel::<()>();
        session
            .start(&id("\"a\""), async move {
                let _held = held;
                std::future::pending::<()>().await;
            })
            .await;
        session.handle(cancelled(&id("\"b\""))).await;
        assert_eq!(session.running.len(), 1);
        session.handle(cancelled(&id("\"a\""))).await;
        // Under paused time this is over as soon as nothing else happens.
        let dropped = tokio::time::timeout(Duration::from_secs(1), dropped).await.expect("the call goes on");
        dropped.unwrap_err();
        assert!(session.running.is_empty() && unread.try_recv().is_err());
    }

    #[tokio::test]
    async fn an_id_is_used_once_at_a_time_and_the_number_of_calls_is_bounded() {
        let (mut session, mut unread) = session();
        for number in 0..MAX_RUNNING {
            session.start(&id(&number.to_string()), std::future::pending()).await;
        }
        session.start(&id("0"), async {}).await;
        assert!(String::from_utf8(unread.recv().await.unwrap()).unwrap().contains("under way"));
        let call = json!({"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {"name": "crm_x"}});
        session.handle(call.to_string().into_bytes()).await;
        assert!(String::from_utf8(unread.recv().await.unwrap()).unwrap().contains("overloaded"));
    }

    #[tokio::test]
    async fn what_is_turned_away_is_written_down_if_it_names_itself_a_call() {
        let folder = tempfile::tempdir().unwrap();
        let to = AuditSink::File(AuditFile { file: folder.path().join("audit") });
        let config = config::Audit { to, on_failure: OnAuditFailure::Stop, queue: AuditQueue::default() };
        let (audit, writing) = Audit::start(Some(&config), Console::Stderr).unwrap();
        let (mut session, _unread) = audited(audit);
        let message = |id: &str, method: &str| {
            let params = r#"{"name":"crm_x"}"#;
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#).into_bytes()
        };
        session.start(&id("0"), std::future::pending()).await;
        session.handle(message("0", "tools/call")).await;
        session.handle(message("null", "tools/call")).await;
        for number in 1..MAX_RUNNING {
            session.start(&id(&number.to_string()), std::future::pending()).await;
        }
        for no_call in [message("null", "tools/list"), message("1", "prompts/get"), b"nonsense".to_vec()] {
            session.handle(no_call).await;
        }
        session.handle(message("\"x\"", "tools/call")).await;
        drop(session);
        writing.finish().await;
        let text = std::fs::read_to_string(folder.path().join("audit")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let said: Vec<_> = lines.map(|line| (line["name"].clone(), line["outcome"].clone())).collect();
        let turned_away = |outcome: &str| (json!("crm_x"), json!(outcome));
        assert_eq!(said, ["malformed", "malformed", "overloaded"].map(turned_away));
    }

    #[tokio::test]
    async fn a_call_whose_task_fails_is_answered_all_the_same() {
        let (mut session, mut unread) = session();
        session.start(&id("9"), async { panic!("as the test wants it") }).await;
        let ended = session.tasks.join_next_with_id().await.unwrap();
        session.note_end(ended).await;
        assert!(unread.recv().await.unwrap().starts_with(br#"{"jsonrpc":"2.0","id":9,"error""#));
    }
}
