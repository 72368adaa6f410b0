//! The room as a whole: forecasts and what was learned go in, demand comes out.

use super::*;
use crate::fake::{self, Rates};
use tidegate_core::catalog::Pool;
use tidegate_core::time::Step;
use tidegate_core::units::Resources;

const NOW: Timestamp = Timestamp(60 * 60_000);

fn pool(dimension: Dimension) -> Pool {
    Pool {
        id: "edge".parse().unwrap(),
        ready: Resources::NONE.with(dimension, 100.0),
        max: Resources::NONE,
        min: Resources::NONE,
        lead_time_s: 0,
        unit_cost: Resources::NONE,
        quotas: BTreeMap::new(),
    }
}

/// What is known after an hour of these requests/s and cores.
fn learned(requests: f64, cores: f64) -> Learned {
    let mut rates = Rates::default();
    rates.feed(Signal::Requests, 0..60, requests);
    rates.feed(Signal::Cpu, 0..60, cores);
    let mut learned = Learned::default();
    let look = Look {
        now: NOW,
        step: Step::MINUTE,
        api: &fake::api("shop/orders"),
        pool: &pool(Dimension::Cpu),
        last: None,
        granted: &[],
        target: 0.85,
        tolerance: 0.01,
    };
    learned.advance(&rates, &look, &[]).unwrap();
    learned
}

fn forecast(signal: Signal, values: &[f64]) -> Forecast {
    use tidegate_core::ids::Digest;
    use tidegate_core::module::ModuleRef;
    use tidegate_core::roster::{Retreat, Served};
    Forecast {
        key: SeriesKey {
            api: "shop/orders".parse().unwrap(),
            signal,
        },
        grid: grid(values.len()),
        levels: vec![Level::P50],
        mean: values.to_vec(),
        quantiles: values.to_vec(),
        served: Served {
            module: ModuleRef::native("test"),
            retreat: Retreat::Active,
        },
        state: Digest::of(b""),
        calibration: None,
    }
}

fn grid(count: usize) -> Grid {
    Grid {
        start: NOW,
        step: Step::MINUTE,
        count,
    }
}

/// Demand for cores at the median of these forecasts, with full use of the grant as the aim.
fn needs(forecasts: &[Forecast], learned: &Learned, steps: usize, ahead: usize) -> Output {
    let input = Input {
        now: NOW,
        api: &"shop/orders".parse().unwrap(),
        dimensions: &[Dimension::Cpu],
        forecasts: &forecasts
            .iter()
            .map(|f| (f.key.clone(), f.clone()))
            .collect(),
        learned,
        level: Level::P50,
        buy_level: Level::P50,
        insured: Level::P50,
        grid: grid(steps),
        ahead,
        expected: None,
        promised: &[],
        unknown: &[9.0],
        settings: Settings {
            target_utilisation: 1.0,
            ..Settings::default()
        },
    };
    run(&input).unwrap()
}

#[test]
fn without_forecasts_what_is_used_is_what_is_needed() {
    let output = needs(&[], &learned(10.0, 3.0), 2, 1);
    assert_eq!((output.demand, output.usage), (vec![3.0, 3.0], vec![3.0]));
    let later = Input {
        now: NOW.plus_ms(7 * 3_600_000),
        api: &"shop/orders".parse().unwrap(),
        dimensions: &[Dimension::Cpu],
        forecasts: &BTreeMap::new(),
        learned: &learned(10.0, 3.0),
        level: Level::P50,
        buy_level: Level::P50,
        insured: Level::P50,
        grid: grid(1),
        ahead: 0,
        expected: None,
        promised: &[],
        unknown: &[9.0],
        settings: Settings::default(),
    };
    assert_eq!(
        run(&later).unwrap().demand,
        [9.0],
        "what is six hours old is not known"
    );
}

