//! Identical reads in flight: one is made, and all who asked get its answer.
//!
//! The first makes it within its own call, so that a read that nobody joins costs no task. If it goes away, one of those who wait begins anew.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use tokio::sync::Semaphore;

use super::callers::CallerState;
use super::fallback::Route;
use crate::call::{Capabilities, Deadline, ToolResult};
use crate::connector::Admitted;
use crate::fault::{Fault, FaultKind};

/// What makes two reads of one caller the same: the tool of one generation of a connector, and the arguments to the byte.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    generation: u64,
    tool: usize,
    arguments: Box<str>,
    /// Of the arguments: they may be long, and are looked up more than once.
    hash: u64,
}

/// Seeded anew in each process.
static HASHER: LazyLock<foldhash::fast::RandomState> = LazyLock::new(foldhash::fast::RandomState::default);

impl Hash for Read {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Read {
    pub fn new(route: &Route, call: &Admitted) -> Self {
        Self::of(route.connector.generation, route.index, call.arguments.get())
    }

    fn of(generation: u64, tool: usize, arguments: &str) -> Self {
        Self { generation, tool, arguments: arguments.into(), hash: HASHER.hash_one(arguments) }
    }

    pub fn bytes(&self) -> usize {
        self.arguments.len()
    }
}

/// What else must be the same, for two that are under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rules {
    /// The version of the rules for agents under which a call was let through.
    pub policy: u64,
    /// What the client can be asked for: a tool may ask it before it answers.
    pub can_bring: Option<Capabilities>,
}

pub type FlightKey = (Rules, Arc<Read>);

/// A read under way.
#[derive(Debug)]
pub struct Flight {
    followers: AtomicUsize,
    result: OnceLock<Result<ToolResult, Fault>>,
    /// Closed when it has landed; there are never permits.
    landed: Semaphore,
}

impl Default for Flight {
    fn default() -> Self {
        let (followers, result, landed) = (AtomicUsize::new(0), OnceLock::new(), Semaphore::new(0));
        Self { followers, result, landed }
    }
}

/// What a flight came to, for those who followed.
pub enum Landing {
    /// Boxed, because a result is large beside nothing.
    Shared(Box<Result<ToolResult, Fault>>),
    Gone,
}

impl Flight {
    /// Under the lock of the flights, so that who leads knows of everybody who follows.
    pub(super) fn follow(&self) {
        self.followers.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for the end, within the time that the follower has itself.
    pub async fn landed(&self, deadline: Deadline) -> Result<Landing, Fault> {
        if tokio::time::timeout_at(deadline.instant(), self.landed.acquire()).await.is_err() {
            let message = "The same read was under way already, and was not answered in time.";
            return Err(Fault::new(FaultKind::DeadlineExceeded, message));
        }
        Ok(self.result.get().map_or(Landing::Gone, |result| Landing::Shared(Box::new(result.clone()))))
    }
}

/// Whether a read is made or waited for.
pub enum Joined<'a> {
    Lead(Lead<'a>),
    Follow(Arc<Flight>),
}

/// The one who makes the read. Dropped without landing, it leaves the others to themselves.
pub struct Lead<'a> {
    caller: &'a CallerState,
    key: FlightKey,
    flight: Arc<Flight>,
}

impl<'a> Lead<'a> {
    pub(super) fn new(caller: &'a CallerState, key: FlightKey, flight: Arc<Flight>) -> Self {
        Self { caller, key, flight }
    }

    /// Shares the result with those who followed, if it is theirs too.
    pub fn land(self, result: &Result<ToolResult, Fault>) {
        self.caller.close(&self.key, &self.flight);
        if self.flight.followers.load(Ordering::Relaxed) > 0 && is_for_all(result) {
            // Only its one leader ever sets it.
            let _ = self.flight.result.set(result.clone());
        }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.caller.close(&self.key, &self.flight);
        self.flight.landed.close();
    }
}

/// What depends on the time that one call had says nothing to another with more, and a question is for the one who is asked.
fn is_for_all(result: &Result<ToolResult, Fault>) -> bool {
    let in_time_only = |fault: &Fault| {
        matches!(
            fault.kind,
            FaultKind::DeadlineExceeded
                | FaultKind::RateLimited
                | FaultKind::QuotaExhausted
                | FaultKind::Overloaded
        )
    };
    match result {
        Ok(result) => !matches!(result, ToolResult::Question(_)),
        Err(fault) => !in_time_only(fault),
    }
}

#[cfg(test)]
pub mod tests {
    use std::time::Duration;

    use serde_json::value::RawValue;

    use super::*;
    use crate::call::{Caller, Subject};
    use crate::flow::Callers;

    pub fn read(arguments: &str) -> Arc<Read> {
        Arc::new(Read::of(1, 0, arguments))
    }

    pub fn result(json: &str) -> ToolResult {
        ToolResult::Object(RawValue::from_string(json.to_owned()).unwrap().into())
    }

