//! The head: from what the layer remembers and what is known of a step ahead to its quantiles.
//!
//! The median is a mixture of simple forecasts (the last value, its means, the last season, the
//! profile, each also moved by the present deviation from it) with weights by a softmax, plus a
//! correction. So whatever the weights are, the median is a sensible forecast in the series' own
//! unit; training decides which one, for each distance. Quantiles are the median plus steps that
//! cannot be negative, hence they never cross (Gasthaus et al., AISTATS 2019, build them the same
//! way), and are trained by the pinball loss (Koenker and Bassett, Econometrica 1978) directly for
//! each distance, as in the multi-horizon forecaster of Wen et al. (arXiv 1711.11053).
//!
//! The steps grow by x + sqrt(x² + 4) instead of a softplus: no transcendental function.

use crate::linear::{add, backward, forward, outer};
use crate::view::{ANCHORS, NAIVE, View};
use crate::weights::{MIXED, Weights};

/// Levels that are trained; asked ones lie between or beyond.
pub(crate) const LEVELS: [f32; 9] = [0.01, 0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975, 0.99];
/// Levels on one side of the median.
const SIDE: usize = 4;
/// A weight per anchor, the correction, the steps down and up; and two unused, which make rows
/// of 24.
pub(crate) const OUTPUTS: usize = 24;
const CORRECTION: usize = ANCHORS;
const DOWN: usize = ANCHORS + 1;
const UP: usize = DOWN + SIDE;
/// What a cell of the head's layer lets through of negative values.
const LEAK: f32 = 0.1;

/// The head's biases before training: the last season again, with a wide interval.
pub(crate) fn prior() -> [f32; OUTPUTS] {
    let mut bias = [0.0; OUTPUTS];
    bias[NAIVE] = 4.0;
    bias[DOWN..UP + SIDE].fill(1.5);
    bias
}

/// One step ahead of one series, with what going back needs.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    mixed: [f32; MIXED],
    out: [f32; OUTPUTS],
    weights: [f32; ANCHORS],
    /// In units from the view's centre, rising.
    pub(crate) quantiles: [f32; LEVELS.len()],
}

/// The part of the head's layer that all steps from one origin share: what the recurrent layer
/// remembers, and what the series adds of its own.
pub(crate) fn context(w: &Weights, h: &[f32], accent: &[f32]) -> [f32; MIXED] {
    let mut shared = [0.0; MIXED];
    shared.copy_from_slice(w.of(w.shape.mix_bias()));
    add(&mut shared, accent);
    forward(&mut shared, h, w.of(w.shape.context()));
    shared
}

/// Adds the gradients of [`context`]; that of the accent is `dshared` itself.
pub(crate) fn context_backward(
    w: &Weights,
    dw: &mut Weights,
    h: &[f32],
    dshared: &[f32; MIXED],
    dh: &mut [f32],
) {
    add(dw.of_mut(w.shape.mix_bias()), dshared);
    outer(dw.of_mut(w.shape.context()), h, dshared);
    backward(dh, dshared, w.of(w.shape.context()));
}

impl Head {
    pub(crate) fn forward(w: &Weights, shared: &[f32; MIXED], view: &View) -> Self {
        let mut mixed = *shared;
        forward(&mut mixed, &view.features, w.of(w.shape.features()));
        let leaky = mixed.map(leak);
        let mut out = [0.0; OUTPUTS];
        out.copy_from_slice(w.of(w.shape.out_bias()));
        forward(&mut out, &leaky, w.of(w.shape.out()));
        let mut weights = [0.0; ANCHORS];
        let most = out[..ANCHORS].iter().copied().fold(f32::MIN, f32::max);
        let mut sum = 0.0;
        for (weight, o) in weights.iter_mut().zip(&out) {
            *weight = libm::expf(o - most);
            sum += *weight;
        }
        let mut median = out[CORRECTION] * view.width;
        for (weight, anchor) in weights.iter_mut().zip(&view.anchors) {
            *weight /= sum;
            median += *weight * anchor;
        }
        let mut quantiles = [median; LEVELS.len()];
        let (mut down, mut up) = (median, median);
        for k in 0..SIDE {
            down -= view.width * grow(out[DOWN + k]);
            up += view.width * grow(out[UP + k]);
            quantiles[SIDE - 1 - k] = down;
            quantiles[SIDE + 1 + k] = up;
        }
        Self {
            mixed,
            out,
            weights,
            quantiles,
        }
    }

    /// The pinball loss of `y` (in units from the centre), averaged over levels: what
    /// [`Head::backward`] has the gradient of.
    #[cfg(test)]
    fn loss(&self, y: f32) -> f32 {
        let each = self.quantiles.iter().zip(LEVELS);
        let sum: f32 = each
            .map(|(q, level)| {
                let miss = y - q;
                (level * miss).max((level - 1.0) * miss)
            })
            .sum();
        sum / LEVELS.len() as f32
    }

