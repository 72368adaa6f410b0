//! What forecasts are judged by: small values of their own, one per fit and one per series.
//!
//! They are not part of a stored state: a state is written when it was fitted and a track whenever it
//! has learned for a while, and a state is as large as its module likes while a track is some 2 KB.
//! Everything of one call is one batch, so a choice never stands on disk without the tracks that it
//! rests on, whenever the power goes.

use crate::disk::Batch;
use crate::keys::{self, Kind};
use crate::mirror;
use crate::shared::reading;
use crate::store::Store;
use tidegate_core::forecast::{Choice, Track};
use tidegate_core::ports::storage::{Fit, StoreError, Tracked, Tracks};
use tidegate_core::sample::SeriesKey;

impl Tracks for Store {
    fn save(&self, tracks: &[Track], choices: &[(SeriesKey, Choice)]) -> Result<(), StoreError> {
        let _writing = reading(&self.shared.writing);
        let disk = &self.shared.disk;
        disk.room()?;
        let mut batch = Batch::default();
        for track in tracks {
            let key = keys::fit(Kind::Track, (&track.key, &track.module, &track.config));
            disk.put_large(&mut batch, &key, &mirror::encode_track(track)?)?;
        }
        for chosen in choices {
            let key = keys::series(Kind::Choice, &chosen.0);
            disk.put_large(&mut batch, &key, &mirror::encode(chosen)?)?;
        }
        disk.commit(batch)
    }

    fn load(&self) -> Result<Tracked, StoreError> {
        let disk = &self.shared.disk;
        let mut all = Tracked::default();
        disk.scan_large(&Kind::Track.prefix(), |key, bytes| {
            all.tracks
                .push(mirror::track_of(&bytes).map_err(|e| e.at(key))?);
            Ok(())
        })?;
        disk.scan_large(&Kind::Choice.prefix(), |key, bytes| {
            all.choices
                .push(mirror::decode(&bytes).map_err(|e| e.at(key))?);
            Ok(())
        })?;
        Ok(all)
    }

    fn forget(&self, fits: &[Fit], series: &[SeriesKey]) -> Result<(), StoreError> {
        let _writing = reading(&self.shared.writing);
        let disk = &self.shared.disk;
        let mut batch = Batch::default();
        for (of, module, config) in fits {
            let key = keys::fit(Kind::Track, (of, module, config));
            disk.remove_parts(&mut batch, &key, 0)?;
        }
        for of in series {
            disk.remove_parts(&mut batch, &keys::series(Kind::Choice, of), 0)?;
        }
        disk.commit(batch)
    }
}
