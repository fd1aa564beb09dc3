//! Which walls stand before which calls: what connectors ship, tightened or replaced by the operator.

use std::sync::Arc;

use super::quota::{Kind, Quota};
use crate::policy::Mode;

/// Most walls of one account: 512 operations with two each.
pub const MAX_WALLS: usize = 1_024;

/// Part of each window, in percent, that only interactive calls may use: a batch job leaves room for people.
pub const RESERVED_PERCENT: u8 = 20;

/// One limit of a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wall {
    pub quota: Quota,
    /// The quota's text.
    pub name: Arc<str>,
    /// The operation that it is about; without one, every exchange with the upstream.
    pub operation: Option<Arc<str>>,
    /// The argument that names the resource which has this wall to itself.
    pub per: Option<Arc<str>>,
    pub source: Source,
    pub mode: Mode,
    /// Into how many equal parts the system's wall is divided, of which this is one.
    pub parts: u64,
}

/// Who says that there is a wall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Operator,
    /// The connector's manifest; where it is documented.
    Connector(Arc<str>),
}

impl Wall {
    pub fn new(quota: Quota, source: Source) -> Self {
        let name = quota.to_string().into();
        Self { quota, name, operation: None, per: None, source, mode: Mode::Enforce, parts: 1 }
    }

    fn same_place(&self, other: &Self) -> bool {
        self.operation == other.operation && self.per == other.per && self.quota.same_kind(&other.quota)
    }

    /// Whether whatever keeps to this one also keeps to `other`.
    fn covers(&self, other: &Self) -> bool {
        self.same_place(other) && self.mode == Mode::Enforce && self.quota.count <= other.quota.count
    }
}

/// All walls of one account.
#[derive(Clone, Debug)]
pub struct WallSet {
    walls: Vec<Arc<Wall>>,
    /// Of each window, in percent.
    pub reserved_percent: u8,
    /// Whether a system's "not so fast" closes anything.
    pub throttles: Mode,
}

impl Default for WallSet {
    fn default() -> Self {
        Self { walls: Vec::new(), reserved_percent: RESERVED_PERCENT, throttles: Mode::Enforce }
    }
}

impl WallSet {
    /// Takes walls as they are. Of several at one place that count over the same span, the tighter wins; one that is only observed stands beside.
    ///
    /// The error is a sentence for the operator.
    pub fn new(walls: impl IntoIterator<Item = Wall>) -> Result<Self, String> {
        let mut kept: Vec<Wall> = Vec::new();
        for wall in walls {
            join(&mut kept, wall);
        }
        if kept.len() > MAX_WALLS {
            return Err(format!("there are {} walls, and {MAX_WALLS} is the most", kept.len()));
        }
        one_resource_each(&kept)?;
        Ok(Self { walls: kept.into_iter().map(Arc::new).collect(), ..Self::default() })
    }

    /// The connector's walls with the operator's, which replace them if `replace`. A looser wall of the operator's does nothing otherwise.
    pub fn merged(
        shipped: impl IntoIterator<Item = Wall>,
        operators: impl IntoIterator<Item = Wall>,
        replace: bool,
    ) -> Result<Self, String> {
        let shipped: Vec<_> = if replace { Vec::new() } else { shipped.into_iter().collect() };
        Self::new(shipped.into_iter().chain(operators))
    }

