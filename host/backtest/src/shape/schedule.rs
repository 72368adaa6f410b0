//! Policies that know beforehand: replicas by the minute, whatever is seen.
//!
//! Static provisioning is such a schedule, of one number; the oracle is another. Capacity for the next
//! minute is asked for one minute early, as every policy must.

use super::scaler::{Failure, Observed, Scaler};

/// See the module.
#[derive(Debug, Clone)]
pub struct Schedule {
    begin: usize,
    /// Per api and minute.
    replicas: Vec<Vec<u32>>,
}

impl Schedule {
    /// Replicas per api and minute, from second `begin` on; the last holds for ever.
    #[must_use]
    pub fn new(begin: usize, replicas: Vec<Vec<u32>>) -> Self {
        Self { begin, replicas }
    }

    /// The same for ever.
    #[must_use]
    pub fn fixed(replicas: &[u32]) -> Self {
        Self::new(0, replicas.iter().map(|n| vec![*n]).collect())
    }

    /// Static provisioning in a scarce pool: all there is, divided by peaks.
    #[must_use]
    pub fn divided(all: u32, peaks: &[u32]) -> Self {
        let total: u64 = peaks.iter().map(|p| u64::from(*p)).sum();
        let part = |peak: &u32| {
            let share = u64::from(all) * u64::from(*peak) / total.max(1);
            u32::try_from(share).unwrap_or(u32::MAX).max(1)
        };
        Self::fixed(&peaks.iter().map(part).collect::<Vec<u32>>())
    }
}

impl Scaler for Schedule {
    fn sync(&mut self, second: usize, _: &[Observed], wishes: &mut [u32]) -> Result<(), Failure> {
        let minute = second.saturating_sub(self.begin) / 60;
        for (wish, row) in wishes.iter_mut().zip(&self.replicas) {
            let of = |minute: usize| row.get(minute).or(row.last()).copied().unwrap_or(1);
            *wish = of(minute).max(of(minute + 1));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_next_minute_needs_is_asked_for_a_minute_early() {
        let mut schedule = Schedule::new(120, vec![vec![3, 3, 7, 2, 2]]);
        let mut at = |second| {
            let mut wishes = [0];
            schedule.sync(second, &[], &mut wishes).unwrap();
            wishes[0]
        };
        assert_eq!(
            [120, 180, 240, 300, 360, 900].map(&mut at),
            [3, 7, 7, 2, 2, 2]
        );
    }

    #[test]
    fn a_scarce_pool_is_divided_by_peaks_and_not_exceeded() {
        let schedule = Schedule::divided(10, &[6, 6, 3]);
        assert_eq!(schedule.replicas, [[4], [4], [2]]);
    }
}
