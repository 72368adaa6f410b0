//! Seeded draws: one stream per (seed, api, step, purpose), portable to the bit.
//!
//! A stream is opened anew for every step, so what a step draws depends on its index and not on
//! how many numbers earlier steps consumed. The samplers are our own, over PCG and `libm`, because
//! the ready-made ones call the platform's logarithm, and a demo's summary must not depend on the
//! machine.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

/// What a stream is for. Streams of one step are independent of each other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// The drift's starting point.
    Origin,
    /// Arrivals and costs: what the world asks for.
    Demand,
    /// Waits and service times: how a request fares.
    Latency,
}

/// A stream of random numbers with the distributions of the simulation.
#[derive(Clone, Debug)]
pub(super) struct Draws {
    rng: Pcg64Mcg,
}

impl Draws {
    pub(super) fn new(seed: u64, api: &str, step: u64, purpose: Purpose) -> Self {
        let mut state = mix(seed ^ 0x7469_6465_6761_7465);
        for byte in api.bytes() {
            state = mix(state ^ u64::from(byte));
        }
        state = mix(mix(state ^ step) ^ (purpose as u64));
        let high = mix(state ^ 0x9e37_79b9_7f4a_7c15);
        Self {
            rng: Pcg64Mcg::new((u128::from(high) << 64) | u128::from(state)),
        }
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Uniform in the open interval (0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal, by Marsaglia's polar method (Marsaglia & Bray 1964).
    pub(super) fn normal(&mut self) -> f64 {
        loop {
            let (u, v) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let s = u * u + v * v;
            if s < 1.0 && s > 0.0 {
                return u * (-2.0 * libm::log(s) / s).sqrt();
            }
        }
    }

    /// Gamma with this shape and mean 1, by Marsaglia & Tsang (2000); shapes below 1 by their
    /// power of a uniform.
    pub(super) fn gamma_of_mean_one(&mut self, shape: f64) -> f64 {
        let boosted = if shape < 1.0 { shape + 1.0 } else { shape };
        let d = boosted - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        let value = loop {
            let x = self.normal();
            let v = (1.0 + c * x) * (1.0 + c * x) * (1.0 + c * x);
            if v > 0.0 && libm::log(self.uniform()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                break d * v;
            }
        };
        let unboosted = if shape < 1.0 {
            value * libm::pow(self.uniform(), 1.0 / shape)
        } else {
            value
        };
        unboosted / shape
    }

    /// Poisson: by products of uniforms (Knuth) below 10, by transformed rejection (Hörmann 1993,
    /// PTRS) above.
    pub(super) fn poisson(&mut self, mean: f64) -> u64 {
        if mean <= 0.0 {
            return 0;
        }
        if mean < 10.0 {
            let floor = libm::exp(-mean);
            let mut product = self.uniform();
            let mut count = 0;
            while product > floor {
                product *= self.uniform();
                count += 1;
            }
            return count;
        }
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.024_83 * b;
        let inverse_alpha = 1.123_9 + 1.132_8 / (b - 3.4);
        let squeeze = 0.927_7 - 3.622_4 / (b - 2.0);
        let log_mean = libm::log(mean);
        loop {
            let u = self.uniform() - 0.5;
            let v = self.uniform();
            let us = 0.5 - u.abs();
            let k = ((2.0 * a / us + b) * u + mean + 0.43).floor();
            if us >= 0.07 && v <= squeeze {
                return k as u64;
            }
            if k < 0.0 || (us < 0.013 && v > us) {
                continue;
            }
            let accepted = libm::log(v * inverse_alpha / (a / (us * us) + b));
            if accepted <= k * log_mean - mean - libm::lgamma(k + 1.0) {
                return k as u64;
            }
        }
    }

    /// Negative binomial with variance `mean + mean^2 / shape`, as a gamma-mixed Poisson.
    pub(super) fn negative_binomial(&mut self, mean: f64, shape: f64) -> u64 {
        if mean <= 0.0 {
            return 0;
        }
        let modulated = mean * self.gamma_of_mean_one(shape);
        self.poisson(modulated)
    }

    /// Lognormal with this mean and coefficient of variation.
    pub(super) fn lognormal(&mut self, mean: f64, cv: f64) -> f64 {
        let variance_of_log = libm::log1p(cv * cv);
        mean * libm::exp(variance_of_log.sqrt() * self.normal() - 0.5 * variance_of_log)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014): every input bit reaches every output bit.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(draws: usize, mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let values: Vec<f64> = (0..draws).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / draws as f64;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / draws as f64;
        (mean, variance)
    }

    fn check(what: &str, got: f64, wanted: f64, tolerance: f64) {
        assert!(
            (got - wanted).abs() <= tolerance * wanted,
            "{what}: {got}, wanted {wanted}"
        );
    }

    #[test]
    fn a_negative_binomial_has_its_mean_and_variance_on_both_sides_of_the_poisson_switch() {
        for (mean, shape) in [
            (0.3, 2.0),
            (4.0, 0.5),
            (9.0, 30.0),
            (40.0, 10.0),
            (900.0, 25.0),
        ] {
            let mut draws = Draws::new(1, "a", 0, Purpose::Demand);
            let (m, v) = moments(60_000, || draws.negative_binomial(mean, shape) as f64);
            check("mean", m, mean, 0.03);
            check("variance", v, mean + mean * mean / shape, 0.08);
        }
    }

    #[test]
    fn a_poisson_of_large_mean_has_the_right_tail() {
        // P(X <= 10) for X ~ Poisson(20) is 0.010812 (tables).
        let mut draws = Draws::new(2, "a", 0, Purpose::Demand);
        let below = (0..400_000).filter(|_| draws.poisson(20.0) <= 10).count();
        check("P(X <= 10)", below as f64 / 400_000.0, 0.010_812, 0.05);
    }

    #[test]
    fn a_lognormal_has_its_mean_and_variation() {
        let mut draws = Draws::new(3, "a", 0, Purpose::Latency);
        let (m, v) = moments(200_000, || draws.lognormal(0.02, 0.8));
        check("mean", m, 0.02, 0.01);
        check("cv", v.sqrt() / m, 0.8, 0.04);
    }

    #[test]
    fn streams_differ_by_seed_api_step_and_purpose() {
        let first = |seed, api, step, purpose| Draws::new(seed, api, step, purpose).bits();
        let all = [
            first(1, "a", 0, Purpose::Demand),
            first(2, "a", 0, Purpose::Demand),
            first(1, "b", 0, Purpose::Demand),
            first(1, "a", 1, Purpose::Demand),
            first(1, "a", 0, Purpose::Latency),
            first(1, "a", 0, Purpose::Origin),
        ];
        let distinct: std::collections::BTreeSet<u64> = all.into_iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(first(1, "a", 0, Purpose::Demand), all[0]);
    }
}
