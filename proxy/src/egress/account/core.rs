//! The policies of one account, put together: what one exchange passes before it may be sent, and what its answer changes.
//!
//! Outermost first: breaker, walls or the queue before them, breaker again (it may have opened meanwhile), bulkhead; a retry pays all of
//! it once more. Pure: it is told the time and given randomness, so that the simulator drives what the sidecar runs. Sleeping,
//! waking and guarding what is held are the async layer's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::Priority;
use crate::policy::breaker::{self, Breakers, Kind, Maintenance, Outcome, Pass};
use crate::policy::bulkhead::{self, Bulkhead, Full, Place};
use crate::policy::limit::{self, About, Charge, Limits, Lowered, Observation, Owner, WallSet, WallUsage};
use crate::policy::queue::{self, Asking, Queue, Ticket, Wall};
use crate::policy::retry::{self, Decision, Failure, Retry, RetryBudget};
use crate::policy::time::{Moment, Now};

/// How long after it was given up a request may still arrive: what was written to a connection is delivered although nobody waits for
/// the answer, and is sent again by the network when it is lost once.
pub const STRAGGLER: Duration = Duration::from_secs(1);

/// Stands between the parts of a queue's key.
const DIVIDER: &str = "\0";

/// How the policies of one account are set.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub breaker: breaker::Settings,
    pub maintenance: Vec<Maintenance>,
    pub bulkhead: bulkhead::Settings,
    pub retry: retry::Settings,
    pub queue: queue::Settings,
}

/// One exchange that wants to go out.
#[derive(Clone, Debug)]
pub struct Request {
    pub agent: Arc<str>,
    /// Also the class of its breaker.
    pub operation: Arc<str>,
    pub resource: Option<Arc<str>>,
    pub cost: u64,
    pub priority: Priority,
    pub kind: Kind,
    pub deadline: Moment,
    /// What it holds while it waits.
    pub bytes: u64,
    /// Whose bookings it may go on.
    pub workflow: Option<Arc<str>>,
}

/// Leave to send one exchange: a charge of the walls, a pass of the breaker, a place in the bulkhead. Ends in [`Core::answered`],
/// [`Core::abandoned`] or [`Core::never_sent`].
#[derive(Debug)]
#[must_use = "what is held is never given back by itself"]
pub struct Held {
    operation: Arc<str>,
    charge: Charge,
    pass: Pass,
    /// None for a login: the calls that wait for it may have all places.
    place: Option<Place>,
}

impl Held {
    pub fn operation(&self) -> &Arc<str> {
        &self.operation
    }

    pub fn cost(&self) -> u64 {
        self.charge.cost()
    }
}

/// An answer that nobody has judged yet. Ends in [`Core::judged`].
#[derive(Debug)]
#[must_use = "a probe that never comes back keeps everybody out"]
pub struct Unjudged {
    operation: Arc<str>,
    pass: Pass,
}

/// Why an exchange is not sent. Nothing was consumed.
#[derive(Clone, Debug)]
pub enum Refusal {
    Breaker(breaker::Refused),
    /// What the wall said, and why waiting for it is no use.
    ///
    /// `wall` is none if it is only those who wait that stand in the way.
    Wall {
        wall: Option<limit::Refused>,
        waiting: queue::Refused,
    },
    Bulkhead(Full),
    /// It waited until its deadline.
    Expired,
    /// A retry that the budget does not bear.
    Budget,
}

/// What becomes of an exchange that asks.
#[derive(Debug)]
pub enum Asked {
    Goes(Held),
    /// [`Core::poll`] will tell.
    Waits(Ticket),
    Refused(Refusal),
}

/// How often policies that are only observed would have refused, or sent to wait in vain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    pub breaker: u64,
    pub bulkhead: u64,
    pub queue: u64,
}

/// Whose turn has come, and how.
pub type Woken<W> = (W, Result<Held, Refusal>);

