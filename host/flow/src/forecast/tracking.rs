//! What one run does with tracks: outcomes in, corrections out, promises taken, champions chosen.
//!
//! Tracks are inputs; what changes is copied first and handed back, so that a cycle whose record
//! could not be written has learned nothing that another will not learn again. Series that have
//! nothing due and take no promise cost one look-up: history is read where an outcome is due, and for
//! the two steps of the yardstick where a promise is taken, which [`calibrate::looks`] spreads over
//! the steps.

use super::select::{self, Merit};
use super::{Input, Target, calibrate, fitted_with};
use std::collections::BTreeMap;
use tidegate_core::forecast::{Choice, Forecast, Ground, Track};
use tidegate_core::ids::{Digest, TenantId};
use tidegate_core::policy::Forecaster;
use tidegate_core::ports::storage::StoreError;
use tidegate_core::roster::{Member, Retreat};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::Signal;

type Slot = (SeriesKey, Digest, Digest);

/// Series that are pooled: tenant, category, signal.
type Kind = (TenantId, String, Signal);

/// See the module.
pub(super) struct Tracking<'a> {
    input: &'a Input<'a>,
    changed: BTreeMap<Slot, Track>,
    naive: BTreeMap<(SeriesKey, Timestamp), f64>,
    pools: Option<BTreeMap<Kind, Vec<&'a Track>>>,
}

impl<'a> Tracking<'a> {
    pub(super) fn new(input: &'a Input<'a>) -> Self {
        Self {
            input,
            changed: BTreeMap::new(),
            naive: BTreeMap::new(),
            pools: None,
        }
    }

    /// Lets every track of a series learn from what came until `newest`.
    pub(super) fn observe(&mut self, key: &SeriesKey, newest: Timestamp) -> Result<(), StoreError> {
        let until = newest.min(self.input.now).floor(self.input.step);
        let due = |track: &'a Track| Some((track, calibrate::due(track, until)?));
        let all: Vec<(&Track, Grid)> = self.input.tracks.of(key).filter_map(due).collect();
        let first = all.iter().map(|(_, grid)| grid.start).min();
        let last = all.iter().map(|(_, grid)| grid.end()).max();
        let (Some(start), Some(end)) = (first, last) else {
            return Ok(());
        };
        let step = self.input.step;
        let grid = Grid {
            start,
            step,
            count: usize::try_from(end.since_ms(start) / step.ms()).unwrap_or(0),
        };
        let column = self.input.history.column(key, grid)?;
        let value = |at: Timestamp| {
            let row = usize::try_from(at.since_ms(start) / step.ms()).ok();
            row.and_then(|row| column.values.get(row))
                .copied()
                .unwrap_or(f64::NAN)
        };
        for (track, _) in all.into_iter().filter(|(t, _)| t.step == step) {
            let mut track = track.clone();
            calibrate::observe(&mut track, until, value);
            self.changed.insert(slot(&track), track);
        }
        Ok(())
    }

    fn track(&self, slot: &Slot) -> Option<&Track> {
        let old = || self.input.tracks.get(&slot.0, slot.1, slot.2);
        self.changed.get(slot).or_else(old)
    }

    /// Corrects a forecast. One that the correction would break (FC1) goes out as the module answered.
    pub(super) fn correct(&self, config: Digest, forecast: &mut Forecast) {
        let step = self.input.step;
        let module = forecast.served.module.digest;
        let slot = (forecast.key.clone(), module, config);
        // A breach leaves the forecast as it was, and its calibration `None` says so.
        let _ = match self.track(&slot) {
            Some(track) => calibrate::correct(track, forecast),
            None => calibrate::correct(&Track::new(slot.0, module, config, step), forecast),
        };
    }

