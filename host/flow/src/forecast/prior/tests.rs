//! What a cold start promises: the level is the series' own, the day its category's, and whoever
//! has days of its own, or no peers, is left alone.

use super::*;
use crate::baseline::LastValue;
use crate::fake;
use crate::forecast::{Input, Target, Tracks, fit, run};
use std::sync::Arc;
use tidegate_core::catalog::{Catalog, Versioned};
use tidegate_core::distribution::Distribution;
use tidegate_core::ids::{Digest, Generation};
use tidegate_core::module::ModuleRef;
use tidegate_core::ports::storage::{Completion, History, SeriesState, Watermark};
use tidegate_core::roster::{Member, Retreat, Roster, Served};
use tidegate_core::sample::SampleBatch;
use tidegate_core::time::Step;

/// Quarters of an hour, from a Monday on.
const STEP: u32 = 900;
const BINS: i64 = 96;
const MONDAY: i64 = 4 * 86_400;

/// Apis by name, each with its values from the first step on.
struct Past(BTreeMap<String, Vec<f64>>);

impl History for Past {
    fn append(&self, _batch: SampleBatch, _done: Completion) {}

    fn column(&self, key: &SeriesKey, grid: Grid) -> Result<Column, StoreError> {
        let series = &self.0[&key.api.to_string()];
        let value = |i: usize| {
            let n = (grid.at(i).secs() - MONDAY) / i64::from(STEP);
            let n = usize::try_from(n).unwrap_or(usize::MAX);
            series.get(n).copied().unwrap_or(f64::NAN)
        };
        Ok(Column {
            signal: key.signal,
            start: grid.start,
            step: grid.step,
            values: (0..grid.count).map(value).collect(),
        })
    }

    fn distributions(
        &self,
        _: &ApiId,
        grid: Grid,
    ) -> Result<Vec<Option<Distribution>>, StoreError> {
        Ok(vec![None; grid.count])
    }

    fn series(&self) -> Vec<SeriesKey> {
        vec![]
    }

    fn newest(&self, key: &SeriesKey) -> Option<Timestamp> {
        let n = self.0.get(&key.api.to_string())?.len() as i64;
        Some(Timestamp::from_secs(MONDAY + n * i64::from(STEP)))
    }

    fn watermark(&self) -> Watermark {
        Watermark::default()
    }
}

/// A day with one hump, around 1, at a level; nothing before `from`.
fn humps(level: f64, from: i64, to: i64) -> Vec<f64> {
    let value = |n: i64| {
        let x = (n % BINS) as f64 / BINS as f64;
        level * (1.0 + 6.0 * x * (1.0 - x) - 1.0) * 1.0 + level * 0.2
    };
    (0..to)
        .map(|n| if n < from { f64::NAN } else { value(n) })
        .collect()
}

struct World {
    history: Past,
    catalog: Catalog,
}

fn world(series: &[(&str, &str, Vec<f64>)]) -> World {
    let mut catalog = Catalog::default();
    for (id, category, _) in series {
        let mut api = fake::api(id);
        api.category = (*category).into();
        let generation = Generation(1);
        let value = Versioned {
            generation,
            value: api,
        };
        catalog.apis.insert(id.parse().unwrap(), value);
    }
    let all = series
        .iter()
        .map(|(id, _, v)| ((*id).to_owned(), v.clone()));
    World {
        history: Past(all.collect()),
        catalog,
    }
}

fn key(id: &str) -> SeriesKey {
    SeriesKey {
        api: id.parse().unwrap(),
        signal: Signal::Requests,
    }
}

impl World {
    fn extended(&self, id: &str) -> Option<Extended> {
        let (key, member) = (key(id), member());
        let keys = [key.clone()];
        let input = self.input(&keys, &member);
        let end = self.history.newest(&key).unwrap();
        let grid = Grid::ending_at(end, input.step, input.window);
        let own = self.history.column(&key, grid).unwrap().trimmed();
        Priors::default().extend(&input, &key, &own).unwrap()
    }

