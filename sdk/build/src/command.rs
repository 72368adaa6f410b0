//! Commands whose environment is the user's, not the outer build's.
//!
//! A build script runs under a cargo that sets some sixty variables for it; a nested cargo that
//! inherits them compiles with the outer flags, the outer target directory's wrapper, or rebuilds
//! everything because a hash moved. So all of `CARGO_*`, `RUSTC*` and the build script's own
//! variables are dropped, except what a user sets to reach registries and to shape the report.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Set by cargo for build scripts, without a prefix.
const SCRIPT: [&str; 13] = [
    "CARGO",
    "DEBUG",
    "HOST",
    "MAKEFLAGS",
    "MFLAGS",
    "NUM_JOBS",
    "OPT_LEVEL",
    "OUT_DIR",
    "PROFILE",
    "RUSTDOC",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
    "TARGET",
];

/// The user's own, although they begin like cargo's.
const KEPT: [&str; 9] = [
    "CARGO_BUILD_JOBS",
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_SOURCE_",
    "CARGO_TARGET_DIR",
    "CARGO_TERM_",
];

/// Whether a variable would leak the outer build into the inner one.
fn leaks(key: &str) -> bool {
    if KEPT.iter().any(|kept| key.starts_with(kept)) {
        return false;
    }
    SCRIPT.contains(&key)
        || ["CARGO_", "DEP_", "RUSTC", "__CARGO"]
            .iter()
            .any(|prefix| key.starts_with(prefix))
}

/// A command in `directory` with a clean environment.
pub(crate) fn clean(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).stdin(Stdio::null());
    for (key, _) in std::env::vars_os() {
        if key.to_str().is_some_and(leaks) {
            command.env_remove(key);
        }
    }
    command
}

/// Runs to the end, with `input` on its standard input.
fn run(mut command: Command, input: &str) -> std::io::Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input closes the pipe; its exit status tells the rest.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output()
}

/// Standard output of a command that succeeded, trimmed; else what it said.
pub(crate) fn answer(command: Command) -> Result<String, String> {
    answer_with(command, "")
}

/// As [`answer`], with `input` on its standard input.
pub(crate) fn answer_with(command: Command, input: &str) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = run(command, input).map_err(|e| format!("cannot run `{program}`: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_sets_for_a_build_script_does_not_leak() {
        for key in [
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_PKG_NAME",
            "CARGO_MAKEFLAGS",
            "CARGO_BUILD_TARGET",
            "RUSTC",
            "RUSTC_BOOTSTRAP",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTFLAGS",
            "DEP_Z_ROOT",
            "OUT_DIR",
        ] {
            assert!(leaks(key), "{key} leaks");
        }
    }

    #[test]
    fn what_the_user_set_stays() {
        for key in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_TERM_COLOR",
            "RUSTUP_HOME",
            "RUSTUP_TOOLCHAIN",
        ] {
            assert!(!leaks(key), "{key} was dropped");
        }
    }
}