    /// Adds the gradients of `weight` times the loss of `y`; that of the shared part goes to
    /// `dshared`.
    pub(crate) fn backward(
        &self,
        w: &Weights,
        dw: &mut Weights,
        view: &View,
        (y, weight): (f32, f32),
        dshared: &mut [f32; MIXED],
    ) {
        let scale = weight / LEVELS.len() as f32;
        let slope = |k: usize| scale * (f32::from(u8::from(y < self.quantiles[k])) - LEVELS[k]);
        let mut dout = [0.0; OUTPUTS];
        let (mut below, mut above) = (0.0, 0.0);
        for k in (0..SIDE).rev() {
            below += slope(SIDE - 1 - k);
            above += slope(SIDE + 1 + k);
            dout[DOWN + k] = -below * view.width * grow_slope(self.out[DOWN + k]);
            dout[UP + k] = above * view.width * grow_slope(self.out[UP + k]);
        }
        let dmedian = below + above + slope(SIDE);
        let mixture: f32 = self
            .weights
            .iter()
            .zip(&view.anchors)
            .map(|(w, a)| w * a)
            .sum();
        let mixed = self.weights.iter().zip(&view.anchors);
        for (d, (weight, anchor)) in dout.iter_mut().zip(mixed) {
            *d = dmedian * weight * (anchor - mixture);
        }
        dout[CORRECTION] = dmedian * view.width;
        add(dw.of_mut(w.shape.out_bias()), &dout);
        outer(dw.of_mut(w.shape.out()), &self.mixed.map(leak), &dout);
        let mut dmixed = [0.0; MIXED];
        backward(&mut dmixed, &dout, w.of(w.shape.out()));
        for (d, m) in dmixed.iter_mut().zip(&self.mixed) {
            *d *= if *m > 0.0 { 1.0 } else { LEAK };
        }
        outer(dw.of_mut(w.shape.features()), &view.features, &dmixed);
        add(dshared, &dmixed);
    }
}

fn leak(x: f32) -> f32 {
    x.max(LEAK * x)
}

/// Squareplus (Barron, arXiv 2112.11687): positive, linear where large, 1 at 0.
fn grow(x: f32) -> f32 {
    0.5 * (x + (x * x + 4.0).sqrt())
}

fn grow_slope(x: f32) -> f32 {
    0.5 * (1.0 + x / (x * x + 4.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::FEATURES;
    use crate::weights::Shape;
    use tidegate_model_kit::Stream;

    const SHAPE: Shape = Shape { hidden: 8 };

    fn some(seed: u64) -> (Weights, Vec<f32>, View) {
        let mut s = Stream::new(seed);
        let mut w = Weights::random(SHAPE, &mut s);
        for v in &mut w.values {
            *v += 0.2 * s.normal() as f32;
        }
        let view = View {
            anchors: std::array::from_fn(|_| 2.0 * s.normal() as f32),
            features: std::array::from_fn::<f32, FEATURES, _>(|_| s.normal() as f32),
            centre: 0.0,
            unit: 1.0,
            width: 0.7,
        };
        let h = (0..8).map(|_| 0.5 * s.normal() as f32).collect();
        (w, h, view)
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        for (seed, y) in [(1, -9.0), (2, 0.3), (3, 11.0)] {
            let (w, h, view) = some(seed);
            let shared = context(&w, &h, &[]);
            let head = Head::forward(&w, &shared, &view);
            let mut dw = Weights::zero(SHAPE);
            let (mut dshared, mut dh) = ([0.0; MIXED], vec![0.0; 8]);
            head.backward(&w, &mut dw, &view, (y, 2.0), &mut dshared);
            context_backward(&w, &mut dw, &h, &dshared, &mut dh);
            let loss = |w: &Weights, h: &[f32]| {
                f64::from(2.0 * Head::forward(w, &context(w, h, &[]), &view).loss(y))
            };
            let agree = |exact: f32, more: f64, less: f64, what: &str| {
                let (numeric, exact) = ((more - less) / 4e-3, f64::from(exact));
                assert!(
                    (numeric - exact).abs() <= 2e-2 * numeric.abs().max(0.1),
                    "{what} of seed {seed}: {exact} for {numeric}"
                );
            };
            let mut checked = 0;
            for k in (SHAPE.context().start..SHAPE.len()).step_by(5) {
                let at = |by: f32| {
                    let mut w = w.clone();
                    w.values[k] += by;
                    loss(&w, &h)
                };
                agree(dw.values[k], at(2e-3), at(-2e-3), &format!("weight {k}"));
                checked += usize::from(dw.values[k].abs() > 1e-3);
            }
            assert!(checked > 50, "{checked} gradients that are not zero");
            for k in 0..8 {
                let at = |by: f32| {
                    let mut h = h.clone();
                    h[k] += by;
                    loss(&w, &h)
                };
                agree(dh[k], at(2e-3), at(-2e-3), &format!("cell {k}"));
            }
        }
    }

    #[test]
    fn quantiles_rise_whatever_the_weights_are() {
        for seed in 0..50 {
            let (w, h, view) = some(seed);
            let head = Head::forward(&w, &context(&w, &h, &[]), &view);
            assert!(head.quantiles.is_sorted(), "{:?}", head.quantiles);
        }
    }

    #[test]
    fn an_untrained_head_repeats_the_last_season() {
        let view = View {
            anchors: std::array::from_fn(|k| if k == NAIVE { 1.0 } else { 0.0 }),
            features: [0.0; FEATURES],
            centre: 0.0,
            unit: 1.0,
            width: 0.5,
        };
        let w = Weights::random(SHAPE, &mut Stream::new(1));
        let head = Head::forward(&w, &context(&w, &[0.0; 8], &[]), &view);
        assert!((head.quantiles[SIDE] - 1.0).abs() < 0.3, "{head:?}");
    }
}
