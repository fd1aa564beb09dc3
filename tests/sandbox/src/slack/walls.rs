//! Slack's walls: a rolling minute per method and installation, and one message per second and channel.
//!
//! A refused request uses nothing. The published tiers are lower bounds ("20+"); here they are exact, so that a client
//! that respects the published number never meets the wall and one that does not always does.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::answer::Refusal;
use super::methods::Method;

/// The rolling window that tiers count in.
const WINDOW: Duration = Duration::from_mins(1);

/// Messages that a channel takes at once when it was quiet. Slack tolerates "short bursts" and gives no number.
const BURST_MESSAGES: u32 = 3;

/// A channel's sustained pace: one message in this time.
const MESSAGE_EVERY: Duration = Duration::from_secs(1);

/// Requests per minute, as Slack's documentation sorts its methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    Two,
    Three,
    Four,
    /// "Several hundred per minute", for methods that have a wall of their own.
    Special,
}

impl Tier {
    pub(super) fn per_minute(self) -> usize {
        match self {
            Self::Two => 20,
            Self::Three => 50,
            Self::Four => 100,
            Self::Special => 300,
        }
    }
}

/// What has been used. Times are since the Unix epoch.
#[derive(Debug, Default)]
pub(super) struct Walls {
    open: bool,
    windows: HashMap<(&'static str, String), VecDeque<Duration>>,
    /// Per installation and channel: when its last message was due at the sustained pace.
    due: HashMap<(String, String), Duration>,
}

impl Walls {
    pub(super) fn new(enforced: bool) -> Self {
        Self { open: !enforced, ..Self::default() }
    }

    /// Charges one call of a method, or refuses it.
    pub(super) fn pass(&mut self, method: &Method, installation: &str, now: Duration) -> Result<(), Refusal> {
        if self.open {
            return Ok(());
        }
        let window = self.windows.entry((method.name, installation.to_owned())).or_default();
        while window.front().is_some_and(|at| *at + WINDOW <= now) {
            window.pop_front();
        }
        match window.front() {
            Some(oldest) if window.len() >= method.tier.per_minute() => Err(too_fast(*oldest + WINDOW - now)),
            _ => {
                window.push_back(now);
                Ok(())
            }
        }
    }

    /// Charges one message to a channel, or refuses it.
    pub(super) fn post(&mut self, installation: &str, channel: &str, now: Duration) -> Result<(), Refusal> {
        if self.open {
            return Ok(());
        }
        let due = self.due.entry((installation.to_owned(), channel.to_owned())).or_default();
        let next = (*due).max(now) + MESSAGE_EVERY;
        let latest = now + MESSAGE_EVERY * BURST_MESSAGES;
        if next > latest {
            return Err(too_fast(next - latest));
        }
        *due = next;
        Ok(())
    }
}

/// Whole seconds, rounded up, at least one.
fn too_fast(wait: Duration) -> Refusal {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Refusal::RateLimited(Some(seconds.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_of(refused: Result<(), Refusal>) -> Option<u64> {
        match refused.unwrap_err() {
            Refusal::RateLimited(seconds) => seconds,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_tier_admits_its_number_in_any_rolling_minute() {
        let (mut walls, list) = (Walls::default(), Method::named("conversations.list").unwrap());
        let at = Duration::from_secs;
        for second in 0..20 {
            walls.pass(list, "T1", at(second)).unwrap();
        }
        assert_eq!(wait_of(walls.pass(list, "T1", at(30))), Some(30));
        walls.pass(list, "T2", at(30)).unwrap();
        walls.pass(list, "T1", at(60)).unwrap();
        assert_eq!(wait_of(walls.pass(list, "T1", at(60))), Some(1));
    }

    #[test]
    fn a_quiet_channel_takes_a_short_burst_and_then_one_message_a_second() {
        let mut walls = Walls::default();
        let now = Duration::from_secs(1000);
        for _ in 0..BURST_MESSAGES {
            walls.post("T1", "C1", now).unwrap();
        }
        assert_eq!(wait_of(walls.post("T1", "C1", now)), Some(1));
        walls.post("T1", "C2", now).unwrap();
        walls.post("T1", "C1", now + MESSAGE_EVERY).unwrap();
        assert_eq!(wait_of(walls.post("T1", "C1", now + MESSAGE_EVERY)), Some(1));
    }
}
