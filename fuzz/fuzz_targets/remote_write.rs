//! A body of remote write, read as both versions: a sender chooses by a header, so nothing in the bytes tells.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_bridges::fuzzing::feeds;
use tidegate_fuzz::bounded;

fuzz_target!(|data: &[u8]| {
    bounded(data.len(), || {
        feeds(&[&[1], data].concat());
        feeds(&[&[2], data].concat())
    });
});
