//! What is kept from call to call: evidence per api and per tier, and the asks that are still to be
//! judged.
//!
//! At most 210 bytes per api in a pool of up to three dimensions: single precision, sums instead of
//! samples. Apis are keyed by the host's stable keys; one that is not in the call is forgotten, and
//! begins with what its tier has learned when it comes back. Bytes from a store are input: whatever
//! [`State::decode`] lets pass can be used without a look.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_fit::Error;
use tidegate_model_kit::{decode, encode};

use crate::choice::UNTAUGHT;
use crate::evidence::Evidence;
use crate::headroom::{HEADROOMS, Need};

/// Number of the layout of [`State`].
pub const STATE_FORMAT: u32 = 2;

/// Regimes of load that are learned apart.
pub(crate) const REGIMES: usize = 2;

/// Six hours: the day is counted in four of them.
const QUARTER_MS: i64 = 6 * 3_600_000;

/// More dimensions than the interface has.
const MOST_DIMENSIONS: usize = 16;

/// What was learned. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Start of the step that was planned last, milliseconds since the epoch.
    pub(crate) start: i64,
    /// `[tier][regime]`.
    pub(crate) tiers: [[Evidence; REGIMES]; 3],
    pub(crate) apis: BTreeMap<u64, Api>,
}

/// One api.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Api {
    /// The tier in which it was learned.
    pub(crate) tier: u8,
    /// The regime of the last ask.
    pub(crate) regime: u8,
    /// A hash of the use that was last learned from, to know a feed that has stopped.
    pub(crate) seen: u32,
    /// What was bought last.
    pub(crate) headroom: f32,
    /// The factor on it after a shortage, from 1 on.
    pub(crate) retreat: f32,
    /// Shortages by quarter of a day, this quarter first.
    pub(crate) shortages: [u8; 4],
    pub(crate) regimes: [Evidence; REGIMES],
    /// `[dimension]`.
    pub(crate) asks: Vec<Ask>,
}

/// What was asked for an api in one dimension, at the step that was planned last and the one before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ask {
    median: f32,
    demand: f32,
    /// What it got.
    pub(crate) limit: f32,
    /// Below zero for none.
    before: [f32; 2],
}

/// As stored; what no pool holds is stored as the largest number.
fn stored(amount: f64) -> f32 {
    amount.min(f64::from(f32::MAX)) as f32
}

impl Ask {
    pub(crate) fn new(need: Need, limit: f64, before: Option<Need>) -> Self {
        let before = before.map_or([-1.0; 2], |b| [stored(b.median), stored(b.demand)]);
        Self {
            median: stored(need.median),
            demand: stored(need.demand),
            limit: stored(limit),
            before,
        }
    }

    /// Of the step that was planned last.
    pub(crate) fn newest(&self) -> Need {
        Need {
            median: f64::from(self.median),
            demand: f64::from(self.demand),
        }
    }

    /// Of the step before it, if that was planned too.
    pub(crate) fn before(&self) -> Option<Need> {
        let [median, demand] = self.before.map(f64::from);
        (median >= 0.0).then_some(Need { median, demand })
    }
}

impl Api {
    /// An api of a tier, of which nothing is known.
    pub(crate) fn new(tier: u8) -> Self {
        Self {
            tier,
            headroom: UNTAUGHT as f32,
            retreat: 1.0,
            ..Self::default()
        }
    }

    /// Turns the day on to the quarter of `now`.
    pub(crate) fn turn(&mut self, before: i64, now: i64) {
        let quarters = now.div_euclid(QUARTER_MS) - before.div_euclid(QUARTER_MS);
        for _ in 0..quarters.clamp(0, 4) {
            self.shortages.rotate_right(1);
            self.shortages[0] = 0;
        }
    }

    fn is_sane(&self) -> bool {
        let amount = |v: f32| (0.0..=f32::MAX).contains(&v);
        let ask = |a: &Ask| {
            let before =
                a.before.map(amount) == [true; 2] || a.before.map(|v| v < 0.0) == [true; 2];
            amount(a.median) && amount(a.demand) && amount(a.limit) && before
        };
        let [least, .., most] = HEADROOMS;
        self.tier < 3
            && usize::from(self.regime) < REGIMES
            && (least..=most).contains(&f64::from(self.headroom))
            && (1.0..=MOST_RETREAT).contains(&f64::from(self.retreat))
            && self.regimes.iter().all(Evidence::is_sane)
            && self.asks.len() <= MOST_DIMENSIONS
            && self.asks.iter().all(ask)
    }
}

/// The largest factor of a retreat.
pub(crate) const MOST_RETREAT: f64 = 2.0;

impl State {
    /// As bytes under [`STATE_FORMAT`].
    ///
    /// # Errors
    /// [`Error::Internal`] if it cannot be serialised.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        encode(STATE_FORMAT, self)
    }

    /// Reads what [`State::encode`] wrote.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another format, [`Error::InvalidInput`] for damaged bytes,
    /// [`Error::NotFitted`] for none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let state: Self = decode(STATE_FORMAT, bytes)?;
        let shared = state.tiers.iter().flatten().all(Evidence::is_sane);
        match state.apis.iter().find(|(_, api)| !api.is_sane()) {
            None if shared => Ok(state),
            None => Err(Error::invalid("damaged state: what tiers have learned")),
            Some((key, _)) => Err(Error::invalid(format!("damaged state: api {key}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_shortages_is_forgotten_by_quarters() {
        let mut api = Api::new(0);
        api.shortages = [3, 0, 1, 4];
        api.turn(0, QUARTER_MS - 1);
        assert_eq!(api.shortages, [3, 0, 1, 4]);
        api.turn(0, QUARTER_MS);
        assert_eq!(api.shortages, [0, 3, 0, 1]);
        api.turn(0, i64::MAX);
        assert_eq!(api.shortages, [0; 4]);
    }

    #[test]
    fn an_ask_comes_back_as_it_was_made() {
        let need = Need {
            median: 1.5,
            demand: 2.5,
        };
        let ask = Ask::new(need, f64::MAX, None);
        assert_eq!(
            (ask.newest(), ask.before(), ask.limit),
            (need, None, f32::MAX)
        );
        assert_eq!(Ask::new(need, 3.0, Some(need)).before(), Some(need));
    }
}
