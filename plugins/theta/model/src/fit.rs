//! From a history to a state: scale, seasons, and everything else by back-test.
//!
//! The search walks one coordinate at a time: the kind of season with its gain, then the gain's
//! neighbours, then the memory of the mean, all judged with three speeds; thetas are learned at
//! all speeds for the winner alone. The full product finds hardly better places at five times
//! the cost.

use tidegate_model_kit::{Decomposition, Half, ModelError, Series, decompose, decompose_factors};

use crate::backtest::Backtest;
use crate::config::{Choice, Config, SeasonChoice};
use crate::interval::{Noise, measure};
use crate::lines::{ALPHAS, Lines, Season, SeasonKind};
use crate::state::{Adjusted, Method};
use crate::theta::{choose, mean_loss, weigh};

/// The fewest observed points that any model is made of.
const NEED: usize = 3;
/// Below this, nothing is estimated but a level and a spread.
const SHORT: usize = 12;
/// Values below this part of the typical one make a multiplicative season explode.
const TINY: f64 = 1e-3;

/// Gains of the season, and the first ones tried.
const GAINS: [f64; 6] = [0.0, 0.05, 0.12, 0.25, 0.5, 0.8];
const COARSE: [usize; 3] = [0, 2, 4];
/// Memories of the mean, in shortest seasons.
const MEMORIES: [f64; 2] = [3.0, 1.0];
/// The speeds that the search is judged with.
const SPEEDS: [usize; 3] = [1, 3, 6];
/// Origins of the search and of the thetas.
const ROUGH: usize = 250;
const FINE: usize = 500;
/// What a gain that copies yesterday must be better by, in logarithms of the mean absolute error:
/// it doubles the noise of the season, which the one back-test sees only once.
const COPYING: (f64, f64) = (0.3, 0.03);
/// What a kind of season that the decomposition does not prefer must be better by.
const UNLIKELY: f64 = 0.1;
/// What a drift must be better by; on a load it usually is chance.
const DRIFTING: f64 = 0.02;
/// From this gain on, the season as the back-test left it is better than one of the whole history:
/// what changes needs no average.
const CHANGING: f64 = 0.1;
/// Cycles over which a season of the whole history is brought up to date.
const RECENT: usize = 3;
/// Mean absolute remainders beyond which a deviation does not teach the season.
const HABIT: f64 = 20.0;

/// A candidate of the search.
#[derive(Debug, Clone)]
struct Candidate {
    lines: Lines,
    kind: SeasonKind,
    gain: usize,
    loss: f64,
}

/// The part of the history that is learned from, and what is known of it.
#[derive(Debug)]
struct Search<'a> {
    tail: &'a [f64],
    heads: Vec<(Decomposition, SeasonKind, f64)>,
    /// The first step of the tail on the absolute grid, and the shortest season.
    clock: u64,
    period: usize,
    reversion: bool,
}

/// Fits the method to a history.
///
/// # Errors
/// [`ModelError::InsufficientData`] below three observed points; [`ModelError::InvalidInput`] for
/// infinite values or a zero step; [`ModelError::Unsupported`] if a multiplicative season is
/// demanded of values at or below zero.
pub fn fit_plain(config: &Config, series: &Series<'_>) -> Result<Adjusted, ModelError> {
    series.validate(NEED)?;
    let scale = series.scale();
    let z = series.scaled(scale);
    let positive = z.iter().all(|v| v.is_nan() || *v > TINY);
    if !positive && config.season == SeasonChoice::Multiplicative {
        return Err(ModelError::Unsupported(
            "a multiplicative season needs values well above zero: use auto or additive".into(),
        ));
    }
    if series.observed() < SHORT {
        return Ok(short(&z, series, scale));
    }
    let found = estimate(config, series, &z, scale, positive);
    Ok(found.map_or_else(|| short(&z, series, scale), Adjusted::settled))
}

fn take_apart(z: &[f64], clock: u64, periods: &[usize], kind: SeasonKind) -> Decomposition {
    match kind {
        SeasonKind::Multiplicative => decompose_factors(z, clock, periods),
        SeasonKind::None | SeasonKind::Additive => decompose(z, clock, periods),
    }
}

fn estimate(
    config: &Config,
    series: &Series<'_>,
    z: &[f64],
    scale: f64,
    positive: bool,
) -> Option<Adjusted> {
    let clock = series.clock();
    let periods = match config.season {
        SeasonChoice::None => Vec::new(),
        _ => series.seasons(),
    };
    let kinds: &[SeasonKind] = match config.season {
        SeasonChoice::Multiplicative => &[SeasonKind::Multiplicative],
        SeasonChoice::Auto if positive => &[SeasonKind::Additive, SeasonKind::Multiplicative],
        _ => &[SeasonKind::Additive],
    };
    let (head, tail) = z.split_at(z.len() * 2 / 3);
    let search = Search {
        tail,
        heads: heads(head, clock, &periods, kinds),
        clock: clock + head.len() as u64,
        period: periods.first().copied().unwrap_or(z.len() / 8).max(1),
        reversion: config.reversion == Choice::Auto,
    };
    let best = search.best()?;
    let start = search.with_thetas(config, &best, head.len());
    let mut state = measure(start, tail, scale, positive)?;
    if GAINS[best.gain] < CHANGING {
        let whole = take_apart(z, clock, &periods, best.kind);
        let from = z.len().saturating_sub(RECENT * search.period).max(1) - 1;
        let mut lines = state.lines().clone();
        lines.season = Season::of(&whole, best.kind, GAINS[best.gain]);
        let level = whole.trend.get(from).copied().unwrap_or(0.0);
        lines.restart(level, clock + from as u64);
        state.resume(lines, &z[from..]);
    }
    Some(state)
}

