//! The network of a cohort, and how it comes to be.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{Covariates, ModelError, Series, Stream, decode, encode};

use crate::cell::Cells;
use crate::config::Config;
use crate::lesson::Lesson;
use crate::memory::Memory;
use crate::train::train;
use crate::weights::{MIXED, Shape, Weights};

/// The format of encoded models and states.
pub const FORMAT: u32 = 1;
/// The fewest observed points of a series.
const NEED: usize = 3;
/// Ticks that a cohort must have for each pass over them.
const SCARCE: usize = 16;
/// How many times fewer passes a training takes that goes on from a model.
const WARM: u16 = 4;

/// A network, shared by the series of a fit and immutable after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub(crate) weights: Weights,
}

/// One history of a cohort, with what is known on its rows.
#[derive(Debug, Clone)]
pub struct History<'a> {
    /// The values.
    pub series: Series<'a>,
    /// Declared events, on the same rows.
    pub known: Covariates<'a>,
}

/// The outcome of [`fit_cohort`]: the network, and the state of each series or why it has none.
pub type Fitted = (Model, Vec<Result<Memory, ModelError>>);

/// Trains one network on all histories together. From the same histories in the same order, seed
/// and configuration come the same bits. With a `base` of the same size the training goes on from
/// there, in a quarter of the passes; any other base is passed over.
///
/// # Errors
/// [`ModelError::InvalidInput`] for a bad configuration. A history that no model can use fails
/// alone: below three observed points, infinite values, a zero step.
pub fn fit_cohort(
    config: &Config,
    histories: &[History<'_>],
    seed: u64,
    base: Option<&Model>,
) -> Result<Fitted, ModelError> {
    config.validate()?;
    let mut stream = Stream::new(seed ^ (u64::from(config.seed) << 20));
    let shape = Shape {
        hidden: usize::from(config.hidden),
    };
    let usable = |h: &History<'_>| h.series.validate(NEED).map(|()| h.series.scale());
    let scales: Vec<Result<f64, ModelError>> = histories.iter().map(usable).collect();
    let cohort = scales.iter().filter(|s| s.is_ok()).count();
    let mut lessons = Vec::with_capacity(cohort);
    let mut trackers = Vec::with_capacity(cohort);
    for (history, scale) in histories.iter().zip(&scales) {
        if let Ok(scale) = scale {
            let (tracker, lesson) = Lesson::of(&history.series, &history.known, *scale, cohort);
            trackers.push(tracker);
            lessons.push(lesson);
        }
    }
    let base = base.filter(|b| b.weights.shape == shape);
    let (start, epochs) = match base {
        Some(base) => (base.weights.clone(), config.epochs.div_ceil(WARM)),
        None => (Weights::random(shape, &mut stream), config.epochs),
    };
    // A few points are soon learned by heart.
    let ticks: usize = lessons.iter().map(Lesson::len).sum();
    let epochs = usize::from(epochs).min(ticks / SCARCE);
    let (weights, accents) = train(start, config, epochs, &lessons, &mut stream);
    let model = Model { weights };
    let accents = accents.chunks_exact(MIXED).map(<[f32]>::to_vec);
    let mut walked = lessons.iter().zip(trackers).zip(accents);
    let memories = scales.into_iter().map(|scale| {
        let scale = scale?;
        let ((lesson, tracker), accent) = walked
            .next()
            .ok_or_else(|| ModelError::Internal("a history was lost".to_owned()))?;
        let mut cells = Cells::zero(shape);
        for input in &lesson.inputs {
            cells.step(&model.weights, input);
        }
        Ok(Memory {
            scale,
            tracker,
            cells,
            accent,
        })
    });
    let memories = memories.collect();
    Ok((model, memories))
}

impl Model {
    /// The model as bytes that begin with [`FORMAT`].
    ///
    /// # Errors
    /// [`ModelError::Internal`] if serialisation fails.
    pub fn encode(&self) -> Result<Vec<u8>, ModelError> {
        encode(FORMAT, self)
    }

    /// Reads bytes that [`Model::encode`] wrote.
    ///
    /// # Errors
    /// [`ModelError::NotFitted`] for empty bytes, [`ModelError::Unsupported`] for another format,
    /// [`ModelError::InvalidInput`] for damaged bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelError> {
        let model: Self = decode(FORMAT, bytes)?;
        if model.is_sound() {
            Ok(model)
        } else {
            Err(ModelError::invalid("damaged model: impossible weights"))
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.weights.is_sound()
    }
}
