//! Which cargo and rustc build the guests, and where the guest target's library comes from.
//!
//! In order: the compiler that cargo uses in the plugin's directory, if it can build for the
//! target; the same after `rustup target add`, if the caller allows that; then any compiler on
//! the machine that has the target, or has the library's source beside it (`-Zbuild-std`, which a
//! stable compiler takes under `RUSTC_BOOTSTRAP=1`) and a linker that runs. Whether a compiler
//! has the target is found by compiling an empty library, not by looking for files: a
//! distribution puts them elsewhere, and a half-removed toolchain has them still.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::builder::InstallTarget;
use crate::command::{self, clean};
use crate::linker;
use crate::machine::{self, rustup_toolchains, search_path, sibling};
use crate::progress::{Callback, Progress};

/// The target of every guest.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Adds the target under rustup.
pub(crate) const ADD_TARGET: &str = "rustup target add wasm32-unknown-unknown";

/// A compiler that brings the library's source, from Debian (12 and later).
pub(crate) const DEBIAN: &str = "apt-get install rustc-web cargo-web rust-web-src lld";

/// What builds the guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The cargo.
    pub cargo: PathBuf,
    /// The rustc.
    pub rustc: PathBuf,
    /// Whether the guest target's library is built from its source.
    pub library_from_source: bool,
    /// A linker, where the compiler's own does not serve.
    pub linker: Option<PathBuf>,
}

/// No compiler on this machine builds for the guest target.
#[derive(Debug, thiserror::Error)]
#[error(
    "no Rust compiler here can build for {TARGET}{}\nDo one of:\n  with rustup:        {ADD_TARGET}\
     \n  on Debian, Ubuntu:  {}\n(the second builds the library from its source, about a minute \
     once)", as_lines(.tried), .install)]
pub struct ToolchainError {
    /// One line per compiler that was looked at: which, and why it does not serve.
    pub tried: Vec<String>,
    /// The command that completes a distribution's toolchain.
    pub install: String,
}

fn as_lines(lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| format!("\n  tried {line}"))
        .collect()
}

/// What a compiler says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compiler {
    pub(crate) rustc: PathBuf,
    pub(crate) release: String,
    pub(crate) host: String,
    pub(crate) sysroot: PathBuf,
}

/// Whether a compiler builds for the guest target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Ready,
    NoLibrary,
    NoLinker,
}

/// What the search needs to know.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) scratch: &'a Path,
    pub(crate) cargo: Option<&'a Path>,
    pub(crate) install_target: InstallTarget,
    /// Newest of the packages' `rust-version`.
    pub(crate) needs: Option<&'a str>,
}

