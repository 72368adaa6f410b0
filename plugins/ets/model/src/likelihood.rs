//! Maximum likelihood, and the choice among classes by AICc.
//!
//! The textbook likelihood is that of one-step errors. A load forecast is used hours ahead, where
//! the gains that are best for one step carry the last noise all day long. The default is
//! therefore the composite likelihood of errors 1, 2, 4, ... steps ahead, each with its own
//! variance: up to a factor the logarithm of the geometric mean of the mean squared errors over
//! horizons (Svetunkov, Kourentzes and Killick, "Multi-step estimators and shrinkage effect in
//! time series models", Computational Statistics 39, 2023). It shrinks gains that only the next
//! step pays for; `criterion: one-step` gives the textbook's.

use tidegate_model_kit::{Decomposition, Table};

use crate::config::{Config, Criterion, ErrorChoice, TrendChoice};
use crate::nelder_mead::{Budget, minimise};
use crate::recursion::{Class, ErrorKind, Path, SeasonKind, TrendKind};

/// Damping within the range in which it is estimable (Hyndman and Athanasopoulos, section 8.7).
const PHI: (f64, f64) = (0.8, 0.98);
/// Origins of multi-step errors that are enough to estimate a handful of gains.
const ORIGINS: usize = 500;

/// The part of the history that the likelihood sees, and where its states begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample<'a> {
    /// The values of the part.
    pub(crate) z: &'a [f64],
    /// Seasons and trend to begin with.
    pub(crate) parts: &'a Decomposition,
    /// The part's first step within the history.
    pub(crate) from: usize,
    pub(crate) season: SeasonKind,
    /// The history's first step on the absolute grid.
    pub(crate) clock: u64,
}

/// Gains in the optimiser's coordinates: logits of alpha, beta/alpha and phi's place in its
/// range, and of each season's gain over 1 - alpha (the usual region, Hyndman et al. 2008,
/// section 2.5.3, in which all gains are weights).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gains {
    alpha: f64,
    beta: f64,
    phi: f64,
    gamma: [f64; 3],
}

/// A class with its best gains.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fitted {
    pub(crate) class: Class,
    pub(crate) gains: Gains,
    /// Standard deviation of one-step errors, relative ones for a multiplicative error.
    pub(crate) sigma: f64,
    score: f64,
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// Errors of one horizon, summed.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    n: f64,
    squares: f64,
    logs: f64,
    product: f64,
}

impl Sum {
    fn add(&mut self, error: ErrorKind, value: f64, point: f64) {
        self.n += 1.0;
        let e = value - point;
        match error {
            ErrorKind::Additive => self.squares += e * e,
            ErrorKind::Multiplicative => {
                let point = point.max(1e-9);
                self.squares += (e / point) * (e / point);
                // A product and one logarithm per overflow instead of one per value.
                self.product *= point;
                if !(1e-100..1e100).contains(&self.product) {
                    self.logs += libm::log(self.product);
                    self.product = 1.0;
                }
            }
        }
    }

    /// Minus twice the log-likelihood per value, concentrated over sigma (Hyndman et al. 2008,
    /// section 5.1).
    fn deviance(&self) -> f64 {
        let logs = self.logs + libm::log(self.product);
        libm::log((self.squares / self.n).max(1e-300)) + 2.0 * logs / self.n
    }
}

