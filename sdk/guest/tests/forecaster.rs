//! What the SDK does around a forecaster: cutting, checking, states, errors.

use tidegate_guest::forecaster::Component;
use tidegate_guest::wit::forecaster::exports::tidegate::policy::forecasting::{
    Fitted, Guest, Horizon as Ask, SeriesStatus,
};
use tidegate_guest::wit::types::{Blobs, Covariates, Frames, ModuleKind, PolicyError, Signal};
use tidegate_guest::{Error, ForecasterPolicy, Horizon, Policy, Prediction, SeriesView};

/// The mean of what was seen, plus the promotion's weight.
struct Mean;

#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    weight: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { weight: 1.0 }
    }
}

impl Policy for Mean {
    const CONFIG_SCHEMA: &str = r#"{"type": "object"}"#;
    const STATE_FORMAT: u32 = 3;
    type Config = Config;
    type State = (f64, u32);

    fn validate(config: &Config) -> Result<(), Error> {
        if config.weight < 0.0 {
            return Err(Error::invalid("weight is below 0"));
        }
        Ok(())
    }

    /// Format 2 knew the sum alone, of one row.
    fn migrate(format: u32, bytes: &[u8]) -> Result<(f64, u32), Error> {
        match (format, bytes.try_into()) {
            (2, Ok(sum)) => Ok((f64::from_le_bytes(sum), 1)),
            _ => Err(Error::Unsupported(format!("format {format}"))),
        }
    }
}

impl ForecasterPolicy for Mean {
    fn fit(config: &Config, history: &SeriesView<'_>) -> Result<(f64, u32), Error> {
        let mut state = (0.0, 0);
        Self::update(config, &mut state, history)?;
        match state.1 {
            0 => Err(Error::InsufficientData { have: 0, need: 1 }),
            _ => Ok(state),
        }
    }

    fn update(_: &Config, state: &mut (f64, u32), rows: &SeriesView<'_>) -> Result<(), Error> {
        for value in rows.values.iter().filter(|v| !v.is_nan()) {
            state.0 += value;
            state.1 += 1;
        }
        Ok(())
    }

    fn predict(
        config: &Config,
        state: &(f64, u32),
        ask: &Horizon<'_>,
    ) -> Result<Prediction, Error> {
        let sale = ask.covariates.get("event:sale").unwrap_or_default();
        let mean = state.0 / f64::from(state.1);
        let mean: Vec<f64> = (0..ask.steps)
            .map(|s| mean + config.weight * sale.get(s).copied().unwrap_or(0.0))
            .collect();
        let levels = ask.levels.len();
        let quantiles = mean.iter().flat_map(|m| vec![*m; levels]).collect();
        Ok(Prediction { mean, quantiles })
    }
}

tidegate_guest::export_forecaster!(Mean, name = "mean");

type Module = Component<Mean>;

/// Two series of three rows and one; the second row of the first is missing.
fn frames() -> Frames {
    Frames {
        step: 60,
        signals: vec![Signal::Requests; 2],
        starts: vec![0, 600_000],
        offsets: vec![0, 3, 4],
        values: vec![1.0, 0.0, 3.0, 5.0],
        missing: vec![0b0000_0010],
        covariates: Covariates {
            names: vec![],
            values: vec![],
        },
        seeds: vec![1, 2],
    }
}

fn ask(starts: [i64; 2]) -> Ask {
    Ask {
        step: 60,
        steps: 2,
        levels: vec![1000, 5000],
        starts: starts.to_vec(),
        future: Covariates {
            names: vec!["event:sale".into()],
            values: vec![0.0, 1.0, 10.0, 0.0],
        },
        seeds: vec![1, 2],
    }
}

fn fit() -> Fitted {
    Module::fit("{}".into(), vec![], frames()).expect("it fits")
}

#[track_caller]
fn text(error: Option<PolicyError>) -> String {
    format!("{:?}", error.expect("an error"))
}

