//! Where walls stand: before everything, before an operation, before one resource. Resources come from callers' arguments, so they are bounded.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::grant::Keeping;
use super::kept::WallKey;
use super::meter::Meter;
use super::scope::Scope;
use super::walls::Wall;
use crate::policy::time::Now;

/// Most resources that one operation remembers. Every one of them is a list of windows: about 4 MB when all are busy with small walls.
pub const MAX_RESOURCES: usize = 8_192;

/// How many remembered resources are looked at to find one that is empty.
const LOOKED_AT: usize = 16;

/// Longest part of a resource's name that tells it from others, in bytes. Two that share so much share their walls.
const MAX_RESOURCE_BYTES: usize = 256;

/// Most operations that a throttle may name beyond those that have walls: a manifest has no more.
const MAX_OPERATIONS: usize = 1_024;

/// Most walls of forgotten resources that are still to be taken off a disk: what is beyond goes when the next process begins.
const MAX_FORGOTTEN: usize = 8_192;

/// The scope that every call passes.
pub const UPSTREAM: u32 = 0;

/// Most scopes that a store hears of at once: a shared one does nothing else meanwhile, for a few milliseconds.
const MAX_DUE: usize = 128;

/// The walls of one operation, or of the upstream as a whole.
#[derive(Default)]
struct Lists {
    own: Vec<Arc<Wall>>,
    per_resource: Vec<Arc<Wall>>,
}

/// The scopes of one operation, or of the upstream as a whole.
#[derive(Clone, Debug, Default)]
struct Place {
    scope: u32,
    per_resource: Vec<Arc<Wall>>,
    resources: HashMap<Arc<str>, u32>,
    /// The resources in the order of their coming, those found busy put behind again.
    order: VecDeque<Arc<str>>,
}

/// All scopes of one account.
#[derive(Clone, Debug, Default)]
pub struct Scopes {
    all: Vec<Scope>,
    free: Vec<u32>,
    upstream: Place,
    operations: HashMap<Arc<str>, Place>,
    /// Counts the replacements of the walls.
    pub generation: u32,
    keeping: Keeping,
    /// What is on a disk of resources that are not remembered any more.
    forgotten: Vec<WallKey>,
    /// Scopes of which a store should hear.
    due: Vec<u32>,
    /// Whether it should hear now.
    urgent: bool,
}

/// The scopes that one call passes: of upstream and operation, each with and without its resource.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed {
    scopes: [u32; 4],
    len: u8,
}

impl Passed {
    fn push(&mut self, scope: u32) {
        if let Some(place) = self.scopes.get_mut(usize::from(self.len)) {
            *place = scope;
            self.len += 1;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> + use<> {
        self.scopes.into_iter().take(usize::from(self.len))
    }
}

/// Every resource that is remembered is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Scopes {
    pub fn new<'a>(walls: impl Iterator<Item = &'a Arc<Wall>>, keeping: Keeping) -> Self {
        let mut scopes = Self { all: vec![Scope::default()], keeping, ..Self::default() };
        scopes.replace(walls);
        scopes
    }

