//! Hostile keys and values, every one by itself; and, where the first byte says so, as a store that is
//! restored, opened, checked, read, rolled up, written to and opened again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::LazyLock;
use tidegate_fuzz::bounded;
use tidegate_store::fuzzing::{keys, restored};

/// Memory rather than a disk, where there is such a place: a store syncs.
static PLACE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let made = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
    made.expect("a directory is made")
});

fuzz_target!(|data: &[u8]| {
    let Some((way, values)) = data.split_first() else {
        return;
    };
    bounded(values.len(), || {
        keys(values);
        true
    });
    if way % 4 == 0 {
        let dir = tempfile::tempdir_in(PLACE.path()).expect("a directory is made");
        restored(dir.path(), values);
    }
});
