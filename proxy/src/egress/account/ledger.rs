//! Who spent how much: per agent and per workflow, since the start. Names come from callers, so there is a bound on them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Agents that are told apart; an operator who has more looks at each one's own sidecar.
const MAX_AGENTS: usize = 64;

/// Workflows that are told apart: the latest. One that is older has ended, or is not looked at.
const MAX_WORKFLOWS: usize = 256;

/// Cost by operation.
pub type Spent = HashMap<Arc<str>, u64>;

/// The spending of one account.
#[derive(Debug)]
pub struct Ledger {
    agents: Book,
    workflows: Book,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { agents: Book::new(MAX_AGENTS), workflows: Book::new(MAX_WORKFLOWS) }
    }
}

impl Ledger {
    pub fn note(&mut self, agent: &Arc<str>, workflow: Option<&Arc<str>>, operation: &Arc<str>, cost: u64) {
        self.agents.note(agent, operation, cost);
        if let Some(workflow) = workflow {
            self.workflows.note(workflow, operation, cost);
        }
    }

    pub fn agents(&self) -> impl Iterator<Item = (&Arc<str>, &Spent)> {
        self.agents.entries.iter()
    }

    pub fn workflows(&self) -> impl Iterator<Item = (&Arc<str>, &Spent)> {
        self.workflows.entries.iter()
    }
}

/// So many entries; the oldest is forgotten for a new one.
#[derive(Debug)]
struct Book {
    most: usize,
    entries: HashMap<Arc<str>, Spent>,
    order: VecDeque<Arc<str>>,
}

impl Book {
    fn new(most: usize) -> Self {
        Self { most, entries: HashMap::new(), order: VecDeque::new() }
    }

    fn note(&mut self, name: &Arc<str>, operation: &Arc<str>, cost: u64) {
        if !self.entries.contains_key(name) {
            if self.order.len() >= self.most
                && let Some(oldest) = self.order.pop_front()
            {
                self.entries.remove(&oldest);
            }
            self.order.push_back(Arc::clone(name));
        }
        let spent = self.entries.entry(Arc::clone(name)).or_default();
        *spent.entry(Arc::clone(operation)).or_default() += cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ever_new_names_take_no_more_room() {
        let (mut ledger, operation) = (Ledger::default(), Arc::from("op"));
        for i in 0..1000 {
            let name: Arc<str> = format!("w{i}").into();
            ledger.note(&Arc::from("agent"), Some(&name), &operation, 2);
        }
        assert_eq!(ledger.workflows().count(), MAX_WORKFLOWS);
        assert_eq!(ledger.agents().next().unwrap().1[&operation], 2000);
        assert!(ledger.workflows().any(|(name, _)| &**name == "w999"));
    }
}
