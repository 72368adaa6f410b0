//! Swaps: how soon a module that was pushed answers, and what swaps and a guest that spins cost the calls
//! of other bindings.
//!
//! Disturbed and undisturbed spells take turns in one run; what is compared is the 99th percentile of the
//! calls of a binding that nobody touches.

use crate::{Outcome, at, marked, median, row, us};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tidegate_core::ids::BindingId;
use tidegate_core::module::{ModuleKind, ModuleRef, Selector};
use tidegate_core::policy::{
    Allocation, AllocationInput, Allocator, Blob, CallError, Judge, JudgeInput, Judgement,
    TierInput, TierOutput, Tierer,
};
use tidegate_engine::{
    Baselines, By, Candidate, Engine, Limits, Loaded, Options, Policy, Slots, Source, Subject,
};
use tidegate_hostile::{Guest, LOOP, horizon, states};

const SPELLS: usize = 6;
const SPELL: Duration = Duration::from_secs(5);
/// A call of the binding that is watched begins so often.
const PACE: Duration = Duration::from_millis(1);
/// 1,000 swaps a minute.
const SWAP: Duration = Duration::from_millis(60);

/// Baselines of the kinds that are not asked.
#[derive(Debug)]
struct Nobody;

fn nothing<T>() -> Result<T, CallError> {
    Err(CallError::Unavailable("not asked".into()))
}

impl Tierer for Nobody {
    fn decide(&self, _: &str, _: &TierInput) -> Result<TierOutput, CallError> {
        nothing()
    }
    fn migrate(&self, _: &Blob) -> Result<Blob, CallError> {
        nothing()
    }
}

impl Allocator for Nobody {
    fn allocate(&self, _: &str, _: &AllocationInput) -> Result<Allocation, CallError> {
        nothing()
    }
    fn migrate(&self, _: &Blob) -> Result<Blob, CallError> {
        nothing()
    }
}

impl Judge for Nobody {
    fn judge(&self, _: &str, _: &JudgeInput) -> Result<Judgement, CallError> {
        nothing()
    }
    fn migrate(&self, _: &Blob) -> Result<Blob, CallError> {
        nothing()
    }
}

struct World {
    engine: Engine,
    slots: Slots,
    /// Versions that are swapped, with their code in the cache.
    versions: Vec<Vec<u8>>,
    _cache: tempfile::TempDir,
}

impl World {
    fn new(shipped: &[u8]) -> Outcome<Self> {
        let cache = tempfile::tempdir()?;
        let engine = Engine::new(Options {
            cache: Some(cache.path().to_owned()),
            ..Options::default()
        })?;
        let rule = engine.admit(&Guest::forecaster("rule").build()?, &Limits::default())?;
        let Policy::Forecaster(forecaster) = rule.policy().clone() else {
            return Err("the rule is no forecaster".into());
        };
        let name = ModuleRef::native;
        let slots = Slots::new(
            Baselines {
                forecaster: (name("rule"), forecaster),
                tierer: (name("rule"), Arc::new(Nobody)),
                allocator: (name("rule"), Arc::new(Nobody)),
                judge: (name("rule"), Arc::new(Nobody)),
            },
            tidegate_engine::FaultLimit::default(),
        );
        slots.declare(&binding()?, ModuleKind::Forecaster, Selector::default());
        let versions: Vec<Vec<u8>> = (0..2).map(|n| marked(shipped, n)).collect();
        for version in &versions {
            engine.admit(version, &Limits::default())?;
        }
        Ok(Self {
            engine,
            slots,
            versions,
            _cache: cache,
        })
    }

    /// From the bytes of a module whose code is kept to the slot that it serves.
    fn swap(&self, n: usize) -> Outcome {
        let version = &self.versions[n % self.versions.len()];
        let loaded = self.engine.admit(version, &Limits::default())?;
        if loaded.source() != Source::Cached {
            return Err("the module was compiled again".into());
        }
        let by = By::Itself;
        self.slots
            .swap(&binding()?, &Candidate::from(&loaded), "{}", by)?;
        Ok(())
    }
}

