//! What forecasts are judged by, as it is stored.
//!
//! A track of another number of levels is damaged to this code, not silently cut: the levels are
//! told by their place alone.

use super::{Mirror, mirror_enum, mirror_struct};
use crate::codec::Malformed;
use tidegate_core::forecast::{
    Band, BandTrack, Choice, Ground, Pending, Rival, SCORED, Score, Track,
};
use tidegate_core::ids::Digest;
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

mirror_struct!(Track as StoredTrack {
    key: SeriesKey,
    module: Digest,
    config: Digest,
    step: Step,
    bands: Vec<BandTrack>,
    pending: Vec<Pending>,
    naive_error: [f32; 2],
    issued: Timestamp,
});

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
