//! Fuzz targets for what comes from strangers, by [cargo-fuzz](https://rust-fuzz.github.io/book/) on a
//! stable compiler:
//!
//! ```sh
//! cargo install cargo-fuzz
//! cd fuzz && RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none answers -- -max_total_time=600
//! ```
//!
//! Those without a component need no wasmtime: `--no-default-features` builds them in a minute or two. They
//! begin well with what the crates' tests keep:
//!
//! ```sh
//! cargo run --no-default-features --example corpus -- files corpus/codec <../host/store/corpus/codec.hex
//! ```
//!
//! | target | what it is fed with |
//! | --- | --- |
//! | `admission` | a component, or edits of a good one, to the whole of admission, and one call to what passes |
//! | `answers` | the memory that a guest gives as its answer, to the lifting and checks of every function |
//! | `codec` | a stored value of any form: read, written, and read again as the same |
//! | `feeds` | bodies of OTLP, remote write and Envoy, entries of the feeds' journal, matchers |
//! | `keys` | stored keys with values, each by itself; and as a store that is restored, opened and worked with |
//! | `logs` | segments of a log: opened, mended, opened again, written to |
//! | `manifest` | a manifest section; a config schema with a config |
//! | `otlp`, `remote_write`, `envoy` | a body of that protocol alone |
//! | `wire` | what a process that tried a component may say to the daemon |
//!
//! A crash of a target, an answer that is accepted with wrong lengths, a valid component that the engine's
//! rewriter makes invalid: each is a finding and becomes a test by its name in `tests/hostile` or beside the
//! code. The targets of components build their own good examples and the fuzzer edits them. What is stored and
//! what is sent has a corpus that `cargo test` runs through the same functions, in `corpus` of `host/store`
//! and `host/bridges`; `corpus lines` writes what a fuzzer found as lines of it.
//!
//! Here is what the targets share.

mod memory;
#[cfg(feature = "policies")]
mod policies;

use std::path::Path;
use std::sync::LazyLock;

pub use memory::bounded;
#[cfg(feature = "policies")]
pub use policies::{good, limits};

/// Memory rather than a disk, where there is such a place: a store syncs.
pub static PLACE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let made = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
    made.expect("a directory is made")
});

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
