//! Headrooms: how far between the median and the tier's quantile, and beyond, an api buys.
//!
//! One number, the *headroom*: 0 buys the median need, 1 the tier's quantile, beyond 1 as much again per
//! unit, and -1 a tenth less than the median. (Less than the median is no recklessness: what the host calls
//! so is the median use over its target utilisation, and where a forecaster's median is too high, or the
//! target too low, it is the only thing that there is to save.) It is measured in interval widths and not as a factor
//! on the need, so that one learned number follows the forecaster's own doubt through the day. A tier
//! that buys its median has no width; beyond 1 a quarter of the median stands in for it.
//!
//! The policy looks at [`HEADROOMS`] alone and buys a mean of them, weighted by what they have cost.
//! A gradient on the one number was rejected: shortages are rare and their cost has a step, so that
//! its gradient is nearly always that of the slack.

use crate::config::Config;

/// The candidates, around 1.3 symmetric, where an untaught policy has its weight.
pub const HEADROOMS: [f64; ARMS] = [-1.0, 0.0, 0.4, 0.7, 1.0, 1.3, 1.6, 1.9, 2.8];

/// How many.
pub const ARMS: usize = 9;

/// What a headroom of -1 takes from the median, as a part of it.
const BELOW: f64 = 0.1;

/// Beyond the quantile, a unit of headroom is at least this part of the median.
const LEAST_WIDTH: f64 = 0.25;

/// No ask is larger, so that sums of asks stay finite.
const MOST: f64 = 1e249;

/// What an api needs in one cell of the plan, as the host says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Need {
    /// Median demand.
    pub median: f64,
    /// Demand at the tier's quantile.
    pub demand: f64,
}

impl Need {
    /// What a headroom of 1 adds to the median.
    #[must_use]
    pub fn width(&self) -> f64 {
        (self.demand - self.median).max(0.0)
    }

    /// What a headroom of -1 takes from the median.
    #[must_use]
    pub fn below(&self) -> f64 {
        BELOW * self.median
    }

    /// What each unit beyond 1 adds.
    #[must_use]
    pub fn beyond(&self) -> f64 {
        self.width().max(LEAST_WIDTH * self.median)
    }

    /// What is bought at a headroom, times a factor, within the safe set: at least `floor` medians
    /// and at most `ceiling` demands.
    #[must_use]
    pub fn ask(&self, headroom: f64, factor: f64, config: &Config) -> f64 {
        let below = headroom.min(0.0) * self.below();
        let within = headroom.clamp(0.0, 1.0) * self.width();
        let beyond = (headroom - 1.0).max(0.0) * self.beyond();
        let least = config.floor * self.median;
        let most = (config.ceiling * self.demand.max(self.median)).max(least);
        let ask = (self.median + below + within + beyond) * factor;
        ask.clamp(least, most).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headroom_goes_from_the_median_over_the_quantile_to_the_ceiling() {
        let (need, config) = (
            Need {
                median: 10.0,
                demand: 14.0,
            },
            Config::default(),
        );
        let asked = |(headroom, factor)| need.ask(headroom, factor, &config);
        let ways = [
            (0.0, 1.0),
            (0.5, 1.0),
            (1.0, 1.0),
            (2.0, 1.0),
            (9.0, 1.0),
            (0.0, 1.2),
        ];
        let asks: Vec<f64> = ways.into_iter().map(asked).collect();
        assert_eq!(asks, [10.0, 12.0, 14.0, 18.0, 28.0, 12.0]);
        // A tenth below the median, and there the safe set ends.
        let low: Vec<f64> = [(-1.0, 1.0), (-5.0, 1.0)].into_iter().map(asked).collect();
        assert_eq!(low, [9.0, 9.0]);
    }

    #[test]
    fn a_tier_that_buys_its_median_can_still_buy_more() {
        let need = Need {
            median: 8.0,
            demand: 8.0,
        };
        let asked = |headroom| need.ask(headroom, 1.0, &Config::default());
        let asks: Vec<f64> = [0.0, 1.0, 1.5].into_iter().map(asked).collect();
        assert_eq!(asks, [8.0, 8.0, 9.0]);
    }
}
