//! Which files a component came from, for `rerun-if-changed`.
//!
//! Cargo's dep-info names every source file of path dependencies, and files that macros include
//! (the WIT among them). What it leaves out is added: the Cargo.toml of each crate that has a
//! source in the list, the workspace's manifest and lock, the pinned toolchain, the config
//! schema. Registry sources are left out: they do not change under a lock file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::package::Package;

/// Inputs of the package whose core module cargo left at `module`.
pub(crate) fn of(package: &Package, module: &Path, workspace_root: &Path) -> BTreeSet<PathBuf> {
    let mut inputs: BTreeSet<PathBuf> = BTreeSet::from([package.manifest_path.clone()]);
    inputs.extend(package.schema_path.clone());
    let at_root = [
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
        "rust-toolchain",
    ];
    inputs.extend(at_root.map(|name| workspace_root.join(name)));
    let dep_info = std::fs::read_to_string(module.with_extension("d")).unwrap_or_default();
    for source in sources(&dep_info) {
        inputs.extend(manifest_of(&source));
        inputs.insert(source);
    }
    // A path that does not exist would make a build script run every time.
    inputs.retain(|path| path.exists());
    inputs
}

/// The right side of a Makefile rule, where a blank in a name is written `\ `.
fn sources(dep_info: &str) -> Vec<PathBuf> {
    let Some((_, right)) = dep_info
        .lines()
        .next()
        .and_then(|line| line.split_once(": "))
    else {
        return Vec::new();
    };
    let marked = right.replace("\\ ", "\0");
    let names = marked.split(' ').filter(|name| !name.is_empty());
    names
        .map(|name| PathBuf::from(name.replace('\0', " ")))
        .collect()
}

/// The nearest Cargo.toml above a source.
fn manifest_of(source: &Path) -> Option<PathBuf> {
    let mut above = source.ancestors().skip(1).map(|dir| dir.join("Cargo.toml"));
    above.find(|manifest| manifest.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_in_a_path_does_not_split_it() {
        let found = sources("/t/p.wasm: /a\\ b/lib.rs /c/d.wit\n");
        assert_eq!(
            found,
            [PathBuf::from("/a b/lib.rs"), PathBuf::from("/c/d.wit")]
        );
    }

    #[test]
    fn an_empty_rule_names_nothing() {
        assert!(sources("/t/p.wasm:\n").is_empty());
        assert!(sources("").is_empty());
    }
}
