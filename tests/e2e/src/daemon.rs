//! A home and the daemons that live in it, one after another.

use crate::command::{Outcome, binary, bounded};
use crate::warm;
use anyhow::{Context, Result, bail};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

/// How long a daemon may take to listen or to stop: generous, because a busy machine is no failure.
const BOUND: Duration = Duration::from_mins(2);

/// A directory with configuration, data and log, and how daemons are started in it.
#[derive(Debug)]
pub struct Gate {
    home: TempDir,
    config: String,
    flags: Vec<String>,
    listen: String,
    /// A program with arguments that runs the daemon.
    through: Vec<String>,
}

/// A home with a driven clock and steps of five minutes.
///
/// # Errors
/// When there is no room for it, or no binary.
pub fn gate() -> Result<Gate> {
    binary()?;
    let home = tempfile::Builder::new().prefix("tidegate-e2e-").tempdir()?;
    Ok(Gate {
        home,
        config: "clock: driven\nstep: 5m\nhorizon: 1h\nplan: 30m\nvalidity: 15m\nahead: 5m\nhistory: 6h\n".into(),
        flags: vec![],
        listen: "127.0.0.1:0".into(),
        through: vec![],
    })
}

impl Gate {
    /// Replaces the configuration file.
    #[must_use]
    pub fn config(mut self, yaml: impl Into<String>) -> Self {
        self.config = yaml.into();
        self
    }

    /// Adds lines to the configuration file.
    #[must_use]
    pub fn also(mut self, yaml: &str) -> Self {
        self.config.push_str(yaml);
        self
    }

    /// Adds flags of `serve`.
    #[must_use]
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|f| (*f).to_owned()));
        self
    }

    /// Listens elsewhere.
    #[must_use]
    pub fn listen(mut self, address: &str) -> Self {
        address.clone_into(&mut self.listen);
        self
    }

    /// Runs daemons through another program; the last of its arguments is made of where the store is, and the
    /// daemon's executable and arguments follow.
    #[must_use]
    pub fn through(mut self, program: &[&str], last: impl FnOnce(&str) -> String) -> Self {
        self.through = program.iter().map(|p| (*p).to_owned()).collect();
        self.through.push(last(&self.store().to_string_lossy()));
        self
    }

    /// Its directory.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where its daemons keep everything.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.home().join("data")
    }

    /// Where the store is, for a look at it between two daemons.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.data().join("store")
    }

    /// All that its daemons have logged.
    ///
    /// # Errors
    /// When there is no log.
    pub fn log(&self) -> Result<String> {
        std::fs::read_to_string(self.home().join("daemon.log"))
            .context("no daemon has logged anything")
    }

    /// Writes a file into the home and returns its path.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.home().join(name);
        std::fs::write(&path, bytes)?;
        Ok(path)
    }

    fn command(&self) -> Result<Command> {
        let config = self.file("tidegate.yaml", &self.config)?;
        let mut command = match self.through.split_first() {
            None => Command::new(binary()?),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary()?);
                command
            }
        };
        command
            .arg("serve")
            .args(["--listen", &self.listen])
            .arg("--config")
            .arg(config);
        command
            .arg("--data")
            .arg(self.data())
            .args(&self.flags)
            .current_dir(self.home());
        Ok(command)
    }

    /// Starts a daemon and waits until it listens.
    ///
    /// # Errors
    /// When it does not, with its last words.
    pub async fn start(&self) -> Result<Daemon> {
        warm::up(&self.data()).context("the cache of compiled modules")?;
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.home().join("daemon.log"))?;
        let mut child = self
            .command()?
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let mut out = BufReader::new(child.stdout.take().context("the daemon has no output")?);
        // From here on the process is somebody's to kill.
        let mut daemon = Daemon {
            child,
            url: String::new(),
            out: None,
        };
        let first = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            out.read_line(&mut line).map(|_| (line, out))
        });
        let (line, out) = tokio::time::timeout(BOUND, first)
            .await
            .context("the daemon says nothing")???;
        let Some(address) = line.trim().strip_prefix("listening on ") else {
            bail!("the daemon did not start:\n{}", self.log()?);
        };
        daemon.url = format!("http://{address}");
        daemon.out = Some(out);
        warm::keep(&self.data()).context("the cache of compiled modules")?;
        Ok(daemon)
    }

    /// Starts a daemon that must not come up, and returns what it left behind.
    ///
    /// # Errors
    /// When it did come up.
    pub fn refused(&self) -> Result<Outcome> {
        warm::up(&self.data())?;
        let outcome = bounded(&mut self.command()?, BOUND)?;
        if outcome.ok() {
            bail!("the daemon ended well although it should have refused: {outcome:?}");
        }
        Ok(outcome)
    }

    /// Runs a verb of the command line that needs no daemon, on this gate's data directory.
    ///
    /// # Errors
    /// When the verb does not end.
    pub fn offline(&self, verb: &str, arguments: &[&str]) -> Result<Outcome> {
        let mut command = Command::new(binary()?);
        command.arg(verb).arg("--store").arg(self.data());
        command.args(arguments).env("COLUMNS", "100");
        bounded(&mut command, BOUND)
    }
}

/// One process of `tidegate serve`; killed by its number when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    url: String,
    // Held open: a daemon whose output is closed could end by writing to it.
    out: Option<BufReader<ChildStdout>>,
}

impl Daemon {
    /// Where it answers.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection of its own; every call on it ends within a minute.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn connect(&self) -> Result<Channel> {
        let endpoint = Endpoint::from_shared(self.url.clone())?
            .timeout(BOUND)
            .connect_timeout(BOUND);
        endpoint
            .connect()
            .await
            .with_context(|| format!("the daemon does not answer at {}", self.url))
    }

    /// Runs a verb of the command line against it.
    ///
    /// # Errors
    /// When the verb does not end.
    pub fn cli(&self, arguments: &[&str]) -> Result<Outcome> {
        self.cli_with(arguments, &[], BOUND)
    }

    /// Runs a verb with more of an environment, at most `bound` long.
    ///
    /// # Errors
    /// When the verb does not end.
    pub fn cli_with(
        &self,
        arguments: &[&str],
        environment: &[(&str, &Path)],
        bound: Duration,
    ) -> Result<Outcome> {
        let mut command = Command::new(binary()?);
        command.args(arguments).env("TIDEGATE_SERVER", &self.url);
        command.env_remove("TIDEGATE_TOKEN").env("COLUMNS", "100");
        command.envs(environment.iter().copied());
        bounded(&mut command, bound)
    }

    /// Ends it as a power cut would: SIGKILL, nothing flushed.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop (SIGTERM) and returns its exit code.
    ///
    /// # Errors
    /// When it does not stop.
    pub async fn stop(mut self) -> Result<Option<i32>> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status()?;
        anyhow::ensure!(
            sent.success(),
            "the daemon was gone before it was asked to stop"
        );
        let waited = async {
            loop {
                if let Some(status) = self.child.try_wait()? {
                    return Ok(status.code());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(BOUND, waited)
            .await
            .context("the daemon does not stop")?
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn lives(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
