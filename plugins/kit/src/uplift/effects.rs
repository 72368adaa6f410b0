//! What kinds of events are worth, learned jointly from their occurrences.
//!
//! A stretch of rows with the same events running is one observation: the sum of their effects,
//! off by a deviation of its own (no campaign is like the last one) and by the noise of its rows.
//! The effects are a Bayesian linear regression with a prior of "no effect, but it may well be
//! large": seen once, an effect is nearly what it was then and wide; seen often, it is sure; two
//! kinds that always run together share their sum. Recursive least squares gives the same answer
//! row by row and after a batch, and a little covariance is added after each occurrence, so that
//! about the last ten of them count.
//!
//! Rejected: one mean and variance per kind. Where two kinds overlap, both would be credited with
//! the sum.

use serde::{Deserialize, Serialize};

/// The prior's standard deviation of an effect, and that of one occurrence around its kind's
/// effect, in logarithms or in typical values.
const EFFECT: f64 = 0.7;
const OCCURRENCE: f64 = 0.2;
/// Occurrences that the prior of the latter weighs as much as.
const BELIEF: f64 = 2.0;
/// What an effect's variance grows by after an occurrence, in that of one.
const WANDER: f64 = 0.01;
/// A kind whose variance is below this, in that of one occurrence, has been seen: its errors tell
/// how unlike occurrences are.
const SEEN: f64 = 2.0;
/// Rows within an occurrence that are worth one independent one.
const ALIKE: f64 = 4.0;
/// How far one row may be from its occurrence's mean so far.
const ROW_BOUND: f64 = 1.0;

/// The rows of one occurrence so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rows {
    n: u32,
    mean: f64,
    squares: f64,
}

impl Rows {
    /// Takes the next row's value; one that is far off counts as far as the bound.
    pub(crate) fn take(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        let off = if self.n >= 3 {
            (value - self.mean).clamp(-ROW_BOUND, ROW_BOUND)
        } else {
            value - self.mean
        };
        self.n = self.n.saturating_add(1);
        let step = off / f64::from(self.n);
        self.mean += step;
        self.squares += off * (off - step);
    }

    fn is_sound(&self) -> bool {
        self.mean.is_finite() && self.squares.is_finite() && self.squares >= 0.0
    }
}

/// A mean and a variance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Belief {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

/// Effects of kinds `0..len`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Effects {
    mean: Vec<f64>,
    /// Row-major, in variances of one occurrence.
    covariance: Vec<f64>,
    /// The variance of one occurrence: a sum of squares and its weight.
    squares: f64,
    weight: f64,
    /// The variance of rows within an occurrence.
    within: f64,
    /// That of ordinary rows, which the base's interval knows of.
    noise: f64,
}

impl Effects {
    /// Of no kind; `noise` is the variance of ordinary rows around their expectation.
    pub(crate) fn new(noise: f64) -> Self {
        Self {
            mean: Vec::new(),
            covariance: Vec::new(),
            squares: BELIEF * OCCURRENCE * OCCURRENCE,
            weight: BELIEF,
            within: noise,
            noise,
        }
    }

    /// Adds a kind of which nothing is known.
    pub(crate) fn grow(&mut self) {
        let old = self.mean.len();
        let new = old + 1;
        let mut covariance = vec![0.0; new * new];
        for i in 0..old {
            covariance[i * new..i * new + old]
                .copy_from_slice(&self.covariance[i * old..(i + 1) * old]);
        }
        covariance[new * new - 1] = (EFFECT / OCCURRENCE) * (EFFECT / OCCURRENCE);
        self.covariance = covariance;
        self.mean.push(0.0);
    }

    fn occurrence(&self) -> f64 {
        self.squares / self.weight
    }

    /// The sum of the effects of a set, and its variance in that of one occurrence.
    fn sum(&self, set: &[u16]) -> (f64, f64) {
        let n = self.mean.len();
        let at = |k: &u16| usize::from(*k);
        let mean = set.iter().map(|k| self.mean[at(k)]).sum();
        let pairs = set
            .iter()
            .flat_map(|i| set.iter().map(move |j| at(i) * n + at(j)));
        let variance: f64 = pairs.map(|p| self.covariance[p]).sum();
        (mean, variance.max(0.0))
    }

    /// What rows of the next occurrence of a set are expected to be off by, beyond the base's own
    /// noise; with `rows` of this very occurrence.
    pub(crate) fn expect(&self, set: &[u16], rows: Option<&Rows>) -> Belief {
        let (mut mean, variance) = self.sum(set);
        let mut variance = self.occurrence() * (1.0 + variance);
        if let Some(rows) = rows.filter(|r| r.n > 0) {
            let error =
                self.within.max(self.noise).max(1e-6) * (ALIKE / f64::from(rows.n)).min(1.0);
            let gain = variance / (variance + error);
            mean += gain * (rows.mean - mean);
            variance *= 1.0 - gain;
        }
        Belief {
            mean,
            variance: variance + (self.within - self.noise).max(0.0),
        }
    }