    /// Other walls from now on. What was counted stays wherever a wall of the same kind stands in the same place.
    pub fn replace<'a>(&mut self, walls: impl Iterator<Item = &'a Arc<Wall>>) {
        self.generation = self.generation.saturating_add(1);
        let mut lists: HashMap<Option<Arc<str>>, Lists> = HashMap::new();
        for wall in walls {
            let lists = lists.entry(wall.operation.clone()).or_default();
            if wall.per.is_some() { &mut lists.per_resource } else { &mut lists.own }.push(Arc::clone(wall));
        }
        for operation in lists.keys().flatten() {
            place_of(&mut self.operations, &mut self.all, &mut self.free, operation);
        }
        let places = self.operations.iter_mut().map(|(name, place)| (Some(Arc::clone(name)), place));
        for (operation, place) in places.chain([(None, &mut self.upstream)]) {
            let Lists { own, per_resource } = lists.remove(&operation).unwrap_or_default();
            for (&scope, walls) in
                place.resources.values().map(|s| (s, &per_resource)).chain([(&place.scope, &own)])
            {
                if let Some(scope) = self.all.get_mut(scope as usize) {
                    scope.replace(walls, self.generation, self.keeping);
                }
            }
            place.per_resource = per_resource;
        }
        for scope in 0..self.all.len() {
            self.touched(u32::try_from(scope).unwrap_or(u32::MAX));
        }
    }

    pub fn get(&self, scope: u32) -> Option<&Scope> {
        self.all.get(scope as usize)
    }

    pub fn get_mut(&mut self, scope: u32) -> Option<&mut Scope> {
        self.all.get_mut(scope as usize)
    }

    /// Lets the store hear of a scope, if it has anything to do with one.
    pub fn set_due(&mut self, scope: u32) {
        if let Some(found) = self.all.get_mut(scope as usize)
            && !found.due
            && found.meters.iter().any(|m| m.grant.is_some())
        {
            found.due = true;
            self.due.push(scope);
        }
    }

    pub fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Whether somebody waits for the store, or soon will.
    pub fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Lets the store hear of what happened to a scope, if it need know.
    pub fn touched(&mut self, index: u32) {
        let Some(scope) = self.all.get(index as usize) else { return };
        let urgent = scope.meters.iter().any(|meter| meter.presses(self.keeping));
        self.urgent |= urgent;
        if urgent || matches!(self.keeping, Keeping::Shared(_)) {
            self.set_due(index);
        }
    }

    /// Whether anything is kept beyond this process.
    pub fn has_store(&self) -> bool {
        self.keeping != Keeping::Memory
    }

    /// Lets the store hear now of what is not a scope's.
    pub fn press(&mut self) {
        self.urgent = true;
    }

    /// Lets the store hear of every scope.
    pub fn set_all_due(&mut self) {
        for scope in 0..self.all.len() {
            self.set_due(u32::try_from(scope).unwrap_or(u32::MAX));
        }
    }

    /// Takes the scopes of which a store should hear, the longest waiting first.
    pub fn take_due(&mut self) -> Vec<u32> {
        self.urgent = self.due.len() > MAX_DUE;
        let rest = self.due.split_off(self.due.len().min(MAX_DUE));
        let due = std::mem::replace(&mut self.due, rest);
        for &scope in &due {
            if let Some(scope) = self.all.get_mut(scope as usize) {
                scope.due = false;
            }
        }
        due
    }

    /// What a disk need not keep any more: walls of resources that are not remembered, and did not come back since.
    pub fn take_forgotten(&mut self) -> Vec<WallKey> {
        let mut forgotten = std::mem::take(&mut self.forgotten);
        let place = |operation: Option<&str>| match operation {
            None => Some(&self.upstream),
            Some(operation) => self.operations.get(operation),
        };
        forgotten.retain(|key| {
            let place = place(key.operation.as_deref());
            !key.resource.as_ref().is_some_and(|name| place.is_some_and(|p| p.resources.contains_key(name)))
        });
        forgotten
    }

    /// It is still there.
    pub fn not_forgotten(&mut self, mut keys: Vec<WallKey>) {
        keys.truncate(MAX_FORGOTTEN - self.forgotten.len().min(MAX_FORGOTTEN));
        self.forgotten.append(&mut keys);
    }

    /// Every scope that is in use.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Scope> {
        self.all.iter_mut()
    }

    /// The scopes that a call passes; remembers its resource if it has walls.
    pub fn passed(&mut self, operation: &str, resource: Option<&str>, now: Now) -> Result<Passed, Full> {
        let mut passed = Passed::default();
        let mut memory = Memory {
            all: &mut self.all,
            free: &mut self.free,
            forgotten: &mut self.forgotten,
            generation: self.generation,
            keeping: self.keeping,
        };
        for place in [Some(&mut self.upstream), self.operations.get_mut(operation)] {
            let Some(place) = place else { continue };
            passed.push(place.scope);
            if !place.per_resource.is_empty() {
                passed.push(memory.resource(place, resource.unwrap_or_default(), now)?);
            } else if let (Some(resource), false) = (resource, place.resources.is_empty()) {
                place.resources.get(cut(resource)).into_iter().for_each(|&scope| passed.push(scope));
            }
        }
        Ok(passed)
    }

    /// The scopes that every call of an operation passes, whatever its resource.
    pub fn places(&self, operation: &str) -> Passed {
        let mut passed = Passed::default();
        let places = [Some(&self.upstream), self.operations.get(operation)];
        places.into_iter().flatten().for_each(|place| passed.push(place.scope));
        passed
    }

    /// The scopes that a call would pass, as far as they are remembered.
    pub fn known(&self, operation: &str, resource: Option<&str>) -> Passed {
        let mut passed = Passed::default();
        for place in [Some(&self.upstream), self.operations.get(operation)].into_iter().flatten() {
            passed.push(place.scope);
            place
                .resources
                .get(cut(resource.unwrap_or_default()))
                .into_iter()
                .for_each(|&scope| passed.push(scope));
        }
        passed
    }

    /// The one scope of that name, remembered from now on; the next wider one when there is no room for it.
    pub fn named(&mut self, operation: Option<&str>, resource: Option<&str>, now: Now) -> u32 {
        let place = match operation {
            None => &mut self.upstream,
            Some(name) if !self.operations.contains_key(name) && self.operations.len() >= MAX_OPERATIONS => {
                &mut self.upstream
            }
            Some(name) => place_of(&mut self.operations, &mut self.all, &mut self.free, name),
        };
        let Some(resource) = resource else { return place.scope };
        let mut memory = Memory {
            all: &mut self.all,
            free: &mut self.free,
            forgotten: &mut self.forgotten,
            generation: self.generation,
            keeping: self.keeping,
        };
        memory.resource(place, resource, now).unwrap_or(place.scope)
    }
}

