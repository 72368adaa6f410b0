//! Forecasts on request: the same room that the cycle walks through, for one series.

use super::{Gate, not_found, stored};
use crate::world::lock;
use std::collections::BTreeMap;
use tidegate_core::access::Principal;
use tidegate_core::ids::ApiId;
use tidegate_core::ports::serve::{ForecastView, ForecastsPort, ServeError};
use tidegate_core::ports::storage::History;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::{Level, Signal};
use tidegate_flow::cycle::Pins as _;
use tidegate_flow::forecast::{self, Target};

/// Most steps that one call may ask for.
const MAX_STEPS: u32 = 2016;

impl ForecastsPort for Gate {
    fn forecast(
        &self,
        caller: &Principal,
        api: &ApiId,
        signal: Signal,
        steps: u32,
        levels: &[Level],
    ) -> Result<ForecastView, ServeError> {
        let declared = self.api(caller, api)?;
        let settings = &self.world.settings;
        let steps = if steps == 0 { settings.horizon } else { steps };
        if steps > MAX_STEPS {
            let text =
                format!("{steps} steps are more than {MAX_STEPS}; ask for a shorter horizon");
            return Err(ServeError::field(
                format!("forecast of {api}"),
                "steps",
                text,
            ));
        }
        let levels = if levels.is_empty() {
            &Level::STANDARD[..]
        } else {
            levels
        };
        let key = SeriesKey {
            api: api.clone(),
            signal,
        };
        let now = self.world.clock.now();
        // A copy of the fitted states: a long forecast must not hold up the cycle.
        let pool = self.world.pool(&declared.pool);
        let (bank, tracks, choices) = {
            let state = lock(&pool);
            let choice = state.choices.get(&key).map(|c| (key.clone(), *c));
            let choices: BTreeMap<_, _> = choice.into_iter().collect();
            (state.bank.only(&key), state.tracks.only(&key), choices)
        };
        let roster = self.world.policies.pin().forecaster(&declared, signal);
        let targets = [Target {
            key: key.clone(),
            roster,
        }];
        let catalog = self.world.catalog.load_full();
        let mut output = forecast::run(&forecast::Input {
            now,
            seed: settings.seed,
            step: settings.step,
            steps,
            levels,
            targets: &targets,
            bank: &bank,
            tracks: &tracks,
            choices: &choices,
            history: &*self.world.store,
            catalog: &catalog,
        })
        .map_err(stored)?;
        let Some(forecast) = output.forecasts.remove(&key) else {
            let why = output.faults.first().map_or_else(
                || format!("feed `{}` of the api first, and recently", signal.name()),
                |fault| format!("{}: {}", fault.module, fault.error),
            );
            return Err(not_found(
                format!("a forecast of {} for `{api}`", signal.name()),
                why,
            ));
        };
        let fitted_at = bank
            .iter()
            .find(|s| s.key == key && s.module == forecast.served.module.digest)
            .map_or(Timestamp(0), |s| s.fitted_at);
        let back = Grid::ending_at(now, settings.step, (steps as usize).clamp(24, 288));
        let recent = self.world.store.column(&key, back).map_err(stored)?;
        Ok(ForecastView {
            forecast,
            recent: (recent.start, recent.values),
            fitted_at,
        })
    }
}
