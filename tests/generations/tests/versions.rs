//! Components of every released interface version serve side by side, and their states outlive swaps.

use std::sync::{Arc, LazyLock};
use tidegate_conformance::{check, pools, samples};
use tidegate_core::ids::Digest;
use tidegate_core::invariant::{check_allocation, check_forecasts};
use tidegate_core::module::{ModuleKind, ModuleRef};
use tidegate_core::policy::{Blob, Forecaster, Forecasts, Kept, TierInput, Tierer, Verdict};
use tidegate_core::time::Timestamp;
use tidegate_core::units::Level;
use tidegate_engine::{Engine, Limits, Loaded, Options, Policy};
use tidegate_generations::Guest;

static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(Options::default()).expect("an engine"));

fn load(guest: Guest) -> Loaded {
    let component = guest.component().expect("it builds");
    ENGINE
        .admit(&component, &Limits::default())
        .expect("it is admitted")
}

fn forecaster(guest: Guest) -> (ModuleRef, Arc<dyn Forecaster>) {
    let loaded = load(guest);
    match loaded.policy().clone() {
        Policy::Forecaster(policy) => (loaded.module_ref(), policy),
        other => panic!("{other:?}"),
    }
}

fn tierer(guest: Guest) -> (ModuleRef, Arc<dyn Tierer>) {
    let loaded = load(guest);
    match loaded.policy().clone() {
        Policy::Tierer(policy) => (loaded.module_ref(), policy),
        other => panic!("{other:?}"),
    }
}

/// Rows that are fitted; those after them are news.
const FITTED: usize = samples::ROWS - 20;
const ALL: [usize; samples::SERIES] = [0, 1, 2, 3, 4];

/// The last value of each series, and of the rows before the news.
fn lasts(rows: usize) -> Vec<f64> {
    let last = |i: &usize| {
        let values = samples::series(*i, samples::ROWS);
        let mut known = values[..rows].iter().rev();
        known.find(|v| !v.is_nan()).copied().unwrap_or_default()
    };
    ALL.iter().map(last).collect()
}

#[track_caller]
fn tells(forecasts: &Forecasts, values: &[f64]) {
    let first: Vec<f64> = forecasts.mean.chunks(12).map(|steps| steps[0]).collect();
    assert_eq!(first, values);
    assert!(forecasts.status.iter().all(Result::is_ok), "{forecasts:?}");
}

#[test]
fn what_was_built_for_0_1_keeps_every_promise_of_its_kind() {
    for (guest, kind) in [
        (Guest::FirstForecaster, ModuleKind::Forecaster),
        (Guest::FirstTierer, ModuleKind::Tierer),
        (Guest::FirstAllocator, ModuleKind::Allocator),
        (Guest::FirstJudge, ModuleKind::Judge),
    ] {
        let loaded = load(guest);
        let manifest = loaded.manifest();
        assert_eq!((manifest.kind, &*manifest.interface), (kind, "0.1.0"));
    }
    // What a forecaster was promised to be asked, it is asked: both steps, in two calls.
    let (_, first) = forecaster(Guest::FirstForecaster);
    let fitted = first
        .fit("{}", &samples::frames(&ALL, 0, FITTED))
        .expect("it fits");
    let news = samples::frames(&ALL, FITTED, samples::ROWS);
    let asked = samples::horizon(&ALL, samples::ROWS, 12, &Level::STANDARD);
    let said = first
        .advance(&fitted.model, &fitted.states, &news, &asked)
        .expect("it advances");
    assert_eq!(check_forecasts(&asked, &said.forecasts), Ok(()));
    tells(&said.forecasts, &lasts(samples::ROWS));

    let (_, tiers) = tierer(Guest::FirstTierer);
    let question = samples::tiers(9, 1);
    let said = tiers.decide("{}", &question).expect("it decides");
    assert_eq!((said.wanted, said.state.bytes), (question.base, vec![1]));

    let Policy::Allocator(shares) = load(Guest::FirstAllocator).policy().clone() else {
        panic!("kind")
    };
    let mut pool = pools::pool(
        pools::Shape {
            apis: 3,
            tenants: 1,
            steps: 4,
            dimensions: 2,
        },
        5,
    );
    // Within these bounds equal parts are lawful.
    let cells = pool.capacity.len();
    (pool.capacity, pool.floor) = (vec![30.0; cells], vec![1.0; 6]);
    pool.ceiling = vec![f64::MAX; 6];
    pool.quota.iter_mut().for_each(|q| *q = f64::MAX);
    pool.previous_limit = vec![-1.0; 6];
    pool.previous_guaranteed = vec![-1.0; 6];
    pool.max_share = vec![1.0; 3];
    let plan = shares.allocate("{}", &pool).expect("it allocates");
    assert_eq!(check_allocation(&pool, &plan), Ok(()));
    assert!(plan.limit.iter().all(|limit| (limit - 10.0).abs() < 1e-9));

    let Policy::Judge(judge) = load(Guest::FirstJudge).policy().clone() else {
        panic!("kind")
    };
    let verdict = |shadow| {
        let said = judge.judge("{}", &samples::release(0, 3, shadow, 10));
        let said = said.expect("it judges");
        assert_eq!(said.state.bytes, [3]);
        said.verdict
    };
    assert_eq!(
        [verdict(11), verdict(30)],
        [Verdict::Proceed, Verdict::RollBack]
    );
}

