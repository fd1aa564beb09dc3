//! The task that talks of one account to the store that all sidecars share: when to talk, and what if nobody answers.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::Home;
use super::shared::{Heard, Shared, Talk};
use crate::policy::time::Now;

/// Longest silence: what is leased is one second of demand, and a sidecar that is silent for longer does not count.
const TICK: Duration = Duration::from_secs(1);

/// Shortest time between two exchanges, also when calls wait: they travel together.
const GAP: Duration = Duration::from_millis(5);

/// The same when the last brought nothing: somebody else must give something back first.
const GAP_OF_POVERTY: Duration = Duration::from_millis(100);

/// First and longest pause before the same is asked again of a store that is away.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Talks for as long as it is polled.
pub async fn keep_shared(shared: &Shared, account: &str, home: &dyn Home, poke: &Notify) {
    let mut talk = shared.talk(account).await;
    loop {
        let begun = Instant::now();
        home.with(&mut |limits, now| talk.begin(limits.exchange(now)));
        let (heard, asked_at) = ask_until_heard(shared, &mut talk, account, home).await;
        take(&talk, &heard, asked_at, home);
        home.wake();
        let poor =
            talk.asks().iter().zip(&heard.answers).any(|(ask, got)| ask.moved.want > 0 && got.granted == 0);
        sleep_until(begun + if poor { GAP_OF_POVERTY } else { GAP }).await;
        tokio::select! {
            () = poke.notified() => {}
            () = sleep_until(begun + TICK) => {}
        }
    }
}

/// Gives back what was not spent. What the store does not hear it counts as spent, when its time is over.
pub async fn give_back(shared: &Shared, account: &str, home: &dyn Home) -> Result<(), String> {
    let mut talk = shared.talk(account).await;
    let mut is_due = true;
    home.with(&mut |limits, _| limits.give_back());
    while is_due || !talk.is_answered() {
        if talk.is_answered() {
            home.with(&mut |limits, now| talk.begin(limits.exchange(now)));
        }
        let mut asked_at = Now::default();
        home.with(&mut |_, now| asked_at = now);
        let heard = shared.ask(&mut talk).await?;
        take(&talk, &heard, asked_at, home);
        home.with(&mut |limits, _| {
            limits.grants_expired();
            is_due = limits.has_due();
        });
    }
    Ok(())
}

fn take(talk: &Talk, heard: &Heard, asked_at: Now, home: &dyn Home) {
    home.with(&mut |limits, now| {
        if heard.expired {
            limits.grants_expired();
        }
        limits.exchanged(talk.asks(), &heard.answers, asked_at.mono, now);
    });
}

/// Asks the same until there is an answer. Returns it with the time at which it was asked for.
async fn ask_until_heard(shared: &Shared, talk: &mut Talk, account: &str, home: &dyn Home) -> (Heard, Now) {
    let mut pause = PAUSE.0;
    loop {
        let mut asked_at = Now::default();
        home.with(&mut |_, now| asked_at = now);
        match shared.ask(talk).await {
            Ok(heard) => {
                if pause > PAUSE.0 {
                    tracing::info!(account, "the shared state answers again");
                }
                return (heard, asked_at);
            }
            Err(why) => {
                if pause == PAUSE.0 {
                    tracing::warn!(account, "{why}; only what it granted before may be spent");
                }
                home.with(&mut |limits, _| limits.store_is_away());
                home.wake();
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}