impl Search<'_> {
    /// Finds what builds the guests.
    pub(crate) fn run(&self, progress: &Callback) -> Result<Toolchain, ToolchainError> {
        let mut tried = Vec::new();
        let (cargo, rustc) = self.preferred();
        let first = match self.ask(&rustc) {
            Ok(compiler) => {
                if let Some(found) = self.judge(&cargo, &compiler, false, &mut tried) {
                    return Ok(found);
                }
                if self.install_target == InstallTarget::Allowed {
                    match self.add_target(progress) {
                        Ok(()) => {
                            if let Some(found) = self.judge(&cargo, &compiler, false, &mut tried) {
                                return Ok(found);
                            }
                        }
                        Err(reason) => tried.push(format!("`{ADD_TARGET}`: {reason}")),
                    }
                }
                Some(compiler)
            }
            Err(reason) => {
                tried.push(format!("{}: {reason}", rustc.display()));
                None
            }
        };
        let others = self.others(first.as_ref());
        for compiler in &others {
            let cargo = sibling(&compiler.rustc, "cargo").unwrap_or_else(|| cargo.clone());
            if let Some(found) = self.judge(&cargo, compiler, false, &mut tried) {
                return Ok(found);
            }
        }
        for compiler in first.iter().chain(&others) {
            let cargo = match sibling(&compiler.rustc, "cargo") {
                Some(sibling) if first.as_ref() != Some(compiler) => sibling,
                _ => cargo.clone(),
            };
            if let Some(found) = self.judge(&cargo, compiler, true, &mut tried) {
                progress(Progress::LibraryFromSource {
                    rustc: &found.rustc,
                });
                return Ok(found);
            }
        }
        Err(ToolchainError {
            install: install_command(&tried),
            tried,
        })
    }

    /// The cargo and rustc of the directory: the caller's, the outer build's, or the path's.
    #[expect(
        clippy::disallowed_methods,
        reason = "CARGO and RUSTC are how cargo tells a build script which toolchain is in use"
    )]
    pub(crate) fn preferred(&self) -> (PathBuf, PathBuf) {
        let named = |key| std::env::var_os(key).map(PathBuf::from);
        if let Some(cargo) = self.cargo {
            let rustc = sibling(cargo, "rustc").unwrap_or_else(|| PathBuf::from("rustc"));
            return (cargo.to_path_buf(), rustc);
        }
        let cargo = named("CARGO").unwrap_or_else(|| PathBuf::from("cargo"));
        let rustc = named("RUSTC")
            .or_else(|| sibling(&cargo, "rustc"))
            .unwrap_or_else(|| PathBuf::from("rustc"));
        (cargo, rustc)
    }

    pub(crate) fn ask(&self, rustc: &Path) -> Result<Compiler, String> {
        let mut version = clean(rustc, self.directory);
        version.arg("-vV");
        let said = command::answer(version)?;
        let line = |key: &str| {
            let found = said.lines().find_map(|line| line.strip_prefix(key));
            found
                .map(str::to_owned)
                .ok_or_else(|| format!("`-vV` has no line `{key}`"))
        };
        let mut sysroot = clean(rustc, self.directory);
        sysroot.args(["--print", "sysroot"]);
        Ok(Compiler {
            rustc: rustc.to_path_buf(),
            release: line("release: ")?,
            host: line("host: ")?,
            sysroot: PathBuf::from(command::answer(sysroot)?),
        })
    }

    /// Whether a compiler serves, from its installed library or from source.
    fn judge(
        &self,
        cargo: &Path,
        compiler: &Compiler,
        from_source: bool,
        tried: &mut Vec<String>,
    ) -> Option<Toolchain> {
        let mut refuse = |reason: String| {
            let line = format!(
                "{} ({}): {reason}",
                compiler.rustc.display(),
                compiler.release
            );
            if !tried.contains(&line) {
                tried.push(line);
            }
            None
        };
        if let Some(needs) = self.needs.filter(|needs| older(&compiler.release, needs)) {
            return refuse(format!("the plugins need Rust {needs} or newer"));
        }
        let toolchain = |linker| Toolchain {
            cargo: cargo.to_path_buf(),
            rustc: compiler.rustc.clone(),
            library_from_source: from_source,
            linker,
        };
        if from_source {
            let library = compiler.sysroot.join("lib/rustlib/src/rust/library");
            if !library.join("std/Cargo.toml").exists() {
                return refuse(format!("no library source at {}", library.display()));
            }
            return match self.linker(compiler) {
                Some(linker) => Some(toolchain(Some(linker))),
                None => refuse(no_linker()),
            };
        }
        match self.probe(compiler, None) {
            Target::Ready => Some(toolchain(None)),
            Target::NoLibrary => refuse(format!("no library for {TARGET}")),
            Target::NoLinker => match self.linker(compiler) {
                Some(linker) if self.probe(compiler, Some(&linker)) == Target::Ready => {
                    Some(toolchain(Some(linker)))
                }
                _ => refuse(no_linker()),
            },
        }
    }

    /// Compiles and links an empty library for the target.
    pub(crate) fn probe(&self, compiler: &Compiler, linker: Option<&Path>) -> Target {
        let Ok(out) = machine::trial_directory(self.scratch) else {
            return Target::NoLibrary;
        };
        let mut rustc = clean(&compiler.rustc, self.directory);
        rustc
            .args([
                "--crate-name",
                "probe",
                "--crate-type",
                "cdylib",
                "--edition",
                "2021",
            ])
            .args(["--target", TARGET, "-Cpanic=abort", "-"])
            .arg("--out-dir")
            .arg(&out);
        if let Some(linker) = linker {
            let mut flag = std::ffi::OsString::from("-Clinker=");
            flag.push(linker);
            rustc.arg(flag);
        }
        let outcome = command::answer_with(rustc, "");
        machine::forget(&out);
        match outcome {
            Ok(_) => Target::Ready,
            Err(said) if said.contains("linker") || said.contains("linking") => Target::NoLinker,
            Err(_) => Target::NoLibrary,
        }
    }

    fn linker(&self, compiler: &Compiler) -> Option<PathBuf> {
        let mut sysroots = vec![compiler.sysroot.clone()];
        sysroots.extend(rustup_toolchains());
        linker::find(&sysroots, &compiler.host, &search_path())
    }

    fn add_target(&self, progress: &Callback) -> Result<(), String> {
        progress(Progress::Installing {
            command: ADD_TARGET,
        });
        let mut rustup = clean(Path::new("rustup"), self.directory);
        rustup.args(["target", "add", TARGET]);
        command::answer(rustup).map(|_| ())
    }

    /// Every other compiler of the machine, one per sysroot.
    fn others(&self, first: Option<&Compiler>) -> Vec<Compiler> {
        let mut seen: BTreeSet<PathBuf> = first.map(|c| c.sysroot.clone()).into_iter().collect();
        let mut directories = search_path();
        directories.extend(["/usr/bin", "/usr/local/bin"].map(PathBuf::from));
        directories.extend(rustup_toolchains().into_iter().map(|root| root.join("bin")));
        let compilers = directories
            .into_iter()
            .map(|dir| dir.join("rustc"))
            .filter(|rustc| rustc.exists())
            .filter_map(|rustc| self.ask(&rustc).ok());
        compilers
            .filter(|compiler| seen.insert(compiler.sysroot.clone()))
            .collect()
    }
}