#[test]
fn a_module_describes_itself_under_its_own_name() {
    let said = Module::describe();
    assert_eq!(
        (said.name.as_str(), said.kind, said.state_format),
        ("mean", ModuleKind::Forecaster, 3)
    );
    assert_eq!(said.version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_missing_row_is_no_zero_and_covariates_belong_to_their_series() {
    let fitted = fit();
    let answer =
        Module::predict(fitted.model, fitted.states, ask([180_000, 660_000])).expect("it predicts");
    assert_eq!(answer.mean, [2.0, 3.0, 15.0, 5.0]);
    assert_eq!(answer.quantiles, [2.0, 2.0, 3.0, 3.0, 15.0, 15.0, 5.0, 5.0]);
}

#[test]
fn update_and_predict_know_the_config_of_the_fit() {
    let fitted = Module::fit(r#"{"weight": 0}"#.into(), vec![], frames()).expect("it fits");
    let answer =
        Module::predict(fitted.model, fitted.states, ask([180_000, 660_000])).expect("it predicts");
    assert_eq!(answer.mean, [2.0, 2.0, 5.0, 5.0]);
}

/// A row for the first series, none for the second.
fn news() -> Frames {
    Frames {
        starts: vec![180_000, 660_000],
        offsets: vec![0, 1, 1],
        values: vec![8.0],
        missing: vec![],
        ..frames()
    }
}

#[test]
fn an_advance_is_an_update_and_a_prediction_of_it() {
    let fitted = fit();
    let asked = || ask([240_000, 660_000]);
    let (model, states) = (fitted.model, fitted.states);
    let once = Module::advance(model.clone(), states.clone(), news(), asked()).expect("an answer");
    assert_eq!(once.forecasts.mean, [4.0, 5.0, 15.0, 5.0]);
    let end = states.offsets[1] as usize;
    let first = Blobs {
        format: 3,
        offsets: vec![0, states.offsets[1]],
        bytes: states.bytes[..end].to_vec(),
    };
    let mut row = news();
    row.signals.truncate(1);
    row.starts.truncate(1);
    row.seeds.truncate(1);
    row.offsets.truncate(2);
    let moved = Module::update(model.clone(), first, row).expect("it updates");
    let together = [&moved.states.bytes[..], &states.bytes[end..]].concat();
    assert_eq!(
        once.states.bytes, together,
        "a series without news keeps its bytes"
    );
    let twice = Module::predict(model, once.states.clone(), asked()).expect("it predicts");
    assert_eq!(once.forecasts, twice);
}

#[test]
fn what_fails_in_an_advance_fails_for_its_series_alone() {
    let fitted = fit();
    let (model, states) = (fitted.model, fitted.states);
    let mut late = news();
    late.starts[0] = 240_000;
    let said = Module::advance(model.clone(), states.clone(), late, ask([300_000, 660_000]));
    let said = said.expect("an answer");
    let SeriesStatus::Failed(PolicyError::InvalidInput(problem)) = &said.forecasts.status[0] else {
        panic!("{:?}", said.forecasts.status[0]);
    };
    assert!(problem.contains("the news begin at 240000 ms"), "{problem}");
    assert!(matches!(said.forecasts.status[1], SeriesStatus::Ok));
    assert_eq!(said.states.offsets[1], 0, "a failed series has no state");
    let early = Module::advance(
        model.clone(),
        states.clone(),
        news(),
        ask([180_000, 660_000]),
    );
    let early = early.expect("an answer").forecasts.status;
    assert!(matches!(
        early[0],
        SeriesStatus::Failed(PolicyError::InvalidInput(_))
    ));
    let mut other = news();
    other.step = 300;
    let error = Module::advance(model, states, other, ask([240_000, 660_000])).err();
    assert!(text(error).contains("news.step is 300 s"));
}

#[test]
fn rows_that_do_not_follow_are_refused_for_their_series_alone() {
    let fitted = fit();
    let mut rows = frames();
    rows.starts = vec![180_000, 600_000];
    let moved = Module::update(fitted.model, fitted.states, rows).expect("it updates");
    assert!(matches!(moved.status[0], SeriesStatus::Ok));
    let SeriesStatus::Failed(PolicyError::InvalidInput(problem)) = &moved.status[1] else {
        panic!("{:?}", moved.status[1]);
    };
    assert!(
        problem.contains("begin at 600000 ms, but the state goes on at 660000 ms"),
        "{problem}"
    );
    assert_eq!(
        moved.states.offsets[2], moved.states.offsets[1],
        "a failed series has no state"
    );
}

#[test]
fn another_step_or_horizon_than_fitted_is_refused() {
    let fitted = fit();
    let mut other = ask([180_000, 660_000]);
    other.step = 300;
    let error = Module::predict(fitted.model.clone(), fitted.states.clone(), other).err();
    assert!(text(error).contains("horizon.step is 300 s, but the states were fitted at 60 s"));
    let late =
        Module::predict(fitted.model, fitted.states, ask([240_000, 660_000])).expect("an answer");
    assert!(matches!(
        late.status[0],
        SeriesStatus::Failed(PolicyError::InvalidInput(_))
    ));
    assert_eq!(late.mean[..2], [0.0, 0.0]);
}

#[test]
fn columns_that_do_not_fit_are_named() {
    type Spoil = fn(&mut Frames);
    let cases: [(Spoil, &str); 7] = [
        (|f| f.offsets = vec![0, 3, 5], "frames.offsets"),
        (|f| f.offsets = vec![0, 4, 3], "frames.offsets"),
        (|f| f.seeds.truncate(1), "frames.seeds"),
        (|f| f.starts.push(0), "frames.starts"),
        (|f| f.missing.push(0), "frames.missing"),
        (|f| f.covariates.names.push("x".into()), "covariates.values"),
        (|f| f.step = 0, "frames.step"),
    ];
    for (spoil, name) in cases {
        let mut frames = frames();
        spoil(&mut frames);
        let error = text(Module::fit("{}".into(), vec![], frames).err());
        assert!(
            error.contains("InvalidInput") && error.contains(name),
            "{error}"
        );
    }
}

#[test]
fn a_value_that_is_not_finite_fails_its_series_unless_marked() {
    let mut frames = frames();
    frames.values[1] = f64::NAN;
    frames.values[3] = f64::INFINITY;
    let fitted = Module::fit("{}".into(), vec![], frames).expect("an answer");
    assert!(matches!(fitted.status[0], SeriesStatus::Ok));
    assert!(matches!(
        fitted.status[1],
        SeriesStatus::Failed(PolicyError::InvalidInput(_))
    ));
}

#[test]
fn a_config_is_an_object_with_known_keys_in_their_ranges() {
    let cases = [
        (r#"{"wait": 1}"#, "unknown field `wait`"),
        (r#"{"weight": "x"}"#, "config.weight: invalid type"),
        (r#"{"weight": -1}"#, "weight is below 0"),
        ("[1]", "not a JSON object"),
        ("{} x", "trailing characters"),
    ];
    for (config, part) in cases {
        let error = text(Module::fit(config.into(), vec![], frames()).err());
        assert!(
            error.contains("InvalidInput") && error.contains(part),
            "{error}"
        );
    }
}

#[test]
fn states_of_others_are_not_fitted() {
    let good = fit();
    let cases: [(Vec<u8>, u32, &[u8]); 4] = [
        (vec![], 3, &[0; 20]),
        (b"no model".to_vec(), 3, &[0; 20]),
        (good.model.clone(), 9, &[0; 20]),
        (good.model.clone(), 3, &[1; 3]),
    ];
    for (model, format, bytes) in cases {
        let end = u32::try_from(bytes.len()).expect("short");
        let states = Blobs {
            format,
            offsets: vec![0, end, end],
            bytes: bytes.to_vec(),
        };
        match Module::predict(model, states, ask([0, 0])) {
            Err(PolicyError::NotFitted(_)) => {}
            Ok(answer) => assert!(
                answer
                    .status
                    .iter()
                    .all(|s| matches!(s, SeriesStatus::Failed(PolicyError::NotFitted(_)))),
                "{:?}",
                answer.status
            ),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_older_format_goes_through_the_authors_migration_and_any_other_is_unsupported() {
    let good = fit();
    let mut bytes = 180_000_i64.to_le_bytes().to_vec();
    bytes.extend(7.0_f64.to_le_bytes());
    let end = u32::try_from(bytes.len()).expect("short");
    let old = |format| Blobs {
        format,
        offsets: vec![0, end],
        bytes: bytes.clone(),
    };
    let moved = Module::migrate(good.model.clone(), old(2)).expect("it migrates");
    let mut one = ask([180_000, 0]);
    one.starts.truncate(1);
    one.seeds.truncate(1);
    one.future.values.truncate(2);
    let answer = Module::predict(moved.model, moved.states, one).expect("it predicts");
    assert_eq!(answer.mean, [7.0, 8.0]);
    let error = text(Module::migrate(good.model, old(1)).err());
    assert!(error.contains("Unsupported"), "{error}");
}

#[test]
fn levels_that_do_not_rise_and_empty_horizons_are_refused() {
    type Spoil = fn(&mut Ask);
    let cases: [(Spoil, &str); 4] = [
        (|a| a.levels = vec![5000, 5000], "horizon.levels"),
        (|a| a.levels = vec![0], "horizon.levels"),
        (|a| a.steps = 0, "horizon.steps"),
        (|a| a.steps = u32::MAX, "horizon.steps"),
    ];
    for (spoil, name) in cases {
        let (good, mut ask) = (fit(), ask([180_000, 660_000]));
        spoil(&mut ask);
        let error = text(Module::predict(good.model, good.states, ask).err());
        assert!(error.contains(name), "{error}");
    }
}
