//! When a forecast of before is used, and when one is made anew.

use super::super::{Bank, FitInput, Input, Output, Reuse, Target, Tracks, fit, run};
use super::*;
use crate::baseline::LastValue;
use crate::fake::{Rates, api};
use proptest::prelude::*;
use tidegate_core::catalog::Versioned;
use tidegate_core::event::Event;
use tidegate_core::ids::Generation;
use tidegate_core::module::ModuleRef;
use tidegate_core::policy::Forecaster;
use tidegate_core::roster::{Member, Retreat, Roster};
use tidegate_core::units::Signal;

const STEPS: u32 = 20;

fn key(name: &str) -> SeriesKey {
    SeriesKey {
        api: name.parse().unwrap(),
        signal: Signal::Requests,
    }
}

fn at(minute: i64) -> Timestamp {
    Timestamp(minute * 60_000)
}

fn member(name: &str, retreat: Retreat) -> Member<dyn Forecaster> {
    Member {
        module: ModuleRef {
            digest: Digest::of(name.as_bytes()),
            ..ModuleRef::native(name)
        },
        binding: None,
        retreat,
        config: "{}".into(),
        policy: Arc::new(LastValue),
    }
}

/// One series as its cycles see it, a minute each.
struct Minutes {
    target: Target,
    cadence: u32,
    bank: Bank,
    held: Held,
    history: Rates,
    catalog: Catalog,
    minute: i64,
}

impl Minutes {
    fn new(name: &str, cadence: u32) -> Self {
        let mut catalog = Catalog::default();
        let value = api(name);
        catalog.apis.insert(value.id.clone(), first(value));
        let members = vec![
            member("bound", Retreat::Active),
            member("base", Retreat::Baseline),
        ];
        let mut minutes = Self {
            target: Target {
                key: key(name),
                roster: Roster::of(members),
            },
            cadence,
            bank: Bank::default(),
            held: Held::default(),
            history: Rates::default(),
            catalog,
            minute: 1000,
        };
        for minute in 0..minutes.minute {
            minutes.feed(minute, usual(minute));
        }
        minutes.fit();
        minutes
    }

    fn feed(&mut self, minute: i64, rate: f64) {
        self.history
            .feed(Signal::Requests, minute..minute + 1, rate);
    }

    fn fit(&mut self) {
        let fitted = fit(&FitInput {
            now: at(self.minute),
            seed: 0,
            step: Step::MINUTE,
            window: 1000,
            keys: std::slice::from_ref(&self.target.key),
            member: &self.target.roster.members[0],
            base: &[],
            reach: STEPS,
            history: &self.history,
            catalog: &self.catalog,
        });
        let states = fitted.unwrap().states;
        states.into_iter().for_each(|s| self.bank.put(s));
    }

    fn ask(&self) -> Output {
        let output = run(&Input {
            now: at(self.minute),
            seed: 0,
            step: Step::MINUTE,
            steps: STEPS,
            levels: &Level::STANDARD,
            targets: std::slice::from_ref(&self.target),
            bank: &self.bank,
            tracks: &Tracks::default(),
            choices: &BTreeMap::new(),
            lanes: 1,
            reuse: Some(Reuse {
                held: &self.held,
                cadence: self.cadence,
            }),
            history: &self.history,
            catalog: &self.catalog,
        });
        output.unwrap()
    }

    /// One cycle: what it foretells, and whether that was made anew.
    fn cycle(&mut self) -> (Forecast, bool) {
        let mut output = self.ask();
        let is_new = !output.made.is_empty();
        output.updates.into_iter().for_each(|s| self.bank.put(s));
        self.held.commit(output.made, 1, |_| true);
        (output.forecasts.remove(&self.target.key).unwrap(), is_new)
    }

    /// A minute comes, and its cycle.
    fn minute(&mut self, rate: f64) -> (Forecast, bool) {
        self.feed(self.minute, rate);
        self.minute += 1;
        self.cycle()
    }

