//! What a sidecar and the shared store say to each other, in the words of `exchange.lua`: keys and arguments on the way there, numbers on
//! the way back. Pure; who carries it is [`shared`](super::shared)'s, and when is [`lease`](super::lease)'s.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::policy::limit::{Answer, Ask, Leases, Lowering, Pause, Seen, Span};
use crate::policy::time::{Moment, Now};

/// What the store runs for each exchange.
pub const SCRIPT: &str = include_str!("exchange.lua");

/// Before the keys of this format; another format has another.
const PREFIX: &str = "ferrata:limits:1";

/// Bytes of a name's digest in a key: no two names meet.
const DIGEST_BYTES: usize = 16;

/// Values of an answer for each wall, and behind those for each scope that is closed.
const PER_WALL: usize = 6;
const PER_PAUSE: usize = 3;

/// What one account and the store last said to each other.
#[derive(Debug)]
pub struct Talk {
    /// Before all of the account's keys.
    account: String,
    /// This process, among all that ever were.
    member: Arc<str>,
    leases: Leases,
    /// Of the exchange that is to be answered.
    number: u64,
    /// Of the store that answered last.
    epoch: String,
    asks: Vec<Ask>,
    pauses: Vec<Pause>,
    is_answered: bool,
}

/// What the script is called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub keys: Vec<String>,
    pub arguments: Vec<String>,
}

/// One value of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Number(i64),
    Text(String),
}

/// What the store answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Whether what was granted before was over, for the store had not heard of us for too long.
    pub expired: bool,
    pub answers: Vec<Answer>,
    /// Everything that is closed, for whomever it was closed first.
    pub pauses: Vec<Pause>,
}

impl Talk {
    pub fn new(account: &str, member: Arc<str>, leases: Leases) -> Self {
        let account = format!("{PREFIX}:{{{}}}", digest(account.as_bytes()));
        let (epoch, asks, pauses) = (String::new(), Vec::new(), Vec::new());
        Self { account, member, leases, number: 0, epoch, asks, pauses, is_answered: true }
    }

    /// Begins an exchange.
    pub fn begin(&mut self, asks: Vec<Ask>, pauses: Vec<Pause>) {
        self.number += 1;
        (self.asks, self.pauses, self.is_answered) = (asks, pauses, false);
    }

    pub fn asks(&self) -> &[Ask] {
        &self.asks
    }

    /// Whether nothing is open that may or may not have reached the store.
    pub fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// The exchange that was last begun. However often it is carried, it is done once.
    pub fn call(&self, now: Now) -> Call {
        let Self { account, member, number, .. } = self;
        let Leases { lease_ms, emergency_ms, .. } = self.leases;
        // Should the store be empty, it is called this from now on: nobody else ever proposes it.
        let new_epoch = format!("{member}-{number}");
        let mut call = Call {
            keys: vec![account.clone(), format!("{account}:told:{member}")],
            arguments: vec![member.to_string(), number.to_string(), self.epoch.clone(), new_epoch],
        };
        call.add([lease_ms, self.leases.hold_ms(), emergency_ms, now.mono.0].map(i128::from));
        call.add([self.pauses.len() as i128]);
        for pause in &self.pauses {
            call.pause(pause, now);
        }
        for ask in &self.asks {
            let key = format!("{account}:{}", name(ask));
            call.keys.extend([key.clone(), format!("{key}:q")]);
            call.ask(ask, now);
        }
        call
    }

    /// Takes the answer; none if it makes no sense.
    pub fn hear(&mut self, answer: &[Value], now: Now) -> Option<Heard> {
        let [Value::Text(epoch), Value::Number(_live), Value::Number(expired), numbers @ ..] = answer else {
            return None;
        };
        let (walls, pauses) = numbers.split_at_checked(self.asks.len() * PER_WALL)?;
        let answers = walls.chunks(PER_WALL).map(wall).collect::<Option<_>>()?;
        let pauses = pauses.chunks(PER_PAUSE).map(|values| pause(values, now)).collect::<Option<_>>()?;
        (self.epoch, self.is_answered) = (epoch.clone(), true);
        Some(Heard { expired: *expired != 0, answers, pauses })
    }
}

