//! Trials without any module: blocks, conclusions, needs, and what outlives the daemon.

use super::evidence::{Name, Opinion, Question};
use super::needs::{Asked, Look, Measured};
use super::{About, Conclusion, Trial, allocators, block_ms, gate};
use crate::fake::Rates;
use tidegate_core::ids::{ApiId, Digest};
use tidegate_core::life::{Gate, Promotion, Side, Version};
use tidegate_core::module::{ModuleKind, ModuleRef};
use tidegate_core::policy::Verdict;
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::{Dimension, Signal};

fn version(name: &str) -> Version {
    Version {
        module: ModuleRef {
            digest: Digest::of(name.as_bytes()),
            ..ModuleRef::native(name)
        },
        config: "{}".into(),
    }
}

fn about(kind: ModuleKind, serves: Side) -> About {
    About {
        binding: "default".parse().unwrap(),
        kind,
        serves,
        candidate: version("new"),
        incumbent: version("old"),
        since: Timestamp(0),
    }
}

fn trial(kind: ModuleKind, serves: Side) -> Trial {
    Trial::new(about(kind, serves), Step::MINUTE, 60).unwrap()
}

const HOUR: i64 = 3_600_000;

#[test]
fn a_forecasters_losses_an_hour_ahead_overlap_and_those_of_a_minute_do_not() {
    let horizons = |step: u32| -> Vec<(Name, u32)> {
        let step = Step::from_secs(step).unwrap();
        let about = about(ModuleKind::Forecaster, Side::Incumbent);
        let trial = Trial::new(about, step, 60).unwrap();
        let asked = trial.questions.iter().filter(|q| q.name != Name::Gross);
        asked.map(|q| (q.name, q.horizon)).collect()
    };
    assert_eq!(horizons(60), [(Name::Near, 1), (Name::Far, 13)]);
    assert_eq!(horizons(300), [(Name::Near, 2), (Name::Far, 13)]);
    assert_eq!(horizons(3600), [(Name::Near, 2)]);
    assert_eq!(block_ms(Step::MINUTE), 300_000);
    assert_eq!(block_ms(Step::from_secs(3600).unwrap()), HOUR);
}

#[test]
fn one_loud_subject_is_one_of_many_in_its_block_and_what_comes_late_is_dropped() {
    let mut question = Question::new(Name::Cost, 300_000, 60_000);
    let at = Timestamp;
    for difference in [1.0, 0.0, 0.0, 0.0] {
        question.add(at(0), difference);
    }
    question.add(at(300_000), -5.0);
    question.settle(at(700_000));
    assert_eq!(question.seen, 0, "the first may not be whole yet");
    question.settle(at(720_000));
    assert_eq!((question.seen, question.worse), (1, 1));
    assert!((question.mean() - 0.25).abs() < 1e-12);
    question.add(at(0), 1.0);
    question.settle(at(2 * HOUR));
    // A difference is never below -1.
    assert_eq!((question.seen, question.worse), (2, 1));
    assert!((question.mean() + 0.375).abs() < 1e-12);
}

#[test]
fn beside_an_incumbent_that_serves_a_candidate_that_fails_loses_and_the_other_way_nobody() {
    let losses = |serves: Side| {
        let mut trial = trial(ModuleKind::Allocator, serves);
        trial.failed(Name::Cost, Timestamp(0));
        trial.missed(Name::Cost, Timestamp(300_000));
        trial.questions[0].settle(Timestamp(HOUR));
        (trial.questions[0].seen, trial.questions[0].sum)
    };
    // In shadow it gave no answer; while it served, another had to.
    assert_eq!(losses(Side::Incumbent), (1, 1.0));
    assert_eq!(losses(Side::Candidate), (1, 1.0));
}

#[test]
fn the_candidates_loss_counts_against_it_on_both_sides_of_a_promotion() {
    for (serves, losses) in [(Side::Incumbent, (2.0, 1.0)), (Side::Candidate, (1.0, 2.0))] {
        let mut trial = trial(ModuleKind::Allocator, serves);
        for block in 0..6 {
            let block = Timestamp(block * 300_000);
            trial.compare(Name::Cost, "edge", block, losses, allocators::FLOOR);
        }
        trial.questions[0].settle(Timestamp(HOUR));
        assert_eq!((trial.questions[0].seen, trial.questions[0].worse), (3, 3));
    }
}

fn concluded(trial: &Trial, gate: &Gate, hours: i64) -> &'static str {
    gate::conclude(gate, trial, Timestamp(hours * HOUR)).name()
}

fn say(trial: &mut Trial, verdicts: &[Verdict]) {
    for (question, verdict) in trial.questions.iter_mut().zip(verdicts) {
        question.seen = 10;
        question.opinion = Some(Opinion {
            verdict: *verdict,
            reason: "so it is".into(),
            evidence: None,
        });
    }
}

