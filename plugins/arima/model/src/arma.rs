//! A non-seasonal ARIMA(p,d,q), d at most one, as a filter: what it remembers, what it foresees.
//!
//! Written on the residual scale of Box and Jenkins ("Time Series Analysis", 1970): with `w` the
//! series, or its first difference, less its mean, `w_t = sum ar_i w_{t-i} + e_t + sum ma_j
//! e_{t-j}`. A missing value is replaced by its own forecast, whose error is 0: time goes on and
//! nothing is learned.

use serde::{Deserialize, Serialize};

/// The most coefficients of one kind; a decoded state with more is refused.
pub(crate) const MAX_ORDER: usize = 12;

/// The coefficients.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Arma {
    /// Whether the series is differenced once.
    pub(crate) integrated: bool,
    /// The mean of the series that is not differenced.
    pub(crate) mean: f64,
    pub(crate) ar: Vec<f64>,
    pub(crate) ma: Vec<f64>,
}

/// The last values and errors, newest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    last: f64,
    w: Vec<f64>,
    e: Vec<f64>,
}

impl Memory {
    /// Before any value; `first` is the level that a first difference is taken from.
    pub(crate) fn new(model: &Arma, first: f64) -> Self {
        Self {
            last: first,
            w: vec![0.0; model.ar.len()],
            e: vec![0.0; model.ma.len()],
        }
    }

    /// The forecast of the next value.
    pub(crate) fn next(&self, model: &Arma) -> f64 {
        self.base(model) + self.next_w(model)
    }

    /// Shows the next value (NaN: missing), and gives the one-step error.
    pub(crate) fn observe(&mut self, model: &Arma, value: f64) -> Option<f64> {
        let foreseen = self.next_w(model);
        let (w, error) = if value.is_nan() {
            (foreseen, None)
        } else {
            let w = value - self.base(model);
            (w, Some(w - foreseen))
        };
        self.last = self.base(model) + w;
        push(&mut self.w, w);
        push(&mut self.e, error.unwrap_or(0.0));
        error
    }

    /// Forecasts of the next `horizon` values, into `out`.
    pub(crate) fn forecast(&self, model: &Arma, horizon: usize, out: &mut Vec<f64>) {
        let (p, q) = (model.ar.len(), model.ma.len());
        out.clear();
        out.extend(self.w.iter().rev());
        for h in 0..horizon {
            let at = p + h;
            let mut w = 0.0;
            for (a, x) in model.ar.iter().zip(out[..at].iter().rev()) {
                w += a * x;
            }
            for (b, e) in model.ma[h.min(q)..].iter().zip(&self.e) {
                w += b * e;
            }
            out.push(w);
        }
        out.drain(..p);
        let mut level = if model.integrated {
            self.last
        } else {
            model.mean
        };
        for w in out.iter_mut() {
            if model.integrated {
                level += *w;
                *w = level;
            } else {
                *w += level;
            }
        }
    }

    /// Whether a decoded memory belongs to the model.
    pub(crate) fn is_sound(&self, model: &Arma) -> bool {
        self.w.len() == model.ar.len()
            && self.e.len() == model.ma.len()
            && self.w.iter().chain(&self.e).all(|v| v.is_finite())
            && self.last.is_finite()
    }

    fn base(&self, model: &Arma) -> f64 {
        if model.integrated {
            self.last
        } else {
            model.mean
        }
    }

    fn next_w(&self, model: &Arma) -> f64 {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        dot(&model.ar, &self.w) + dot(&model.ma, &self.e)
    }
}

fn push(newest_first: &mut [f64], value: f64) {
    if let Some(last) = newest_first.len().checked_sub(1) {
        newest_first.copy_within(..last, 1);
        newest_first[0] = value;
    }
}

impl Arma {
    /// Whether a decoded model is one that a fit can have made.
    pub(crate) fn is_sound(&self) -> bool {
        self.ar.len() <= MAX_ORDER
            && self.ma.len() <= MAX_ORDER
            && self.mean.is_finite()
            && self
                .ar
                .iter()
                .chain(&self.ma)
                .all(|c| c.is_finite() && c.abs() < 1e4)
    }
}

/// The forecasts at some horizons as linear functions of what a memory holds: the back-test asks
/// for them at hundreds of origins, and the recursion to the last horizon runs once.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// Per horizon: weights of the last values, then of the last errors.
    weights: Vec<Vec<f64>>,
}

