//! What a sender's body, an entry of the feeds' journal and a matcher may be: the first byte says which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_bridges::fuzzing::feeds;
use tidegate_fuzz::bounded;

fuzz_target!(|data: &[u8]| {
    bounded(data.len(), || feeds(data));
});
