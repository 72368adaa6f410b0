//! Use of one resource as a function of load, learned step by step: `use = base + cost x load`.
//!
//! Recursive least squares on sufficient statistics with exponential forgetting (Ljung & Söderström,
//! Theory and Practice of Recursive Identification, 1983, section 2.6), solved under `base, cost >= 0`
//! (non-negative least squares in two unknowns has three cases, Lawson & Hanson 1974, chapter 23).
//! Steps are weighted by `1 / (load + a tenth of the mean load)^2`, since a step's error grows with
//! its load. Residuals beyond 2.5 of their own scale count by Huber's weight (Huber 1964), so one
//! absurd sample moves a little and a change of cost that stays moves everything. How load splits
//! from base is a slow matter (a day), the level of both a fast one (two hours): a deployment that
//! makes requests dearer must not wait for the day.
//!
//! A step whose use filled its grant is *censored*: a starved service cannot work, which must not
//! make its requests look cheap, or the next grant would starve it further. Such a step only counts
//! where it shows a higher cost. A ridge towards `base = 0`, worth what the noise leaves open,
//! decides where load hardly varies: a spurious base would foresee too little at the peak.
//!
//! Rejected: a quantile of `use / load` over the last hours (what stood here before): it re-reads
//! hours of history in every cycle, has no base, and cannot say how uncertain it is.

use super::codec::{Reader, Writer};
use super::forget;

/// Seconds after which a step counts half: for the split, the level, and the error.
const SPLIT_S: f64 = 86_400.0;
const LEVEL_S: f64 = 7_200.0;
const ERROR_S: f64 = 21_600.0;
/// Part of the mean load that is added where loads divide.
const IDLE: f64 = 0.1;
/// Residuals are believed up to so many of their scale.
const HUBER: f64 = 2.5;
/// A base is expected to be within this part of ordinary use.
const BASE_PRIOR: f64 = 0.3;
/// Errors are never believed to be smaller than this part of use.
const LEAST_ERROR: f64 = 0.005;
/// Use above this part of the grant is censored.
const FILLED: f64 = 0.95;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Mean load, 1/s.
    load: f64,
    /// Weighted sums of `zz, zo, oo, zy, oy`, where `z = load / d`, `o = 1 / d`, `y = use / d`.
    split: [f64; 5],
    /// Weighted sums of `prediction x y` and `prediction^2`.
    level: [f64; 2],
    /// Weighted sums of clipped squared residuals and of weights.
    error: [f64; 2],
}

/// One step that was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Observed {
    /// Requests/s, finite, >= 0.
    pub(super) load: f64,
    /// Resource use, finite, >= 0.
    pub(super) used: f64,
    /// What could be used, where that is known.
    pub(super) capacity: Option<f64>,
}

impl Observed {
    fn is_filled(&self) -> bool {
        self.capacity.is_some_and(|c| self.used >= FILLED * c)
    }
}

impl Cost {
    /// Learns from consecutive steps of `step_s` seconds. The first batch also sets the scale: the
    /// median of `use / load` and the median deviation from it, which outliers do not move.
    pub(super) fn learn(&mut self, steps: &[Observed], step_s: f64) {
        if self.error[1] <= 0.0 && !self.begin(steps) {
            return;
        }
        for step in steps {
            self.take(step, step_s);
        }
    }

    fn begin(&mut self, steps: &[Observed]) -> bool {
        let busy: Vec<&Observed> = steps.iter().filter(|s| s.load > 0.0).collect();
        if busy.is_empty() {
            return false;
        }
        let load = median(busy.iter().map(|s| s.load));
        let ratios = || busy.iter().map(|s| s.used / s.load);
        let ratio = median(ratios());
        let deviation = 1.4826 * median(ratios().map(|r| (r - ratio).abs()));
        if !(load.is_finite() && ratio.is_finite() && load > 0.0) {
            return false;
        }
        self.load = load;
        let z = 1.0 / (1.0 + IDLE);
        let y = ratio * z;
        // Worth one step of ordinary load.
        self.split = [z * z, 0.0, 0.0, z * y, 0.0];
        self.level = [y * y, y * y];
        let e = (deviation * z)
            .max(LEAST_ERROR * y)
            .max(0.1 * y / busy.len() as f64);
        self.error = [e * e, 1.0];
        true
    }

