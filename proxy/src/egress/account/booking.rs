//! Calls of a workflow that are reserved at one account, until they are made, given back, or their time is over.

use std::sync::Arc;
use std::time::Duration;

use super::{Account, Locked};
use crate::call::Deadline;
use crate::policy::Priority;
use crate::policy::limit::{BookingId, Owner, Reason, Refused, Wanted};

/// Pause before a store is asked again whether it has granted as much: it answers within some milliseconds.
pub(super) const ASKED_AGAIN: Duration = Duration::from_millis(10);

/// Who reserves, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Reserving<'a> {
    pub owner: Owner<'a>,
    pub priority: Priority,
    pub life: Duration,
    /// Until when a store may be waited for.
    pub deadline: Deadline,
}

/// What was reserved. Given back when it is dropped, unless it is kept.
#[derive(Debug)]
pub struct Booked {
    account: Arc<Account>,
    id: Option<BookingId>,
}

impl Booked {
    /// It stays, until its workflow has used it or its time is over.
    pub fn keep(mut self) -> Kept {
        Kept { account: Arc::clone(&self.account), id: self.id.take() }
    }
}

/// What was reserved, and stays.
#[derive(Debug)]
pub struct Kept {
    account: Arc<Account>,
    id: Option<BookingId>,
}

impl Kept {
    /// Calls of it that are still to be made; none once it has ended.
    pub fn left(&self) -> u64 {
        let now = self.account.now();
        self.id.map_or(0, |id| self.account.lock().core.limits().booking_left(id, now))
    }
}

impl Drop for Booked {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let mut state = self.account.lock();
            state.core.limits().unbook(id);
            self.account.look_again(&state);
        }
    }
}

impl Account {
    /// Reserves calls, all of them or none. Waits for nothing but the store that keeps the counts.
    pub async fn book(
        self: &Arc<Self>,
        reserving: &Reserving<'_>,
        wanted: &[Wanted],
    ) -> Result<Booked, Refused> {
        loop {
            let refused = match self.try_book(reserving, wanted) {
                Ok(booked) => return Ok(booked),
                Err(refused) => refused,
            };
            if refused.reason != Reason::Reserving || reserving.deadline.has_passed() {
                return Err(refused);
            }
            tokio::time::sleep(ASKED_AGAIN).await;
        }
    }

    fn try_book(self: &Arc<Self>, reserving: &Reserving<'_>, wanted: &[Wanted]) -> Result<Booked, Refused> {
        let now = self.now();
        let Reserving { owner, priority, life, .. } = reserving;
        let mut state = self.lock();
        let id = state.core.limits().book(owner, wanted, *priority, now.mono + *life, now)?;
        drop(state);
        // Somebody must look when its time is over.
        self.drive();
        Ok(Booked { account: Arc::clone(self), id: Some(id) })
    }

    /// Gives back what is left of a workflow's reservations; returns how many calls that is.
    pub fn unbook(&self, owner: &Owner<'_>) -> u64 {
        let mut state: Locked<'_> = self.lock();
        let left = state.core.limits().unbook_all(owner);
        self.look_again(&state);
        left
    }

    /// Whether a call of that workflow is reserved.
    pub fn has_booked(&self, owner: Owner<'_>, operation: &str, cost: u64) -> bool {
        let now = self.now();
        self.lock().core.limits().has_booked_for(owner, operation, cost, now)
    }
}