fn binding() -> Outcome<BindingId> {
    Ok(BindingId::new("all")?)
}

fn admit(engine: &Engine, guest: &Guest) -> Outcome<Loaded> {
    Ok(engine.admit(&guest.build()?, &Limits::default())?)
}

pub(crate) fn run(shipped: Vec<(String, Vec<u8>)>) -> Outcome {
    let (_, shipped) = shipped.into_iter().next().ok_or("nothing was built")?;
    let world = World::new(&shipped)?;
    latency(&world)?;
    others(&world)
}

fn latency(world: &World) -> Outcome {
    let mut times = Vec::new();
    for n in 0..300 {
        let begun = Instant::now();
        world.swap(n)?;
        let pinned = world.slots.pin();
        let resolved = pinned.forecaster(&Subject::default()).ok_or("no slot")?;
        let member = resolved.roster.members.first().ok_or("no member")?;
        // What it says of a state that it did not write is an answer too.
        let said = member.policy.predict(&[], &states(1), &horizon(&[1], 4));
        times.push(begun.elapsed().as_secs_f64());
        if !matches!(said, Ok(_) | Err(CallError::Policy(_))) {
            return Err(format!("{said:?}").into());
        }
    }
    let p99 = us(at(times.clone(), 0.99));
    let what = "push of a cached module to its first answer";
    row(what, "", &us(median(times)), "", &format!("(p99 {p99})"));
    Ok(())
}

fn others(world: &World) -> Outcome {
    let watched = admit(&world.engine, &Guest::forecaster("watched").stamp(7))?;
    let spins = admit(
        &world.engine,
        &Guest::forecaster("spins").body("predict", LOOP),
    )?;
    let mut times = [Vec::new(), Vec::new()];
    let swaps = AtomicU32::new(0);
    for spell in 0..2 * SPELLS {
        let is_disturbed = spell % 2 == 1;
        let over = AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            if is_disturbed {
                scope.spawn(|| spin(&spins, &over));
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let n = swaps.fetch_add(1, Ordering::Relaxed);
                        if let Err(error) = world.swap(n as usize) {
                            println!("a swap failed: {error}");
                            return;
                        }
                        sleep(SWAP);
                    }
                });
            }
            let seen = watch(&watched);
            over.store(true, Ordering::Relaxed);
            seen
        })?;
        times[usize::from(is_disturbed)].extend(seen);
    }
    let swaps = swaps.load(Ordering::Relaxed);
    for (part, goal) in [(0.5, ""), (0.99, "<= 1.2x"), (0.999, "")] {
        let [calm, disturbed] = times.clone().map(|times| at(times, part));
        let what = format!(
            "p{} of others: calm, then spin and {swaps} swaps",
            part * 100.0
        );
        let ratio = format!("{:.2}x", disturbed / calm);
        row(&what, &us(calm), &us(disturbed), &ratio, goal);
    }
    Ok(())
}

fn spin(module: &Loaded, over: &AtomicBool) {
    let Policy::Forecaster(policy) = module.policy() else {
        return;
    };
    while !over.load(Ordering::Relaxed) {
        // Each call ends at its deadline.
        let _ = policy.predict(&[], &states(1), &horizon(&[1], 1));
    }
}

fn watch(module: &Loaded) -> Result<Vec<f64>, CallError> {
    let Policy::Forecaster(policy) = module.policy() else {
        return nothing();
    };
    let (asked, states) = (horizon(&[1, 2, 3, 4], 12), states(4));
    let mut times = Vec::new();
    let spell = Instant::now();
    while spell.elapsed() < SPELL {
        sleep(PACE);
        let begun = Instant::now();
        policy.predict(&[], &states, &asked)?;
        times.push(begun.elapsed().as_secs_f64());
    }
    Ok(times)
}