    fn take(&mut self, step: &Observed, step_s: f64) {
        self.load += (1.0 - forget(step_s, SPLIT_S)) * (step.load - self.load);
        let d = step.load + IDLE * self.load;
        if d <= 0.0 {
            return;
        }
        let (z, o, y) = (step.load / d, 1.0 / d, step.used / d);
        let (base, cost) = self.parts();
        let plain = cost * z + base * o;
        let residual = y - self.factor() * plain;
        if step.is_filled() && residual < 0.0 {
            return;
        }
        let scale = self.scale().max(LEAST_ERROR * self.factor() * plain);
        let weight = if residual.abs() > HUBER * scale {
            HUBER * scale / residual.abs()
        } else {
            1.0
        };
        let slow = forget(step_s, SPLIT_S);
        let products = [z * z, z * o, o * o, z * y, o * y];
        for (sum, product) in self.split.iter_mut().zip(products) {
            *sum = slow * *sum + weight * product;
        }
        let fast = forget(step_s, LEVEL_S);
        let (base, cost) = self.parts();
        let plain = cost * z + base * o;
        self.level[0] = fast * self.level[0] + weight * plain * y;
        self.level[1] = fast * self.level[1] + weight * plain * plain;
        let clipped = residual.abs().min(2.0 * HUBER * scale);
        let keep = forget(step_s, ERROR_S);
        self.error[0] = keep * self.error[0] + clipped * clipped;
        self.error[1] = keep * self.error[1] + 1.0;
    }

