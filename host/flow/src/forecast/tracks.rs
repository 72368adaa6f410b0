//! The tracks of many series, by series, module and config, as [`super::Bank`] keeps fitted states.

use crate::compact::Compact;
use std::collections::BTreeMap;
use tidegate_core::forecast::Track;
use tidegate_core::ids::{ApiId, Digest};
use tidegate_core::sample::SeriesKey;

type Slot = (SeriesKey, Digest, Digest);

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Tracks {
    tracks: BTreeMap<Slot, Track>,
    compact: Compact,
}

impl Tracks {
    /// The track of a series for a module with a config ([`super::fitted_with`]).
    #[must_use]
    pub fn get(&self, key: &SeriesKey, module: Digest, config: Digest) -> Option<&Track> {
        self.tracks.get(&(key.clone(), module, config))
    }

    /// The tracks of one series, by module.
    pub fn of(&self, key: &SeriesKey) -> impl Iterator<Item = &Track> {
        let least = Digest([0; 32]);
        let from = (key.clone(), least, least);
        self.tracks
            .range(from..)
            .take_while(move |(slot, _)| slot.0 == *key)
            .map(|(_, track)| track)
    }

    /// Takes a track in, in place of the one that is there.
    pub fn put(&mut self, track: Track) {
        let slot = (track.key.clone(), track.module, track.config);
        self.tracks.insert(slot, track);
    }

    /// Lets go of the room that is left between them; to be called where many were put.
    pub fn compact(&mut self) {
        self.compact.after(&mut self.tracks);
    }

    /// Forgets one track.
    pub fn remove(&mut self, key: &SeriesKey, module: Digest, config: Digest) {
        self.tracks.remove(&(key.clone(), module, config));
    }

    /// Takes the tracks of an api out.
    pub fn take(&mut self, api: &ApiId) -> Vec<Track> {
        let of_api = |slot: &Slot| slot.0.api == *api;
        let slots: Vec<_> = self.tracks.keys().filter(|s| of_api(s)).cloned().collect();
        slots
            .iter()
            .filter_map(|slot| self.tracks.remove(slot))
            .collect()
    }

    /// The tracks of one series alone.
    #[must_use]
    pub fn only(&self, key: &SeriesKey) -> Self {
        let mut only = Self::default();
        self.of(key).for_each(|track| only.put(track.clone()));
        only
    }

    /// All tracks, by series.
    pub fn iter(&self) -> impl Iterator<Item = &Track> {
        self.tracks.values()
    }

    /// Drops tracks of modules that nobody needs.
    pub fn retain(&mut self, keep: impl Fn(&Track) -> bool) {
        self.tracks.retain(|_, track| keep(track));
    }
}
