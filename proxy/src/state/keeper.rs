//! The tasks that talk of one account to the store that all sidecars share. They wait, carry and say what goes wrong; what to do next is
//! [`lease`](super::lease)'s to say.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::Home;
use super::lease::{Lease, Step};
use super::shared::Shared;

/// Talks for as long as it is polled.
pub async fn keep_shared(shared: &Shared, account: &str, home: &dyn Home, poke: &Notify) {
    let mut lease = shared.lease(account).await;
    loop {
        let mut step = Step::Rest { wait: Duration::ZERO, wakes: false };
        home.with(&mut |limits, now| step = lease.step(limits, now));
        match step {
            Step::Ask(call) => {
                let was_unheard = lease.is_unheard();
                let asked = shared.ask(&call).await;
                match tell(&mut lease, asked, home) {
                    Ok(()) if was_unheard => tracing::info!(account, "the shared state answers again"),
                    Err(why) if !was_unheard => {
                        tracing::warn!(account, "{why}; only what it granted before may be spent");
                    }
                    Ok(()) | Err(_) => {}
                }
                home.wake();
            }
            Step::Rest { wait, wakes: false } => sleep(wait).await,
            Step::Rest { wait, wakes: true } => {
                tokio::select! {
                    () = poke.notified() => {}
                    () = sleep(wait) => {}
                }
            }
        }
    }
}

/// Gives back what was not spent. What the store does not hear it counts as spent, when its time is over.
pub async fn give_back(shared: &Shared, account: &str, home: &dyn Home) -> Result<(), String> {
    let mut lease = shared.lease(account).await;
    home.with(&mut |limits, _| limits.give_back());
    loop {
        let mut call = None;
        home.with(&mut |limits, now| call = lease.last_words(limits, now));
        let Some(call) = call else { return Ok(()) };
        let asked = shared.ask(&call).await;
        tell(&mut lease, asked, home)?;
    }
}

fn tell(
    lease: &mut Lease,
    asked: Result<Vec<super::exchange::Value>, String>,
    home: &dyn Home,
) -> Result<(), String> {
    let mut told = Ok(());
    match asked {
        Ok(answer) => home.with(&mut |limits, now| {
            if !lease.heard(&answer, limits, now) {
                told = Err("the shared state answered in an unknown shape".to_owned());
            }
        }),
        Err(why) => {
            told = Err(why);
            home.with(&mut |limits, now| lease.unheard(limits, now));
        }
    }
    told
}
