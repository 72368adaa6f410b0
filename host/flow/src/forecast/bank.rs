//! The fitted states of many series, by series, module and config ([`super::fitted_with`]).

use super::Watched;
use crate::compact::Compact;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::ids::{ApiId, Digest};
use tidegate_core::ports::storage::SeriesState;
use tidegate_core::sample::SeriesKey;

/// States by (series, module, [`super::fitted_with`]).
#[derive(Debug, Clone, Default)]
pub struct Bank {
    states: BTreeMap<(SeriesKey, Digest, Digest), SeriesState>,
    compact: Compact,
}

impl Bank {
    /// The state of a series for a module with a config.
    #[must_use]
    pub fn get(&self, key: &SeriesKey, module: Digest, config: Digest) -> Option<&SeriesState> {
        self.states.get(&(key.clone(), module, config))
    }

    /// The model that a fit of these series goes on from: that of the first of them with a state for
    /// the module and config; empty where none has one.
    #[must_use]
    pub fn base(&self, keys: &[SeriesKey], module: Digest, config: Digest) -> Arc<[u8]> {
        let mut states = keys.iter().filter_map(|key| self.get(key, module, config));
        states.next().map(|s| s.model.clone()).unwrap_or_default()
    }

    /// Whether there is a state of a series for a module, with whatever config.
    #[must_use]
    pub fn knows(&self, watched: &Watched) -> bool {
        let from = (watched.0.clone(), watched.1, Digest([0; 32]));
        let next = self.states.range(from..).next();
        next.is_some_and(|(slot, _)| slot.0 == watched.0 && slot.1 == watched.1)
    }

    /// Whether any module has a state of a series.
    #[must_use]
    pub fn has(&self, key: &SeriesKey) -> bool {
        let least = Digest([0; 32]);
        let next = self.states.range((key.clone(), least, least)..).next();
        next.is_some_and(|(slot, _)| slot.0 == *key)
    }

    /// Takes a state in. One that has seen less than what is there is dropped: a slow fit must not
    /// turn the series back, unless it was fitted later.
    pub fn put(&mut self, state: SeriesState) {
        let slot = (state.key.clone(), state.module, state.config);
        let newer = self
            .states
            .get(&slot)
            .is_none_or(|old| (state.fitted_at, state.seen) >= (old.fitted_at, old.seen));
        if newer {
            self.states.insert(slot, state);
        }
    }

    /// Lets go of the room that is left between them; to be called where many were put.
    pub fn compact(&mut self) {
        self.compact.after(&mut self.states);
    }

    /// Puts a state in place of the one that is there, whatever either has seen.
    pub fn set(&mut self, state: SeriesState) {
        let slot = (state.key.clone(), state.module, state.config);
        self.states.insert(slot, state);
    }

    /// Takes the states of an api out.
    pub fn take(&mut self, api: &ApiId) -> Vec<SeriesState> {
        let of_api = |slot: &(SeriesKey, Digest, Digest)| slot.0.api == *api;
        let slots: Vec<_> = self.states.keys().filter(|s| of_api(s)).cloned().collect();
        slots
            .iter()
            .filter_map(|slot| self.states.remove(slot))
            .collect()
    }

    /// A bank that holds the states of one series alone.
    #[must_use]
    pub fn only(&self, key: &SeriesKey) -> Self {
        let mine = self.states.iter().filter(|(slot, _)| slot.0 == *key);
        Self {
            states: mine.map(|(s, state)| (s.clone(), state.clone())).collect(),
            compact: Compact::default(),
        }
    }

    /// All states.
    pub fn iter(&self) -> impl Iterator<Item = &SeriesState> {
        self.states.values()
    }

    /// Drops states of modules that nobody needs.
    pub fn retain(&mut self, keep: impl Fn(&SeriesState) -> bool) {
        self.states.retain(|_, state| keep(state));
    }
}
