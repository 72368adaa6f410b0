//! Which season to repeat, and what it got wrong before.

use tidegate_model_kit::{Bins, ModelError, Series};

use crate::config::{Config, SeasonChoice};
use crate::spread::measure;
use crate::state::Repeat;

/// The fewest observed points: two differences.
const NEED: usize = 3;
/// The longest season that is chosen unasked, a week of five minutes: a state holds every phase.
const AUTO_LIMIT: usize = 2016;
/// A season of so many values is small anyhow, and has these digits at least.
const SMALL: usize = 200;
const EXACT: u16 = 1024;
/// Below this, agreeing points prove little, and the interval has a floor.
const SHORT: usize = 12;

/// Fits to a history: chooses the season, keeps its last cycle and the error quantiles.
///
/// # Errors
/// [`ModelError::InsufficientData`] below three observed points; [`ModelError::InvalidInput`] for
/// a bad configuration, infinite values or a zero step.
pub fn fit_plain(config: &Config, series: &Series<'_>) -> Result<Repeat, ModelError> {
    config.validate()?;
    series.validate(NEED)?;
    let scale = series.scale();
    let z = series.scaled(scale);
    let mut seasons = series.seasons();
    if config.season == SeasonChoice::Auto {
        seasons.retain(|m| *m <= AUTO_LIMIT);
    }
    let period = choose(config.season, &z, &seasons);
    let have = series.observed();
    let floor = if have < SHORT {
        let mean = z.iter().filter(|v| !v.is_nan()).sum::<f64>() / have as f64;
        0.5 * mean.abs() / have as f64
    } else {
        0.0
    };
    let knots = measure(&z, period, floor);
    let mut cycle = last_cycle(&z, period);
    fill(&mut cycle);
    // The cycle is in time order from the oldest step; the table is by phase.
    let end = series.clock() + z.len() as u64;
    let shift = (end % period as u64) as usize;
    cycle.rotate_right(shift);
    let mut table = Bins::free(cycle.iter().map(|v| *v as f32).collect());
    let digits = if table.len() <= SMALL {
        config.digits.max(EXACT)
    } else {
        config.digits
    };
    table.settle(digits);
    Ok(Repeat::assemble(scale, end, table, knots))
}

fn choose(choice: SeasonChoice, z: &[f64], seasons: &[usize]) -> usize {
    let whole: Vec<usize> = seasons.iter().copied().filter(|m| *m < z.len()).collect();
    match choice {
        SeasonChoice::None => 1,
        SeasonChoice::Shortest => whole.first().copied().unwrap_or(1),
        SeasonChoice::Longest => whole.last().copied().unwrap_or(1),
        SeasonChoice::Auto => {
            // A season needs half of the shortest one as evidence beyond its first cycle, and
            // must beat the last value a quarter and half a season ahead; a longer one must beat
            // the shorter on the same steps.
            let evidence = seasons.first().map_or(1, |m| m.div_ceil(2));
            let mut best = 1;
            for m in whole.into_iter().filter(|m| m + evidence <= z.len()) {
                let rival = if best == 1 {
                    0.5 * (difference(z, m / 2, m) + difference(z, (m / 4).max(1), m))
                } else {
                    difference(z, best, m)
                };
                // NaN (nothing to compare) never wins.
                if difference(z, m, m) < rival {
                    best = m;
                }
            }
            best
        }
    }
}

/// The mean absolute difference over `lag` steps, from step `from` on.
fn difference(z: &[f64], lag: usize, from: usize) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for t in from.max(lag)..z.len() {
        let d = (z[t] - z[t - lag]).abs();
        if d.is_finite() {
            sum += d;
            n += 1.0;
        }
    }
    sum / n
}

/// The newest observed value of each phase, in time order of the last cycle; NaN where a phase
/// was never observed.
fn last_cycle(z: &[f64], period: usize) -> Vec<f64> {
    let n = z.len();
    (0..period)
        .map(|i| {
            // Phase of position n - period + i, which may lie before the history.
            let newest = n + i;
            (1..=newest / period)
                .map(|k| newest - k * period)
                .find_map(|t| z.get(t).copied().filter(|v| !v.is_nan()))
                .unwrap_or(f64::NAN)
        })
        .collect()
}

/// Fills phases that were never observed from the phase before, around the cycle.
fn fill(cycle: &mut [f64]) {
    let Some(mut last) = cycle.iter().rev().copied().find(|v| !v.is_nan()) else {
        return;
    };
    for v in cycle {
        if v.is_nan() {
            *v = last;
        } else {
            last = *v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(period: usize) -> impl Fn(usize) -> f64 {
        move |t| ((t % period) as f64 - period as f64 / 2.0).abs()
    }

    #[test]
    fn a_daily_wave_is_a_day_and_a_weekly_one_a_week() {
        let day: Vec<f64> = (0..24 * 21).map(wave(24)).collect();
        assert_eq!(choose(SeasonChoice::Auto, &day, &[24, 168]), 24);
        let week: Vec<f64> = (0..24 * 21).map(wave(168)).collect();
        assert_eq!(choose(SeasonChoice::Auto, &week, &[24, 168]), 168);
    }

    #[test]
    fn a_random_walk_has_no_season() {
        let mut s = tidegate_model_kit::Stream::new(9);
        let mut y = 100.0;
        let walk: Vec<f64> = (0..24 * 10)
            .map(|_| {
                y += s.normal();
                y
            })
            .collect();
        assert_eq!(choose(SeasonChoice::Auto, &walk, &[24]), 1);
    }

    #[test]
    fn a_short_history_falls_back_to_a_shorter_season_and_to_none() {
        let day: Vec<f64> = (0..100).map(wave(24)).collect();
        assert_eq!(choose(SeasonChoice::Longest, &day, &[24, 168]), 24);
        assert_eq!(choose(SeasonChoice::Auto, &day[..20], &[24, 168]), 1);
    }

    #[test]
    fn a_gap_in_the_last_cycle_is_filled_from_the_cycle_before() {
        let mut z: Vec<f64> = (0..12).map(f64::from).collect();
        z[9] = f64::NAN;
        assert_eq!(last_cycle(&z, 4), vec![8.0, 5.0, 10.0, 11.0]);
    }
}
