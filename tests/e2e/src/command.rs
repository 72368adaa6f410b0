//! Commands that end by themselves, within a bound.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Outcome {
    /// Whether it ended well.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }
}

/// The `tidegate` binary that was built beside this test.
///
/// # Errors
/// When it is not there; the error says how to build it.
pub fn binary() -> Result<PathBuf> {
    let this = std::env::current_exe().context("this test does not know its own file")?;
    // target/PROFILE/deps/THIS, and the binary is target/PROFILE/tidegate.
    let profile = this
        .parent()
        .and_then(|deps| deps.parent())
        .context("this test lies at the root")?;
    let found = profile.join("tidegate");
    if !found.is_file() {
        bail!(
            "{} is missing; build it first: `cargo build -p tidegate`",
            found.display()
        );
    }
    Ok(found)
}

/// Runs a command to its end, at most `bound` long. Its output goes through files, so that one that
/// prints much cannot block on a full pipe while it is waited for.
///
/// # Errors
/// When it cannot be started or does not end in time (it is killed then).
pub fn bounded(command: &mut Command, bound: Duration) -> Result<Outcome> {
    let (out, err) = (
        tempfile::NamedTempFile::new()?,
        tempfile::NamedTempFile::new()?,
    );
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out.reopen()?)
        .stderr(err.reopen()?)
        .spawn()
        .with_context(|| format!("{command:?} cannot be started"))?;
    let pause = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if waited >= bound {
            child.kill().ok();
            child.wait().ok();
            bail!(
                "{command:?} did not end within {} s: {}",
                bound.as_secs(),
                text(err.reopen()?)?
            );
        }
        std::thread::sleep(pause);
        waited += pause;
    };
    Ok(Outcome {
        code: status.code(),
        stdout: text(out.reopen()?)?,
        stderr: text(err.reopen()?)?,
    })
}

fn text(mut file: File) -> Result<String> {
    let mut bytes = vec![];
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
