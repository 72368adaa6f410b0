//! What a process that ran a stranger's code may say to the daemon, and what a worker may be asked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_engine::wire;

/// Bytes of code that are taken.
const MOST: usize = 4096;

fuzz_target!(|data: &[u8]| {
    let _ = wire::header(&mut &*data);
    if let Ok(answer) = wire::hear(data, MOST) {
        assert!(answer.artefact.is_none_or(|code| code.size() <= MOST));
    }
});
