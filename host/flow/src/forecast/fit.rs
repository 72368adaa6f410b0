//! Fits series to their history, in one batch per module and config.
//!
//! A series that is too short to know its own day gets the past of its category in front ([`prior`]);
//! that it did is told with the state, because a person has to know what a forecast rests on.
//!
//! [`prior`]: super::prior

use super::covariates::{EVENT, covariates};
use super::prior::Priors;
use std::sync::Arc;
use tidegate_core::canonical;
use tidegate_core::catalog::Catalog;
use tidegate_core::forecast::Prior;
use tidegate_core::frame::Column;
use tidegate_core::policy::{CallError, Forecaster, Frames};
use tidegate_core::ports::storage::{History, SeriesState, StoreError};
use tidegate_core::roster::{Fault, Member};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Step, Timestamp};

/// What a fit needs.
#[derive(Clone, Copy)]
pub struct FitInput<'a> {
    /// The time.
    pub now: Timestamp,
    /// Root seed.
    pub seed: u64,
    /// Resolution.
    pub step: Step,
    /// Steps of history at most.
    pub window: usize,
    /// How far ahead will be asked, in steps.
    pub reach: u32,
    /// Which series, of one tenant.
    pub keys: &'a [SeriesKey],
    /// By whom.
    pub member: &'a Member<dyn Forecaster>,
    /// The model of their last fit by this member, to learn on from; empty to begin anew.
    pub base: &'a [u8],
    /// The past.
    pub history: &'a dyn History,
    /// The calendar.
    pub catalog: &'a Catalog,
}

impl<'a> FitInput<'a> {
    /// A fit from nothing, for the same question as a prediction: its time, seed, step, past and
    /// calendar.
    #[must_use]
    pub fn of(
        input: &super::Input<'a>,
        window: usize,
        keys: &'a [SeriesKey],
        member: &'a Member<dyn Forecaster>,
    ) -> Self {
        Self {
            now: input.now,
            seed: input.seed,
            step: input.step,
            window,
            reach: input.steps,
            keys,
            member,
            base: &[],
            history: input.history,
            catalog: input.catalog,
        }
    }
}

impl std::fmt::Debug for FitInput<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FitInput")
            .field("now", &self.now)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// What was learned.
#[derive(Debug, Default)]
pub struct FitOutput {
    /// One per series that could be fitted.
    pub states: Vec<SeriesState>,
    /// What went wrong, honest lack of data included.
    pub faults: Vec<Fault>,
}

/// Fits. Series without data are passed over.
///
/// # Errors
/// When stored data cannot be read.
pub fn fit(input: &FitInput<'_>) -> Result<FitOutput, StoreError> {
    let mut output = FitOutput::default();
    let mut columns: Vec<(&SeriesKey, Column)> = vec![];
    // Rows in front of each series that were not measured, and what they were made of.
    let mut composed: Vec<usize> = vec![];
    let mut stood_in: Vec<Option<Prior>> = vec![];
    let mut priors = Priors::default();
    for key in input.keys {
        let Some(newest) = input.history.newest(key) else {
            continue;
        };
        let end = newest.min(input.now).floor(input.step);
        let column = input
            .history
            .column(key, Grid::ending_at(end, input.step, input.window))?
            .trimmed();
        if column.values.is_empty() {
            continue;
        }
        match priors.extend(input, key, &column)? {
            Some(extended) => {
                columns.push((key, extended.column));
                composed.push(extended.rows);
                stood_in.push(Some(extended.prior));
            }
            None => {
                columns.push((key, column));
                composed.push(0);
                stood_in.push(None);
            }
        }
    }
    if columns.is_empty() {
        return Ok(output);
    }
    let mut frames = Frames::new(input.step);
    for (key, column) in &columns {
        let seed = canonical::seed(
            input.seed,
            "fit",
            &super::series_name(key),
            column.grid().end().0,
        );
        frames.push(key.signal, column.start, &column.values, seed);
    }
    let grids: Vec<Grid> = columns.iter().map(|(_, c)| c.grid()).collect();
    let apis: Vec<_> = columns.iter().map(|(k, _)| &k.api).collect();
    frames.covariates = covariates(input.catalog, &apis, &grids);
    forget_events(&mut frames, &composed);
    let config = super::fitted_with(&input.member.config, input.step);
    let fault = |error, subject: String| input.member.fault(error, subject);
    match input
        .member
        .policy
        .fit_from(&input.member.config, input.base, &frames)
    {
        Err(error) => {
            let names: Vec<_> = columns.iter().map(|(k, _)| super::series_name(k)).collect();
            output.faults.push(fault(error, names.join(", ")));
        }
        Ok(fitted)
            if fitted.status.len() != columns.len() || fitted.states.len() != columns.len() =>
        {
            let text = format!(
                "{} states for {} series",
                fitted.states.len(),
                columns.len()
            );
            let breach = tidegate_core::invariant::Breach::new(
                tidegate_core::invariant::Invariant::FC1,
                text,
            );
            output
                .faults
                .push(fault(CallError::Refused(breach), "fit".into()));
        }
        Ok(fitted) => {
            let model: Arc<[u8]> = fitted.model.into();
            for (i, (key, column)) in columns.iter().enumerate() {
                match &fitted.status[i] {
                    Err(error) => {
                        output.faults.push(fault(
                            CallError::Policy(error.clone()),
                            super::series_name(key),
                        ));
                    }
                    Ok(()) => output.states.push(SeriesState {
                        key: (*key).clone(),
                        module: input.member.module.digest,
                        config,
                        format: fitted.states.format,
                        model: model.clone(),
                        state: fitted.states.get(i).to_vec(),
                        fitted_at: input.now,
                        seen: column.grid().end(),
                        prior: stood_in[i].take(),
                    }),
                }
            }
        }
    }
    Ok(output)
}

/// A composed past is an ordinary one: no event ran in it, whatever the calendar says, or a module
/// would learn that events change nothing.
fn forget_events(frames: &mut Frames, composed: &[usize]) {
    let rows = frames.values.len();
    let known = &mut frames.covariates;
    let events = known.names.iter().enumerate();
    for (n, _) in events.filter(|(_, name)| name.starts_with(EVENT)) {
        for (first, count) in frames.offsets.iter().zip(composed) {
            let from = n * rows + *first as usize;
            if let Some(part) = known.values.get_mut(from..from + count) {
                part.fill(0.0);
            }
        }
    }
}
