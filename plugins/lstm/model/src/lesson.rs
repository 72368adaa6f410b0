//! A history as training material: what the network would have been told at the end of each tick,
//! and every step ahead as it was foreseeable there.
//!
//! A table's entry for a step ahead was written one season earlier and not since, so the tables of
//! every past origin need no copies: their entries are looked up by the tick that wrote them.

use tidegate_model_kit::{Covariates, Series, scaled};

use crate::cycle;
use crate::grid::Grid;
use crate::tracker::{Tracker, UNKNOWN, mean_known, reach};
use crate::view::{INPUTS, Origin, Target, View};

/// The most ticks of a history that are learned from: four weeks of five minutes.
const MAX_TICKS: usize = 8064;
/// The most ticks of a cohort, which bounds the memory of a fit.
const MAX_COHORT: usize = 160_000;
/// The most steps of a cohort, for the same reason.
const MAX_STEPS: usize = 1_000_000;

/// One series of a cohort.
#[derive(Debug)]
pub(crate) struct Lesson {
    grid: Grid,
    cycle: u16,
    /// One per tick.
    pub(crate) inputs: Vec<[f32; INPUTS]>,
    origins: Vec<Origin>,
    lag: Vec<f32>,
    profile: Vec<f32>,
    week: Vec<f32>,
    events: Vec<bool>,
    /// The first step after each tick.
    ends: Vec<u32>,
    /// Per step: the value with events divided out, and its tick.
    values: Vec<f32>,
    tick_of: Vec<u32>,
    first_bin: usize,
    /// The mean unit: losses are told in it, so that a calm hour counts less than a wild one.
    yardstick: f32,
}

impl Lesson {
    /// Walks through a history, which is one of `cohort`; gives the series as it stands at its end.
    pub(crate) fn of(
        series: &Series<'_>,
        known: &Covariates<'_>,
        scale: f64,
        cohort: usize,
    ) -> (Tracker, Self) {
        let grid = Grid::of(series);
        let n = series.values.len();
        let ticks = MAX_TICKS.min(MAX_COHORT / cohort.max(1));
        let most = (ticks * grid.stride as usize).min(MAX_STEPS / cohort.max(1));
        let from = n.saturating_sub(most);
        let clock = series.clock() + from as u64;
        let ticks = by_tick(grid, clock, &series.values[from..], scale);
        let cycle = cycle::find(&ticks, (grid.bins() / 4).max(1));
        let mut tracker = Tracker::new(grid, cycle, clock);
        let mut lesson = Self::walk(series, known, scale, from, &mut tracker);
        if tracker.uplifts != crate::uplift::Uplifts::default() {
            // Factors that are known at the end are known to the training from the beginning.
            let uplifts = tracker.uplifts.clone();
            tracker = Tracker::new(grid, cycle, clock);
            tracker.uplifts = uplifts.clone();
            lesson = Self::walk(series, known, scale, from, &mut tracker);
            tracker.uplifts = uplifts;
        }
        (tracker, lesson)
    }

    fn walk(
        series: &Series<'_>,
        known: &Covariates<'_>,
        scale: f64,
        from: usize,
        tracker: &mut Tracker,
    ) -> Self {
        let grid = tracker.grid;
        let mut lesson = Self {
            grid,
            cycle: tracker.cycle,
            inputs: Vec::new(),
            origins: Vec::new(),
            lag: Vec::new(),
            profile: Vec::new(),
            week: Vec::new(),
            events: Vec::new(),
            ends: Vec::new(),
            values: Vec::new(),
            tick_of: Vec::new(),
            first_bin: grid.bin(tracker.clock),
            yardstick: 0.0,
        };
        let mut slot_from = 0;
        for (row, v) in series.values.iter().enumerate().skip(from) {
            let y = scaled(*v, scale) as f32;
            let running = tracker.uplifts.meet(known, row);
            let value = y / tracker.uplifts.factor(&running);
            lesson.values.push(value.clamp(-1e12, 1e12));
            lesson.tick_of.push(lesson.inputs.len() as u32);
            let Some(tick) = tracker.observe(y, known, row) else {
                continue;
            };
            lesson.inputs.push(tick.input);
            lesson.origins.push(tick.origin);
            lesson.lag.push(tick.lag);
            lesson.profile.push(tick.profile);
            lesson.week.push(UNKNOWN);
            lesson.events.push(tick.input[9] > 0.0);
            lesson.ends.push(lesson.values.len() as u32);
            if let Some(slot) = tick.slot {
                lesson.week[slot_from..].fill(slot);
                slot_from = lesson.week.len();
            }
        }
        let near = reach(grid);
        let smooth = (0..lesson.profile.len()).map(|t| {
            let to = (t + near + 1).min(lesson.profile.len());
            mean_known(lesson.profile[t.saturating_sub(near)..to].iter().copied())
        });
        lesson.profile = smooth.collect();
        let later = lesson.origins.iter().skip(grid.bins());
        let units = if lesson.origins.len() > grid.bins() {
            later.map(|o| o.unit).collect::<Vec<_>>()
        } else {
            lesson.origins.iter().map(|o| o.unit).collect()
        };
        lesson.yardstick = units.iter().sum::<f32>() / units.len().max(1) as f32;
        lesson
    }