    fn input<'a>(
        &'a self,
        keys: &'a [SeriesKey],
        member: &'a Member<dyn tidegate_core::policy::Forecaster>,
    ) -> FitInput<'a> {
        FitInput {
            now: Timestamp(i64::MAX / 4),
            seed: 0,
            step: Step::from_secs(STEP).unwrap(),
            window: 14 * BINS as usize,
            keys,
            member,
            base: &[],
            reach: BINS as u32,
            history: &self.history,
            catalog: &self.catalog,
        }
    }
}

fn member() -> Member<dyn tidegate_core::policy::Forecaster> {
    Member {
        module: ModuleRef::native("last-value"),
        binding: None,
        retreat: Retreat::Active,
        config: "{}".into(),
        policy: Arc::new(LastValue),
    }
}

#[test]
fn a_new_series_gets_its_categorys_day_at_its_own_level() {
    let days = 10 * BINS;
    let world = world(&[
        ("shop/a", "web", humps(100.0, 0, days)),
        ("shop/b", "web", humps(7.0, 0, days)),
        // From 06:00 to 12:00 of the last day.
        ("shop/new", "web", humps(3000.0, days - 72, days - 48)),
    ]);
    let extended = world.extended("shop/new").unwrap();
    let should = humps(3000.0, 0, days);
    let first = days as usize - 72 - extended.rows;
    assert_eq!(extended.rows, PAST_DAYS * BINS as usize);
    for (i, value) in extended.column.values.iter().enumerate() {
        let should = should[first + i];
        assert!(
            (value - should).abs() < 0.05 * 3000.0,
            "{i}: {value} {should}"
        );
    }
    let text = extended.prior.to_string();
    assert_eq!(
        text,
        "cold start: profile of category web from 2 apis, 6.0 h of own data"
    );
}

#[test]
fn who_has_two_days_or_no_peers_is_left_alone() {
    let days = 10 * BINS;
    let world = world(&[
        ("shop/a", "web", humps(100.0, 0, days)),
        ("shop/old", "web", humps(5.0, days - 2 * BINS, days)),
        ("shop/other", "batch", humps(5.0, days - 8, days)),
        ("bank/other", "web", humps(5.0, days - 8, days)),
        ("shop/tiny", "web", humps(5.0, days - 2, days)),
    ]);
    for id in ["shop/old", "shop/other", "bank/other", "shop/tiny"] {
        assert!(world.extended(id).is_none(), "{id}");
    }
}

#[test]
fn a_series_that_contradicts_its_category_gets_a_flat_past() {
    let days = 10 * BINS;
    let mut against = humps(100.0, days - BINS, days);
    // Highest where the category is lowest.
    for value in &mut against {
        *value = 200.0 - *value;
    }
    let world = world(&[
        ("shop/a", "web", humps(100.0, 0, days)),
        ("shop/b", "web", humps(50.0, 0, days)),
        ("shop/new", "web", against),
    ]);
    let extended = world.extended("shop/new").unwrap();
    let past = &extended.column.values[..extended.rows];
    let (low, high) = past.iter().fold((f64::MAX, 0.0), |(l, h): (f64, f64), v| {
        (l.min(*v), h.max(*v))
    });
    assert!(high - low < 0.05 * high, "{low} to {high}");
}

#[test]
fn peers_that_never_had_load_make_no_prior_and_no_nonsense() {
    let days = 10 * BINS;
    let silent = vec![0.0; days as usize];
    let world = world(&[
        ("shop/a", "web", silent.clone()),
        ("shop/b", "web", silent),
        ("shop/new", "web", humps(9.0, days - 8, days)),
        ("shop/zero", "cron", vec![0.0; 8]),
        ("shop/c", "cron", humps(9.0, 0, days)),
    ]);
    assert!(world.extended("shop/new").is_none());
    assert!(world.extended("shop/zero").is_none());
}

#[test]
fn a_past_scales_with_its_series_bit_for_bit() {
    let days = 10 * BINS;
    let of = |factor: f64| {
        let scaled = |v: Vec<f64>| v.into_iter().map(|x| x * factor).collect();
        let world = world(&[
            ("shop/a", "web", humps(100.0, 0, days)),
            ("shop/new", "web", scaled(humps(3.0, days - 30, days))),
        ]);
        world.extended("shop/new").unwrap().column.values
    };
    let double: Vec<f64> = of(1.0).into_iter().map(|v| v * 1024.0).collect();
    assert_eq!(of(1024.0), double);
}

