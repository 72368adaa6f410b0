//! MO1: a thousand swaps under load, none failed, none mixed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tidegate_core::ids::{BindingId, Digest};
use tidegate_core::module::{ModuleKind, ModuleRef, Selector};
use tidegate_core::policy::{
    Allocation, AllocationInput, Allocator, Blob, CallError, Judge, JudgeInput, Judgement,
    TierInput, TierOutput, Tierer,
};
use tidegate_core::roster::Retreat;
use tidegate_engine::{
    Baselines, By, Candidate, Engine, FaultLimit, Limits, Loaded, Options, Policy, Slots, Subject,
};
use tidegate_hostile::{Guest, horizon, states};

/// Baselines of the kinds that are not asked.
#[derive(Debug)]
struct Never;

fn never<T>() -> Result<T, CallError> {
    Err(CallError::Unavailable("not asked".into()))
}

impl Tierer for Never {
    fn decide(&self, _: &str, _: &TierInput) -> Result<TierOutput, CallError> {
        never()
    }
    fn migrate(&self, _: &Blob) -> Result<Blob, CallError> {
        never()
    }
}

impl Allocator for Never {
    fn allocate(&self, _: &str, _: &AllocationInput) -> Result<Allocation, CallError> {
        never()
    }
    fn migrate(&self, _: &Blob) -> Result<Blob, CallError> {
        never()
    }
}

impl Judge for Never {
    fn judge(&self, _: &str, _: &JudgeInput) -> Result<Judgement, CallError> {
        never()
    }
    fn migrate(&self, _: &Blob) -> Result<Blob, CallError> {
        never()
    }
}

fn slots(baseline: &Loaded) -> Slots {
    let Policy::Forecaster(forecaster) = baseline.policy().clone() else {
        panic!("kind")
    };
    let baselines = Baselines {
        forecaster: (ModuleRef::native("rule"), forecaster),
        tierer: (ModuleRef::native("rule"), Arc::new(Never)),
        allocator: (ModuleRef::native("rule"), Arc::new(Never)),
        judge: (ModuleRef::native("rule"), Arc::new(Never)),
    };
    let slots = Slots::new(baselines, FaultLimit::default());
    slots.declare(&binding(), ModuleKind::Forecaster, Selector::default());
    slots
}

fn binding() -> BindingId {
    BindingId::new("all").unwrap()
}

fn admit(engine: &Engine, guest: &Guest) -> Loaded {
    engine
        .admit(&guest.build().unwrap(), &Limits::default())
        .unwrap()
}

#[test]
fn a_thousand_swaps_under_load_fail_no_call_and_mix_no_versions() {
    let engine = Engine::new(Options::default()).unwrap();
    let versions: Vec<Loaded> = (1..=2)
        .map(|stamp| admit(&engine, &Guest::forecaster("version").stamp(stamp)))
        .collect();
    let stamps: BTreeMap<Digest, f64> = versions
        .iter()
        .map(Loaded::digest)
        .zip([1.0, 2.0])
        .collect();
    let slots = slots(&admit(&engine, &Guest::forecaster("rule").stamp(9)));
    slots
        .swap(&binding(), &Candidate::from(&versions[0]), "{}", By::Itself)
        .unwrap();
    let (done, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    let seen = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen: BTreeMap<Digest, u64> = BTreeMap::new();
                    while !done.load(Ordering::Relaxed) {
                        let pinned = slots.pin();
                        let resolved = pinned.forecaster(&Subject::default()).unwrap();
                        let member = &resolved.roster.members[0];
                        assert_eq!(member.retreat, Retreat::Active);
                        // Two calls of one cycle, and within each many numbers.
                        for _ in 0..2 {
                            let asked = horizon(&[0; 8], 16);
                            let answer = member.policy.predict(&[], &states(8), &asked).unwrap();
                            let stamp = stamps[&member.module.digest];
                            assert!(answer.mean.iter().all(|m| m.to_bits() == stamp.to_bits()));
                            assert!(answer.status.iter().all(Result::is_ok));
                            *seen.entry(member.module.digest).or_default() += 1;
                            calls.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    seen
                })
            })
            .collect();
        for n in 1..=1000_u64 {
            let candidate = Candidate::from(&versions[(n % 2) as usize]);
            slots
                .swap(&binding(), &candidate, "{}", By::Itself)
                .unwrap();
            // At least one call per swap, so that every swap happens under load.
            while calls.load(Ordering::Relaxed) < n {
                std::thread::yield_now();
            }
        }
        done.store(true, Ordering::Relaxed);
        let mut seen: BTreeMap<Digest, u64> = BTreeMap::new();
        for caller in callers {
            for (digest, n) in caller.join().expect("no call failed or mixed") {
                *seen.entry(digest).or_default() += n;
            }
        }
        seen
    });
    assert_eq!(seen.len(), 2, "both versions served: {seen:?}");
    let total: u64 = seen.values().sum();
    assert_eq!(slots.info()[0].epoch, 1001);
    println!("1000 swaps under {total} calls: 0 failed, 0 mixed");
}

#[test]
fn a_module_that_keeps_trapping_unseats_itself() {
    let engine = Engine::new(Options::default()).unwrap();
    let good = admit(&engine, &Guest::forecaster("m").stamp(1));
    let bad = admit(
        &engine,
        &Guest::forecaster("m")
            .stamp(2)
            .body("predict", "(unreachable)"),
    );
    let slots = slots(&admit(&engine, &Guest::forecaster("rule").stamp(9)));
    for loaded in [&good, &bad] {
        slots
            .swap(&binding(), &Candidate::from(loaded), "{}", By::Itself)
            .unwrap();
    }
    let mut stamps = vec![];
    let mut rolled_back = vec![];
    for _ in 0..5 {
        let mut faults = vec![];
        let pinned = slots.pin();
        let roster = pinned.forecaster(&Subject::default()).unwrap().roster;
        let asked = horizon(&[0], 1);
        let answer = roster
            .call(
                "series",
                &mut faults,
                |member| member.policy.predict(&[], &states(1), &asked),
                |_| Ok(()),
            )
            .unwrap();
        stamps.push((answer.value.mean[0], answer.served.retreat));
        rolled_back.extend(slots.report_faults(&faults));
    }
    // Every cycle had an answer, from the version before.
    assert!(
        stamps
            .iter()
            .all(|(stamp, _)| stamp.to_bits() == 1.0_f64.to_bits())
    );
    let retreats: Vec<Retreat> = stamps.into_iter().map(|(_, retreat)| retreat).collect();
    let (back, active) = (Retreat::LastGood, Retreat::Active);
    assert_eq!(retreats, [back, back, back, active, active]);
    assert_eq!(rolled_back.len(), 1);
    assert_eq!(rolled_back[0].quarantined, bad.digest());
    assert!(
        rolled_back[0].cause.contains("unreachable"),
        "{}",
        rolled_back[0].cause
    );
    let again = slots.swap(&binding(), &Candidate::from(&bad), "{}", By::Itself);
    assert!(again.unwrap_err().to_string().contains("RB1"));
}
