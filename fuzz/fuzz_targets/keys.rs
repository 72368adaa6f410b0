//! Hostile keys and values, every one by itself; and, where the first byte says so, as a store that is
//! restored, opened, checked, read, rolled up, written to and opened again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_fuzz::{PLACE, bounded};
use tidegate_store::fuzzing::{keys, restored};

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