#[test]
fn a_peak_is_asked_for_its_lead_ahead_and_kept_until_it_is_over() {
    let foreseen = forecast(Signal::Cpu, &[1.0, 1.0, 1.0, 8.0, 1.0, 1.0]);
    let output = needs(&[foreseen], &Learned::default(), 6, 2);
    assert_eq!(output.demand, [1.0, 8.0, 8.0, 8.0, 1.0, 1.0]);
    assert_eq!(output.median, [1.0, 1.0, 1.0, 8.0, 1.0, 1.0]);
}

#[test]
fn a_lead_time_longer_than_the_plan_still_meets_the_peak() {
    let foreseen = forecast(Signal::Cpu, &[1.0, 1.0, 1.0, 1.0, 1.0, 8.0]);
    let output = needs(&[foreseen], &Learned::default(), 2, 5);
    assert_eq!(output.demand, [8.0, 8.0]);
    assert_eq!(output.median, [1.0, 1.0]);
}

#[test]
fn requests_cost_what_they_cost_before() {
    let output = needs(
        &[forecast(Signal::Requests, &[10.0, 40.0])],
        &learned(10.0, 1.0),
        2,
        0,
    );
    let near = |got: f64, wanted: f64| (got / wanted - 1.0).abs() < 1e-6;
    assert!(
        near(output.demand[0], 1.0) && near(output.demand[1], 4.0),
        "{:?}",
        output.demand
    );
    assert!(
        output.reasons[0].starts_with("cpu costs 0.1 cores per request/s"),
        "{:?}",
        output.reasons
    );
}

#[test]
fn until_they_were_compared_the_higher_of_two_forecasts_is_met() {
    let both = [
        forecast(Signal::Requests, &[10.0, 10.0, 10.0]),
        forecast(Signal::Cpu, &[2.0, 0.5, 2.0]),
    ];
    let output = needs(&both, &learned(10.0, 1.0), 2, 0);
    assert!((output.demand[0] - 2.0).abs() < 1e-9 && (output.demand[1] - 1.0).abs() < 1e-6);
    assert_eq!(output.promises.len(), 1);
    assert_eq!(output.promises[0].1.target, grid(2).at(1));
}

#[test]
fn an_absurd_sample_does_not_make_the_sum_of_needs_infinite() {
    let absurd = forecast(Signal::Cpu, &[f64::MAX; 2]);
    let output = needs(&[absurd], &Learned::default(), 2, 0);
    let all = [&output.demand, &output.median, &output.expected].map(|v| v[0]);
    assert!(all.iter().all(|v| (*v * 1e6).is_finite()), "{all:?}");
}

#[test]
fn what_nobody_has_measured_is_not_zero() {
    let input = Input {
        now: NOW,
        api: &"shop/orders".parse().unwrap(),
        dimensions: &[Dimension::Cpu, Dimension::Memory],
        forecasts: &BTreeMap::new(),
        learned: &Learned::default(),
        level: Level::P90,
        buy_level: Level::P90,
        insured: Level::P90,
        grid: grid(1),
        ahead: 0,
        expected: Some(10.0),
        promised: &[],
        unknown: &[2.0, 3.0],
        settings: Settings::default(),
    };
    let output = run(&input).unwrap();
    assert_eq!(output.demand, [2.0, 3.0]);
    assert_eq!(output.usage, [0.0, 0.0]);
}

#[test]
fn a_declared_uplift_is_met_although_no_forecast_knows_of_it() {
    let input = Input {
        now: NOW,
        api: &"shop/orders".parse().unwrap(),
        dimensions: &[Dimension::Cpu],
        forecasts: &BTreeMap::new(),
        learned: &learned(100.0, 1.0),
        level: Level::P50,
        buy_level: Level::P50,
        insured: Level::P50,
        grid: grid(4),
        ahead: 1,
        expected: Some(100.0),
        promised: &[0.0, 0.0, 300.0, 0.0],
        unknown: &[0.0],
        settings: Settings {
            target_utilisation: 1.0,
            ..Settings::default()
        },
    };
    let output = run(&input).unwrap();
    // Three cores for 300 requests/s, one step ahead of the event.
    let wanted = [1.0, 3.0, 3.0, 1.0];
    let near = output
        .demand
        .iter()
        .zip(wanted)
        .all(|(got, want)| (got - want).abs() < 1e-6);
    assert!(near, "{:?}", output.demand);
}

