//! From a history to a state: scale, seasons, orders, one walk with a back-test, corrections.

use tidegate_model_kit::{Covariates, Half, ModelError, Series};

use crate::arma::Ahead;
use crate::config::{Choice, Config, TransformChoice};
use crate::direct::{DEVIATES, Knot, Rows};
use crate::events::{MOST, NAME};
use crate::path::Path;
use crate::select::{Sample, Selected};
use crate::state::{State, running};
use crate::transform::{Transform, is_positive};

/// The fewest observed points that any model is made of.
const NEED: usize = 3;
/// Below this, nothing is compared.
const SHORT: usize = 12;
/// The horizons that are measured: about two per doubling.
const HORIZONS: [usize; 24] = [
    1, 2, 3, 4, 6, 8, 12, 18, 24, 36, 48, 72, 96, 144, 192, 288, 432, 576, 864, 1152, 1728, 2304,
    3456, 4608,
];

/// Fits a model to a history with nothing known beside it.
///
/// # Errors
/// As [`fit_with`].
pub fn fit(config: &Config, series: &Series<'_>) -> Result<State, ModelError> {
    fit_with(config, series, &Covariates::default())
}

/// Fits a model to a history; `known` has a row per value, of which events are used.
///
/// # Errors
/// [`ModelError::InsufficientData`] below three observed points; [`ModelError::InvalidInput`]
/// for a bad configuration, infinite values or a zero step; [`ModelError::Unsupported`] if
/// logarithms are demanded of values at or below zero.
pub fn fit_with(
    config: &Config,
    series: &Series<'_>,
    known: &Covariates<'_>,
) -> Result<State, ModelError> {
    config.validate()?;
    series.validate(NEED)?;
    let scale = series.scale();
    let values = series.scaled(scale);
    let periods = series.seasons();
    let n = values.len();
    let day = periods.first().copied().filter(|d| n * 2 >= d * 5);
    let block = day.map_or(n / 12, |d| d / 4);
    let transform = match config.transform {
        TransformChoice::None => Transform::None,
        TransformChoice::Auto => Transform::choose(&values, block),
        TransformChoice::Log if is_positive(&values) => Transform::Log,
        TransformChoice::Log => {
            return Err(ModelError::Unsupported(
                "logarithms need values well above zero: use auto or none".into(),
            ));
        }
    };
    let (events, settled) = told_apart(known, n);
    let seen: Vec<f64> = values
        .iter()
        .zip(&events)
        .map(|(v, e)| {
            if e.is_empty() {
                transform.forward(*v)
            } else {
                f64::NAN
            }
        })
        .collect();
    let week = day.and_then(|d| {
        let longer = periods.iter().copied();
        let mut longer = longer.filter(|w| w % d == 0 && *w >= 2 * d && n >= 2 * w + d);
        longer.next()
    });
    let sample = Sample {
        filled: &fill(&seen, day),
        seen: &seen,
        clock: series.clock(),
        day,
        week,
    };
    let ordinary = seen.iter().filter(|v| !v.is_nan()).count();
    if ordinary < NEED {
        let have = ordinary;
        return Err(ModelError::InsufficientData { have, need: NEED });
    }
    let walk = Walk {
        config,
        sample,
        values: &values,
        events: &events,
        reach: day.map_or(n, |d| 2 * d).min(n / 4),
    };
    let (path, begins) = if ordinary < SHORT {
        walk.begin(&Selected::none())
    } else {
        walk.begin(&sample.select(config, &walk.horizons()))
    };
    let mut state = State {
        scale,
        transform,
        path,
        knots: Vec::new(),
        effects: Vec::new(),
        settled,
    };
    state.knots = walk.run(&mut state, begins);
    if let Some(season) = &mut state.path.season {
        season.settle();
    }
    if state.knots.is_empty() {
        state.knots = guess(&seen, ordinary);
    }
    Ok(state)
}

/// The kinds of event on each of `n` rows, and the kinds that are none: what runs most of the time
/// is the ordinary case, and so are all where together they do.
fn told_apart<'a>(known: &Covariates<'a>, n: usize) -> (Vec<Vec<&'a str>>, Vec<String>) {
    let mostly = |on: usize| on * 2 > n;
    let usual = |column: &[f64]| mostly(column.iter().take(n).filter(|v| **v > 0.0).count());
    let settled = |kinds: &mut dyn Iterator<Item = &'a str>| -> Vec<String> {
        let named = kinds.filter(|kind| kind.len() <= NAME).take(MOST);
        named.map(str::to_owned).collect()
    };
    let rows = |settled: &[String]| -> Vec<Vec<&'a str>> {
        (0..n).map(|row| running(known, row, settled)).collect()
    };
    let some = settled(
        &mut known
            .events()
            .filter(|(_, c)| usual(c))
            .map(|(kind, _)| kind),
    );
    let events = rows(&some);
    if !mostly(events.iter().filter(|e| !e.is_empty()).count()) {
        return (events, some);
    }
    let seen = known.events().filter(|(_, c)| c.iter().any(|v| *v > 0.0));
    (
        vec![Vec::new(); n],
        settled(&mut seen.map(|(kind, _)| kind)),
    )
}

