//! Room for a newcomer in a full queue: an agent that has much of it makes way for one that has little, so that nobody can shut others out.

use super::ring::Ring;
use super::{Asking, ITEMS_OBSERVED, Mode, Queue, Refused, Ticket};

/// Room was found.
pub struct Room<T> {
    pub pushed_out: Vec<T>,
    pub observed: Option<Refused>,
}

/// What an agent has of the queue.
#[derive(Clone, Copy)]
enum Share {
    Items,
    Bytes,
}

impl<T> Queue<T> {
    pub(super) fn make_room(&mut self, asking: &Asking) -> Result<Room<T>, Refused> {
        let mut pushed_out = self.make_room_for_bytes(asking)?;
        let (used, items) = (self.standing.len(), self.settings.items);
        let full = (used >= items).then_some(Refused::Full { used, items });
        match full {
            Some(observed) if self.settings.mode == Mode::Observe && used < ITEMS_OBSERVED => {
                return Ok(Room { pushed_out, observed: Some(observed) });
            }
            Some(refused) => {
                let (last, _) = self.greediest(asking, Share::Items).ok_or(refused)?;
                pushed_out.extend(self.cancel(last));
            }
            None => {}
        }
        Ok(Room { pushed_out, observed: None })
    }

    fn make_room_for_bytes(&mut self, asking: &Asking) -> Result<Vec<T>, Refused> {
        let mut pushed_out = Vec::new();
        loop {
            let lack = self.bytes.saturating_add(asking.bytes).saturating_sub(self.settings.bytes);
            if lack == 0 {
                return Ok(pushed_out);
            }
            let refused = Refused::FullBytes { used: self.bytes, bytes: self.settings.bytes };
            // Nobody is pushed out in vain: the lack only shrinks, and who is greediest has enough for all of it.
            let greediest = self.greediest(asking, Share::Bytes).filter(|(_, spare)| *spare >= lack);
            let (last, _) = greediest.ok_or(refused)?;
            pushed_out.extend(self.cancel(last));
        }
    }

    /// The last waiter of the agent that has most, if that is more than the newcomer's agent would have; and how much more.
    fn greediest(&self, asking: &Asking, share: Share) -> Option<(Ticket, u64)> {
        let newcomer = match share {
            Share::Items => 1,
            Share::Bytes => asking.bytes,
        };
        let own = self.has(&asking.agent, share).saturating_add(newcomer);
        let agents = self.background.lanes().chain(self.interactive.lanes()).map(|lane| &lane.agent);
        let most = agents.max_by_key(|agent| self.has(agent, share))?;
        let spare = self.has(most, share).checked_sub(own).filter(|spare| *spare > 0)?;
        let last = |ring: &Ring<T>| ring.lane(most).and_then(|lane| lane.last());
        let ticket = last(&self.background).or_else(|| last(&self.interactive))?;
        Some((ticket, spare))
    }

    fn has(&self, agent: &str, share: Share) -> u64 {
        let lanes = [&self.interactive, &self.background].into_iter().filter_map(|ring| ring.lane(agent));
        let part = lanes.map(|lane| match share {
            Share::Items => lane.items as u64,
            Share::Bytes => lane.bytes,
        });
        part.fold(0, u64::saturating_add)
    }
}