    /// Takes a finished occurrence of a set.
    pub(crate) fn learn(&mut self, set: &[u16], rows: &Rows) {
        if rows.n == 0 || set.is_empty() {
            return;
        }
        let n = self.mean.len();
        let (expected, variance) = self.sum(set);
        let error = rows.mean - expected;
        let independent = (f64::from(rows.n) / ALIKE).max(1.0);
        let total = 1.0 + variance + self.within.max(self.noise) / independent / self.occurrence();
        if variance < SEEN {
            self.squares += error * error / total;
            self.weight += 1.0;
        }
        // The row of covariances with the sum, which is also the gain's numerator.
        let with: Vec<f64> = (0..n)
            .map(|i| {
                let row = &self.covariance[i * n..(i + 1) * n];
                set.iter().map(|k| row[usize::from(*k)]).sum()
            })
            .collect();
        for i in 0..n {
            self.mean[i] += with[i] * error / total;
            for j in 0..n {
                self.covariance[i * n + j] -= with[i] * with[j] / total;
            }
        }
        for k in set {
            self.covariance[usize::from(*k) * (n + 1)] += WANDER;
        }
        if rows.n > 1 {
            let seen = rows.squares / f64::from(rows.n - 1);
            let share = f64::from(rows.n) / (f64::from(rows.n) + 8.0) * 0.5;
            self.within += share * (seen - self.within);
        }
    }

    /// Whether decoded effects are those of `kinds` kinds and can be used.
    pub(crate) fn is_sound(&self, kinds: usize) -> bool {
        let all = self.mean.iter().chain(&self.covariance);
        self.mean.len() == kinds
            && self.covariance.len() == kinds * kinds
            && all.copied().all(f64::is_finite)
            && self.weight.is_finite()
            && self.weight > 0.0
            && [self.squares, self.within, self.noise]
                .iter()
                .all(|v| v.is_finite() && *v >= 0.0)
            && self.squares > 0.0
    }
}

/// Whether decoded rows can be used.
pub(crate) fn rows_are_sound(rows: &Rows) -> bool {
    rows.is_sound()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(value: f64) -> Rows {
        let mut rows = Rows::default();
        (0..12).for_each(|_| rows.take(value));
        rows
    }

    fn effects(kinds: usize) -> Effects {
        let mut e = Effects::new(0.01);
        (0..kinds).for_each(|_| e.grow());
        e
    }

    #[test]
    fn an_effect_never_seen_is_none_and_wide_and_each_occurrence_makes_it_surer() {
        let mut e = effects(1);
        let mut belief = e.expect(&[0], None);
        assert!(belief.mean.abs() < 1e-12 && belief.variance.sqrt() > 0.7);
        for _ in 0..4 {
            e.learn(&[0], &rows(1.0));
            let next = e.expect(&[0], None);
            assert!(next.mean > belief.mean && next.variance < belief.variance);
            assert!(next.mean < 1.0);
            belief = next;
        }
        assert!(belief.mean > 0.95 && belief.variance.sqrt() < 0.25);
    }

    #[test]
    fn occurrences_that_differ_leave_the_next_one_open() {
        let (mut alike, mut unlike) = (effects(1), effects(1));
        for k in 0..6 {
            alike.learn(&[0], &rows(1.0));
            unlike.learn(&[0], &rows(if k % 2 == 0 { 0.3 } else { 1.7 }));
        }
        let sd = |e: &Effects| e.expect(&[0], None).variance.sqrt();
        assert!(sd(&unlike) > 2.0 * sd(&alike));
    }

    #[test]
    fn two_kinds_that_overlap_are_told_apart_once_one_ran_alone() {
        let mut e = effects(2);
        for _ in 0..4 {
            e.learn(&[0, 1], &rows(1.5));
        }
        let shared = e.expect(&[0], None).mean;
        assert!((shared - 0.75).abs() < 0.05, "{shared}");
        for _ in 0..4 {
            e.learn(&[0], &rows(0.5));
        }
        assert!((e.expect(&[0], None).mean - 0.5).abs() < 0.1);
        assert!((e.expect(&[1], None).mean - 1.0).abs() < 0.15);
        assert!((e.expect(&[0, 1], None).mean - 1.5).abs() < 0.1);
    }

    #[test]
    fn a_running_occurrence_is_believed_more_with_every_row() {
        let mut e = effects(1);
        e.learn(&[0], &rows(0.5));
        let mut now = Rows::default();
        let mut last = e.expect(&[0], Some(&now));
        for _ in 0..20 {
            now.take(1.2);
            let next = e.expect(&[0], Some(&now));
            assert!(next.mean >= last.mean && next.variance <= last.variance);
            last = next;
        }
        assert!((last.mean - 1.2).abs() < 0.1);
    }

    #[test]
    fn one_absurd_row_does_not_decide_an_occurrence() {
        let mut r = rows(0.5);
        r.take(-8.0);
        assert!((r.mean - 0.5).abs() < 0.1);
    }
}
