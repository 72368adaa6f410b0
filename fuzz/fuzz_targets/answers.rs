//! What the host makes of an answer, whatever lies in the guest's memory.
//!
//! The guest answers with the very bytes that it was given as a model or a state: those are the input. Its
//! first byte chooses the function; then come words of the answer's record, in a code that finds addresses
//! sooner than chance does: a byte below 128 is that number, one below 224 an address behind the record, any
//! other stands before four bytes that are taken as they are. What is left lies behind the record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use tidegate_core::invariant::check_forecasts;
use tidegate_core::module::ModuleKind;
use tidegate_core::policy::{
    AllocationInput, Allocator, Blob, Counts, Fitted, Forecaster, Judge, JudgeInput, TierInput,
    Tierer,
};
use tidegate_core::tier::Tier;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Dimension;
use tidegate_engine::{Engine, Options, Policy};
use tidegate_fuzz::limits;
use tidegate_hostile::{Guest, frames, horizon, states};

/// Where the guest's allocator begins; the first thing that is lowered into a fresh instance lies there.
const BASE: u32 = 65_536;

/// Words of the record.
const WORDS: usize = 16;

struct Guests {
    forecaster: Arc<dyn Forecaster>,
    tierer: Arc<dyn Tierer>,
    allocator: Arc<dyn Allocator>,
    judge: Arc<dyn Judge>,
}

static GUESTS: LazyLock<Guests> = LazyLock::new(|| {
    let engine = Engine::new(Options {
        instances: 4,
        memory_max: 4 << 20,
        ..Options::default()
    });
    let engine = engine.expect("an engine starts");
    // Where each function's bytes are: behind its one parameter, or in it.
    let behind = |offset: u32| format!("(i32.load offset={offset} (local.get 0))");
    let policy = |kind: ModuleKind, bodies: &[(&str, String)]| {
        let guest = bodies
            .iter()
            .fold(Guest::new(kind, "echo"), |guest, (name, body)| {
                guest.body(name, body)
            });
        let bytes = guest.build().expect("the guest builds");
        let loaded = engine.admit(&bytes, &limits()).expect("it is admitted");
        loaded.policy().clone()
    };
    let states = |call: &str| {
        [
            (call.to_owned(), behind(28)),
            ("migrate".into(), "(local.get 1)".into()),
        ]
    };
    let kind = |kind: ModuleKind, call: &str| {
        let bodies = states(call);
        let bodies: Vec<(&str, String)> = bodies
            .iter()
            .map(|(n, b)| (n.as_str(), b.clone()))
            .collect();
        policy(kind, &bodies)
    };
    let forecaster = policy(
        ModuleKind::Forecaster,
        &[
            ("fit", behind(8)),
            ("update", behind(0)),
            ("predict", behind(0)),
            ("advance", behind(0)),
            ("migrate", "(local.get 0)".into()),
        ],
    );
    match (
        forecaster,
        kind(ModuleKind::Tierer, "decide"),
        kind(ModuleKind::Allocator, "allocate"),
        kind(ModuleKind::Judge, "judge"),
    ) {
        (
            Policy::Forecaster(forecaster),
            Policy::Tierer(tierer),
            Policy::Allocator(allocator),
            Policy::Judge(judge),
        ) => Guests {
            forecaster,
            tierer,
            allocator,
            judge,
        },
        other => panic!("{other:?}"),
    }
});

/// The answer's bytes.
fn answer(code: &[u8]) -> Vec<u8> {
    let mut code = code.iter().copied();
    let mut answer = vec![];
    for _ in 0..WORDS {
        let word = match code.next() {
            None => 0,
            Some(byte @ ..=127) => u32::from(byte),
            Some(byte @ ..=223) => BASE + 4 * WORDS as u32 + 4 * u32::from(byte - 128),
            Some(_) => {
                let mut next = || code.next().unwrap_or_default();
                u32::from_le_bytes([next(), next(), next(), next()])
            }
        };
        answer.extend(word.to_le_bytes());
    }
    answer.extend(code);
    answer
}

