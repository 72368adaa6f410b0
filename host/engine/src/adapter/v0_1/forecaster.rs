//! `core`'s forecaster over the `forecasting` interface.

use super::{forecasting as wit, function, shared, types};
use crate::batch;
use crate::call::Prepared;
use crate::gate::Class;
use crate::guest::Guest as State;
use std::sync::Arc;
use tidegate_core::policy::{
    Blobs, CallError, Covariates, Fitted, Forecaster, Forecasts, Frames, Horizon, SeriesStatus,
};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance};

/// A forecaster in a component.
pub(in crate::adapter) struct Guest {
    fit: ComponentExportIndex,
    update: ComponentExportIndex,
    predict: ComponentExportIndex,
    migrate: ComponentExportIndex,
    module: Arc<Prepared>,
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.module.fmt(f)
    }
}

type FittedAnswer = (Result<wit::Fitted, types::PolicyError>,);
type ForecastsAnswer = (Result<wit::Forecasts, types::PolicyError>,);
type FitInput<'a> = (&'a str, &'a [u8], types::Frames<'a>);
type UpdateInput<'a> = (&'a [u8], types::BlobsParam<'a>, types::Frames<'a>);
type PredictInput<'a> = (&'a [u8], types::BlobsParam<'a>, wit::Horizon<'a>);
type MigrateInput<'a> = (&'a [u8], types::BlobsParam<'a>);

impl Guest {
    pub(in crate::adapter) fn new(module: Arc<Prepared>, export: &str) -> wasmtime::Result<Self> {
        Ok(Self {
            fit: function(&module, export, "fit")?,
            update: function(&module, export, "update")?,
            predict: function(&module, export, "predict")?,
            migrate: function(&module, export, "migrate")?,
            module,
        })
    }

    /// Fails where a function has other types.
    pub(in crate::adapter) fn check(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<()> {
        instance.get_typed_func::<FitInput<'_>, FittedAnswer>(&mut *store, &self.fit)?;
        instance.get_typed_func::<UpdateInput<'_>, FittedAnswer>(&mut *store, &self.update)?;
        instance.get_typed_func::<PredictInput<'_>, ForecastsAnswer>(&mut *store, &self.predict)?;
        instance.get_typed_func::<MigrateInput<'_>, FittedAnswer>(store, &self.migrate)?;
        Ok(())
    }

    /// The component that it calls.
    pub(in crate::adapter) fn module(&self) -> &Prepared {
        &self.module
    }

    fn fit_once(&self, config: &str, base: &[u8], frames: &Frames) -> Result<Fitted, CallError> {
        let columns = Columns::of(frames);
        let (answer,) = self.module.run(Class::Fit, |store, instance| {
            instance
                .get_typed_func::<FitInput<'_>, FittedAnswer>(&mut *store, &self.fit)?
                .call(store, (config, base, columns.lend(frames)))
        })?;
        fitted(answer, frames.len())
    }

    fn update_once(
        &self,
        model: &[u8],
        states: &Blobs,
        frames: &Frames,
    ) -> Result<Fitted, CallError> {
        let columns = Columns::of(frames);
        let input = (model, shared::blobs_in(states), columns.lend(frames));
        let (answer,) = self.module.run(Class::Cycle, |store, instance| {
            instance
                .get_typed_func::<UpdateInput<'_>, FittedAnswer>(&mut *store, &self.update)?
                .call(store, input.clone())
        })?;
        fitted(answer, frames.len())
    }

    fn predict_once(
        &self,
        model: &[u8],
        states: &Blobs,
        horizon: &Horizon,
    ) -> Result<Forecasts, CallError> {
        let columns = Asked::of(horizon);
        let input = (model, shared::blobs_in(states), columns.lend(horizon));
        let (answer,) = self.module.run(Class::Cycle, |store, instance| {
            instance
                .get_typed_func::<PredictInput<'_>, ForecastsAnswer>(&mut *store, &self.predict)?
                .call(store, input.clone())
        })?;
        forecasts(shared::answer(answer)?, horizon)
    }

    fn migrate_once(&self, model: &[u8], states: &Blobs) -> Result<Fitted, CallError> {
        let input = (model, shared::blobs_in(states));
        let (answer,) = self.module.run(Class::Cycle, |store, instance| {
            instance
                .get_typed_func::<MigrateInput<'_>, FittedAnswer>(&mut *store, &self.migrate)?
                .call(store, input.clone())
        })?;
        fitted(answer, states.len())
    }
}

impl Forecaster for Guest {
    fn fit_from(&self, config: &str, base: &[u8], frames: &Frames) -> Result<Fitted, CallError> {
        batch::rescue(
            frames.len(),
            || self.fit_once(config, base, frames),
            |part| self.fit_once(config, base, &frames.pick(part)),
            batch::join_fitted,
        )
    }