#[test]
fn a_fit_tells_of_its_cold_starts_and_has_seen_no_more_than_was_measured() {
    let days = 10 * BINS;
    let world = world(&[
        ("shop/a", "web", humps(100.0, 0, days)),
        ("shop/new", "web", humps(3.0, days - 30, days)),
    ]);
    let (keys, member) = ([key("shop/a"), key("shop/new")], member());
    let output = fit(&world.input(&keys, &member)).unwrap();
    let young = output.states.iter().filter(|s| s.prior.is_some());
    let told: Vec<_> = young.map(|s| s.key.clone()).collect();
    assert_eq!(told, [keys[1].clone()]);
    let end = world.history.newest(&keys[1]).unwrap();
    assert!(output.states.iter().all(|s| s.seen == end));
    assert_eq!(output.states.len(), 2);
}

/// A forecast of one step that claims 90 to 120 around 100.
fn claimed() -> Forecast {
    Forecast {
        key: key("shop/new"),
        grid: Grid {
            start: Timestamp(0),
            step: Step::MINUTE,
            count: 1,
        },
        levels: vec![Level::new(1_000).unwrap(), Level::P50, Level::P90],
        mean: vec![102.0],
        quantiles: vec![90.0, 100.0, 120.0],
        served: Served {
            module: ModuleRef::native("test"),
            retreat: Retreat::Active,
        },
        state: Digest([0; 32]),
        calibration: None,
    }
}

#[test]
fn the_less_of_its_own_a_series_had_the_wider_is_what_rests_on_others() {
    let widened = |own_s| {
        let mut forecast = claimed();
        let prior = Prior {
            category: "web".into(),
            peers: 3,
            own_s,
        };
        widen(&mut forecast, &prior);
        forecast
    };
    // Sixteen hours: twice the variance.
    let q = widened(16 * 3_600).quantiles;
    assert!((q[2] - 100.0 - 20.0 * 2f64.sqrt()).abs() < 1e-9, "{q:?}");
    assert!((100.0 - q[0] - 10.0 * 2f64.sqrt()).abs() < 1e-9, "{q:?}");
    // Two hours: three times as wide; the centre and the mean stay.
    let (two, none) = (widened(7_200), widened(0));
    assert!((two.mean[0] - claimed().mean[0]).abs() < 1e-12);
    assert!((two.quantiles[2] - 160.0).abs() < 1e-9 && (two.quantiles[1] - 100.0).abs() < 1e-9);
    // Whatever is known, it has an end, and no load is below nothing.
    assert!((none.quantiles[2] - 180.0).abs() < 1e-9, "{none:?}");
    assert!(none.quantiles.iter().all(|q| *q >= 0.0));
}

#[test]
fn a_forecast_that_rests_on_a_prior_goes_out_wider_than_the_module_answered() {
    let days = 10 * BINS;
    let world = world(&[
        ("shop/a", "web", humps(100.0, 0, days)),
        ("shop/new", "web", humps(3.0, days - 30, days)),
    ]);
    let (keys, member) = ([key("shop/new")], member());
    let fitted = fit(&world.input(&keys, &member)).unwrap().states.remove(0);
    let asked = |prior: Option<Prior>| {
        let mut bank = crate::forecast::Bank::default();
        bank.put(SeriesState {
            prior,
            ..fitted.clone()
        });
        let targets = [Target {
            key: keys[0].clone(),
            roster: Roster::of(vec![member.clone()]),
        }];
        let mut output = run(&Input {
            now: fitted.seen,
            seed: 0,
            step: Step::from_secs(STEP).unwrap(),
            steps: 4,
            levels: &Level::STANDARD,
            targets: &targets,
            bank: &bank,
            tracks: &Tracks::default(),
            choices: &BTreeMap::new(),
            lanes: 1,
            reuse: None,
            history: &world.history,
            catalog: &world.catalog,
        })
        .unwrap();
        let forecast = output.forecasts.remove(&keys[0]).unwrap();
        forecast.quantile(0, Level::P90) - forecast.quantile(0, Level::P50)
    };
    let (with, without) = (asked(fitted.prior.clone()), asked(None));
    assert!(with > 1.5 * without && without > 0.0, "{with} {without}");
}