    fn state(callers: &Callers, agent: &str) -> Arc<CallerState> {
        callers.of(&Caller::agent(agent), &"crm".into())
    }

    fn leads(state: &CallerState, policy: u64, read: &Arc<Read>) -> bool {
        let rules = Rules { policy, can_bring: None };
        matches!(state.join(rules, read), Joined::Lead(_))
    }

    fn lead<'a>(state: &'a CallerState, read: &Arc<Read>) -> Lead<'a> {
        match state.join(Rules::default(), read) {
            Joined::Lead(lead) => lead,
            Joined::Follow(_) => panic!("it is under way"),
        }
    }

    fn follow(state: &CallerState, read: &Arc<Read>) -> Arc<Flight> {
        match state.join(Rules::default(), read) {
            Joined::Follow(flight) => flight,
            Joined::Lead(_) => panic!("it is not under way"),
        }
    }

    async fn landed(flight: &Flight) -> Option<Result<ToolResult, Fault>> {
        match flight.landed(Deadline::after(Duration::from_secs(1))).await.unwrap() {
            Landing::Shared(result) => Some(*result),
            Landing::Gone => None,
        }
    }

    #[tokio::test]
    async fn who_follows_gets_what_who_leads_gets() {
        let callers = Callers::default();
        let (ann, read) = (state(&callers, "ann"), read("{}"));
        let (lead, flight) = (lead(&ann, &read), follow(&ann, &read));
        lead.land(&Ok(result(r#"{"a":1}"#)));
        let shared = landed(&flight).await.unwrap().unwrap();
        assert!(matches!(shared, ToolResult::Object(object) if object.get() == r#"{"a":1}"#));
        assert!(leads(&ann, 0, &read));
    }

    #[test]
    fn only_what_is_the_same_in_everything_is_merged() {
        let callers = Callers::default();
        let (ann, same) = (state(&callers, "ann"), read("{}"));
        let _lead = lead(&ann, &same);
        follow(&ann, &read("{}"));
        let newer = Arc::new(Read::of(2, 0, "{}"));
        let other = Arc::new(Read::of(1, 1, "{}"));
        assert!(leads(&ann, 1, &same) && leads(&ann, 0, &newer) && leads(&ann, 0, &other));
        assert!(leads(&ann, 0, &read("{ }")) && leads(&state(&callers, "bob"), 0, &same));
        let subject = Caller { agent: "ann".into(), subject: Some(Subject::new("id", "eve")) };
        assert!(leads(&callers.of(&subject, &"crm".into()), 0, &same));
        assert!(leads(&callers.of(&Caller::agent("ann"), &"erp".into()), 0, &same));
    }

    #[tokio::test]
    async fn who_leaves_while_leading_leaves_the_lead_to_others() {
        let callers = Callers::default();
        let (ann, read) = (state(&callers, "ann"), read("{}"));
        let (lead, flight) = (lead(&ann, &read), follow(&ann, &read));
        drop(lead);
        assert!(landed(&flight).await.is_none());
        assert!(leads(&ann, 0, &read));
    }

    #[tokio::test]
    async fn a_fault_that_came_of_the_leaders_haste_is_its_own() {
        let callers = Callers::default();
        let (ann, read) = (state(&callers, "ann"), read("{}"));
        for (kind, shared) in [
            (FaultKind::DeadlineExceeded, false),
            (FaultKind::RateLimited, false),
            (FaultKind::NotFound, true),
            (FaultKind::Unavailable, true),
        ] {
            let (lead, flight) = (lead(&ann, &read), follow(&ann, &read));
            lead.land(&Err(Fault::new(kind, "no")));
            assert_eq!(landed(&flight).await.is_some(), shared, "{kind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_follows_waits_no_longer_than_its_own_deadline() {
        let callers = Callers::default();
        let (ann, read) = (state(&callers, "ann"), read("{}"));
        let (_lead, flight) = (lead(&ann, &read), follow(&ann, &read));
        let began = tokio::time::Instant::now();
        let Err(fault) = flight.landed(Deadline::after(Duration::from_secs(3))).await else { panic!() };
        assert_eq!((fault.kind, began.elapsed()), (FaultKind::DeadlineExceeded, Duration::from_secs(3)));
    }

    #[test]
    fn a_write_ends_what_its_caller_reads_before_and_while_it_lasts() {
        let callers = Callers::default();
        let (ann, bob, read) = (state(&callers, "ann"), state(&callers, "bob"), read("{}"));
        let before = ann.epoch();
        let (_old, _bobs) = (lead(&ann, &read), lead(&bob, &read));
        let writing = callers.write(&Caller::agent("ann"), &"crm".into());
        let during = ann.epoch();
        let _meanwhile = lead(&ann, &read);
        drop(writing);
        assert!(leads(&ann, 0, &read) && !leads(&bob, 0, &read));
        assert!(before != during && during != ann.epoch());
    }
}
