//! Makes quantiles keep their promise: online conformal offsets per series, module, band and level.
//!
//! A promise is taken of a forecast now and then ([`issue`]); when its step has come ([`observe`]),
//! each level's offset moves a little: up by `rate * p` where the outcome lay above what went out,
//! down by `rate * (1 - p)` where not. That is subgradient descent on the pinball loss of the scaled
//! residual, called quantile tracking in *Conformal PID Control for Time Series Prediction*
//! (Angelopoulos, Candès, Tibshirani 2023): whatever the data do, coverage misses its level by no
//! more than the offset's range over `rate * outcomes`. Every level is tracked on its own, so that a
//! one-sided p99 is a p99 where errors are skewed, and in units of the module's own spread at that
//! step, so that a module that knows when it is unsure stays sharp when it is sure. Outcomes are
//! compared with what *went out*, not with what the present offset would have made of it: that is
//! what the promise was. Promises are few per band and drawn by a hash of the step, because regular
//! ones beat with the hours of the day.
//!
//! Rejected: adaptive conformal inference on the level itself (Gibbs & Candès 2021). It needs each
//! module's quantile function beyond the levels that were asked for, and turns to an infinite width
//! after a row of misses. Rejected too: widening by one factor for all levels, which leaves skewed
//! loads 2 points off at p99.
//!
//! On the development series (ets, fitted daily, asked at every step; up to an hour ahead) the mean
//! distance from 80 / 95 % goes from 2.8 / 1.8 points to 0.8 / 0.5 at 5 min, from 6.9 / 3.7 to
//! 0.5 / 0.5 at 1 h, at pinball losses 1 % above and 2 % below the raw ones.

use super::score;
use tidegate_core::canonical::{self, Canonical as _};
use tidegate_core::forecast::{
    Band, BandTrack, Calibration, Forecast, Pending, SCORED, Score, Track,
};
use tidegate_core::invariant::{self, Breach};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Level;

/// Promises of one band that may wait at a time; on average three quarters of [`SAMPLED`] do.
const WAITING: usize = 8;

/// Promises per passage of a band's furthest step.
const SAMPLED: u32 = 6;

/// Seconds between two looks at a series, at least: at finer steps promises are taken less often.
const LOOK_S: u32 = 300;

/// Factor on a level's distance from the median before anything was learned, by level: tails are
/// where models promise too much.
const PRIOR: [f64; SCORED] = [1.08, 1.02, 1.0, 1.0, 1.0, 1.02, 1.04, 1.08, 1.12];

/// Rate of each level over its band's: the rarer the miss, the more it must teach.
const RATE: [f64; SCORED] = [1.6, 1.0, 1.0, 0.8, 1.0, 1.0, 1.3, 1.6, 2.4];

/// No spread is believed below this part of the mean error.
const BELIEVED: f64 = 0.1;

/// Parts of a spread in which a promise is kept.
const PARTS: f64 = 256.0;

/// Standard deviations between the 10 % and the 90 % quantile of a normal.
const P10_TO_P90: f64 = 2.563_103_131_089_201;

/// Steps that wait for their outcome and end at or before `until`: the stretch of history that
/// [`observe`] needs, or `None` when nothing is due.
#[must_use]
pub fn due(track: &Track, until: Timestamp) -> Option<Grid> {
    let come = || {
        let ended = |p: &&Pending| p.target.plus_steps(track.step, 1) <= until;
        track.pending.iter().filter(ended).map(|p| p.target)
    };
    let (first, last) = (come().min()?, come().max()?);
    let steps = last.since_ms(first) / track.step.ms();
    Some(Grid {
        start: first,
        step: track.step,
        count: usize::try_from(steps).unwrap_or(0) + 1,
    })
}

/// Learns from what came. `value` gives the outcome of the step that starts at an instant, in the
/// signal's unit, NaN where nothing was measured: such a promise is dropped and teaches nothing.
/// Steps that end after `until` go on waiting.
pub fn observe(track: &mut Track, until: Timestamp, value: impl Fn(Timestamp) -> f64) {
    let step = track.step;
    let (come, waiting) = std::mem::take(&mut track.pending)
        .into_iter()
        .partition(|p: &Pending| p.target.plus_steps(step, 1) <= until);
    track.pending = waiting;
    for promise in come {
        let outcome = value(promise.target);
        if outcome.is_finite() {
            learn(track, &promise, outcome);
        }
    }
}