/// The one walk over the history that ends in the state.
struct Walk<'a> {
    config: &'a Config,
    sample: Sample<'a>,
    values: &'a [f64],
    events: &'a [Vec<&'a str>],
    reach: usize,
}

impl Walk<'_> {
    fn horizons(&self) -> Vec<usize> {
        let within = HORIZONS.iter().copied();
        within.filter(|h| *h <= self.reach.max(1)).collect()
    }

    /// A path before its first step, and the number of that step.
    fn begin(&self, found: &Selected) -> (Path, usize) {
        let season = self.sample.season(found.gain);
        let begins = if season.is_some() {
            self.sample.day.unwrap_or(0)
        } else {
            0
        };
        let clock = self.sample.clock + begins as u64;
        let start = &self.sample.filled[begins.saturating_sub(1)..];
        let first = start.first().copied().unwrap_or(0.0);
        let seasonal = found.seasonal && season.is_some();
        (
            Path::new(season, seasonal, found.arma.clone(), clock, first),
            begins,
        )
    }

    /// Shows the state the history from `begins` on, and measures what it foresaw.
    fn run(&self, state: &mut State, begins: usize) -> Vec<Knot> {
        let n = self.values.len();
        let horizons = self.horizons();
        let ahead = Ahead::new(&state.path.arma, &horizons);
        let start = self
            .sample
            .day
            .map_or(n / 5, |d| 2 * d)
            .min(n / 2)
            .max(begins + 1);
        let every = n
            .saturating_sub(start)
            .div_ceil(usize::from(self.config.origins))
            .max(1);
        let width = match self.config.direct {
            Choice::None => 0,
            Choice::Auto if n < 3 * self.sample.day.unwrap_or(n) => 0,
            Choice::Auto => state.path.width(),
        };
        // A lag that is not filled yet teaches nothing.
        let taught = if width > 0 {
            self.sample.week.unwrap_or(0)
        } else {
            0
        };
        let mut rows: Vec<Rows> = horizons.iter().map(|_| Rows::default()).collect();
        let mut x = Vec::new();
        for t in begins..n {
            state.step(self.values[t], &self.events[t]);
            let origin = t >= start.max(taught) && (n - 1 - t).is_multiple_of(every);
            if !origin || !self.events[t].is_empty() {
                continue;
            }
            for (index, (h, rows)) in horizons.iter().zip(&mut rows).enumerate() {
                let Some(z) = self.sample.seen.get(t + h).filter(|z| !z.is_nan()) else {
                    continue;
                };
                let path = &state.path;
                let base = ahead.at(&path.arma, &path.memory, index)
                    + path.profile(path.clock + *h as u64 - 1)
                    + path.shifted;
                rows.misses.push(z - base);
                rows.origins.push(t);
                if width > 0 {
                    path.regressors(*h, &mut x);
                    rows.x.extend(&x);
                }
            }
        }
        let per_day = self.sample.day.unwrap_or(n) as f64;
        let measured = horizons
            .iter()
            .zip(rows)
            .filter(|(_, r)| r.misses.len() >= 5);
        let knots = measured.map(|(h, rows)| rows.knot(*h, per_day, width, n, state.transform));
        knots.filter(|k| k.is_sound(width)).collect()
    }
}

/// Missing values by the value a day before, else by a line between neighbours.
fn fill(seen: &[f64], day: Option<usize>) -> Vec<f64> {
    let mut filled: Vec<f64> = Vec::with_capacity(seen.len());
    let mut next = 0;
    for (t, v) in seen.iter().enumerate() {
        if !v.is_nan() {
            filled.push(*v);
            continue;
        }
        if let Some(before) = day.and_then(|d| t.checked_sub(d)) {
            filled.push(filled[before]);
            continue;
        }
        next = next.max(t);
        while seen.get(next).is_some_and(|v| v.is_nan()) {
            next += 1;
        }
        let value = match (filled.last(), seen.get(next)) {
            (Some(a), Some(b)) => a + (b - a) / (next - t + 1) as f64,
            (Some(a), None) => *a,
            (None, Some(b)) => *b,
            (None, None) => 0.0,
        };
        filled.push(value);
    }
    filled
}

/// Errors of a model that could not be measured: the spread of its few values, and more.
fn guess(seen: &[f64], n: usize) -> Vec<Knot> {
    let count = n as f64;
    let values = || seen.iter().filter(|v| !v.is_nan());
    let mean = values().sum::<f64>() / count;
    let squares: f64 = values().map(|v| (v - mean) * (v - mean)).sum();
    // Few points that happen to agree prove little: the floor fades with their number.
    let sigma = (squares / (count - 1.0)).sqrt() * (1.0 + 3.0 / count);
    let sigma = sigma.max(0.5 * mean.abs() / count);
    vec![Knot {
        horizon: 1,
        coefficients: Vec::new(),
        errors: DEVIATES.map(|d| Half::new(d * sigma)),
    }]
}