#[test]
fn a_forecaster_goes_from_0_1_to_0_2_and_back_with_what_it_learned() {
    let (_, first) = forecaster(Guest::FirstForecaster);
    let (_, second) = forecaster(Guest::SecondForecaster);
    let fitted = first
        .fit("{}", &samples::frames(&ALL, 0, FITTED))
        .expect("it fits");
    let moved = second
        .migrate(&fitted.model, &fitted.states)
        .expect("it migrates");
    assert_eq!((fitted.states.format, moved.states.format), (1, 2));
    let asked = samples::horizon(&ALL, FITTED, 12, &Level::STANDARD);
    let old = first.predict(&fitted.model, &fitted.states, &asked);
    let new = second.predict(&moved.model, &moved.states, &asked);
    assert_eq!(old, new, "the swap is not seen in the answers");
    let news = samples::frames(&ALL, FITTED, samples::ROWS);
    let asked = samples::horizon(&ALL, samples::ROWS, 12, &Level::STANDARD);
    let said = second
        .advance(&moved.model, &moved.states, &news, &asked)
        .expect("it advances");
    tells(&said.forecasts, &lasts(samples::ROWS));
    // Back: the first never wrote format 2, and says so; its own states are as it left them.
    assert!(first.migrate(&moved.model, &said.states).is_err());
    let back = first
        .advance(&fitted.model, &fitted.states, &news, &asked)
        .expect("it advances");
    tells(&back.forecasts, &lasts(samples::ROWS));
}

#[test]
fn a_tierers_count_goes_from_0_1_to_0_2_and_back() {
    let (one, first) = tierer(Guest::FirstTierer);
    let (two, second) = tierer(Guest::SecondTierer);
    assert_ne!(one.digest, two.digest);
    let ask = |module: &ModuleRef, policy: &Arc<dyn Tierer>, kept: &Kept| {
        let state = kept.for_module(module, |blob| policy.migrate(blob));
        let question = TierInput {
            state,
            ..samples::tiers(2, 1)
        };
        let said = policy.decide("{}", &question).expect("it decides");
        let mut kept = kept.clone();
        kept.follow(module.clone(), said.state, Timestamp(0));
        (said.reasons[0].clone(), kept)
    };
    let (_, kept) = ask(&one, &first, &Kept::default());
    let (_, before) = ask(&one, &first, &kept);
    let (said, after) = ask(&two, &second, &before);
    assert_eq!((&*said, after.blob.format), ("asked 3 times", 2));
    // Back: the state of the second is nothing to the first, its own of before is there still.
    let (said, back) = ask(&one, &first, &after);
    assert_eq!((&*said, back.blob.format), ("asked 3 times", 1));
}

#[test]
fn one_call_of_0_2_says_what_two_say() {
    let component = Guest::SecondForecaster.component().expect("it builds");
    let report = check(&component).expect("it is admitted");
    let case = "an advance is an update and a forecast of it";
    let asked = report.cases.iter().any(|c| c.name == case);
    let failed = report.failures().any(|(name, _)| name == case);
    assert!(asked && !failed, "{report}");
}

#[test]
fn what_was_stored_as_0_1_0_next_serves_as_0_1() {
    for kind in ModuleKind::ALL {
        let guest = tidegate_hostile::Guest::new(kind, "old").interface("0.1.0-next");
        let loaded = ENGINE
            .admit(&guest.build().expect("it builds"), &Limits::default())
            .expect("it is admitted");
        assert_eq!(loaded.manifest().interface, "0.1.0-next");
        match loaded.policy() {
            Policy::Forecaster(policy) => {
                let asked = tidegate_hostile::horizon(&[256], 2);
                let said = policy.predict(&[], &tidegate_hostile::states(1), &asked);
                assert_eq!(said.expect("it predicts").mean, [1.0, 1.0]);
            }
            Policy::Tierer(policy) => {
                let moved = policy.migrate(&Blob {
                    format: 4,
                    bytes: vec![7],
                });
                assert_eq!(moved.expect("it migrates").format, 5);
            }
            Policy::Allocator(_) | Policy::Judge(_) => {}
        }
    }
}

/// What components were built against can never change: they would be refused, or worse, misread.
#[test]
fn the_folders_of_released_versions_are_frozen() {
    for (version, digest) in [("0.1", FIRST), ("0.2", SECOND)] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        let files = std::fs::read_dir(folder.join(version)).expect("the folder is there");
        let mut files: Vec<_> = files.map(|file| file.expect("readable").path()).collect();
        files.sort();
        let mut bytes = vec![];
        for file in files {
            let name = file
                .file_name()
                .expect("a file")
                .to_string_lossy()
                .into_owned();
            let text = std::fs::read(&file).expect("readable");
            bytes.extend(format!("{name} {}\n", text.len()).bytes());
            bytes.extend(text);
        }
        assert_eq!(
            Digest::of(&bytes).to_string(),
            digest,
            "wit/{version} is released and may not change, not even in a comment: begin the next \
             version in a folder of its own"
        );
    }
}

const FIRST: &str = "9a6abbedf7e1bd0a9081a1ec6757312edbd905eed61b412b567e9a3ce39961d1";
const SECOND: &str = "2131477555e68d74ecfd86d9df1ced7b5cc3c1ce3529b167ef2cd0ab53dedd67";
