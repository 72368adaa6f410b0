//! The recurrent layer: long short-term memory (Hochreiter and Schmidhuber, Neural Computation
//! 1997) with forget gates (Gers, Schmidhuber and Cummins, 2000), forward and backward in time.
//!
//! The squashing function is the rational one, x (27 + x²) / (27 + 9 x²) cut at 3: within 0.024 of
//! tanh, smooth, of the same bits on every machine, and a vector operation, where a library's tanh
//! would cost more than the layer's products. What is trained with it is used with it, so the
//! difference is no error.

use serde::{Deserialize, Serialize};

use crate::linear::{add, backward, forward, outer};
use crate::view::INPUTS;
use crate::weights::{Shape, Weights};

/// What the layer remembers of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cells {
    /// Outputs.
    pub(crate) h: Vec<f32>,
    /// Memory.
    pub(crate) c: Vec<f32>,
}

impl Cells {
    pub(crate) fn zero(shape: Shape) -> Self {
        Self {
            h: vec![0.0; shape.hidden],
            c: vec![0.0; shape.hidden],
        }
    }

    /// One tick on.
    pub(crate) fn step(&mut self, w: &Weights, input: &[f32; INPUTS]) {
        let mut scratch = Step::zero(w.shape);
        scratch.forward(w, input, self);
        self.h.copy_from_slice(&scratch.after.h);
        self.c.copy_from_slice(&scratch.after.c);
    }

    pub(crate) fn is_sound(&self, hidden: usize) -> bool {
        let bounded = |v: &[f32], most: f32| v.len() == hidden && v.iter().all(|x| x.abs() <= most);
        bounded(&self.h, 1.0) && bounded(&self.c, 1e6)
    }
}

/// One tick of one series, with what going back needs.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Input, then the outputs of the tick before.
    x: Vec<f32>,
    c_before: Vec<f32>,
    /// Before squashing: input, forget, candidate, output.
    z: Vec<f32>,
    pub(crate) after: Cells,
}

impl Step {
    pub(crate) fn zero(shape: Shape) -> Self {
        let h = shape.hidden;
        Self {
            x: vec![0.0; INPUTS + h],
            c_before: vec![0.0; h],
            z: vec![0.0; 4 * h],
            after: Cells::zero(shape),
        }
    }

    pub(crate) fn forward(&mut self, w: &Weights, input: &[f32; INPUTS], before: &Cells) {
        let h = w.shape.hidden;
        self.x[..INPUTS].copy_from_slice(input);
        self.x[INPUTS..].copy_from_slice(&before.h);
        self.c_before.copy_from_slice(&before.c);
        self.z.copy_from_slice(w.of(w.shape.gate_bias()));
        forward(&mut self.z, &self.x, w.of(w.shape.gates()));
        let (zi, rest) = self.z.split_at(h);
        let (zf, rest) = rest.split_at(h);
        let (zg, zo) = rest.split_at(h);
        for k in 0..h {
            let c = gate(zf[k]) * self.c_before[k] + gate(zi[k]) * squash(zg[k]);
            self.after.c[k] = c;
            self.after.h[k] = gate(zo[k]) * squash(c);
        }
    }

    /// Takes the gradients of this tick's outputs (`dh`) and memory (`dc`), leaves those of the
    /// tick before in them, and adds those of the weights to `dw`. `dz` is scratch.
    pub(crate) fn backward(
        &self,
        w: &Weights,
        dw: &mut Weights,
        dh: &mut [f32],
        dc: &mut [f32],
        dz: &mut [f32],
    ) {
        let h = w.shape.hidden;
        let (zi, rest) = self.z.split_at(h);
        let (zf, rest) = rest.split_at(h);
        let (zg, zo) = rest.split_at(h);
        for k in 0..h {
            let c = self.after.c[k];
            let (o, t) = (gate(zo[k]), squash(c));
            let dc_here = dc[k] + dh[k] * o * squash_slope(c);
            let (i, f, g) = (gate(zi[k]), gate(zf[k]), squash(zg[k]));
            dz[k] = dc_here * g * gate_slope(zi[k]);
            dz[h + k] = dc_here * self.c_before[k] * gate_slope(zf[k]);
            dz[2 * h + k] = dc_here * i * squash_slope(zg[k]);
            dz[3 * h + k] = dh[k] * t * gate_slope(zo[k]);
            dc[k] = dc_here * f;
        }
        outer(dw.of_mut(w.shape.gates()), &self.x, dz);
        add(dw.of_mut(w.shape.gate_bias()), dz);
        dh.fill(0.0);
        backward(dh, dz, &w.of(w.shape.gates())[INPUTS * 4 * h..]);
    }
}

