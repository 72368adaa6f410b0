//! Orders and coefficients of the ARMA part, from autocovariances.
//!
//! Hannan and Rissanen (Biometrika 69, 1982) estimate an ARMA by two regressions: a long
//! autoregression for the errors, then the series on its own lags and those of the errors. Both
//! need only products of lagged values, and these follow from the autocovariances, so that after
//! one pass over the history each order costs a small linear system. The best pure autoregression
//! and a fixed list of mixed orders are then filtered once over the history, and the AICc of the
//! conditional sum of squares decides
//! (Hyndman and Khandakar, Journal of Statistical Software 27, 2008, walk such a list step by
//! step, because each of their steps is a numerical maximisation; here the whole list is
//! cheaper than one of those). Values and errors far out are cut, because one spike would
//! otherwise be the autocovariance.

use ndarray::Array2;
use tidegate_model_kit::{Cholesky, dot, median, smaller};

use crate::arma::tame;

/// The orders p of a pure autoregression.
const PURE: [usize; 7] = [0, 1, 2, 3, 5, 8, 12];
/// The orders (p, q) of the others.
const MIXED: [(usize, usize); 7] = [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2), (3, 1)];
/// The order of the long autoregression.
const LONG: usize = 24;
/// The largest order.
const ORDER_MAX: usize = 12;
/// Values count up to this many robust standard deviations.
const VALUE_BOUND: f64 = 6.0;
/// So do errors, up to this.
const ERROR_BOUND: f64 = 4.0;
/// A standard deviation in median absolute deviations of the normal distribution.
const MAD: f64 = 1.4826;

/// The chosen coefficients.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coefficients {
    pub(crate) ar: Vec<f64>,
    pub(crate) ma: Vec<f64>,
}

/// The best ARMA of a series whose mean is 0 and which has no gaps, with orders up to `max`.
pub(crate) fn search(w: &[f64], max: usize) -> Coefficients {
    let n = w.len();
    let long = LONG.min(n / 6);
    let moments = Moments::new(w, long);
    if !(moments.gamma[0] > 0.0 && moments.gamma[0].is_finite()) {
        return Coefficients::default();
    }
    let mut errors = Vec::with_capacity(n);
    filter(w, &moments.long, &[], &mut errors);
    let mut sizes: Vec<f64> = errors[long..].iter().map(|e| e.abs()).collect();
    let bound = ERROR_BOUND * MAD * median(&mut sizes);
    let bound = if bound > 0.0 { bound } else { f64::INFINITY };
    let mut best = (f64::INFINITY, Coefficients::default());
    let pure = moments.pure(max.min(n / 8), n as f64);
    for (p, q) in std::iter::once((pure, 0)).chain(MIXED) {
        if p.max(q) > max || p + q > n / 8 || (q > 0 && long < 2) {
            continue;
        }
        let Some(found) = moments.estimate(p, q) else {
            continue;
        };
        filter(w, &found.ar, &found.ma, &mut errors);
        let rest = &errors[long..];
        let squares: f64 = rest
            .iter()
            .map(|e| smaller(e.abs(), bound))
            .map(|e| e * e)
            .sum();
        let count = rest.len() as f64;
        let aicc = aicc(squares / count, count, p + q);
        if aicc < best.0 {
            best = (aicc, found);
        }
    }
    best.1
}

/// Hurvich and Tsai's corrected criterion of a normal likelihood.
fn aicc(variance: f64, count: f64, coefficients: usize) -> f64 {
    let k = coefficients as f64 + 1.0;
    count * libm::log(variance + 1e-300)
        + 2.0 * k
        + 2.0 * k * (k + 1.0) / (count - k - 1.0).max(1.0)
}

