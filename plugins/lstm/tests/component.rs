//! The network as the host sees it: batches in, batches out.

use tidegate_guest::joint::Component;
use tidegate_guest::wit::forecaster::exports::tidegate::policy::forecasting::{
    Fitted, Guest, Horizon, SeriesStatus,
};
use tidegate_guest::wit::types::{Blobs, Covariates, Frames, Signal};
use tidegate_plugin_lstm::Lstm;

type Module = Component<Lstm>;

const CONFIG: &str = r#"{"hidden": 8, "max_steps": 30}"#;
const STEP_MS: i64 = 3_600_000;
const ROWS: usize = 24 * 8;

/// Row `t` of the series with that seed.
fn load(seed: u64, t: usize) -> f64 {
    let hour = (t % 24) as f64;
    100.0 * seed as f64 + (12.0 - hour).abs() * (1.0 + seed as f64) + (t * t % 7) as f64
}

fn frames(seeds: &[u64], from: usize, rows: usize) -> Frames {
    let count = u32::try_from(rows).expect("few");
    let series = u32::try_from(seeds.len()).expect("few");
    Frames {
        step: 3600,
        signals: vec![Signal::Requests; seeds.len()],
        starts: vec![from as i64 * STEP_MS; seeds.len()],
        offsets: (0..=series).map(|k| k * count).collect(),
        values: seeds
            .iter()
            .flat_map(|s| (from..from + rows).map(|t| load(*s, t)))
            .collect(),
        missing: vec![],
        covariates: none(),
        seeds: seeds.to_vec(),
    }
}

fn none() -> Covariates {
    Covariates {
        names: vec![],
        values: vec![],
    }
}

fn fit(seeds: &[u64]) -> Fitted {
    Module::fit(CONFIG.into(), vec![], frames(seeds, 0, ROWS)).expect("it fits")
}

fn predict(fitted: &Fitted, at: usize) -> Vec<f64> {
    let series = fitted.status.len();
    let ask = Horizon {
        step: 3600,
        steps: 6,
        levels: vec![1000, 5000, 9000],
        starts: vec![at as i64 * STEP_MS; series],
        future: none(),
        seeds: vec![0; series],
    };
    let answer = Module::predict(fitted.model.clone(), fitted.states.clone(), ask).expect("lawful");
    assert!(answer.status.iter().all(|s| matches!(s, SeriesStatus::Ok)));
    answer.quantiles
}

fn only(fitted: &Fitted, i: usize) -> Fitted {
    let range = fitted.states.offsets[i] as usize..fitted.states.offsets[i + 1] as usize;
    let bytes = fitted.states.bytes[range].to_vec();
    Fitted {
        model: fitted.model.clone(),
        states: Blobs {
            format: fitted.states.format,
            offsets: vec![0, u32::try_from(bytes.len()).expect("short")],
            bytes,
        },
        status: vec![SeriesStatus::Ok],
    }
}

#[test]
fn the_order_of_the_series_changes_no_bit() {
    let (there, back) = (fit(&[1, 2, 3]), fit(&[3, 2, 1]));
    assert_eq!(there.model, back.model);
    for i in 0..3 {
        assert_eq!(only(&there, i), only(&back, 2 - i), "series {i}");
    }
}

#[test]
fn a_forecast_alone_is_the_forecast_in_a_batch_before_and_after_an_update() {
    let mut fitted = fit(&[1, 2, 3]);
    for at in [ROWS, ROWS + 5] {
        if at > ROWS {
            let rows = frames(&[1, 2, 3], ROWS, 5);
            fitted = Module::update(fitted.model, fitted.states, rows).expect("it moves on");
        }
        let all = predict(&fitted, at);
        for i in 0..3 {
            assert_eq!(
                predict(&only(&fitted, i), at),
                all[i * 18..(i + 1) * 18],
                "series {i}"
            );
        }
    }
}

#[test]
fn migrating_what_this_version_wrote_changes_no_bit() {
    let fitted = fit(&[1, 2]);
    let moved = Module::migrate(fitted.model.clone(), fitted.states.clone()).expect("it migrates");
    assert_eq!(fitted, moved);
}

#[test]
fn a_fit_can_go_on_from_the_model_of_another() {
    let before = fit(&[1, 2]);
    let after = Module::fit(CONFIG.into(), before.model, frames(&[1, 2], 24, ROWS)).expect("warm");
    let anew = Module::fit(CONFIG.into(), vec![], frames(&[1, 2], 24, ROWS)).expect("cold");
    assert_ne!(after.model, anew.model);
    assert_eq!(predict(&after, ROWS + 24).len(), 2 * 18);
}
