//! Tiers, and how an api moves between them (TI1).

use crate::time::Timestamp;
use crate::units::Level;

/// How much an api's share is guaranteed, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Best effort.
    Bronze,
    /// Priority.
    Silver,
    /// Guaranteed.
    Gold,
}

impl Tier {
    /// All, lowest first.
    pub const ALL: [Tier; 3] = [Tier::Bronze, Tier::Silver, Tier::Gold];

    /// The name in APIs and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Tier::Bronze => "bronze",
            Tier::Silver => "silver",
            Tier::Gold => "gold",
        }
    }

    /// The tier of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }

    /// One level towards `wanted`.
    #[must_use]
    pub fn towards(self, wanted: Tier) -> Tier {
        match self.cmp(&wanted) {
            std::cmp::Ordering::Equal => self,
            std::cmp::Ordering::Less => Tier::ALL[self as usize + 1],
            std::cmp::Ordering::Greater => Tier::ALL[self as usize - 1],
        }
    }
}

/// How the apis of a tier share a pool with the others. Checked on every allocator's answer (AL4, AL5).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sharing {
    /// Whether what is guaranteed to them and unused may be lent; where not, it waits for them.
    pub lends: bool,
    /// Whether they may borrow what others do not use.
    pub borrows: bool,
    /// Most that they hold of a pool together, loans included, as a part of what is ready, 0 to 1 (1: no
    /// bound). Gold floors, and what step bounds forbid to take away at once, are held beyond it.
    pub max_share: f64,
}

impl Default for Sharing {
    /// Everybody lends and borrows, and nobody is bounded: no capacity idles by default.
    fn default() -> Self {
        Self {
            lends: true,
            borrows: true,
            max_share: 1.0,
        }
    }
}

/// What a tier buys, and how it shares.
#[derive(Debug, Clone, PartialEq)]
pub struct TierSpec {
    /// Which.
    pub tier: Tier,
    /// Demand is met up to this quantile, whoever else is short: what scarcity leaves of a tier.
    pub demand_level: Level,
    /// Capacity is asked for up to this quantile as far as the pool can grow, at least
    /// `demand_level`. To be last in line is no reason to be short of what can be bought.
    pub buy_level: Level,
    /// Share among apis of the tier, > 0; an api's own weight multiplies it.
    pub weight: f64,
    /// Floor as a multiple of the api's ordinary load; an api's own floor replaces it.
    pub floor_of_expected: f64,
    /// Largest factor by which a limit rises in one step, > 1 (AL3).
    pub step_up: f64,
    /// Smallest factor to which a limit falls in one step, 0 to 1 (AL3). So it is also how much a
    /// higher tier can take from this one at once: 0 is all.
    pub step_down: f64,
    /// Seconds that an api stays before it may move again (TI1).
    pub dwell_s: u32,
    /// How it shares.
    pub sharing: Sharing,
}

impl TierSpec {
    /// What an operator gets who configures nothing.
    #[must_use]
    pub fn default_of(tier: Tier) -> Self {
        let (demand_level, weight, floor_of_expected, step_up, step_down) = match tier {
            Tier::Gold => (Level::P99, 4.0, 1.0, 4.0, 0.5),
            Tier::Silver => (Level::P90, 2.0, 0.25, 3.0, 0.5),
            Tier::Bronze => (Level::P50, 1.0, 0.0, 2.0, 0.25),
        };
        Self {
            tier,
            demand_level,
            buy_level: Self::default_buy(demand_level),
            weight,
            floor_of_expected,
            step_up,
            step_down,
            dwell_s: 900,
            sharing: Sharing::default(),
        }
    }
}

impl TierSpec {
    /// Up to which quantile is bought where nothing says so: p99, whatever the tier. A violation costs
    /// a Bronze api's callers what it costs a Gold one's.
    #[must_use]
    pub fn default_buy(demand_level: Level) -> Level {
        demand_level.max(Level::P99)
    }
}

/// What is said of a pin. Where nothing is, a template may say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pin {
    /// Not pinned, whatever a template with fewer conditions says.
    Free,
    /// It stays here whatever the tierer says.
    At(Tier),
}

impl Pin {
    /// Where, if anywhere.
    #[must_use]
    pub fn tier(self) -> Option<Tier> {
        match self {
            Pin::Free => None,
            Pin::At(tier) => Some(tier),
        }
    }

    /// The name in APIs and files: that of the tier, or `none`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.tier().map_or("none", Tier::name)
    }
}

/// The tier that an api is in, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierState {
    /// Now.
    pub tier: Tier,
    /// Start of this tier.
    pub since: Timestamp,
}

/// What bounds an api's movement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierBounds {
    /// Never below.
    pub lowest: Tier,
    /// Never above.
    pub highest: Tier,
    /// Stays here whatever the tierer says.
    pub pinned: Option<Tier>,
    /// Seconds between two moves.
    pub dwell_s: u32,
}

/// TI1: an applied tier moves at most one level per dwell time, within its bounds; a pinned tier
/// does not move (a pin itself takes effect at once).
#[must_use]
pub fn apply(state: TierState, wanted: Tier, bounds: TierBounds, now: Timestamp) -> TierState {
    if let Some(pin) = bounds.pinned {
        return if pin == state.tier {
            state
        } else {
            TierState {
                tier: pin,
                since: now,
            }
        };
    }
    let target = wanted.clamp(bounds.lowest, bounds.highest.max(bounds.lowest));
    let dwelt = now.since_ms(state.since) >= i64::from(bounds.dwell_s) * 1000;
    if target == state.tier || !dwelt {
        return state;
    }
    TierState {
        tier: state.tier.towards(target),
        since: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: TierBounds = TierBounds {
        lowest: Tier::Bronze,
        highest: Tier::Gold,
        pinned: None,
        dwell_s: 60,
    };

    #[test]
    fn a_tier_moves_one_level_per_dwell_time() {
        let start = TierState {
            tier: Tier::Bronze,
            since: Timestamp(0),
        };
        let early = apply(start, Tier::Gold, BOUNDS, Timestamp(59_999));
        assert_eq!(early, start);
        let later = apply(start, Tier::Gold, BOUNDS, Timestamp(60_000));
        assert_eq!(later.tier, Tier::Silver);
        assert_eq!(
            apply(later, Tier::Gold, BOUNDS, Timestamp(119_999)).tier,
            Tier::Silver
        );
        assert_eq!(
            apply(later, Tier::Gold, BOUNDS, Timestamp(120_000)).tier,
            Tier::Gold
        );
    }

    #[test]
    fn a_pinned_tier_does_not_move() {
        let state = TierState {
            tier: Tier::Gold,
            since: Timestamp(0),
        };
        let pinned = TierBounds {
            pinned: Some(Tier::Gold),
            ..BOUNDS
        };
        assert_eq!(
            apply(state, Tier::Bronze, pinned, Timestamp(1 << 40)),
            state
        );
    }
}