fn learn(track: &mut Track, promise: &Pending, outcome: f64) {
    let band = Band::of(u32::from(promise.lead), track.step);
    let Some(at) = track.bands.iter().position(|b| b.band == band) else {
        return;
    };
    let learned = &mut track.bands[at];
    let seen = f64::from(learned.score.outcomes);
    let pace = rate(band, track.step) * (1.0 + 6.0 / (seen + 1.0));
    let reach = reach(band);
    for (i, level) in Level::STANDARD.iter().enumerate() {
        let miss = if outcome > promised(promise, i) {
            level.probability()
        } else {
            level.probability() - 1.0
        };
        let level_rate = if i == MEDIAN && far(band) {
            0.0
        } else {
            RATE[i]
        };
        let offset = f64::from(learned.offsets[i]) + pace * level_rate * miss;
        learned.offsets[i] = offset.clamp(-reach, reach) as f32;
    }
    let error = (outcome - f64::from(promise.centre)).abs();
    let gain = (1.0 / (seen + 1.0)).max(0.02);
    learned.error += (gain * (error - f64::from(learned.error))) as f32;
    if !learned.error.is_finite() {
        learned.error = 0.0;
    }
    score::add(
        &mut learned.score,
        &mut track.naive_error,
        promise,
        &std::array::from_fn(|i| promised(promise, i)),
        outcome,
    );
}

const MEDIAN: usize = 3;

/// What went out at a tracked level.
fn promised(promise: &Pending, level: usize) -> f64 {
    let offset = f64::from(promise.issued[level]) / PARTS;
    (f64::from(promise.centre) + offset * f64::from(promise.spread)).max(0.0)
}

fn far(band: Band) -> bool {
    band > Band::Hour
}

/// How much one outcome moves an offset, in spreads. Near by, an offset may cross about a spread
/// a day however often outcomes come; far ahead they come late and overlap, and haste would swing.
fn rate(band: Band, step: Step) -> f64 {
    if far(band) {
        return if band == Band::FourHours { 0.03 } else { 0.02 };
    }
    let furthest = band.until_s().unwrap_or(u32::MAX) / step.secs();
    let every = period(furthest.max(1)).max(stride(step));
    let a_day = 86_400.0 / (f64::from(step.secs()) * f64::from(every));
    (0.55 / a_day.sqrt()).clamp(0.02, 0.15)
}

/// How far an offset may go, in spreads: far ahead a wide interval says nothing any more.
fn reach(band: Band) -> f64 {
    match band {
        Band::Quarter | Band::Hour => 8.0,
        Band::FourHours => 6.0,
        Band::HalfDay => 4.0,
        Band::Day | Band::Beyond => 3.0,
    }
}

/// Corrects the quantiles and the mean of a forecast by what was learned, and checks FC1 anew. The
/// median and the mean move together; levels that are not tracked move by what lies between those
/// that are. Steps at which the correction leaves the finite numbers stay as they are.
///
/// # Errors
/// The breach of FC1; the forecast is then as it was.
pub fn correct(track: &Track, forecast: &mut Forecast) -> Result<(), Breach> {
    let width = forecast.levels.len();
    let layout = Layout::of(&forecast.levels);
    let mut mean = forecast.mean.clone();
    let mut quantiles = forecast.quantiles.clone();
    let mut learned = Learned::of(&layout, None);
    let mut band = None;
    let mut next = vec![0.0; width];
    for (ahead, mean) in mean.iter_mut().enumerate() {
        let Some(row) = quantiles.get_mut(ahead * width..(ahead + 1) * width) else {
            break;
        };
        let now = Band::of(u32::try_from(ahead + 1).unwrap_or(u32::MAX), track.step);
        if band != Some(now) {
            band = Some(now);
            // Beyond what it was ever asked for, the furthest that is known is the nearest that can be said.
            if let Some(known) = track.band(now) {
                learned = Learned::of(&layout, Some(known));
            }
        }
        let moved = (*mean + learned.correct(&layout, row, &mut next)).max(0.0);
        if moved.is_finite() && next.iter().all(|q| q.is_finite()) {
            *mean = moved;
            row.copy_from_slice(&next);
        }
    }
    invariant::check_grid(&mean, &quantiles, width)?;
    forecast.mean = mean;
    forecast.quantiles = quantiles;
    forecast.calibration = Some(Calibration {
        track: track.digest(),
        outcomes: track.outcomes(),
    });
    Ok(())
}

