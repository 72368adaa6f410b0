//! Ticks: the steps of the recurrent layer, at most 288 to a season.
//!
//! A day of 10-second steps has 8,640 of them. A network that walks through each sees noise and
//! forgets the morning before noon; a table of a day would not fit into a state. So the layer moves
//! once per tick, which is one step where a season has 288 or fewer and a bin of steps where it has
//! more, and tables have an entry per tick. What is newer than the last tick reaches a forecast
//! through the levels, which follow every step.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::Series;

/// The most ticks of a season.
pub(crate) const MAX_BINS: u32 = 288;
/// The most slots of a long season: a week of hours.
pub(crate) const MAX_SLOTS: u32 = 168;
/// The longest season in steps: a week of seconds.
const MAX_SEASON: u32 = 604_800;

/// How steps fall into ticks and seasons. Steps are counted on the absolute grid
/// ([`tidegate_model_kit::clock_of`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grid {
    /// Steps of the short season (a day); 1 where there is none.
    pub(crate) season: u32,
    /// Steps of a tick.
    pub(crate) stride: u32,
    /// Short seasons in the long one (a week); 0 where there is none.
    pub(crate) days: u32,
}

impl Grid {
    /// The shortest season of a series, and its longest where that is a multiple.
    pub(crate) fn of(series: &Series<'_>) -> Self {
        let seasons = series.seasons();
        let short = seasons
            .first()
            .and_then(|s| u32::try_from(*s).ok())
            .unwrap_or(1);
        let season = short.clamp(1, MAX_SEASON);
        let days = seasons
            .last()
            .filter(|l| l.is_multiple_of(season as usize))
            .map_or(0, |l| l / season as usize);
        Self {
            season,
            stride: season.div_ceil(MAX_BINS),
            days: u32::try_from(days)
                .ok()
                .filter(|d| (2..=MAX_SLOTS).contains(d))
                .unwrap_or(0),
        }
    }

    /// Whether a decoded grid can be computed with.
    pub(crate) fn is_sound(&self) -> bool {
        (1..=MAX_SEASON).contains(&self.season)
            && self.stride == self.season.div_ceil(MAX_BINS)
            && (self.days == 0 || (2..=MAX_SLOTS).contains(&self.days))
    }

    /// Ticks of a season.
    pub(crate) fn bins(&self) -> usize {
        self.season.div_ceil(self.stride) as usize
    }

    /// The tick of the season in which a step lies.
    pub(crate) fn bin(&self, clock: u64) -> usize {
        (self.phase(clock) / self.stride) as usize
    }

    /// How many ticks after that of `from` the tick of a later step is.
    pub(crate) fn between(&self, from: u64, to: u64) -> usize {
        let season = u64::from(self.season);
        let seasons = (to / season - from / season) as usize;
        seasons * self.bins() + self.bin(to) - self.bin(from)
    }

    /// Where in the season a step lies, within [0, 1).
    pub(crate) fn turn(&self, clock: u64) -> f32 {
        self.phase(clock) as f32 / self.season as f32
    }

    /// Whether a step is the last of its tick.
    pub(crate) fn ends_tick(&self, clock: u64) -> bool {
        let next = self.phase(clock) + 1;
        next == self.season || next.is_multiple_of(self.stride)
    }

    /// Slots of the long season; 0 where there is none.
    pub(crate) fn slots(&self) -> usize {
        (self.days * self.slots_a_day()) as usize
    }

    /// The slot of the long season in which a step lies; there must be one.
    pub(crate) fn slot(&self, clock: u64) -> usize {
        let each = u64::from(self.slots_a_day());
        let day = clock / u64::from(self.season) % u64::from(self.days.max(1));
        let within = u64::from(self.phase(clock)) * each / u64::from(self.season);
        (day * each + within) as usize
    }

    fn slots_a_day(&self) -> u32 {
        let room = MAX_SLOTS / self.days.max(1);
        room.min(24).min(self.bins() as u32).max(1)
    }

    fn phase(&self, clock: u64) -> u32 {
        (clock % u64::from(self.season)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(step_s: u32, periods: &[u32]) -> Grid {
        let values = [1.0];
        Grid::of(&Series {
            values: &values,
            start_ms: 0,
            step_s,
            periods,
        })
    }

    #[test]
    fn a_day_has_at_most_288_ticks_and_a_week_168_slots() {
        for (step, stride, bins) in [(10, 30, 288), (60, 5, 288), (300, 1, 288), (3600, 1, 24)] {
            let g = grid(step, &[]);
            assert_eq!(
                (g.stride, g.bins(), g.slots()),
                (stride, bins, 168),
                "{step} s"
            );
        }
    }

    #[test]
    fn every_tick_ends_once_even_where_the_stride_does_not_divide() {
        for g in [grid(60, &[1000]), grid(60, &[1009]), grid(604_800, &[])] {
            let season = u64::from(g.season);
            let ends = (0..season * 3).filter(|c| g.ends_tick(*c)).count();
            assert_eq!(ends, 3 * g.bins());
            for c in 0..season * 3 {
                assert!(g.bin(c) < g.bins());
                assert_eq!(
                    g.between(5, c + 5),
                    (5..c + 5).filter(|c| g.ends_tick(*c)).count()
                );
                assert_eq!(
                    g.ends_tick(c),
                    c % season + 1 == season || g.bin(c + 1) != g.bin(c)
                );
            }
        }
    }

    #[test]
    fn slots_run_through_the_long_season_in_order() {
        let g = grid(3600, &[6, 24]);
        assert_eq!(g.slots(), 24);
        let seen: Vec<usize> = (0..24).map(|c| g.slot(c)).collect();
        assert_eq!(seen, (0..24).collect::<Vec<_>>());
    }
}
