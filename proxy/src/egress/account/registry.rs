//! All accounts: which connectors share one, and what they say of it. Accounts outlive connectors: a swap or a reload resets nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::core::Core;
use super::ledger::Ledger;
use super::settings::{self, Parties, Party};
use super::{Account, Name, State};
use crate::clock::Clock;
use crate::config;
use crate::policy::limit::{Limits, Wall, WallSet};
use crate::policy::time::Now;
use crate::state::{Home, Store};

/// Most accounts that are remembered though no connector uses them: what was used of a day's quota still is when the connector comes back.
const MAX_REMEMBERED: usize = 256;

/// Every account of this process.
pub struct Accounts {
    clock: Clock,
    replicas: u32,
    /// Where it is kept how much is used.
    store: Store,
    /// By name, and whether the name is the operator's.
    all: Mutex<BTreeMap<Key, Entry>>,
}

/// Whether the name is the operator's, and the name.
type Key = (bool, Name);

/// An account, and the task that moves its counts to the store.
#[derive(Debug)]
struct Entry {
    account: Arc<Account>,
    keeper: Option<JoinHandle<()>>,
}

/// A connector's place at one account. What it says holds at once, and no longer than this unless it is kept.
#[derive(Debug)]
pub struct Seat {
    pub account: Arc<Account>,
    connector: Arc<str>,
    replicas: u32,
    /// What it said before, if it did, to be said again.
    before: Option<Option<Party>>,
}

impl Accounts {
    /// `replicas`: how many sidecars share the quotas and nothing else.
    pub fn new(clock: Clock, replicas: u32, store: Store) -> Self {
        Self { clock, replicas, store, all: Mutex::default() }
    }

    /// The account of one upstream of a connector, with what the connector says of it. The error is a sentence for the operator.
    pub fn join(
        &self,
        connector: &Arc<str>,
        upstream: &str,
        config: &config::Connector,
        shipped: Vec<Wall>,
    ) -> Result<Seat, String> {
        let Some(said) = config.upstreams.get(upstream) else {
            return Err(format!("there is no upstream `{upstream}`"));
        };
        let party = Party { upstream: said.clone(), limits: config.limits.get(upstream).cloned(), shipped };
        let owner = said.account.as_deref().map_or_else(|| Arc::clone(connector), Arc::from);
        let key = (said.account.is_some(), Name { account: owner, upstream: upstream.into() });
        let account = self.find_or_open(key, connector, &party)?;
        let before = account.say(connector, Some(party), self.replicas)?;
        Ok(Seat { account, connector: Arc::clone(connector), replicas: self.replicas, before: Some(before) })
    }

    fn find_or_open(&self, key: Key, connector: &Arc<str>, party: &Party) -> Result<Arc<Account>, String> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = all.get(&key) {
            return Ok(Arc::clone(&entry.account));
        }
        forget_one(&mut all);
        let parties = Parties::from([(Arc::clone(connector), party.clone())]);
        let walls = settings::walls(&parties, self.replicas)?;
        let mut limits = Limits::kept(&walls, self.store.keeping(self.clock.now()));
        let place = place(&key);
        self.store.restore(&place, &mut limits, self.clock.now())?;
        let account = Arc::new(Account::open(key.1.clone(), self.clock, limits)?);
        let keeper = self.keep(&account, place);
        all.insert(key, Entry { account: Arc::clone(&account), keeper });
        Ok(account)
    }

    /// Starts moving an account's counts to the store, if there is one.
    fn keep(&self, account: &Arc<Account>, place: Arc<str>) -> Option<JoinHandle<()>> {
        if matches!(self.store, Store::Memory) {
            return None;
        }
        let runtime = Handle::try_current().ok()?;
        let home = Arc::new(AtHome(Arc::clone(account)));
        Some(runtime.spawn(self.store.clone().keep(place, home, Arc::clone(&account.poke))))
    }

    /// The last words to the store, when nothing is under way any more.
    pub async fn finish(&self) {
        let entries: Vec<_> = {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter_mut()
                .map(|(key, entry)| (place(key), Arc::clone(&entry.account), entry.keeper.take()))
                .collect()
        };
        // All at once: of a store that is away every one finds that out for itself.
        let finish = entries.into_iter().map(async |(place, account, keeper)| {
            if let Some(keeper) = keeper {
                keeper.abort();
                let _ = keeper.await;
            }
            if let Err(reason) = self.store.clone().finish(place, Arc::new(AtHome(account))).await {
                tracing::error!(%reason, "what is used of the walls was not written in the end");
            }
        });
        join_all(finish).await;
    }

    /// Forgets what connectors said that are no longer configured, or no longer for that account. What was counted stays.
    pub fn follow(&self, connectors: &BTreeMap<String, config::Connector>) {
        for ((shared, name), account) in self.entries() {
            let said: Vec<_> = account.lock().parties.keys().cloned().collect();
            for connector in said {
                let upstream = connectors.get(&*connector).and_then(|c| c.upstreams.get(&*name.upstream));
                let stays = upstream.is_some_and(|u| match &u.account {
                    Some(named) => shared && **named == *name.account,
                    None => !shared && connector == name.account,
                });
                // Fewer walls and settings never fail to be joined.
                if !stays && let Err(reason) = account.say(&connector, None, self.replicas) {
                    tracing::error!(account = %name.account, %reason, "walls cannot be put together");
                }
            }
        }
    }

    fn entries(&self) -> Vec<(Key, Arc<Account>)> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(key, entry)| (key.clone(), Arc::clone(&entry.account))).collect()
    }

    /// Every account that a connector uses, by name.
    pub fn in_use(&self) -> Vec<Arc<Account>> {
        let accounts = self.entries().into_iter().map(|(_, account)| account);
        accounts.filter(|account| !account.lock().parties.is_empty()).collect()
    }
}

