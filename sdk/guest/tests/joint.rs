//! What the SDK does around a forecaster that learns a cohort together.

use tidegate_guest::joint::Component;
use tidegate_guest::wit::forecaster::exports::tidegate::policy::forecasting::{
    Fitted, Guest, Horizon as Ask, SeriesStatus,
};
use tidegate_guest::wit::types::{Blobs, Covariates, Frames, ModuleKind, PolicyError, Signal};
use tidegate_guest::{
    Cohort, Error, Horizon, Joint, JointForecaster, Policy, Prediction, SeriesView,
};

/// Half of the last value, half of a level that the cohort shares.
struct Pooled;

#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Config {}

impl Policy for Pooled {
    const CONFIG_SCHEMA: &str = r#"{"type": "object"}"#;
    const STATE_FORMAT: u32 = 2;
    type Config = Config;
    type State = f64;

    fn migrate(format: u32, bytes: &[u8]) -> Result<f64, Error> {
        match (format, bytes.try_into()) {
            (1, Ok(last)) => Ok(f64::from_le_bytes(last)),
            _ => Err(Error::Unsupported(format!("format {format}"))),
        }
    }
}

impl JointForecaster for Pooled {
    type Model = (f64, u64);

    /// The shared level depends on the order in which it is summed, and says so in its bits.
    fn fit(_: &Config, cohort: &Cohort<'_, (f64, u64)>) -> Result<Joint<(f64, u64), f64>, Error> {
        let mut level = cohort.base.map_or(0.0, |b| b.0);
        let states = cohort
            .series
            .iter()
            .map(|s| {
                let last = s.values.iter().rev().find(|v| !v.is_nan()).copied();
                let last = last.ok_or(Error::InsufficientData { have: 0, need: 1 })?;
                level = 0.5 * level + last;
                Ok(last)
            })
            .collect();
        Ok(Joint {
            model: (level, cohort.seed),
            states,
        })
    }

    fn update(
        _: &Config,
        _: &(f64, u64),
        last: &mut f64,
        rows: &SeriesView<'_>,
    ) -> Result<(), Error> {
        rows.values
            .iter()
            .filter(|v| !v.is_nan())
            .for_each(|v| *last = *v);
        Ok(())
    }

    fn predict(
        _: &Config,
        model: &(f64, u64),
        last: &f64,
        ask: &Horizon<'_>,
    ) -> Result<Prediction, Error> {
        let mean = 0.5 * (model.0 + last);
        Ok(Prediction {
            mean: vec![mean; ask.steps],
            quantiles: vec![mean; ask.steps * ask.levels.len()],
        })
    }

    fn migrate_model(format: u32, bytes: &[u8]) -> Result<(f64, u64), Error> {
        match (format, bytes.try_into()) {
            (1, Ok(level)) => Ok((f64::from_le_bytes(level), 0)),
            _ => Err(Error::Unsupported(format!("format {format}"))),
        }
    }
}

tidegate_guest::export_joint_forecaster!(Pooled, name = "pooled");

type Module = Component<Pooled>;

/// One row each, in this order; NaN is marked as missing.
fn frames(rows: &[(u64, f64)]) -> Frames {
    let count = u32::try_from(rows.len()).expect("few");
    let mut missing = vec![0];
    for (i, (_, value)) in rows.iter().enumerate() {
        missing[0] |= u8::from(value.is_nan()) << i;
    }
    Frames {
        step: 60,
        signals: vec![Signal::Requests; rows.len()],
        starts: vec![0; rows.len()],
        offsets: (0..=count).collect(),
        values: rows.iter().map(|r| r.1).collect(),
        missing,
        covariates: Covariates {
            names: vec![],
            values: vec![],
        },
        seeds: rows.iter().map(|r| r.0).collect(),
    }
}

fn fit(rows: &[(u64, f64)]) -> Fitted {
    Module::fit("{}".into(), vec![], frames(rows)).expect("it fits")
}

fn ask(series: usize) -> Ask {
    Ask {
        step: 60,
        steps: 2,
        levels: vec![1000, 5000],
        starts: vec![60_000; series],
        future: Covariates {
            names: vec![],
            values: vec![],
        },
        seeds: vec![0; series],
    }
}

fn one(blobs: &Blobs, i: usize) -> Blobs {
    let range = blobs.offsets[i] as usize..blobs.offsets[i + 1] as usize;
    let bytes = blobs.bytes[range].to_vec();
    let end = u32::try_from(bytes.len()).expect("short");
    Blobs {
        format: blobs.format,
        offsets: vec![0, end],
        bytes,
    }
}

#[test]
fn a_joint_forecaster_is_a_forecaster_to_the_host() {
    let said = Module::describe();
    assert_eq!(
        (said.name.as_str(), said.kind, said.state_format),
        ("pooled", ModuleKind::Forecaster, 2)
    );
}

#[test]
fn the_series_share_one_model_and_keep_a_state_each() {
    let fitted = fit(&[(1, 8.0), (2, 4.0)]);
    let answer = Module::predict(fitted.model, fitted.states, ask(2)).expect("it predicts");
    assert_eq!(answer.mean, [8.0, 8.0, 6.0, 6.0]);
}

