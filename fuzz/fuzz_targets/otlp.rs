//! A body of OTLP, as it comes by HTTP and by gRPC: walked, and every histogram of it worked with.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_bridges::fuzzing::feeds;
use tidegate_fuzz::bounded;

fuzz_target!(|data: &[u8]| {
    bounded(data.len(), || feeds(&[&[0], data].concat()));
});