    /// Whether anything was learned.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.error[1] > 0.0
    }

    /// Base use and use per request at the slow split, before the fast level.
    fn parts(&self) -> (f64, f64) {
        let [zz, zo, oo, zy, oy] = self.split;
        let ridged = oo + self.ridge();
        let determinant = zz * ridged - zo * zo;
        if determinant > 1e-12 * zz * ridged {
            let cost = (zy * ridged - oy * zo) / determinant;
            let base = (oy * zz - zy * zo) / determinant;
            if cost >= 0.0 && base >= 0.0 {
                return (base, cost);
            }
            if cost < 0.0 && ridged > 0.0 {
                return ((oy / ridged).max(0.0), 0.0);
            }
        }
        (0.0, if zz > 0.0 { (zy / zz).max(0.0) } else { 0.0 })
    }

    /// Noise variance over the prior variance of `base`, in the units of `oo`.
    fn ridge(&self) -> f64 {
        let ordinary = if self.split[0] > 0.0 {
            BASE_PRIOR * self.split[3] / self.split[0]
        } else {
            0.0
        };
        let expected = ordinary * self.load;
        if expected > 0.0 {
            let noise = self.scale();
            (noise / expected) * (noise / expected)
        } else {
            0.0
        }
    }

    fn factor(&self) -> f64 {
        if self.level[1] > 0.0 {
            self.level[0] / self.level[1]
        } else {
            1.0
        }
    }

    /// Scale of a step's residual, per unit of `load + a tenth of the mean load`.
    fn scale(&self) -> f64 {
        if self.error[1] > 0.0 {
            (self.error[0] / self.error[1]).sqrt()
        } else {
            0.0
        }
    }

    /// Use that does not depend on load, in the resource's unit.
    #[must_use]
    pub fn base(&self) -> f64 {
        self.factor() * self.parts().0
    }

    /// Use per request/s, in the resource's unit.
    #[must_use]
    pub fn per_request(&self) -> f64 {
        self.factor() * self.parts().1
    }

    /// Mean use at a load, in the resource's unit.
    #[must_use]
    pub fn at(&self, load: f64) -> f64 {
        self.base() + self.per_request() * load
    }

    /// Standard deviation of a step's use about [`Self::at`], with what is not known of the mean.
    #[must_use]
    pub fn spread(&self, load: f64) -> f64 {
        let unsure = 1.0 + 2.0 / self.error[1].max(1.0);
        self.scale() * unsure.sqrt() * (load + IDLE * self.load)
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.float(self.load);
        let sums = self.split.iter().chain(&self.level).chain(&self.error);
        sums.for_each(|x| to.float(*x));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            load: from.sound()?,
            split: from.array()?,
            level: from.array()?,
            error: from.array()?,
        })
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A day of a wave between half and one and a half of `load`, with a little noise.
    fn day(load: f64, base: f64, cost: f64, noise: f64) -> Vec<Observed> {
        (0..1440)
            .map(|i| {
                let wave = 1.0 + 0.5 * libm::sin(f64::from(i) / 1440.0 * std::f64::consts::TAU);
                let jitter = 1.0 + noise * libm::sin(f64::from(i) * 12.9898);
                let load = load * wave;
                Observed {
                    load,
                    used: (base + cost * load) * jitter,
                    capacity: None,
                }
            })
            .collect()
    }

    fn learned(steps: &[Observed]) -> Cost {
        let mut cost = Cost::default();
        cost.learn(steps, 60.0);
        cost
    }

    fn near(got: f64, wanted: f64, part: f64) -> bool {
        (got - wanted).abs() <= part * wanted
    }

    #[test]
    fn cost_and_base_are_told_apart() {
        let cost = learned(&day(200.0, 1.5, 0.01, 0.03));
        assert!(near(cost.per_request(), 0.01, 0.05), "{cost:?}");
        assert!(near(cost.base(), 1.5, 0.1), "{}", cost.base());
        assert!(near(cost.at(400.0), 5.5, 0.03), "{}", cost.at(400.0));
    }

    #[test]
    fn memory_that_does_not_follow_load_is_all_base() {
        let cost = learned(&day(200.0, 4e9, 0.0, 0.01));
        assert!(near(cost.at(1000.0), 4e9, 0.05), "{}", cost.at(1000.0));
    }

    #[test]
    fn one_absurd_sample_moves_nothing_that_matters() {
        let mut steps = day(200.0, 0.0, 0.01, 0.03);
        steps[700].used = 1e6;
        steps[900].used = 0.0;
        let cost = learned(&steps);
        assert!(near(cost.at(300.0), 3.0, 0.05), "{}", cost.at(300.0));
    }

    #[test]
    fn a_starved_service_does_not_look_cheap() {
        let mut steps = day(200.0, 0.0, 0.01, 0.02);
        for step in &mut steps[1200..] {
            step.used *= 0.4;
            step.capacity = Some(step.used);
        }
        let cost = learned(&steps);
        assert!(near(cost.at(300.0), 3.0, 0.05), "{}", cost.at(300.0));
    }

    #[test]
    fn a_deployment_that_makes_requests_dearer_is_known_within_hours() {
        let mut steps = day(200.0, 0.0, 0.01, 0.02);
        for step in &mut steps[1200..] {
            step.used *= 1.5;
        }
        let cost = learned(&steps);
        assert!(near(cost.at(200.0), 3.0, 0.1), "{}", cost.at(200.0));
    }

    #[test]
    fn a_load_that_never_varies_has_no_base() {
        let flat: Vec<Observed> = day(200.0, 1.0, 0.01, 0.02)
            .into_iter()
            .map(|s| Observed {
                load: 200.0,
                used: 3.0 * (s.used / (1.0 + 0.01 * s.load)),
                capacity: None,
            })
            .collect();
        let cost = learned(&flat);
        assert!(near(cost.at(400.0), 6.0, 0.1), "{}", cost.at(400.0));
    }

    #[test]
    fn little_evidence_is_wide_and_much_is_narrow() {
        let few = learned(&day(200.0, 0.0, 0.01, 0.05)[..3]);
        let many = learned(&day(200.0, 0.0, 0.01, 0.05));
        assert!(few.spread(200.0) > 0.0 && many.spread(200.0) > 0.0);
        assert!(
            near(many.spread(200.0), 0.05 * 2.0 / 1.41, 0.3),
            "{}",
            many.spread(200.0)
        );
    }

    proptest! {
        #[test]
        fn nothing_is_ever_negative_or_no_number(
            steps in proptest::collection::vec((0.0..1e9_f64, 0.0..1e12_f64, proptest::option::of(0.0..1e12_f64)), 1..60),
            load in 0.0..1e9_f64,
        ) {
            let steps: Vec<Observed> = steps.into_iter().map(|(load, used, capacity)| Observed { load, used, capacity }).collect();
            let cost = learned(&steps);
            prop_assert!(cost.base() >= 0.0 && cost.per_request() >= 0.0 && cost.spread(load) >= 0.0);
            prop_assert!(cost.at(load).is_finite() && cost.spread(load).is_finite());
        }

        #[test]
        fn units_do_not_matter(load in 0.1..1e4_f64, base in 0.0..2.0_f64, unit in 0.001..1e6_f64) {
            let plain = learned(&day(load, base * load, 1.0, 0.05));
            let mut scaled = day(load, base * load, 1.0, 0.05);
            scaled.iter_mut().for_each(|s| s.used *= unit);
            prop_assert!(near(learned(&scaled).at(2.0 * load), unit * plain.at(2.0 * load), 1e-6));
        }
    }
}
