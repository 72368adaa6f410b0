//! What another version of a module makes of fitted states, before anything depends on it.
//!
//! A version that changes the layout of its states says so by its format number and translates what the
//! one before it left. That translation is the least tried code that a module has: it runs once, on states
//! that only production has. So it is rehearsed on copies of all of them: each must come out in the format
//! that the module declares, must answer, lawfully (FC1), and about what the old version answers from the
//! same state. What that is, is not for this room to judge finely (a new version is there to answer
//! otherwise); [`MOST_APART`] catches what was misread: units, an offset in the bytes, a scale left out.
//!
//! Pure, and one cohort at a time: the caller decides how many states are in memory at once.

use super::batch::horizon_of;
use super::series_name;
use std::sync::Arc;
use tidegate_core::canonical;
use tidegate_core::catalog::Catalog;
use tidegate_core::invariant::check_grid;
use tidegate_core::policy::{Blobs, CallError, Forecaster, Forecasts, Horizon, PolicyError};
use tidegate_core::ports::storage::SeriesState;
use tidegate_core::roster::Member;
use tidegate_core::time::Step;
use tidegate_core::units::Level;

/// So many times the old version's mean, and its 80 % interval beside that, the new one's may be.
pub const MOST_APART: f64 = 10.0;

/// What a rehearsal needs.
#[derive(Debug, Clone, Copy)]
pub struct MigrateInput<'a> {
    /// Root seed.
    pub seed: u64,
    /// Resolution.
    pub step: Step,
    /// Steps that are asked of a migrated state.
    pub steps: u32,
    /// States of one tenant, model and format.
    pub states: &'a [SeriesState],
    /// Who wrote them, to be compared with; `None` where it is not there to be asked.
    pub from: Option<&'a Member<dyn Forecaster>>,
    /// Who is to go on with them.
    pub to: &'a Member<dyn Forecaster>,
    /// The format number that it declares.
    pub format: u32,
    /// The calendar.
    pub catalog: &'a Catalog,
}

/// What became of one state.
#[derive(Debug, Clone, PartialEq)]
pub enum Migrated {
    /// It goes on under the other version.
    Moved(Box<SeriesState>),
    /// The module does not read it, and says so: its series is fitted anew.
    Unsupported,
    /// It must not go on: why.
    Failed(String),
}

/// Migrates, and tries what came out. One answer per state.
#[must_use]
pub fn migrate(input: &MigrateInput<'_>) -> Vec<Migrated> {
    let Some(first) = input.states.first() else {
        return vec![];
    };
    let n = input.states.len();
    let parts = input.states.iter().map(|s| s.state.as_slice());
    let blobs = Blobs::join(first.format, parts);
    let fitted = match input.to.policy.migrate(&first.model, &blobs) {
        Ok(fitted) => fitted,
        Err(CallError::Policy(PolicyError::Unsupported(_))) => {
            return vec![Migrated::Unsupported; n];
        }
        Err(error) => return vec![Migrated::Failed(error.to_string()); n],
    };
    if fitted.status.len() != n || fitted.states.len() != n {
        let (states, statuses) = (fitted.states.len(), fitted.status.len());
        let text = format!("{states} states and {statuses} statuses for {n} series");
        return vec![Migrated::Failed(text); n];
    }
    if fitted.states.format != input.format && fitted.status.iter().any(Result::is_ok) {
        let (wrote, says) = (fitted.states.format, input.format);
        let text = format!("`migrate` wrote format {wrote}, `describe` says {says}");
        return vec![Migrated::Failed(text); n];
    }
    let model: Arc<[u8]> = if fitted.model[..] == first.model[..] {
        first.model.clone()
    } else {
        fitted.model.into()
    };
    let config = super::fitted_with(&input.to.config, input.step);
    let mut all: Vec<Migrated> = (fitted.status.iter().enumerate())
        .map(|(i, status)| match status {
            Ok(()) => Migrated::Moved(Box::new(SeriesState {
                module: input.to.module.digest,
                config,
                format: fitted.states.format,
                model: model.clone(),
                state: fitted.states.get(i).to_vec(),
                ..input.states[i].clone()
            })),
            Err(PolicyError::Unsupported(_)) => Migrated::Unsupported,
            Err(error) => Migrated::Failed(error.to_string()),
        })
        .collect();
    try_answers(input, &mut all);
    all
}

