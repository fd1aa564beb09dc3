//! What egress must know about the call on whose behalf something is sent.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::fate::Fates;
use super::first::First;
use super::operation::Effect;
use super::options::argument_text;
use crate::call::{Caller, Deadline, Trail};
use crate::credential::{Grant, Material, SecretValue};
use crate::fault::Fault;
use crate::memory;
use crate::policy::Priority;
use crate::telemetry::TraceContext;
use serde_json::value::RawValue;

/// Most secrets that one call may capture: a login needs three.
const MAX_CAPTURED: usize = 64;

/// Most bytes of exchanges that one run may hold before it sends another: some full answers of the default size.
const MAX_HELD_BYTES: usize = 16 << 20;

/// Why a guest runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `describe`: nothing may be sent.
    Describe,
    /// `list-tools` and its like: only reads.
    List,
    /// A tool call: nothing stronger than the tool. Or what is asked besides, which only reads.
    Call { ceiling: Effect },
    /// A login, for this credential: its grant's secrets work here and nowhere else.
    Login { credential: Arc<str> },
}

impl Purpose {
    /// The strongest effect that a request may have; none if nothing may be sent.
    pub fn ceiling(&self) -> Option<Effect> {
        match self {
            Self::Describe => None,
            Self::List => Some(Effect::Read),
            Self::Call { ceiling } => Some(*ceiling),
            // A login changes something each time: it makes a session.
            Self::Login { .. } => Some(Effect::Write),
        }
    }
}

/// One run of a guest, as egress sees it.
#[derive(Debug)]
pub struct Scope {
    pub purpose: Purpose,
    pub caller: Caller,
    pub deadline: Deadline,
    pub trace: TraceContext,
    pub priority: Priority,
    /// Which task of the agent's it is part of.
    pub workflow: Option<Arc<str>>,
    /// Whether the same may have been done by an earlier call: nothing is sent that would do it twice.
    pub resumes: bool,
    /// Where it is noted what is sent.
    pub trail: Trail,
    /// The tool's arguments, where a wall is about what one of them names.
    arguments: Option<Box<RawValue>>,
    attempts: AtomicU32,
    /// Writes that may have reached a system and were not refused by it.
    writes: AtomicU32,
    /// What became of what was sent.
    pub fates: Fates,
    /// Of a login: what it is made with.
    grant: Option<Arc<Grant>>,
    /// Bytes of the exchanges that the guest holds.
    held: Mutex<memory::Held>,
    captured: Mutex<HashMap<String, Captured>>,
    /// The permit of the first request, until that is made.
    first: Mutex<Option<First>>,
}

/// A secret that was taken out of an answer, or signed, during this call.
#[derive(Clone, Debug)]
pub struct Captured {
    /// It may be written only towards the upstream that it came from; a signed one, anywhere its credential may.
    pub upstreams: Vec<String>,
    pub value: SecretValue,
}

impl Scope {
    pub fn new(purpose: Purpose, caller: Caller, deadline: Deadline, trace: TraceContext) -> Self {
        let (attempts, writes) = (AtomicU32::new(0), AtomicU32::new(0));
        let held = Mutex::new(memory::PROCESS.hold(0));
        let (priority, workflow, arguments) = (Priority::default(), None, None);
        let (captured, first) = (Mutex::default(), Mutex::default());
        Self {
            purpose,
            caller,
            deadline,
            trace,
            priority,
            workflow,
            resumes: false,
            trail: Trail::default(),
            arguments,
            attempts,
            writes,
            fates: Fates::default(),
            grant: None,
            held,
            captured,
            first,
        }
    }

    /// The same, for a call with these arguments, where they matter, and what its caller said of its urgency and purpose.
    pub fn of_call(
        self,
        arguments: Option<Box<RawValue>>,
        priority: Priority,
        workflow: Option<Arc<str>>,
    ) -> Self {
        Self { arguments, priority, workflow, ..self }
    }

    /// The same, for a call that may have been made before.
    pub fn resuming(self, resumes: bool) -> Self {
        Self { resumes, ..self }
    }

    /// The same, with what is sent noted there.
    pub fn noting(self, trail: Trail) -> Self {
        Self { trail, ..self }
    }

    /// The same, for a login with that grant.
    pub fn of_login(self, grant: Arc<Grant>) -> Self {
        Self { grant: Some(grant), ..self }
    }

    /// What a login is made with; none in any other run.
    pub fn grant(&self) -> Option<&Arc<Grant>> {
        self.grant.as_ref()
    }

    /// The secrets of the login that this is.
    pub fn granted(&self) -> Result<Arc<Material>, Fault> {
        let material = self.grant.as_ref().map(|grant| Arc::clone(&grant.material));
        material.ok_or_else(|| Fault::internal("a login without a grant"))
    }

    /// The tool's argument of that name, if it can name something.
    pub fn argument(&self, name: &str) -> Option<Arc<str>> {
        let arguments = serde_json::from_str(self.arguments.as_ref()?.get()).ok()?;
        argument_text(&arguments, name)
    }

    /// Takes along the permit of the first request.
    pub fn bring(&self, first: Option<First>) {
        *self.first.lock().unwrap_or_else(PoisonError::into_inner) = first;
    }

    /// The permit that was brought along, once.
    pub fn take_first(&self) -> Option<First> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes a request that is about to be sent: from now on, nobody knows what became of a write.
    pub fn note_sent(&self, effect: Effect) {
        if !effect.is_repeatable() {
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that a request that was noted before was never received, or was refused.
    pub fn note_refused(&self, effect: Effect) {
        if !effect.is_repeatable() {
            let less = |writes: u32| writes.checked_sub(1);
            let _ = self.writes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// Whether something may have been done that cannot be repeated.
    pub fn may_have_written(&self) -> bool {
        self.writes.load(Ordering::Relaxed) > 0
    }

    /// Notes bytes that the guest makes the host hold, or lets go of.
    pub fn note_held(&self, bytes: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let more = held.bytes().saturating_add(bytes);
        held.resize(more);
    }

    pub fn note_let_go(&self, bytes: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let less = held.bytes().saturating_sub(bytes);
        held.resize(less);
    }

    /// Whether the guest holds so much that it must let go of something before it may send.
    pub fn holds_too_much(&self) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).bytes() > MAX_HELD_BYTES
    }

    /// Counts one exchange and returns how many there are now.
    pub fn count_attempt(&self) -> u32 {
        self.attempts.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Exchanges made so far.
    pub fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Keeps a secret for the rest of the call; its name, or none when there are too many.
    pub fn keep(&self, upstreams: Vec<String>, value: SecretValue) -> Option<String> {
        let mut captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        if captured.len() >= MAX_CAPTURED {
            return None;
        }
        // No dot: the names of configured secrets always have one.
        let name = format!("captured-{}", captured.len() + 1);
        captured.insert(name.clone(), Captured { upstreams, value });
        Some(name)
    }

    pub fn captured(&self, name: &str) -> Option<Captured> {
        self.captured.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}
