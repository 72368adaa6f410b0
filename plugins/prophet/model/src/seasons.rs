//! Fourier seasons (Taylor and Letham 2018, section 3.2): a day, a week, a year, as columns.
//!
//! The shortest season gets the harmonics that describe a profile; a longer one those that say how
//! its days differ, at several times of the day, and none that the shorter one has already (the
//! seventh harmonic of a week is the first of a day). Prophet's three harmonics of a week cannot
//! tell a Saturday noon from a Saturday night, which is most of what a week does to load.

use serde::{Deserialize, Serialize};

use crate::calendar::{Calendar, day_of, is_day, is_week};

/// Harmonics of the shortest season.
const ORDER: usize = 18;
/// The highest harmonic of a longer season: day by day, at four times of the day.
const LONG_ORDER: usize = 31;
/// Harmonics of a year, as in the paper.
const YEAR_ORDER: usize = 10;
const YEAR_S: f64 = 365.25 * 86_400.0;

/// What a season's phase follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Follows {
    /// The local day.
    Day,
    /// The local week.
    Week,
    /// The absolute grid.
    Grid,
}

/// One season: a cosine and a sine per harmonic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Season {
    /// Its length in steps.
    pub(crate) period: f64,
    pub(crate) follows: Follows,
    /// The highest harmonic.
    order: u16,
    /// Multiples of this one belong to a shorter season; 0: none do.
    skip: u16,
}

impl Season {
    /// The seasons among `periods` (ascending, in steps) that `steps` of history show `cycles`
    /// times, and the year after two of it.
    pub(crate) fn find(periods: &[usize], steps: usize, step_s: u32, cycles: f64) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for p in periods.iter().take(3) {
            if (steps as f64) < cycles * *p as f64 {
                continue;
            }
            let follows = if is_day(*p, step_s) {
                Follows::Day
            } else if is_week(*p, step_s) {
                Follows::Week
            } else {
                Follows::Grid
            };
            let shorter = found.last().map(|s| s.period as usize);
            let skip = shorter
                .filter(|s| p.is_multiple_of(*s))
                .map_or(0, |s| p / s);
            let order = if found.is_empty() { ORDER } else { LONG_ORDER };
            found.push(Self {
                period: *p as f64,
                follows,
                order: order.min(p / 2) as u16,
                skip: u16::try_from(skip).unwrap_or(0),
            });
        }
        let year = YEAR_S / f64::from(step_s);
        if steps as f64 >= 2.0 * year {
            found.push(Self {
                period: year,
                follows: Follows::Grid,
                order: YEAR_ORDER as u16,
                skip: 0,
            });
        }
        found
    }

    fn harmonics(&self) -> impl Iterator<Item = u16> + '_ {
        (1..=self.order).filter(|k| self.skip == 0 || !k.is_multiple_of(self.skip))
    }

    /// Whether decoded numbers can be read.
    pub(crate) fn is_sound(&self) -> bool {
        self.period >= 1.0 && self.period.is_finite() && usize::from(self.order) <= LONG_ORDER
    }

    /// The number of its columns.
    pub(crate) fn width(&self) -> usize {
        2 * self.harmonics().count()
    }

    /// The number of its first columns that are slow: they share one prior, the others another.
    pub(crate) fn slow(&self) -> usize {
        let below = if self.skip > 0 { self.skip } else { 5 };
        2 * self.harmonics().filter(|k| *k < below).count()
    }

    /// What averaging over `bin` steps leaves of each harmonic.
    pub(crate) fn damping(&self, bin: usize) -> Vec<f64> {
        let half = std::f64::consts::PI / self.period;
        let kept = |k: u16| {
            let (over, under) = (
                libm::sin(half * f64::from(k) * bin as f64),
                libm::sin(half * f64::from(k)) * bin as f64,
            );
            if under.abs() > 1e-12 {
                over / under
            } else {
                1.0
            }
        };
        self.harmonics().flat_map(|k| [kept(k); 2]).collect()
    }

    /// The fraction of the season at a row, moved on by `ahead` steps.
    pub(crate) fn phase(&self, calendar: &Calendar<'_>, row: usize, week: f64, ahead: f64) -> f64 {
        let at = match self.follows {
            Follows::Day => day_of(week),
            Follows::Week => week,
            Follows::Grid => calendar.plain(row, self.period),
        };
        at + ahead / self.period
    }

    /// Appends the columns at a phase: rotations from one cosine and sine. Odd and even harmonics
    /// are two chains, by twice the angle, so that neither waits for the other.
    fn columns(&self, phase: f64, out: &mut Vec<f64>) {
        let angle = std::f64::consts::TAU * phase;
        let first = (libm::cos(angle), libm::sin(angle));
        let turn = |(c, s): (f64, f64), (by_c, by_s): (f64, f64)| {
            (c * by_c - s * by_s, s * by_c + c * by_s)
        };
        let twice = turn(first, first);
        let mut pair = [first, twice];
        let (mut left, mut until_skip) = (self.order, self.skip);
        while left > 0 {
            for (c, s) in pair.iter().take(usize::from(left)) {
                until_skip = until_skip.wrapping_sub(1);
                if until_skip == 0 {
                    until_skip = self.skip;
                } else {
                    out.extend_from_slice(&[*c, *s]);
                }
            }
            pair = pair.map(|p| turn(p, twice));
            left = left.saturating_sub(2);
        }
    }
}

/// Writes the columns of all seasons at a row, moved on by `ahead` steps.
pub(crate) fn columns(
    seasons: &[Season],
    calendar: &Calendar<'_>,
    row: usize,
    ahead: f64,
    out: &mut Vec<f64>,
) {
    out.clear();
    let week = calendar.week(row);
    for season in seasons {
        season.columns(season.phase(calendar, row, week, ahead), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model_kit::Covariates;

    #[test]
    fn a_week_has_no_harmonic_of_the_day() {
        let seasons = Season::find(&[288, 2016], 4032, 300, 2.0);
        assert_eq!(seasons.len(), 2);
        assert_eq!(seasons[0].width(), 36);
        assert_eq!(seasons[1].width(), 2 * 27);
        assert_eq!(seasons[1].slow(), 12);
    }

    #[test]
    fn two_years_are_needed_for_a_year() {
        assert_eq!(Season::find(&[24], 24 * 730, 3600, 2.0).len(), 1);
        assert_eq!(Season::find(&[24], 24 * 731, 3600, 2.0).len(), 2);
    }

    #[test]
    fn columns_are_the_cosines_and_sines_of_the_phase() {
        let seasons = Season::find(&[24], 48, 3600, 2.0);
        let calendar = Calendar::new(0, 3600, &Covariates::default(), 0.0);
        let mut out = Vec::new();
        columns(&seasons, &calendar, 5, 0.0, &mut out);
        for (k, pair) in out.chunks(2).enumerate() {
            let angle = std::f64::consts::TAU * 5.0 / 24.0 * (k + 1) as f64;
            assert!((pair[0] - libm::cos(angle)).abs() < 1e-12);
            assert!((pair[1] - libm::sin(angle)).abs() < 1e-12);
        }
    }

    #[test]
    fn damping_is_what_a_mean_over_the_bin_does() {
        let season = Season::find(&[96], 192, 900, 2.0)[0];
        let mean = (0..4)
            .map(|i| libm::cos(std::f64::consts::TAU * (f64::from(i) - 1.5) * 3.0 / 96.0))
            .sum::<f64>()
            / 4.0;
        assert!((season.damping(4)[4] - mean).abs() < 1e-12);
    }
}