/// The policies of one account. `W` is what wakes one who waits.
#[derive(Debug)]
pub struct Core<W> {
    limits: Limits,
    queue: Queue<Waiter<W>>,
    breakers: Breakers,
    bulkhead: Bulkhead,
    retry: retry::Settings,
    budget: RetryBudget,
    /// Charges of exchanges that were given up, by when they have surely arrived.
    stragglers: VecDeque<(Moment, Charge)>,
    /// Waiters that were pushed out and do not know it yet.
    pushed_out: Vec<Waiter<W>>,
    /// When a wall that somebody waits for opens, as far as it was told.
    opens: Option<Moment>,
    observed: Observed,
}

#[derive(Debug)]
struct Waiter<W> {
    wake: W,
    kind: Kind,
    operation: Arc<str>,
    resource: Option<Arc<str>>,
    workflow: Option<Arc<str>>,
}

impl<W> Core<W> {
    /// Walls that are counted here alone.
    pub fn new(settings: Settings, walls: &WallSet) -> Self {
        Self::with_limits(settings, Limits::new(walls))
    }

    /// Walls whose count a store may keep.
    pub fn with_limits(settings: Settings, limits: Limits) -> Self {
        Self {
            limits,
            queue: Queue::new(settings.queue),
            breakers: Breakers::new(settings.breaker, settings.maintenance),
            bulkhead: Bulkhead::new(settings.bulkhead),
            budget: RetryBudget::new(&settings.retry.budget),
            retry: settings.retry,
            stragglers: VecDeque::new(),
            pushed_out: Vec::new(),
            opens: None,
            observed: Observed::default(),
        }
    }

    /// The walls, for the store that keeps their count. Poke the store whenever they want it; [`Self::poll`] when it has answered.
    pub fn limits(&mut self) -> &mut Limits {
        &mut self.limits
    }

    /// Asks for leave to send. Call [`Self::poll`] afterwards if it waits: its turn may have come at once.
    pub fn ask(&mut self, request: &Request, wake: W, now: Now) -> Asked {
        if let Some(refused) = self.breakers.refusal(&request.operation, request.kind, now) {
            return Asked::Refused(Refusal::Breaker(refused));
        }
        // Whoever waits was here before, but not before what was reserved.
        if self.queue.usage().0 > 0 && !self.limits.has_booked(&limit_asked(request), now) {
            return self.wait(request, None, wake, now);
        }
        match self.limits.try_acquire(&limit_asked(request), now) {
            Err(wall) => self.wait(request, Some(wall), wake, now),
            Ok(charge) => match self.admit(charge, &request.operation, request.kind, now) {
                Ok(held) => Asked::Goes(held),
                Err(refusal) => Asked::Refused(refusal),
            },
        }
    }

    /// The same for a login, which has a lane of its own: calls that wait for it must not stand before it. It pays the walls and waits for nothing;
    /// where a wall refuses, the caller may ask again.
    pub fn ask_for_login(&mut self, request: &Request, now: Now) -> Result<Held, Refusal> {
        let charge = self.limits.try_acquire(&limit_asked(request), now).map_err(|wall| {
            let turn = wall.retry_at.map(|at| at.mono);
            Refusal::Wall { wall: Some(wall), waiting: queue::Refused::TooLate { turn } }
        })?;
        match self.breakers.admit(&request.operation, request.kind, now) {
            Ok(pass) => Ok(Held { operation: Arc::clone(&request.operation), charge, pass, place: None }),
            Err(refused) => {
                self.limits.never_sent(charge, now);
                Err(Refusal::Breaker(refused))
            }
        }
    }

    /// Other settings and walls from now on; nothing that was counted is forgotten, and whoever waits goes on waiting. Call [`Self::poll`] afterwards.
    pub fn reconfigure(&mut self, settings: Settings, walls: &WallSet, now: Now) {
        let Settings { breaker, maintenance, bulkhead, retry, queue } = settings;
        self.limits.reconfigure(walls);
        self.breakers.reconfigure(breaker, maintenance);
        self.bulkhead.reconfigure(bulkhead);
        self.budget.reconfigure(&retry.budget);
        self.retry = retry;
        self.queue.reconfigure(queue);
        self.opens = Some(now.mono);
    }

