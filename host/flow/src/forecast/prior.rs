//! A past for series that have none: what the apis of its category usually do, at its own level.
//!
//! A series of two hours has no day, so every module would either draw its last slope through the
//! night or a flat line. The host therefore puts in front of it a few days as its peers (apis of the
//! same tenant and category, same signal) usually have them. It does so in the history that a module
//! is given, and not in any module, because then all of them profit. The peers' day is flattened as
//! far as the series' own steps contradict it, so a category that does not fit does little harm. Once
//! a series has two days of its own, it stands alone.
//!
//! **It is for whoever looks far ahead.** A usual day says what the night will be, and little of the next
//! hour: on the development series at 5 min, all of them peers of one another (a hard case: they share
//! nothing but the clock), the default module's pinball loss a day ahead falls from .81 to .69 with a day
//! of own data and is about the same with two hours of it (.95 without, .98 with), and an hour ahead it
//! rises from .25 to .37 and from .25 to .28. So nothing is put in front of a series that will only be
//! asked for what is [near](NEAR_S), which is what the daemon does by default (`tidegate evaluate
//! --cold-start` is the table).
//!
//! **What rests on it is [widened](widen).** A module takes a composed past for a measured one: it knows
//! how peers err around their days, and not that this day may be another or its level ill placed. Of the
//! outcomes of the next hour, its 80 and 95 % intervals held 44 and 70 with two hours of own data and 68
//! and 94 with a day. Widened they hold 75 and 96, and 78 and 97, at a lower pinball loss with two hours
//! and the same with a day.
//!
//! Rejected: to train on the peers together and hand the model down. It is better where a module can
//! do it, works for those alone, and needs peers and series to be fitted at the same time.

mod profile;

use super::FitInput;
use super::covariates::zone_of;
use profile::{Phase, Profile};
use std::collections::BTreeMap;
use tidegate_core::catalog::Api;
use tidegate_core::forecast::{Forecast, Prior};
use tidegate_core::frame::Column;
use tidegate_core::ids::ApiId;
use tidegate_core::ports::storage::StoreError;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::{Level, Signal};

/// Seconds of a day.
const DAY_S: u32 = 86_400;

/// With so many days of its own a series needs no prior: it has seen its day come back.
const OWN_DAYS: usize = 2;

/// Days that are put in front. More would teach a model more of the peers than of the series.
const PAST_DAYS: usize = 4;

/// Days of a peer that are looked at.
const PEER_DAYS: usize = 14;

/// Who looks no further ahead than this, in seconds, is served better by the series' own last steps.
const NEAR_S: u32 = 2 * 3600;

/// Most peers that are taken, and most that are looked at for it: a fit must stay cheap in a tenant
/// with thousands of apis.
const PEERS: (usize, usize) = (8, 64);

/// Hours of own steps that say as much of where a day lies as one outcome does.
const PLACED_H: f64 = 16.0;

/// Most by which an interval is widened.
const WIDEST: f64 = 4.0;

/// Fewest own steps from which a level can be told.
const LEAST_STEPS: usize = 3;

/// Widens what was forecast from a composed past, around its median: to the variance of a step's own
/// error there is added that of the level at which the day was placed, which is a mean over the own
/// steps and shared by all that come.
pub(super) fn widen(forecast: &mut Forecast, prior: &Prior) {
    let own_h = f64::from(prior.own_s.max(1)) / 3600.0;
    let factor = (1.0 + PLACED_H / own_h).sqrt().min(WIDEST);
    let width = forecast.levels.len();
    for step in 0..forecast.grid.count {
        let centre = forecast.quantile(step, Level::P50);
        let from = step * width;
        let row = forecast.quantiles.get_mut(from..from + width);
        for q in row.unwrap_or_default() {
            *q = (centre + factor * (*q - centre)).max(0.0);
        }
    }
}

/// What the categories of one fit's series usually do; each is made once.
#[derive(Default)]
pub(super) struct Priors {
    known: BTreeMap<(String, Signal), Option<(Profile, u32)>>,
}

/// A column with a past in front of it.
pub(super) struct Extended {
    pub(super) column: Column,
    /// Rows in front that were not measured.
    pub(super) rows: usize,
    pub(super) prior: Prior,
}