/// What the store calls it.
fn place((shared, name): &Key) -> Arc<str> {
    let kind = if *shared { "account" } else { "connector" };
    format!("{kind} {} {}", name.account, name.upstream).into()
}

fn forget_one(all: &mut BTreeMap<Key, Entry>) {
    let idle = |entry: &Entry| entry.account.lock().parties.is_empty();
    if all.len() >= MAX_REMEMBERED
        && let Some(key) = all.iter().find(|(_, entry)| idle(entry)).map(|(key, _)| key.clone())
        && let Some(Entry { keeper: Some(keeper), .. }) = all.remove(&key)
    {
        keeper.abort();
    }
}

/// Where the store finds the limits of an account.
struct AtHome(Arc<Account>);

impl Home for AtHome {
    fn with(&self, work: &mut dyn FnMut(&mut Limits, Now)) {
        let now = self.0.now();
        work(self.0.lock().core.limits(), now);
    }

    fn wake(&self) {
        self.0.drive();
    }
}

impl Account {
    /// Nobody has said anything of it yet.
    pub fn open(name: Name, clock: Clock, limits: Limits) -> Result<Self, String> {
        let parties = Parties::new();
        let core = Core::with_limits(settings::settings(&parties)?, limits);
        let state =
            State { core, driven: false, ledger: Ledger::default(), parties, walls: WallSet::default() };
        let (changed, poke) = (Notify::new(), Arc::default());
        Ok(Self { name, clock, state: Mutex::new(state), changed, poke })
    }

    /// Puts what a connector says in the place of what it said before, which is returned.
    fn say(
        self: &Arc<Self>,
        connector: &Arc<str>,
        party: Option<Party>,
        replicas: u32,
    ) -> Result<Option<Party>, String> {
        let mut state = self.lock();
        let mut parties = state.parties.clone();
        let before = match party {
            Some(party) => parties.insert(Arc::clone(connector), party),
            None => parties.remove(connector),
        };
        if parties != state.parties {
            let (settings, walls) = (settings::settings(&parties)?, settings::walls(&parties, replicas)?);
            state.core.reconfigure(settings, &walls, self.now());
            state.parties = parties;
            state.walls = walls;
        }
        self.look_again(&state);
        Ok(before)
    }
}

impl Seat {
    /// What was said stays.
    pub fn keep(mut self) -> Arc<Account> {
        self.before = None;
        Arc::clone(&self.account)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(before) = self.before.take()
            && let Err(reason) = self.account.say(&self.connector, before, self.replicas)
        {
            tracing::error!(connector = %self.connector, %reason, "walls cannot be put back");
        }
    }
}
