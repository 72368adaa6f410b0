//! Columns and batches, and what a forecaster is that has no call of its own for both steps.

use super::*;

#[test]
fn frames_keep_gaps_apart_from_zeros() {
    let mut frames = Frames::new(Step::MINUTE);
    let a = [1.0, f64::NAN, 0.0];
    frames.push(Signal::Cpu, Timestamp(0), &a, 1);
    frames.push(Signal::Cpu, Timestamp(0), &[2.0; 9], 2);
    let back = frames.series(0);
    assert!(back[1].is_nan() && back[2].to_bits() == 0.0_f64.to_bits());
    assert_eq!(frames.series(1), [2.0; 9]);
    assert_eq!(frames.missing.len(), 2);
}

#[test]
fn malformed_blobs_read_as_empty() {
    let blobs = Blobs {
        format: 1,
        offsets: vec![0, 9],
        bytes: vec![1],
    };
    assert!(blobs.get(0).is_empty() && blobs.get(7).is_empty());
    let joined = Blobs::join(1, [&b"ab"[..], b"", b"c"]);
    assert_eq!(
        (joined.get(0), joined.get(1), joined.get(2)),
        (&b"ab"[..], &b""[..], &b"c"[..])
    );
}

fn horizon(series: usize) -> Horizon {
    Horizon {
        step: Step::MINUTE,
        steps: 1,
        levels: vec![Level::P50],
        starts: vec![Timestamp(0); series],
        future: Covariates::default(),
        seeds: (0..series as u64).collect(),
    }
}

#[test]
fn picked_series_keep_their_rows_gaps_and_covariates() {
    let mut frames = Frames::new(Step::MINUTE);
    frames.push(Signal::Cpu, Timestamp(1), &[1.0, f64::NAN, 3.0], 10);
    frames.push(Signal::Io, Timestamp(2), &[4.0], 20);
    frames.push(Signal::Errors, Timestamp(3), &[f64::NAN, 6.0], 30);
    frames.covariates = Covariates {
        names: vec!["a".into(), "b".into()],
        values: (0..12).map(f64::from).collect(),
    };
    let picked = frames.pick(&[0, 2]);
    assert_eq!(picked.signals, [Signal::Cpu, Signal::Errors]);
    assert_eq!(
        (picked.offsets.clone(), picked.seeds.clone()),
        (vec![0, 3, 5], vec![10, 30])
    );
    let gaps: Vec<bool> = picked.series(1).iter().map(|v| v.is_nan()).collect();
    assert_eq!(gaps, [true, false]);
    let values = [0.0, 1.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 11.0];
    assert_eq!(picked.covariates.values, values);
    assert_eq!(frames.pick(&[0, 1, 2]), frames);
}

#[test]
fn a_picked_horizon_keeps_its_covariates() {
    let mut all = horizon(3);
    all.steps = 2;
    all.future = Covariates {
        names: vec!["a".into(), "b".into()],
        values: (0..12).map(f64::from).collect(),
    };
    let picked = all.pick(&[2]);
    assert_eq!(picked.seeds, [2]);
    assert_eq!(picked.future.values, [4.0, 5.0, 10.0, 11.0]);
}

/// A state is the sum of what it has seen, and its forecast. It refuses to go beyond 100, and to tell
/// of what ends in 7.
#[derive(Debug)]
struct Sum;

impl Forecaster for Sum {
    fn fit_from(&self, _: &str, _: &[u8], _: &Frames) -> Result<Fitted, CallError> {
        Err(CallError::Unavailable("not asked".into()))
    }

    fn update(&self, _: &[u8], states: &Blobs, frames: &Frames) -> Result<Fitted, CallError> {
        assert!((0..frames.len()).all(|i| frames.rows(i) > 0), "nothing new");
        let sums = (0..frames.len()).map(|i| states.get(i)[0] + frames.series(i)[0] as u8);
        let sums: Vec<[u8; 1]> = sums.map(|sum| [sum]).collect();
        let refuse = |sum: &[u8; 1]| match sum[0] {
            0..=100 => Ok(()),
            _ => Err(PolicyError::Numeric("beyond 100".into())),
        };
        Ok(Fitted {
            model: vec![],
            states: Blobs::join(1, sums.iter().map(|s| &s[..])),
            status: sums.iter().map(refuse).collect(),
        })
    }

    fn predict(&self, _: &[u8], states: &Blobs, asked: &Horizon) -> Result<Forecasts, CallError> {
        let sums: Vec<u8> = (0..states.len()).map(|i| states.get(i)[0]).collect();
        assert_eq!(sums.len(), asked.starts.len());
        assert!(sums.iter().all(|s| *s <= 100), "asked of what has failed");
        let mean: Vec<f64> = sums.iter().map(|s| f64::from(*s)).collect();
        let refuse = |sum: &u8| match sum % 10 {
            7 => Err(PolicyError::Numeric("ends in 7".into())),
            _ => Ok(()),
        };
        Ok(Forecasts {
            quantiles: mean.clone(),
            mean,
            status: sums.iter().map(refuse).collect(),
        })
    }

    fn migrate(&self, _: &[u8], _: &Blobs) -> Result<Fitted, CallError> {
        Err(CallError::Unavailable("not asked".into()))
    }
}

#[test]
fn who_has_no_advance_is_asked_in_two_calls_for_the_same() {
    // One with news, one without, one that cannot be moved, one of which nothing can be told.
    let mut news = Frames::new(Step::MINUTE);
    for rows in [&[5.0][..], &[], &[60.0], &[1.0]] {
        news.push(Signal::Cpu, Timestamp(0), rows, 1);
    }
    let states = Blobs::join(1, [&[10_u8][..], &[20], &[50], &[6]]);
    let said = Sum.advance(&[], &states, &news, &horizon(4)).unwrap();
    let bytes: Vec<&[u8]> = (0..2).map(|i| said.states.get(i)).collect();
    assert_eq!((bytes, said.states.format), (vec![&[15][..], &[20]], 1));
    assert_eq!(said.forecasts.mean[..3], [15.0, 20.0, 0.0]);
    let told = |i: usize| said.forecasts.status[i].clone().map_err(|e| e.to_string());
    assert_eq!((told(0), told(1)), (Ok(()), Ok(())));
    assert_eq!(told(2), Err("numeric failure: beyond 100".into()));
    assert_eq!(told(3), Err("numeric failure: ends in 7".into()));
}
