//! Measured needs that plans keep to for a while: per api and dimension, the highest of a sliding window.
//!
//! The window is a queue whose needs fall from front to back (a need that is followed by a higher one
//! never is the maximum again), so that the maximum is at its front and a look costs next to nothing.
//! An api without a departure has no entry at all.

use std::collections::{BTreeMap, VecDeque};
use tidegate_core::ids::ApiId;
pub use tidegate_core::record::Departure as Seen;
use tidegate_core::record::FloorRecord;
use tidegate_core::time::Timestamp;
use tidegate_core::units::Dimension;

/// What is kept to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    /// The look that called for most.
    pub seen: Seen,
    /// Until when it counts.
    pub until: Timestamp,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Floors(BTreeMap<(ApiId, Dimension), VecDeque<Seen>>);

impl Floors {
    /// Takes a look; whether it was new. One that is no departure counts only for an api that has a
    /// floor already.
    pub(super) fn see(
        &mut self,
        key: &(ApiId, Dimension),
        seen: Seen,
        is_beyond: bool,
        now: Timestamp,
        hold_ms: i64,
    ) -> bool {
        let window = match self.0.get_mut(key) {
            Some(window) => window,
            None if is_beyond => self.0.entry(key.clone()).or_default(),
            None => return false,
        };
        while window
            .pop_front_if(|old| now.since_ms(old.at) >= hold_ms)
            .is_some()
        {}
        // The same measure again says nothing new.
        if window.back().is_some_and(|last| last.at >= seen.at) {
            return false;
        }
        while window.pop_back_if(|old| old.need <= seen.need).is_some() {}
        window.push_back(seen);
        true
    }

    /// Forgets what counts no longer.
    pub fn expire(&mut self, now: Timestamp, hold_ms: i64) {
        self.0.retain(|_, window| {
            window.retain(|seen| now.since_ms(seen.at) < hold_ms);
            !window.is_empty()
        });
    }

    /// What an api is kept to in a dimension.
    #[must_use]
    pub fn of(&self, api: &ApiId, dimension: Dimension, hold_ms: i64) -> Option<Floor> {
        let seen = *self.0.get(&(api.clone(), dimension))?.front()?;
        Some(Floor {
            seen,
            until: seen.at.plus_ms(hold_ms),
        })
    }

    /// What a record keeps, ascending.
    #[must_use]
    pub fn records(&self) -> Vec<FloorRecord> {
        let all = self.0.iter();
        all.filter_map(|((api, dimension), window)| {
            Some(FloorRecord {
                api: api.clone(),
                dimension: *dimension,
                departure: *window.front()?,
            })
        })
        .collect()
    }

    /// Whether nobody departs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<FloorRecord> for Floors {
    fn from_iter<I: IntoIterator<Item = FloorRecord>>(all: I) -> Self {
        let windows = all.into_iter();
        Self(
            windows
                .map(|f| ((f.api, f.dimension), VecDeque::from([f.departure])))
                .collect(),
        )
    }
}
