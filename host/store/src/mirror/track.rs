//! What forecasts are judged by, as it is stored.
//!
//! A track of another number of levels is damaged to this code, not silently cut: the levels are
//! told by their place alone.

use super::{Mirror, mirror_enum, mirror_struct};
use crate::codec::Malformed;
use tidegate_core::forecast::{
    Band, BandTrack, Choice, Ground, Pending, Rival, SCORED, Score, Shift, Sums, Track, Watch,
};
use tidegate_core::ids::Digest;
use tidegate_core::ports::storage::StoreError;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Step, Timestamp};

type PerLevel = [f32; SCORED];
type Steps = [i16; SCORED];

mirror_enum!(Band {
    0 => Quarter, 1 => Hour, 2 => FourHours, 3 => HalfDay, 4 => Day, 5 => Beyond,
});
mirror_enum!(Ground { 0 => Bound, 1 => Series, 2 => Category });

mirror_struct!(Pending as StoredPending {
    target: Timestamp,
    lead: u16,
    centre: f32,
    spread: f32,
    issued: Steps,
    naive: [f32; 2],
});

mirror_struct!(Score as StoredScore {
    outcomes: u32,
    newest: Timestamp,
    weight: f32,
    loss: f32,
    naive: [f32; 2],
    below: PerLevel,
    excess: f32,
});

mirror_struct!(BandTrack as StoredBandTrack {
    band: Band,
    offsets: PerLevel,
    error: f32,
    score: Score,
});

mirror_enum!(Shift { 0 => Up, 1 => Down, 2 => Wider });

mirror_struct!(Sums as StoredSums {
    seen: u32,
    mean: f64,
    size: f64,
    up: f64,
    down: f64,
    wider: f64,
});

mirror_struct!(Watch as StoredWatch {
    fitted_at: Timestamp,
    sums: Sums,
    shifted: Option<(Timestamp, Shift)>,
});

impl Mirror for (Timestamp, Shift) {
    type Stored = (<Timestamp as Mirror>::Stored, u8);

    fn store(&self) -> Self::Stored {
        (self.0.store(), self.1.store())
    }

    fn restore((at, shift): Self::Stored) -> Result<Self, Malformed> {
        Ok((Mirror::restore(at)?, Mirror::restore(shift)?))
    }
}

type Watched = Option<Box<Watch>>;

mirror_struct!(Track as StoredTrack {
    key: SeriesKey,
    module: Digest,
    config: Digest,
    step: Step,
    bands: Vec<BandTrack>,
    pending: Vec<Pending>,
    naive_error: [f32; 2],
    issued: Timestamp,
    watch: Watched,
});

/// Format of a track; the first came without a watch.
const TRACK_FORMAT: u8 = 2;

/// A track from when a daemon forgot its watches.
struct Unwatched {
    key: SeriesKey,
    module: Digest,
    config: Digest,
    step: Step,
    bands: Vec<BandTrack>,
    pending: Vec<Pending>,
    naive_error: [f32; 2],
    issued: Timestamp,
}

mirror_struct!(Unwatched as StoredUnwatched {
    key: SeriesKey,
    module: Digest,
    config: Digest,
    step: Step,
    bands: Vec<BandTrack>,
    pending: Vec<Pending>,
    naive_error: [f32; 2],
    issued: Timestamp,
});

impl From<Unwatched> for Track {
    fn from(old: Unwatched) -> Self {
        Self {
            bands: old.bands,
            pending: old.pending,
            naive_error: old.naive_error,
            issued: old.issued,
            ..Self::new(old.key, old.module, old.config, old.step)
        }
    }
}

/// The bytes of a track.
pub(crate) fn encode_track(track: &Track) -> Result<Vec<u8>, StoreError> {
    super::pack_as(TRACK_FORMAT, &track.store())
}

/// The track that bytes say, of this format or the one before.
pub(crate) fn track_of(bytes: &[u8]) -> Result<Track, Malformed> {
    if bytes.first() == Some(&super::FORMAT) {
        return super::decode::<Unwatched>(bytes).map(Track::from);
    }
    super::unpack_as(TRACK_FORMAT, bytes).and_then(Track::restore)
}

mirror_struct!(Rival as StoredRival { module: Digest, since: Timestamp });

mirror_struct!(Choice as StoredChoice {
    champion: Digest,
    since: Timestamp,
    ground: Ground,
    rival: Option<Rival>,
});

impl Mirror for (SeriesKey, Choice) {
    type Stored = (<SeriesKey as Mirror>::Stored, <Choice as Mirror>::Stored);

    fn store(&self) -> Self::Stored {
        (self.0.store(), self.1.store())
    }

    fn restore((key, choice): Self::Stored) -> Result<Self, Malformed> {
        Ok((Mirror::restore(key)?, Mirror::restore(choice)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_that_was_kept_before_watches_were_is_read_without_one() {
        let old = Unwatched {
            key: SeriesKey {
                api: "shop/orders".parse().unwrap(),
                signal: tidegate_core::units::Signal::Requests,
            },
            module: Digest([1; 32]),
            config: Digest([2; 32]),
            step: Step::MINUTE,
            bands: vec![],
            pending: vec![],
            naive_error: [1.5, 2.5],
            issued: Timestamp(7),
        };
        let mut read = track_of(&crate::mirror::encode(&old).unwrap()).unwrap();
        assert_eq!((read.naive_error, read.issued), ([1.5, 2.5], Timestamp(7)));
        assert_eq!(read.watch, None);
        read.watch = Some(Box::new(Watch {
            fitted_at: Timestamp(3),
            sums: Sums {
                seen: 40,
                up: 11.5,
                ..Sums::default()
            },
            shifted: Some((Timestamp(9), Shift::Wider)),
        }));
        assert_eq!(track_of(&encode_track(&read).unwrap()).unwrap(), read);
    }
}
