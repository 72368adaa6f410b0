//! Segments of a log whose frames somebody made up.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_fuzz::{PLACE, bounded};
use tidegate_store::fuzzing::log;

fuzz_target!(|data: &[u8]| {
    let dir = tempfile::tempdir_in(PLACE.path()).expect("a directory is made");
    bounded(data.len(), || log(dir.path(), data));
});
