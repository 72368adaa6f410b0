//! A power cut at every write and at every sync of a script: each is tried, with all that was written, with
//! nothing but what was synced, and with any part of what lies between.

use super::world::{self, Known};
use super::{Files, Told, files, watch};
use crate::backup::Onto;
use crate::store::Store;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tidegate_core::ports::storage::{Notes, StoreError};

/// What the power leaves at once of a file.
const PAGE: usize = 4096;

/// How a disk may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Image {
    /// The process died and the system lives: everything that was written.
    Written,
    /// Nothing that no sync has covered.
    Synced,
    /// Some pages of what no sync has covered, and not others.
    Torn,
}

#[derive(Default)]
struct Tally {
    points: AtomicU64,
    tried: AtomicU64,
    refused: AtomicU64,
    batches: AtomicI64,
    notes: AtomicU64,
    dropped: AtomicU64,
    failures: Mutex<Vec<String>>,
    /// Whether every point is tried, whatever the stride.
    is_close: AtomicBool,
}

impl Tally {
    fn known(&self) -> Known {
        // The bound of what is dropped is read last: it is raised before anything is.
        let (batches, notes) = (
            self.batches.load(Ordering::SeqCst),
            self.notes.load(Ordering::SeqCst),
        );
        Known {
            batches,
            notes,
            dropped: self.dropped.load(Ordering::SeqCst),
        }
    }
}

/// A file between what is durable of it and what was written.
fn torn(durable: &[u8], written: &[u8], rng: &mut Pcg64) -> Vec<u8> {
    let least = durable.len().min(written.len());
    let length = rng.random_range(least..=durable.len().max(written.len()));
    let mut bytes = Vec::with_capacity(length);
    for at in (0..length).step_by(PAGE) {
        let page = |of: &[u8]| {
            let mut page = of.get(at..).unwrap_or_default().to_vec();
            page.resize(PAGE, 0);
            page
        };
        let is_written = rng.random_range(0..2) == 0;
        bytes.extend(if is_written {
            page(written)
        } else {
            page(durable)
        });
    }
    bytes.truncate(length);
    bytes
}

fn lay(dir: &Path, image: Image, durable: &Files, written: &Files, rng: &mut Pcg64) {
    for (name, bytes) in written {
        // What sled keeps beside its log it syncs itself.
        let bytes = match (image, durable.get(name)) {
            (Image::Synced, Some(durable)) if is_ours(name) => durable.clone(),
            (Image::Torn, Some(durable)) if is_ours(name) => torn(durable, bytes, rng),
            _ => bytes.clone(),
        };
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Whether its syncs are seen.
fn is_ours(name: &Path) -> bool {
    name.ends_with("db") || name.extension().is_some_and(|e| e == "log")
}

/// Tries what a power cut leaves; a refusal must have a name.
fn attempt(tally: &Tally, image: Image, dir: &Path, what: &str) {
    let known = tally.known();
    let outcome = std::panic::catch_unwind(|| world::check(dir, known));
    tally.tried.fetch_add(1, Ordering::SeqCst);
    let told = match outcome {
        Ok(Ok(_)) => return,
        Ok(Err(error @ StoreError::Damaged { .. })) if image == Image::Torn => {
            tally.refused.fetch_add(1, Ordering::SeqCst);
            println!("{what}, {image:?}, {known:?}: {error}");
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(panic) => match panic.downcast_ref::<String>() {
            Some(text) => text.clone(),
            None => "it panics".into(),
        },
    };
    // Kept for whoever looks into it, as opening has left it.
    let kept = tempfile::tempdir().unwrap().keep();
    std::fs::rename(dir, kept.join("store")).unwrap_or_default();
    let text = format!("{what}, {image:?}, {known:?}: {told} ({})", kept.display());
    println!("{text}");
    tally.failures.lock().unwrap().push(text);
}

/// Runs the script of so many batches; every `stride`-th point is tried.
fn script(batches: i64, stride: u64, seed: u64) -> Arc<Tally> {
    // In memory where there is such a place: what is durable is counted here and not by a disk.
    let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let home = home.unwrap();
    let dir = home.path().join("store");
    let tally = Arc::new(Tally::default());
    // Opened once, so that a first opening is in the past.
    Store::open(&dir, world::options()).unwrap().close();
    watch(&dir, {
        let (tally, dir) = (tally.clone(), dir.clone());
        let images = home.path().join("images");
        let rng = Mutex::new(Pcg64::seed_from_u64(seed));
        Box::new(move |told| {
            let Told::Point { durable } = told else {
                return;
            };
            let point = tally.points.fetch_add(1, Ordering::SeqCst);
            if point % stride != 0 && !tally.is_close.load(Ordering::SeqCst) {
                return;
            }
            let written = files(&dir);
            let rng = &mut *rng.lock().unwrap();
            for image in [Image::Written, Image::Synced, Image::Torn, Image::Torn] {
                let at = images.join("image");
                lay(&at, image, durable, &written, rng);
                attempt(&tally, image, &at, &format!("point {point}"));
                // A failed one was moved away.
                std::fs::remove_dir_all(&at).unwrap_or_default();
            }
        })
    });
    let mut store = Store::open(&dir, world::options()).unwrap();
    for number in 0..batches {
        world::append(&store, number).unwrap();
        tally.batches.store(number + 1, Ordering::SeqCst);
        let number = number as u64 + 1;
        store.write(&world::note(number)).unwrap();
        tally.notes.store(number, Ordering::SeqCst);
        if number.is_multiple_of(8) {
            tally.dropped.store(number - 3, Ordering::SeqCst);
            store.drop_before(number - 3).unwrap();
        }
        if number.is_multiple_of(3) {
            store
                .retain(&world::keep(), world::end(number as i64))
                .unwrap();
        }
        if number.is_multiple_of(10) {
            let known = tally.known();
            let (file, again) = (home.path().join("backup"), home.path().join("again"));
            store.backup(&file, &mut |_| {}).unwrap();
            Store::restore(&file, &again, Onto::Nothing, &mut |_| {}).unwrap();
            world::check(&again, known).unwrap();
            std::fs::remove_dir_all(&again).unwrap();
            std::fs::remove_file(&file).unwrap();
        }
        if number.is_multiple_of(16) {
            // What the one has written and the next one rests on may not be synced.
            tally.is_close.store(true, Ordering::SeqCst);
            store.close();
            drop(store);
            store = Store::open(&dir, world::options()).unwrap();
            tally.is_close.store(false, Ordering::SeqCst);
        }
    }
    store.close();
    drop(store);
    world::check(&dir, tally.known()).unwrap();
    tally
}

fn run(batches: i64, stride: u64, seed: u64) {
    let tally = script(batches, stride, seed);
    let of = |n: &AtomicU64| n.load(Ordering::SeqCst);
    let failures = tally.failures.lock().unwrap();
    println!(
        "{} points, {} images, {} torn ones refused by name, {} failures (seed {seed})",
        of(&tally.points),
        of(&tally.tried),
        of(&tally.refused),
        failures.len()
    );
    assert!(
        of(&tally.points) > 3 * batches as u64,
        "the script writes too little"
    );
    assert!(failures.is_empty(), "the first: {}", failures[0]);
    assert_eq!(of(&tally.refused), 0, "what was synced cannot be read");
}

#[test]
fn the_power_may_fail_at_any_write_and_any_sync() {
    run(40, 7, 20_261_129);
}

/// `cargo test -p tidegate-store --lib every_point -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes"]
fn every_point_of_a_longer_script_is_tried() {
    for seed in 1..=3 {
        run(120, 1, seed);
    }
}
