//! Intervals of the classes without a closed form: sample paths from a seed.
//!
//! Paths come in pairs with opposite errors (antithetic), which makes the centre exact for a
//! linear model and halves the draws. Errors are relative and normal, cut where a value would
//! fall below zero: loads do not.

use tidegate_model_kit::Stream;

use crate::recursion::{ErrorKind, Path, SeasonKind};

/// Values per call; a long horizon gets fewer paths.
const BUDGET: usize = 400_000;
/// The fewest pairs of paths.
const FEWEST: usize = 40;

/// Simulates `paths` futures; the answer is `[step][path]`, flat, and the number of paths.
pub(crate) fn simulate(
    path: &Path,
    sigma: f64,
    horizon: usize,
    paths: u16,
    seed: u64,
) -> (Vec<f64>, usize) {
    let pairs = (usize::from(paths) / 2)
        .min(BUDGET / (2 * horizon.max(1)))
        .max(FEWEST);
    let mut values = vec![0.0; horizon * pairs * 2];
    let mut chance = Stream::new(seed);
    // Seasons act on a later cycle alone: within the first, they are read once for all paths.
    let moving = path
        .tables
        .iter()
        .any(|t| (t.period as usize) < horizon && t.gain > 1e-4);
    let seasons: Vec<f64> = (0..horizon)
        .map(|h| path.season(path.clock + h as u64))
        .collect();
    let still = {
        let mut p = path.clone();
        if !moving {
            p.tables.clear();
        }
        p
    };
    for pair in 0..pairs {
        let mut futures = [still.clone(), still.clone()];
        for h in 0..horizon {
            let draw = sigma * chance.normal();
            for (side, (future, sign)) in futures.iter_mut().zip([1.0, -1.0]).enumerate() {
                let season = if moving {
                    future.season(future.clock)
                } else {
                    seasons[h]
                };
                let base = future.level + future.phi * future.trend;
                let forecast = match future.class.season {
                    SeasonKind::None | SeasonKind::Additive => base + season,
                    SeasonKind::Multiplicative => base * season,
                };
                let error = match future.class.error {
                    ErrorKind::Additive => sign * draw,
                    ErrorKind::Multiplicative => forecast.max(0.0) * (sign * draw).max(-0.999),
                };
                values[(h * pairs + pair) * 2 + side] = forecast + error;
                future.absorb(base, season, forecast, error);
            }
        }
    }
    (values, 2 * pairs)
}
