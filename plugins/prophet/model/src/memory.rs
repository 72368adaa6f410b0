//! What is remembered of the newest residuals: averages over growing spans, and a profile.
//!
//! Averages over the last 1, 4, 16, ... steps are the regressors of a heterogeneous autoregression
//! (Corsi, Journal of Financial Econometrics 7, 2009): few numbers that stand for lags from one
//! step to a day, so that a level, a slow drift and a passing burst can be told apart. The profile
//! is the residual at the same time of earlier days: a habit that changed since the fit. A missing
//! step ages the memory and changes nothing else: the forecast is then as many steps longer.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{Bins, PROFILE};

/// Spans of the averages, in steps.
const SPANS: [f64; 5] = [1.0, 4.0, 16.0, 64.0, 256.0];
/// Regressors at most: the averages and the profile.
pub(crate) const WIDTH: usize = SPANS.len() + 1;
/// The share of a new residual in its place of the profile.
const PROFILE_GAIN: f64 = 0.5;
/// Places of the profile at most.
pub(crate) const PLACES: usize = 288;
/// A residual counts up to this many times the largest distance that the history held.
const BOUND: f64 = 1.5;
/// Missing steps that are counted; after these, nothing is remembered that could matter.
const LONGEST_GAP: u32 = 1 << 20;

/// The regressors of a residual forecast at an origin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Averages of the first spans; how many depends on the length of the history.
    means: Vec<f64>,
    /// Residuals by time of the season; empty without one.
    profile: Bins,
    /// The largest distance of a residual from the average over four steps before it that is
    /// known; 0: none is.
    farthest: f64,
    /// Missing steps since the last residual.
    gap: u32,
}

impl Memory {
    /// An empty one for a history of `steps`, with `places` in its profile.
    pub(crate) fn new(steps: usize, places: usize, farthest: f64) -> Self {
        let spans = SPANS.iter().filter(|s| **s * 8.0 <= steps as f64).count();
        Self {
            means: vec![0.0; spans.max(1)],
            profile: Bins::free(vec![0.0; places.min(PLACES)]),
            farthest,
            gap: 0,
        }
    }

    /// Takes the residual of the next step (NaN: missing) at a fraction of the season.
    pub(crate) fn observe(&mut self, residual: f64, phase: f64) {
        if residual.is_nan() {
            self.gap = (self.gap + 1).min(LONGEST_GAP);
            return;
        }
        self.gap = 0;
        let place = self.place(phase);
        let habit = place.map_or(0.0, |at| f64::from(self.profile[at]));
        let centre = self.centre();
        let bound = BOUND * self.farthest;
        let news = residual - habit;
        let news = if bound > 0.0 {
            news.clamp(centre - bound, centre + bound)
        } else {
            news
        };
        for (mean, span) in self.means.iter_mut().zip(SPANS) {
            *mean += (news - *mean) / span;
        }
        if let Some(at) = place {
            self.profile.put(at, habit + PROFILE_GAIN * news);
        }
    }

    /// Rounds the profile to what bytes can hold.
    pub(crate) fn settle(&mut self) {
        self.profile.settle(PROFILE);
    }

    /// How far a residual is from what the habit and the newest ones say.
    pub(crate) fn distance(&self, residual: f64, phase: f64) -> f64 {
        let habit = self
            .place(phase)
            .map_or(0.0, |at| f64::from(self.profile[at]));
        (residual - habit - self.centre()).abs()
    }

    /// The average over four steps, if the history is long enough for it.
    fn centre(&self) -> f64 {
        self.means.get(1).copied().unwrap_or(0.0)
    }

    /// Writes the regressors of a target at a fraction of the season.
    pub(crate) fn regressors(&self, phase: f64, out: &mut Vec<f64>) {
        out.clear();
        out.extend(&self.means);
        if let Some(at) = self.place(phase) {
            out.push(f64::from(self.profile[at]));
        }
    }

    /// How many regressors there are.
    pub(crate) fn width(&self) -> usize {
        self.means.len() + usize::from(!self.profile.is_empty())
    }

    /// Steps since the last residual.
    pub(crate) fn gap(&self) -> usize {
        self.gap as usize
    }

    /// Whether decoded numbers can be read.
    pub(crate) fn is_sound(&self) -> bool {
        !self.means.is_empty()
            && self.means.len() <= SPANS.len()
            && self.profile.len() <= PLACES
            && self.means.iter().all(|m| m.abs() < 1e15)
            && self.profile.is_finite()
            && self.farthest.is_finite()
            && self.farthest >= 0.0
            && self.gap <= LONGEST_GAP
    }

    fn place(&self, phase: f64) -> Option<usize> {
        let n = self.profile.len();
        let at = (phase - phase.floor()) * n as f64 + 1e-6;
        (n > 0 && phase.is_finite()).then_some((at as usize).min(n.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_residual_that_stays_fills_all_averages_and_one_that_recurs_the_profile() {
        let mut memory = Memory::new(1000, 24, 0.0);
        for t in 0..240 {
            let habit = if t % 24 == 6 { 5.0 } else { 0.0 };
            memory.observe(habit, f64::from(t) / 24.0);
        }
        let mut x = Vec::new();
        memory.regressors(6.0 / 24.0, &mut x);
        assert!(x.last().is_some_and(|p| (p - 5.0).abs() < 0.1), "{x:?}");
        for mean in &x[..x.len() - 1] {
            assert!(mean.abs() < 0.2, "{x:?}");
        }
    }

    #[test]
    fn gaps_are_counted_and_forgotten_with_the_next_value() {
        let mut memory = Memory::new(1000, 0, 0.0);
        memory.observe(1.0, 0.0);
        let before = memory.clone();
        memory.observe(f64::NAN, 0.0);
        memory.observe(f64::NAN, 0.0);
        assert_eq!(memory.gap(), 2);
        assert_eq!(memory.means, before.means);
        memory.observe(1.0, 0.0);
        assert_eq!(memory.gap(), 0);
    }

    #[test]
    fn a_distance_that_was_never_seen_is_cut() {
        let mut memory = Memory::new(1000, 0, 2.0);
        memory.observe(1e6, 0.0);
        let mut x = Vec::new();
        memory.regressors(0.0, &mut x);
        assert!((x[0] - 2.0 * BOUND).abs() < 1e-9, "{x:?}");
    }
}
