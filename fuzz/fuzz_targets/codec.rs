//! A stored value of any form: the first byte says which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_fuzz::bounded;
use tidegate_store::fuzzing::codec;

fuzz_target!(|data: &[u8]| {
    bounded(data.len(), || codec(data));
});