#[test]
fn a_shadow_is_promoted_when_all_is_well_and_a_day_is_over_and_ends_by_any_harm() {
    use Verdict::{Promote, RollBack, Starved};
    let gate = Gate::default();
    let mut trial = trial(ModuleKind::Forecaster, Side::Incumbent);
    assert_eq!(concluded(&trial, &gate, 1), "continue");
    say(&mut trial, &[Promote, Verdict::Proceed]);
    assert_eq!(concluded(&trial, &gate, 30), "continue");
    say(&mut trial, &[Promote, Starved]);
    assert_eq!(concluded(&trial, &gate, 30), "starved");
    assert_eq!(concluded(&trial, &gate, 14 * 24), "inconclusive");
    say(&mut trial, &[Promote, Promote]);
    assert_eq!(concluded(&trial, &gate, 23), "continue");
    assert_eq!(concluded(&trial, &gate, 24), "promote");
    let manual = Gate {
        promote: Promotion::Manual,
        ..gate
    };
    assert_eq!(concluded(&trial, &manual, 24), "ready");
    assert_eq!(concluded(&trial, &manual, 14 * 24), "ready");
    say(&mut trial, &[RollBack, Promote]);
    assert_eq!(concluded(&trial, &manual, 1), "roll-back");
    // Nobody has to pass what is asked for harm alone.
    say(&mut trial, &[Promote, Promote, Verdict::Proceed]);
    assert_eq!(concluded(&trial, &gate, 24), "promote");
    say(&mut trial, &[Promote, Promote, RollBack]);
    assert_eq!(concluded(&trial, &gate, 24), "roll-back");
}

#[test]
fn a_little_better_all_day_does_not_buy_ten_times_as_bad_in_the_evening() {
    let mut trial = trial(ModuleKind::Forecaster, Side::Incumbent);
    for block in 0..96 {
        let is_evening = block >= 72;
        let at = Timestamp(block * 300_000);
        let losses = (if is_evening { 10.0 } else { 0.6 }, 1.0);
        trial.compare(Name::Near, "shop/orders requests", at, losses, 0.1);
    }
    let now = Timestamp(48 * HOUR);
    trial.questions.iter_mut().for_each(|q| q.settle(now));
    let mean = |name: Name| {
        let found = trial.questions.iter().find(|q| q.name == name);
        found.map_or(f64::NAN, Question::mean)
    };
    assert!(mean(Name::Near) < 0.0, "clipped at twice as bad, it wins");
    assert!(mean(Name::Gross) > 0.2, "{}", mean(Name::Gross));
}

#[test]
fn a_watch_ends_by_harm_or_by_time_and_promotes_nobody() {
    let gate = Gate::default();
    let mut trial = trial(ModuleKind::Allocator, Side::Candidate);
    say(&mut trial, &[Verdict::Promote]);
    assert_eq!(concluded(&trial, &gate, 23), "continue");
    assert_eq!(concluded(&trial, &gate, 24), "watched");
    say(&mut trial, &[Verdict::RollBack]);
    assert_eq!(concluded(&trial, &gate, 24), "roll-back");
    let told = gate::conclude(&gate, &trial, Timestamp(HOUR));
    assert!(
        matches!(&told, Conclusion::RollBack(why) if why.contains("after 60 min")),
        "{told:?}"
    );
}

#[test]
fn what_is_known_outlives_the_daemon_and_is_nothing_at_other_steps() {
    for kind in [
        ModuleKind::Allocator,
        ModuleKind::Tierer,
        ModuleKind::Forecaster,
    ] {
        let mut trial = trial(kind, Side::Candidate);
        let name = trial.questions[0].name;
        for block in 0..9 {
            let block = Timestamp(block * 300_000);
            trial.compare(name, "edge", block, (1.0, 2.0), 0.1);
        }
        trial.questions[0].settle(Timestamp(1_800_000));
        let bytes = trial.bytes();
        let again = Trial::of(&bytes, Step::MINUTE, 60).unwrap();
        assert_eq!(again, trial);
        assert_eq!(Trial::of(&bytes, Step::from_secs(300).unwrap(), 60), None);
        for cut in 0..bytes.len() {
            assert_eq!(Trial::of(&bytes[..cut], Step::MINUTE, 60), None);
        }
    }
    assert_eq!(
        Trial::new(about(ModuleKind::Judge, Side::Candidate), Step::MINUTE, 60),
        None
    );
}

#[test]
fn a_use_that_filled_its_grant_is_no_measure_of_a_need() {
    let mut rates = Rates::default();
    rates.feed(Signal::Requests, 0..1, 100.0);
    rates.feed(Signal::Cpu, 0..1, 2.0);
    let api: ApiId = "shop/orders".parse().unwrap();
    let look = Look {
        api: &api,
        start: Timestamp(0),
        step: Step::MINUTE,
        slos: &[],
    };
    let measured = Measured::read(&rates, look).unwrap();
    let need = |limit: f64| {
        let asked = Asked {
            limit,
            median: 3.5,
            demand: 5.0,
        };
        measured
            .need(&rates, Dimension::Cpu, asked, || None)
            .unwrap()
    };
    assert_eq!(need(4.0), Some(2.0), "what was used is what was needed");
    assert_eq!(need(2.0), Some(3.5), "as far as it goes, what was foreseen");
    let memory = Asked {
        limit: 1.0,
        median: 1.0,
        demand: 1.0,
    };
    let unknown = measured.need(&rates, Dimension::Memory, memory, || None);
    assert_eq!(unknown.unwrap(), None);
}

#[test]
fn a_large_pool_is_asked_every_few_steps() {
    assert_eq!(allocators::every(100 * 15), 1);
    assert_eq!(allocators::every(2_000 * 15), 1);
    assert_eq!(allocators::every(10_000 * 15), 5);
}
