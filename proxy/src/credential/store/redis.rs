//! Records that a fleet shares: a Redis, and one script that does each request whole or not at all.
//!
//! What is durable is what the Redis makes so: give it a replica or a disk. What it forgets, sidecars that know it give back; what nobody
//! knows any more is lost.

use std::sync::Arc;
use std::time::Duration;

use redis::{FromRedisValue, Script, ScriptInvocation, Value};

use super::{Answer, Beginning, Commit, Entry, Owner, Store};
use crate::state::exchange::digest;
use crate::state::wire::{ANSWER_TIMEOUT, Wire};

/// Before the keys of this format; another format has another.
const PREFIX: &str = "ferrata:credentials:1";

/// How long a record is kept that nobody renews: longer than any refresh token is known to live, and an end all the same.
const KEPT: Duration = Duration::from_hours(400 * 24);

/// How long a family that the server does not know waits before its first token is spent: it may be one that it has forgotten, and whoever
/// knows that says so every two seconds.
const SETTLES: Duration = Duration::from_secs(5);

/// What the server does for each request, whole or not at all.
pub const SCRIPT: &str = include_str!("record.lua");

/// The store that many sidecars share.
pub struct Shared {
    wire: Arc<Wire>,
    script: Script,
    settles: Duration,
}

impl Shared {
    pub fn new(wire: Arc<Wire>) -> Self {
        Self::running(SCRIPT, SETTLES, wire)
    }

    /// With that script; a family that the server does not know waits so long.
    pub fn running(script: &str, settles: Duration, wire: Arc<Wire>) -> Self {
        Self { wire, script: Script::new(script), settles }
    }

    /// The script for one key.
    fn call(&self, key: &str, what: &str, owner: Option<Owner>) -> ScriptInvocation<'_> {
        let key = format!("{PREFIX}:{{{}}}", digest(key.as_bytes()));
        let mut call = self.script.key(&key);
        call.arg(what);
        call.arg(owner.map_or_else(String::new, |owner| format!("{:032x}", owner.0)));
        call
    }

    async fn ask(&self, call: &ScriptInvocation<'_>) -> Result<Told, String> {
        let answer: Vec<Value> = self.wire.invoke(call).await?;
        Told::read(&answer).ok_or_else(|| "the shared state answered in an unknown shape".to_owned())
    }
}

fn unexpected<T>() -> Result<T, String> {
    Err("the shared state answered something else than was asked".to_owned())
}

/// What the script says.
enum Told {
    Record(Option<Entry>),
    Newer(Entry),
    Superseded(Entry),
    Ours { unfinished: bool },
    Held,
    Holds(bool),
    Durable,
    Released,
    Vouched { was_lost: bool },
}

impl Told {
    fn read(answer: &[Value]) -> Option<Self> {
        let (what, rest) = answer.split_first()?;
        let what: String = read(what)?;
        Some(match (what.as_str(), rest) {
            ("record", [version, ..]) if read::<u64>(version)? == 0 => Self::Record(None),
            ("record", rest) => Self::Record(Some(entry(rest)?)),
            ("newer", rest) => Self::Newer(entry(rest)?),
            ("superseded", rest) => Self::Superseded(entry(rest)?),
            ("ours", [unfinished]) => Self::Ours { unfinished: read::<u8>(unfinished)? != 0 },
            ("holds", [holds]) => Self::Holds(read::<u8>(holds)? != 0),
            ("held", []) => Self::Held,
            ("vouched", [was_lost]) => Self::Vouched { was_lost: read::<u8>(was_lost)? != 0 },
            ("durable", []) => Self::Durable,
            ("released", []) => Self::Released,
            _ => return None,
        })
    }
}

fn read<T: FromRedisValue>(value: &Value) -> Option<T> {
    redis::from_redis_value_ref(value).ok()
}

fn entry(values: &[Value]) -> Option<Entry> {
    let [version, sealed, age] = values else { return None };
    Some(Entry { version: read(version)?, sealed: read(sealed)?, age: Duration::from_millis(read(age)?) })
}

fn carry(call: &mut ScriptInvocation<'_>, entry: Entry) {
    // On its way it grows older.
    let age = entry.age.saturating_add(ANSWER_TIMEOUT);
    call.arg(entry.version).arg(entry.sealed).arg(millis(age)).arg(millis(KEPT));
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Store for Shared {
    fn is_durable(&self) -> bool {
        true
    }

    fn load<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move {
            match self.ask(&self.call(key, "load", None)).await? {
                Told::Record(entry) => Ok(entry),
                _ => unexpected(),
            }
        })
    }

    fn begin<'a>(&'a self, key: &'a str, version: u64, owner: Owner, ttl: Duration) -> Answer<'a, Beginning> {
        Box::pin(async move {
            let mut call = self.call(key, "begin", Some(owner));
            call.arg(version).arg(millis(ttl)).arg(millis(KEPT)).arg(millis(self.settles));
            match self.ask(&call).await? {
                Told::Ours { unfinished } => Ok(Beginning::Ours { unfinished }),
                Told::Newer(entry) => Ok(Beginning::Newer(entry)),
                Told::Held => Ok(Beginning::Held),
                _ => unexpected(),
            }
        })
    }

    fn holds<'a>(&'a self, key: &'a str, owner: Owner, needed: Duration) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut call = self.call(key, "holds", Some(owner));
            call.arg(millis(needed));
            match self.ask(&call).await? {
                Told::Holds(holds) => Ok(holds),
                _ => unexpected(),
            }
        })
    }

    fn commit<'a>(&'a self, key: &'a str, owner: Owner, entry: Entry) -> Answer<'a, Commit> {
        Box::pin(async move {
            let mut call = self.call(key, "commit", Some(owner));
            carry(&mut call, entry);
            match self.ask(&call).await? {
                Told::Durable => Ok(Commit::Durable),
                Told::Superseded(entry) => Ok(Commit::Superseded(entry)),
                _ => unexpected(),
            }
        })
    }

    fn vouch<'a>(&'a self, key: &'a str, entry: Entry, ttl: Duration) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut call = self.call(key, "vouch", None);
            carry(&mut call, entry);
            call.arg(millis(ttl));
            match self.ask(&call).await? {
                Told::Vouched { was_lost } => Ok(was_lost),
                _ => unexpected(),
            }
        })
    }

    fn release<'a>(&'a self, key: &'a str, owner: Owner, spent: bool) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut call = self.call(key, "release", Some(owner));
            call.arg(u8::from(spent));
            match self.ask(&call).await? {
                Told::Released => Ok(()),
                _ => unexpected(),
            }
        })
    }
}