fn fitted(outcome: Result<Fitted, tidegate_core::policy::CallError>, series: usize) {
    if let Ok(fitted) = outcome {
        assert_eq!((fitted.status.len(), fitted.states.len()), (series, series));
        // Every slice is in the bytes.
        let all: usize = (0..series).map(|i| fitted.states.get(i).len()).sum();
        assert_eq!(all, fitted.states.bytes.len());
    }
}

fuzz_target!(|data: &[u8]| {
    let [function, code @ ..] = data else { return };
    let bytes = answer(code);
    let blob = || Blob {
        format: 1,
        bytes: bytes.clone(),
    };
    let guests = &*GUESTS;
    match function % 10 {
        0 => fitted(guests.forecaster.fit_from("", &bytes, &frames(&[1])), 1),
        1 => {
            let asked = horizon(&[1, 2], 2);
            if let Ok(said) = guests.forecaster.predict(&bytes, &states(2), &asked) {
                assert_eq!((said.mean.len(), said.quantiles.len()), (4, 12));
                assert_eq!(said.status.len(), 2);
                let _ = check_forecasts(&asked, &said);
            }
        }
        2 => fitted(
            guests.forecaster.update(&bytes, &states(1), &frames(&[1])),
            1,
        ),
        3 => fitted(guests.forecaster.migrate(&bytes, &states(3)), 3),
        4 => {
            let _ = guests.tierer.decide("", &tiers(blob()));
        }
        5 => {
            let _ = guests.allocator.allocate("", &pool(blob()));
        }
        6 => {
            let _ = guests.judge.judge("", &shadow(blob()));
        }
        7 => {
            let _ = guests.tierer.migrate(&blob());
        }
        8 => {
            let _ = guests.judge.migrate(&blob());
        }
        _ => {
            let (news, asked) = (frames(&[1, 2]), horizon(&[1, 2], 2));
            if let Ok(said) = guests.forecaster.advance(&bytes, &states(2), &news, &asked) {
                assert_eq!(said.states.len(), 2);
                assert_eq!(
                    (said.forecasts.mean.len(), said.forecasts.status.len()),
                    (4, 2)
                );
            }
        }
    }
});

fn tiers(state: Blob) -> TierInput {
    TierInput {
        now: Timestamp(1),
        seed: 2,
        state,
        apis: vec![1],
        current: vec![Tier::Gold],
        base: vec![Tier::Gold],
        lowest: vec![Tier::Bronze],
        highest: vec![Tier::Gold],
        dwell: vec![0],
        expected: vec![1.0],
        levels: vec![],
        peak: vec![],
        utilisation: vec![0.5],
        burn_windows: vec![],
        burn: vec![],
        budget_left: vec![1.0],
    }
}

fn pool(state: Blob) -> AllocationInput {
    AllocationInput {
        now: Timestamp(1),
        seed: 2,
        state,
        grid: Grid {
            start: Timestamp(0),
            step: Step::MINUTE,
            count: 1,
        },
        dimensions: vec![Dimension::Cpu],
        capacity: vec![9.0],
        capacity_max: vec![9.0],
        apis: vec![7],
        tiers: vec![Tier::Silver],
        weights: vec![1.0],
        tenants: vec![0],
        floor: vec![0.0],
        ceiling: vec![9.0],
        demand: vec![1.0],
        median: vec![1.0],
        expected: vec![1.0],
        usage: vec![1.0],
        previous_guaranteed: vec![-1.0],
        previous_limit: vec![-1.0],
        step_up: vec![2.0],
        step_down: vec![0.5],
        emergency: vec![false],
        quota: vec![9.0],
        lends: vec![true],
        borrows: vec![true],
        max_share: vec![1.0; 3],
    }
}

fn shadow(state: Blob) -> JudgeInput {
    JudgeInput {
        now: Timestamp(1),
        seed: 2,
        state,
        metrics: vec![],
        flushes: vec![],
        counts: Counts::default(),
        dispersion: vec![],
        paired_losses: vec![],
        paired_horizon: 1,
        remaining_s: 60,
    }
}