/// What is the same for every step of a forecast: where its levels lie.
struct Layout {
    low: Place,
    median: Place,
    high: Place,
    /// Of each level among the tracked ones.
    tracked: Vec<Place>,
    prior: Vec<f64>,
    /// Index of the level that stands when levels cross: the median, if it was asked for.
    middle: usize,
}

impl Layout {
    fn of(levels: &[Level]) -> Self {
        let tracked: Vec<Place> = levels
            .iter()
            .map(|l| Place::among(&Level::STANDARD, l.probability()))
            .collect();
        let middle = levels.iter().position(|l| *l >= Level::P50);
        Self {
            low: Place::among(levels, 0.1),
            median: Place::among(levels, 0.5),
            high: Place::among(levels, 0.9),
            prior: tracked.iter().map(|p| p.read(&PRIOR)).collect(),
            tracked,
            middle: middle.unwrap_or(levels.len().saturating_sub(1)),
        }
    }

    /// The spread that a module claims, in the signal's unit: the standard deviation of a normal
    /// with its 10 % and 90 % quantiles; above 0 however sure it is.
    fn spread(&self, row: &[f64]) -> f64 {
        let claimed = (self.high.read(row) - self.low.read(row)) / P10_TO_P90;
        let least = self.median.read(row) * 1e-4;
        claimed.max(least).max(f64::from(f32::MIN_POSITIVE))
    }
}

/// What a band has learned, laid out for the levels of a forecast.
struct Learned {
    offsets: Vec<f64>,
    median: f64,
    least_spread: f64,
}

impl Learned {
    fn of(layout: &Layout, band: Option<&BandTrack>) -> Self {
        let offsets = band.map_or([0.0; SCORED], |b| b.offsets.map(f64::from));
        Self {
            offsets: layout.tracked.iter().map(|p| p.read(&offsets)).collect(),
            median: offsets[MEDIAN],
            least_spread: band.map_or(0.0, |b| f64::from(b.error) * BELIEVED),
        }
    }

    /// One step's quantiles, corrected into `next`; returns by how much the median moved.
    fn correct(&self, layout: &Layout, row: &[f64], next: &mut [f64]) -> f64 {
        let median = layout.median.read(row);
        let spread = layout.spread(row).max(self.least_spread);
        for (i, q) in next.iter_mut().enumerate() {
            let own = median + (row[i] - median) * layout.prior[i];
            *q = (own + self.offsets[i] * spread).max(0.0);
        }
        // Offsets are learned level by level and may cross: the median stands, others give way
        // outwards.
        for i in layout.middle + 1..next.len() {
            next[i] = next[i].max(next[i - 1]);
        }
        for i in (0..layout.middle).rev() {
            next[i] = next[i].min(next[i + 1]);
        }
        self.median * spread
    }
}

/// A point on the line between two of some rising levels.
#[derive(Debug, Clone, Copy)]
struct Place {
    below: usize,
    above: usize,
    /// 0 at `below`, 1 at `above`.
    share: f64,
}

impl Place {
    /// Where a probability lies among levels; beyond their ends, at the end.
    fn among(levels: &[Level], probability: f64) -> Self {
        let last = levels.len().saturating_sub(1);
        let above = levels.iter().position(|l| l.probability() >= probability);
        let above = above.unwrap_or(last);
        let below = above.saturating_sub(1);
        let at = |i: usize| levels.get(i).map_or(0.0, |l| l.probability());
        let (low, high) = (at(below), at(above));
        if high <= probability || low >= probability || high <= low {
            return Self {
                below: above,
                above,
                share: 0.0,
            };
        }
        Self {
            below,
            above,
            share: (probability - low) / (high - low),
        }
    }

    fn read(self, values: &[f64]) -> f64 {
        let at = |i: usize| values.get(i).copied().unwrap_or(0.0);
        at(self.below) + self.share * (at(self.above) - at(self.below))
    }
}

/// Whether promises are taken in the step that starts at `start`. `salt` spreads series over the
/// steps; it is the same for all modules of a series, so that they are scored on the same outcomes.
#[must_use]
pub fn looks(salt: u64, start: Timestamp, step: Step) -> bool {
    let stride = u64::from(stride(step));
    index(start, step).wrapping_add(salt).is_multiple_of(stride)
}