fn place_of<'a>(
    operations: &'a mut HashMap<Arc<str>, Place>,
    all: &mut Vec<Scope>,
    free: &mut Vec<u32>,
    operation: &str,
) -> &'a mut Place {
    operations.entry(operation.into()).or_insert_with(|| {
        let forgotten = &mut Vec::new();
        let scope = Memory { all, free, forgotten, generation: 0, keeping: Keeping::Memory }.add(&[], None);
        Place { scope, ..Place::default() }
    })
}

fn cut(resource: &str) -> &str {
    &resource[..resource.floor_char_boundary(MAX_RESOURCE_BYTES)]
}

/// Where scopes are kept.
struct Memory<'a> {
    all: &'a mut Vec<Scope>,
    free: &'a mut Vec<u32>,
    forgotten: &'a mut Vec<WallKey>,
    generation: u32,
    keeping: Keeping,
}

impl Memory<'_> {
    fn resource(&mut self, place: &mut Place, resource: &str, now: Now) -> Result<u32, Full> {
        let resource = cut(resource);
        if let Some(&scope) = place.resources.get(resource) {
            return Ok(scope);
        }
        if place.resources.len() >= MAX_RESOURCES {
            self.forget_one(place, now)?;
        }
        let name: Arc<str> = resource.into();
        let scope = self.add(&place.per_resource, Some(Arc::clone(&name)));
        place.resources.insert(Arc::clone(&name), scope);
        place.order.push_back(name);
        Ok(scope)
    }

    /// Forgets a resource of which nothing counts any more; looks at the oldest first, and puts the busy ones behind.
    fn forget_one(&mut self, place: &mut Place, now: Now) -> Result<(), Full> {
        for _ in 0..LOOKED_AT.min(place.order.len()) {
            let Some(name) = place.order.pop_front() else { break };
            let Some(&index) = place.resources.get(&name) else { continue };
            let Some(scope) = self.all.get_mut(index as usize) else { continue };
            if scope.is_empty(self.keeping, now) {
                if matches!(self.keeping, Keeping::Disk { .. }) && self.forgotten.len() < MAX_FORGOTTEN {
                    let kept = scope.meters.iter().filter(|m| m.grant.is_some());
                    self.forgotten.extend(kept.map(|m| WallKey::of(&m.wall, Some(Arc::clone(&name)))));
                }
                // Its place in the list of those of which a store should hear stays, for whoever comes after it.
                *scope = Scope { due: scope.due, ..Scope::default() };
                self.free.push(index);
                place.resources.remove(&name);
                return Ok(());
            }
            place.order.push_back(name);
        }
        Err(Full)
    }

    fn add(&mut self, walls: &[Arc<Wall>], resource: Option<Arc<str>>) -> u32 {
        let meters =
            walls.iter().map(|wall| Meter::new(Arc::clone(wall), self.generation, self.keeping)).collect();
        let new = Scope { meters, resource, ..Scope::default() };
        match self.free.pop().and_then(|index| Some((index, self.all.get_mut(index as usize)?))) {
            Some((index, place)) => {
                *place = Scope { due: place.due, ..new };
                index
            }
            None => {
                self.all.push(new);
                u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX)
            }
        }
    }
}