    fn update(&self, model: &[u8], states: &Blobs, frames: &Frames) -> Result<Fitted, CallError> {
        batch::rescue(
            frames.len(),
            || self.update_once(model, states, frames),
            |part| self.update_once(model, &states.pick(part), &frames.pick(part)),
            batch::join_fitted,
        )
    }

    fn predict(
        &self,
        model: &[u8],
        states: &Blobs,
        horizon: &Horizon,
    ) -> Result<Forecasts, CallError> {
        batch::rescue(
            horizon.starts.len(),
            || self.predict_once(model, states, horizon),
            |part| self.predict_once(model, &states.pick(part), &horizon.pick(part)),
            |series, parts| Some(batch::join_forecasts(horizon, series, parts)),
        )
    }

    fn migrate(&self, model: &[u8], states: &Blobs) -> Result<Fitted, CallError> {
        batch::rescue(
            states.len(),
            || self.migrate_once(model, states),
            |part| self.migrate_once(model, &states.pick(part)),
            batch::join_fitted,
        )
    }
}

/// The columns of frames that have another layout in WIT.
pub(in crate::adapter) struct Columns<'a> {
    signals: Vec<types::Signal>,
    starts: Vec<i64>,
    names: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    pub(in crate::adapter) fn of(frames: &'a Frames) -> Self {
        Self {
            signals: frames.signals.iter().copied().map(shared::signal).collect(),
            starts: shared::instants(&frames.starts),
            names: shared::strs(&frames.covariates.names),
        }
    }

    pub(in crate::adapter) fn lend(&'a self, frames: &'a Frames) -> types::Frames<'a> {
        types::Frames {
            step: frames.step.secs(),
            signals: &self.signals,
            starts: &self.starts,
            offsets: &frames.offsets,
            values: &frames.values,
            missing: &frames.missing,
            covariates: covariates(&frames.covariates, &self.names),
            seeds: &frames.seeds,
        }
    }
}

/// The columns of a horizon that have another layout in WIT.
pub(in crate::adapter) struct Asked<'a> {
    levels: Vec<u16>,
    starts: Vec<i64>,
    names: Vec<&'a str>,
}

impl<'a> Asked<'a> {
    pub(in crate::adapter) fn of(horizon: &'a Horizon) -> Self {
        Self {
            levels: shared::levels(&horizon.levels),
            starts: shared::instants(&horizon.starts),
            names: shared::strs(&horizon.future.names),
        }
    }

    pub(in crate::adapter) fn lend(&'a self, horizon: &'a Horizon) -> wit::Horizon<'a> {
        wit::Horizon {
            step: horizon.step.secs(),
            steps: horizon.steps,
            levels: &self.levels,
            starts: &self.starts,
            future: covariates(&horizon.future, &self.names),
            seeds: &horizon.seeds,
        }
    }
}

fn covariates<'a>(covariates: &'a Covariates, names: &'a [&'a str]) -> types::Covariates<'a> {
    types::Covariates {
        names,
        values: &covariates.values,
    }
}

fn statuses(statuses: Vec<wit::SeriesStatus>) -> Vec<SeriesStatus> {
    statuses
        .into_iter()
        .map(|status| match status {
            wit::SeriesStatus::Ok => Ok(()),
            wit::SeriesStatus::Failed(error) => Err(shared::error(error)),
        })
        .collect()
}

/// Forecasts in the shape that was asked for.
pub(in crate::adapter) fn forecasts(
    said: wit::Forecasts,
    horizon: &Horizon,
) -> Result<Forecasts, CallError> {
    let forecasts = Forecasts {
        mean: said.mean,
        quantiles: said.quantiles,
        status: statuses(said.status),
    };
    batch::check_forecasts_shape(horizon, &forecasts)?;
    Ok(forecasts)
}

fn fitted(
    answer: Result<wit::Fitted, types::PolicyError>,
    series: usize,
) -> Result<Fitted, CallError> {
    let said = shared::answer(answer)?;
    let fitted = Fitted {
        model: said.model,
        states: shared::blobs_out(said.states),
        status: statuses(said.status),
    };
    batch::check_fitted_shape(series, &fitted)?;
    Ok(fitted)
}