impl Ahead {
    pub(crate) fn new(model: &Arma, horizons: &[usize]) -> Self {
        let (p, q) = (model.ar.len(), model.ma.len());
        let longest = horizons.last().copied().unwrap_or(0);
        let centred = Arma {
            mean: 0.0,
            ..model.clone()
        };
        let mut weights = vec![Vec::with_capacity(p + q); horizons.len()];
        let mut out = Vec::new();
        for i in 0..p + q {
            let mut unit = Memory::new(&centred, 0.0);
            if i < p {
                unit.w[i] = 1.0;
            } else {
                unit.e[i - p] = 1.0;
            }
            unit.forecast(&centred, longest, &mut out);
            for (row, h) in weights.iter_mut().zip(horizons) {
                row.push(out[h - 1]);
            }
        }
        Self { weights }
    }

    /// The forecast at the horizon of that index.
    pub(crate) fn at(&self, model: &Arma, memory: &Memory, index: usize) -> f64 {
        let held = memory.w.iter().chain(&memory.e);
        let weighted: f64 = self.weights[index]
            .iter()
            .zip(held)
            .map(|(a, b)| a * b)
            .sum();
        memory.base(model) + weighted
    }
}

/// Shrinks the roots of `1 - sum c_i B^i` until all are outside a circle a little beyond one:
/// an autoregression that is stationary, or (with signs turned) an invertible moving average.
pub(crate) fn tame(c: &mut [f64]) {
    for _ in 0..200 {
        if is_stable(c) {
            return;
        }
        let mut factor = 1.0;
        for v in c.iter_mut() {
            factor *= 0.97;
            *v *= factor;
        }
    }
    c.fill(0.0);
}

/// Schur's test by the step-down recursion (Monahan, Biometrika 71, 1984): every partial
/// autocorrelation is within (-1, 1), with the polynomial stretched by one percent.
fn is_stable(c: &[f64]) -> bool {
    let mut grow = 1.0;
    let mut a: Vec<f64> = Vec::with_capacity(c.len());
    for v in c {
        grow *= 1.0 / 0.99;
        a.push(v * grow);
    }
    while let Some(k) = a.pop() {
        if k.is_nan() || k.abs() >= 1.0 {
            return false;
        }
        let n = a.len();
        let old = a.clone();
        for i in 0..n {
            a[i] = (old[i] + k * old[n - 1 - i]) / (1.0 - k * k);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exponential_smoothing_is_the_integrated_moving_average() {
        let model = Arma {
            integrated: true,
            ma: vec![-0.7],
            ..Arma::default()
        };
        let mut memory = Memory::new(&model, 5.0);
        let mut level = 5.0;
        for y in [6.0, 3.0, 8.0, 8.0] {
            memory.observe(&model, y);
            level += 0.3 * (y - level);
        }
        let mut out = Vec::new();
        memory.forecast(&model, 3, &mut out);
        for v in out {
            assert!((v - level).abs() < 1e-12);
        }
    }

    proptest! {
        #[test]
        fn many_steps_ahead_are_single_steps_over_gaps(
            ar in -0.9f64..0.9, ma in -0.9f64..0.9, integrated: bool,
            y in prop::collection::vec(-5.0f64..5.0, 3..20),
        ) {
            let model = Arma { integrated, mean: 1.0, ar: vec![ar, 0.1], ma: vec![ma] };
            let mut memory = Memory::new(&model, 0.0);
            for v in &y {
                memory.observe(&model, *v);
            }
            let mut out = Vec::new();
            memory.forecast(&model, 6, &mut out);
            let ahead = Ahead::new(&model, &[1, 4, 6]);
            for (index, h) in [1, 4, 6].iter().enumerate() {
                prop_assert!((ahead.at(&model, &memory, index) - out[h - 1]).abs() < 1e-9);
            }
            for v in out {
                prop_assert!((v - memory.next(&model)).abs() < 1e-9);
                memory.observe(&model, f64::NAN);
            }
        }

        #[test]
        fn what_was_tamed_dies_out(c in prop::collection::vec(-3.0f64..3.0, 1..6)) {
            let mut c = c;
            tame(&mut c);
            let model = Arma { ar: c, ..Arma::default() };
            let mut memory = Memory::new(&model, 0.0);
            memory.observe(&model, 1.0);
            let mut out = Vec::new();
            memory.forecast(&model, 5000, &mut out);
            prop_assert!(out[4999].abs() < 1e-3, "{}", out[4999]);
        }
    }
}
