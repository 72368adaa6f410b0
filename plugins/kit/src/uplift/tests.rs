//! Events around a base that is simple enough to know what it would say: a mean by hour.

use proptest::prelude::*;

use super::worth::widened;
use super::*;
use crate::check_lawful;

const LEVELS: [u16; 5] = [250, 1000, 5000, 9000, 9750];
const DAY: usize = 24;

/// The mean of each hour, with an interval of 10 % around it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ByHour {
    hours: Vec<f64>,
    clock: u64,
}

impl Base for ByHour {
    const FORMAT: u32 = 7;

    fn update(&mut self, values: &[f64]) {
        for v in values {
            let hour = (self.clock % DAY as u64) as usize;
            if v.is_finite() {
                self.hours[hour] += 0.25 * (v - self.hours[hour]);
            }
            self.clock += 1;
        }
    }

    fn predict(&self, horizon: usize, levels: &[u16], _: u64) -> Result<Prediction, ModelError> {
        let shape = Shape::new(horizon, levels)?;
        let mean: Vec<f64> = (0..horizon as u64)
            .map(|h| self.hours[((self.clock + h) % DAY as u64) as usize])
            .collect();
        let quantiles = mean
            .iter()
            .flat_map(|m| {
                let of = |p: &f64| m * (1.0 + 0.1 * crate::normal_quantile(*p));
                shape.probabilities.iter().map(of).collect::<Vec<_>>()
            })
            .collect();
        Prediction::lawful(&shape, mean, quantiles)
    }

    fn is_sound(&self) -> bool {
        self.hours.len() == DAY && self.hours.iter().all(|v| v.is_finite())
    }
}

fn by_hour(series: &Series<'_>) -> Result<ByHour, ModelError> {
    series.validate(3)?;
    let mean = |hour: usize| {
        let seen = series.values.iter().skip(hour).step_by(DAY);
        let seen: Vec<f64> = seen.copied().filter(|v| v.is_finite()).collect();
        seen.iter().sum::<f64>() / seen.len().max(1) as f64
    };
    Ok(ByHour {
        hours: (0..DAY).map(mean).collect(),
        clock: series.values.len() as u64,
    })
}

/// Days that begin at hour 0, so that an index is a phase.
fn series(values: &[f64]) -> Series<'_> {
    Series {
        values,
        start_ms: 0,
        step_s: 3600,
        periods: &[24],
    }
}

fn ordinary(t: usize) -> f64 {
    if (8..20).contains(&(t % DAY)) {
        200.0
    } else {
        50.0
    }
}

/// Four hours from ten o'clock on the given days.
fn column(rows: std::ops::Range<usize>, days: &[usize]) -> Vec<f64> {
    let on = |t: usize| days.contains(&(t / DAY)) && (10..14).contains(&(t % DAY));
    rows.map(|t| f64::from(u8::from(on(t)))).collect()
}

fn noise(t: usize, seed: u64) -> f64 {
    1.0 + 0.03 * crate::Stream::new(seed * 100_000 + t as u64).normal()
}

#[test]
fn a_campaign_seen_twice_is_foreseen_the_third_time_and_leaves_ordinary_days_alone() {
    let n = 14 * DAY;
    let sale = column(0..n, &[4, 9]);
    let y: Vec<f64> = (0..n)
        .map(|t| ordinary(t) * noise(t, 1) * if sale[t] > 0.0 { 2.5 } else { 1.0 })
        .collect();
    let known = Covariates::new(vec![("event:sale", &sale)]);
    let state = Uplifted::fit(&series(&y), &known, by_hour).unwrap();
    let (factor, sd) = state.factor("sale").unwrap();
    assert!((factor - 2.4).abs() < 0.2, "{factor}");
    assert!((0.05..0.4).contains(&sd), "{sd}");

    // Tomorrow there is one, the day after there is none.
    let next = column(n..n + 2 * DAY, &[14]);
    let known = Covariates::new(vec![("event:sale", &next)]);
    let p = state.predict_with(2 * DAY, &LEVELS, 1, &known).unwrap();
    let means = state.predict_with(2 * DAY, &[], 1, &known).unwrap().mean;
    assert_eq!(p.mean, means, "levels are not what moves a mean");
    for h in 10..14 {
        let truth = 2.5 * ordinary(h);
        let q = &p.quantiles[h * 5..h * 5 + 5];
        assert!(q[1] < truth && truth < q[3], "{truth} outside {q:?}");
        assert!((p.mean[h] / truth - 1.0).abs() < 0.1, "{}", p.mean[h]);
        let plain = p.mean[DAY + h];
        assert!((plain / ordinary(h) - 1.0).abs() < 0.05, "{plain}");
    }
}

