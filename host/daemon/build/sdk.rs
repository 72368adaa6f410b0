//! The authors' SDK as files in the binary, so that `tidegate policy new` needs no download and what it
//! writes fits the daemon that it will be pushed to.
//!
//! The crates keep their places relative to each other, under a workspace of their own whose versions,
//! lints and lock file are this workspace's. Tests and benches stay behind.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// What an author's crate is compiled from.
const CRATES: [&str; 3] = ["sdk/guest", "plugins/fit", "plugins/kit"];

/// The interface that the SDK is built for: the newest. Of older ones an author needs nothing, since
/// their components go on as they are.
const INTERFACE: &str = "wit/0.2";

/// What begins a plugin of each kind.
const TEMPLATES: &str = "sdk/templates";

/// Writes the lists of files into `out`, and tells cargo what they came from.
pub(crate) fn embed(workspace: &Path, out: &Path) -> io::Result<()> {
    let mut files = vec![];
    for name in CRATES {
        files.push(workspace.join(name).join("Cargo.toml"));
        walk(&workspace.join(name).join("src"), &mut files)?;
    }
    walk(&workspace.join(INTERFACE), &mut files)?;
    let manifest = workspace.join("Cargo.toml");
    let trimmed = out.with_file_name("sdk-Cargo.toml");
    keep(&trimmed, &trim(&fs::read_to_string(&manifest)?))?;
    let mut code = String::from("pub(crate) const FILES: &[(&str, &[u8])] = &[\n");
    entry(&mut code, "Cargo.toml", &trimmed);
    for file in &files {
        entry(&mut code, &place(file, workspace), file);
    }
    code += "];\npub(crate) const TEMPLATES: &[(&str, &[u8])] = &[\n";
    let mut templates = vec![];
    walk(&workspace.join(TEMPLATES), &mut templates)?;
    for file in &templates {
        entry(&mut code, &place(file, &workspace.join(TEMPLATES)), file);
    }
    let lock = workspace.join("Cargo.lock");
    let _ = writeln!(
        code,
        "];\npub(crate) const LOCK: &[u8] = include_bytes!({lock:?});"
    );
    for file in files.iter().chain(&templates).chain([&manifest, &lock]) {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    // A file that comes or goes changes its directory.
    for directory in CRATES.map(|c| format!("{c}/src")) {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(directory).display()
        );
    }
    keep(out, &code)
}

fn entry(code: &mut String, name: &str, file: &Path) {
    let _ = writeln!(code, "    ({name:?}, include_bytes!({file:?})),");
}

fn place(file: &Path, root: &Path) -> String {
    let inner = file.strip_prefix(root).unwrap_or(file);
    inner.display().to_string()
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries: io::Result<Vec<_>> = fs::read_dir(directory)?.collect();
    let mut paths: Vec<PathBuf> = entries?.into_iter().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The workspace's manifest for its SDK alone: what its crates inherit, and no other member.
fn trim(manifest: &str) -> String {
    let members = CRATES.map(|c| format!("{c:?}")).join(", ");
    let mut kept = format!("[workspace]\nresolver = \"3\"\nmembers = [{members}]\n");
    let inherited = [
        "[workspace.package]",
        "[workspace.dependencies]",
        "[workspace.lints",
    ];
    let mut keeps = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            keeps = inherited.iter().any(|section| line.starts_with(section));
            if keeps {
                kept.push('\n');
            }
        }
        let elsewhere = line.contains("path = \"")
            && !CRATES
                .iter()
                .any(|c| line.contains(&format!("path = \"{c}\"")));
        let spoken = line.trim().is_empty() || line.trim_start().starts_with('#');
        if keeps && !elsewhere && !spoken {
            kept += line;
            kept.push('\n');
        }
    }
    kept
}

/// Writes a file unless it says so already: what includes it is then as fresh as before.
fn keep(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).ok().as_deref() == Some(text) {
        return Ok(());
    }
    fs::write(path, text)
}