/// One-step errors of an ARMA, from nothing before the first value. The autoregression goes lag by
/// lag over the whole history, since these sums wait for nothing; only errors need those before.
fn filter(w: &[f64], ar: &[f64], ma: &[f64], errors: &mut Vec<f64>) {
    errors.clear();
    errors.extend_from_slice(w);
    for (lag, a) in ar.iter().enumerate() {
        let later = errors.get_mut(lag + 1..).unwrap_or_default();
        for (e, v) in later.iter_mut().zip(w) {
            *e -= a * v;
        }
    }
    match *ma {
        [] => {}
        [one] => {
            let mut before = 0.0;
            for e in errors {
                *e -= one * before;
                before = *e;
            }
        }
        [one, two] => {
            let (mut before, mut earlier) = (0.0, 0.0);
            for e in errors {
                *e -= one * before + two * earlier;
                (before, earlier) = (*e, before);
            }
        }
        _ => {
            for t in 0..errors.len() {
                let (past, rest) = errors.split_at_mut(t);
                let lagged = ma.iter().zip(past.iter().rev());
                rest[0] -= lagged.map(|(m, e)| m * e).sum::<f64>();
            }
        }
    }
}

/// Autocovariances, and what follows from them.
#[derive(Debug)]
struct Moments {
    /// Of lags 0, 1, ...
    gamma: Vec<f64>,
    /// Autoregressions of order 0, 1, ... up to the long one.
    regressions: Vec<Vec<f64>>,
    /// The long one.
    long: Vec<f64>,
    /// `cov(w_t, e_{t-j})`, `j` from `-long` on, with `e` the errors of the long one.
    mixed: Vec<f64>,
}

impl Moments {
    fn new(w: &[f64], long: usize) -> Self {
        let mut sizes: Vec<f64> = w.iter().map(|v| v.abs()).collect();
        let bound = VALUE_BOUND * MAD * median(&mut sizes);
        let bound = if bound > 0.0 { bound } else { f64::INFINITY };
        let cut: Vec<f64> = w.iter().map(|v| v.clamp(-bound, bound)).collect();
        let n = cut.len();
        let lags = long + ORDER_MAX;
        let gamma: Vec<f64> = (0..=lags)
            .map(|k| {
                let tail = cut.get(k..).unwrap_or_default();
                dot(tail, &cut) / n as f64
            })
            .collect();
        let regressions = levinson(&gamma, long.max(ORDER_MAX.min(n / 6)));
        let own = regressions.get(long).cloned().unwrap_or_default();
        let mut moments = Self {
            gamma,
            regressions,
            long: own,
            mixed: Vec::new(),
        };
        let reach = moments.long.len() as isize;
        moments.mixed = (-reach..=2).map(|j| moments.with_error(j)).collect();
        moments
    }

    /// The order of the best pure autoregression, by the variance that the recursion leaves.
    fn pure(&self, max: usize, count: f64) -> usize {
        let left = |p: usize| {
            let a = self.regressions.get(p)?;
            let explained: f64 = a.iter().zip(&self.gamma[1..]).map(|(a, g)| a * g).sum();
            Some(aicc((self.gamma[0] - explained).max(0.0), count, p))
        };
        let orders = PURE.iter().filter(|p| **p <= max);
        let all = orders.filter_map(|p| Some((*p, left(*p)?)));
        all.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(p, _)| p)
    }

    fn with_error(&self, lag: isize) -> f64 {
        let own = self.gamma[lag.unsigned_abs()];
        let past = self.long.iter().enumerate();
        own - past
            .map(|(k, l)| l * self.gamma[(lag + k as isize + 1).unsigned_abs()])
            .sum::<f64>()
    }

    /// `cov(w_t, e_{t-j})`.
    fn mixed(&self, lag: isize) -> f64 {
        let at = lag + self.long.len() as isize;
        self.mixed.get(at.unsigned_abs()).copied().unwrap_or(0.0)
    }

    /// `cov(e_t, e_{t-j})`.
    fn of_errors(&self, lag: isize) -> f64 {
        let past = self.long.iter().enumerate();
        self.mixed(lag)
            - past
                .map(|(k, l)| l * self.mixed(lag - k as isize - 1))
                .sum::<f64>()
    }

    fn estimate(&self, p: usize, q: usize) -> Option<Coefficients> {
        if q == 0 {
            let mut ar = self.regressions.get(p)?.clone();
            tame(&mut ar);
            return Some(Coefficients { ar, ma: Vec::new() });
        }
        let n = p + q;
        let (mut a, mut b) = (Array2::zeros((n, n)), vec![0.0; n]);
        for i in 0..n {
            let own = i as isize;
            let of_ma = own - p as isize;
            for j in 0..=i {
                let other = j as isize;
                a[[i, j]] = match (i < p, j < p) {
                    (true, true) => self.gamma[i - j],
                    // cov(w_{t-j-1}, e_{t-of_ma-1})
                    (false, true) => self.mixed(of_ma - other),
                    _ => self.of_errors(own - other),
                };
            }
            b[i] = if i < p {
                self.gamma[i + 1]
            } else {
                self.mixed(of_ma + 1)
            };
            a[[i, i]] *= 1.0 + 1e-6;
        }
        let (mut ar, mut ma) = (Cholesky::new(a)?.solve(&b), Vec::new());
        ma.extend(ar.drain(p..));
        if ar.iter().chain(&ma).any(|c| !c.is_finite()) {
            return None;
        }
        tame(&mut ar);
        turn(&mut ma);
        tame(&mut ma);
        turn(&mut ma);
        Some(Coefficients { ar, ma })
    }
}

