//! Tells when a fitted model no longer fits, so that it is fitted anew before its turn.
//!
//! Per series and module, the residual of each next step, in units of the forecast's own spread, goes
//! into Page's cumulative sums (E. S. Page, "Continuous inspection schemes", Biometrika 41, 1954), in
//! the form of Page and Hinkley: centred on the residuals' own mean since the fit, so that a module
//! that is always a little off is not fitted again and again for it. Three sums: load above, load
//! below, and errors that grew without a direction (a changed season). Residuals are clipped at a few
//! of their own size, so one spike, however high, never adds up to a shift; a level that stays
//! elsewhere does within a handful of steps.
//!
//! Rejected: ADWIN (Bifet and Gavaldà, 2007). It keeps a window of buckets per series, tests all cuts
//! of it, and its bound assumes independent values within [0, 1]: kilobytes where five numbers do, and
//! many more alarms on residuals that are a little correlated and heavy-tailed.

use super::FitOf;
use crate::compact::Compact;
use std::collections::BTreeMap;
use tidegate_core::forecast::{self, Forecast, Shift, Sums};
use tidegate_core::ids::Digest;
use tidegate_core::ports::storage::{History, StoreError};
use tidegate_core::roster::Retreat;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Level;

/// Residuals that are only learned from after a fit: what is usual for this model.
const WARM_UP: u32 = 30;

/// Most residuals that the running means look back on.
const MEMORY: u32 = 2000;

/// What is usual and never adds up, in standard deviations: half of the shift that is looked for.
const ALLOWANCE: f64 = 0.5;

/// Where a sum is a shift. By Siegmund's approximation, two years of minutes lie between two false
/// alarms on normal white noise.
const THRESHOLD: f64 = 12.0;

/// Most that one residual counts, in standard deviations.
const CLIP: f64 = 4.0;

/// Standard deviation of a normal variable over its mean size: sqrt(pi / 2).
const SIGMA: f64 = 1.253_314;

/// The sums over one model's residuals since its fit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Drift(Sums);

impl Drift {
    /// Takes in the next residual over its scale; what is not finite is passed over. Tells a shift
    /// once; the sums then begin anew.
    pub fn observe(&mut self, scaled: f64) -> Option<Shift> {
        if !scaled.is_finite() {
            return None;
        }
        let sums = &mut self.0;
        let warm = sums.seen >= WARM_UP;
        let reach = CLIP * SIGMA * sums.size;
        let off = scaled - sums.mean;
        // Before anything is known of their size, every residual counts in full.
        let bounded = if warm { off.clamp(-reach, reach) } else { off };
        let unit = if sums.size > 0.0 {
            bounded / (SIGMA * sums.size)
        } else if off == 0.0 {
            0.0
        } else {
            CLIP.copysign(off)
        };
        sums.seen = (sums.seen + 1).min(MEMORY);
        let rate = 1.0 / f64::from(sums.seen);
        sums.mean += rate * bounded;
        sums.size += rate * (bounded.abs() - sums.size);
        if !warm {
            return None;
        }
        sums.up = (sums.up + unit - ALLOWANCE).max(0.0);
        sums.down = (sums.down - unit - ALLOWANCE).max(0.0);
        sums.wider = (sums.wider + unit.abs() * SIGMA - 1.0 - ALLOWANCE).max(0.0);
        let shift = if sums.up > THRESHOLD {
            Shift::Up
        } else if sums.down > THRESHOLD {
            Shift::Down
        } else if sums.wider > THRESHOLD {
            Shift::Wider
        } else {
            return None;
        };
        *self = Self::default();
        Some(shift)
    }
}

/// What was foreseen of a step that has not been measured yet.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Promise {
    target: Timestamp,
    centre: f64,
    spread: f64,
}

/// The watch over one model on one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watch {
    fitted_at: Timestamp,
    promise: Option<Promise>,
    drift: Drift,
    shifted: Option<(Timestamp, Shift)>,
}

/// A series and who forecasts it.
pub type Watched = (SeriesKey, Digest);

/// All watches of a pool.
#[derive(Debug, Clone, Default)]
pub struct Drifts {
    all: BTreeMap<Watched, Watch>,
    compact: Compact,
}

