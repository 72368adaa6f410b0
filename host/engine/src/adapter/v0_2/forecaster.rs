//! `core`'s forecaster over the `forecasting` interface of 0.2: that of 0.1, and `advance`.

use crate::adapter::v0_1::forecaster::{self as first, Asked, Columns};
use crate::adapter::v0_1::{forecasting as wit, function, shared, types};
use crate::batch;
use crate::call::Prepared;
use crate::gate::Class;
use crate::guest::Guest as State;
use std::sync::Arc;
use tidegate_core::policy::{
    Advanced, Blobs, CallError, Fitted, Forecaster, Forecasts, Frames, Horizon,
};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentType, Instance, Lift};

/// A forecaster in a component.
#[derive(Debug)]
pub(super) struct Guest {
    first: first::Guest,
    advance: ComponentExportIndex,
}

/// `advanced` of `wit/0.2`.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
struct Said {
    states: types::BlobsResult,
    forecasts: wit::Forecasts,
}

type Input<'a> = (
    &'a [u8],
    types::BlobsParam<'a>,
    types::Frames<'a>,
    wit::Horizon<'a>,
);
type Answer = (Result<Said, types::PolicyError>,);

impl Guest {
    pub(super) fn new(module: Arc<Prepared>, export: &str) -> wasmtime::Result<Self> {
        let first = first::Guest::new(module, export)?;
        Ok(Self {
            advance: function(first.module(), export, "advance")?,
            first,
        })
    }

    /// Fails where a function has other types.
    pub(super) fn check(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<()> {
        instance.get_typed_func::<Input<'_>, Answer>(&mut *store, &self.advance)?;
        self.first.check(store, instance)
    }

    fn advance_once(
        &self,
        model: &[u8],
        states: &Blobs,
        news: &Frames,
        horizon: &Horizon,
    ) -> Result<Advanced, CallError> {
        let (rows, asked) = (Columns::of(news), Asked::of(horizon));
        let input = (
            model,
            shared::blobs_in(states),
            rows.lend(news),
            asked.lend(horizon),
        );
        let (answer,) = self.first.module().run(Class::Cycle, |store, instance| {
            instance
                .get_typed_func::<Input<'_>, Answer>(&mut *store, &self.advance)?
                .call(store, input.clone())
        })?;
        let said = shared::answer(answer)?;
        let advanced = Advanced {
            states: shared::blobs_out(said.states),
            forecasts: first::forecasts(said.forecasts, horizon)?,
        };
        batch::check_blobs_shape(horizon.starts.len(), &advanced.states)?;
        Ok(advanced)
    }
}

impl Forecaster for Guest {
    fn fit_from(&self, config: &str, base: &[u8], frames: &Frames) -> Result<Fitted, CallError> {
        self.first.fit_from(config, base, frames)
    }

    fn update(&self, model: &[u8], states: &Blobs, frames: &Frames) -> Result<Fitted, CallError> {
        self.first.update(model, states, frames)
    }

    fn predict(
        &self,
        model: &[u8],
        states: &Blobs,
        horizon: &Horizon,
    ) -> Result<Forecasts, CallError> {
        self.first.predict(model, states, horizon)
    }

    fn advance(
        &self,
        model: &[u8],
        states: &Blobs,
        news: &Frames,
        horizon: &Horizon,
    ) -> Result<Advanced, CallError> {
        batch::rescue(
            horizon.starts.len(),
            || self.advance_once(model, states, news, horizon),
            |part| {
                let (states, news) = (states.pick(part), news.pick(part));
                self.advance_once(model, &states, &news, &horizon.pick(part))
            },
            |series, parts| batch::join_advanced(horizon, series, parts),
        )
    }

    fn migrate(&self, model: &[u8], states: &Blobs) -> Result<Fitted, CallError> {
        self.first.migrate(model, states)
    }
}
