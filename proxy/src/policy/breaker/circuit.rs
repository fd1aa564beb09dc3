//! One circuit breaker: closed while traffic flows, open while it does not, half open while a probe finds out.

use std::time::Duration;

use super::counts::Counts;
use super::settings::Settings;
use super::{Kind, Outcome, Refused, View, Why};
use crate::policy::Mode;
use crate::policy::time::{Moment, Now, part_of};

/// How long after a read another one is to be expected, and a write need not be the probe.
const READS_EXPECTED_FOR: Duration = Duration::from_secs(60);

/// When those are told to come back who meet a probe that is under way: most answers take less.
const RETRY_WHILE_PROBING: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { since: Option<Moment>, consecutive: u32 },
    Open { why: Why, since: Moment, until: Moment },
    HalfOpen { why: Why, since: Moment, probing: bool, successes: u32, neutral: u32 },
}

/// Leave to send one request. Neither copied nor forgotten: it goes back with what became of the request.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a probe that never comes back keeps everybody out"]
pub struct Pass {
    /// In which spell of one state it was given; none if it does not count.
    spell: Option<u64>,
    /// What the breaker would have said, if its policy were enforced.
    pub observed: Option<Refused>,
}

/// The state machine.
#[derive(Debug)]
pub struct CircuitBreaker {
    settings: Settings,
    state: State,
    /// Grows with each change of state: what was sent before says nothing about now.
    spell: u64,
    counts: Counts,
    /// Openings since it was last calm.
    openings: u32,
    last_read: Option<Moment>,
}

impl CircuitBreaker {
    pub fn new(settings: Settings) -> Self {
        let counts = Counts::new(settings.window);
        let state = State::Closed { since: None, consecutive: 0 };
        Self { settings, state, spell: 0, counts, openings: 0, last_read: None }
    }

    /// Other settings from now on; another window begins empty.
    pub fn reconfigure(&mut self, settings: Settings) {
        if settings.window != self.settings.window {
            self.counts = Counts::new(settings.window);
        }
        self.settings = settings;
    }

    /// Whether a request would be refused now, if the policy is enforced.
    pub fn refusal(&self, kind: Kind, now: Now) -> Option<Refused> {
        self.closed_to(kind, now.mono).filter(|_| self.settings.mode == Mode::Enforce)
    }

    pub fn admit(&mut self, kind: Kind, now: Now) -> Result<Pass, Refused> {
        if kind == Kind::Read {
            self.last_read = Some(now.mono);
        }
        match (self.closed_to(kind, now.mono), self.settings.mode) {
            (Some(refused), Mode::Enforce) => return Err(refused),
            (observed @ Some(_), Mode::Observe) => return Ok(Pass { spell: None, observed }),
            (None, _) => {}
        }
        if let State::Open { why, until, .. } = self.state {
            self.change(State::HalfOpen { why, since: until, probing: false, successes: 0, neutral: 0 });
        }
        if let State::HalfOpen { probing, .. } = &mut self.state {
            *probing = true;
        }
        Ok(Pass { spell: Some(self.spell), observed: None })
    }

    /// Who may not pass, and until when.
    fn closed_to(&self, kind: Kind, now: Moment) -> Option<Refused> {
        let (why, since, probing) = match self.state {
            State::Closed { .. } => return None,
            State::Open { why, until, .. } if now < until => {
                return Some(Refused::Open { why, retry_at: until });
            }
            State::Open { why, until, .. } => (why, until, false),
            State::HalfOpen { why, since, probing, .. } => (why, since, probing),
        };
        let patience_ends = since + self.settings.patience;
        let reads_expected = self.last_read.is_some_and(|read| now < read + READS_EXPECTED_FOR);
        if probing {
            Some(Refused::Open { why, retry_at: now + RETRY_WHILE_PROBING })
        } else if kind == Kind::Write && reads_expected && now < patience_ends {
            Some(Refused::Open { why, retry_at: patience_ends })
        } else {
            None
        }
    }

    /// Notes how a request ended.
    pub fn record(&mut self, pass: Pass, outcome: Outcome, random: u64, now: Now) {
        if pass.spell != Some(self.spell) {
            return;
        }
        match self.state {
            State::Closed { .. } => self.record_closed(outcome, random, now.mono),
            State::HalfOpen { .. } => self.record_probe(outcome, random, now.mono),
            State::Open { .. } => {}
        }
    }

