//! What the head is told of one step ahead: the simple forecasts that it mixes, and by what it
//! judges them.
//!
//! Everything is in the series' unit, the usual error of repeating the last season, and relative to
//! the recent level: a network that is trained on requests can then serve cores.

/// Inputs of the recurrent layer, per tick.
pub(crate) const INPUTS: usize = 13;
/// Features of a step ahead.
pub(crate) const FEATURES: usize = 26;
/// Simple forecasts of a step ahead.
pub(crate) const ANCHORS: usize = 13;
/// The anchor that repeats the last season: what an untrained head believes.
pub(crate) const NAIVE: usize = 3;
/// Anchors further than this from the recent level are cut, in units.
const FURTHEST: f32 = 200.0;

/// What a forecast begins from; fields as in [`crate::tracker::Tracker`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Origin {
    pub(crate) level: [f32; 3],
    pub(crate) slow: f32,
    pub(crate) lag_dev: [f32; 2],
    pub(crate) profile_dev: [f32; 2],
    pub(crate) unit: f32,
    pub(crate) noise: f32,
    pub(crate) err_profile: f32,
    pub(crate) err_mid: f32,
    pub(crate) err_dev: f32,
    pub(crate) err_cycle: f32,
    pub(crate) event: f32,
}

/// A step ahead, as it is known at the origin; `UNKNOWN` where a table has no entry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Target {
    pub(crate) lag: f32,
    pub(crate) profile: f32,
    pub(crate) week: f32,
    pub(crate) cycle: f32,
    pub(crate) event: f32,
    /// Where in the season it lies.
    pub(crate) sin_cos: (f32, f32),
    /// Ticks ahead, at least a part of one.
    pub(crate) ticks: f32,
    /// Seasons ahead.
    pub(crate) seasons: f32,
}

/// One step ahead, seen from an origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct View {
    /// Simple forecasts, in units from [`View::centre`].
    pub(crate) anchors: [f32; ANCHORS],
    pub(crate) features: [f32; FEATURES],
    /// The recent level.
    pub(crate) centre: f32,
    /// The unit.
    pub(crate) unit: f32,
    /// By how much the interval grows with the distance, in units.
    pub(crate) width: f32,
}

/// Keeps the sign and the small values and bounds the large ones: linear at 0, at most 4.
pub(crate) fn soft(x: f32) -> f32 {
    4.0 * x / (4.0 + x.abs())
}

impl View {
    pub(crate) fn new(o: &Origin, t: &Target) -> Self {
        use crate::tracker::UNKNOWN;
        let known = |x: f32| f32::from(u8::from(x != UNKNOWN));
        let or = |x: f32, other: f32| if x == UNKNOWN { other } else { x };
        let lag = or(t.lag, o.slow);
        let profile = or(t.profile, o.slow);
        let cycle = or(t.cycle, o.slow);
        let week = profile + or(t.week, 0.0);
        let (last, quick, calm) = (o.level[0], o.level[1], o.level[2]);
        let raw = [
            last,
            quick,
            calm,
            lag,
            lag + o.lag_dev[0],
            lag + o.lag_dev[1],
            profile,
            profile + o.profile_dev[0],
            profile + o.profile_dev[1],
            week,
            week + o.profile_dev[1],
            o.slow,
            cycle,
        ];
        let unit = o.unit.max(f32::MIN_POSITIVE);
        let rel = |x: f32| soft(x / unit);
        let near = 1.0 / (t.ticks.max(0.25)).sqrt();
        let features = [
            libm::log2f(1.0 + t.ticks) / 8.0,
            t.seasons.min(1.0),
            near,
            rel(lag - profile),
            rel(lag + o.lag_dev[0] - quick),
            rel(profile + o.profile_dev[0] - quick),
            rel(last - quick),
            rel(quick - calm),
            rel(o.lag_dev[0]),
            rel(o.lag_dev[1]),
            rel(o.profile_dev[0]),
            rel(o.profile_dev[1]),
            rel(week - profile),
            rel(quick - o.slow),
            rel(o.noise),
            rel(o.err_profile),
            rel(o.err_mid),
            rel(o.err_dev),
            rel(0.1 * o.slow),
            t.event,
            known(t.lag),
            known(t.week),
            t.sin_cos.0,
            t.sin_cos.1,
            rel(cycle - quick),
            rel(o.err_cycle),
        ];
        // A random walk until it is as wide as a season's error; then it grows with the seasons.
        let walk = (o.noise / unit) * (1.0 + t.ticks).sqrt();
        let width = walk / (1.0 + walk) * t.seasons.max(1.0).sqrt();
        Self {
            anchors: raw.map(|a| ((a - quick) / unit).clamp(-FURTHEST, FURTHEST)),
            features,
            centre: quick,
            unit: o.unit,
            width: width.max(0.02),
        }
    }
}
