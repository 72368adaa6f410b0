//! Tracks and choices come back as they were learned, and go when they are forgotten.

use super::*;
use proptest::prelude::*;
use tidegate_core::canonical::Canonical as _;
use tidegate_core::forecast::{
    Band, BandTrack, Choice, Ground, Pending, Rival, SCORED, Score, Track,
};
use tidegate_core::ids::Digest;
use tidegate_core::ports::storage::{Fit, SeriesState, States, Tracked, Tracks};
use tidegate_core::time::Step;

fn track(api: &str, module: &str, seed: u32) -> Track {
    let value = |i: usize| (seed as f32).mul_add(0.37, i as f32) - 1.5;
    let levels = || std::array::from_fn(value);
    let steps = |by: i16| std::array::from_fn(|i| i as i16 * by - seed as i16);
    let mut track = Track::new(
        key(api, Signal::Requests),
        Digest::of(module.as_bytes()),
        Digest::of(b"{}"),
        Step::MINUTE,
    );
    track.bands = vec![
        BandTrack {
            band: Band::Quarter,
            offsets: levels(),
            error: value(9),
            score: Score {
                outcomes: seed,
                newest: Timestamp(i64::from(seed)),
                weight: 12.5,
                loss: 3.25,
                naive: [4.0, f32::NAN],
                below: levels(),
                excess: 0.5,
            },
        },
        BandTrack {
            band: Band::Beyond,
            offsets: [-0.0; SCORED],
            error: f32::MIN_POSITIVE,
            score: Score::default(),
        },
    ];
    track.pending = vec![Pending {
        target: Timestamp(60_000 * i64::from(seed)),
        lead: 60,
        centre: 1e30,
        spread: 1e-30,
        issued: steps(300),
        naive: [f32::NAN, 7.0],
    }];
    track.naive_error = [f32::NAN, 2.0];
    track.issued = Timestamp(-5);
    track
}

fn choice(module: &str) -> Choice {
    Choice {
        champion: Digest::of(module.as_bytes()),
        since: Timestamp(120_000),
        ground: Ground::Category,
        rival: Some(Rival {
            module: Digest::of(b"theta"),
            since: Timestamp(i64::MIN),
        }),
    }
}

fn loaded(f: &Fixture) -> Tracked {
    Tracks::load(&**f.store()).unwrap()
}

/// NaN is not equal to itself: tracks are compared by their canonical bytes.
fn digests(tracks: &[Track]) -> Vec<Digest> {
    tracks.iter().map(|t| t.digest()).collect()
}

/// Writes what was learned for the `n`th time, for the child that is killed.
pub(super) fn learn(store: &Store, n: u64) {
    let mut tracks = [track("t/0", "ets", 1), track("t/0", "theta", 1)];
    for track in &mut tracks {
        track.issued = Timestamp(n as i64);
    }
    let chosen = Choice {
        since: Timestamp(n as i64),
        ..choice("theta")
    };
    let series = key("t/0", Signal::Requests);
    Tracks::save(store, &tracks, &[(series, chosen)]).unwrap();
}

/// What was acknowledged is there, and both tracks and the choice are of one moment.
pub(super) fn check_learned(store: &Store, n: u64, kill: usize) {
    let all = Tracks::load(store).unwrap();
    let mut times: Vec<i64> = all.tracks.iter().map(|t| t.issued.0).collect();
    times.extend(all.choices.iter().map(|(_, c)| c.since.0));
    if n > 0 || !times.is_empty() {
        assert_eq!(times.len(), 3, "kill {kill}: {times:?}");
    }
    let newest = times.first().copied().unwrap_or(0);
    assert!(
        times.iter().all(|t| *t == newest) && newest >= n as i64,
        "kill {kill}: {times:?}, and {n} was acknowledged"
    );
}