impl Drifts {
    /// When the model of a series that was fitted at `fitted_at` stopped to fit, and how.
    #[must_use]
    pub fn shifted(
        &self,
        key: &SeriesKey,
        module: Digest,
        fitted_at: Timestamp,
    ) -> Option<(Timestamp, Shift)> {
        let watch = self.all.get(&(key.clone(), module))?;
        watch.shifted.filter(|_| watch.fitted_at == fitted_at)
    }

    /// What is known of whether the model of a series fits, to be kept until the next start; the step
    /// that is promised and has not been measured yet is not in it.
    #[must_use]
    pub fn kept(&self, watched: &Watched) -> Option<forecast::Watch> {
        let watch = self.all.get(watched)?;
        Some(forecast::Watch {
            fitted_at: watch.fitted_at,
            sums: watch.drift.0,
            shifted: watch.shifted,
        })
    }

    /// Goes on from what was kept.
    pub fn resume(&mut self, watched: Watched, kept: forecast::Watch) {
        let watch = Watch {
            fitted_at: kept.fitted_at,
            promise: None,
            drift: Drift(kept.sums),
            shifted: kept.shifted,
        };
        self.all.insert(watched, watch);
    }

    /// Takes over what a cycle saw, and forgets series and modules that `keep` does not know.
    pub fn commit(&mut self, moved: Vec<(Watched, Watch)>, keep: impl Fn(&Watched) -> bool) {
        let before = self.all.len();
        let told = moved.len();
        self.all.extend(moved);
        // What is gone is looked for only when there is much more than a cycle tells.
        if self.all.len() > before && self.all.len() > 2 * told {
            self.all.retain(|watched, _| keep(watched));
        }
        self.compact.after(&mut self.all);
    }

    /// Holds what came against what was foreseen, and notes what is foreseen now, for every series
    /// that a fitted model answered. Gives the watches that have moved.
    ///
    /// # Errors
    /// When stored data cannot be read.
    pub fn follow(
        &self,
        history: &dyn History,
        now: Timestamp,
        forecasts: &BTreeMap<SeriesKey, Forecast>,
        fits: &[FitOf],
    ) -> Result<Vec<(Watched, Watch)>, StoreError> {
        let mut moved = vec![];
        for (key, module, fitted_at) in fits {
            let Some(forecast) = forecasts
                .get(key)
                .filter(|f| f.served.retreat != Retreat::Baseline)
            else {
                continue;
            };
            let watched = (key.clone(), *module);
            let old = self.all.get(&watched);
            let mut watch = old
                .filter(|w| w.fitted_at == *fitted_at)
                .copied()
                .unwrap_or(Watch {
                    fitted_at: *fitted_at,
                    promise: None,
                    drift: Drift::default(),
                    shifted: None,
                });
            watch.settle(history, key, forecast.grid.step, now)?;
            if watch.promise.is_none() {
                watch.promise = Promise::of(forecast);
            }
            if old != Some(&watch) {
                moved.push((watched, watch));
            }
        }
        Ok(moved)
    }
}

impl Watch {
    /// Observes the promised step once it was measured; lets go of one that nobody measures.
    fn settle(
        &mut self,
        history: &dyn History,
        key: &SeriesKey,
        step: Step,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(promise) = self.promise else {
            return Ok(());
        };
        let grid = Grid {
            start: promise.target,
            step,
            count: 1,
        };
        if history.newest(key).is_some_and(|t| t >= grid.end()) {
            let came = history.column(key, grid)?.last();
            let scaled = came.map(|y| (y - promise.centre) / promise.spread);
            if let Some(shift) = scaled.and_then(|z| self.drift.observe(z)) {
                self.shifted = Some((grid.end(), shift));
            }
        } else if now.since_ms(promise.target) < super::MAX_LAG_MS && promise.target <= now {
            return Ok(());
        }
        self.promise = None;
        Ok(())
    }
}

