//! The store that a fleet shares: the script of the sidecars, as it stands, in a Lua of the kind that Redis has, over a model of the few
//! commands that it uses. It knows nothing of limits.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use mlua::{Function, Lua, LuaOptions, StdLib, Table, Value, Variadic};

use crate::state::exchange::{self, Call, SCRIPT};

/// One server.
#[derive(Debug)]
pub struct Store {
    lua: Lua,
    script: Function,
    keys: Rc<RefCell<Keys>>,
}

/// What it keeps, and by what time.
#[derive(Debug, Default)]
struct Keys {
    /// Milliseconds since 1970, as its clock shows them.
    clock: i64,
    all: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    kept: Kept,
    /// When it goes, by the same clock.
    expires: Option<i64>,
}

#[derive(Debug)]
enum Kept {
    Hash(BTreeMap<String, String>),
    List(VecDeque<String>),
}

impl Store {
    /// The error is the script's, if Lua cannot read it.
    pub fn new() -> Result<Self, String> {
        let keys = Rc::default();
        Self::open(Rc::clone(&keys))
            .map(|(lua, script)| Self { lua, script, keys })
            .map_err(|e| e.to_string())
    }

    fn open(keys: Rc<RefCell<Keys>>) -> mlua::Result<(Lua, Function)> {
        let lua = Lua::new_with(StdLib::STRING | StdLib::TABLE | StdLib::MATH, LuaOptions::default())?;
        let (redis, msgpack) = (lua.create_table()?, lua.create_table()?);
        let call = move |lua: &Lua, words: Variadic<Value>| {
            let words = words.iter().map(text).collect::<mlua::Result<Vec<_>>>()?;
            keys.borrow_mut().command(&words)?.into_lua(lua)
        };
        redis.set("call", lua.create_function(call)?)?;
        let error_reply = |lua: &Lua, why: String| lua.create_table_from([("err", why)]);
        redis.set("error_reply", lua.create_function(error_reply)?)?;
        msgpack.set("pack", lua.create_function(|_, values: Vec<Value>| pack(&values))?)?;
        msgpack.set("unpack", lua.create_function(|_, packed: String| unpack(&packed))?)?;
        lua.globals().set("redis", redis)?;
        lua.globals().set("cmsgpack", msgpack)?;
        let script = lua.load(SCRIPT).set_name("exchange.lua").into_function()?;
        Ok((lua, script))
    }

    /// Everything is gone.
    pub fn wipe(&mut self) {
        self.keys.borrow_mut().all.clear();
    }

    /// Runs the script when the store's clock shows `clock`. The error is what the script answered instead.
    pub fn call(&mut self, call: &Call, clock: i64) -> Result<Vec<exchange::Value>, String> {
        self.keys.borrow_mut().clock = clock;
        self.run(call).map_err(|e| e.to_string())?
    }

    fn run(&self, call: &Call) -> mlua::Result<Result<Vec<exchange::Value>, String>> {
        let globals = self.lua.globals();
        globals.set("KEYS", call.keys.as_slice())?;
        globals.set("ARGV", call.arguments.as_slice())?;
        let answer: Table = self.script.call(())?;
        if let Some(why) = answer.get::<Option<String>>("err")? {
            return Ok(Err(why));
        }
        let value = |value: mlua::Result<Value>| match value? {
            // As Redis does: what is behind the point is cut off.
            Value::Number(number) => Ok(exchange::Value::Number(number as i64)),
            Value::Integer(number) => Ok(exchange::Value::Number(number)),
            other => text(&other).map(exchange::Value::Text),
        };
        answer.sequence_values().map(value).collect::<mlua::Result<_>>().map(Ok)
    }
}

/// What a command answers.
enum Reply {
    Number(i64),
    Text(String),
    Texts(Vec<String>),
    Nothing,
}

impl Reply {
    fn into_lua(self, lua: &Lua) -> mlua::Result<Value> {
        Ok(match self {
            Self::Number(number) => Value::Number(number as f64),
            Self::Text(text) => Value::String(lua.create_string(text)?),
            Self::Texts(texts) => Value::Table(lua.create_sequence_from(texts)?),
            // So Redis hands nothing to Lua.
            Self::Nothing => Value::Boolean(false),
        })
    }
}

impl Keys {
    fn command(&mut self, words: &[String]) -> mlua::Result<Reply> {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        if let Some(key) = words.get(1) {
            self.expire(key);
        }
        match words[..] {
            ["TIME"] => {
                let (seconds, rest) = (self.clock.div_euclid(1_000), self.clock.rem_euclid(1_000));
                Ok(Reply::Texts(vec![seconds.to_string(), (rest * 1_000).to_string()]))
            }
            ["PEXPIRE", key, after] => {
                let expires = self.clock.saturating_add(integer(after)?);
                Ok(Reply::Number(
                    self.all.get_mut(key).map(|entry| entry.expires = Some(expires)).is_some().into(),
                ))
            }
            [name @ ("HGETALL" | "HSET" | "HDEL"), key, ref rest @ ..] => {
                let reply = hash_command(name, self.hash(key)?, rest);
                self.drop_empty(key);
                reply
            }
            [name, key, ref rest @ ..] => {
                let reply = list_command(name, self.list(key)?, rest);
                self.drop_empty(key);
                reply
            }
            _ => Err(unknown("an empty command")),
        }
    }