fn turn(c: &mut [f64]) {
    for v in c {
        *v = -*v;
    }
}

/// Autoregressions of order 0 to `max` by Levinson's and Durbin's recursion; it ends early where
/// nothing is left to explain.
fn levinson(gamma: &[f64], max: usize) -> Vec<Vec<f64>> {
    let mut all = vec![Vec::new()];
    let mut left = gamma[0] * (1.0 + 1e-9);
    let mut a: Vec<f64> = Vec::new();
    for n in 0..max.min(gamma.len() - 1) {
        let explained: f64 = a
            .iter()
            .zip(gamma[1..=n].iter().rev())
            .map(|(a, g)| a * g)
            .sum();
        let k = (gamma[n + 1] - explained) / left;
        if k.is_nan() || k.abs() >= 1.0 {
            break;
        }
        let old = a.clone();
        for (i, v) in a.iter_mut().enumerate() {
            *v = old[i] - k * old[n - 1 - i];
        }
        a.push(k);
        left *= 1.0 - k * k;
        all.push(a.clone());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model_kit::Stream;

    fn simulate(ar: &[f64], ma: &[f64], n: usize, seed: u64) -> Vec<f64> {
        let mut chance = Stream::new(seed);
        let (mut w, mut e): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let lagged = |c: &[f64], x: &[f64]| -> f64 {
                c.iter().zip(x.iter().rev()).map(|(a, b)| a * b).sum()
            };
            let error = chance.normal();
            w.push(lagged(ar, &w) + lagged(ma, &e) + error);
            e.push(error);
        }
        w
    }

    fn squares(w: &[f64], c: &Coefficients) -> f64 {
        let mut e = Vec::new();
        filter(w, &c.ar, &c.ma, &mut e);
        e.iter().map(|e| e * e).sum::<f64>() / w.len() as f64
    }

    #[test]
    fn a_mixed_process_is_found_with_errors_as_small_as_its_own() {
        let w = simulate(&[0.8], &[-0.5], 4000, 1);
        let found = search(&w, 12);
        assert!((squares(&w, &found) - 1.0).abs() < 0.06);
        let exact = Moments::new(&w, 24).estimate(1, 1).unwrap();
        assert!((exact.ar[0] - 0.8).abs() < 0.1, "{exact:?}");
        assert!((exact.ma[0] + 0.5).abs() < 0.1, "{exact:?}");
    }

    #[test]
    fn white_noise_keeps_few_coefficients() {
        let w = simulate(&[], &[], 1000, 2);
        let found = search(&w, 12);
        assert!(found.ar.len() + found.ma.len() <= 2, "{found:?}");
    }

    #[test]
    fn one_spike_does_not_change_an_autoregression() {
        let mut w = simulate(&[0.7], &[], 1000, 3);
        w[500] = 1e6;
        let found = Moments::new(&w, 24).estimate(1, 0).unwrap();
        assert!((found.ar[0] - 0.7).abs() < 0.1, "{found:?}");
    }

    #[test]
    fn the_order_is_bounded_by_the_caller() {
        let w = simulate(&[0.5, 0.2, 0.1, 0.1], &[], 1000, 4);
        let found = search(&w, 2);
        assert!(found.ar.len() <= 2 && found.ma.len() <= 2);
        assert_eq!(search(&[0.0; 50], 12).ar.len(), 0);
    }
}
