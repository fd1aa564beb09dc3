//! The system on the other side: it counts what arrives, refuses what is too much, and has its troubles. It knows nothing of Ferrata.

use std::collections::VecDeque;

use crate::agenda::Ms;
use crate::plan::{Kind, Plan, Trouble, Wall};

/// How an arrival is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    Done {
        /// How much of the wall is used of which it tells that.
        used: Option<u64>,
    },
    TooMany {
        retry_after: Option<Ms>,
    },
    ServerError,
    /// Nothing comes back.
    Silence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Ours,
    Others,
}

/// One upstream.
#[derive(Debug)]
pub struct Upstream {
    windows: Vec<Window>,
    troubles: Vec<Trouble>,
    says_when: bool,
    shows: Option<usize>,
}

/// What it took within one of its windows, others' use included.
#[derive(Debug)]
struct Window {
    wall: Wall,
    taken: VecDeque<(Ms, Whose)>,
}

impl Upstream {
    pub fn new(plan: &Plan) -> Self {
        let window = |wall: &Wall| Window { wall: wall.clone(), taken: VecDeque::new() };
        let windows = plan.walls.iter().map(window).collect();
        Self { windows, troubles: plan.troubles.clone(), says_when: plan.says_when, shows: plan.shows }
    }

    /// Whether a connection can be made.
    pub fn is_reachable(&self, now: Ms) -> bool {
        !self.in_trouble(now, |kind| kind == Kind::Down)
    }

    /// A request arrives; how it is answered and after how long.
    pub fn arrive(&mut self, now: Ms) -> (Reply, Ms) {
        let slow = self.troubles.iter().filter(|t| within(t, now)).filter_map(|t| match t.kind {
            Kind::Slow { by } => Some(by),
            _ => None,
        });
        let took = slow.sum();
        if self.in_trouble(now, |kind| kind == Kind::Hangs) {
            return (Reply::Silence, took);
        }
        if let Some(free_at) = self.full_until(now) {
            // Whole seconds, as the header has them.
            let wait = (free_at - now).div_ceil(1_000) * 1_000;
            return (Reply::TooMany { retry_after: self.says_when.then_some(wait) }, took);
        }
        self.take(now, Whose::Ours);
        if self.in_trouble(now, |kind| kind == Kind::Errors) {
            return (Reply::ServerError, took);
        }
        let shown = self.shows.and_then(|wall| self.windows.get(wall));
        (Reply::Done { used: shown.map(|window| window.taken.len() as u64) }, took)
    }

    /// Somebody else's request: takes its place if there is one.
    pub fn outsider(&mut self, now: Ms) {
        if self.full_until(now).is_none() {
            self.take(now, Whose::Others);
        }
    }

    /// How much others use of the wall of which answers tell.
    pub fn used_by_others(&self) -> u64 {
        let shown = self.shows.and_then(|wall| self.windows.get(wall));
        let taken = shown.into_iter().flat_map(|window| &window.taken);
        taken.filter(|(_, whose)| *whose == Whose::Others).count() as u64
    }

    fn take(&mut self, now: Ms, whose: Whose) {
        for window in &mut self.windows {
            window.taken.push_back((now, whose));
        }
    }

    /// When there is room in all windows; none if there is.
    fn full_until(&mut self, now: Ms) -> Option<Ms> {
        let free = self.windows.iter_mut().filter_map(|window| {
            let wall = &window.wall;
            while window.taken.front().is_some_and(|(t, _)| wall.leaves(*t) <= now) {
                window.taken.pop_front();
            }
            let full = window.taken.len() as u64 >= wall.count;
            full.then(|| window.taken.front().map_or(now, |(t, _)| wall.leaves(*t)))
        });
        free.max()
    }

    fn in_trouble(&self, now: Ms, is: impl Fn(Kind) -> bool) -> bool {
        self.troubles.iter().any(|t| within(t, now) && is(t.kind))
    }
}

fn within(trouble: &Trouble, now: Ms) -> bool {
    (trouble.from..trouble.to).contains(&now)
}
