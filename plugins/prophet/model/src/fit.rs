//! From a history to a state: design, solution, back-tests, and the newest residuals.

use tidegate_model_kit::{Covariates, Half, ModelError, Series, dot, quantile};

use crate::backtest::{self, Measured};
use crate::calendar::Calendar;
use crate::config::{Ar, Config, Growth, Seasonality};
use crate::curve::Curve;
use crate::design::{CHANGE_RANGE, Design, Material, seen_events};
use crate::events;
use crate::map::{Map, TrendPrior};
use crate::memory::Memory;
use crate::residuals::Reach;
use crate::seasons::{self, Season};
use crate::state::{Parts, State};
use crate::trend::Trend;

/// The fewest observed points that any model is made of.
const NEED: usize = 3;
/// Below this, a mean and the last value are all that is believed.
const SHORT: usize = 24;
/// Bins per changepoint at least.
const BINS_PER_BEND: usize = 40;
/// Cycles that a season must have been seen.
const CYCLES: f64 = 1.9;
/// The trend must vary by this factor before a season can follow it.
const VARIES: f64 = 1.2;
/// A multiplicative season must leave this part of the scatter of an additive one.
const CLEARLY: f64 = 0.99;
/// A load above this part of its large values has begun.
const BORN: f64 = 0.02;
/// The last slope goes on for this part of the history, which is what back-tests can judge it by: a
/// day that rises is no week that does.
const HOLDS: usize = 4;
/// The most kinds of events that are learned.
const MOST_EVENTS: usize = 32;

/// [`fit_with`] nothing known beside the series.
///
/// # Errors
/// As [`fit_with`].
pub fn fit(config: &Config, series: &Series<'_>) -> Result<State, ModelError> {
    fit_with(config, series, &Covariates::default())
}

/// Fits the model to a history, with what is known on its rows: `minute-of-day` and `day-of-week`
/// in local time, and a column `event:KIND` (1 while it runs) per kind of event.
///
/// # Errors
/// [`ModelError::InsufficientData`] below three observed points; [`ModelError::InvalidInput`]
/// for a bad configuration, infinite values or a zero step.
pub fn fit_with(
    config: &Config,
    series: &Series<'_>,
    known: &Covariates<'_>,
) -> Result<State, ModelError> {
    config.validate()?;
    series.validate(NEED)?;
    let birth = birth(series.values);
    let n = series.values.len();
    let (series, known) = (later(series, birth), known.rows(birth..n));
    let scale = series.scale();
    let z = series.scaled(scale);
    let calendar = Calendar::new(series.clock(), series.step_s, &known, 0.0);
    let parts = Parts::new(config, &series, scale, &calendar);
    if series.observed() < SHORT {
        return Ok(short(parts, &z));
    }
    let seasons = Season::find(&series.seasons(), z.len(), series.step_s, CYCLES);
    let mut seen = seen_events(&series, &known);
    seen.truncate(MOST_EVENTS);
    let (kinds, columns): (Vec<&str>, Vec<&[f64]>) = seen.into_iter().unzip();
    let material = Material {
        z: &z,
        calendar: &calendar,
        seasons: &seasons,
        events: &columns,
    };
    Ok(long(config, &material, &kinds, &parts).unwrap_or_else(|| short(parts, &z)))
}

/// The first row of the load: an api that was not there yet says nothing of the one that is.
fn birth(values: &[f64]) -> usize {
    let mut sizes: Vec<f64> = values
        .iter()
        .filter(|v| !v.is_nan())
        .map(|v| v.abs())
        .collect();
    let alive = BORN * quantile(&mut sizes, 0.9);
    let birth = values.iter().position(|v| v.abs() > alive).unwrap_or(0);
    let seen = values.iter().skip(birth).filter(|v| !v.is_nan()).count();
    if birth >= SHORT && seen >= SHORT {
        birth
    } else {
        0
    }
}

