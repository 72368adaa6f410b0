//! What calibration promises: coverage, recovery, FC1 whatever happens, bounded size, same bytes.

use super::*;
use tidegate_core::ids::Digest;
use tidegate_core::module::ModuleRef;
use tidegate_core::roster::{Retreat, Served};
use tidegate_core::units::Signal;

fn key() -> SeriesKey {
    SeriesKey {
        api: "shop/orders".parse().unwrap(),
        signal: Signal::Requests,
    }
}

fn track(step: Step) -> Track {
    Track::new(key(), Digest([1; 32]), Digest([2; 32]), step)
}

/// A forecast that claims the same normal-like quantiles at every step.
fn claim(start: i64, step: Step, count: usize, levels: &[Level], row: &[f64]) -> Forecast {
    Forecast {
        key: key(),
        grid: Grid {
            start: Timestamp(start),
            step,
            count,
        },
        levels: levels.to_vec(),
        mean: vec![Layout::of(levels).median.read(row); count],
        quantiles: row.repeat(count),
        served: Served {
            module: ModuleRef::native("test"),
            retreat: Retreat::Active,
        },
        state: Digest::of(b""),
        calibration: None,
    }
}

/// Normal quantiles of [`Level::STANDARD`].
const Z: [f64; SCORED] = [
    -1.96, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.6449, 1.96, 2.3263,
];

fn standard(mean: f64, deviation: f64) -> Vec<f64> {
    Z.iter().map(|z| mean + z * deviation).collect()
}

/// A deterministic draw from a standard normal: twelve uniforms of splitmix64.
fn normal(seed: u64) -> f64 {
    let mut state = seed.wrapping_mul(0x2545_f491_4f6c_dd1d);
    let uniform = |_| (mix(&mut state, seed) >> 11) as f64 / (1_u64 << 53) as f64;
    (0..12).map(uniform).sum::<f64>() - 6.0
}

struct Walk {
    track: Track,
    step: Step,
    /// Next-step forecasts: (outcome, corrected row).
    seen: Vec<(f64, Vec<f64>)>,
}

impl Walk {
    fn new(seconds: u32) -> Self {
        let step = Step::from_secs(seconds).unwrap();
        Self {
            track: track(step),
            step,
            seen: vec![],
        }
    }

    /// Streams `count` steps on; each is forecast with deviation `claimed` around 1000.
    fn run(&mut self, count: usize, claimed: f64, outcome: impl Fn(u64) -> f64) {
        for _ in 0..count {
            let at = self.seen.len() as i64 * self.step.ms();
            let value = |t: Timestamp| outcome((t.0 / self.step.ms()) as u64);
            observe(&mut self.track, Timestamp(at), value);
            let row = standard(1000.0, claimed);
            let mut forecast = claim(at, self.step, 12, &Level::STANDARD, &row);
            correct(&self.track, &mut forecast).unwrap();
            issue(&mut self.track, &forecast, &mut |_| 1000.0);
            let first = forecast.quantiles[..SCORED].to_vec();
            self.seen.push((value(Timestamp(at)), first));
        }
    }

    /// Share of the last `count` outcomes at or below each level.
    fn below(&self, count: usize) -> Vec<f64> {
        let last = &self.seen[self.seen.len() - count..];
        let share = |i: usize| last.iter().filter(|(y, row)| *y <= row[i]).count() as f64;
        (0..SCORED).map(|i| share(i) / count as f64).collect()
    }
}

#[track_caller]
fn near(below: &[f64], within: f64) {
    for (share, level) in below.iter().zip(Level::STANDARD) {
        let off = share - level.probability();
        assert!(off.abs() <= within, "{level}: {share}");
    }
}

#[test]
fn whoever_claims_half_or_twice_the_spread_is_put_right() {
    for claimed in [50.0, 100.0, 200.0] {
        let mut walk = Walk::new(300);
        walk.run(3000, claimed, |t| 1000.0 + 100.0 * normal(t));
        near(&walk.below(2700), 0.02);
    }
}

#[test]
fn skewed_errors_keep_their_one_sided_levels() {
    let mut walk = Walk::new(300);
    walk.run(4000, 100.0, |t| 950.0 + 60.0 * normal(t).powi(2));
    let below = walk.below(3600);
    assert!((below[5] - 0.9).abs() < 0.015, "{below:?}");
    assert!((below[8] - 0.99).abs() < 0.007, "{below:?}");
}

#[test]
fn coverage_is_back_within_a_day_after_the_level_moved_under_the_module() {
    let mut walk = Walk::new(300);
    walk.run(2000, 100.0, |t| 1000.0 + 100.0 * normal(t));
    walk.run(288, 100.0, |t| 1300.0 + 100.0 * normal(t));
    walk.run(288, 100.0, |t| 1300.0 + 100.0 * normal(t));
    let below = walk.below(288);
    let inside = below[7] - below[0];
    assert!(inside > 0.9, "{below:?}");
}

