//! From a trace of averages to requests in every second, and to what one of them costs.
//!
//! A trace says how much came in a minute or five; services suffer from what came in a second. Between
//! the middles of steps the load runs in a line. On it lie *bursts*: an Ornstein-Uhlenbeck process in
//! the logarithm, correlated over half a minute (request streams are burstier than Poisson on all
//! scales below minutes: Paxson & Floyd, IEEE/ACM ToN 1995; Mi, Casale, Cherkasova & Smirni,
//! Middleware 2008), and below a second the noise of counting, normal by the central limit theorem.
//!
//! The cost of a request drifts as releases and data change: a slow Ornstein-Uhlenbeck process over
//! days and small steps at releases. Nobody is told of either.

use super::chance::Chance;
use tidegate_core::canonical;

/// Seconds over which a burst is correlated.
const BURST_S: f64 = 25.0;
/// Standard deviation of the logarithm of bursts.
const BURST_SD: f64 = 0.07;
/// Days over which the cost of a request is correlated.
const DRIFT_DAYS: f64 = 2.0;
/// Standard deviation of the logarithm of its drift.
const DRIFT_SD: f64 = 0.05;
/// Days between releases, on average.
const RELEASE_DAYS: f64 = 4.0;
/// Standard deviation of the logarithm of what a release changes.
const RELEASE_SD: f64 = 0.04;

/// Seconds of a minute: the resolution of the drift.
pub const MINUTE: usize = 60;

/// Requests in each second of a trace: `rates` are requests/s per step of `step_s` seconds.
#[must_use]
pub fn requests(rates: &[f64], step_s: usize, name: &str, seed: u64) -> Vec<f32> {
    let mut chance = Chance::new(canonical::seed(seed, "arrivals", name, 0));
    let keep = libm::exp(-1.0 / BURST_S);
    let kick = BURST_SD * (1.0 - keep * keep).sqrt();
    let mut burst = BURST_SD * chance.normal();
    let mut all = Vec::with_capacity(rates.len() * step_s);
    for second in 0..rates.len() * step_s {
        burst = keep * burst + kick * chance.normal();
        let rate = between(rates, step_s, second) * libm::exp(burst - 0.5 * BURST_SD * BURST_SD);
        let count = rate + rate.sqrt() * chance.normal();
        all.push(count.max(0.0) as f32);
    }
    all
}

/// The line between the middles of two steps, at the middle of a second.
fn between(rates: &[f64], step_s: usize, second: usize) -> f64 {
    let place = (second as f64 + 0.5) / step_s as f64 - 0.5;
    let left = place.floor().max(0.0) as usize;
    let right = (left + 1).min(rates.len() - 1);
    let part = (place - left as f64).clamp(0.0, 1.0);
    (rates[left] * (1.0 - part) + rates[right] * part).max(0.0)
}

/// What a request costs in each minute, as a multiple of its nominal cost.
#[must_use]
pub fn costs(minutes: usize, name: &str, seed: u64) -> Vec<f32> {
    let mut chance = Chance::new(canonical::seed(seed, "costs", name, 0));
    let keep = libm::exp(-1.0 / (DRIFT_DAYS * 1440.0));
    let kick = DRIFT_SD * (1.0 - keep * keep).sqrt();
    let (mut drift, mut releases) = (DRIFT_SD * chance.normal(), 0.0);
    (0..minutes)
        .map(|_| {
            drift = keep * drift + kick * chance.normal();
            if chance.uniform() < 1.0 / (RELEASE_DAYS * 1440.0) {
                // A release replaces half of what those before it changed.
                releases = 0.5 * releases + RELEASE_SD * chance.normal();
            }
            libm::exp(drift + releases) as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_add_up_to_the_minutes_of_the_trace() {
        let rates = [100.0, 100.0, 400.0, 100.0, 100.0].repeat(40);
        let all = requests(&rates, 60, "a", 1);
        let total: f64 = all.iter().map(|n| f64::from(*n)).sum();
        let meant: f64 = rates.iter().map(|r| r * 60.0).sum();
        assert!((total / meant - 1.0).abs() < 0.02, "{total} {meant}");
        assert_eq!(all, requests(&rates, 60, "a", 1));
        assert_ne!(all, requests(&rates, 60, "b", 1));
    }

    #[test]
    fn a_trace_of_nothing_brings_nothing() {
        assert!(requests(&[0.0; 5], 60, "a", 1).iter().all(|n| *n == 0.0));
    }

    #[test]
    fn costs_drift_around_one() {
        let all = costs(40 * 1440, "a", 1);
        let (low, high) = all
            .iter()
            .fold((9.0_f32, 0.0_f32), |(l, h), c| (l.min(*c), h.max(*c)));
        assert!(low > 0.6 && high < 1.6 && high - low > 0.05, "{low} {high}");
    }
}