impl Call {
    fn add(&mut self, numbers: impl IntoIterator<Item = i128>) {
        self.arguments.extend(numbers.into_iter().map(|number| number.to_string()));
    }

    fn ask(&mut self, ask: &Ask, now: Now) {
        let (kind, window, grain, start) = match ask.span {
            Span::Rolling { window, grain } => ("r", i128::from(window), i128::from(grain), 0),
            Span::Calendar { start, end } => ("c", i128::from(end), 1, i128::from(start)),
            Span::Concurrent => ("n", 0, 1, 0),
        };
        let moved = &ask.moved;
        let want = if ask.is_last { -1 } else { i128::from(moved.want) };
        let (seen, ends_in) = seen(ask, now);
        self.arguments.push(kind.to_owned());
        self.add([i128::from(ask.limit), window, grain, start]);
        self.add([moved.arrived, ask.age_ms, moved.outstanding, moved.emergency].map(i128::from));
        self.add([want, seen, i128::from(moved.known)]);
        let none = Lowering { limit: 0, rises_in_ms: 0, by: 0, every_ms: 1 };
        let Lowering { limit, rises_in_ms, by, every_ms } = ask.lowered.unwrap_or(none);
        self.add([i128::from(limit), i128::from(rises_in_ms), i128::from(by), i128::from(every_ms), ends_in]);
    }

    fn pause(&mut self, pause: &Pause, now: Now) {
        let Pause { operation, resource, until } = pause;
        self.arguments.extend([operation, resource].map(|name| named(name.as_deref())));
        self.add([i128::from(until.0.saturating_sub(now.mono.0))]);
    }
}

/// What the upstream showed as used, and in how many milliseconds it forgets that; -1 for none.
fn seen(ask: &Ask, now: Now) -> (i128, i128) {
    match ask.seen {
        Some(Seen { used, ends: None, .. }) => (i128::from(used), -1),
        Some(Seen { used, ends: Some(ends), .. }) if now.mono < ends => {
            (i128::from(used), i128::from(ends.0 - now.mono.0))
        }
        _ => (-1, -1),
    }
}

/// A name that may be none, so that no name can be taken for that.
fn named(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("={name}"))
}

fn name_of(value: &Value) -> Option<Option<Arc<str>>> {
    let Value::Text(text) = value else { return None };
    if text.is_empty() { Some(None) } else { text.strip_prefix('=').map(|name| Some(name.into())) }
}

fn pause(values: &[Value], now: Now) -> Option<Pause> {
    let [operation, resource, left] = values else { return None };
    let left = u64::try_from(number(left)?).ok()?;
    let until = Moment(now.mono.0.saturating_add(left));
    Some(Pause { operation: name_of(operation)?, resource: name_of(resource)?, until })
}

fn wall(values: &[Value]) -> Option<Answer> {
    let [granted, emergency, used, wait, lowered, rises_in] = values else { return None };
    let count = |value: &Value| u64::try_from(number(value)?).ok();
    Some(Answer {
        granted: count(granted)?,
        emergency: count(emergency)?,
        used: count(used)?,
        retry_in_ms: u64::try_from(number(wait)?).ok(),
        lowered: count(lowered).zip(count(rises_in)),
    })
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Text(_) => None,
    }
}

/// The key's last part: one for each wall, whatever its number.
fn name(ask: &Ask) -> String {
    let key = &ask.key;
    // Lengths first, so that no two names can be confused.
    let part = |text: Option<&str>| text.map_or("-".to_owned(), |text| format!("{}:{text}", text.len()));
    digest(
        [part(key.operation.as_deref()), part(key.resource.as_deref()), part(Some(&*key.span))]
            .concat()
            .as_bytes(),
    )
}

/// A name in a key.
pub fn digest(name: &[u8]) -> String {
    Sha256::digest(name).iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect()
}
