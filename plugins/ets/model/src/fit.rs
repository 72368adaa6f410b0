//! From a history to a state: scale, seasons, class and gains, calibration.
//!
//! A seasonal profile that was estimated from a value fits that value too well: gains learned on
//! it are too small and intervals too narrow. So the profile of the first part of the history is
//! what gains and intervals of the rest are learned with; the final states then begin at the
//! profile of the whole.

use tidegate_model_kit::{ModelError, Series};

use crate::calibrate::calibrate;
use crate::config::{Config, ErrorChoice, SeasonChoice};
use crate::likelihood::Sample;
use crate::recursion::{Class, ErrorKind, Path, SeasonKind, TrendKind};
use crate::seasons::Seasons;
use crate::spread::Spread;
use crate::state::Smoothing;

/// The fewest observed points that any model is made of.
const NEED: usize = 3;
/// Below this, gains are not estimated.
const SHORT: usize = 12;
/// Values below this part of the typical value make a multiplicative model explode.
const TINY: f64 = 1e-3;

/// The relative one-step error beyond which multiplicative classes are not believed.
const LOUD: f64 = 0.35;

/// Fits a model to a history.
///
/// # Errors
/// [`ModelError::InsufficientData`] below three observed points; [`ModelError::InvalidInput`]
/// for a bad configuration, infinite values or a zero step; [`ModelError::Unsupported`] if a
/// multiplicative class is demanded of values at or below zero.
pub fn fit_plain(config: &Config, series: &Series<'_>) -> Result<Smoothing, ModelError> {
    config.validate()?;
    series.validate(NEED)?;
    let scale = series.scale();
    let z = series.scaled(scale);
    let positive = z.iter().all(|v| v.is_nan() || *v > TINY);
    if !positive
        && (config.error == ErrorChoice::Multiplicative
            || config.season == SeasonChoice::Multiplicative)
    {
        return Err(ModelError::Unsupported(
            "a multiplicative class needs values well above zero: use auto or additive".into(),
        ));
    }
    if series.observed() < SHORT {
        return Ok(short(&z, series, scale, config));
    }
    if positive {
        let state = estimate(config, series, &z, scale, true);
        let free =
            config.error == ErrorChoice::Auto && config.season != SeasonChoice::Multiplicative;
        // Relative errors that are this large are no small disturbances of the level: few counts,
        // or bursts. Their distribution is not a normal one around a factor.
        if !(free && state.relative_spread().is_some_and(|s| s > LOUD)) {
            return Ok(state);
        }
    }
    Ok(estimate(config, series, &z, scale, false))
}

/// The model of scaled values; `positive` admits multiplicative classes.
fn estimate(
    config: &Config,
    series: &Series<'_>,
    z: &[f64],
    scale: f64,
    positive: bool,
) -> Smoothing {
    let seasons = Seasons::find(config, series, z, positive);
    let newest = z.len().saturating_sub(config.likelihood_points as usize);
    let whole = Sample {
        z: &z[newest..],
        parts: &seasons.parts,
        from: newest,
        season: seasons.kind,
        clock: seasons.clock,
    };
    let cut = z.len() * 3 / 5;
    let head = seasons.of_head(&z[..cut]);
    let learn = match &head {
        Some(parts) if !parts.tables.is_empty() => {
            let from = newest.max(cut);
            Sample {
                z: &z[from..],
                parts,
                from,
                ..whole
            }
        }
        _ => whole,
    };
    let Some(best) = learn.select(config, positive) else {
        return short(z, series, scale, config);
    };
    let start = learn.start(best.class, &best.gains);
    let (knots, spread) = calibrate(&start, learn.z, Spread::new(best.sigma));
    let mut path = whole.start(best.class, &best.gains);
    let mut running = Spread::new(best.sigma);
    for v in whole.z {
        running.observe(&mut path, *v);
    }
    // The sigma of the unseen part is the honest one.
    running.set_sigma(spread.sigma());
    Smoothing::assemble(path, scale, running, knots, config.paths)
}

/// Too few points for a likelihood (or, with absurd values, none that is finite): a level that moves a little, and an interval that says so.
fn short(z: &[f64], series: &Series<'_>, scale: f64, config: &Config) -> Smoothing {
    let seen: Vec<f64> = z.iter().copied().filter(|v| !v.is_nan()).collect();
    let n = seen.len() as f64;
    let mean = seen.iter().sum::<f64>() / n;
    let deviation = (seen.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0)).sqrt();
    // Few points that happen to agree prove little: the floor fades with their number.
    let sigma = (deviation * (1.0 + 3.0 / n)).max(0.5 * mean.abs() / n);
    let class = Class {
        error: ErrorKind::Additive,
        trend: TrendKind::None,
        season: SeasonKind::None,
    };
    let mut path = Path {
        class,
        alpha: 0.3,
        beta: 0.0,
        phi: 0.0,
        level: mean,
        trend: 0.0,
        tables: Vec::new(),
        clock: series.clock(),
    };
    for v in z {
        path.observe(*v);
    }
    Smoothing::assemble(path, scale, Spread::new(sigma), Vec::new(), config.paths)
}
