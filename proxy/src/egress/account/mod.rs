//! The walls in front of one account of one upstream, shared by all connectors that use it; they outlive swaps and reloads.
//!
//! | file | owns |
//! |---|---|
//! | [`core`] | the policies put together, pure |
//! | [`booking`] | what workflows have reserved |
//! | `leave` | what a request holds while it is under way, given back however it ends |
//! | `driver` | the one timer that wakes those who wait |
//! | [`registry`] | which connectors share which account, and what they say of it |
//! | `settings` | from the operator's words and the manifests' to the policies' |
//! | [`refusal`] | what an agent is told |
//! | `ledger` | who spent how much |
//! | [`status`] | what people and metrics see |

pub mod booking;
pub mod core;
mod driver;
mod leave;
mod ledger;
pub mod refusal;
pub mod registry;
mod settings;
#[cfg(test)]
mod stand_in_tests;
pub mod status;
#[cfg(test)]
mod tests;

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::clock::Clock;
use crate::policy::limit::{About, Lowered, Observation, Reason, WallSet};
use crate::policy::queue::Refused::TooLate;
use crate::policy::queue::Ticket;
use crate::policy::retry::{Decision, Failure, Retry};
use crate::policy::time::{Moment, Now};
use booking::ASKED_AGAIN;
use core::{Asked, Core, Refusal, Request};
pub use leave::{Leave, Pending};
use ledger::Ledger;
pub use registry::Accounts;
use settings::Parties;

/// Whose quota it is, and of which upstream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// As the operator named it, or the connector that it belongs to alone.
    pub account: Arc<str>,
    pub upstream: Arc<str>,
}

/// What wakes one who waits. The leave in it guards itself, should nobody be there any more.
type Wake = oneshot::Sender<Result<Leave, Refusal>>;

/// One account of one upstream.
pub struct Account {
    pub name: Name,
    clock: Clock,
    state: Mutex<State>,
    /// Told when those who wait should be looked at again.
    changed: Notify,
    /// Told when the limits have something for the store.
    poke: Arc<Notify>,
}

struct State {
    core: Core<Wake>,
    /// Whether the driver is running.
    driven: bool,
    ledger: Ledger,
    parties: Parties,
    /// As they were put together.
    walls: WallSet,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({} {})", self.name.account, self.name.upstream)
    }
}

impl Account {
    fn lock(&self) -> Locked<'_> {
        Locked { state: self.state.lock().unwrap_or_else(PoisonError::into_inner), poke: &self.poke }
    }

    pub fn clock(&self) -> Clock {
        self.clock
    }

    fn now(&self) -> Now {
        self.clock.now()
    }

    /// Breaker, limiter and queue, breaker once more, bulkhead. Waits for its turn, never past the request's deadline. Dropping the future leaves the
    /// queue. `again`: it was sent before, and needs a place in the budget as well.
    pub async fn enter(self: &Arc<Self>, request: &Request, again: bool) -> Result<Leave, Refusal> {
        let (wake, woken) = oneshot::channel();
        let asked = {
            let mut state = self.lock();
            match again {
                false => state.core.ask(request, wake, self.now()),
                true => state.core.ask_again(request, wake, self.now()),
            }
        };
        match asked {
            Asked::Goes(held) => Ok(Leave::new(self, held, again)),
            Asked::Refused(refusal) => Err(refusal),
            Asked::Waits(ticket) => {
                let mut place = Waiting { account: self, ticket, left: false };
                self.drive();
                // The sender is only dropped unsent with the account itself.
                let told = woken.await.unwrap_or(Err(Refusal::Expired));
                place.left = true;
                told.map(|leave| leave.retrying(again))
            }
        }
    }

    /// The same for a login, which waits behind nobody: until the window that stands in its way has room and the store has granted some of it, or
    /// its time is over. Full of calls under way, a system refuses it.
    pub async fn enter_for_login(self: &Arc<Self>, request: &Request, again: bool) -> Result<Leave, Refusal> {
        if again && !self.lock().core.pays_again(self.now()) {
            return Err(Refusal::Budget);
        }
        loop {
            let now = self.now();
            let refusal = match self.lock().core.ask_for_login(request, now) {
                Ok(held) => return Ok(Leave::new(self, held, again)),
                Err(refusal) => refusal,
            };
            let turn = turn_of_login(&refusal, now).filter(|turn| *turn < request.deadline);
            match turn.and_then(|turn| self.clock.instant(turn)) {
                Some(instant) => tokio::time::sleep_until(instant).await,
                None => return Err(refusal),
            }
        }
    }

    /// Whether a request that failed is sent again. If so, the reserved place in the budget is used by entering once more or given back.
    pub fn failed(&self, retry: &mut Retry, failure: Failure) -> Decision {
        self.lock().core.failed(retry, failure, rand::random(), self.now())
    }

    /// Gives back a place in the budget that was reserved.
    pub fn give_up(&self) {
        self.lock().core.give_up();
    }

    /// The system asked for a pause.
    pub fn throttled(
        self: &Arc<Self>,
        about: About<'_>,
        retry_after: Option<Duration>,
        sent_at: Moment,
    ) -> Option<Lowered> {
        let mut state = self.lock();
        let lowered = state.core.throttled(about, retry_after, sent_at, self.now());
        self.look_again(&state);
        lowered
    }

    /// Whether there is a wall of that length about everything that goes to the upstream.
    pub fn has_wall_over(&self, window: Duration) -> bool {
        let state = self.lock();
        let overall = state.walls.iter().filter(|wall| wall.operation.is_none());
        overall.filter_map(|wall| wall.quota.span_ms()).any(|span| u128::from(span) == window.as_millis())
    }

    /// The system said how much is left.
    pub fn learn(self: &Arc<Self>, seen: &Observation<'_>) {
        let mut state = self.lock();
        state.core.learn(seen, self.now());
        self.look_again(&state);
    }

    /// How long until a request could go if nobody else wanted to; none if not as things are.
    pub fn earliest(&self, request: &Request) -> Option<Duration> {
        let now = self.now();
        self.lock().core.earliest(request, now).map(|at| now.mono.until(at))
    }
}

/// When a login that was refused may ask again; none if no time brings it nearer.
fn turn_of_login(refusal: &Refusal, now: Now) -> Option<Moment> {
    match refusal {
        Refusal::Wall { wall: Some(wall), .. } if wall.reason == Reason::Reserving => {
            Some(now.mono + ASKED_AGAIN)
        }
        Refusal::Wall { waiting: TooLate { turn }, .. } => *turn,
        _ => None,
    }
}

/// The state, for as long as it is worked on. Whatever that leaves for the store is told to who carries it there.
struct Locked<'a> {
    state: MutexGuard<'a, State>,
    poke: &'a Notify,
}

impl Deref for Locked<'_> {
    type Target = State;
    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.state.core.limits().wants_store() {
            self.poke.notify_one();
        }
    }
}

/// A place in the queue, given back when its owner goes away.
struct Waiting<'a> {
    account: &'a Arc<Account>,
    ticket: Ticket,
    /// Whether its turn has come.
    left: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.left {
            let mut state = self.account.lock();
            state.core.cancel(self.ticket);
            // Those behind it have come nearer.
            self.account.look_again(&state);
        }
    }
}
