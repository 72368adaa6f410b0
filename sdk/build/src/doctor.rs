//! What this machine lacks for building guests, and the command that mends it.
//!
//! Every finding comes from trying the thing, as a build would; the doctor changes nothing.

use std::path::Path;

use crate::builder::InstallTarget;
use crate::command::{self, clean};
use crate::machine;
use crate::toolchain::{ADD_TARGET, Compiler, DEBIAN, Search, TARGET, older};

/// Oldest Rust that Tidegate's own crates take.
const RUST_VERSION: &str = env!("CARGO_PKG_RUST_VERSION");

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// All is well.
    Good,
    /// It works, in a roundabout way.
    Fallback,
    /// A build will fail.
    Missing,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was checked, for example `C linker`.
    pub subject: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was found, in one line.
    pub detail: String,
    /// What to do; none where nothing is to be done.
    pub remedy: Option<String>,
}

/// Checks what a build in `directory` needs: cargo, rustc and its age, a C linker for build
/// scripts, and a compiler for the guest target. `scratch` is a directory for the trials' files.
#[must_use]
pub fn doctor(directory: &Path, scratch: &Path) -> Vec<Finding> {
    let search = Search {
        directory,
        scratch,
        cargo: None,
        install_target: InstallTarget::Never,
        needs: Some(RUST_VERSION),
    };
    let (cargo, rustc) = search.preferred();
    let mut version = clean(&cargo, directory);
    version.arg("--version");
    let mut findings = vec![finding("cargo", command::answer(version), DEBIAN)];
    match search.ask(&rustc) {
        Err(said) => findings.push(finding("rustc", Err(said), DEBIAN)),
        Ok(compiler) => {
            findings.push(age(&compiler));
            findings.push(c_linker(&compiler, directory, scratch));
        }
    }
    findings.push(guests(&search));
    findings
}

fn finding(subject: &'static str, outcome: Result<String, String>, remedy: &str) -> Finding {
    let (status, detail, remedy) = match outcome {
        Ok(detail) => (Status::Good, detail, None),
        Err(detail) => (Status::Missing, detail, Some(remedy.to_owned())),
    };
    Finding {
        subject,
        status,
        detail,
        remedy,
    }
}

fn age(compiler: &Compiler) -> Finding {
    let Compiler { rustc, release, .. } = compiler;
    let outcome = if older(release, RUST_VERSION) {
        Err(format!(
            "{} is {release}, Tidegate needs {RUST_VERSION}",
            rustc.display()
        ))
    } else {
        Ok(format!("{} {release}", rustc.display()))
    };
    let remedy = format!("rustup toolchain install {RUST_VERSION}, or {DEBIAN}");
    finding("rustc", outcome, &remedy)
}

/// Links an empty program for this machine: build scripts and macros need that.
fn c_linker(compiler: &Compiler, directory: &Path, scratch: &Path) -> Finding {
    let outcome = machine::trial_directory(scratch)
        .map_err(|e| format!("cannot write below {}: {e}", scratch.display()))
        .and_then(|out| {
            let mut rustc = clean(&compiler.rustc, directory);
            rustc
                .args([
                    "--crate-name",
                    "host_probe",
                    "--crate-type",
                    "bin",
                    "-",
                    "--out-dir",
                ])
                .arg(&out);
            let said = command::answer_with(rustc, "fn main() {}");
            machine::forget(&out);
            said
        })
        .map(|_| format!("links for {}", compiler.host))
        .map_err(|said| said.lines().next().unwrap_or_default().to_owned());
    finding("C linker", outcome, "apt-get install gcc libc6-dev")
}

fn guests(search: &Search<'_>) -> Finding {
    let subject = "guest target";
    match search.run(&|_| {}) {
        Err(error) => Finding {
            subject,
            status: Status::Missing,
            detail: format!("{TARGET}: {}", error.tried.join("; ")),
            remedy: Some(format!("{ADD_TARGET}, or {}", error.install)),
        },
        Ok(toolchain) if toolchain.library_from_source => Finding {
            subject,
            status: Status::Fallback,
            detail: format!(
                "{} builds the library for {TARGET} from its source, about a minute once",
                toolchain.rustc.display()
            ),
            remedy: Some(format!("to be faster: {ADD_TARGET}")),
        },
        Ok(toolchain) => Finding {
            subject,
            status: Status::Good,
            detail: format!("{} builds for {TARGET}", toolchain.rustc.display()),
            remedy: None,
        },
    }
}
