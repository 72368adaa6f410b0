//! Threshold scaling with cooldowns, as cloud groups of machines are scaled by hand-made rules.
//!
//! A fifth more when utilisation has been above 80 % for a minute, a tenth less when it has been below
//! 50 % for five; a minute of pause after growing, five after shrinking (the figures of the
//! step-scaling examples in the Amazon EC2 Auto Scaling user guide).

use super::scaler::{Failure, Observed, SYNC_S, Scaler};

const HIGH: f64 = 0.8;
const LOW: f64 = 0.5;
/// Syncs for which the threshold must be passed.
const HIGH_FOR: usize = 60 / SYNC_S;
const LOW_FOR: usize = 300 / SYNC_S;
/// Seconds of pause.
const GROWN_S: usize = 60;
const SHRUNK_S: usize = 300;

#[derive(Debug, Clone, Default)]
struct Watch {
    above: usize,
    below: usize,
    paused_until: usize,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Reactive(Vec<Watch>);

impl Reactive {
    /// For so many apis.
    #[must_use]
    pub fn new(apis: usize) -> Self {
        Self(vec![Watch::default(); apis])
    }
}

impl Scaler for Reactive {
    fn sync(
        &mut self,
        second: usize,
        seen: &[Observed],
        wishes: &mut [u32],
    ) -> Result<(), Failure> {
        for ((wish, seen), watch) in wishes.iter_mut().zip(seen).zip(&mut self.0) {
            let count = |is: bool, before: usize| if is { before + 1 } else { 0 };
            watch.above = count(seen.used_each > HIGH, watch.above);
            watch.below = count(seen.measured > 0 && seen.used_each < LOW, watch.below);
            if second < watch.paused_until {
                continue;
            }
            if watch.above >= HIGH_FOR {
                *wish = wish.saturating_add((*wish).div_ceil(5));
                watch.paused_until = second + GROWN_S;
            } else if watch.below >= LOW_FOR && *wish > 1 {
                *wish -= (*wish).div_ceil(10);
                watch.paused_until = second + SHRUNK_S;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_after_a_minute_above_and_shrinks_after_five_below() {
        let mut policy = Reactive::new(1);
        let mut wishes = [10];
        let mut at = |second: usize, used_each: f64| {
            let seen = Observed {
                serving: 10,
                held: 10,
                measured: 10,
                used_each,
            };
            policy.sync(second, &[seen], &mut wishes).unwrap();
            wishes[0]
        };
        let busy: Vec<u32> = (0..8).map(|i| at(i * SYNC_S, 0.9)).collect();
        assert_eq!(busy, [10, 10, 10, 12, 12, 12, 12, 15]);
        let idle: Vec<u32> = (0..24).map(|i| at(600 + i * SYNC_S, 0.2)).collect();
        assert_eq!((idle[18], idle[19], idle[23]), (15, 13, 13));
    }
}
