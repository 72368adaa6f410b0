//! Batches: series that share module, config, model and state format go into one call.

use super::covariates::covariates;
use super::{Input, Target, fit};
use std::collections::BTreeMap;
use tidegate_core::canonical;
use tidegate_core::forecast::Forecast;
use tidegate_core::ids::{BindingId, Digest};
use tidegate_core::invariant;
use tidegate_core::policy::{Blobs, CallError, Forecaster, Frames, Horizon, PolicyError};
use tidegate_core::ports::storage::{SeriesState, StoreError};
use tidegate_core::roster::{Member, Retreat, Served};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Grid;

/// Series that go into one call.
pub(super) struct Cohort<'a> {
    pub(super) member: &'a Member<dyn Forecaster>,
    /// [`super::fitted_with`].
    pub(super) config: Digest,
    /// How far back its answers come from.
    pub(super) retreat: Retreat,
    pub(super) rows: Vec<Row>,
}

/// One of them.
pub(super) struct Row {
    pub(super) state: SeriesState,
}

/// Key of a cohort: tenant (a call carries series of one tenant), binding (a fault is one binding's),
/// module, config, model, format.
type CohortKey = (String, Option<BindingId>, Digest, Digest, Digest, u32);

/// Sorts asked members into cohorts; of one target, the first that has a state. The native baseline
/// needs no fit in advance: it is fitted here.
pub(super) fn cohorts<'a>(
    input: &Input<'_>,
    retreat: Retreat,
    asked: impl IntoIterator<Item = (&'a Target, Vec<&'a Member<dyn Forecaster>>)>,
) -> Result<Vec<Cohort<'a>>, StoreError> {
    let mut cohorts: BTreeMap<CohortKey, Cohort<'a>> = BTreeMap::new();
    // A model is shared by many states, and hashed once.
    let mut models: BTreeMap<(*const u8, usize), Digest> = BTreeMap::new();
    let configs = super::configs::Configs::default();
    for (target, members) in asked {
        for member in members {
            let config = configs.of(member, input.step);
            let state = match input.bank.get(&target.key, member.module.digest, config) {
                // A state that has seen more than there is yet (the clock stepped back) would give
                // another time's forecast: the next link answers until the clock has caught up.
                Some(state) if retreat != Retreat::Baseline => {
                    Some(state.clone()).filter(|s| s.seen <= input.now)
                }
                _ if retreat == Retreat::Baseline => fresh(input, &target.key, member)?,
                _ => None,
            };
            let Some(state) = state else { continue };
            let tenant = target.key.api.tenant.to_string();
            let model = *models
                .entry((state.model.as_ptr(), state.model.len()))
                .or_insert_with(|| Digest::of(&state.model));
            let key = (
                tenant,
                member.binding.clone(),
                state.module,
                config,
                model,
                state.format,
            );
            let cohort = cohorts.entry(key).or_insert_with(|| Cohort {
                member,
                config,
                retreat,
                rows: vec![],
            });
            cohort.rows.push(Row { state });
            break;
        }
    }
    Ok(cohorts.into_values().flat_map(Cohort::calls).collect())
}

/// Most series of one call: their states and answers have to fit into a guest's memory, and what is
/// asked in several calls can be asked of several at once ([`super::lanes`]). A call's own cost is spread
/// thin long before. Results do not depend on it: the interface says so.
const CALL: usize = 64;

impl<'a> Cohort<'a> {
    /// Who answers for it.
    pub(super) fn served(&self) -> Served {
        Served {
            module: self.member.module.clone(),
            retreat: self.retreat,
        }
    }

    fn calls(self) -> Vec<Self> {
        let mut rows = self.rows.into_iter();
        let mut calls = vec![];
        loop {
            let rows: Vec<Row> = rows.by_ref().take(CALL).collect();
            if rows.is_empty() {
                return calls;
            }
            calls.push(Cohort { rows, ..self });
        }
    }
}

/// A day of history is all that the baseline looks at.
fn fresh(
    input: &Input<'_>,
    key: &SeriesKey,
    member: &Member<dyn Forecaster>,
) -> Result<Option<SeriesState>, StoreError> {
    let output = fit(&super::FitInput {
        now: input.now,
        seed: input.seed,
        step: input.step,
        window: (86_400 / input.step.secs()) as usize,
        keys: std::slice::from_ref(key),
        member,
        base: &[],
        reach: input.steps,
        history: input.history,
        catalog: input.catalog,
    })?;
    Ok(output.states.into_iter().next())
}

type Moved = Vec<Result<SeriesState, (SeriesKey, PolicyError)>>;