    /// The part of one of `replicas` sidecars that share nothing but the limit. The error names a wall that cannot be divided.
    pub fn divided(&self, replicas: u64) -> Result<Self, String> {
        let divide = |wall: &Arc<Wall>| {
            let count = wall.quota.count / replicas.max(1);
            if count == 0 {
                return Err(format!(
                    "`{}` cannot be divided among {replicas} replicas; a shared `state` would let them share it",
                    wall.name
                ));
            }
            let quota = Quota { count, ..wall.quota.clone() };
            let (name, parts) = (quota.to_string().into(), wall.parts * replicas.max(1));
            Ok(Arc::new(Wall { name, quota, parts, ..Wall::clone(wall) }))
        };
        let walls = self.walls.iter().map(divide).collect::<Result<_, _>>()?;
        Ok(Self { walls, ..self.clone() })
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Wall>> {
        self.walls.iter()
    }
}

fn join(kept: &mut Vec<Wall>, mut wall: Wall) {
    if let Some(other) = kept.iter_mut().find(|k| k.covers(&wall)) {
        if wall.mode == Mode::Enforce && is_paced(&wall) {
            set_paced(other);
        }
        return;
    }
    if wall.mode == Mode::Enforce {
        let paced = kept.iter().any(|k| wall.covers(k) && k.mode == Mode::Enforce && is_paced(k));
        kept.retain(|k| !wall.covers(k));
        if paced {
            set_paced(&mut wall);
        }
    }
    kept.push(wall);
}

fn is_paced(wall: &Wall) -> bool {
    matches!(wall.quota.kind, Kind::Rolling { paced: true, .. })
}

fn set_paced(wall: &mut Wall) {
    if let Kind::Rolling { paced, .. } = &mut wall.quota.kind {
        *paced = true;
        wall.name = wall.quota.to_string().into();
    }
}

/// A call names one resource, so that the walls of one operation must agree on the argument.
fn one_resource_each(walls: &[Wall]) -> Result<(), String> {
    for wall in walls.iter().filter(|w| w.per.is_some()) {
        let other =
            walls.iter().find(|w| w.operation == wall.operation && w.per.is_some() && w.per != wall.per);
        if let (Some(per), Some(other)) = (&wall.per, other.and_then(|o| o.per.as_ref())) {
            let operation = wall.operation.as_deref().unwrap_or("the upstream");
            return Err(format!("the walls of `{operation}` are per `{per}` and per `{other}`: one must do"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(text: &str) -> Wall {
        Wall::new(text.parse().unwrap(), Source::Operator)
    }

    fn names(set: &WallSet) -> Vec<&str> {
        set.iter().map(|w| &*w.name).collect()
    }

    #[test]
    fn the_tighter_wall_wins_wherever_it_comes_from() {
        let shipped = ["50/min", "100000/24h"].map(wall);
        let set = WallSet::merged(shipped.clone(), ["20/min", "200000/24h", "8 concurrent"].map(wall), false)
            .unwrap();
        assert_eq!(names(&set), ["100000/24h", "20/min", "8 concurrent"]);
        let set = WallSet::merged(shipped, ["200000/24h"].map(wall), true).unwrap();
        assert_eq!(names(&set), ["200000/24h"]);
    }

    #[test]
    fn a_wall_that_is_only_observed_takes_none_away() {
        let observed = Wall { mode: Mode::Observe, ..wall("20/min") };
        let set = WallSet::merged([wall("50/min")], [observed], false).unwrap();
        assert_eq!(names(&set), ["50/min", "20/min"]);
    }

    #[test]
    fn pacing_is_kept_from_either() {
        assert_eq!(names(&WallSet::new(["5/s paced", "3/s"].map(wall)).unwrap()), ["3/s paced"]);
        assert_eq!(names(&WallSet::new(["3/s", "5/s paced"].map(wall)).unwrap()), ["3/s paced"]);
    }

    #[test]
    fn replicas_that_share_nothing_divide() {
        let set = WallSet::new(["20/min", "8 concurrent"].map(wall)).unwrap();
        assert_eq!(names(&set.divided(3).unwrap()), ["6/min", "2 concurrent"]);
        assert!(set.divided(9).unwrap_err().contains("`8 concurrent`"));
    }

    #[test]
    fn the_walls_of_an_operation_are_about_one_resource() {
        let per = |argument: &str, text| Wall { per: Some(argument.into()), ..wall(text) };
        assert!(WallSet::new([per("channel", "1/s"), per("team", "5/min")]).unwrap_err().contains("`team`"));
        assert!(WallSet::new([per("channel", "1/s"), per("channel", "5/min")]).is_ok());
    }
}
