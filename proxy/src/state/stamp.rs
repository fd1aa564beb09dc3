//! When something was written, so that a process which starts later knows how long ago that was, whoever set the clock in between.

use serde::{Deserialize, Serialize};

/// The kernel's name for this boot, and the seconds since it began. Other systems have none: there the clock on the wall must do.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
const UPTIME: &str = "/proc/uptime";

/// The uptime is cut to hundredths of a second.
const UPTIME_GRAIN_MS: u64 = 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Milliseconds since 1970.
    wall: i64,
    boot: Option<Boot>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Boot {
    id: String,
    up_ms: u64,
}

impl Stamp {
    pub fn now(wall: i64) -> Self {
        Self { wall, boot: boot() }
    }

    /// How long ago this was, at least. Within one boot no clock can be wrong about it; after another, a clock that went back
    /// makes it no time at all.
    pub fn elapsed_ms(&self, present: &Self) -> u64 {
        match (&self.boot, &present.boot) {
            (Some(then), Some(now)) if then.id == now.id => {
                now.up_ms.saturating_sub(then.up_ms).saturating_sub(UPTIME_GRAIN_MS)
            }
            _ => u64::try_from(present.wall.saturating_sub(self.wall)).unwrap_or(0),
        }
    }
}

fn boot() -> Option<Boot> {
    let id = std::fs::read_to_string(BOOT).ok()?.trim().to_owned();
    let uptime = std::fs::read_to_string(UPTIME).ok()?;
    let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Some(Boot { id, up_ms: (seconds * 1_000.0) as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(wall: i64, id: &str, up_ms: u64) -> Stamp {
        Stamp { wall, boot: Some(Boot { id: id.to_owned(), up_ms }) }
    }

    #[test]
    fn within_a_boot_the_clock_may_be_set_as_one_likes() {
        let then = stamp(1_000_000, "a", 5_000);
        assert_eq!(then.elapsed_ms(&stamp(90_000_000, "a", 8_000)), 2_990);
        assert_eq!(then.elapsed_ms(&stamp(0, "a", 8_000)), 2_990);
    }

    #[test]
    fn after_another_boot_a_clock_that_went_back_forgives_nothing() {
        let then = stamp(1_000_000, "a", 5_000);
        assert_eq!(then.elapsed_ms(&stamp(1_004_000, "b", 1)), 4_000);
        assert_eq!(then.elapsed_ms(&stamp(500_000, "b", 1)), 0);
        assert_eq!(then.elapsed_ms(&Stamp { wall: 1_004_000, boot: None }), 4_000);
    }
}