/// Gives every state the rows that it has not seen.
pub(super) fn advance(
    input: &Input<'_>,
    cohort: &Cohort<'_>,
) -> Result<Result<Moved, CallError>, StoreError> {
    let mut frames = Frames::new(input.step);
    let mut grids = vec![];
    let mut behind = vec![];
    for (i, row) in cohort.rows.iter().enumerate() {
        let state = &row.state;
        let newest = input.history.newest(&state.key).unwrap_or(state.seen);
        let end = newest.min(input.now).floor(input.step);
        let count = usize::try_from(end.since_ms(state.seen) / input.step.ms()).unwrap_or(0);
        if count == 0 {
            continue;
        }
        let grid = Grid {
            start: state.seen,
            step: input.step,
            count,
        };
        let column = input.history.column(&state.key, grid)?;
        let seed = canonical::seed(input.seed, "update", &super::series_name(&state.key), end.0);
        frames.push(state.key.signal, grid.start, &column.values, seed);
        grids.push(grid);
        behind.push(i);
    }
    let mut moved: Moved = cohort.rows.iter().map(|r| Ok(r.state.clone())).collect();
    if behind.is_empty() {
        return Ok(Ok(moved));
    }
    let apis: Vec<_> = behind
        .iter()
        .map(|&i| &cohort.rows[i].state.key.api)
        .collect();
    frames.covariates = covariates(input.catalog, &apis, &grids);
    let first = &cohort.rows[behind[0]].state;
    let states = Blobs::join(
        first.format,
        behind
            .iter()
            .map(|&i| cohort.rows[i].state.state.as_slice()),
    );
    let fitted = match cohort.member.policy.update(&first.model, &states, &frames) {
        Ok(fitted)
            if fitted.status.len() == behind.len() && fitted.states.len() == behind.len() =>
        {
            fitted
        }
        Ok(fitted) => {
            let text = format!("{} states for {} series", fitted.states.len(), behind.len());
            let breach = invariant::Breach::new(invariant::Invariant::FC1, text);
            return Ok(Err(CallError::Refused(breach)));
        }
        Err(error) => return Ok(Err(error)),
    };
    for (n, &i) in behind.iter().enumerate() {
        let old = &cohort.rows[i].state;
        moved[i] = match &fitted.status[n] {
            Ok(()) => Ok(SeriesState {
                state: fitted.states.get(n).to_vec(),
                format: fitted.states.format,
                seen: grids[n].end(),
                ..old.clone()
            }),
            Err(error) => Err((old.key.clone(), error.clone())),
        };
    }
    Ok(Ok(moved))
}

/// Asks for the grid. A state that lags behind the grid's start is asked for more steps, and the
/// steps before the start are dropped.
pub(super) fn predict(
    input: &Input<'_>,
    grid: Grid,
    cohort: &Cohort<'_>,
    states: &[SeriesState],
) -> Result<Vec<Result<Forecast, PolicyError>>, CallError> {
    let lag = |s: &SeriesState| {
        usize::try_from(grid.start.since_ms(s.seen).max(0) / input.step.ms()).unwrap_or(0)
    };
    let steps = states.iter().map(lag).max().unwrap_or(0) + grid.count;
    let grids: Vec<Grid> = states
        .iter()
        .map(|s| Grid {
            start: s.seen,
            step: input.step,
            count: steps,
        })
        .collect();
    let apis: Vec<_> = states.iter().map(|s| &s.key.api).collect();
    let horizon = Horizon {
        step: input.step,
        steps: u32::try_from(steps).unwrap_or(u32::MAX),
        levels: input.levels.to_vec(),
        starts: states.iter().map(|s| s.seen).collect(),
        future: covariates(input.catalog, &apis, &grids),
        seeds: states
            .iter()
            .map(|s| {
                canonical::seed(
                    input.seed,
                    "predict",
                    &super::series_name(&s.key),
                    grid.start.0,
                )
            })
            .collect(),
    };
    let first = states
        .first()
        .ok_or_else(|| CallError::Unavailable("no series".into()))?;
    let blobs = Blobs::join(first.format, states.iter().map(|s| s.state.as_slice()));
    let answer = cohort
        .member
        .policy
        .predict(&first.model, &blobs, &horizon)?;
    invariant::check_forecasts(&horizon, &answer).map_err(CallError::Refused)?;
    let levels = input.levels.len();
    let served = cohort.served();
    Ok(states
        .iter()
        .enumerate()
        .map(|(i, state)| {
            answer.status[i].clone()?;
            let from = i * steps + lag(state);
            let to = from + grid.count;
            let mut forecast = Forecast {
                key: state.key.clone(),
                grid,
                levels: input.levels.to_vec(),
                mean: answer.mean[from..to].to_vec(),
                quantiles: answer.quantiles[from * levels..to * levels].to_vec(),
                served: served.clone(),
                state: Digest::of(&state.state),
                calibration: None,
            };
            if let Some(prior) = &state.prior {
                super::prior::widen(&mut forecast, prior);
            }
            Ok(forecast)
        })
        .collect())
}
