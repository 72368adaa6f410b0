//! Forecasts on request: the same room that the cycle walks through, for one series.

use super::{Gate, not_found, stored};
use crate::policies::PinnedPolicies;
use crate::world::lock;
use std::collections::BTreeMap;
use tidegate_core::access::Principal;
use tidegate_core::catalog::Api;
use tidegate_core::forecast::{Candidate, Champion, Choice, Standings, Verdict};
use tidegate_core::ids::ApiId;
use tidegate_core::ports::serve::{ForecastView, ForecastsPort, ServeError};
use tidegate_core::ports::storage::History;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::{Level, Signal};
use tidegate_flow::cycle::Pins as _;
use tidegate_flow::forecast::{self, Target, Tracks, fitted_with, score};

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
        let bank = lock(&self.world.pool(&declared.pool)).bank.only(&key);
        let (tracks, choices) = self.tracked(&declared, &key);
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
            lanes: 1,
            reuse: None,
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
        let state = bank
            .iter()
            .find(|s| s.key == key && s.module == forecast.served.module.digest);
        let fitted_at = state.map_or(Timestamp(0), |s| s.fitted_at);
        let prior = state.and_then(|s| s.prior.clone());
        let maker = forecast.served.module.digest;
        let measured = tracks.of(&key).find(|t| t.module == maker);
        let back = Grid::ending_at(now, settings.step, (steps as usize).clamp(24, 288));
        let recent = self.world.store.column(&key, back).map_err(stored)?;
        Ok(ForecastView {
            forecast,
            recent: (recent.start, recent.values),
            fitted_at,
            prior,
            measured: measured.map_or(vec![], |t| t.bands.iter().map(score::standing).collect()),
        })
    }

    fn standings(
        &self,
        caller: &Principal,
        api: &ApiId,
        signal: Signal,
    ) -> Result<Standings, ServeError> {
        let declared = self.api(caller, api)?;
        let key = SeriesKey {
            api: api.clone(),
            signal,
        };
        let (tracks, choices) = self.tracked(&declared, &key);
        let roster = self.world.policies.pin().forecaster(&declared, signal);
        let bound = roster.members.first().into_iter();
        let candidates: Vec<_> = bound.chain(&*roster.challengers).collect();
        let choice = choices.get(&key).copied();
        let Some(champion) = roster.champion(choice.map(|c| c.champion)) else {
            return Err(ServeError::Unavailable(format!("nobody forecasts `{api}`")));
        };
        let step = self.world.settings.step;
        let (mut scored, mut unscored) = (vec![], vec![]);
        for member in &candidates {
            let config = fitted_with(&member.config, step);
            match tracks.get(&key, member.module.digest, config) {
                Some(track) => scored.push((&member.module, track)),
                None => unscored.push(Candidate {
                    module: member.module.clone(),
                    config,
                    champion: member.module == champion.module,
                    loss: None,
                    verdict: Verdict::TooEarly,
                    bands: vec![],
                }),
            }
        }
        let mut table = score::standings(&key, scored, &champion.module, choice);
        // Somebody of whom nothing has come yet is in the table all the same: it is being tried.
        table.candidates.extend(unscored);
        table.candidates.sort_by_key(|c| !c.champion);
        Ok(table)
    }

    fn champions(&self, caller: &Principal, apis: &[ApiId]) -> Vec<Champion> {
        let catalog = self.world.catalog.load_full();
        let pins = self.world.policies.pin();
        let declared = apis.iter().filter_map(|id| catalog.apis.get(id));
        let mine = declared
            .map(|a| &a.value)
            .filter(|a| caller.sees(&a.id.tenant));
        // A pool is held for one api at a time: its cycle must not wait for a listing.
        let mut all: Vec<Champion> = mine.flat_map(|api| self.answering(&pins, api)).collect();
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all
    }
}

impl Gate {
    /// Who answers for each series of an api that has been forecast.
    fn answering(&self, pins: &PinnedPolicies, api: &Api) -> Vec<Champion> {
        let step = self.world.settings.step;
        let shared = self.world.pool(&api.pool);
        let pool = lock(&shared);
        let mut found = vec![];
        for signal in Signal::ALL {
            let key = SeriesKey {
                api: api.id.clone(),
                signal,
            };
            if pool.tracks.of(&key).next().is_none() {
                continue;
            }
            let chosen = pool.choices.get(&key).map(|c| c.champion);
            let roster = pins.forecaster(api, signal);
            let Some(member) = roster.champion(chosen) else {
                continue;
            };
            let config = fitted_with(&member.config, step);
            let track = pool.tracks.get(&key, member.module.digest, config);
            found.extend(track.map(|track| score::champion(&member.module, track)));
        }
        found
    }

    /// What is known of the candidates of a series.
    fn tracked(&self, api: &Api, key: &SeriesKey) -> (Tracks, BTreeMap<SeriesKey, Choice>) {
        let shared = self.world.pool(&api.pool);
        let pool = lock(&shared);
        let choice = pool.choices.get(key).map(|c| (key.clone(), *c));
        (pool.tracks.only(key), choice.into_iter().collect())
    }
}