    fn expire(&mut self, key: &str) {
        if self.all.get(key).is_some_and(|entry| entry.expires.is_some_and(|at| at <= self.clock)) {
            self.all.remove(key);
        }
    }

    /// Redis has no empty hash or list.
    fn drop_empty(&mut self, key: &str) {
        let is_empty = |entry: &Entry| match &entry.kept {
            Kept::Hash(hash) => hash.is_empty(),
            Kept::List(list) => list.is_empty(),
        };
        if self.all.get(key).is_some_and(is_empty) {
            self.all.remove(key);
        }
    }

    fn entry(&mut self, key: &str, new: fn() -> Kept) -> &mut Kept {
        &mut self.all.entry(key.to_owned()).or_insert_with(|| Entry { kept: new(), expires: None }).kept
    }

    fn hash(&mut self, key: &str) -> mlua::Result<&mut BTreeMap<String, String>> {
        match self.entry(key, || Kept::Hash(BTreeMap::new())) {
            Kept::Hash(hash) => Ok(hash),
            Kept::List(_) => Err(unknown("WRONGTYPE")),
        }
    }

    fn list(&mut self, key: &str) -> mlua::Result<&mut VecDeque<String>> {
        match self.entry(key, || Kept::List(VecDeque::new())) {
            Kept::List(list) => Ok(list),
            Kept::Hash(_) => Err(unknown("WRONGTYPE")),
        }
    }
}

fn hash_command(name: &str, hash: &mut BTreeMap<String, String>, rest: &[&str]) -> mlua::Result<Reply> {
    match name {
        "HGETALL" => {
            Ok(Reply::Texts(hash.iter().flat_map(|(field, value)| [field.clone(), value.clone()]).collect()))
        }
        "HSET" => {
            let (pairs, odd) = rest.as_chunks::<2>();
            if pairs.is_empty() || !odd.is_empty() {
                return Err(unknown("HSET without a value"));
            }
            hash.extend(pairs.iter().map(|[field, value]| ((*field).to_owned(), (*value).to_owned())));
            Ok(Reply::Nothing)
        }
        _ => {
            for field in rest {
                hash.remove(*field);
            }
            Ok(Reply::Nothing)
        }
    }
}

fn list_command(name: &str, list: &mut VecDeque<String>, rest: &[&str]) -> mlua::Result<Reply> {
    let some = |text: Option<String>| text.map_or(Reply::Nothing, Reply::Text);
    Ok(match (name, rest) {
        ("LLEN", []) => Reply::Number(i64::try_from(list.len()).unwrap_or(i64::MAX)),
        ("LPOP", []) => some(list.pop_front()),
        ("RPUSH", [value]) => {
            list.push_back((*value).to_owned());
            Reply::Nothing
        }
        ("LINDEX", [at]) => some(place(list, at)?.and_then(|at| list.get(at).cloned())),
        ("LSET", [at, value]) => {
            let at = place(list, at)?.and_then(|at| list.get_mut(at));
            *at.ok_or_else(|| unknown("LSET beyond the list"))? = (*value).to_owned();
            Reply::Nothing
        }
        ("LRANGE", [from, to]) => {
            let (from, to) = (integer(from)?, integer(to)?);
            let within = list.iter().zip(0..).filter(|(_, at)| (from..=to).contains(at));
            Reply::Texts(within.map(|(value, _)| value.clone()).collect())
        }
        _ => return Err(unknown(name)),
    })
}

/// Counts from the end if it is negative.
fn place(list: &VecDeque<String>, at: &str) -> mlua::Result<Option<usize>> {
    let at = integer(at)?;
    let from_end = || list.len().checked_sub(usize::try_from(at.unsigned_abs()).ok()?);
    Ok(usize::try_from(at).ok().or_else(from_end))
}

fn text(value: &Value) -> mlua::Result<String> {
    match value {
        Value::String(text) => Ok(text.to_str()?.to_owned()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(unknown(other.type_name())),
    }
}

fn integer(text: &str) -> mlua::Result<i64> {
    text.parse().map_err(|_| unknown(text))
}

fn unknown(what: &str) -> mlua::Error {
    mlua::Error::RuntimeError(format!("the model of Redis does not know {what}"))
}

/// One value per line; the script packs numbers and words, and only it reads them.
fn pack(values: &[Value]) -> mlua::Result<String> {
    let line = |value: &Value| Ok(if value.is_string() { 's' } else { 'n' }.to_string() + &text(value)?);
    Ok(values.iter().map(line).collect::<mlua::Result<Vec<_>>>()?.join("\n"))
}

fn unpack(packed: &str) -> mlua::Result<Vec<Unpacked>> {
    let value = |line: &str| match line.split_at_checked(1) {
        Some(("n", number)) => number.parse().map(Unpacked::Number).map_err(|_| unknown(number)),
        Some((_, text)) => Ok(Unpacked::Text(text.to_owned())),
        None => Err(unknown("an empty line")),
    };
    packed.lines().map(value).collect()
}

enum Unpacked {
    Number(f64),
    Text(String),
}

impl mlua::IntoLua for Unpacked {
    fn into_lua(self, lua: &Lua) -> mlua::Result<Value> {
        match self {
            Self::Number(number) => Ok(Value::Number(number)),
            Self::Text(text) => Ok(Value::String(lua.create_string(text)?)),
        }
    }
}
