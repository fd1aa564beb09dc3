//! Another upstream of the same sidecar, which answers nothing: what it is asked piles up to every bound that there is.

use std::sync::Arc;
use std::time::Duration;

use crate::egress::account::core::{Asked, Core, Held, Request, Settings};
use crate::policy::Priority;
use crate::policy::breaker::{Kind, Outcome};
use crate::policy::limit::WallSet;
use crate::policy::time::{Moment, Now};

/// How long its callers wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// Calls that are made at once.
const BURST: usize = 40;

/// The policies before an upstream that hangs.
#[derive(Debug)]
pub struct Neighbour {
    core: Core<()>,
    /// What is under way, and when its caller gives up.
    hanging: Vec<(Moment, Held)>,
}

impl Neighbour {
    pub fn new(walls: &WallSet) -> Self {
        Self { core: Core::new(Settings::default(), walls), hanging: Vec::new() }
    }

    /// Is asked more, and answers nothing of it.
    pub fn asked(&mut self, now: Now) {
        let over: Vec<_> = self.hanging.extract_if(.., |(until, _)| *until <= now.mono).collect();
        for (_, held) in over {
            self.core.abandoned(held, Some(Outcome::TimedOut { waited: PATIENCE }), 0, now);
        }
        for _ in 0..BURST {
            if let Asked::Goes(held) = self.core.ask(&request(now), (), now) {
                self.departs(held, now);
            }
        }
        for ((), turn) in self.core.poll(now) {
            if let Ok(held) = turn {
                self.departs(held, now);
            }
        }
    }

    fn departs(&mut self, mut held: Held, now: Now) {
        self.core.sent(&mut held, false, now);
        self.hanging.push((now.mono + PATIENCE, held));
    }
}

fn request(now: Now) -> Request {
    Request {
        agent: Arc::from("agent-0-0"),
        operation: Arc::from("records.find"),
        resource: None,
        cost: 1,
        priority: Priority::Interactive,
        kind: Kind::Read,
        deadline: now.mono + PATIENCE,
        bytes: 10_000,
        workflow: None,
    }
}
