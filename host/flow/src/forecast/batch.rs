//! Batches: series that share module, config, model and state format go into one call.

use super::covariates::covariates;
use super::{Input, Target, fit};
use std::collections::BTreeMap;
use tidegate_core::canonical;
use tidegate_core::catalog::Catalog;
use tidegate_core::forecast::Forecast;
use tidegate_core::ids::{BindingId, Digest};
use tidegate_core::invariant::{self, Breach};
use tidegate_core::policy::{Advanced, Blobs, CallError, Forecaster, Frames, Horizon, PolicyError};
use tidegate_core::ports::storage::{SeriesState, StoreError};
use tidegate_core::roster::{Member, Retreat, Served};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Level;

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

/// What came of one series: the state that has moved on, and its forecast.
type Answered = Result<(SeriesState, Forecast), (SeriesKey, PolicyError)>;

/// Gives every state the rows that it has not seen, and asks for the grid. A state that lags behind the
/// grid's start is asked for more steps, and the steps before the start are dropped.
pub(super) fn serve(
    input: &Input<'_>,
    grid: Grid,
    cohort: &Cohort<'_>,
) -> Result<Result<Vec<Answered>, CallError>, StoreError> {
    let Some(first) = cohort.rows.first().map(|row| &row.state) else {
        return Ok(Ok(vec![]));
    };
    let (news, seen) = news(input, cohort)?;
    let states = Blobs::join(
        first.format,
        cohort.rows.iter().map(|row| row.state.state.as_slice()),
    );
    let lag = |seen: Timestamp| {
        usize::try_from(grid.start.since_ms(seen).max(0) / input.step.ms()).unwrap_or(0)
    };
    let steps = seen.iter().map(|&s| lag(s)).max().unwrap_or(0) + grid.count;
    let horizon = horizon(input, grid, cohort, &seen, steps);
    let policy = &cohort.member.policy;
    let advanced = if news.values.is_empty() {
        let forecasts = policy.predict(&first.model, &states, &horizon);
        forecasts.map(|forecasts| Advanced { states, forecasts })
    } else {
        policy.advance(&first.model, &states, &news, &horizon)
    };
    let advanced = advanced.and_then(|advanced| {
        check(&horizon, &advanced)
            .map(|()| advanced)
            .map_err(CallError::Refused)
    });
    let advanced = match advanced {
        Ok(advanced) => advanced,
        Err(error) => return Ok(Err(error)),
    };
    let Advanced { states, forecasts } = advanced;
    let levels = input.levels.len();
    let served = cohort.served();
    let answer = |(i, row): (usize, &Row)| {
        let old = &row.state;
        if let Err(error) = &forecasts.status[i] {
            return Err((old.key.clone(), error.clone()));
        }
        let state = SeriesState {
            state: states.get(i).to_vec(),
            format: states.format,
            seen: seen[i],
            ..old.clone()
        };
        let from = i * steps + lag(seen[i]);
        let to = from + grid.count;
        let mut forecast = Forecast {
            key: old.key.clone(),
            grid,
            levels: input.levels.to_vec(),
            mean: forecasts.mean[from..to].to_vec(),
            quantiles: forecasts.quantiles[from * levels..to * levels].to_vec(),
            served: served.clone(),
            state: Digest::of(&state.state),
            calibration: None,
        };
        if let Some(prior) = &state.prior {
            super::prior::widen(&mut forecast, prior);
        }
        Ok((state, forecast))
    };
    Ok(Ok(cohort.rows.iter().enumerate().map(answer).collect()))
}

/// The rows that each state of a cohort has not seen, and the end of what it has seen with them.
fn news(input: &Input<'_>, cohort: &Cohort<'_>) -> Result<(Frames, Vec<Timestamp>), StoreError> {
    let mut frames = Frames::new(input.step);
    let mut grids = vec![];
    for row in &cohort.rows {
        let state = &row.state;
        let newest = input.history.newest(&state.key).unwrap_or(state.seen);
        let end = newest.min(input.now).floor(input.step);
        let count = usize::try_from(end.since_ms(state.seen) / input.step.ms()).unwrap_or(0);
        let grid = Grid {
            start: state.seen,
            step: input.step,
            count,
        };
        let values = match count {
            0 => vec![],
            _ => input.history.column(&state.key, grid)?.values,
        };
        let seed = canonical::seed(input.seed, "update", &super::series_name(&state.key), end.0);
        frames.push(state.key.signal, grid.start, &values, seed);
        grids.push(grid);
    }
    let apis: Vec<_> = cohort.rows.iter().map(|r| &r.state.key.api).collect();
    frames.covariates = covariates(input.catalog, &apis, &grids);
    Ok((frames, grids.iter().map(Grid::end).collect()))
}

fn horizon(
    input: &Input<'_>,
    grid: Grid,
    cohort: &Cohort<'_>,
    seen: &[Timestamp],
    steps: usize,
) -> Horizon {
    let keys: Vec<_> = cohort.rows.iter().map(|row| &row.state.key).collect();
    let start = grid.start.0;
    let seed = |i: usize| {
        let series = super::series_name(keys[i]);
        canonical::seed(input.seed, "predict", &series, start)
    };
    let steps = u32::try_from(steps).unwrap_or(u32::MAX);
    let (catalog, step, levels) = (input.catalog, input.step, input.levels);
    horizon_of(catalog, step, levels, &keys, seen, steps, seed)
}

/// What is asked of series from what each has seen onwards.
pub(super) fn horizon_of(
    catalog: &Catalog,
    step: Step,
    levels: &[Level],
    keys: &[&SeriesKey],
    seen: &[Timestamp],
    steps: u32,
    seed: impl Fn(usize) -> u64,
) -> Horizon {
    let grid = |&start: &Timestamp| Grid {
        start,
        step,
        count: steps as usize,
    };
    let grids: Vec<Grid> = seen.iter().map(grid).collect();
    let apis: Vec<_> = keys.iter().map(|key| &key.api).collect();
    Horizon {
        step,
        steps,
        levels: levels.to_vec(),
        starts: seen.to_vec(),
        future: covariates(catalog, &apis, &grids),
        seeds: (0..keys.len()).map(seed).collect(),
    }
}

/// A state and a lawful forecast for each series.
fn check(horizon: &Horizon, answer: &Advanced) -> Result<(), Breach> {
    let (have, want) = (answer.states.len(), horizon.starts.len());
    if have != want {
        let text = format!("{have} states for {want} series");
        return Err(Breach::new(invariant::Invariant::FC1, text));
    }
    invariant::check_forecasts(horizon, &answer.forecasts)
}
