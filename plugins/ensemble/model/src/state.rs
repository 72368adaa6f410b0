//! The fitted members: what the host keeps per series, and how they answer as one.
//!
//! Each member's bytes stay its own, with its own format number and its own checks, so that a
//! member's change of format is noticed here without a word about it.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{Covariates, ModelError, Prediction, Shape, decode, encode};

use crate::config::Config;
use crate::floor::Floor;
use crate::member::{Kind, Member};
use crate::weights::{combine, rein_in, smooth, trust_at, unjudged, weigh};

/// The format number of [`State::encode`]d bytes.
pub const FORMAT: u32 = 4;

/// The levels whose distance is a member's width.
const WIDTH: [u16; 2] = [1000, 9000];
/// The longest day, and history, in steps that a decoded state may claim.
const MAX_DAY: f64 = 1e6;
const MAX_SPAN: f64 = 1e9;
/// The trust that `seasonal-naive` gains where no history has judged anybody: as much as all others
/// have by default.
const PLAIN: f64 = 5.0;

/// The fitted members and how far each is trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    config: Config,
    /// Steps in a day.
    day: f64,
    /// Steps of the history that was fitted to.
    span: f64,
    floor: Floor,
    members: Vec<Member>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    config: Config,
    day: f64,
    span: f64,
    floor: Floor,
    members: Vec<(u8, Vec<u8>)>,
}

impl State {
    /// Of members that were fitted to `span` steps.
    pub(crate) fn assemble(
        config: Config,
        day: f64,
        span: usize,
        floor: Floor,
        members: Vec<Member>,
    ) -> Self {
        Self {
            config,
            day,
            span: span as f64,
            floor,
            members,
        }
    }

