//! What the host keeps of one module on one series, from outcome to outcome.
//!
//! A few sampled promises ([`Pending`]) wait for their outcome; what came moves the offsets of their
//! horizon band and adds to its score. Everything is bounded and small (`f32`, promises in 1/256 of
//! their own spread), because there is one track for every series and candidate: some 2 KB at 5 bands.
//! Rejected: keeping recent residuals and taking their empirical quantile (split conformal): a
//! window that knows a p99 needs hundreds of values per band and level, and forgets a shift slowly.

use super::Watch;
use crate::canonical::{Canonical, Encoder};
use crate::ids::Digest;
use crate::sample::SeriesKey;
use crate::time::{Step, Timestamp};
use crate::units::Level;

/// Number of levels that are tracked: those of [`Level::STANDARD`], in its order. Other levels are
/// corrected by what lies between.
pub const SCORED: usize = Level::STANDARD.len();

/// A stretch of the horizon that is judged as one, by how far ahead a step *ends*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Band {
    /// Up to 15 minutes.
    Quarter,
    /// Up to an hour.
    Hour,
    /// Up to 4 hours.
    FourHours,
    /// Up to 12 hours.
    HalfDay,
    /// Up to a day.
    Day,
    /// Further than a day.
    Beyond,
}

impl Band {
    /// All, nearest first.
    pub const ALL: [Band; 6] = [
        Band::Quarter,
        Band::Hour,
        Band::FourHours,
        Band::HalfDay,
        Band::Day,
        Band::Beyond,
    ];

    /// The name in APIs, metrics and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Band::Quarter => "15m",
            Band::Hour => "1h",
            Band::FourHours => "4h",
            Band::HalfDay => "12h",
            Band::Day => "1d",
            Band::Beyond => "beyond",
        }
    }

    /// Seconds ahead at which it ends; `None`: never.
    #[must_use]
    pub fn until_s(self) -> Option<u32> {
        match self {
            Band::Quarter => Some(900),
            Band::Hour => Some(3_600),
            Band::FourHours => Some(14_400),
            Band::HalfDay => Some(43_200),
            Band::Day => Some(86_400),
            Band::Beyond => None,
        }
    }

    /// The band of the step that ends `lead` steps ahead (1 is the next step to come).
    #[must_use]
    pub fn of(lead: u32, step: Step) -> Self {
        let ahead = u64::from(lead) * u64::from(step.secs());
        let within = |b: &Band| b.until_s().is_none_or(|until| ahead <= u64::from(until));
        Self::ALL.into_iter().find(within).unwrap_or(Band::Beyond)
    }
}

/// What was promised for one step that has not come yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// Start of the step that it is about.
    pub target: Timestamp,
    /// How many steps ahead that step ended, at least 1.
    pub lead: u16,
    /// The median that went out, in the signal's unit.
    pub centre: f32,
    /// The spread of what went out (a standard deviation, if it were normal), in the signal's unit;
    /// above 0.
    pub spread: f32,
    /// The quantiles that went out less `centre`, in 1/256 `spread`.
    pub issued: [i16; SCORED],
    /// What seasonal-naive says: the value a day and a week (or the next multiple that is known)
    /// before, in the signal's unit; NaN where there is none.
    pub naive: [f32; 2],
}

/// Exponentially forgetting sums over outcomes; divide by `weight` for means.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Score {
    /// Outcomes that were ever scored.
    pub outcomes: u32,
    /// Start of the newest step that was scored: what the sums have been aged to.
    pub newest: Timestamp,
    /// Sum of weights.
    pub weight: f32,
    /// Pinball loss of what went out, mean over the levels, in the signal's unit; like `naive`, over
    /// those outcomes alone for which seasonal-naive had a value.
    pub loss: f32,
    /// Pinball loss of seasonal-naive (day, week) on the same outcomes, in the same unit.
    pub naive: [f32; 2],
    /// How often the outcome lay at or below each level.
    pub below: [f32; SCORED],
    /// How far the outcome lay above the top level where it did, in spreads of what went out.
    pub excess: f32,
}

/// What was learned of one band.
#[derive(Debug, Clone, PartialEq)]
pub struct BandTrack {
    /// Which.
    pub band: Band,
    /// What is added to each level, in the module's own spreads.
    pub offsets: [f32; SCORED],
    /// Running mean absolute error of the median, in the signal's unit: below a part of it
    /// no spread is believed.
    pub error: f32,
    /// What it earned.
    pub score: Score,
}

