//! The cycle within the season: jobs that run every hour, health checks, caches that expire.
//!
//! Cloud loads repeat in an hour what they repeat in a day, and where they do, the value of an hour
//! ago says more than the last one. One lag per series is chosen when it is fitted: the one that
//! repeats best, up to a quarter of the season. Whether it is worth anything is the network's to
//! judge, from the running error of repeating it. Rejected: a spectrum, which finds the period of a
//! sine and not that of a spike.

use crate::tracker::UNKNOWN;

/// How many cycles are averaged.
const CYCLES: usize = 3;
/// The shortest cycle: below it, the levels are at least as good.
const SHORTEST: usize = 2;

/// The lag up to `longest` ticks at which the values repeat best; `longest` where nothing can be
/// said. NaN is a missing tick.
pub(crate) fn find(values: &[f32], longest: usize) -> u16 {
    let longest = longest.max(1);
    let mut best = (f64::INFINITY, longest);
    for lag in SHORTEST..=longest.min(values.len() / 4) {
        let (mut sum, mut n) = (0.0, 0.0);
        for (now, then) in values.iter().skip(lag).zip(values) {
            let miss = f64::from((now - then).abs());
            if miss.is_finite() {
                sum += miss;
                n += 1.0;
            }
        }
        if n > 0.0 && sum / n < best.0 {
            best = (sum / n, lag);
        }
    }
    u16::try_from(best.1).unwrap_or(u16::MAX)
}

/// The mean of the last cycles at a tick `ahead` ticks after the last one, from the entries by
/// their age in ticks (0 is the last one, the oldest is `kept - 1`).
pub(crate) fn cycled(cycle: u16, ahead: usize, kept: usize, entry: impl Fn(usize) -> f32) -> f32 {
    let cycle = usize::from(cycle.max(1));
    let newest = ahead.div_ceil(cycle) * cycle - ahead;
    let (mut sum, mut n) = (0.0, 0.0);
    for k in 0..CYCLES {
        let age = newest + k * cycle;
        if age >= kept {
            break;
        }
        let value = entry(age);
        if value != UNKNOWN {
            sum += value;
            n += 1.0;
        }
    }
    if n > 0.0 { sum / n } else { UNKNOWN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hourly_job_is_found_through_noise_and_gaps() {
        let mut s = tidegate_model_kit::Stream::new(4);
        let mut values: Vec<f32> = (0..600)
            .map(|t| if t % 12 == 3 { 50.0 } else { 5.0 } + s.normal() as f32)
            .collect();
        values[100..130].fill(f32::NAN);
        assert_eq!(find(&values, 72) % 12, 0);
        assert_eq!(find(&values[..3], 72), 72, "too short to say");
    }

    #[test]
    fn the_mean_is_of_the_same_place_in_the_cycle_however_far_ahead() {
        let history: Vec<f32> = (0..40).map(|t| (t % 5) as f32).collect();
        let back = |age: usize| history[history.len() - 1 - age];
        for ahead in 1..30 {
            let there = ((history.len() - 1 + ahead) % 5) as f32;
            assert!((cycled(5, ahead, 40, back) - there).abs() < 1e-6, "{ahead}");
        }
        assert!(
            (cycled(5, 1, 6, back) - 0.0).abs() < 1e-6,
            "one cycle is kept"
        );
        assert_eq!(cycled(5, 1, 3, back).to_bits(), UNKNOWN.to_bits());
    }
}