/// Has every moved state answer, and holds the answers against the old version's.
fn try_answers(input: &MigrateInput<'_>, all: &mut [Migrated]) {
    let places: Vec<usize> = (all.iter().enumerate())
        .filter(|(_, one)| matches!(one, Migrated::Moved(_)))
        .map(|(i, _)| i)
        .collect();
    let moved: Vec<SeriesState> = (all.iter())
        .filter_map(|one| match one {
            Migrated::Moved(state) => Some((**state).clone()),
            Migrated::Unsupported | Migrated::Failed(_) => None,
        })
        .collect();
    if moved.is_empty() {
        return;
    }
    let old: Vec<SeriesState> = places.iter().map(|&i| input.states[i].clone()).collect();
    let horizon = horizon(input, &moved);
    let (levels, steps) = (horizon.levels.len(), horizon.steps as usize);
    let new = ask(input.to, &moved, &horizon);
    // Of an old version that gives no answer itself, the new one need not give the same.
    let before = input.from.and_then(|from| ask(from, &old, &horizon).ok());
    for (n, &i) in places.iter().enumerate() {
        let grid = |f: &Forecasts| {
            let mean = f.mean.get(n * steps..(n + 1) * steps)?.to_vec();
            let cells = steps * levels;
            let quantiles = f.quantiles.get(n * cells..(n + 1) * cells)?.to_vec();
            f.status.get(n)?.is_ok().then_some((mean, quantiles))
        };
        let outcome = match &new {
            Err(error) => Err(error.to_string()),
            Ok(new) => match (new.status.get(n), grid(new)) {
                (_, Some((mean, quantiles))) => check_grid(&mean, &quantiles, levels)
                    .map_err(|breach| breach.to_string())
                    .and_then(|()| match before.as_ref().and_then(grid) {
                        Some((old, spread)) => near(&mean, &old, &spread, levels),
                        None => Ok(()),
                    }),
                // An honest answer, and what is lacking comes with time.
                (Some(Err(PolicyError::InsufficientData { .. })), None) => Ok(()),
                (Some(Err(error)), None) => Err(error.to_string()),
                (_, None) => Err("it gave no forecast".into()),
            },
        };
        if let Err(problem) = outcome {
            all[i] = Migrated::Failed(format!("from the migrated state: {problem}"));
        }
    }
}

fn ask(
    member: &Member<dyn Forecaster>,
    states: &[SeriesState],
    horizon: &Horizon,
) -> Result<Forecasts, CallError> {
    let first = states
        .first()
        .ok_or_else(|| CallError::Unavailable("no series".into()))?;
    let blobs = Blobs::join(first.format, states.iter().map(|s| s.state.as_slice()));
    member.policy.predict(&first.model, &blobs, horizon)
}

fn horizon(input: &MigrateInput<'_>, states: &[SeriesState]) -> Horizon {
    let keys: Vec<_> = states.iter().map(|s| &s.key).collect();
    let seen: Vec<_> = states.iter().map(|s| s.seen).collect();
    let seed = |i: usize| canonical::seed(input.seed, "migrate", &series_name(keys[i]), seen[i].0);
    horizon_of(
        input.catalog,
        input.step,
        &Level::STANDARD,
        &keys,
        &seen,
        input.steps,
        seed,
    )
}

/// Whether two forecasts can be of one series: their mean levels, and the wider of the two by the width of
/// the old one's interval.
fn near(new: &[f64], old: &[f64], spread: &[f64], levels: usize) -> Result<(), String> {
    let level = |grid: &[f64]| grid.iter().sum::<f64>() / grid.len().max(1) as f64;
    let (now, before) = (level(new), level(old));
    let width = spread.chunks(levels.max(1)).map(|row| match row {
        [low, .., high] => high - low,
        _ => 0.0,
    });
    let width = width.fold(0.0, f64::max);
    // A series that is expected to be still has no scale to be off by.
    let is_still = before <= 0.0 && width <= 0.0;
    if is_still || now <= MOST_APART * before + width && before <= MOST_APART * now + width {
        return Ok(());
    }
    Err(format!(
        "it foresees {now:.4} on average, the version before foresees {before:.4} from the same state"
    ))
}

#[cfg(test)]
mod tests;
