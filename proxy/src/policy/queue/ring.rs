//! Deficit round robin over the agents of one priority: in each round an agent may take as much as any other, whatever the number of its waiters and
//! whatever each of them costs.

use std::collections::VecDeque;
use std::sync::Arc;

use super::lane::{Closed, Head, Lane, Order, Waiter};
use super::{Asking, Wall};
use crate::policy::Priority;
use crate::policy::time::Moment;

/// The agents that have waiters, the next first.
#[derive(Debug)]
pub struct Ring<T> {
    lanes: VecDeque<Lane<T>>,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { lanes: VecDeque::new() }
    }
}

/// What one look around the ring found.
enum Found {
    /// The lane at this index goes.
    Goes(usize, Head),
    /// All who may go have used up their round; the one that lacks least lacks so much.
    RoundOver(u64),
    Nobody,
}

/// What is known while the next is looked for: nobody is looked at twice, however many wait for what is closed.
struct Search {
    priority: Priority,
    now: Moment,
    closed: Closed,
    /// Of each lane that was looked at, those who may be the first to go.
    heads: Vec<Option<VecDeque<Head>>>,
}

impl Search {
    fn new(priority: Priority, now: Moment, lanes: usize) -> Self {
        Self { priority, now, closed: Closed::default(), heads: vec![None; lanes] }
    }

    /// The first of a lane that is not known to be kept back.
    fn head<T>(&mut self, index: usize, lane: &Lane<T>) -> Option<&Head> {
        let heads = self.heads.get_mut(index)?;
        let heads = heads.get_or_insert_with(|| lane.heads(self.priority, self.now));
        while heads.front().is_some_and(|head| self.closed.has(head)) {
            heads.pop_front();
        }
        heads.front()
    }
}

impl<T> Ring<T> {
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    pub fn lanes(&self) -> impl Iterator<Item = &Lane<T>> {
        self.lanes.iter()
    }

    pub fn lane(&self, agent: &str) -> Option<&Lane<T>> {
        self.lanes.iter().find(|lane| *lane.agent == *agent)
    }

    pub fn add(&mut self, agent: &Arc<str>, key: &Arc<str>, at: Order, waiter: Waiter<T>) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.agent == *agent) {
            return lane.add(key, at, waiter);
        }
        let mut lane = Lane::new(Arc::clone(agent));
        lane.add(key, at, waiter);
        self.lanes.push_back(lane);
    }

    pub fn remove(&mut self, agent: &str, key: &str, at: Order) -> Option<Waiter<T>> {
        let index = self.lanes.iter().position(|lane| *lane.agent == *agent)?;
        let waiter = self.lanes[index].remove(key, at);
        if self.lanes[index].items == 0 {
            self.lanes.remove(index);
        }
        waiter
    }

    /// What goes before a newcomer of the same priority, at most: its own agent's earlier deadlines, and of each other agent as much as its own agent
    /// takes, in whatever key, until it is served.
    pub fn before(&self, asking: &Asking, key: Option<&str>) -> u64 {
        let own = |key| self.lane(&asking.agent).map_or(0, |lane| lane.cost(key, asking.deadline));
        let turns = own(None).saturating_add(asking.cost);
        let others = self.lanes.iter().filter(|lane| lane.agent != asking.agent);
        others.map(|lane| lane.cost(key, Moment(u64::MAX)).min(turns)).fold(own(key), u64::saturating_add)
    }

    /// What all take together.
    pub fn cost(&self, key: Option<&str>) -> u64 {
        self.lanes.iter().map(|lane| lane.cost(key, Moment(u64::MAX))).fold(0, u64::saturating_add)
    }

    pub fn waiting_for(&self, key: &str) -> usize {
        self.lanes.iter().map(|lane| lane.waiting_for(key)).sum()
    }

    /// The next to go, out of the ring.
    pub fn next(
        &mut self,
        priority: Priority,
        now: Moment,
        ask: &mut impl FnMut(&Asking, &T) -> Wall,
    ) -> Option<(Order, Waiter<T>)> {
        let mut search = Search::new(priority, now, self.lanes.len());
        loop {
            match self.look(&mut search, ask) {
                Found::Goes(index, head) => {
                    self.end_round(&mut search);
                    return self.take(index, &head, now);
                }
                // As many rounds at once as pass until somebody can go.
                Found::RoundOver(lacks) => self.top_up(lacks, &mut search),
                Found::Nobody => {
                    self.end_round(&mut search);
                    return None;
                }
            }
        }
    }

    fn look(&self, search: &mut Search, ask: &mut impl FnMut(&Asking, &T) -> Wall) -> Found {
        let mut lacks: Option<u64> = None;
        for (index, lane) in self.lanes.iter().enumerate() {
            while let Some(head) = search.head(index, lane) {
                if head.cost > lane.deficit {
                    let lack = head.cost - lane.deficit;
                    lacks = Some(lacks.map_or(lack, |least| least.min(lack)));
                    break;
                }
                let head = head.clone();
                let Some(payload) = lane.payload(&head) else { break };
                match ask(&asking(lane, &head, search.priority), payload) {
                    Wall::Open => return Found::Goes(index, head),
                    Wall::KeyClosed => search.closed.insert(&head),
                }
            }
        }
        lacks.map_or(Found::Nobody, Found::RoundOver)
    }

    fn top_up(&mut self, more: u64, search: &mut Search) {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            // Who cannot go anyway saves nothing up.
            if search.head(index, lane).is_some_and(|head| head.cost > lane.deficit) {
                lane.deficit = lane.deficit.saturating_add(more);
                lane.given = lane.given.saturating_add(more);
            }
        }
    }

    /// Takes back what was given to those of whom it turned out that they cannot go: who waits for many things is not given more often.
    fn end_round(&mut self, search: &mut Search) {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let given = std::mem::take(&mut lane.given);
            if given > 0 && search.head(index, lane).is_none() {
                lane.deficit = lane.deficit.saturating_sub(given);
            }
        }
    }

    fn take(&mut self, index: usize, head: &Head, now: Moment) -> Option<(Order, Waiter<T>)> {
        let mut lane = self.lanes.remove(index)?;
        let waiter = lane.remove(&head.key, head.at);
        lane.deficit = lane.deficit.saturating_sub(head.cost);
        let goes_on = lane.first_cost(now).is_some_and(|cost| cost <= lane.deficit);
        match lane.items {
            0 => {}
            _ if goes_on => self.lanes.insert(index, lane),
            _ => self.lanes.push_back(lane),
        }
        waiter.map(|waiter| (head.at, waiter))
    }
}

fn asking<T>(lane: &Lane<T>, head: &Head, priority: Priority) -> Asking {
    Asking {
        agent: Arc::clone(&lane.agent),
        key: Arc::clone(&head.key),
        priority,
        deadline: head.at.0,
        cost: head.cost,
        bytes: head.bytes,
        pressing_at: head.pressing_at,
    }
}