    /// Takes promises of what goes out.
    pub(super) fn promise(
        &mut self,
        config: Digest,
        forecast: &Forecast,
    ) -> Result<(), StoreError> {
        let step = self.input.step;
        let module = forecast.served.module.digest;
        let slot = (forecast.key.clone(), module, config);
        let known = self.track(&slot);
        let issued = known.map(|track| track.issued);
        let start = forecast.grid.start;
        let is_new = issued.is_none_or(|issued| start > issued);
        if !is_new || !calibrate::looks(calibrate::salt(&forecast.key), start, step) {
            return Ok(());
        }
        let mut track = known
            .cloned()
            .unwrap_or_else(|| Track::new(forecast.key.clone(), module, config, step));
        let mut failed = None;
        let naive = &mut self.naive;
        let history = self.input.history;
        calibrate::issue(&mut track, forecast, &mut |at| {
            let key = (forecast.key.clone(), at);
            if let Some(value) = naive.get(&key) {
                return *value;
            }
            let grid = Grid {
                start: at,
                step,
                count: 1,
            };
            let value = match history.column(&key.0, grid) {
                Ok(column) => column.values.first().copied().unwrap_or(f64::NAN),
                Err(error) => {
                    failed = Some(error);
                    f64::NAN
                }
            };
            naive.insert(key, value);
            value
        });
        if let Some(error) = failed {
            return Err(error);
        }
        self.changed.insert(slot, track);
        Ok(())
    }

    /// Whether a series is looked at in this step: its challengers are asked, its choice is made.
    pub(super) fn looks(&self, key: &SeriesKey) -> bool {
        let start = self.input.now.floor(self.input.step);
        calibrate::looks(calibrate::salt(key), start, self.input.step)
    }

    /// The choice for a series that has challengers, as it stands or as it is made now.
    pub(super) fn choose(&mut self, target: &Target) -> Option<Choice> {
        let standing = self.input.choices.get(&target.key);
        let bound = bound(target)?;
        if target.roster.challengers.is_empty() {
            return None;
        }
        if !self.looks(&target.key) {
            return standing.copied();
        }
        let (mut merits, mut ground) = (vec![], Ground::Series);
        for slot in self.candidates(target) {
            merits.push(self.track(&slot).map_or_else(|| nothing(slot.1), Merit::of));
        }
        if !merits.iter().all(Merit::is_enough) {
            ground = Ground::Category;
            merits = self.pooled(target);
        }
        let now = self.input.now;
        let choice = select::select(standing, bound.module.digest, &merits, ground, now);
        let unmade = choice.ground == Ground::Bound && choice.rival.is_none();
        (standing.is_some() || !unmade).then_some(choice)
    }

    /// The slots of the bound module and of its challengers.
    fn candidates(&self, target: &Target) -> Vec<Slot> {
        let members = bound(target).into_iter().chain(&*target.roster.challengers);
        members
            .map(|m| {
                let config = fitted_with(&m.config, self.input.step);
                (target.key.clone(), m.module.digest, config)
            })
            .collect()
    }

    fn pooled(&mut self, target: &Target) -> Vec<Merit> {
        let input = self.input;
        let pools = self.pools.get_or_insert_with(|| {
            let mut pools: BTreeMap<Kind, Vec<&Track>> = BTreeMap::new();
            for track in input.tracks.iter() {
                if let Some(kind) = kind(input, &track.key) {
                    pools.entry(kind).or_default().push(track);
                }
            }
            pools
        });
        let of_kind = kind(input, &target.key).and_then(|k| pools.get(&k));
        let tracks: &[&Track] = of_kind.map_or(&[], Vec::as_slice);
        let members = bound(target).into_iter().chain(&*target.roster.challengers);
        members
            .map(|m| {
                let config = fitted_with(&m.config, input.step);
                let mine = tracks.iter().copied().filter(|t| t.config == config);
                Merit::pooled(m.module.digest, mine)
            })
            .collect()
    }

    /// What has changed.
    pub(super) fn into_changed(self) -> Vec<Track> {
        self.changed.into_values().collect()
    }
}

fn slot(track: &Track) -> Slot {
    (track.key.clone(), track.module, track.config)
}

fn nothing(module: Digest) -> Merit {
    Merit {
        module,
        bands: BTreeMap::new(),
    }
}

fn kind(input: &Input<'_>, key: &SeriesKey) -> Option<Kind> {
    let api = &input.catalog.apis.get(&key.api)?.value;
    Some((key.api.tenant.clone(), api.category.to_string(), key.signal))
}

/// The module that the binding names.
pub(super) fn bound(target: &Target) -> Option<&Member<dyn Forecaster>> {
    let mut members = target.roster.members.iter();
    members.find(|m| m.retreat == Retreat::Active)
}

#[cfg(test)]
mod tests;