#[test]
fn a_gap_teaches_nothing() {
    let mut walk = Walk::new(300);
    walk.run(500, 100.0, |t| 1000.0 + 100.0 * normal(t));
    let before = walk.track.bands.clone();
    walk.run(50, 100.0, |t| {
        if t >= 488 {
            f64::NAN
        } else {
            1000.0 + 100.0 * normal(t)
        }
    });
    let outcomes = |bands: &[BandTrack]| bands.iter().map(|b| b.score.outcomes).sum::<u32>();
    // Promises that were waiting for steps before the gap may still be learned from.
    assert!(outcomes(&walk.track.bands) - outcomes(&before) <= 1);
    let moved = walk.track.bands[0].offsets[8] - before[0].offsets[8];
    assert!(moved.abs() < 0.15, "{moved}");
}

#[test]
fn a_track_stays_small_however_long_it_runs() {
    let step = Step::from_secs(300).unwrap();
    let mut track = track(step);
    for t in 0..3000_i64 {
        let at = t * step.ms();
        observe(&mut track, Timestamp(at), |_| 1000.0);
        let forecast = claim(at, step, 600, &Level::STANDARD, &standard(1000.0, 10.0));
        issue(&mut track, &forecast, &mut |_| 1000.0);
    }
    assert!(track.pending.len() <= Band::ALL.len() * WAITING);
    let bytes = track.pending.len() * size_of::<Pending>()
        + track.bands.len() * size_of::<BandTrack>()
        + size_of::<Track>();
    assert!(bytes <= 4096, "{bytes} bytes");
}

#[test]
fn two_cycles_within_a_step_take_promises_once() {
    let step = Step::from_secs(300).unwrap();
    let mut track = track(step);
    let forecast = claim(300_000, step, 12, &Level::STANDARD, &standard(10.0, 1.0));
    issue(&mut track, &forecast, &mut |_| f64::NAN);
    let once = track.digest();
    issue(&mut track, &forecast, &mut |_| f64::NAN);
    assert_eq!(track.digest(), once);
}

#[test]
fn what_a_correction_gives_is_lawful_whatever_was_learned() {
    let step = Step::from_secs(300).unwrap();
    let rows = [
        vec![0.0; SCORED],
        standard(0.0, 1.0).iter().map(|q| q.max(0.0)).collect(),
        standard(1e300, 1e299),
        vec![f64::MAX; SCORED],
        vec![5e-320; SCORED],
        (0..SCORED)
            .map(|i| if i < 8 { 0.0 } else { 1e12 })
            .collect(),
    ];
    for seed in 0..200_u64 {
        let mut track = track(step);
        issue(
            &mut track,
            &claim(0, step, 600, &Level::STANDARD, &rows[1]),
            &mut |_| 1.0,
        );
        for band in &mut track.bands {
            let reach = reach(band.band);
            for (i, offset) in band.offsets.iter_mut().enumerate() {
                *offset = (normal(seed * 100 + i as u64) * 3.0).clamp(-reach, reach) as f32;
            }
            band.error = [0.0, 1.0, 1e30][seed as usize % 3];
        }
        for row in &rows {
            let mut forecast = claim(0, step, 300, &Level::STANDARD, row);
            correct(&track, &mut forecast).unwrap();
            assert!(forecast.calibration.is_some());
        }
    }
}

#[test]
fn levels_between_the_tracked_ones_move_by_what_lies_between() {
    let step = Step::from_secs(300).unwrap();
    let mut track = track(step);
    let row = standard(1000.0, 100.0);
    issue(
        &mut track,
        &claim(0, step, 3, &Level::STANDARD, &row),
        &mut |_| 1.0,
    );
    track.bands[0].offsets[8] = 2.0;
    let mut levels = Level::STANDARD.to_vec();
    levels.insert(8, Level::new(9850).unwrap());
    let mut wide = row.clone();
    wide.insert(8, 1000.0 + 217.0);
    let mut forecast = claim(0, step, 1, &levels, &wide);
    correct(&track, &mut forecast).unwrap();
    let q = &forecast.quantiles;
    assert!(q[7] < q[8] && q[8] < q[9], "{q:?}");
    // Two thirds of the way from p97.5 (prior 1.08, offset 0) to p99 (1.12, 2 spreads of 100).
    let expected = 1000.0 + 217.0 * (1.08 + 0.04 * 2.0 / 3.0) + 2.0 * 100.0 * 2.0 / 3.0;
    assert!((q[8] - expected).abs() < 0.1, "{} not {expected}", q[8]);
}

#[test]
fn the_same_stream_gives_the_same_bytes() {
    let run = || {
        let mut walk = Walk::new(60);
        walk.run(1000, 70.0, |t| 1000.0 + 100.0 * normal(t));
        walk.track.digest()
    };
    assert_eq!(run(), run());
}
