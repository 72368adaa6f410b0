//! Series with one misfortune each, made by a formula so that anybody can draw them again.
//!
//! All run on quarters of an hour: ten days that are fitted, then three that are lived through step by
//! step, so that a model meets the misfortune with a state and not only in a fit. The ordinary load
//! under them is one hump a day, never near zero, with a twentieth of noise; the noise comes from a
//! fixed linear congruence (Knuth's MMIX), because a case must be the same on every machine.

use tidegate_core::time::Step;

/// Steps of a day.
pub const DAY: usize = 96;

/// Steps that are fitted first.
pub const WARM_UP: usize = 10 * DAY;

/// All steps.
pub const LENGTH: usize = 13 * DAY;

/// When misfortune strikes: half a day into what is lived through.
pub const STRIKE: usize = WARM_UP + DAY / 2;

/// Steps that a one-off spike lasts.
const SPIKE: usize = 3;

/// Factor of the shift of level.
const SHIFT: f64 = 3.0;

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What befalls it.
    pub name: &'static str,
    /// What is measured; NaN where nothing is.
    pub values: Vec<f64>,
    /// The same without noise: what a perfect median would be.
    pub truth: Vec<f64>,
    /// Steps that are fitted first.
    pub warm_up: usize,
    /// First step from which it must find back; `None`: it never has reason to be lost.
    pub recover: Option<usize>,
    /// Standard deviation of the noise in the lived part over its level; 0: none, so an interval may
    /// be as narrow as it likes.
    pub noise: f64,
    /// Whether a module may say that the data do not suffice.
    pub may_decline: bool,
}

/// The step of all cases.
#[must_use]
pub fn step() -> Option<Step> {
    Step::from_secs(900)
}

/// Half of the noise's range, as a part of the level.
const NOISE: f64 = 0.05;

/// Uniform noise over `[-1, 1)` has this standard deviation.
const UNIFORM: f64 = 0.577_350_269_189_625_8;

fn noise(count: usize) -> Vec<f64> {
    let mut state: u64 = 7;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The level of a step without noise: 60 to 140, mean about 113.
fn hump(t: usize) -> f64 {
    let x = (t % DAY) as f64 / DAY as f64;
    60.0 + 320.0 * x * (1.0 - x)
}

fn ordinary(name: &'static str, scale: f64) -> Case {
    let truth: Vec<f64> = (0..LENGTH).map(|t| scale * hump(t)).collect();
    let noisy = truth.iter().zip(noise(LENGTH));
    Case {
        name,
        values: noisy.map(|(v, n)| v * (1.0 + NOISE * n)).collect(),
        truth,
        warm_up: WARM_UP,
        recover: None,
        noise: NOISE * UNIFORM,
        may_decline: false,
    }
}

fn exact(name: &'static str, value: impl Fn(usize) -> f64) -> Case {
    let values: Vec<f64> = (0..LENGTH).map(value).collect();
    Case {
        truth: values.clone(),
        values,
        noise: 0.0,
        ..ordinary(name, 1.0)
    }
}

/// Replaces what is measured from `STRIKE` on for so many steps, and in the same way three days
/// before, inside what is fitted.
fn struck(name: &'static str, steps: usize, with: impl Fn(f64) -> f64) -> Case {
    let mut case = ordinary(name, 1.0);
    for from in [STRIKE - 3 * DAY, STRIKE] {
        for value in &mut case.values[from..from + steps] {
            *value = with(*value);
        }
    }
    case.recover = Some(STRIKE + steps);
    case
}

/// All of them.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut shift = ordinary("level x3", 1.0);
    for t in STRIKE..LENGTH {
        shift.values[t] *= SHIFT;
        shift.truth[t] *= SHIFT;
    }
    shift.recover = Some(STRIKE);
    let mut short = ordinary("3 points", 1.0);
    short.values.drain(3 + DAY..);
    short.truth.drain(3 + DAY..);
    short.warm_up = 3;
    short.may_decline = true;
    vec![
        ordinary("ordinary", 1.0),
        struck("gap of 6 hours", DAY / 4, |_| f64::NAN),
        struck("unmeasured day", DAY, |_| f64::NAN),
        struck("outage of a day", DAY, |_| 0.0),
        struck("spike x10", SPIKE, |v| 10.0 * v),
        shift,
        exact("constant", |_| 100.0),
        exact("all zeros", |_| 0.0),
        short,
        ordinary("magnitude 1e12", 1e10),
        exact("on and off", |t| 100.0 * (t % 2) as f64),
        exact("growth", |t| 10.0 + 0.1 * t as f64),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_as_long_as_its_truth_and_strikes_after_the_fit() {
        for case in cases() {
            assert_eq!(case.values.len(), case.truth.len(), "{}", case.name);
            assert!(case.recover.is_none_or(|at| at > case.warm_up));
            assert!(case.recover.is_none_or(|at| at + DAY <= case.values.len()));
            assert!(case.truth.iter().all(|v| v.is_finite() && *v >= 0.0));
        }
    }

    #[test]
    fn noise_has_the_size_that_is_claimed() {
        let all = noise(LENGTH);
        let square = all.iter().map(|v| v * v).sum::<f64>() / all.len() as f64;
        assert!((square.sqrt() - UNIFORM).abs() < 0.02);
    }
}
