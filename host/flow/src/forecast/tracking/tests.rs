//! Champion, challengers and corrections as a run of cycles lives through them.

use super::super::{Bank, Output, Tracks, run};
use super::*;
use crate::fake::{Rates, api};
use std::sync::Arc;
use tidegate_core::catalog::{Catalog, Versioned};
use tidegate_core::ids::Generation;
use tidegate_core::module::ModuleRef;
use tidegate_core::policy::{Blobs, CallError, Fitted, Forecasts, Frames, Horizon, PolicyError};
use tidegate_core::ports::storage::SeriesState;
use tidegate_core::roster::Roster;
use tidegate_core::time::Step;
use tidegate_core::units::Level;

const STEP_MS: i64 = 300_000;
const DAY: i64 = 288;

/// Knows the mean of every step, or only thinks so; or fails.
#[derive(Debug)]
enum Says {
    /// The load's own shape, give or take 5.
    Shape,
    /// Always 100, give or take 40.
    Flat,
    /// Fails when it is asked.
    Trap,
}

fn shape(step: i64) -> f64 {
    100.0 + 60.0 * libm::sin(step as f64 / 20.0)
}

/// Shape and some noise.
fn load(step: i64) -> f64 {
    let noise = (step * 7919 % 101) as f64 / 101.0 - 0.5;
    shape(step) + 10.0 * noise
}

impl Forecaster for Says {
    fn fit_from(&self, _: &str, _: &[u8], frames: &Frames) -> Result<Fitted, CallError> {
        Ok(Fitted {
            model: vec![],
            states: Blobs::join(1, (0..frames.len()).map(|_| &b"s"[..])),
            status: vec![Ok(()); frames.len()],
        })
    }

    fn update(&self, _: &[u8], _: &Blobs, frames: &Frames) -> Result<Fitted, CallError> {
        self.fit("", frames)
    }

    fn predict(&self, _: &[u8], _: &Blobs, horizon: &Horizon) -> Result<Forecasts, CallError> {
        if matches!(self, Says::Trap) {
            return Err(CallError::Trap("on purpose".into()));
        }
        let mut out = Forecasts {
            mean: vec![],
            quantiles: vec![],
            status: vec![Ok(()); horizon.starts.len()],
        };
        for start in &horizon.starts {
            for ahead in 0..i64::from(horizon.steps) {
                let (mean, wide) = match self {
                    Says::Shape => (shape(start.0 / STEP_MS + ahead), 5.0),
                    Says::Flat | Says::Trap => (100.0, 40.0),
                };
                out.mean.push(mean);
                let levels = horizon.levels.iter();
                out.quantiles
                    .extend(levels.map(|l| mean + wide * (2.0 * l.probability() - 1.0)));
            }
        }
        Ok(out)
    }

    fn migrate(&self, _: &[u8], _: &Blobs) -> Result<Fitted, CallError> {
        Err(CallError::Policy(PolicyError::Unsupported("none".into())))
    }
}

fn member(name: &str, policy: Says) -> Member<dyn Forecaster> {
    Member {
        module: ModuleRef {
            digest: Digest::of(name.as_bytes()),
            ..ModuleRef::native(name)
        },
        binding: None,
        retreat: Retreat::Active,
        config: "{}".into(),
        policy: Arc::new(policy),
    }
}

struct Turns {
    key: SeriesKey,
    target: Target,
    bank: Bank,
    tracks: Tracks,
    choices: BTreeMap<SeriesKey, Choice>,
    history: Rates,
    catalog: Catalog,
    next: i64,
}

impl Turns {
    fn new(bound: Says, challengers: Vec<Says>) -> Self {
        let key = SeriesKey {
            api: "shop/orders".parse().unwrap(),
            signal: Signal::Requests,
        };
        let mut roster = Roster::of(vec![member("bound", bound)]);
        let rivals = challengers.into_iter().enumerate();
        let rivals = rivals.map(|(i, says)| member(&format!("rival{i}"), says));
        roster.challengers = rivals.collect();
        let mut bank = Bank::default();
        let step = Step::from_secs(300).unwrap();
        for m in roster.members.iter().chain(&*roster.challengers) {
            bank.put(SeriesState {
                key: key.clone(),
                module: m.module.digest,
                config: fitted_with(&m.config, step),
                format: 1,
                model: Arc::from(&b""[..]),
                state: b"s".to_vec(),
                fitted_at: Timestamp(0),
                seen: Timestamp(0),
                prior: None,
            });
        }
        let mut catalog = Catalog::default();
        let versioned = Versioned {
            value: api("shop/orders"),
            generation: Generation(1),
        };
        catalog.apis.insert(key.api.clone(), versioned);
        let mut history = Rates::default();
        history.feed(Signal::Requests, 0..5, load(0));
        Self {
            target: Target {
                key: key.clone(),
                roster,
            },
            key,
            bank,
            tracks: Tracks::default(),
            choices: BTreeMap::new(),
            history,
            catalog,
            next: 1,
        }
    }

