//! What the fit would have been worth in its own past.
//!
//! The Gram matrices of growing beginnings of the history are at hand, so that five earlier fits
//! cost five small solves. Each is run through the rows after it, as the state will be through
//! the rows to come: it says whether the trend's last slope may go on, what residuals tell of later
//! ones, how noise follows the load, and how wide the interval is. An event's effect is taken
//! from the whole history: it is not what is measured here.

use tidegate_model_kit::{Half, Knot, quantile, sort_floats};

use crate::config::{Ar, Config, Growth};
use crate::curve::Curve;
use crate::design::{Design, Material};
use crate::map::Map;
use crate::memory::{Memory, PLACES};
use crate::residuals::{Example, Reach, regress, widened};
use crate::seasons::{self, Season};
use tidegate_model_kit::dot;

/// Parts of the newest history that are seen by the earlier fits.
const FRACTIONS: [f64; 5] = [0.5, 0.6, 0.7, 0.8, 0.9];
/// The newest steps that back-tests run over.
const LONGEST: usize = 40_320;
/// Origins of residual forecasts.
const ORIGINS: usize = 800;
/// Cycles that a season must have shown to an earlier fit.
const CYCLES: f64 = 1.5;
/// The relative size of the load, where noise is measured by it, is kept within these.
const RELATIVE: (f64, f64) = (0.05, 20.0);
/// The 90 % point of the normal distribution.
const NEAR: f64 = 1.281_551_565_544_600_4;
/// How much more variance there is than held-out errors have, a whole back-test ahead.
const FLATTERY: f64 = 1.5;
/// Powers of the load's size that noise may follow.
const POWERS: [f64; 3] = [0.0, 0.5, 1.0];

/// What is measured.
#[derive(Debug)]
pub(crate) struct Measured {
    /// The share of the last slope that goes on.
    pub(crate) keep: f64,
    /// Noise is in proportion to this power of the load's relative size.
    pub(crate) power: f64,
    /// The load's typical size.
    pub(crate) typical: f64,
    pub(crate) reaches: Vec<Reach>,
    pub(crate) knots: Vec<Knot>,
    /// The largest distance of a residual from those before it.
    pub(crate) farthest: f64,
}

/// The bins that each back-test begins at, ascending.
pub(crate) fn ends(design: &Design) -> Vec<usize> {
    let bins = design.bins();
    let newest = (LONGEST / design.bin).min(bins);
    FRACTIONS
        .iter()
        .map(|f| bins - newest + (f * newest as f64) as usize)
        .collect()
}

/// A back-test: an earlier fit, and the rows that are its own to forecast from.
#[derive(Debug)]
struct Fold {
    beta: Vec<f64>,
    from: usize,
    to: usize,
}

/// The relative size of a load, to the power that noise follows.
pub(crate) fn noise(load: f64, typical: f64, power: f64) -> f64 {
    if power == 0.0 || typical <= 0.0 {
        return 1.0;
    }
    libm::pow((load / typical).clamp(RELATIVE.0, RELATIVE.1), power)
}

/// The standard deviation that unknown changes of slope add in `h` steps: a compound Poisson
/// process of Laplace changes, integrated.
pub(crate) fn bend_deviation(rate: f64, size: f64, h: f64) -> f64 {
    (rate * 2.0 * size * size * h * h * h / 3.0).sqrt()
}

