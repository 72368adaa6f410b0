//! Compiled modules, kept between tests.
//!
//! A daemon in a fresh directory compiles the shipped policies, which takes seconds and proves
//! nothing the second time. What the first daemon of a build compiled is kept beside the binary and
//! laid into every later home; the engine still checks each file against its key before it uses it.

use crate::command::binary;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

const PREFIX: &str = "modules-";

/// Where the cache of this very build is: named after the binary's time, so that a new build starts
/// cold.
fn cache() -> Result<PathBuf> {
    let binary = binary()?;
    let built = binary
        .metadata()?
        .modified()?
        .duration_since(UNIX_EPOCH)?
        .as_millis();
    let profile = binary.parent().context("the binary lies at the root")?;
    Ok(profile
        .join("tidegate-e2e")
        .join(format!("{PREFIX}{built}")))
}

/// Lays what is known into a home that has nothing yet.
pub(crate) fn up(data: &Path) -> Result<()> {
    let (from, to) = (cache()?, data.join("modules"));
    if from.is_dir() && !to.exists() {
        copy(&from, &to)?;
    }
    Ok(())
}

/// Keeps what a daemon compiled, if nothing is kept yet.
pub(crate) fn keep(data: &Path) -> Result<()> {
    let (cache, from) = (cache()?, data.join("modules"));
    if cache.exists() || !from.is_dir() {
        return Ok(());
    }
    let root = cache.parent().context("the cache has no place")?;
    std::fs::create_dir_all(root)?;
    for old in std::fs::read_dir(root)?.flatten() {
        if old.file_name().to_string_lossy().starts_with(PREFIX) {
            std::fs::remove_dir_all(old.path()).ok();
        }
    }
    // Built aside and moved in one step: another test may look meanwhile.
    let aside = tempfile::Builder::new().prefix("aside-").tempdir_in(root)?;
    copy(&from, &aside.path().join("modules"))?;
    std::fs::rename(aside.path().join("modules"), &cache).ok();
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