    fn ask(&self, levels: &[Level]) -> Output {
        run(&Input {
            now: Timestamp(self.next * STEP_MS),
            seed: 0,
            step: Step::from_secs(300).unwrap(),
            steps: 12,
            levels,
            targets: std::slice::from_ref(&self.target),
            bank: &self.bank,
            tracks: &self.tracks,
            choices: &self.choices,
            lanes: 1,
            reuse: None,
            history: &self.history,
            catalog: &self.catalog,
        })
        .unwrap()
    }

    /// One cycle: its forecast and who failed in shadow. Then the step comes.
    fn turn(&mut self) -> (Forecast, usize) {
        let mut output = self.ask(&Level::STANDARD);
        assert!(output.faults.is_empty());
        output.updates.into_iter().for_each(|s| self.bank.put(s));
        output.tracks.into_iter().for_each(|t| self.tracks.put(t));
        self.choices.extend(output.choices);
        let minutes = self.next * 5..self.next * 5 + 5;
        self.history
            .feed(Signal::Requests, minutes, load(self.next));
        self.next += 1;
        let forecast = output.forecasts.remove(&self.key).unwrap();
        (forecast, output.shadow_faults.len())
    }
}

#[test]
fn a_challenger_that_knows_more_is_champion_within_days_and_stays_it() {
    let mut turns = Turns::new(Says::Flat, vec![Says::Shape]);
    let served: Vec<String> = (0..4 * DAY)
        .map(|_| turns.turn().0.served.module.name)
        .collect();
    let changes = served.windows(2).filter(|w| w[0] != w[1]).count();
    assert_eq!(changes, 1);
    assert!(served[0].contains("bound"), "{}", served[0]);
    assert!(served[served.len() - 1].contains("rival0"));
    let choice = turns.choices[&turns.key];
    assert_eq!(choice.ground, Ground::Series);
}

#[test]
fn a_worse_challenger_never_answers() {
    let mut turns = Turns::new(Says::Shape, vec![Says::Flat]);
    for _ in 0..3 * DAY {
        assert!(turns.turn().0.served.module.name.contains("bound"));
    }
}

#[test]
fn a_failing_challenger_changes_nothing_that_goes_out() {
    let mut alone = Turns::new(Says::Shape, vec![]);
    let mut beside = Turns::new(Says::Shape, vec![Says::Trap]);
    let mut faults = 0;
    for _ in 0..DAY {
        let (forecast, failed) = beside.turn();
        assert_eq!(forecast, alone.turn().0);
        faults += failed;
    }
    assert!(faults > 0);
}

#[test]
fn outcomes_correct_what_goes_out_and_the_forecast_says_so() {
    let mut turns = Turns::new(Says::Shape, vec![]);
    let first = turns.turn().0.calibration.unwrap();
    assert_eq!(first.outcomes, 0);
    let inside = |turns: &mut Turns| {
        let came = load(turns.next);
        let forecast = turns.turn().0;
        f64::from(u8::from(
            forecast.quantiles[1] <= came && came <= forecast.quantiles[5],
        ))
    };
    for _ in 0..DAY {
        turns.turn();
    }
    let share = (0..2 * DAY).map(|_| inside(&mut turns)).sum::<f64>() / (2 * DAY) as f64;
    assert!((share - 0.8).abs() < 0.03, "{share}");
    let last = turns.turn().0.calibration.unwrap();
    assert!(last.outcomes > 2 * 200 && last.track != first.track);
}

#[test]
fn a_level_is_the_same_whatever_else_is_asked_for() {
    let mut turns = Turns::new(Says::Flat, vec![]);
    (0..DAY).for_each(|_| drop(turns.turn()));
    let p99 = |levels: &[Level]| turns.ask(levels).forecasts[&turns.key].quantile(3, Level::P99);
    let alone = turns.ask(&[Level::P99]).forecasts[&turns.key].clone();
    assert_eq!((alone.levels.len(), alone.quantiles.len()), (1, 12));
    let difference = p99(&[Level::P99]) - p99(&Level::STANDARD);
    assert!(difference.abs() < 1e-12);
}