/// A series without its first rows.
fn later<'a>(series: &Series<'a>, rows: usize) -> Series<'a> {
    let step_ms = i64::from(series.step_s).saturating_mul(1000);
    let moved = step_ms.saturating_mul(i64::try_from(rows).unwrap_or(i64::MAX));
    Series {
        values: &series.values[rows..],
        start_ms: series.start_ms.saturating_add(moved),
        ..*series
    }
}

/// The model of the paper and its residuals; `None` where the numbers allow none.
fn long(config: &Config, material: &Material<'_>, kinds: &[&str], parts: &Parts) -> Option<State> {
    let (z, seasons) = (material.z, material.seasons);
    let (design, map, typical, follow) = solve(config, material)?;
    let sizes = &map.beta[2..2 + design.changepoints.len()];
    let bends = sizes.len() as f64;
    let n = z.len() as f64;
    let rate = bends / (CHANGE_RANGE * n);
    let bend = sizes.iter().map(|d| d.abs()).sum::<f64>() / bends.max(1.0) / n;
    let measured = backtest::measure(config, &design, &map, material, typical, (rate, bend))?;
    let Measured {
        keep,
        power,
        typical: level,
        reaches,
        knots,
        farthest,
    } = measured;
    let curve = Curve {
        beta: &map.beta,
        design: &design,
        origin: z.len(),
        keep,
        typical,
    };
    let coefficients = &map.beta[design.season_columns()];
    let mut state = State {
        seasons: seasons.to_vec(),
        coefficients: coefficients.iter().map(|b| Half::new(*b)).collect(),
        trend: Trend {
            level: curve.trend(n - 1.0),
            slope: keep * map.beta[1] / n,
            age: 0,
            limit: u32::try_from((z.len() / HOLDS).max(1)).unwrap_or(u32::MAX),
            rate,
            bend,
        },
        swing: typical,
        power,
        typical: level,
        events: events::learn(&design, &map.beta, kinds, &follow),
        memory: Memory::new(z.len(), backtest::places(seasons), farthest),
        reaches,
        knots,
        ..State::plain(parts.clone())
    };
    // The newest residuals, as the state will see those to come.
    let start = z.len().saturating_sub(8 * 288 * design.bin);
    let mut columns = Vec::new();
    for (row, v) in z.iter().enumerate().skip(start) {
        seasons::columns(seasons, material.calendar, row, 0.0, &mut columns);
        let load = curve.at(row, &columns);
        let effect: f64 = state
            .events
            .iter()
            .zip(material.events)
            .map(|(e, c)| {
                let share = c.get(row).copied().unwrap_or(0.0).clamp(0.0, 1.0);
                share * e.effect * events::strength(load, level, e.proportional)
            })
            .sum();
        let phase = backtest::first_phase(seasons, material, row);
        state.memory.observe(v - load - effect, phase);
    }
    state.memory.settle();
    Some(state)
}

type Solution = (Design, Map, Option<f64>, Vec<bool>);