/// Runs the back-tests. `bends`: the rate (per step) and mean size (per step) of changes of slope.
pub(crate) fn measure(
    config: &Config,
    design: &Design,
    map: &Map,
    material: &Material<'_>,
    typical: Option<f64>,
    bends: (f64, f64),
) -> Option<Measured> {
    let folds = folds(design, map, material.seasons)?;
    let keep = match config.growth {
        Growth::Flat => 0.0,
        Growth::Linear => 1.0,
        Growth::Auto => earned(design, map, &folds),
    };
    let curves: Vec<Curve<'_>> = folds
        .iter()
        .map(|f| Curve {
            beta: &f.beta,
            design,
            origin: f.from,
            keep,
            typical,
        })
        .collect();
    let first = folds.first()?.from;
    let n = material.z.len();
    let span = n - first;
    let horizons: Vec<usize> = std::iter::successors(Some(1usize), |h| Some(h * 2))
        .take_while(|h| *h <= (span / 3).max(1))
        .collect();
    let longest = *horizons.last()?;
    let loads = loads(design, material, &folds, &curves, longest);
    let stride = span.div_ceil(ORIGINS);
    let (samples, farthest, width) = samples(material, &folds, &loads, &horizons, stride);
    let shares: Vec<f64> = horizons
        .iter()
        .map(|h| (stride as f64 / *h as f64).min(1.0))
        .collect();
    let level = mean_size(&samples[0]);
    let power = power(&samples, level, &shares, width)?;
    let mut reaches: Vec<Reach> = Vec::new();
    let mut knots = Vec::new();
    let mut before = vec![0.0; width];
    for ((h, list), share) in horizons.iter().zip(&samples).zip(&shares) {
        if list.is_empty() {
            break;
        }
        let examples: Vec<Example> = list
            .iter()
            .map(|(e, load)| Example {
                noise: noise(*load, level, power),
                ..*e
            })
            .collect();
        let (weights, errors) = match config.ar {
            Ar::None => (
                vec![0.0; before.len()],
                examples.iter().map(|e| e.y / e.noise).collect(),
            ),
            Ar::Auto => (
                regress(&examples, None, &before, *share)?,
                held_out(&examples, folds.len(), &before, *share)?,
            ),
        };
        let count = errors.len() as f64;
        // Priors and pulled-in spikes were learned on the whole history, and an error far ahead is
        // one of few: what was held out flatters.
        let sd = spread(&errors) * (1.0 + FLATTERY * *h as f64 / span as f64).sqrt();
        let whole = spread(&errors).hypot(bend_deviation(bends.0, bends.1, *h as f64));
        let mut deviates: Vec<f64> = errors
            .iter()
            .map(|e| if whole > 0.0 { e / whole } else { 0.0 })
            .collect();
        sort_floats(&mut deviates);
        if whole > 0.0 {
            knots.push(Knot::measured(*h, &deviates, count * share));
        }
        reaches.push(Reach {
            horizon: u32::try_from(*h).unwrap_or(u32::MAX),
            weights: weights.iter().map(|w| Half::new(*w)).collect(),
            sd: Half::new(sd),
        });
        before = weights;
    }
    Some(Measured {
        keep,
        power,
        typical: level,
        reaches,
        knots,
        farthest,
    })
}

/// A standard deviation by the 80 % point of sizes, which a shift within the history does not
/// make; tails are the knots' business. For errors that are mostly none, a part of the mean square.
fn spread(errors: &[f64]) -> f64 {
    let mut sizes: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
    let squares: f64 = errors.iter().map(|e| e * e).sum();
    let whole = (squares / (errors.len() as f64).max(1.0)).sqrt();
    (quantile(&mut sizes, 0.8) / NEAR).max(0.2 * whole)
}

fn folds(design: &Design, map: &Map, seasons: &[Season]) -> Option<Vec<Fold>> {
    let ends = ends(design);
    let mut folds = Vec::new();
    for (at, end) in ends.iter().enumerate() {
        let from = design.lead + end * design.bin;
        let next = ends.get(at + 1).copied().unwrap_or(design.bins());
        let to = design.lead + next * design.bin;
        if to <= from {
            continue;
        }
        let shown: Vec<bool> = seasons
            .iter()
            .flat_map(|s| [from as f64 >= CYCLES * s.period; 2])
            .collect();
        folds.push(Fold {
            beta: map.of_head(design, at, &shown)?,
            from,
            to,
        });
    }
    Some(folds)
}

/// The share of the last slope that forecasts a part of the history ahead best.
fn earned(design: &Design, map: &Map, folds: &[Fold]) -> f64 {
    let mut sums = [0.0; 3];
    for fold in folds {
        let from = (fold.from - design.lead) / design.bin;
        let end = design.time(fold.from as f64 - 1.0);
        let to = (fold.to - design.lead) / design.bin;
        let ahead = (2 * to - from).min(design.bins());
        for i in (from..ahead).filter(|i| design.w[*i] > 0.0) {
            let row = design.row(i);
            let events = design.events.clone();
            let effect = dot(&row[events.clone()], &map.beta[events]);
            let r = design.y[i] - effect - dot(row, &fold.beta);
            for (sum, keep) in sums.iter_mut().zip([1.0, 0.5, 0.0]) {
                *sum += (r + (1.0 - keep) * fold.beta[1] * (row[1] - end)).abs();
            }
        }
    }
    let [whole, half, none] = sums;
    if whole < 0.97 * none && whole <= half {
        1.0
    } else if half < 0.97 * none {
        0.5
    } else {
        0.0
    }
}

