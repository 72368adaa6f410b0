//! Every script under `tests/scenarios` says what it said before, and says it twice.
//!
//! With `TIDEGATE_BLESS=1` the stored output is written anew; the diff is then to be read as the
//! story that changed.

use std::path::{Path, PathBuf};

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(folder).expect("the folder of the scripts is there");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect();
    paths.sort();
    paths
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one switch of this test: whether stored output is compared or written"
)]
fn bless() -> bool {
    std::env::var_os("TIDEGATE_BLESS").is_some_and(|v| v == "1")
}

/// The first line that differs, for a person.
fn difference(stored: &str, told: &str) -> String {
    let mut lines = stored.lines().zip(told.lines()).enumerate();
    match lines.find(|(_, (a, b))| a != b) {
        Some((i, (a, b))) => format!("line {}\n  stored: {a}\n  now:    {b}", i + 1),
        None => format!(
            "{} lines stored, {} now",
            stored.lines().count(),
            told.lines().count()
        ),
    }
}

fn check(path: &Path) -> Result<(), String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stored = std::fs::read_to_string(path).map_err(|e| format!("{name}: {e}"))?;
    let told = tidegate_scenarios::run(&stored).map_err(|e| format!("{name}: {e}"))?;
    let again = tidegate_scenarios::run(&stored).map_err(|e| format!("{name}: {e}"))?;
    if told != again {
        let difference = difference(&told, &again);
        return Err(format!("{name}: two runs differ at {difference}"));
    }
    if bless() {
        return std::fs::write(path, told).map_err(|e| format!("{name}: {e}"));
    }
    if told != stored {
        let difference = difference(&stored, &told);
        return Err(format!(
            "{name}: the story changed at {difference}\n\
             If it is right so: TIDEGATE_BLESS=1 cargo test -p tidegate-scenarios, and read the diff"
        ));
    }
    Ok(())
}

#[test]
fn every_story_is_told_as_it_is_stored_and_the_same_twice() {
    let scripts = scripts();
    assert!(scripts.len() >= 8, "the scripts are there");
    let problems: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = scripts
            .iter()
            .map(|path| scope.spawn(move || check(path)))
            .collect();
        let outcomes = running
            .into_iter()
            .map(|r| r.join().expect("no story panics"));
        outcomes.filter_map(Result::err).collect()
    });
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}