#[test]
fn tracks_and_choices_come_back_after_a_restart_and_the_last_one_counts() {
    let mut f = Fixture::new(Options::default());
    assert_eq!(loaded(&f), Tracked::default());
    let first = [track("t/a", "ets", 1), track("t/b", "ets", 2)];
    let chosen = [
        (key("t/a", Signal::Cpu), choice("ets")),
        (key("t/a", Signal::Requests), choice("ets")),
    ];
    Tracks::save(&**f.store(), &first, &chosen).unwrap();
    let learned = track("t/a", "ets", 3);
    let now = [(key("t/a", Signal::Requests), choice("theta"))];
    Tracks::save(&**f.store(), std::slice::from_ref(&learned), &now).unwrap();
    f.restart();
    let all = loaded(&f);
    assert_eq!(digests(&all.tracks), digests(&[learned, first[1].clone()]));
    assert_eq!(all.choices, [chosen[0].clone(), now[0].clone()]);
    f.clean();
}

#[test]
fn what_is_forgotten_is_gone_and_nothing_else() {
    let mut f = Fixture::new(Options::default());
    let tracks = [
        track("t/a", "ets", 1),
        track("t/a", "theta", 2),
        track("t/ab", "ets", 3),
    ];
    let chosen = [
        (key("t/a", Signal::Requests), choice("ets")),
        (key("t/ab", Signal::Requests), choice("ets")),
    ];
    Tracks::save(&**f.store(), &tracks, &chosen).unwrap();
    let fit = |t: &Track| -> Fit { (t.key.clone(), t.module, t.config) };
    let nobody = (key("t/none", Signal::Io), Digest([1; 32]), Digest([2; 32]));
    Tracks::forget(
        &**f.store(),
        &[fit(&tracks[0]), nobody],
        &[chosen[0].0.clone(), key("t/none", Signal::Io)],
    )
    .unwrap();
    f.restart();
    let all = loaded(&f);
    assert_eq!(digests(&all.tracks), digests(&tracks[1..]));
    assert_eq!(all.choices, chosen[1..]);
    f.clean();
}

#[test]
fn a_forgotten_state_takes_its_model_along_once_no_other_state_uses_it() {
    let mut f = Fixture::new(Options::default());
    let cohort: Arc<[u8]> = vec![7; 200_000].into();
    let state = |api: &str, module: &str, model: &Arc<[u8]>| SeriesState {
        key: key(api, Signal::Requests),
        module: Digest::of(module.as_bytes()),
        config: Digest::of(b"{}"),
        format: 1,
        model: model.clone(),
        state: api.as_bytes().to_vec(),
        fitted_at: Timestamp(0),
        seen: Timestamp(0),
        prior: None,
    };
    let alone: Arc<[u8]> = b"alone".as_slice().into();
    let all = [
        state("t/a", "ets", &cohort),
        state("t/b", "ets", &cohort),
        state("t/b", "theta", &alone),
    ];
    let fit = |s: &SeriesState| -> Fit { (s.key.clone(), s.module, s.config) };
    States::save(&**f.store(), &all).unwrap();
    // Named twice, and one that is not there: neither may release a model that is in use.
    let gone = [
        fit(&all[0]),
        fit(&all[0]),
        fit(&state("t/z", "ets", &cohort)),
    ];
    States::forget(&**f.store(), &gone).unwrap();
    f.restart();
    assert_eq!(States::load(&**f.store()).unwrap(), all[1..]);
    States::forget(&**f.store(), &[fit(&all[1]), fit(&all[2])]).unwrap();
    f.clean();
    f.stop();
    assert_eq!(super::objects::stored_values(&f, 8), 0, "states");
    assert_eq!(super::objects::stored_values(&f, 9), 0, "models");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_floats_were_learned_come_back_bit_for_bit(
        bits in prop::collection::vec(any::<u32>(), SCORED + 1),
        outcomes: u32,
    ) {
        let f = Fixture::new(Options::default());
        let mut learned = track("t/a", "ets", 1);
        let float = |i: usize| f32::from_bits(bits[i]);
        learned.bands[0].offsets = std::array::from_fn(float);
        learned.bands[0].error = float(SCORED);
        learned.bands[0].score.outcomes = outcomes;
        Tracks::save(&**f.store(), std::slice::from_ref(&learned), &[]).unwrap();
        let back = &loaded(&f).tracks[0];
        let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
        prop_assert!(same(&back.bands[0].offsets, &learned.bands[0].offsets));
        prop_assert!(same(&[back.bands[0].error], &[learned.bands[0].error]));
        prop_assert_eq!(back.bands[0].score.outcomes, outcomes);
    }
}