impl Priors {
    /// The column with a past, if it is short and there are peers that have one.
    ///
    /// # Errors
    /// When stored data cannot be read.
    pub(super) fn extend(
        &mut self,
        input: &FitInput<'_>,
        key: &SeriesKey,
        own: &Column,
    ) -> Result<Option<Extended>, StoreError> {
        let bins = (DAY_S / input.step.secs()) as usize;
        let fits = DAY_S.is_multiple_of(input.step.secs()) && bins >= 4;
        if input.reach.saturating_mul(input.step.secs()) <= NEAR_S {
            return Ok(None);
        }
        let room = input.window.saturating_sub(own.values.len());
        // A window of less than two days is a baseline's, which looks at no season.
        let wanted = own.values.len() < OWN_DAYS * bins && own.present() >= LEAST_STEPS;
        let api = input.catalog.apis.get(&key.api).map(|a| &a.value);
        let Some(api) = api.filter(|a| fits && wanted && room >= bins && !a.category.is_empty())
        else {
            return Ok(None);
        };
        let Some((profile, peers)) = self.of(input, api, key.signal, own.grid().end(), bins)?
        else {
            return Ok(None);
        };
        let phases = |grid: Grid| phases(input, &api.id, grid, bins);
        let Some((profile, level)) = profile.suited(&own.values, &phases(own.grid())) else {
            return Ok(None);
        };
        let rows = room.min(PAST_DAYS * bins);
        let before = Grid {
            start: own.start.plus_steps(own.step, -(rows as i64)),
            step: own.step,
            count: rows,
        };
        let mut values = profile.past(&phases(before), level, &own.values);
        values.extend_from_slice(&own.values);
        Ok(Some(Extended {
            column: Column {
                start: before.start,
                values,
                ..*own
            },
            rows,
            prior: Prior {
                category: api.category.clone(),
                peers: *peers,
                own_s: u32::try_from(own.values.len()).unwrap_or(u32::MAX) * input.step.secs(),
            },
        }))
    }

    /// The profile of an api's category, as of `end`.
    fn of(
        &mut self,
        input: &FitInput<'_>,
        api: &Api,
        signal: Signal,
        end: Timestamp,
        bins: usize,
    ) -> Result<Option<&(Profile, u32)>, StoreError> {
        let of = (api.category.clone(), signal);
        if !self.known.contains_key(&of) {
            let made = joined(input, api, signal, end, bins)?;
            self.known.insert(of.clone(), made);
        }
        Ok(self.known.get(&of).and_then(Option::as_ref))
    }
}

fn joined(
    input: &FitInput<'_>,
    api: &Api,
    signal: Signal,
    end: Timestamp,
    bins: usize,
) -> Result<Option<(Profile, u32)>, StoreError> {
    let mut profiles = vec![];
    let peers =
        input.catalog.apis.values().map(|a| &a.value).filter(|a| {
            a.id.tenant == api.id.tenant && a.category == api.category && a.id != api.id
        });
    let count = (PEER_DAYS * bins).min(input.window);
    for peer in peers.take(PEERS.1) {
        let key = SeriesKey {
            api: peer.id.clone(),
            signal,
        };
        let grid = Grid::ending_at(end, input.step, count);
        if input.history.newest(&key).is_none_or(|t| t <= grid.start) {
            continue;
        }
        let column = input.history.column(&key, grid)?;
        let phases = phases(input, &peer.id, grid, bins);
        profiles.extend(Profile::of(&column.values, &phases, bins));
        if profiles.len() == PEERS.0 {
            break;
        }
    }
    let peers = u32::try_from(profiles.len()).unwrap_or(u32::MAX);
    Ok(Profile::join(&profiles).map(|p| (p, peers)))
}

/// Where the steps of a grid lie in an api's local week.
fn phases(input: &FitInput<'_>, api: &ApiId, grid: Grid, bins: usize) -> Vec<Phase> {
    let zone = zone_of(input.catalog, api);
    let step = input.step.ms();
    let phase = |i: usize| {
        let local = zone.local(grid.at(i));
        let bin = usize::try_from(local.ms_of_day / step).unwrap_or(0);
        Phase {
            day: local.day,
            bin: bin.min(bins - 1),
            weekday: usize::from(local.day_of_week()),
        }
    };
    (0..grid.count).map(phase).collect()
}

#[cfg(test)]
mod tests;
