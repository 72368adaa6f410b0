//! The network of a cohort, and how it comes to be.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{Covariates, ModelError, Series, Stream, decode, encode};

use crate::cell::Cells;
use crate::config::Config;
use crate::lesson::Lesson;
use crate::memory::{Memory, Voice};
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

/// The networks that the series of a fit share; immutable after it.
///
/// There are two by default, trained from different beginnings: the average of their quantiles is
/// better than either, and surer than one network that is trained for twice as long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub(crate) networks: Vec<Weights>,
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

/// Trains networks on all histories together. From the same histories in the same order, seed
/// and configuration come the same bits. With a `base` of the same number and size the training goes on from
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
    let base = base.filter(|b| {
        b.networks.len() == usize::from(config.networks)
            && b.networks.iter().all(|w| w.shape == shape)
    });
    let epochs = base.map_or(config.epochs, |_| config.epochs.div_ceil(WARM));
    // A few points are soon learned by heart.
    let ticks: usize = lessons.iter().map(Lesson::len).sum();
    let epochs = usize::from(epochs).min(ticks / SCARCE);
    let mut networks = Vec::new();
    let mut voices = vec![Vec::new(); lessons.len()];
    for k in 0..usize::from(config.networks) {
        let start = base
            .and_then(|b| b.networks.get(k).cloned())
            .unwrap_or_else(|| Weights::random(shape, &mut stream));
        let (weights, accents) = train(start, config, epochs, &lessons, &mut stream);
        let each = lessons.iter().zip(accents.chunks_exact(MIXED));
        for ((lesson, accent), voices) in each.zip(&mut voices) {
            let mut cells = Cells::zero(shape);
            for input in &lesson.inputs {
                cells.step(&weights, input);
            }
            voices.push(Voice {
                cells,
                accent: accent.to_vec(),
            });
        }
        networks.push(weights);
    }
    let mut walked = trackers.into_iter().zip(voices);
    let memories = scales.into_iter().map(|scale| {
        let scale = scale?;
        let (tracker, voices) = walked
            .next()
            .ok_or_else(|| ModelError::Internal("a history was lost".to_owned()))?;
        Ok(Memory {
            scale,
            tracker,
            voices,
        })
    });
    let memories = memories.collect();
    Ok((Model { networks }, memories))
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
        (1..=4).contains(&self.networks.len()) && self.networks.iter().all(Weights::is_sound)
    }
}