#[test]
fn the_order_of_the_series_changes_no_bit_of_model_or_states() {
    let rows = [(9, 8.0), (2, 4.0), (5, 1.0), (5, 2.0)];
    let there = fit(&rows);
    let mut turned = rows;
    turned.reverse();
    let back = fit(&turned);
    assert_eq!(there.model, back.model);
    for i in 0..rows.len() {
        assert_eq!(
            one(&there.states, i),
            one(&back.states, rows.len() - 1 - i),
            "series {i}"
        );
    }
    assert_ne!(
        there.model,
        fit(&rows[..2]).model,
        "who is in the batch matters"
    );
}

#[test]
fn update_and_predict_do_not_depend_on_the_batching() {
    let fitted = fit(&[(1, 8.0), (2, 4.0)]);
    let mut rows = frames(&[(0, 3.0), (0, 5.0)]);
    rows.starts = vec![60_000; 2];
    let both = Module::update(fitted.model.clone(), fitted.states.clone(), rows).expect("moved");
    for (i, value) in [3.0, 5.0].into_iter().enumerate() {
        let mut row = frames(&[(0, value)]);
        row.starts = vec![60_000];
        let alone =
            Module::update(fitted.model.clone(), one(&fitted.states, i), row).expect("moved");
        assert_eq!(alone.states, one(&both.states, i));
        assert_eq!(alone.model, fitted.model, "the model is immutable");
    }
}

#[test]
fn a_series_that_fails_leaves_the_cohort_and_its_neighbours_alone() {
    let mut spoilt = frames(&[(1, 8.0), (2, f64::INFINITY), (3, f64::NAN)]);
    spoilt.values[2] = 0.0;
    let fitted = Module::fit("{}".into(), vec![], spoilt).expect("it fits");
    assert!(matches!(fitted.status[0], SeriesStatus::Ok));
    assert!(matches!(
        fitted.status[1],
        SeriesStatus::Failed(PolicyError::InvalidInput(_))
    ));
    assert!(matches!(
        fitted.status[2],
        SeriesStatus::Failed(PolicyError::InsufficientData(_))
    ));
    let answer = Module::predict(fitted.model, one(&fitted.states, 0), ask(1)).expect("answer");
    assert_eq!(answer.mean, [8.0, 8.0]);
}

#[test]
fn a_warm_fit_begins_at_the_model_that_it_is_given() {
    let cold = fit(&[(1, 8.0)]);
    let warm = Module::fit("{}".into(), cold.model.clone(), frames(&[(1, 4.0)])).expect("it fits");
    let answer = Module::predict(warm.model, warm.states, ask(1)).expect("it predicts");
    assert_eq!(
        answer.mean,
        [6.0, 6.0],
        "a level of 8 / 2 + 4, and a last value of 4"
    );
    let anew = Module::fit("{}".into(), vec![], frames(&[(1, 4.0)])).expect("it fits");
    let foreign = Module::fit("{}".into(), b"no model".to_vec(), frames(&[(1, 4.0)]));
    assert_eq!(foreign.expect("what is no model is passed over"), anew);
}

#[test]
fn models_and_states_of_others_are_not_fitted() {
    let good = fit(&[(1, 8.0)]);
    let cut = good.model[..good.model.len() - 1].to_vec();
    let length = good.model[..2].to_vec();
    for model in [vec![], b"rubbish".to_vec(), cut, length] {
        let error = Module::predict(model, good.states.clone(), ask(1)).err();
        assert!(
            matches!(error, Some(PolicyError::NotFitted(_))),
            "{error:?}"
        );
    }
    let other = Blobs {
        format: 1,
        ..good.states
    };
    let error = Module::predict(good.model, other, ask(1)).err();
    assert!(
        matches!(error, Some(PolicyError::NotFitted(_))),
        "{error:?}"
    );
}

#[test]
fn a_batch_in_which_no_series_can_be_read_fails_series_by_series() {
    let fitted = fit(&[(1, f64::INFINITY)]);
    assert!(matches!(fitted.status[0], SeriesStatus::Failed(_)));
    assert!(fitted.states.bytes.is_empty());
}

#[test]
fn an_older_model_goes_through_the_authors_migration_with_its_states() {
    let good = fit(&[(1, 8.0)]);
    // The header as format 1 wrote it: the number that follows the module's name.
    let length = u32::from_le_bytes(good.model[..4].try_into().expect("four bytes")) as usize;
    let mut model = good.model[..4 + length].to_vec();
    let at = 4
        + model[4..]
            .windows(7)
            .position(|w| w == b"pooled\x02")
            .expect("name and format")
        + 6;
    model[at] = 1;
    model.extend(6.0_f64.to_le_bytes());
    let mut bytes = 60_000_i64.to_le_bytes().to_vec();
    bytes.extend(2.0_f64.to_le_bytes());
    let old = Blobs {
        format: 1,
        offsets: vec![0, 16],
        bytes,
    };
    let refused = Module::predict(model.clone(), old.clone(), ask(1)).err();
    assert!(matches!(refused, Some(PolicyError::NotFitted(_))));
    let moved = Module::migrate(model, old).expect("it migrates");
    let answer = Module::predict(moved.model, moved.states, ask(1)).expect("it predicts");
    assert_eq!(answer.mean, [4.0, 4.0]);
}