    /// Notes that nothing was learned; a probe's place is free again.
    pub fn abandon(&mut self, pass: Pass) {
        if let State::HalfOpen { probing, .. } = &mut self.state
            && pass.spell == Some(self.spell)
        {
            *probing = false;
        }
    }

    fn record_closed(&mut self, outcome: Outcome, random: u64, now: Moment) {
        let (succeeded, slow) = match outcome {
            Outcome::Success { took } => (true, took >= self.settings.slow_after),
            Outcome::Failure => (false, false),
            Outcome::TimedOut { waited } if waited >= self.settings.timeout_floor => {
                (false, waited >= self.settings.slow_after)
            }
            Outcome::TimedOut { .. } | Outcome::Neutral => return,
        };
        self.counts.add(succeeded, slow, now);
        let mut in_a_row = 0;
        if let State::Closed { consecutive, .. } = &mut self.state {
            *consecutive = if succeeded { 0 } else { consecutive.saturating_add(1) };
            in_a_row = *consecutive;
        }
        if (!succeeded || slow)
            && let Some(why) = self.reason_to_open(in_a_row, now)
        {
            self.open(why, random, now);
        }
    }

    fn reason_to_open(&self, consecutive: u32, now: Moment) -> Option<Why> {
        if consecutive >= self.settings.consecutive {
            return Some(Why::Failures { consecutive });
        }
        let (sums, settings) = (self.counts.sums(now), &self.settings);
        let of = sums.total();
        let share = |part: u32| f64::from(part) / f64::from(of);
        if of < settings.min_samples {
            None
        } else if share(sums.succeeded) < settings.success_share {
            Some(Why::Rate { failed: sums.failed, of })
        } else if share(sums.slow) >= settings.slow_share {
            Some(Why::Slow { slow: sums.slow, of })
        } else {
            None
        }
    }

    fn record_probe(&mut self, outcome: Outcome, random: u64, now: Moment) {
        let (good, plain) = match outcome {
            Outcome::Success { took } if took < self.settings.slow_after => (1, 0),
            Outcome::Neutral => (0, 1),
            Outcome::TimedOut { waited } if waited < self.settings.timeout_floor => (0, 0),
            _ => return self.open(Why::Probe, random, now),
        };
        let State::HalfOpen { probing, successes, neutral, .. } = &mut self.state else { return };
        *probing = false;
        *successes = successes.saturating_add(good);
        *neutral = neutral.saturating_add(plain);
        if *successes >= self.settings.successes || *neutral >= self.settings.neutral_answers {
            self.counts.clear();
            self.change(State::Closed { since: Some(now), consecutive: 0 });
        }
    }

    fn open(&mut self, why: Why, random: u64, now: Moment) {
        if let State::Closed { since, .. } = self.state
            && since.is_none_or(|since| now >= since + self.settings.calm)
        {
            self.openings = 0;
        }
        let doubled = 2_u32.saturating_pow(self.openings);
        let nominal = self.settings.open.saturating_mul(doubled).min(self.settings.max_open);
        self.openings = self.openings.saturating_add(1);
        self.change(State::Open { why, since: now, until: now + jittered(nominal, random) });
    }

    fn change(&mut self, state: State) {
        self.spell += 1;
        self.state = state;
    }

    pub fn view(&self, now: Now) -> View {
        match self.state {
            State::Closed { .. } => View::Closed,
            State::Open { why, since, until } if now.mono < until => {
                View::Open { why, since, probe_at: until }
            }
            State::Open { why, until, .. } => {
                View::HalfOpen { why, since: until, probing: false, successes: 0 }
            }
            State::HalfOpen { why, since, probing, successes, .. } => {
                View::HalfOpen { why, since, probing, successes }
            }
        }
    }
}

/// A quarter more or less, so that the sidecars of a fleet do not probe together.
fn jittered(nominal: Duration, random: u64) -> Duration {
    (nominal / 4).saturating_mul(3).saturating_add(part_of(nominal / 2, random))
}