fn squash(x: f32) -> f32 {
    let x = x.clamp(-3.0, 3.0);
    let xx = x * x;
    x * (27.0 + xx) / (27.0 + 9.0 * xx)
}

fn squash_slope(x: f32) -> f32 {
    let x = x.clamp(-3.0, 3.0);
    let xx = x * x;
    let below = 27.0 + 9.0 * xx;
    ((27.0 + 3.0 * xx) * below - 18.0 * xx * (27.0 + xx)) / (below * below)
}

/// The logistic function by the same fraction.
fn gate(x: f32) -> f32 {
    0.5 + 0.5 * squash(0.5 * x)
}

fn gate_slope(x: f32) -> f32 {
    0.25 * squash_slope(0.5 * x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model_kit::Stream;

    const SHAPE: Shape = Shape { hidden: 8 };

    /// The sum of the last tick's outputs, each with a weight of its own, after three ticks.
    fn loss(w: &Weights, inputs: &[[f32; INPUTS]]) -> f64 {
        let mut cells = Cells::zero(SHAPE);
        for x in inputs {
            cells.step(w, x);
        }
        let each = cells.h.iter().enumerate();
        each.map(|(k, h)| f64::from(*h) * (1.0 + k as f64)).sum()
    }

    #[test]
    fn the_gradient_through_time_is_that_of_finite_differences() {
        let mut stream = Stream::new(3);
        let w = Weights::random(SHAPE, &mut stream);
        let inputs: Vec<[f32; INPUTS]> = (0..3)
            .map(|_| std::array::from_fn(|_| stream.normal() as f32))
            .collect();
        let mut cells = Cells::zero(SHAPE);
        let mut steps = Vec::new();
        for x in &inputs {
            let mut step = Step::zero(SHAPE);
            step.forward(&w, x, &cells);
            cells = step.after.clone();
            steps.push(step);
        }
        let mut dw = Weights::zero(SHAPE);
        let mut dh: Vec<f32> = (0..8).map(|k| 1.0 + k as f32).collect();
        let (mut dc, mut dz) = (vec![0.0; 8], vec![0.0; 32]);
        for step in steps.iter().rev() {
            step.backward(&w, &mut dw, &mut dh, &mut dc, &mut dz);
        }
        let end = SHAPE.gate_bias().end;
        let mut checked = 0;
        for k in (0..end).step_by(7) {
            let shifted = |by: f32| {
                let mut w = w.clone();
                w.values[k] += by;
                loss(&w, &inputs)
            };
            let numeric = (shifted(2e-2) - shifted(-2e-2)) / 4e-2;
            let exact = f64::from(dw.values[k]);
            assert!(
                (numeric - exact).abs() <= 1e-2 * numeric.abs().max(0.2),
                "weight {k}: {exact} for {numeric}"
            );
            checked += usize::from(exact.abs() > 1e-3);
        }
        assert!(checked > 30, "{checked} gradients that are not zero");
    }

    #[test]
    fn the_squashing_function_is_near_tanh_and_flat_where_it_is_cut() {
        for k in -60..=60 {
            let x = k as f32 / 10.0;
            assert!((squash(x) - libm::tanhf(x)).abs() < 0.025, "{x}");
        }
        assert!(squash_slope(3.0).abs() < 1e-6 && (squash_slope(0.0) - 1.0).abs() < 1e-6);
    }
}
