//! What is known of a series without the network: levels, seasons and errors, moved on by each
//! step, and what the network is told of them at the end of each tick.
//!
//! A recurrent layer of 32 cells cannot remember a day, so the day is kept beside it: the values of
//! the last season and a profile over seasons, with an entry per tick, and the deviation of each
//! hour of the week. The network learns how far to trust each of them, and that is the same
//! question in every series; hence one network for all. The same walk makes the inputs of the
//! training and those of a forecast, so that they cannot differ.
//!
//! All numbers are `f32` in units of the series' power of two, because states are kept in that
//! precision and a batch cut in two must be the same batch.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::Covariates;

use crate::cycle::cycled;
use crate::grid::Grid;
use crate::uplift::Uplifts;
use crate::view::{INPUTS, Origin, soft};

/// Marks an entry of a table that no step has filled: NaN would not equal itself.
pub(crate) const UNKNOWN: f32 = f32::MAX;
/// Scaled values are cut here ([`tidegate_model_kit::scaled`]); nothing beyond is believed.
const LARGEST: f32 = 1e13;

/// Steps below which their agreement proves little.
const FEW: u32 = 12;

/// A mean that forgets, with the plain mean at its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) value: f32,
    n: u16,
}

impl Running {
    /// Takes `x`, remembered for about `span` steps. A burst counts for at most eight times what
    /// is usual, so that one of them does not widen a day of intervals.
    fn take_error(&mut self, x: f32, span: f32) {
        let most = if self.n >= 8 && self.value > 0.0 {
            8.0 * self.value
        } else {
            LARGEST
        };
        self.take(x.abs().min(most), span);
    }

    fn take(&mut self, x: f32, span: f32) {
        self.n = self.n.saturating_add(1);
        self.value += (x - self.value) / f32::from(self.n).min(span);
    }

    fn is_sound(&self) -> bool {
        self.value.abs() <= LARGEST
    }
}

/// A series up to its last seen step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tracker {
    pub(crate) grid: Grid,
    /// The inner cycle in ticks, see [`crate::cycle`].
    pub(crate) cycle: u16,
    /// The step that comes next, on the absolute grid.
    pub(crate) clock: u64,
    /// Observed steps.
    pub(crate) seen: u32,
    pub(crate) uplifts: Uplifts,
    /// The value of each tick of the last season, or of the season before where that is missing.
    lag: Vec<f32>,
    /// The same, averaged over seasons.
    profile: Vec<f32>,
    /// What each slot of the long season adds to the profile.
    week: Vec<f32>,
    slot: Running,
    seasons: u32,
    /// The tick that is not over yet.
    sum: f32,
    count: u32,
    event: bool,
    /// The last value, and two means of the last ones.
    level: [f32; 3],
    slow: Running,
    /// How far the last steps were from the same steps of the last season, and from the profile.
    lag_dev: [f32; 2],
    profile_dev: [f32; 2],
    noise: Running,
    err_lag: Running,
    err_slow: Running,
    err_profile: Running,
    err_mid: Running,
    err_dev: Running,
    err_cycle: Running,
    /// Ticks of the last twenty-fourth of a season: value, and deviation from the last season.
    recent: Vec<(f32, f32)>,
    ticks: u32,
}

/// What the end of a tick gives to the network and to a training.
#[derive(Debug, Clone)]
pub(crate) struct Tick {
    pub(crate) input: [f32; INPUTS],
    pub(crate) origin: Origin,
    /// The entries of the tables that this tick left behind.
    pub(crate) lag: f32,
    pub(crate) profile: f32,
    /// The deviation of the slot of the long season that this tick ended.
    pub(crate) slot: Option<f32>,
}

impl Tracker {
    pub(crate) fn new(grid: Grid, cycle: u16, clock: u64) -> Self {
        let zero = Running::default();
        Self {
            grid,
            cycle,
            clock,
            seen: 0,
            uplifts: Uplifts::default(),
            lag: vec![UNKNOWN; grid.bins()],
            profile: vec![UNKNOWN; grid.bins()],
            week: vec![UNKNOWN; grid.slots()],
            slot: zero,
            seasons: 0,
            sum: 0.0,
            count: 0,
            event: false,
            level: [0.0; 3],
            slow: zero,
            lag_dev: [0.0; 2],
            profile_dev: [0.0; 2],
            noise: zero,
            err_lag: zero,
            err_slow: zero,
            err_profile: zero,
            err_mid: zero,
            err_dev: zero,
            err_cycle: zero,
            recent: Vec::new(),
            ticks: 0,
        }
    }

    /// Takes the value of the next step, NaN where it is missing, with what is known on that row.
    pub(crate) fn observe(&mut self, y: f32, known: &Covariates<'_>, row: usize) -> Option<Tick> {
        let running = self.uplifts.meet(known, row);
        let bin = self.grid.bin(self.clock);
        if !y.is_nan() {
            let value = (y / self.uplifts.factor(&running)).clamp(-1e12, 1e12);
            self.follow(value, bin);
            if !running.is_empty() {
                let usual = self.smooth(bin);
                if usual != UNKNOWN {
                    self.uplifts.learn(&running, y, usual);
                }
            }
        }
        self.event |= !running.is_empty();
        let ends = self.grid.ends_tick(self.clock);
        let at = self.clock;
        self.clock += 1;
        ends.then(|| self.close(bin, at))
    }