#[test]
fn without_events_every_bit_is_the_models_own() {
    let y: Vec<f64> = (0..10 * DAY).map(|t| ordinary(t) * noise(t, 2)).collect();
    let silent = vec![0.0; 10 * DAY];
    let known = Covariates::new(vec![("event:sale", &silent), ("minute-of-day", &silent)]);
    let mut state = Uplifted::fit(&series(&y), &known, by_hour).unwrap();
    let mut plain = by_hour(&series(&y)).unwrap();
    state.update_with(&y[..30], &known);
    plain.update(&y[..30]);
    let ours = state.predict_with(30, &LEVELS, 1, &known).unwrap();
    assert_eq!(ours, plain.predict(30, &LEVELS, 1).unwrap());
    assert_eq!(state.base(), &plain);
}

#[test]
fn a_kind_never_seen_widens_the_interval_and_moves_nothing() {
    let y: Vec<f64> = (0..10 * DAY).map(|t| ordinary(t) * noise(t, 3)).collect();
    let state = Uplifted::fit(&series(&y), &Covariates::default(), by_hour).unwrap();
    let next = column(0..DAY, &[0]);
    let known = Covariates::new(vec![("event:launch", &next)]);
    let with = state.predict_with(DAY, &LEVELS, 1, &known).unwrap();
    let without = state.predict(DAY, &LEVELS, 1).unwrap();
    assert_eq!(with.mean, without.mean);
    let width = |p: &Prediction, h: usize| p.quantiles[h * 5 + 4] - p.quantiles[h * 5];
    assert!(width(&with, 11) > 4.0 * width(&without, 11));
    assert_eq!(width(&with, 15).to_bits(), width(&without, 15).to_bits());
}

#[test]
fn two_kinds_that_overlap_are_worth_their_product() {
    let n = 24 * DAY;
    let (a, b) = (
        column(0..n, &[3, 8, 13, 16]),
        column(0..n, &[5, 11, 13, 16]),
    );
    let y: Vec<f64> = (0..n)
        .map(|t| {
            let worth = 1.0f64.max(2.0 * a[t]) * 1.0f64.max(1.5 * b[t]);
            ordinary(t) * noise(t, 4) * worth
        })
        .collect();
    let known = Covariates::new(vec![("event:b", &b), ("event:a", &a)]);
    let state = Uplifted::fit(&series(&y), &known, by_hour).unwrap();
    let (fa, fb) = (state.factor("a").unwrap().0, state.factor("b").unwrap().0);
    assert!(
        (fa - 2.0).abs() < 0.15 && (fb - 1.5).abs() < 0.12,
        "{fa} {fb}"
    );
    let both = column(0..DAY, &[0]);
    let known = Covariates::new(vec![("event:a", &both), ("event:b", &both)]);
    let p = state.predict_with(DAY, &LEVELS, 1, &known).unwrap();
    assert!((p.mean[12] / 600.0 - 1.0).abs() < 0.1, "{}", p.mean[12]);
}

#[test]
fn a_job_that_runs_while_nothing_else_does_is_worth_an_amount() {
    let n = 14 * DAY;
    let job = column(0..n, &[2, 6, 10]);
    // Silence from ten to two, but for the job.
    let y: Vec<f64> = (0..n)
        .map(|t| match t % DAY {
            10..14 => 300.0 * job[t],
            _ => ordinary(t),
        })
        .collect();
    let known = Covariates::new(vec![("event:job", &job)]);
    let state = Uplifted::fit(&series(&y), &known, by_hour).unwrap();
    assert_eq!(state.factor("job"), None);
    let next = column(0..DAY, &[0]);
    let known = Covariates::new(vec![("event:job", &next)]);
    let p = state.predict_with(DAY, &LEVELS, 1, &known).unwrap();
    assert!((p.mean[11] - 300.0).abs() < 40.0, "{}", p.mean[11]);
    assert!(p.quantiles[11 * 5] < 300.0 && 300.0 < p.quantiles[11 * 5 + 4]);
}

#[test]
fn the_rest_of_a_running_event_is_foreseen_from_its_beginning() {
    let n = 10 * DAY;
    let sale = column(0..n, &[2, 5]);
    let y: Vec<f64> = (0..n)
        .map(|t| ordinary(t) * noise(t, 5) * if sale[t] > 0.0 { 1.5 } else { 1.0 })
        .collect();
    let known = Covariates::new(vec![("event:sale", &sale)]);
    let mut state = Uplifted::fit(&series(&y), &known, by_hour).unwrap();
    // This time it is four times the load, and lasts until evening.
    let on = vec![1.0; 8];
    let known = Covariates::new(vec![("event:sale", &on)]);
    state.update(&(0..10).map(ordinary).collect::<Vec<_>>());
    let before = state.predict_with(8, &LEVELS, 1, &known).unwrap();
    state.update_with(&[800.0; 5], &known.rows(0..5));
    let after = state
        .predict_with(3, &LEVELS, 1, &known.rows(0..3))
        .unwrap();
    assert!(before.mean[6] < 400.0, "{}", before.mean[6]);
    assert!(
        (after.mean[1] / 800.0 - 1.0).abs() < 0.15,
        "{}",
        after.mean[1]
    );
    // And it is remembered as one of three.
    state.update(&[200.0, 200.0]);
    let (factor, _) = state.factor("sale").unwrap();
    assert!((1.7..3.0).contains(&factor), "{factor}");
}