    /// The same for a request that is sent once more: it needs a place in the budget as well.
    pub fn ask_again(&mut self, request: &Request, wake: W, now: Now) -> Asked {
        if self.pays_again(now) { self.ask(request, wake, now) } else { Asked::Refused(Refusal::Budget) }
    }

    /// Uses the place in the budget that was reserved for a retry. False if it is not borne any more: it is not sent.
    #[must_use = "a retry that the budget does not bear is not sent"]
    pub fn pays_again(&mut self, now: Now) -> bool {
        self.budget.spend(now)
    }

    fn wait(&mut self, request: &Request, wall: Option<limit::Refused>, wake: W, now: Now) -> Asked {
        let asking = asking(request, self.limits.has_booked(&limit_asked(request), now), now);
        let ahead = self.queue.ahead(&asking);
        let turn = self.limits.forecast(&limit_asked(request), ahead.in_key, ahead.overall, now);
        let Request { kind, operation, resource, workflow, .. } = request.clone();
        let waiter = Waiter { wake, kind, operation, resource, workflow };
        match self.queue.enter(asking, waiter, turn, now) {
            Ok(entered) => {
                self.pushed_out.extend(entered.pushed_out);
                self.observed.queue += u64::from(entered.observed.is_some());
                self.opens =
                    earlier(self.opens, wall.map_or(Some(now.mono), |w| w.retry_at.map(|at| at.mono)));
                Asked::Waits(entered.ticket)
            }
            Err((waiting, _)) => {
                let wall = wall.or_else(|| self.binding(request, now));
                Asked::Refused(Refusal::Wall { wall, waiting })
            }
        }
    }

    /// What stands in the way now, if it is a wall and not only those who wait.
    fn binding(&mut self, request: &Request, now: Now) -> Option<limit::Refused> {
        match self.limits.try_acquire(&limit_asked(request), now) {
            Err(wall) => Some(wall),
            Ok(charge) => {
                self.limits.never_sent(charge, now);
                None
            }
        }
    }

    /// What comes after the walls.
    fn admit(&mut self, charge: Charge, operation: &Arc<str>, kind: Kind, now: Now) -> Result<Held, Refusal> {
        let pass = match self.breakers.admit(operation, kind, now) {
            Ok(pass) => pass,
            Err(refused) => {
                self.limits.never_sent(charge, now);
                return Err(Refusal::Breaker(refused));
            }
        };
        match self.bulkhead.enter(now) {
            Ok(place) => {
                self.observed.breaker += u64::from(pass.observed.is_some());
                self.observed.bulkhead += u64::from(place.observed.is_some());
                Ok(Held { operation: Arc::clone(operation), charge, pass, place: Some(place) })
            }
            Err(full) => {
                self.breakers.abandon(operation, pass);
                self.limits.never_sent(charge, now);
                Err(Refusal::Bulkhead(full))
            }
        }
    }

    /// Lets those go whose turn has come, and those who have waited until their deadline. To be called when [`Self::next_wake`] has come, and after
    /// whatever may have made room: an answer, a refund, a waiter that left.
    pub fn poll(&mut self, now: Now) -> Vec<Woken<W>> {
        self.settle_stragglers(now);
        self.limits.end_bookings(now);
        let mut woken: Vec<Woken<W>> = Vec::new();
        let refused = |refusal: fn() -> Refusal| move |waiter: Waiter<W>| (waiter.wake, Err(refusal()));
        let pushed_out = || Refusal::Wall { wall: None, waiting: queue::Refused::PushedOut };
        woken.extend(std::mem::take(&mut self.pushed_out).into_iter().map(refused(pushed_out)));
        woken.extend(self.queue.expire(now).into_iter().map(refused(|| Refusal::Expired)));
        self.opens = None;
        while let Some((waiter, charge)) = self.next(now) {
            let admitted = self.admit(charge, &waiter.operation, waiter.kind, now);
            woken.push((waiter.wake, admitted));
        }
        woken
    }