    /// So many usual minutes; how often the series was predicted anew.
    fn usual(&mut self, minutes: i64) -> usize {
        let made = (0..minutes).filter(|_| self.minute(usual(self.minute)).1);
        made.count()
    }

    /// Until the first cycle after the series had its turn.
    fn turn(&mut self) {
        self.cycle();
        while !self.minute(usual(self.minute)).1 {}
    }
}

fn first<T>(value: T) -> Versioned<T> {
    Versioned {
        generation: Generation(1),
        value,
    }
}

/// Some noise around a level.
fn usual(minute: i64) -> f64 {
    100.0 + (minute * 7919 % 101) as f64 / 10.0
}

#[test]
fn a_series_has_its_turn_once_a_cadence_and_every_step_its_share_of_series() {
    for cadence in [5, 30] {
        let mut minutes = Minutes::new("shop/a", cadence);
        let mut quiet = |cadences: u32| {
            let all = 0..cadences * cadence;
            all.filter(|_| minutes.minute(105.0).1).count()
        };
        quiet(4);
        assert_eq!(quiet(4), 4);
        let mut shares = vec![0; cadence as usize];
        for n in 0..1000 {
            shares[since(&format!("shop/a{n}"), cadence) as usize] += 1;
        }
        let fair = 1000 / cadence;
        let is_fair = |n: &u32| (fair / 2..fair * 2).contains(n);
        assert!(shares.iter().all(is_fair), "{shares:?}");
    }
    assert_eq!(Minutes::new("shop/a", 1).usual(20), 20);
}

fn since(name: &str, cadence: u32) -> u32 {
    calibrate::since(calibrate::salt(&key(name)), at(1000), Step::MINUTE, cadence)
}

#[test]
fn promises_are_taken_of_forecasts_that_are_new() {
    for minute in 0..60 {
        let start = at(minute);
        let turn = calibrate::since(calibrate::salt(&key("shop/a")), start, Step::MINUTE, 30) == 0;
        let looks = calibrate::looks(calibrate::salt(&key("shop/a")), start, Step::MINUTE);
        assert!(looks || !turn);
    }
}

#[test]
fn a_forecast_of_before_tells_as_many_steps_and_what_was_said_of_them() {
    let mut minutes = Minutes::new("shop/a", 30);
    minutes.turn();
    let (first, _) = minutes.cycle();
    for age in 1..30 {
        let (later, is_new) = minutes.minute(usual(minutes.minute));
        if is_new {
            break;
        }
        assert_eq!(later.grid.start, first.grid.at(age));
        assert_eq!(later.grid.count, STEPS as usize);
        assert_eq!((later.state, &later.served), (first.state, &first.served));
        let width = Level::STANDARD.len();
        let left = &first.quantiles[age.min(STEPS as usize) * width..];
        assert_eq!(left, &later.quantiles[..left.len()]);
    }
}

#[test]
fn a_burst_is_foretold_anew_with_its_first_step() {
    let mut minutes = Minutes::new("shop/a", 30);
    minutes.turn();
    minutes.usual(3);
    let (_, is_new) = minutes.minute(400.0);
    assert!(is_new);
    assert_eq!(minutes.usual(1), 1, "and anew when it is over");
}

#[test]
fn a_departure_within_the_interval_is_noticed_in_a_handful_of_steps() {
    let mut minutes = Minutes::new("shop/a", 30);
    minutes.turn();
    let (forecast, _) = minutes.cycle();
    let mut high = (0..STEPS as usize).map(|step| forecast.quantile(step, Level::P90));
    let steps = high.position(|rate| minutes.minute(rate).1);
    assert_eq!(steps, Some(6));
}

#[test]
fn a_new_fit_answers_at_once() {
    let mut minutes = Minutes::new("shop/a", 30);
    minutes.turn();
    minutes.fit();
    assert!(minutes.cycle().1);
    assert!(!minutes.cycle().1);
}

