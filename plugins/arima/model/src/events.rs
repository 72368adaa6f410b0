//! What declared events do to the load, by kind, and how sure that is.
//!
//! While an event runs, the model is shown nothing: its forecast rolls on from before the event,
//! and neither season nor ARMA learns of a campaign as if it were an ordinary day. The logarithm
//! of what was seen over what was foreseen is the event's uplift: its mean over an occurrence is
//! one observation, the variance between occurrences says how much the next may differ. During
//! an occurrence its own mean so far gains on that of the earlier ones.
//!
//! Rejected: dummies inside the regression. Their coefficients would be exact within one fit and
//! could not follow an event that runs now.

use serde::{Deserialize, Serialize};

/// Added to both sides of a ratio, in typical values: silence has no logarithm.
pub(crate) const OFFSET: f64 = 0.05;
/// Ratios beyond this factor (in logarithms) are cut.
const BOUND: f64 = 7.0;
/// The standard deviation between occurrences that one occurrence leaves believable.
const PRIOR: f64 = 0.25;
/// Steps of a running occurrence that weigh as much as the earlier occurrences.
const PATIENCE: f64 = 6.0;
/// The share of a step in the running occurrence's mean, at least.
const GAIN: f64 = 0.1;
/// The standard deviation, in logarithms, of what a kind that was never seen is worth: as with the
/// models that learn events beside them (the kit's `uplift.rs` says why no more).
pub(crate) const STRANGER: f64 = 0.4;
/// The most kinds that are kept, and the longest name; others are not learned.
pub(crate) const MOST: usize = 32;
pub(crate) const NAME: usize = 256;

/// One kind of event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Effect {
    pub(crate) kind: String,
    occurrences: u32,
    /// Over occurrences.
    mean: f64,
    /// Summed squared deviations between occurrences.
    squares: f64,
    /// Of a step around its occurrence's mean.
    within: f64,
    /// The occurrence that runs now: steps seen, their mean.
    steps: u32,
    now: f64,
}

impl Effect {
    pub(crate) fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            occurrences: 0,
            mean: 0.0,
            squares: 0.0,
            within: 0.0,
            steps: 0,
            now: 0.0,
        }
    }

    /// A step of a running occurrence.
    pub(crate) fn observe(&mut self, uplift: f64) {
        let uplift = uplift.clamp(-BOUND, BOUND);
        self.steps = self.steps.saturating_add(1);
        let miss = uplift - self.now;
        if self.steps > 1 {
            let steps = f64::from(self.steps.min(200));
            self.within += (miss * miss - self.within) / steps;
        }
        self.now += GAIN.max(1.0 / f64::from(self.steps)) * miss;
    }

    /// A step without it.
    pub(crate) fn end(&mut self) {
        if self.steps == 0 {
            return;
        }
        self.occurrences = self.occurrences.saturating_add(1);
        let miss = self.now - self.mean;
        self.mean += miss / f64::from(self.occurrences);
        self.squares += miss * (self.now - self.mean);
        (self.steps, self.now) = (0, 0.0);
    }

    /// The uplift of a coming step as a logarithm, and its variance.
    pub(crate) fn uplift(&self) -> (f64, f64) {
        let n = f64::from(self.occurrences);
        if self.occurrences == 0 && self.steps == 0 {
            return (0.0, 0.0);
        }
        // A prior that weighs as one occurrence.
        let between = (self.squares + PRIOR * PRIOR) / n.max(1.0);
        let steps = f64::from(self.steps);
        let trust = if self.occurrences == 0 {
            1.0
        } else {
            steps / (steps + PATIENCE)
        };
        let mean = self.mean + trust * (self.now - self.mean);
        let doubt = between * (1.0 + 1.0 / n.max(1.0)) * (1.0 - 0.7 * trust);
        (mean, doubt + self.within)
    }

    pub(crate) fn is_sound(&self) -> bool {
        let finite = [self.mean, self.squares, self.within, self.now];
        self.kind.len() <= NAME
            && finite.iter().all(|v| v.is_finite() && v.abs() <= 1e9)
            && self.squares >= 0.0
            && self.within >= 0.0
    }
}

/// The logarithm of what was seen over what was foreseen.
pub(crate) fn ratio(seen: f64, foreseen: f64) -> f64 {
    let side = |v: f64| libm::log(v.max(0.0) + OFFSET);
    side(seen) - side(foreseen)
}

/// A load that is lifted by a logarithm.
pub(crate) fn lift(value: f64, uplift: f64) -> f64 {
    ((value.max(0.0) + OFFSET) * libm::exp(uplift.clamp(-2.0 * BOUND, 2.0 * BOUND)) - OFFSET)
        .max(0.0)
}

/// A quantile that is lifted: its own distance from the centre and the uplift's, as of two
/// independent causes.
pub(crate) fn lift_quantile(q: f64, centre: f64, z: f64, mean: f64, variance: f64) -> f64 {
    let own = ratio(q, centre);
    let doubt = z * z * variance;
    let wider = (own * own + doubt).sqrt() - own.abs();
    lift(q, mean + wider.copysign(z))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_equal_occurrences_are_believed_more_than_two_different_ones() {
        let two = |a: f64, b: f64| {
            let mut e = Effect::new("sale");
            for v in [a, b] {
                for _ in 0..10 {
                    e.observe(v);
                }
                e.end();
            }
            e.uplift()
        };
        let (same, apart) = (two(0.7, 0.7), two(0.2, 1.2));
        assert!((same.0 - 0.7).abs() < 1e-9 && (apart.0 - 0.7).abs() < 1e-9);
        assert!(apart.1 > 3.0 * same.1, "{same:?} {apart:?}");
    }

    #[test]
    fn a_running_occurrence_gains_on_the_earlier_ones() {
        let mut e = Effect::new("sale");
        e.observe(0.5);
        e.end();
        for _ in 0..24 {
            e.observe(1.5);
        }
        assert!(e.uplift().0 > 1.2, "{:?}", e.uplift());
    }

    #[test]
    fn an_event_that_has_just_begun_changes_nothing() {
        assert_eq!(Effect::new("new").uplift(), (0.0, 0.0));
        assert!((lift_quantile(3.0, 2.0, 1.0, 0.0, 0.0) - 3.0).abs() < 1e-12);
    }
}