/// See the module. One per (series, module, config), as a fitted state is.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// Of which series.
    pub key: SeriesKey,
    /// By which module.
    pub module: Digest,
    /// Digest of the config, and of the step at which it was fitted.
    pub config: Digest,
    /// The step of what it tracks.
    pub step: Step,
    /// Bands that were ever asked for, nearest first.
    pub bands: Vec<BandTrack>,
    /// Promises whose step has not come yet, by band and target.
    pub pending: Vec<Pending>,
    /// Mean absolute error of seasonal-naive (day, week), in the signal's unit; NaN before any.
    pub naive_error: [f32; 2],
    /// Start of the last forecast of which promises were taken, so that two cycles within one step
    /// take them once.
    pub issued: Timestamp,
    /// Whether the module still fits, as a daemon knew it when it kept the track; `None` while the
    /// track is in use. It corrects nothing, so it is in no digest.
    pub watch: Option<Box<Watch>>,
}

impl Track {
    /// Nothing known yet.
    #[must_use]
    pub fn new(key: SeriesKey, module: Digest, config: Digest, step: Step) -> Self {
        Self {
            key,
            module,
            config,
            step,
            bands: vec![],
            pending: vec![],
            naive_error: [f32::NAN; 2],
            issued: Timestamp(i64::MIN),
            watch: None,
        }
    }

    /// What was learned of a band, if it was ever asked for.
    #[must_use]
    pub fn band(&self, band: Band) -> Option<&BandTrack> {
        self.bands.iter().find(|b| b.band == band)
    }

    /// Outcomes that were ever scored, over all bands.
    #[must_use]
    pub fn outcomes(&self) -> u32 {
        self.bands
            .iter()
            .fold(0, |n, b| n.saturating_add(b.score.outcomes))
    }
}

/// Floats of 32 bits by their bits; every NaN as one. Half as long as [`Encoder::floats`] makes them:
/// a track is hashed for every forecast.
fn narrow(to: &mut Encoder, values: &[f32]) {
    let bits = |value: &f32| if value.is_nan() { f32::NAN } else { *value }.to_le_bytes();
    let bytes: Vec<u8> = values.iter().flat_map(bits).collect();
    to.raw(&bytes);
}

impl Canonical for Track {
    fn encode(&self, to: &mut Encoder) {
        to.text(&self.key.api.to_string())
            .text(self.key.signal.name())
            .raw(&self.module.0)
            .raw(&self.config.0)
            .uint(u64::from(self.step.secs()))
            .int(self.issued.0);
        narrow(to, &self.naive_error);
        to.uint(self.bands.len() as u64);
        for b in &self.bands {
            to.uint(b.band as u64).uint(u64::from(b.score.outcomes));
            to.int(b.score.newest.0);
            narrow(to, &b.offsets);
            narrow(to, &[b.error, b.score.weight, b.score.loss, b.score.excess]);
            narrow(to, &b.score.naive);
            narrow(to, &b.score.below);
        }
        to.uint(self.pending.len() as u64);
        for p in &self.pending {
            to.int(p.target.0).uint(u64::from(p.lead));
            narrow(to, &[p.centre, p.spread, p.naive[0], p.naive[1]]);
            let parts: Vec<u8> = p.issued.iter().flat_map(|i| i.to_le_bytes()).collect();
            to.raw(&parts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lead: u32, step: u32, band: Band) {
        assert_eq!(Band::of(lead, Step::from_secs(step).unwrap()), band);
    }

    #[test]
    fn a_step_belongs_to_the_band_in_which_it_ends() {
        check(1, 60, Band::Quarter);
        check(15, 60, Band::Quarter);
        check(16, 60, Band::Hour);
        check(12, 300, Band::Hour);
        check(13, 300, Band::FourHours);
        check(1, 3600, Band::Hour);
        check(24, 3600, Band::Day);
        check(25, 3600, Band::Beyond);
    }

    #[test]
    fn a_track_that_learned_has_another_digest() {
        let key = SeriesKey {
            api: "shop/orders".parse().unwrap(),
            signal: crate::units::Signal::Requests,
        };
        let digest = Digest([1; 32]);
        let mut track = Track::new(key, digest, digest, Step::MINUTE);
        let before = track.digest();
        track.bands.push(BandTrack {
            band: Band::Hour,
            offsets: [0.0; SCORED],
            error: 0.0,
            score: Score::default(),
        });
        let empty = track.digest();
        track.bands[0].offsets[8] = 0.5;
        assert_ne!(before, empty);
        assert_ne!(empty, track.digest());
    }
}