    fn next(&mut self, now: Now) -> Option<(Waiter<W>, Charge)> {
        let (limits, opens, mut charged) = (&mut self.limits, &mut self.opens, None);
        let ask = |asking: &Asking, waiter: &Waiter<W>| match limits
            .try_acquire(&of_waiter(asking, waiter, now), now)
        {
            Ok(charge) => {
                charged = Some(charge);
                Wall::Open
            }
            Err(refused) => {
                let presses = Some(asking.pressing_at).filter(|at| *at > now.mono);
                *opens = earlier(*opens, refused.retry_at.map(|at| at.mono));
                *opens = earlier(*opens, presses.filter(|_| asking.priority == Priority::Background));
                Wall::KeyClosed
            }
        };
        let waiter = self.queue.next(now, ask);
        match (waiter, charged) {
            (Some(waiter), Some(charge)) => Some((waiter, charge)),
            (None, Some(charge)) => {
                self.limits.never_sent(charge, now);
                None
            }
            (_, None) => None,
        }
    }

    /// When [`Self::poll`] has something to do next, if nothing else happens.
    pub fn next_wake(&self) -> Option<Moment> {
        let straggler = self.stragglers.front().map(|(arrived, _)| *arrived);
        let opens = self.opens.filter(|_| self.queue.usage().0 > 0);
        let booking = self.limits.next_booking_end();
        [straggler, booking, self.queue.next_deadline(), opens].into_iter().flatten().min()
    }

    /// A waiter leaves: its agent went away.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.queue.cancel(ticket);
    }

    /// The first byte is about to go out. `again`: it is a retry, which [`Self::ask_again`] has paid for.
    pub fn sent(&mut self, held: &mut Held, again: bool, now: Now) {
        if !again {
            self.budget.sent(now);
        }
        self.limits.sent(&mut held.charge);
    }

    /// The answer is there: makes room for others. What the answer means is said later, to [`Self::judged`].
    pub fn answered(&mut self, held: Held, now: Now) -> Unjudged {
        let Held { operation, charge, pass, place } = held;
        self.limits.answered(charge, now);
        self.leave(place, now);
        Unjudged { operation, pass }
    }

    /// What became of a request, for the breaker: [`Outcome::Neutral`] if it says nothing about the system's health, none if nobody knows.
    pub fn judged(&mut self, answer: Unjudged, outcome: Option<Outcome>, random: u64, now: Now) {
        let Unjudged { operation, pass } = answer;
        match outcome {
            Some(outcome) => self.breakers.record(&operation, pass, outcome, random, now),
            None => self.breakers.abandon(&operation, pass),
        }
    }

    /// Nobody waits for the answer any more: the deadline came, the agent left, the connection broke.
    pub fn abandoned(&mut self, held: Held, outcome: Option<Outcome>, random: u64, now: Now) {
        let Held { operation, charge, pass, place } = held;
        self.stragglers.push_back((now.mono + STRAGGLER, charge));
        self.leave(place, now);
        self.judged(Unjudged { operation, pass }, outcome, random, now);
    }

    /// Nothing went out. `outcome` if that was the system's doing: no connection could be made.
    pub fn never_sent(&mut self, held: Held, outcome: Option<Outcome>, random: u64, now: Now) {
        let Held { operation, charge, pass, place } = held;
        self.limits.never_sent(charge, now);
        self.leave(place, now);
        self.judged(Unjudged { operation, pass }, outcome, random, now);
    }

    fn leave(&mut self, place: Option<Place>, now: Now) {
        if let Some(place) = place {
            self.bulkhead.leave(place, now);
        }
    }

    fn settle_stragglers(&mut self, now: Now) {
        while self.stragglers.front().is_some_and(|(arrived, _)| *arrived <= now.mono) {
            if let Some((_, charge)) = self.stragglers.pop_front() {
                self.limits.answered(charge, now);
            }
        }
    }

    /// The system asked for a pause; see [`Limits::throttled`].
    pub fn throttled(
        &mut self,
        about: About,
        retry_after: Option<Duration>,
        sent_at: Moment,
        now: Now,
    ) -> Option<Lowered> {
        self.limits.throttled(about, retry_after, sent_at, now)
    }

    /// The system said how much is left; see [`Limits::learn`].
    pub fn learn(&mut self, seen: &Observation, now: Now) {
        self.limits.learn(seen, now);
    }

    /// When a request could go if nobody waited before it; none if not as things are.
    pub fn earliest(&mut self, request: &Request, now: Now) -> Option<Moment> {
        self.limits.forecast(&limit_asked(request), 0, 0, now)
    }

    /// Whether a request that failed is sent again. If so, wait and [`ask_again`](Self::ask_again), or [`give_up`](Self::give_up).
    pub fn failed(&mut self, retry: &mut Retry, failure: Failure, random: u64, now: Now) -> Decision {
        retry.failed(failure, (&self.retry, &mut self.budget), random, now)
    }

    /// A retry that was decided is not made after all: its agent went away while it waited.
    pub fn give_up(&mut self) {
        self.budget.release();
    }

    /// Every wall, for people.
    pub fn walls(&mut self, now: Now) -> Vec<WallUsage> {
        self.limits.usage(now)
    }

    /// Every breaker by operation, for people.
    pub fn breakers(&self) -> &Breakers {
        &self.breakers
    }

    /// What policies that are only observed would have done; walls count for themselves.
    pub fn observed(&self) -> Observed {
        self.observed
    }

    /// How many wait, and the bytes that they hold.
    pub fn waiting(&self) -> (usize, u64) {
        self.queue.usage()
    }

    /// Exchanges under way, and how many may be.
    pub fn places(&self) -> (usize, usize) {
        self.bulkhead.usage()
    }
}