impl Promise {
    /// The forecast's first step: its median, and its 80 % interval as a standard deviation.
    fn of(forecast: &Forecast) -> Option<Self> {
        let at = |level| forecast.quantile(0, level);
        let (low, centre, high) = (at(Level::STANDARD[1]), at(Level::P50), at(Level::P90));
        // The distance of a normal variable's 10 % and 90 % quantiles, in standard deviations.
        let spread = (high - low) / 2.563;
        let floor = f64::max(1e-9 * centre.abs(), f64::MIN_POSITIVE);
        (forecast.grid.count > 0).then_some(Self {
            target: forecast.grid.start,
            centre,
            spread: spread.max(floor),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise without a generator: the fractional parts of multiples of the golden ratio, three
    /// summed, are near enough to normal; mean 0, standard deviation 1.
    fn noise(n: u32) -> f64 {
        let part = |k: u32| (f64::from(n) * 0.618_033_988_75 * f64::from(k) + 0.1).fract() - 0.5;
        2.0 * (part(1) + part(97) + part(1009))
    }

    fn first(of: impl Fn(u32) -> f64, steps: u32) -> Option<(u32, Shift)> {
        let mut drift = Drift::default();
        (0..steps).find_map(|n| drift.observe(of(n)).map(|s| (n, s)))
    }

    #[test]
    fn ordinary_noise_is_no_shift_whatever_its_size_and_bias() {
        for (bias, size) in [(0.0, 1.0), (2.0, 1.0), (-1.0, 7.0), (0.0, 1e-6), (3e9, 1e6)] {
            assert_eq!(first(|n| bias + size * noise(n), 20_000), None);
        }
    }

    #[test]
    fn a_level_that_stays_elsewhere_is_told_within_minutes() {
        for (by, shift) in [(4.0, Shift::Up), (-4.0, Shift::Down)] {
            let level = |n| if n < 500 { noise(n) } else { noise(n) + by };
            let (at, found) = first(level, 600).unwrap();
            assert_eq!(found, shift);
            assert!((500..510).contains(&at), "{at}");
        }
    }

    #[test]
    fn errors_that_grow_in_both_directions_are_told() {
        let wider = |n| {
            let sign = if n % 2 == 0 { 1.0 } else { -1.0 };
            if n < 500 { noise(n) } else { sign * 3.0 }
        };
        let (at, found) = first(wider, 600).unwrap();
        assert_eq!(found, Shift::Wider);
        assert!(at < 530, "{at}");
    }

    #[test]
    fn one_spike_is_no_shift_however_high() {
        for spike in [10.0, 1e6, f64::INFINITY, f64::NAN] {
            let spiky = |n| if n % 200 == 199 { spike } else { noise(n) };
            assert_eq!(first(spiky, 20_000), None, "{spike}");
        }
    }

    #[test]
    fn a_constant_that_jumps_is_told_and_one_that_stays_is_not() {
        assert_eq!(first(|_| 0.0, 5_000), None);
        let jump = |n| if n < 100 { 0.0 } else { 1e12 };
        let (at, found) = first(jump, 200).unwrap();
        assert_eq!((at < 106, found), (true, Shift::Up));
    }

    #[test]
    fn a_restart_on_the_way_to_a_shift_is_told_no_later() {
        // A shift so slow that it takes a day of minutes.
        let slow = |n: u32| noise(n) + f64::from(n.saturating_sub(500)) / 400.0;
        let straight = first(slow, 5_000).unwrap();
        let watched: Watched = (
            SeriesKey {
                api: "shop/orders".parse().unwrap(),
                signal: tidegate_core::units::Signal::Requests,
            },
            Digest([1; 32]),
        );
        let mut drifts = Drifts::default();
        let fitted_at = Timestamp(60_000);
        let fresh = forecast::Watch {
            fitted_at,
            sums: Sums::default(),
            shifted: None,
        };
        drifts.resume(watched.clone(), fresh);
        let told = (0..5_000).find_map(|n| {
            let watch = drifts.all.get_mut(&watched).unwrap();
            let shift = watch.drift.observe(slow(n));
            if n % 7 == 0 {
                let kept = drifts.kept(&watched).unwrap();
                drifts = Drifts::default();
                drifts.resume(watched.clone(), kept);
            }
            shift.map(|s| (n, s))
        });
        assert_eq!(told, Some(straight));
    }

    #[test]
    fn after_a_shift_the_new_level_is_usual() {
        let mut drift = Drift::default();
        let level = |n| if n < 100 { noise(n) } else { noise(n) + 9.0 };
        let told: Vec<u32> = (0..5_000)
            .filter(|&n| drift.observe(level(n)).is_some())
            .collect();
        assert_eq!(told.len(), 1, "{told:?}");
    }
}