#[test]
fn an_uncertain_cost_widens_what_the_higher_tiers_buy() {
    let mut rates = Rates::default();
    rates.feed(Signal::Requests, 0..60, 100.0);
    for minute in 0..60 {
        let cores = if minute % 2 == 0 { 0.8 } else { 1.2 };
        rates.feed(Signal::Cpu, minute..minute + 1, cores);
    }
    let mut unsure = Learned::default();
    let look = Look {
        now: NOW,
        step: Step::MINUTE,
        api: &fake::api("shop/orders"),
        pool: &pool(Dimension::Cpu),
        last: None,
        granted: &[],
        target: 0.85,
        tolerance: 0.01,
    };
    unsure.advance(&rates, &look, &[]).unwrap();
    let at = |learned: &Learned, level: Level| {
        let foreseen = forecast(Signal::Requests, &[100.0]);
        let input = Input {
            now: NOW,
            api: &"shop/orders".parse().unwrap(),
            dimensions: &[Dimension::Cpu],
            forecasts: &[(foreseen.key.clone(), foreseen)].into(),
            learned,
            level,
            buy_level: level,
            insured: level,
            grid: grid(1),
            ahead: 0,
            expected: None,
            promised: &[],
            unknown: &[9.0],
            settings: Settings::default(),
        };
        run(&input).unwrap().demand[0]
    };
    let sure = learned(100.0, 1.0);
    assert!(at(&unsure, Level::P99) - at(&unsure, Level::P50) > 0.3);
    assert!(at(&sure, Level::P99) - at(&sure, Level::P50) < 0.1);
}

#[test]
fn the_normal_quantile_is_the_tables() {
    for (level, z) in [(9000, 1.281_55), (9900, 2.326_35), (2500, -0.674_49)] {
        let level = Level::new(level).unwrap();
        assert!((normal_quantile(level) - z).abs() < 1e-5);
    }
}

#[test]
fn what_was_learned_comes_back_from_a_record_and_damaged_bytes_are_nothing_known() {
    let mut known = learned(10.0, 1.0);
    let both = [
        forecast(Signal::Requests, &[10.0, 10.0, 10.0]),
        forecast(Signal::Cpu, &[2.0, 0.5, 2.0]),
    ];
    needs(&both, &known, 2, 0).promise(&mut known);
    let blob = known.blob();
    assert_eq!(Learned::of(&blob), known);
    for cut in 0..blob.bytes.len() {
        let mut short = blob.clone();
        short.bytes.truncate(cut);
        assert_eq!(Learned::of(&short), Learned::default(), "cut at {cut}");
    }
    let other = tidegate_core::policy::Blob {
        format: blob.format + 1,
        ..blob
    };
    assert_eq!(Learned::of(&other), Learned::default());
}

#[test]
fn where_nobody_can_buy_a_tier_claims_no_headroom_against_what_its_quantile_leaves_out() {
    let settings = Settings::default();
    let fixed = pool(Dimension::Cpu);
    let shrinks = Pool {
        min: Resources::NONE.with(Dimension::Cpu, 1.0),
        ..fixed.clone()
    };
    let levels = [Level::P99, Level::P90, Level::P50];
    let near = |got: f64, want: f64| (got - want).abs() < 1e-12;
    for (level, want) in levels.into_iter().zip([0.01, 0.01, 0.25]) {
        assert!(near(settings.tolerance(&fixed, level), want), "{level:?}");
        let bought = settings.tolerance(&shrinks, level);
        assert!(near(bought, settings.step_tolerance), "{level:?}");
    }
}