impl Sample<'_> {
    /// The states before the first value of the part.
    pub(crate) fn start(&self, class: Class, gains: &Gains) -> Path {
        let alpha = logistic(gains.alpha);
        let (beta, phi) = match class.trend {
            TrendKind::None => (0.0, 0.0),
            TrendKind::Additive => (alpha * logistic(gains.beta), 1.0),
            TrendKind::Damped => {
                let phi = PHI.0 + (PHI.1 - PHI.0) * logistic(gains.phi);
                (alpha * logistic(gains.beta), phi)
            }
        };
        let trend = &self.parts.trend;
        let at = self.from.min(trend.len().saturating_sub(1));
        let level = trend.get(at).copied().unwrap_or(0.0);
        let slope = if class.trend == TrendKind::Additive && trend.len() > 1 {
            // The slope around the start, on whichever side the trend is known.
            let span = (trend.len() - 1).min(50);
            let left = at.min(trend.len() - 1 - span);
            (trend[left + span] - trend[left]) / span as f64
        } else {
            0.0
        };
        let tables = self
            .parts
            .tables
            .iter()
            .zip(&gains.gamma)
            .map(|(t, g)| Table {
                gain: (1.0 - alpha) * logistic(*g),
                ..t.clone()
            })
            .collect();
        let clock = self.clock + self.from as u64;
        Path {
            class,
            alpha,
            beta,
            phi,
            level,
            trend: slope,
            tables,
            clock,
        }
    }

    /// One-step sums first, then those of `horizons`.
    fn sums(&self, class: Class, gains: &Gains, horizons: &[usize]) -> Vec<Sum> {
        let mut path = self.start(class, gains);
        let mut sums = vec![
            Sum {
                product: 1.0,
                ..Sum::default()
            };
            1 + horizons.len()
        ];
        let damps: Vec<f64> = horizons.iter().map(|h| path.damp(*h)).collect();
        let every = self.z.len().div_ceil(ORIGINS);
        for (t, v) in self.z.iter().enumerate() {
            if t % every == 0 {
                for ((h, damp), sum) in horizons.iter().zip(&damps).zip(&mut sums[1..]) {
                    if let Some(y) = self.z.get(t + h - 1).filter(|y| !y.is_nan()) {
                        sum.add(class.error, *y, path.point_with(*h, *damp));
                    }
                }
            }
            if let Some(i) = path.observe(*v) {
                sums[0].add(class.error, *v, i.forecast);
            }
        }
        sums
    }

    fn optimise(&self, class: Class, start: &Gains, horizons: &[usize]) -> Option<Fitted> {
        let seasons = self.parts.tables.len().min(3);
        let trends = match class.trend {
            TrendKind::None => 0,
            TrendKind::Additive => 1,
            TrendKind::Damped => 2,
        };
        let unpack = |x: &[f64]| {
            let mut g = *start;
            g.alpha = x[0];
            g.gamma[..seasons].copy_from_slice(&x[1..=seasons]);
            if trends > 0 {
                g.beta = x[1 + seasons];
            }
            if trends > 1 {
                g.phi = x[2 + seasons];
            }
            g
        };
        let mut x = vec![start.alpha];
        x.extend_from_slice(&start.gamma[..seasons]);
        x.extend_from_slice(&[start.beta, start.phi][..trends]);
        let deviance = |x: &[f64]| {
            let sums = self.sums(class, &unpack(x), horizons);
            let mean = sums.iter().map(Sum::deviance).sum::<f64>() / sums.len() as f64;
            mean * sums[0].n
        };
        let budget = Budget {
            evaluations: 40 + 25 * x.len(),
            tolerance: 0.02,
        };
        let (x, value) = minimise(deviance, &x, 1.0, 9.0, budget);
        let gains = unpack(&x);
        let one = self.sums(class, &gains, &[])[0];
        // Gains, the first level (and slope), and sigma.
        let k = (x.len() + 2 + usize::from(trends > 0)) as f64;
        let score = value + 2.0 * k * one.n / (one.n - k - 1.0).max(1.0);
        let sigma = (one.squares / (one.n - x.len() as f64).max(1.0)).sqrt();
        score.is_finite().then_some(Fitted {
            class,
            gains,
            sigma,
            score,
        })
    }

    /// The class of the smallest AICc among those that the configuration allows; `None` if none
    /// has a finite likelihood.
    pub(crate) fn select(&self, config: &Config, positive: bool) -> Option<Fitted> {
        let errors: &[ErrorKind] = match (config.error, self.season) {
            (ErrorChoice::Additive, _) => &[ErrorKind::Additive],
            (ErrorChoice::Multiplicative, _) => &[ErrorKind::Multiplicative],
            // ETS(A,*,M) is left out: its variance has no bound where the season is small.
            (ErrorChoice::Auto, SeasonKind::Multiplicative) => &[ErrorKind::Multiplicative],
            (ErrorChoice::Auto, _) if positive => &[ErrorKind::Additive, ErrorKind::Multiplicative],
            (ErrorChoice::Auto, _) => &[ErrorKind::Additive],
        };
        let trends: &[TrendKind] = match config.trend {
            TrendChoice::Auto => &[TrendKind::None, TrendKind::Damped],
            TrendChoice::None => &[TrendKind::None],
            TrendChoice::Additive => &[TrendKind::Additive],
            TrendChoice::Damped => &[TrendKind::Damped],
        };
        let horizons = self.horizons(config.criterion);
        let mut start = Gains {
            alpha: -1.0,
            beta: -3.0,
            phi: 1.0,
            gamma: [-3.0; 3],
        };
        let mut best: Option<Fitted> = None;
        for trend in trends {
            for error in errors {
                let class = Class {
                    error: *error,
                    trend: *trend,
                    season: self.season,
                };
                if let Some(f) = self.optimise(class, &start, &horizons)
                    && best.as_ref().is_none_or(|b| f.score < b.score)
                {
                    start = f.gains;
                    best = Some(f);
                }
            }
        }
        best
    }

    /// The horizons of the criterion beyond the first step.
    fn horizons(&self, criterion: Criterion) -> Vec<usize> {
        let reach = match criterion {
            Criterion::OneStep => 1,
            Criterion::MultiStep => {
                let season = self.parts.tables.first().map_or(16, |t| t.period as usize);
                season.min(self.z.len() / 5)
            }
        };
        std::iter::successors(Some(2usize), |h| Some(h * 2))
            .take_while(|h| *h <= reach)
            .collect()
    }
}
