//! Counts that all sidecars share: a Redis, and one script that does all there is to do in one go.
//!
//! Owns the keys and the exchange of numbers; the connection is [`wire`](super::wire)'s, what the numbers mean is [`exchange.lua`](self) on one side and
//! [`policy::limit`](crate::policy::limit) on the other.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use redis::{Script, Value};
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use super::wire::{Wire, digest};
use crate::policy::limit::{Answer, Ask, Leases, Span};

/// Before the keys of this format; another format has another.
const PREFIX: &str = "ferrata:limits:1";

/// Numbers in an answer before those of the walls, and for each wall.
const HEAD: usize = 3;
const PER_WALL: usize = 4;

/// The store that many sidecars share.
pub struct Shared {
    wire: Arc<Wire>,
    script: Script,
    /// This process, among all that ever were.
    member: Arc<str>,
    /// Of the exchange that was begun last, by account.
    begun: std::sync::Mutex<HashMap<String, Arc<Mutex<Talk>>>>,
    pub leases: Leases,
}

/// What one account and the store last said to each other.
pub struct Talk {
    account: String,
    /// Of the exchange that is to be answered.
    number: u64,
    /// Of the store that answered last.
    epoch: String,
    asks: Vec<Ask>,
    is_answered: bool,
}

impl Talk {
    /// Begins an exchange; [`Shared::ask`] carries it out.
    pub fn begin(&mut self, asks: Vec<Ask>) {
        self.number += 1;
        (self.asks, self.is_answered) = (asks, false);
    }

    pub fn asks(&self) -> &[Ask] {
        &self.asks
    }

    /// Whether nothing is open that may or may not have reached the store.
    pub fn is_answered(&self) -> bool {
        self.is_answered
    }
}

/// What the store answered.
pub struct Heard {
    /// Whether what was granted before was over, for the store had not heard of us for too long.
    pub expired: bool,
    pub answers: Vec<Answer>,
}

impl Shared {
    /// `url` is `redis://…`, `rediss://…` or `redis+unix://…`; `roots` are PEM certificates to trust instead of the public ones. Does not
    /// connect yet: a store that is away when a sidecar starts must not keep it from starting. The error is a sentence for the operator.
    pub fn new(url: &str, roots: Option<&Path>, leases: Leases) -> Result<Self, String> {
        Ok(Self {
            wire: Arc::new(Wire::new(url, roots)?),
            script: Script::new(include_str!("exchange.lua")),
            begun: std::sync::Mutex::default(),
            member: Uuid::new_v4().simple().to_string().into(),
            leases,
        })
    }

    /// The connection, for what else is kept there.
    pub fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }

    /// The talk of one account. Whoever has it talks; a task that is dropped leaves it to the next.
    pub async fn talk(&self, account: &str) -> OwnedMutexGuard<Talk> {
        let new = || {
            let account = format!("{PREFIX}:{{{}}}", digest(account.as_bytes()));
            let (asks, epoch) = (Vec::new(), String::new());
            Arc::new(Mutex::new(Talk { account, number: 0, epoch, asks, is_answered: true }))
        };
        let talk = {
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(begun.entry(account.to_owned()).or_insert_with(new))
        };
        talk.lock_owned().await
    }

    /// Asks for what was last begun. Whatever fails, the same may be asked again, and is done once.
    pub async fn ask(&self, talk: &mut Talk) -> Result<Heard, String> {
        let mut call = self.script.prepare_invoke();
        self.write_call(&mut call, talk)?;
        let answer: Vec<Value> = self.wire.invoke(&call).await?;
        read(talk, &answer).ok_or_else(|| "the shared state answered in an unknown shape".to_owned())
    }

    fn write_call(&self, call: &mut redis::ScriptInvocation<'_>, talk: &Talk) -> Result<(), String> {
        call.key(&talk.account).key(format!("{}:told:{}", talk.account, self.member));
        call.arg(&*self.member).arg(talk.number).arg(&talk.epoch).arg(Uuid::new_v4().simple().to_string());
        call.arg(self.leases.lease_ms).arg(self.leases.hold_ms()).arg(self.leases.emergency_ms);
        for ask in &talk.asks {
            let name = serde_json::to_vec(&ask.key).map_err(|e| e.to_string())?;
            let key = format!("{}:{}", talk.account, digest(&name));
            call.key(&key).key(format!("{key}:q"));
            let (kind, window, grain, start) = match ask.span {
                Span::Rolling { window, grain } => ("r", window.cast_signed(), grain, 0),
                Span::Calendar { start, end } => ("c", end, 1, start),
                Span::Concurrent => ("n", 0, 1, 0),
            };
            let moved = &ask.moved;
            call.arg(kind).arg(ask.limit).arg(window).arg(grain).arg(start);
            call.arg(moved.arrived).arg(ask.age_ms).arg(moved.outstanding).arg(moved.emergency);
            call.arg(if ask.is_last { -1 } else { moved.want.cast_signed() });
            call.arg(ask.seen.map_or(-1, u64::cast_signed)).arg(u8::from(moved.known));
        }
        Ok(())
    }
}

fn read(talk: &mut Talk, answer: &[Value]) -> Option<Heard> {
    let [epoch, _live, expired, numbers @ ..] = answer else { return None };
    let epoch: String = redis::from_redis_value_ref(epoch).ok()?;
    let expired: u8 = redis::from_redis_value_ref(expired).ok()?;
    if answer.len() != HEAD + talk.asks.len() * PER_WALL {
        return None;
    }
    let number = |value: &Value| redis::from_redis_value_ref::<i64>(value).ok();
    let wall = |values: &[Value]| {
        let [granted, emergency, used, wait] = values else { return None };
        Some(Answer {
            granted: u64::try_from(number(granted)?).ok()?,
            emergency: u64::try_from(number(emergency)?).ok()?,
            used: u64::try_from(number(used)?).ok()?,
            retry_in_ms: u64::try_from(number(wait)?).ok(),
        })
    };
    let answers = numbers.chunks(PER_WALL).map(wall).collect::<Option<_>>()?;
    (talk.epoch, talk.is_answered) = (epoch, true);
    Some(Heard { expired: expired != 0, answers })
}