/// Solves with additive seasons and events, then again with what follows trend or load.
fn solve(config: &Config, material: &Material<'_>) -> Option<Solution> {
    let sloped = config.growth != Growth::Flat;
    let prior = TrendPrior {
        change: config.changepoint_prior,
        sloped,
    };
    let bends = |bins: usize| {
        if sloped {
            usize::from(config.changepoints).min(bins / BINS_PER_BEND)
        } else {
            0
        }
    };
    let design = Design::new(material, bends(material.z.len()));
    let ends = backtest::ends(&design);
    let map = Map::fit(&design, prior, &ends)?;
    let ordinary = events::ordinary(&design, &map.beta);
    let level = mean(&ordinary);
    let follow = events::proportional(&design, &map.beta, &ordinary, level);
    let trend = trend(&design, &map.beta);
    let typical = mean(&trend);
    let varies = multiplies(config, &trend, typical) && !material.seasons.is_empty();
    if !varies && !follow.contains(&true) {
        return Some((design, map, None, follow));
    }
    let again = |multiply: bool| -> Option<(Design, Map)> {
        let mut design = Design::new(material, bends(material.z.len()));
        if multiply {
            let swings: Vec<f64> = trend
                .iter()
                .map(|g| crate::curve::swing(*g, Some(typical)))
                .collect();
            design.modulate(design.season_columns(), &swings);
        }
        for (j, _) in design.events.clone().zip(&follow).filter(|(_, f)| **f) {
            let strengths: Vec<f64> = ordinary
                .iter()
                .map(|v| events::strength(*v, level, true))
                .collect();
            design.modulate(j..j + 1, &strengths);
        }
        let map = Map::fit(&design, prior, &ends)?;
        Some((design, map))
    };
    let plain = if follow.contains(&true) {
        again(false)?
    } else {
        (design, map)
    };
    if varies {
        let product = again(true)?;
        let forced = config.seasonality == Seasonality::Multiplicative;
        if forced || scatter(&product) < CLEARLY * scatter(&plain) {
            return Some((product.0, product.1, Some(typical), follow));
        }
    }
    Some((plain.0, plain.1, None, follow))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / (values.len() as f64).max(1.0)
}

fn trend(design: &Design, beta: &[f64]) -> Vec<f64> {
    let width = 2 + design.changepoints.len();
    (0..design.bins())
        .map(|i| dot(&design.row(i)[..width], &beta[..width]))
        .collect()
}

/// Whether multiplicative seasons are to be tried: the trend stays above zero and varies.
fn multiplies(config: &Config, trend: &[f64], typical: f64) -> bool {
    let low = trend.iter().copied().fold(f64::INFINITY, f64::min);
    let high = trend.iter().copied().fold(0.0, f64::max);
    match config.seasonality {
        Seasonality::Additive => false,
        Seasonality::Multiplicative => typical > 0.0,
        Seasonality::Auto => low > 0.1 * typical && high > VARIES * low,
    }
}

fn scatter((design, map): &(Design, Map)) -> f64 {
    (0..design.bins())
        .map(|i| design.w[i] * (design.y[i] - dot(design.row(i), &map.beta)).abs())
        .sum()
}

/// Too few points for a fit (or, with absurd values, none that is finite): a mean, the last
/// value's pull towards itself, and an interval that says so.
fn short(parts: Parts, z: &[f64]) -> State {
    let seen: Vec<f64> = z.iter().copied().filter(|v| !v.is_nan()).collect();
    let n = seen.len() as f64;
    let mean = mean(&seen);
    let deviations: Vec<f64> = seen.iter().map(|v| v - mean).collect();
    let squares: f64 = deviations.iter().map(|d| d * d).sum();
    let cross: f64 = deviations.windows(2).map(|w| w[0] * w[1]).sum();
    // Few points that happen to agree prove little: the floor fades with their number.
    let sigma = ((squares / (n - 1.0)).sqrt() * (1.0 + 3.0 / n)).max(0.5 * mean.abs() / n);
    let pull = if parts.ar == Ar::None || squares <= 0.0 {
        0.0
    } else {
        (cross / squares + 0.5).clamp(0.0, 0.95)
    };
    let mut memory = Memory::new(1, 0, 0.0);
    for v in z {
        memory.observe(v - mean, 0.0);
    }
    memory.settle();
    let reach = |h: u32| {
        let w = libm::pow(pull, f64::from(h));
        Reach {
            horizon: h,
            weights: vec![Half::new(w)],
            sd: Half::new(sigma * (1.0 - 0.9 * w * w).sqrt()),
        }
    };
    State {
        trend: Trend {
            level: mean,
            ..Trend::default()
        },
        typical: mean.abs(),
        memory,
        reaches: (0..8).map(|k| reach(1 << k)).collect(),
        ..State::plain(parts)
    }
}