/// Whether release `have` (`1.96.0-nightly`) is older than `need` (`1.95`).
pub(crate) fn older(have: &str, need: &str) -> bool {
    let numbers = |version: &str| -> Vec<u32> {
        let core = version.split(['-', '+']).next().unwrap_or_default();
        let mut numbers: Vec<u32> = core.split('.').map_while(|n| n.parse().ok()).collect();
        numbers.resize(3, 0);
        numbers
    };
    numbers(have) < numbers(need)
}

fn no_linker() -> String {
    "no WebAssembly linker that runs (rust-lld, wasm-ld)".to_owned()
}

/// If all that is missing is a linker, say only that.
fn install_command(tried: &[String]) -> String {
    if tried.iter().any(|line| line.ends_with(&no_linker())) {
        return "apt-get install lld".to_owned();
    }
    DEBIAN.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_number_and_ignore_the_channel() {
        assert!(older("1.63.0", "1.95"));
        assert!(older("1.9.0", "1.10"));
        assert!(!older("1.95.0", "1.95"));
        assert!(!older("1.97.0-nightly", "1.96.0"));
    }

    #[test]
    fn the_error_names_both_remedies_and_what_was_tried() {
        let tried = vec!["/usr/bin/rustc (1.63.0): the plugins need Rust 1.95 or newer".to_owned()];
        let error = ToolchainError {
            install: install_command(&tried),
            tried,
        };
        let text = error.to_string();
        assert!(
            text.contains("rustup target add wasm32-unknown-unknown"),
            "{text}"
        );
        assert!(
            text.contains("apt-get install rustc-web cargo-web rust-web-src lld"),
            "{text}"
        );
        assert!(text.contains("tried /usr/bin/rustc (1.63.0)"), "{text}");
    }

    #[test]
    fn where_only_the_linker_is_missing_only_the_linker_is_asked_for() {
        let tried = vec![format!("/usr/bin/rustc (1.96.0): {}", no_linker())];
        assert_eq!(install_command(&tried), "apt-get install lld");
    }
}