#[test]
fn another_module_answers_at_once_and_its_predecessor_no_more() {
    let mut minutes = Minutes::new("shop/a", 30);
    minutes.turn();
    minutes.target.roster = Roster::of(vec![
        member("other", Retreat::Active),
        minutes.target.roster.members[1].clone(),
    ]);
    let (forecast, is_new) = minutes.cycle();
    assert!(is_new);
    assert_eq!(
        forecast.served.retreat,
        Retreat::Baseline,
        "it has no state yet"
    );
    minutes.fit();
    let (forecast, is_new) = minutes.cycle();
    assert_eq!((forecast.served.retreat, is_new), (Retreat::Active, true));
}

#[test]
fn an_event_is_foretold_at_once_by_whom_it_touches() {
    let mut minutes = Minutes::new("shop/a", 30);
    minutes.turn();
    let mut declare = |id: &str, minute: i64| {
        let event = Event::once(id.parse().unwrap(), "sale", at(minute), 600);
        minutes
            .catalog
            .events
            .insert(event.id.clone(), first(event));
        minutes.cycle().1
    };
    assert!(!declare("bank/b", 1010), "another tenant's");
    assert!(!declare("shop/far", 9000), "beyond what is foreseen");
    let soon = 1040;
    assert!(declare("shop/soon", soon));
    assert!(!minutes.cycle().1);
}

#[test]
fn nothing_is_used_of_a_forecast_from_a_clock_that_was_set_back() {
    let mut minutes = Minutes::new("shop/a", 30);
    minutes.turn();
    minutes.minute -= 10;
    assert!(minutes.cycle().1);
}

#[test]
fn few_series_are_predicted_every_step_and_many_are_spread() {
    let refresh = Refresh {
        series_per_step: 100,
        longest: 32,
    };
    let cadence = |n, step| refresh.cadence(n, Step::from_secs(step).unwrap());
    assert_eq!([0, 1, 100].map(|n| cadence(n, 60)), [1, 1, 1]);
    assert_eq!(
        [101, 500, 501, 3000, 1_000_000].map(|n| cadence(n, 60)),
        [5, 5, 10, 30, 30]
    );
    assert_eq!([101, 1_000_000].map(|n| cadence(n, 600)), [2, 32]);
    let never = Refresh {
        longest: 1,
        ..refresh
    };
    assert_eq!(never.cadence(1_000_000, Step::MINUTE), 1);
}

proptest! {
    #[test]
    fn what_is_kept_comes_back_to_a_code_and_rises_with_the_level(
        rows in proptest::collection::vec((0.0..1e300_f64, proptest::collection::vec(0.0..1e300_f64, 9)), 1..40),
    ) {
        let mut quantiles = vec![];
        for (_, row) in &rows {
            let mut row = row.clone();
            row.sort_by(f64::total_cmp);
            quantiles.extend(row);
        }
        let served = Served { module: ModuleRef::native("x"), retreat: Retreat::Active };
        let forecast = Forecast {
            key: key("shop/a"),
            grid: Grid { start: at(0), step: Step::MINUTE, count: rows.len() },
            levels: Level::STANDARD.to_vec(),
            mean: rows.iter().map(|(mean, _)| *mean).collect(),
            quantiles,
            served: served.clone(),
            state: Digest([1; 32]),
            calibration: None,
        };
        let state = SeriesState {
            key: key("shop/a"),
            module: Digest([0; 32]),
            config: Digest([0; 32]),
            format: 1,
            model: Arc::from(&b""[..]),
            state: vec![],
            fitted_at: at(0),
            seen: at(0),
            prior: None,
        };
        let source = Arc::new(Source { served, config: Digest([0; 32]) });
        let kept = Earlier::of(&forecast, source, &state, 0).unwrap();
        let back = kept.on(forecast.grid).unwrap();
        tidegate_core::invariant::check_grid(&back.mean, &back.quantiles, 9).unwrap();
        let pairs = forecast.quantiles.iter().chain(&forecast.mean).zip(back.quantiles.iter().chain(&back.mean));
        for (was, is) in pairs {
            prop_assert!((was - is).abs() <= 0.51 * kept.unit + 1e-12 * was.abs());
        }
    }
}