    /// Number of ticks.
    pub(crate) fn len(&self) -> usize {
        self.inputs.len()
    }

    /// The longest distance that is trained, in steps.
    pub(crate) fn season(&self) -> usize {
        self.grid.season as usize
    }

    /// What was to be foreseen `ahead` steps after a tick, the truth in the view's units, and how
    /// much it counts. `None` where nothing was observed or nothing can be said.
    pub(crate) fn question(
        &self,
        tick: usize,
        ahead: usize,
        clock: &ClockFace,
    ) -> Option<(View, f32, f32)> {
        let origin = &self.origins[tick];
        let step = self.ends[tick] as usize + ahead - 1;
        let value = self.values.get(step).copied().filter(|v| !v.is_nan())?;
        if origin.unit <= 0.0 || self.yardstick <= 0.0 {
            return None;
        }
        let at = self.tick_of[step] as usize;
        let bins = self.grid.bins();
        let written = |seasons: usize, table: &[f32]| {
            at.checked_sub(seasons * bins)
                .filter(|u| *u <= tick)
                .and_then(|u| table.get(u))
                .copied()
                .unwrap_or(UNKNOWN)
        };
        let days = self.grid.days as usize;
        let target = Target {
            lag: written(1, &self.lag),
            profile: written(1, &self.profile),
            week: if days > 0 {
                written(days, &self.week)
            } else {
                UNKNOWN
            },
            cycle: cycle::cycled(self.cycle, at - tick, bins.min(tick + 1), |age| {
                self.lag[tick - age]
            }),
            event: f32::from(u8::from(self.events.get(at).copied().unwrap_or(false))),
            sin_cos: clock.at((self.first_bin + at) % bins),
            ticks: ahead as f32 / self.grid.stride as f32,
            seasons: ahead as f32 / self.grid.season as f32,
        };
        let view = View::new(origin, &target);
        let y = ((value - view.centre) / view.unit.max(f32::MIN_POSITIVE)).clamp(-200.0, 200.0);
        let weight = (origin.unit / self.yardstick).clamp(0.2, 5.0);
        Some((view, y, weight))
    }
}

/// The mean of each tick; NaN where nothing was observed.
fn by_tick(grid: Grid, clock: u64, values: &[f64], scale: f64) -> Vec<f32> {
    let mut means = Vec::new();
    let (mut sum, mut n) = (0.0, 0.0);
    for (step, v) in values.iter().enumerate() {
        if !v.is_nan() {
            sum += scaled(*v, scale);
            n += 1.0;
        }
        if grid.ends_tick(clock + step as u64) {
            // Nothing over nothing is a gap.
            means.push((sum / n) as f32);
            (sum, n) = (0.0, 0.0);
        }
    }
    means
}

/// Sine and cosine of every tick of a season.
#[derive(Debug)]
pub(crate) struct ClockFace(Vec<(f32, f32)>);

impl ClockFace {
    pub(crate) fn of(lesson: &Lesson) -> Self {
        let n = lesson.grid.bins();
        let turn = |k: usize| std::f32::consts::TAU * k as f32 / n as f32;
        Self(
            (0..n)
                .map(|k| (libm::sinf(turn(k)), libm::cosf(turn(k))))
                .collect(),
        )
    }

    fn at(&self, bin: usize) -> (f32, f32) {
        self.0[bin]
    }
}