/// The beginning of the history taken apart in each kind that shows a season, with the handicap
/// of the unlikely one.
fn heads(
    head: &[f64],
    clock: u64,
    periods: &[usize],
    kinds: &[SeasonKind],
) -> Vec<(Decomposition, SeasonKind, f64)> {
    let mut all: Vec<(Decomposition, SeasonKind, f64)> = Vec::new();
    for kind in kinds {
        let parts = take_apart(head, clock, periods, *kind);
        if all.is_empty() || !parts.tables.is_empty() {
            all.push((parts, *kind, 0.0));
        }
    }
    let least = all
        .iter()
        .map(|(d, ..)| d.scatter)
        .fold(f64::INFINITY, f64::min);
    for (parts, _, handicap) in &mut all {
        *handicap = if parts.scatter > least { UNLIKELY } else { 0.0 };
    }
    all
}

impl Search<'_> {
    fn candidate(&self, head: usize, gain: usize, memory: f64) -> Candidate {
        let (parts, kind, handicap) = &self.heads[head];
        let season = Season::of(parts, *kind, GAINS[gain]);
        let mut lines = Lines {
            season,
            levels: [0.0; ALPHAS.len()],
            mean: 0.0,
            slow: (1.0 / (memory * self.period as f64)).min(0.2),
            bound: HABIT * parts.scatter,
            clock: self.clock,
        };
        lines.restart(parts.trend.last().copied().unwrap_or(0.0), self.clock);
        let test = Backtest::run(self.tail, &lines, ROUGH, 0.0);
        let all: Vec<_> = SPEEDS
            .iter()
            .map(|s| weigh(&test, *s, 2, self.reversion))
            .collect();
        let least: Vec<f64> = (0..test.horizons.len())
            .map(|k| all.iter().map(|w| w.losses[k]).fold(f64::NAN, f64::min))
            .collect();
        let copying = if GAINS[gain] > COPYING.0 {
            COPYING.1
        } else {
            0.0
        };
        Candidate {
            lines,
            kind: *kind,
            gain,
            loss: mean_loss(least.iter()) + copying + handicap,
        }
    }

    fn best(&self) -> Option<Candidate> {
        let mut best: Option<(usize, Candidate)> = None;
        let mut consider = |head: usize, c: Candidate| {
            if c.loss.is_finite() && best.as_ref().is_none_or(|(_, b)| c.loss < b.loss) {
                best = Some((head, c));
            }
            best.as_ref().map(|(head, c)| (*head, c.gain))
        };
        let mut at = None;
        for (head, (parts, ..)) in self.heads.iter().enumerate() {
            for gain in COARSE {
                if gain == 0 || !parts.tables.is_empty() {
                    at = consider(head, self.candidate(head, gain, MEMORIES[0]));
                }
            }
        }
        let (head, gain) = at?;
        if !self.heads[head].0.tables.is_empty() {
            for near in [gain.wrapping_sub(1), gain + 1] {
                if near < GAINS.len() {
                    at = consider(head, self.candidate(head, near, MEMORIES[0]));
                }
            }
        }
        let (head, gain) = at?;
        consider(head, self.candidate(head, gain, MEMORIES[1]));
        best.map(|(_, c)| c)
    }

    /// The candidate with a theta per horizon and, if it pays, a drift; before the tail.
    fn with_thetas(&self, config: &Config, best: &Candidate, before: usize) -> Method {
        let score = |drift: f64| {
            let test = Backtest::run(self.tail, &best.lines, FINE, drift);
            let thetas = choose(&test, self.reversion);
            let losses: Vec<f64> = thetas
                .iter()
                .enumerate()
                .map(|(k, t)| test.loss(k, usize::from(t.speed), t.weight.get()))
                .collect();
            (mean_loss(losses.iter()), thetas)
        };
        let (plain, thetas) = score(0.0);
        let mut method = Method {
            lines: best.lines.clone(),
            thetas,
            drift: 0.0,
        };
        let parts = self.heads.iter().find(|(_, kind, _)| *kind == best.kind);
        if config.drift == Choice::Auto
            && let Some((parts, ..)) = parts
            && let (Some(first), Some(last)) = (parts.trend.first(), parts.trend.last())
        {
            // Half the slope is the theta method's own drift.
            let half = 0.5 * (last - first) / before.max(1) as f64;
            let (moving, thetas) = score(half);
            if moving < plain - DRIFTING {
                (method.thetas, method.drift) = (thetas, half);
            }
        }
        method
    }
}

/// Too few points for a back-test: a level that moves a little, and an interval that says so.
fn short(z: &[f64], series: &Series<'_>, scale: f64) -> Adjusted {
    let seen: Vec<f64> = z.iter().copied().filter(|v| !v.is_nan()).collect();
    let n = seen.len() as f64;
    let mean = seen.iter().sum::<f64>() / n;
    let deviation = (seen.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0)).sqrt();
    // Few points that happen to agree prove little: the floor fades with their number.
    let sigma = (deviation * (1.0 + 3.0 / n)).max(0.5 * mean.abs() / n);
    let season = Season {
        kind: SeasonKind::None,
        tables: Vec::new(),
    };
    let mut lines = Lines {
        season,
        levels: [mean; ALPHAS.len()],
        mean,
        slow: 0.1,
        bound: 0.0,
        clock: series.clock(),
    };
    z.iter().for_each(|v| lines.observe(*v));
    let method = Method {
        lines,
        thetas: vec![crate::theta::Theta {
            horizon: 1,
            speed: 3,
            weight: Half::new(1.0),
        }],
        drift: 0.0,
    };
    Adjusted::assemble(method, scale, Noise::Constant, sigma)
}