#[test]
fn a_kind_that_always_runs_is_what_is_ordinary() {
    let n = 10 * DAY;
    let y: Vec<f64> = (0..n).map(|t| ordinary(t) * noise(t, 6)).collect();
    let on = vec![1.0; n];
    let known = Covariates::new(vec![("event:beta", &on)]);
    let state = Uplifted::fit(&series(&y), &known, by_hour).unwrap();
    let p = state
        .predict_with(DAY, &LEVELS, 1, &known.rows(0..DAY))
        .unwrap();
    assert_eq!(p, state.base().predict(DAY, &LEVELS, 1).unwrap());
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        1 => Just(f64::NAN),
        2 => Just(0.0),
        8 => 0.0f64..100.0,
        1 => prop::sample::select(vec![1e12, 1e-9, 1e300, 5e-320, -50.0]),
    ]
}

/// Runs of an event, of three hours.
fn events(rows: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(prop::bool::weighted(0.3), rows.div_ceil(3))
        .prop_map(move |on| (0..rows).map(|t| f64::from(u8::from(on[t / 3]))).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_was_seen_and_declared_the_answer_is_lawful(
        y in prop::collection::vec(value(), 120), a in events(120), b in events(120),
        more in prop::collection::vec(value(), 30),
    ) {
        let known = Covariates::new(vec![("event:a", &a), ("event:b", &b)]);
        let Ok(mut state) = Uplifted::fit(&series(&y), &known, by_hour) else {
            return Ok(());
        };
        for _ in 0..2 {
            let p = state.predict_with(60, &LEVELS, 1, &known).map_err(|e| e.to_string());
            p.and_then(|p| check_lawful(&p, 60, 5)).map_err(TestCaseError::fail)?;
            state.update_with(&more, &known);
        }
        prop_assert_eq!(Uplifted::decode(&state.encode().unwrap()).unwrap(), state);
    }

    #[test]
    fn a_batch_cut_in_two_is_the_same_batch(
        y in prop::collection::vec(0.5f64..100.0, 60), a in events(60), b in events(60),
        cut in 0usize..60,
    ) {
        let known = Covariates::new(vec![("event:a", &a), ("event:b", &b)]);
        let state = Uplifted::fit(&series(&y), &known, by_hour);
        let Ok(state) = state else { return Ok(()) };
        let (mut once, mut twice) = (state.clone(), state);
        once.update_with(&y, &known);
        twice.update_with(&y[..cut], &known.rows(0..cut));
        twice.update_with(&y[cut..], &known.rows(cut..60));
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn a_power_of_two_in_the_unit_is_the_same_power_in_the_answer(
        y in prop::collection::vec(0.5f64..100.0, 120), a in events(120), b in events(120),
        k in -20i32..40,
    ) {
        let known = Covariates::new(vec![("event:a", &a), ("event:b", &b)]);
        let factor = 2.0f64.powi(k);
        let run = |y: &[f64]| {
            let mut state = Uplifted::fit(&series(y), &known, by_hour)?;
            state.update_with(&y[..50], &known);
            state.predict_with(40, &LEVELS, 1, &known)
        };
        let scaled: Vec<f64> = y.iter().map(|v| v * factor).collect();
        let (Ok(one), Ok(other)) = (run(&y), run(&scaled)) else { return Ok(()) };
        for (a, b) in one.quantiles.iter().chain(&one.mean).zip(other.quantiles.iter().chain(&other.mean)) {
            prop_assert_eq!((a * factor).to_bits(), b.to_bits());
        }
    }

    #[test]
    fn damaged_bytes_never_panic(
        y in prop::collection::vec(0.5f64..100.0, 60), a in events(60),
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let known = Covariates::new(vec![("event:a", &a)]);
        let Ok(state) = Uplifted::fit(&series(&y), &known, by_hour) else { return Ok(()) };
        let mut bytes = state.encode().unwrap();
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(mut state) = Uplifted::<ByHour>::decode(&bytes) {
            state.base.clock %= 1 << 40;
            state.update_with(&[1.0, f64::NAN, 2.0], &known);
            if let Ok(p) = state.predict_with(5, &LEVELS, 1, &known) {
                prop_assert_eq!(check_lawful(&p, 5, 5), Ok(()));
            }
        }
    }

    #[test]
    fn a_distance_widens_outward_and_keeps_its_order(
        d in -5.0f64..5.0, e in 0.0f64..3.0, m in -3.0f64..3.0, n in 0.0f64..2.0,
    ) {
        prop_assert!(widened(d, m) <= widened(d + e, m + n) + 1e-12);
        prop_assert!((widened(d, m) - d) * m >= 0.0);
    }
}
