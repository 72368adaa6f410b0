//! The nested cargo: `metadata` to find plugins, `build` to compile them.
//!
//! One call builds all packages of a request, in a target directory of its own, because the
//! outer cargo holds the lock of its own for as long as a build script runs. The flags go in by
//! `CARGO_ENCODED_RUSTFLAGS`, which wins over every other place; they apply to guests alone,
//! since with `--target` cargo keeps them from build scripts and macros.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::builder::Profile;
use crate::command::{answer, clean};
use crate::error::BuildError;
use crate::machine::cargo_home;
use crate::package::Package;
use crate::progress::{Callback, Progress};
use crate::toolchain::{DEBIAN, TARGET, Toolchain};

/// Lines of cargo's report that an error repeats.
const KEPT_LINES: usize = 120;

/// What `cargo metadata` says, as far as it is used here.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Value>,
    pub(crate) workspace_root: PathBuf,
    pub(crate) target_directory: PathBuf,
}

/// Asks cargo about the workspace of `directory`; needs no network.
pub(crate) fn metadata(cargo: &Path, directory: &Path) -> Result<Metadata, BuildError> {
    let refuse = |mut reason: String| {
        if reason.starts_with("cannot run") {
            reason.push_str("; install Rust with rustup (https://rustup.rs), or: ");
            reason.push_str(DEBIAN);
        }
        BuildError::Metadata {
            directory: directory.to_path_buf(),
            reason,
        }
    };
    let mut command = clean(cargo, directory);
    command.args(["metadata", "--no-deps", "--format-version", "1"]);
    let said = answer(command).map_err(refuse)?;
    let json: Value = serde_json::from_str(&said).map_err(|e| refuse(e.to_string()))?;
    let path = |key: &str| PathBuf::from(json[key].as_str().unwrap_or_default());
    Ok(Metadata {
        packages: json["packages"].as_array().cloned().unwrap_or_default(),
        workspace_root: path("workspace_root"),
        target_directory: path("target_directory"),
    })
}

/// One request to cargo.
#[derive(Debug)]
pub(crate) struct Compile<'a> {
    pub(crate) toolchain: &'a Toolchain,
    pub(crate) metadata: &'a Metadata,
    pub(crate) directory: &'a Path,
    pub(crate) target_dir: &'a Path,
    pub(crate) profile: Profile,
    pub(crate) offline: bool,
}

impl Compile<'_> {
    /// Compiles the packages; answers the core module of each, by Cargo.toml.
    pub(crate) fn run(
        &self,
        packages: &[Package],
        progress: &Callback,
    ) -> Result<BTreeMap<PathBuf, PathBuf>, BuildError> {
        let mut child = self
            .command(packages)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| BuildError::Io {
                what: "run cargo at",
                path: self.toolchain.cargo.clone(),
                source,
            })?;
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        // Two pipes, two readers: a full one would stop cargo while we wait at the other.
        let (modules, report) = std::thread::scope(|scope| {
            let report = scope.spawn(|| stderr.map(|pipe| follow(pipe, progress)));
            let modules = stdout.map(modules).unwrap_or_default();
            (modules, report.join().ok().flatten().unwrap_or_default())
        });
        let status = child.wait().map_err(|source| BuildError::Io {
            what: "wait for cargo at",
            path: self.toolchain.cargo.clone(),
            source,
        })?;
        if status.success() {
            Ok(modules)
        } else {
            Err(BuildError::Compile { report })
        }
    }

    fn command(&self, packages: &[Package]) -> Command {
        let mut command = clean(&self.toolchain.cargo, self.directory);
        command
            .args(["build", "--lib", "--message-format=json-render-diagnostics"])
            .args(["--target", TARGET, "--profile", self.profile.cargo_name()])
            .arg("--target-dir")
            .arg(self.target_dir)
            .env("RUSTC", &self.toolchain.rustc)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags().join("\u{1f}"));
        if self.profile == Profile::Guest && !self.defines_profile() {
            for setting in Profile::GUEST_SETTINGS {
                command.args(["--config", &format!("profile.guest.{setting}")]);
            }
        }
        for package in packages {
            command.args(["-p", &package.id]);
        }
        if self.offline {
            command.arg("--offline");
        }
        if let Some(linker) = &self.toolchain.linker {
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        if self.toolchain.library_from_source {
            command
                .env("RUSTC_BOOTSTRAP", "1")
                .arg("-Zbuild-std=std,panic_abort");
        }
        command
    }

    /// Compiler flags: vectors (their results are the same everywhere, unlike relaxed ones), and
    /// no path of this machine in the module, so that two checkouts give one digest.
    ///
    /// Cargo names what is in a workspace by its path in it, so only debug information tells where that
    /// is. Otherwise no flag may: flags are part of what cargo knows a compiled dependency by, and every
    /// new crate would compile all of them again.
    fn flags(&self) -> Vec<String> {
        let mut flags = vec!["-Ctarget-feature=+simd128".to_owned()];
        let root = self.metadata.workspace_root.display().to_string();
        let root = (self.profile == Profile::Debug).then_some(root);
        let home = cargo_home().map(|home| home.display().to_string());
        for (from, to) in [(home, "/cargo"), (root, "/plugin")] {
            if let Some(from) = from {
                flags.push(format!("--remap-path-prefix={from}={to}"));
            }
        }
        flags
    }

    /// Whether the workspace has a `[profile.guest]` of its own: then its author rules.
    fn defines_profile(&self) -> bool {
        let manifest = self.metadata.workspace_root.join("Cargo.toml");
        let text = std::fs::read_to_string(manifest).unwrap_or_default();
        text.lines().any(|line| {
            let bare: String = line.chars().filter(|c| !" \t\"'".contains(*c)).collect();
            bare.starts_with("[profile.guest]")
        })
    }
}

/// Hands on cargo's report line by line, and keeps its end.
fn follow(pipe: impl Read, progress: &Callback) -> String {
    let mut kept = VecDeque::new();
    for line in BufReader::new(pipe).lines().map_while(Result::ok) {
        progress(Progress::Cargo(&line));
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    }
    Vec::from(kept).join("\n")
}

/// Core modules among cargo's messages, by Cargo.toml.
fn modules(pipe: impl Read) -> BTreeMap<PathBuf, PathBuf> {
    let mut found = BTreeMap::new();
    for line in BufReader::new(pipe).lines().map_while(Result::ok) {
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let files = message["filenames"].as_array().into_iter().flatten();
        let module = files
            .filter_map(Value::as_str)
            .find(|file| file.ends_with(".wasm"));
        if let (Some(manifest), Some(module)) = (message["manifest_path"].as_str(), module) {
            found.insert(PathBuf::from(manifest), PathBuf::from(module));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_artifacts_that_are_modules_are_taken_from_cargos_messages() {
        let said = concat!(
            r#"{"reason":"compiler-artifact","manifest_path":"/d/Cargo.toml","filenames":["/t/libd.rlib"]}"#,
            "\nnot json\n",
            r#"{"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml","filenames":["/t/p.wasm","/t/libp.rlib"]}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let found = modules(said.as_bytes());
        let expected = BTreeMap::from([("/p/Cargo.toml".into(), "/t/p.wasm".into())]);
        assert_eq!(found, expected);
    }

    #[test]
    fn an_error_repeats_the_end_of_a_long_report() {
        let long: String = (0..500).map(|n| format!("line {n}\n")).collect();
        let report = follow(long.as_bytes(), &|_| {});
        assert!(report.starts_with("line 380\n") && report.ends_with("line 499"));
    }
}