    /// The members that could be fitted.
    pub fn members(&self) -> impl Iterator<Item = Kind> + '_ {
        self.members.iter().map(Member::kind)
    }

    /// [`State::update_with`] where nothing is known beside the values.
    pub fn update(&mut self, values: &[f64]) {
        self.update_with(values, &Covariates::default());
    }

    /// Takes the values of the steps that follow the last seen one; NaN is a missing step.
    pub fn update_with(&mut self, values: &[f64], known: &Covariates<'_>) {
        self.floor.follow(values);
        for member in &mut self.members {
            member.update(values, known);
        }
    }

    /// [`State::predict_with`] where nothing is known of the future.
    ///
    /// # Errors
    /// As [`State::predict_with`].
    pub fn predict(
        &self,
        horizon: usize,
        levels: &[u16],
        seed: u64,
    ) -> Result<Prediction, ModelError> {
        self.predict_with(horizon, levels, seed, &Covariates::default())
    }

    /// Forecasts the `horizon` steps after the last seen one, at quantile levels in parts per
    /// 10,000 (ascending), with the calendar and the events of `known` on those steps. A member
    /// that fails stands aside.
    ///
    /// # Errors
    /// [`ModelError::InvalidInput`] for a bad horizon or levels; the first member's error if no
    /// member answers.
    pub fn predict_with(
        &self,
        horizon: usize,
        levels: &[u16],
        seed: u64,
        known: &Covariates<'_>,
    ) -> Result<Prediction, ModelError> {
        let shape = Shape::new(horizon, levels)?;
        let mut asked: Vec<u16> = levels.iter().chain(&WIDTH).copied().collect();
        asked.sort_unstable();
        asked.dedup();
        let place = |level: &u16| asked.binary_search(level).unwrap_or(0);
        let places: Vec<usize> = levels.iter().map(place).collect();
        let [low, high] = WIDTH.map(|l| place(&l));
        let (mut answers, mut failed) = (Vec::new(), None);
        for member in &self.members {
            match member.predict(horizon, &asked, seed, known) {
                Ok(answer) => {
                    let rows = answer.quantiles.chunks_exact(asked.len());
                    let widths: Vec<f64> = rows.map(|q| q[high] - q[low]).collect();
                    answers.push((member.kind(), answer, smooth(&widths)));
                }
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        if answers.is_empty() {
            return Err(failed.unwrap_or(ModelError::NotFitted));
        }
        let mut mean = Vec::with_capacity(horizon);
        let mut quantiles = Vec::with_capacity(horizon * levels.len());
        let mut offs = vec![0.0; answers.len()];
        for step in 0..horizon {
            let ahead = (step + 1) as f64 / self.day;
            let doubt = unjudged(step + 1, self.span);
            let trust = |kind: Kind| {
                let own = trust_at(self.config.trust(kind), ahead);
                let plain = kind == Kind::SeasonalNaive;
                if plain { own + doubt * PLAIN } else { own }
            };
            let trusts: Vec<f64> = answers.iter().map(|a| trust(a.0)).collect();
            let widths: Vec<f64> = answers.iter().map(|a| a.2[step]).collect();
            let width = trust_at(self.config.width, ahead);
            let width = width + doubt * (1.0 - width).max(0.0);
            let plain = weigh(&trusts, &widths, 0.0);
            let sharp = weigh(&trusts, &widths, self.config.sharpness);
            let happens = known
                .events()
                .any(|(_, column)| column.get(step).is_some_and(|v| *v > 0.0));
            let least = if happens { 0.0 } else { self.floor.least() };
            let centres: Vec<f64> = answers
                .iter()
                .map(|(_, answer, _)| answer.mean[step].max(least))
                .collect();
            let near = |kind: Kind| self.config.trust(kind).near > 0.0;
            let near: Vec<bool> = answers.iter().map(|a| near(a.0)).collect();
            let centre = combine(&centres, &sharp, &near, ahead);
            mean.push(centre);
            quantiles.extend(places.iter().map(|at| {
                // The member that is sure would narrow the interval twice, were it weighed by its
                // width here as well.
                for (off, (_, answer, _)) in offs.iter_mut().zip(&answers) {
                    *off = answer.quantiles[step * asked.len() + at] - answer.mean[step];
                }
                rein_in(&mut offs, doubt);
                let off: f64 = offs.iter().zip(&plain).map(|(off, w)| w * off).sum();
                centre + width * off
            }));
        }
        Prediction::lawful(&shape, mean, quantiles)
    }

    /// The state as bytes that begin with [`FORMAT`].
    ///
    /// # Errors
    /// [`ModelError::Internal`] if serialisation fails.
    pub fn encode(&self) -> Result<Vec<u8>, ModelError> {
        let members = self
            .members
            .iter()
            .map(|m| Ok((m.kind().code(), m.encode()?)))
            .collect::<Result<_, ModelError>>()?;
        let stored = Stored {
            config: self.config,
            day: self.day,
            span: self.span,
            floor: self.floor,
            members,
        };
        encode(FORMAT, &stored)
    }

    /// Reads bytes that [`State::encode`] wrote; each member checks its own.
    ///
    /// # Errors
    /// [`ModelError::NotFitted`] for empty bytes, [`ModelError::Unsupported`] for another format of
    /// the state or of a member, [`ModelError::InvalidInput`] for damaged bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelError> {
        let stored: Stored = decode(FORMAT, bytes)?;
        stored
            .config
            .validate()
            .map_err(|e| ModelError::invalid(format!("damaged state: {e}")))?;
        let rising = stored.members.windows(2).all(|w| w[0].0 < w[1].0);
        let day = stored.day > 0.0 && stored.day <= MAX_DAY;
        let span = (0.0..=MAX_SPAN).contains(&stored.span);
        if !(day && span && stored.floor.is_sound() && rising && !stored.members.is_empty()) {
            return Err(ModelError::invalid("damaged state: impossible values"));
        }
        let members = stored
            .members
            .iter()
            .map(|(code, bytes)| Member::decode(*code, bytes))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            config: stored.config,
            day: stored.day,
            span: stored.span,
            floor: stored.floor,
            members,
        })
    }
}
