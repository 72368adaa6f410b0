//! A message of an Envoy's metrics service: walked, and every histogram of it worked with.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_bridges::fuzzing::feeds;
use tidegate_fuzz::bounded;

fuzz_target!(|data: &[u8]| {
    bounded(data.len(), || feeds(&[&[4], data].concat()));
});
