//! Fuzz targets for what comes from strangers, by [cargo-fuzz](https://rust-fuzz.github.io/book/) on a
//! stable compiler:
//!
//! ```sh
//! cargo install cargo-fuzz
//! cd fuzz && RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none answers -- -max_total_time=600
//! ```
//!
//! | target | what it is fed with |
//! | --- | --- |
//! | `admission` | a component, or edits of a good one, to the whole of admission, and one call to what passes |
//! | `answers` | the memory that a guest gives as its answer, to the lifting and checks of every function |
//! | `feeds` | bodies of OTLP, remote write and Envoy, entries of the feeds' journal, matchers |
//! | `manifest` | a manifest section; a config schema with a config |
//! | `wire` | what a process that tried a component may say to the daemon |
//!
//! A crash of a target, an answer that is accepted with wrong lengths, a valid component that the engine's
//! rewriter makes invalid: each is a finding and becomes a test by its name in `tests/hostile` or beside the
//! code. There is no corpus to keep: the targets build their own good examples and the fuzzer edits them.
//!
//! Here is what the targets share.

use tidegate_core::module::ModuleKind;
use tidegate_engine::Limits;
use tidegate_hostile::Guest;

/// A good guest of each kind, as a component.
///
/// # Panics
/// When the hostile suite's own guests do not build.
#[must_use]
pub fn good() -> Vec<Vec<u8>> {
    ModuleKind::ALL
        .into_iter()
        .map(|kind| {
            Guest::new(kind, "good")
                .build()
                .expect("a good guest builds")
        })
        .collect()
}

/// Limits under which a bad input is over soon.
#[must_use]
pub fn limits() -> Limits {
    Limits {
        component_bytes: 1 << 20,
        memory_default: 4 << 20,
        memory_max: 4 << 20,
        deadline_ms_default: 50,
        deadline_ms_max: 50,
        fit_deadline_ms_default: 50,
        fit_deadline_ms_max: 50,
        returned_bytes: 1 << 20,
        log_bytes: 256,
        ..Limits::default()
    }
}

/// Edits of four bytes each: where (two), what, and with which byte.
#[must_use]
pub fn edited(mut bytes: Vec<u8>, edits: &[u8]) -> Vec<u8> {
    for edit in edits.chunks_exact(4) {
        if bytes.is_empty() {
            break;
        }
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
        match edit[2] % 8 {
            0 => bytes.insert(at, edit[3]),
            1 => {
                bytes.remove(at);
            }
            2 => bytes.truncate(at),
            3 => {
                let end = (at + usize::from(edit[3])).min(bytes.len());
                bytes.extend_from_within(at..end);
            }
            4 => bytes[at] ^= 1 << (edit[3] % 8),
            _ => bytes[at] = edit[3],
        }
    }
    bytes
}
