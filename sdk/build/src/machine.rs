//! Where programs are on this machine: the few reads of the environment that a search needs.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Keeps trials of one process apart.
static TRIALS: AtomicU64 = AtomicU64::new(0);

/// Directories of the user's PATH.
#[expect(
    clippy::disallowed_methods,
    reason = "looking for programs is what PATH is for"
)]
pub(crate) fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

/// Sysroots of rustup's toolchains, newest name last.
#[expect(
    clippy::disallowed_methods,
    reason = "rustup's directory is told by the environment"
)]
pub(crate) fn rustup_toolchains() -> Vec<PathBuf> {
    let home = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".rustup")));
    let Some(entries) = home.and_then(|home| std::fs::read_dir(home.join("toolchains")).ok())
    else {
        return Vec::new();
    };
    let mut roots: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    roots.sort();
    roots
}

/// A program beside another, where the other is named by a path.
pub(crate) fn sibling(program: &Path, name: &str) -> Option<PathBuf> {
    let directory = program.parent().filter(|dir| !dir.as_os_str().is_empty())?;
    Some(directory.join(name)).filter(|path| path.exists())
}

/// Where cargo keeps the sources of dependencies.
#[expect(
    clippy::disallowed_methods,
    reason = "cargo's own variable, which the child will read too"
)]
pub(crate) fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
}

/// A new directory for the files of one trial; two builds may share `scratch`.
pub(crate) fn trial_directory(scratch: &Path) -> std::io::Result<PathBuf> {
    let number = TRIALS.fetch_add(1, Ordering::Relaxed);
    let directory = scratch.join(format!("trial-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// Removes a trial's directory; one that stays behind harms nobody.
pub(crate) fn forget(directory: &Path) {
    let _ = std::fs::remove_dir_all(directory);
}
