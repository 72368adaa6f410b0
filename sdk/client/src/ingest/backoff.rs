//! How long to wait before the next connection.
//!
//! Doubling keeps a daemon that starts from being met by everybody at once every time; chance keeps
//! those who were cut off together from coming back together. The chance is seeded by the caller.

use rand::Rng as _;
use rand_pcg::Pcg64Mcg;
use std::time::Duration;

/// Waits, one after another.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    most: Duration,
    random: Pcg64Mcg,
}

impl Backoff {
    pub(super) fn new(first: Duration, most: Duration, seed: u64) -> Self {
        Self {
            first,
            most,
            random: Pcg64Mcg::new(u128::from(seed) << 64 | 0x7469_6465_6761_7465),
        }
    }

    /// The wait before attempt `n` (the first is 1): half of the doubled wait for sure, the other
    /// half by chance.
    pub(super) fn wait(&mut self, n: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << n.saturating_sub(1).min(20));
        let whole = doubled.min(self.most);
        let share = (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        whole / 2 + (whole / 2).mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_differ_by_seed_alone() {
        let waits = |seed| {
            let mut backoff =
                Backoff::new(Duration::from_millis(100), Duration::from_secs(5), seed);
            (1..=40).map(|n| backoff.wait(n)).collect::<Vec<_>>()
        };
        let all = waits(7);
        for (i, wait) in all.iter().enumerate() {
            let whole = Duration::from_millis(100 * (1 << i.min(20))).min(Duration::from_secs(5));
            assert!((whole / 2..=whole).contains(wait), "{i}: {wait:?}");
        }
        assert_eq!(all, waits(7));
        assert_ne!(all, waits(8));
    }
}