    /// The value of a tick of the season one season earlier.
    pub(crate) fn lagged(&self, bin: usize) -> f32 {
        self.lag[bin]
    }

    /// The mean of the last inner cycles at a step.
    pub(crate) fn cycled(&self, clock: u64) -> f32 {
        let n = self.lag.len();
        let last = (self.grid.bin(self.clock) + n - 1) % n;
        let ahead = self.grid.between(self.clock, clock) + 1;
        cycled(self.cycle, ahead, n, |age| self.lag[(last + n - age) % n])
    }

    /// The profile, averaged over the neighbours where ticks are short.
    pub(crate) fn smooth(&self, bin: usize) -> f32 {
        let (n, reach) = (self.profile.len(), reach(self.grid));
        let near = (0..=2 * reach).map(|k| self.profile[(bin + n + k - reach) % n]);
        mean_known(near)
    }

    /// What the long season adds at a step.
    pub(crate) fn weekly(&self, clock: u64) -> f32 {
        if self.week.is_empty() {
            return UNKNOWN;
        }
        self.week[self.grid.slot(clock)]
    }

    /// What a forecast begins from.
    pub(crate) fn origin(&self) -> Origin {
        let unit = self.unit();
        Origin {
            level: self.level,
            slow: self.slow.value,
            lag_dev: self.lag_dev,
            profile_dev: self.profile_dev,
            unit,
            noise: if self.seen < FEW {
                unit.max(self.noise.value)
            } else {
                self.noise.value
            },
            err_profile: self.err_profile.value,
            err_mid: self.err_mid.value,
            err_dev: self.err_dev.value,
            err_cycle: self.err_cycle.value,
            event: f32::from(u8::from(self.event)),
        }
    }

    fn follow(&mut self, value: f32, bin: usize) {
        let stride = self.grid.stride as f32;
        let (quick, calm) = (2.0 + stride, 8.0 + 4.0 * stride);
        let long = (self.grid.season as f32 / 2.0).max(12.0);
        if self.seen == 0 {
            self.level = [value; 3];
        } else {
            self.noise.take_error(value - self.level[1], 36.0 * stride);
        }
        self.seen = self.seen.saturating_add(1);
        self.slow.take(value, long);
        let or_slow = |x: f32| if x == UNKNOWN { self.slow.value } else { x };
        let (lag, profile) = (or_slow(self.lag[bin]), or_slow(self.smooth(bin)));
        let young = self.seen as f32;
        self.level[0] = value;
        for (k, span) in [quick, calm].into_iter().enumerate() {
            let gain = 1.0 / span.min(young);
            self.level[k + 1] += gain * (value - self.level[k + 1]);
            self.lag_dev[k] += gain * (value - lag - self.lag_dev[k]);
            self.profile_dev[k] += gain * (value - profile - self.profile_dev[k]);
        }
        self.sum += value;
        self.count += 1;
    }

    /// The unit in which the network thinks: the usual error of repeating the last season.
    fn unit(&self) -> f32 {
        let season = if self.err_lag.n > 0 {
            self.err_lag.value
        } else {
            self.err_slow.value
        };
        let mut unit = season
            .max(self.noise.value)
            .max(1e-4 * self.slow.value.abs());
        if self.seen < FEW {
            unit = unit.max(0.5 * self.slow.value.abs() / self.seen.max(1) as f32);
        }
        unit
    }

    fn close(&mut self, bin: usize, at: u64) -> Tick {
        let seen = self.count > 0;
        let value = if seen {
            self.sum / self.count as f32
        } else {
            self.level[1]
        };
        let (lag, profile) = (self.lag[bin], self.smooth(bin));
        let before = (bin + self.lag.len() - 1) % self.lag.len();
        let cycled = cycled(self.cycle, 1, self.lag.len(), |age| {
            self.lag[(before + self.lag.len() - age) % self.lag.len()]
        });
        let or_slow = |x: f32| if x == UNKNOWN { self.slow.value } else { x };
        let (day, usual) = (or_slow(lag), or_slow(profile));
        let span = (self.lag.len() as f32).max(12.0);
        let back = (self.lag.len() / 24).max(1);
        let earlier = self.recent.get(self.ticks as usize % back).copied();
        if seen {
            self.err_slow.take_error(value - self.slow.value, span);
            if lag != UNKNOWN {
                self.err_lag.take_error(value - lag, span);
                self.err_profile.take_error(value - usual, span);
            }
            if cycled != UNKNOWN {
                self.err_cycle.take_error(value - cycled, span);
            }
            if let Some((then, dev)) = earlier {
                self.err_mid.take_error(value - then, span);
                self.err_dev.take_error(value - day - dev, span);
            }
        }
        let previous = self
            .ticks
            .checked_sub(1)
            .and_then(|t| self.recent.get(t as usize % back))
            .map_or(value, |r| r.0);
        let simple = [previous, day, usual, or_slow(cycled)];
        let input = self.input(bin, at, seen.then_some(value), simple);
        match self.recent.get_mut(self.ticks as usize % back) {
            Some(place) => *place = (value, value - day),
            None => self.recent.push((value, value - day)),
        }
        self.ticks = self.ticks.wrapping_add(1);
        let slot = self.learn_season(bin, at, seen.then_some(value), profile);
        let tick = Tick {
            input,
            origin: self.origin(),
            lag: self.lag[bin],
            profile: self.profile[bin],
            slot,
        };
        (self.sum, self.count, self.event) = (0.0, 0, false);
        tick
    }

