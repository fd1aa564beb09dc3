//! One sidecar: its policies, put together in the order of the egress stack, without anything that waits or sends.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::plan::Plan;
use crate::policy::breaker::{self, Breakers, Outcome, Pass};
use crate::policy::bulkhead::{self, Bulkhead, Place};
use crate::policy::limit::{About, Asked, Charge, Limits, Refused, Source, Wall, WallSet};
use crate::policy::queue::{self, Asking, Queue, Ticket};
use crate::policy::retry::{self, Decision, Failure, Retry, RetryBudget};
use crate::policy::time::{Moment, Now};
use crate::policy::{Mode, Priority};
