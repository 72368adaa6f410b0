//! All weights of a network in one list, so that a gradient, a moment and a model are such a list
//! too; and where in it each layer lies.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tidegate_model_kit::Stream;

use crate::head::{OUTPUTS, prior};
use crate::view::{FEATURES, INPUTS};

/// Units of the head's layer.
pub(crate) const MIXED: usize = 32;
/// No weight of a training comes near it; a damaged one may.
const LARGEST: f32 = 1e4;

/// The sizes that a config may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// Cells of the recurrent layer.
    pub(crate) hidden: usize,
}

impl Shape {
    /// Inputs and the last outputs to the gates: `[INPUTS + hidden][4 * hidden]`, in the order
    /// input, forget, candidate, output.
    pub(crate) fn gates(self) -> Range<usize> {
        0..(INPUTS + self.hidden) * 4 * self.hidden
    }
    /// `[4 * hidden]`.
    pub(crate) fn gate_bias(self) -> Range<usize> {
        after(&self.gates(), 4 * self.hidden)
    }
    /// Cells to the head's layer: `[hidden][MIXED]`.
    pub(crate) fn context(self) -> Range<usize> {
        after(&self.gate_bias(), self.hidden * MIXED)
    }
    /// Features to the head's layer: `[FEATURES][MIXED]`.
    pub(crate) fn features(self) -> Range<usize> {
        after(&self.context(), FEATURES * MIXED)
    }
    /// `[MIXED]`.
    pub(crate) fn mix_bias(self) -> Range<usize> {
        after(&self.features(), MIXED)
    }
    /// The head's layer to its outputs: `[MIXED][OUTPUTS]`.
    pub(crate) fn out(self) -> Range<usize> {
        after(&self.mix_bias(), MIXED * OUTPUTS)
    }
    /// `[OUTPUTS]`.
    pub(crate) fn out_bias(self) -> Range<usize> {
        after(&self.out(), OUTPUTS)
    }
    /// Number of all.
    pub(crate) fn len(self) -> usize {
        self.out_bias().end
    }
}

fn after(before: &Range<usize>, n: usize) -> Range<usize> {
    before.end..before.end + n
}

/// A network's weights, or one number for each of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Weights {
    pub(crate) shape: Shape,
    pub(crate) values: Vec<f32>,
}

impl Weights {
    pub(crate) fn zero(shape: Shape) -> Self {
        Self {
            shape,
            values: vec![0.0; shape.len()],
        }
    }

    /// Uniform within what keeps the variance of a layer (Glorot and Bengio, AISTATS 2010); forget
    /// gates begin open (Jozefowicz et al., ICML 2015), and the head at its prior.
    pub(crate) fn random(shape: Shape, stream: &mut Stream) -> Self {
        let mut w = Self::zero(shape);
        let h = shape.hidden;
        let mut fill = |range: Range<usize>, fan: usize, gain: f64| {
            let reach = gain * (6.0 / fan as f64).sqrt();
            for v in &mut w.values[range] {
                *v = (reach * (2.0 * stream.uniform() - 1.0)) as f32;
            }
        };
        fill(shape.gates(), INPUTS + 2 * h, 1.0);
        fill(shape.context(), h + FEATURES + MIXED, 1.0);
        fill(shape.features(), h + FEATURES + MIXED, 1.0);
        fill(shape.out(), MIXED + OUTPUTS, 0.1);
        let bias = shape.gate_bias();
        w.values[bias][h..2 * h].fill(1.0);
        w.values[shape.out_bias()].copy_from_slice(&prior());
        w
    }

    pub(crate) fn of(&self, range: Range<usize>) -> &[f32] {
        &self.values[range]
    }

    pub(crate) fn of_mut(&mut self, range: Range<usize>) -> &mut [f32] {
        &mut self.values[range]
    }

    /// Whether decoded weights can be computed with.
    pub(crate) fn is_sound(&self) -> bool {
        (8..=64).contains(&self.shape.hidden)
            && self.values.len() == self.shape.len()
            && self.values.iter().all(|v| v.abs() <= LARGEST)
    }
}