    /// Moves the tables. What an event touched is left out: its factor may be wrong.
    fn learn_season(
        &mut self,
        bin: usize,
        at: u64,
        value: Option<f32>,
        profile: f32,
    ) -> Option<f32> {
        let value = value.filter(|_| !self.event);
        if let Some(value) = value {
            if profile != UNKNOWN {
                self.slot.take(value - profile, f32::MAX);
            }
            self.lag[bin] = value;
            let entry = &mut self.profile[bin];
            if *entry == UNKNOWN {
                *entry = value;
            } else {
                let most = 20.0 * self.err_lag.value.max(self.noise.value);
                let gain = 1.0 / (self.seasons as f32 + 1.0).clamp(2.0, 4.0);
                *entry += gain * (value - *entry).clamp(-most, most);
            }
        }
        if bin + 1 == self.lag.len() {
            self.seasons = self.seasons.saturating_add(1);
        }
        if self.week.is_empty() || self.grid.slot(at + 1) == self.grid.slot(at) {
            return None;
        }
        let slot = std::mem::take(&mut self.slot);
        let entry = &mut self.week[self.grid.slot(at)];
        if slot.n > 0 {
            *entry = if *entry == UNKNOWN {
                slot.value
            } else {
                *entry + 0.5 * (slot.value - *entry)
            };
        }
        Some(*entry)
    }

    fn input(
        &self,
        bin: usize,
        at: u64,
        value: Option<f32>,
        [previous, day, usual, cycled]: [f32; 4],
    ) -> [f32; INPUTS] {
        let unit = self.unit().max(f32::MIN_POSITIVE);
        let n = self.lag.len();
        let ahead = (bin + (n / 24).max(1)) % n;
        let turn = std::f32::consts::TAU * self.grid.turn(at);
        let (coming, known) = match self.smooth(ahead) {
            UNKNOWN => (usual, 0.0),
            profile => (profile, 1.0),
        };
        let [now, last, of_day, of_profile, of_cycle] = match value {
            Some(v) => [self.level[2], previous, day, usual, cycled].map(|simple| v - simple),
            None => [0.0; 5],
        };
        [
            soft(last / unit),
            soft(of_day / unit),
            soft(of_profile / unit),
            soft(now / unit),
            soft((coming - usual) / unit),
            soft((day - usual) / unit),
            libm::sinf(turn),
            libm::cosf(turn),
            f32::from(u8::from(value.is_none())),
            f32::from(u8::from(self.event)),
            known,
            soft(self.noise.value / unit),
            soft(of_cycle / unit),
        ]
    }

    /// Whether a decoded tracker can be computed with.
    pub(crate) fn is_sound(&self) -> bool {
        let errors = [
            self.slot,
            self.slow,
            self.noise,
            self.err_lag,
            self.err_slow,
            self.err_profile,
            self.err_mid,
            self.err_dev,
            self.err_cycle,
        ];
        let table = |t: &[f32]| t.iter().all(|v| *v == UNKNOWN || v.abs() <= LARGEST);
        let pairs = self.recent.iter().flat_map(|(a, b)| [*a, *b]);
        let plain = self
            .level
            .into_iter()
            .chain(self.lag_dev)
            .chain(self.profile_dev)
            .chain(pairs)
            .chain([self.sum / self.count.max(1) as f32]);
        self.grid.is_sound()
            && (1..=self.grid.bins()).contains(&usize::from(self.cycle))
            && self.clock < u64::MAX / 4
            && self.lag.len() == self.grid.bins()
            && self.profile.len() == self.grid.bins()
            && self.week.len() == self.grid.slots()
            && self.count <= self.grid.stride
            && self.recent.len() <= (self.grid.bins() / 24).max(1)
            && errors.iter().all(Running::is_sound)
            && [&self.lag, &self.profile, &self.week]
                .iter()
                .all(|t| table(t))
            && plain.into_iter().all(|v| v.abs() <= LARGEST)
            && self.uplifts.is_sound()
    }
}

/// Neighbours on each side over which the profile is averaged.
pub(crate) fn reach(grid: Grid) -> usize {
    grid.bins() / 96
}

/// The mean of the entries that are known, or [`UNKNOWN`].
pub(crate) fn mean_known(entries: impl Iterator<Item = f32>) -> f32 {
    let (mut sum, mut n) = (0.0, 0.0);
    for v in entries.filter(|v| *v != UNKNOWN) {
        sum += v;
        n += 1.0;
    }
    if n > 0.0 { sum / n } else { UNKNOWN }
}
