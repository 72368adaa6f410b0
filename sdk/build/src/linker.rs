//! Finds a linker for WebAssembly where the compiler brings none.
//!
//! rustup's compilers carry `rust-lld` inside their sysroot. Distributions split it off, and may
//! leave a link behind that points nowhere (Debian 12: `rust-lld` of `rust-web-llvm` names
//! `lld-22`, which nothing installs). So a name on the path proves nothing: every candidate is
//! run. Any LLVM linker serves, also one older than the compiler (LLVM 14 was tried with 22's
//! objects), because it only joins WebAssembly objects.

use std::path::{Path, PathBuf};

use crate::command;

/// Newest LLVM whose versioned names are looked for.
const NEWEST_LLVM: u32 = 40;
/// Oldest LLVM whose versioned names are looked for.
const OLDEST_LLVM: u32 = 13;

/// The first linker that runs.
pub(crate) fn find(sysroots: &[PathBuf], host: &str, path: &[PathBuf]) -> Option<PathBuf> {
    candidates(sysroots, host, path)
        .into_iter()
        .find(|linker| works(linker))
}

/// Where a linker may be, best first: the compiler's own, then the system's.
fn candidates(sysroots: &[PathBuf], host: &str, path: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = sysroots
        .iter()
        .map(|sysroot| sysroot.join(format!("lib/rustlib/{host}/bin/rust-lld")))
        .collect();
    let versions = || (OLDEST_LLVM..=NEWEST_LLVM).rev();
    let names = ["rust-lld".to_owned(), "wasm-ld".to_owned()]
        .into_iter()
        .chain(versions().map(|v| format!("wasm-ld-{v}")));
    found.extend(names.flat_map(|name| path.iter().map(move |dir| dir.join(&name))));
    found.extend(versions().map(|v| PathBuf::from(format!("/usr/lib/llvm-{v}/bin/wasm-ld"))));
    found.retain(|linker| linker.exists());
    found
}

fn works(linker: &Path) -> bool {
    let mut command = command::clean(linker, Path::new("/"));
    command.args(["-flavor", "wasm", "--version"]);
    command::answer(command).is_ok_and(|version| version.contains("LLD"))
}
