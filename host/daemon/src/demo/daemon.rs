//! The demo's daemon: this very binary in a process of its own, as an operator would run it.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running daemon; killed when dropped, unless kept.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Option<Child>,
    url: String,
    data: PathBuf,
    temporary: bool,
}

/// What remains of a kept daemon.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// Its process.
    pub(crate) pid: u32,
    /// Where it answers.
    pub(crate) url: String,
    /// Where its data is.
    pub(crate) data: PathBuf,
}

impl Daemon {
    /// Starts it on a free port and waits until it listens.
    pub(crate) async fn start(data: Option<PathBuf>, config: &str) -> Result<Self> {
        let temporary = data.is_none();
        let data = data.unwrap_or_else(|| {
            std::env::temp_dir().join(format!("tidegate-demo-{}", std::process::id()))
        });
        std::fs::create_dir_all(&data)
            .with_context(|| format!("cannot create {}", data.display()))?;
        let file = data.join("tidegate.yaml");
        std::fs::write(&file, config)
            .with_context(|| format!("cannot write {}", file.display()))?;
        let log = std::fs::File::create(data.join("daemon.log"))
            .context("cannot write the daemon's log")?;
        let binary = std::env::current_exe().context("cannot find this program's own file")?;
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .arg("--data")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("the daemon could not be started")?;
        let out = child.stdout.take().context("the daemon has no output")?;
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).map(|_| line)
        })
        .await??;
        let mut daemon = Self {
            child: Some(child),
            url: String::new(),
            data,
            temporary,
        };
        match line.trim().strip_prefix("listening on ") {
            Some(address) => daemon.url = format!("http://{address}"),
            None => bail!("{}", daemon.stop().await),
        }
        Ok(daemon)
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Where its data is.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Lets it run on.
    pub(crate) fn keep(&mut self) -> Kept {
        let pid = self.pid();
        // Not waited for: it outlives this process, as was asked.
        drop(self.child.take());
        Kept {
            pid,
            url: self.url.clone(),
            data: self.data.clone(),
        }
    }

    /// Asks it to stop, waits, and returns the end of its log for an error message.
    pub(crate) async fn stop(&mut self) -> String {
        let log = std::fs::read_to_string(self.data.join("daemon.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(5).collect();
        let text = format!(
            "the demo's daemon said last:\n  {}",
            tail.into_iter().rev().collect::<Vec<_>>().join("\n  ")
        );
        if let Some(mut child) = self.child.take() {
            let pid = child.id().to_string();
            let asked = Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .is_ok_and(|s| s.success());
            let ended = tokio::task::spawn_blocking(move || {
                if !asked {
                    child.kill().ok();
                }
                child.wait().ok()
            });
            if tokio::time::timeout(std::time::Duration::from_secs(15), ended)
                .await
                .is_err()
            {
                Command::new("kill").args(["-KILL", &pid]).status().ok();
            }
        }
        if self.temporary {
            std::fs::remove_dir_all(&self.data).ok();
        }
        text
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
