//! Compiled code that is kept between starts, and what happens when somebody touches it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use tidegate_engine::{Engine, Limits, Loaded, Options, Policy, Source};
use tidegate_hostile::{Guest, horizon, states};

fn engine(directory: &Path) -> Engine {
    let options = Options {
        cache: Some(directory.to_owned()),
        ..Options::default()
    };
    Engine::new(options).unwrap()
}

fn admit(engine: &Engine, bytes: &[u8]) -> Loaded {
    engine.admit(bytes, &Limits::default()).unwrap()
}

fn mean(loaded: &Loaded) -> f64 {
    let Policy::Forecaster(policy) = loaded.policy() else {
        panic!("kind")
    };
    policy
        .predict(&[], &states(1), &horizon(&[0], 1))
        .unwrap()
        .mean[0]
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "cwasm"))
        .collect();
    files.sort();
    files
}

#[test]
fn a_second_start_compiles_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let guests: Vec<Vec<u8>> = (0..50)
        .map(|n| {
            Guest::forecaster(&format!("m{n}"))
                .stamp(n)
                .build()
                .unwrap()
        })
        .collect();
    let first = engine(directory.path());
    for bytes in &guests {
        assert_eq!(admit(&first, bytes).source(), Source::Compiled);
    }
    drop(first);
    let second = engine(directory.path());
    for (n, bytes) in guests.iter().enumerate() {
        let loaded = admit(&second, bytes);
        assert_eq!(loaded.source(), Source::Cached);
        assert_eq!(mean(&loaded).to_bits(), (n as f64).to_bits());
    }
    assert_eq!(files(directory.path()).len(), 50);
}

#[test]
fn a_file_that_was_touched_is_compiled_anew() {
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = [1, 2].map(|n| Guest::forecaster("m").stamp(n).build().unwrap());
    let engine = engine(directory.path());
    admit(&engine, &one);
    let path = files(directory.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&flipped[..], &whole[..whole.len() / 2], &whole[..9], b""] {
        fs::write(&path, damaged).unwrap();
        let loaded = admit(&engine, &one);
        assert_eq!(
            (loaded.source(), mean(&loaded).to_bits()),
            (Source::Compiled, 1.0_f64.to_bits())
        );
        assert_eq!(
            admit(&engine, &one).source(),
            Source::Cached,
            "the good file is back"
        );
    }
    // Another module's authentic file under this name is not authentic here.
    admit(&engine, &two);
    let other = files(directory.path())
        .into_iter()
        .find(|p| *p != path)
        .unwrap();
    fs::copy(&other, &path).unwrap();
    let loaded = admit(&engine, &one);
    assert_eq!(
        (loaded.source(), mean(&loaded).to_bits()),
        (Source::Compiled, 1.0_f64.to_bits())
    );
}

#[test]
fn another_key_trusts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = Guest::forecaster("m").build().unwrap();
    admit(&engine(directory.path()), &bytes);
    fs::remove_file(directory.path().join("cache.key")).unwrap();
    assert_eq!(
        admit(&engine(directory.path()), &bytes).source(),
        Source::Compiled
    );
}
