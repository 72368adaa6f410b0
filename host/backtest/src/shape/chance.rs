//! Chance from a seed: the same numbers on every machine and in every run.
//!
//! SplitMix64 (Steele, Lea & Flood, OOPSLA 2014) is enough for bursts and drifts: 64 bits of state,
//! equidistributed, and one line. A library of distributions would be a dependency for two functions,
//! and its values may change with its version, while stored results must not.

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(super) struct Chance {
    state: u64,
    spare: Option<f64>,
}

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: seed,
            spare: None,
        }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in (0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller (1958).
    pub(super) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * libm::log(self.uniform())).sqrt();
        let (sin, cos) = libm::sincos(2.0 * std::f64::consts::PI * self.uniform());
        self.spare = Some(radius * sin);
        radius * cos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_mean_zero_and_variance_one_and_repeat_with_their_seed() {
        let draw = || {
            let mut chance = Chance::new(7);
            (0..20_000).map(|_| chance.normal()).collect::<Vec<f64>>()
        };
        let all = draw();
        let n = all.len() as f64;
        let mean = all.iter().sum::<f64>() / n;
        let variance = all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
        assert!(
            mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05,
            "{mean} {variance}"
        );
        assert_eq!(all, draw());
    }
}