fn limit_asked(request: &Request) -> limit::Asked<'_> {
    let Request { agent, operation, resource, cost, priority, workflow, .. } = request;
    let owner = owner(agent, workflow.as_deref());
    limit::Asked { operation, resource: resource.as_deref(), cost: *cost, priority: *priority, owner }
}

fn owner<'a>(agent: &'a str, workflow: Option<&'a str>) -> Option<Owner<'a>> {
    workflow.map(|workflow| Owner { agent, workflow })
}

fn asking(request: &Request, is_booked: bool, now: Now) -> Asking {
    let Request { agent, operation, resource, cost, priority, deadline, bytes, workflow, .. } = request;
    let key = match (resource, workflow) {
        // The walls that others wait for are not in its way.
        (_, Some(workflow)) if is_booked => {
            let resource = resource.as_deref().unwrap_or_default();
            [&**operation, resource, agent, workflow].join(DIVIDER).into()
        }
        (Some(resource), _) => [&**operation, resource].join(DIVIDER).into(),
        (None, _) => Arc::clone(operation),
    };
    let (cost, priority, deadline, bytes) = (*cost, *priority, *deadline, *bytes);
    let pressing_at = now.mono + now.mono.until(deadline) / 2;
    Asking { agent: Arc::clone(agent), key, priority, deadline, cost, bytes, pressing_at }
}

/// What a waiter asks of the walls. Background work that has waited for half of its time takes from what is kept for people: it is slow, and
/// gets its turn even where people use up all that it may have.
fn of_waiter<'a, W>(asking: &'a Asking, waiter: &'a Waiter<W>, now: Now) -> limit::Asked<'a> {
    let priority = if now.mono >= asking.pressing_at { Priority::Interactive } else { asking.priority };
    let (resource, owner) = (waiter.resource.as_deref(), owner(&asking.agent, waiter.workflow.as_deref()));
    limit::Asked { operation: &waiter.operation, resource, cost: asking.cost, priority, owner }
}

fn earlier(a: Option<Moment>, b: Option<Moment>) -> Option<Moment> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests;
