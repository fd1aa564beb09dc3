//! The signal that says: take no new work, finish what is under way.

use tokio::sync::watch;

/// Where the signal comes from. Dropping it begins the drain too, so that no server outlives its owner.
#[derive(Debug)]
pub struct DrainTrigger(watch::Sender<bool>);

/// Where the signal is heard. Clones hear the same signal.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<bool>);

/// Both ends of a new signal.
pub fn drain() -> (DrainTrigger, Drain) {
    let (trigger, drain) = watch::channel(false);
    (DrainTrigger(trigger), Drain(drain))
}

impl DrainTrigger {
    /// Begins the drain; again is harmless.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl Drain {
    pub fn has_begun(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until the drain begins; at once if it has. Safe to cancel.
    pub async fn begun(&mut self) {
        // An error means that the trigger is gone, which begins the drain as well.
        self.0.wait_for(|begun| *begun).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_hears_it_and_a_lost_trigger_counts() {
        let (trigger, mut first) = drain();
        let second = first.clone();
        assert!(!second.has_begun());
        trigger.begin();
        first.begun().await;
        assert!(second.has_begun());

        let (trigger, mut orphan) = drain();
        drop(trigger);
        orphan.begun().await;
        assert!(orphan.has_begun());
    }
}