/// Steps since a series had its turn, where every series has one each `cadence` steps. Turns are looks
/// ([`looks`]) where the cadence is a multiple of their distance.
pub(super) fn since(salt: u64, start: Timestamp, step: Step, cadence: u32) -> u32 {
    let past = index(start, step).wrapping_add(salt) % u64::from(cadence.max(1));
    u32::try_from(past).unwrap_or(0)
}

fn index(start: Timestamp, step: Step) -> u64 {
    start.0.div_euclid(step.ms()) as u64
}

/// Steps between two looks.
pub(super) fn stride(step: Step) -> u32 {
    (LOOK_S / step.secs()).max(1)
}

/// Steps between two promises of a band whose furthest step ends so many steps ahead.
fn period(furthest: u32) -> u32 {
    furthest.div_ceil(SAMPLED)
}

/// What tells series apart when promises are drawn.
#[must_use]
pub fn salt(key: &SeriesKey) -> u64 {
    canonical::seed(0, "promise", &super::series_name(key), 0)
}

/// Takes promises of a forecast as it goes out, for [`observe`] to hold against what comes: at most
/// one per band, of a step that a hash of the time draws, and only where [`looks`] says so. Bands
/// that the forecast reaches are opened. `naive` gives the value of the step that starts at an
/// instant of the past, in the signal's unit, NaN where there is none: seasonal-naive's forecast.
pub fn issue(track: &mut Track, forecast: &Forecast, naive: &mut dyn FnMut(Timestamp) -> f64) {
    let (grid, step) = (forecast.grid, track.step);
    let mut salt = salt(&track.key);
    let steps = u32::try_from(grid.count).unwrap_or(u32::MAX);
    if grid.step != step || grid.start <= track.issued || !looks(salt, grid.start, step) {
        return;
    }
    track.issued = grid.start;
    let mut first = 1;
    for band in Band::ALL {
        let until = band.until_s().map_or(u32::MAX, |s| s / step.secs());
        let last = until.min(steps);
        if last < first {
            continue;
        }
        open(track, band);
        let draw = mix(&mut salt, index(grid.start, step));
        let looks = u64::from(period(last).div_ceil(stride(step)));
        let taken = (draw >> 32).is_multiple_of(looks.max(1));
        let lead = first + u32::try_from(draw % u64::from(last - first + 1)).unwrap_or(0);
        let waiting = |p: &&Pending| Band::of(u32::from(p.lead), step) == band;
        if taken
            && track.pending.iter().filter(waiting).count() < WAITING
            && let Some(promise) = promise(forecast, lead, naive)
        {
            track.pending.push(promise);
        }
        first = last + 1;
    }
}

fn open(track: &mut Track, band: Band) {
    if track.band(band).is_none() {
        track.bands.push(BandTrack {
            band,
            offsets: [0.0; SCORED],
            error: 0.0,
            score: Score::default(),
        });
        track.bands.sort_by_key(|b| b.band);
    }
}

/// One draw of splitmix64 (Steele, Lea, Flood 2014), stirred by the time.
fn mix(state: &mut u64, time: u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state ^ time.wrapping_mul(0xd1b5_4a32_d192_ed03);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn promise(
    forecast: &Forecast,
    lead: u32,
    naive: &mut dyn FnMut(Timestamp) -> f64,
) -> Option<Pending> {
    let ahead = lead.checked_sub(1)? as usize;
    let levels = &forecast.levels;
    let row = forecast
        .quantiles
        .get(ahead * levels.len()..(ahead + 1) * levels.len())?;
    let layout = Layout::of(levels);
    let (centre, spread) = (layout.median.read(row) as f32, layout.spread(row) as f32);
    if !centre.is_finite() || !spread.is_finite() {
        return None;
    }
    let part = |level: Level| {
        let q = Place::among(levels, level.probability()).read(row);
        ((q - f64::from(centre)) / f64::from(spread) * PARTS)
            .round()
            .clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
    };
    let target = forecast.grid.at(ahead);
    Some(Pending {
        target,
        lead: u16::try_from(lead).ok()?,
        centre,
        spread,
        issued: Level::STANDARD.map(part),
        naive: score::SEASONS_MS
            .map(|season| naive(score::known_before(target, season, forecast.grid.start)) as f32),
    })
}

#[cfg(test)]
mod tests;