/// The ordinary load by each fold, from the [`LONGEST`] newest rows on.
fn loads(
    design: &Design,
    material: &Material<'_>,
    folds: &[Fold],
    curves: &[Curve<'_>],
    longest: usize,
) -> Vec<Vec<f64>> {
    let n = material.z.len();
    let start = n.saturating_sub(LONGEST);
    let mut loads = vec![Vec::new(); folds.len()];
    let mut columns = Vec::with_capacity(design.width);
    for row in start..n {
        seasons::columns(material.seasons, material.calendar, row, 0.0, &mut columns);
        for ((fold, curve), list) in folds.iter().zip(curves).zip(&mut loads) {
            if row < fold.to + longest {
                list.push(curve.at(row, &columns));
            }
        }
    }
    loads
}

type Sample = Vec<(Example, f64)>;

/// Examples per horizon, each with the load by its fold at the target; the largest distance of a
/// residual from those before it; and how many regressors there are.
fn samples(
    material: &Material<'_>,
    folds: &[Fold],
    loads: &[Vec<f64>],
    horizons: &[usize],
    stride: usize,
) -> (Vec<Sample>, f64, usize) {
    let z = material.z;
    let n = z.len();
    let places = places(material.seasons);
    let start = n.saturating_sub(LONGEST);
    let phases: Vec<f64> = (start..n)
        .map(|row| first_phase(material.seasons, material, row))
        .collect();
    let mut samples: Vec<Sample> = vec![Vec::new(); horizons.len()];
    let mut x = Vec::new();
    let mut farthest = 0.0;
    for (k, (fold, load)) in folds.iter().zip(loads).enumerate() {
        let mut memory = Memory::new(n, places, 0.0);
        for t in start..fold.to {
            let r = z[t] - load[t - start];
            if t >= fold.from {
                // A missing one is no number, and no larger.
                farthest = f64::max(farthest, memory.distance(r, phases[t - start]));
            }
            memory.observe(r, phases[t - start]);
            if t + 1 < fold.from || t % stride != 0 || r.is_nan() {
                continue;
            }
            for (h, list) in horizons.iter().zip(&mut samples) {
                let u = t + h;
                let Some(v) = z.get(u).filter(|v| !v.is_nan()) else {
                    continue;
                };
                memory.regressors(phases[u - start], &mut x);
                list.push((
                    Example {
                        x: widened(&x),
                        y: v - load[u - start],
                        noise: 1.0,
                        fold: k,
                    },
                    load[u - start],
                ));
            }
        }
    }
    (samples, farthest, Memory::new(n, places, 0.0).width())
}

/// Places of a residual profile.
pub(crate) fn places(seasons: &[Season]) -> usize {
    seasons
        .first()
        .map_or(0, |s| (s.period as usize).min(PLACES))
}

/// The fraction of the first season at a row.
pub(crate) fn first_phase(seasons: &[Season], material: &Material<'_>, row: usize) -> f64 {
    seasons.first().map_or(0.0, |s| {
        s.phase(material.calendar, row, material.calendar.week(row), 0.0)
    })
}

fn mean_size(sample: &Sample) -> f64 {
    sample.iter().map(|(_, load)| load.abs()).sum::<f64>() / (sample.len() as f64).max(1.0)
}

/// The power of the load that makes errors most alike: a Laplace likelihood.
fn power(samples: &[Sample], level: f64, shares: &[f64], width: usize) -> Option<f64> {
    let at = samples.len().min(3) - 1;
    let examples: Vec<Example> = samples[at].iter().map(|(e, _)| *e).collect();
    if examples.is_empty() {
        return Some(0.0);
    }
    let weights = regress(&examples, None, &vec![0.0; width], shares[at])?;
    let mut best = (f64::INFINITY, 0.0);
    for power in POWERS {
        let (mut logs, mut sizes) = (0.0, 0.0);
        for (e, load) in &samples[at] {
            let v = noise(*load, level, power);
            logs += libm::log(v);
            sizes += e.off(&weights).abs() / v;
        }
        let n = examples.len() as f64;
        let score = logs / n + libm::log((sizes / n).max(f64::MIN_POSITIVE));
        if score < best.0 - 1e-9 {
            best = (score, power);
        }
    }
    Some(best.1)
}

/// Errors of each fold's examples by the weights of the other folds, over their noise.
fn held_out(examples: &[Example], folds: usize, before: &[f64], share: f64) -> Option<Vec<f64>> {
    let mut errors = Vec::with_capacity(examples.len());
    for k in 0..folds {
        if !examples.iter().any(|e| e.fold == k) {
            continue;
        }
        let weights = regress(examples, Some(k), before, share).unwrap_or_else(|| before.to_vec());
        let own = examples.iter().filter(|e| e.fold == k);
        errors.extend(own.map(|e| e.off(&weights) / e.noise));
    }
    (!errors.is_empty()).then_some(errors)
}
