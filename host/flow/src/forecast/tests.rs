//! States answer for their own step and their own time alone.

use super::*;
use crate::baseline::LastValue;
use crate::fake::Rates;
use std::sync::Arc;
use tidegate_core::module::ModuleRef;
use tidegate_core::units::Signal;

fn member(retreat: Retreat) -> Member<dyn Forecaster> {
    let active = retreat == Retreat::Active;
    Member {
        module: ModuleRef {
            digest: Digest([u8::from(active); 32]),
            ..ModuleRef::native("last-value")
        },
        binding: None,
        retreat,
        config: "{}".into(),
        policy: Arc::new(LastValue),
    }
}

/// A fit to the hour of minutes before `now`, in a world without events.
fn hour_fitted(now: Timestamp, key: &SeriesKey, history: &Rates) -> Result<FitOutput, StoreError> {
    fit(&FitInput {
        now,
        seed: 0,
        step: Step::MINUTE,
        window: 60,
        keys: std::slice::from_ref(key),
        member: &member(Retreat::Active),
        base: &[],
        reach: 60,
        history,
        catalog: &Catalog::default(),
    })
}

#[test]
fn a_state_does_not_outlive_a_change_of_the_step() {
    let hour = Step::from_secs(3600).unwrap();
    assert_ne!(fitted_with("{}", Step::MINUTE), fitted_with("{}", hour));
    let key = SeriesKey {
        api: "shop/orders".parse().unwrap(),
        signal: Signal::Requests,
    };
    let mut history = Rates::default();
    history.feed(Signal::Requests, 0..300, 1.0);
    let at_minutes = hour_fitted(Timestamp(300 * 60_000), &key, &history);
    let mut bank = Bank::default();
    at_minutes
        .unwrap()
        .states
        .into_iter()
        .for_each(|s| bank.put(s));
    let served = |step: Step| {
        let targets = [Target {
            key: key.clone(),
            roster: Roster::of(vec![member(Retreat::Active), member(Retreat::Baseline)]),
        }];
        let output = run(&Input {
            now: Timestamp(300 * 60_000),
            seed: 0,
            step,
            steps: 2,
            levels: &Level::STANDARD,
            targets: &targets,
            bank: &bank,
            tracks: &Tracks::default(),
            choices: &BTreeMap::new(),
            lanes: 1,
            reuse: None,
            history: &history,
            catalog: &Catalog::default(),
        });
        output.unwrap().forecasts[&key].served.retreat
    };
    assert_eq!(served(Step::MINUTE), Retreat::Active);
    assert_eq!(served(hour), Retreat::Baseline);
}

#[test]
fn after_the_clock_stepped_back_no_state_answers_for_another_time() {
    let key = SeriesKey {
        api: "shop/orders".parse().unwrap(),
        signal: Signal::Requests,
    };
    let mut history = Rates::default();
    history.feed(Signal::Requests, 0..30, 1.0);
    history.feed(Signal::Requests, 30..60, 9.0);
    let catalog = Catalog::default();
    let at = |minute: i64| Timestamp(minute * 60_000);
    let fitted = hour_fitted(at(60), &key, &history);
    let mut bank = Bank::default();
    fitted.unwrap().states.into_iter().for_each(|s| bank.put(s));
    let targets = [Target {
        key: key.clone(),
        roster: Roster::of(vec![member(Retreat::Active), member(Retreat::Baseline)]),
    }];
    let forecast = |minute: i64| {
        let output = run(&Input {
            now: at(minute),
            seed: 0,
            step: Step::MINUTE,
            steps: 2,
            levels: &Level::STANDARD,
            targets: &targets,
            bank: &bank,
            tracks: &Tracks::default(),
            choices: &BTreeMap::new(),
            lanes: 1,
            reuse: None,
            history: &history,
            catalog: &catalog,
        });
        let forecast = output.unwrap().forecasts.remove(&key).unwrap();
        (forecast.served.retreat, forecast.mean[0].round())
    };
    assert_eq!(forecast(60), (Retreat::Active, 9.0));
    assert_eq!(forecast(30), (Retreat::Baseline, 1.0));
}
