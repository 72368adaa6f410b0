//! The flags that every verb shares, and the connection that they describe.

use super::errors::{unreachable, usage};
use super::say;
use super::words::printable;
use crate::config::DEFAULT_LISTEN;
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use tidegate_client::{Client, Options, Tls};

/// Where the daemon is, who calls, and how answers are printed.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Connection and output")]
pub(crate) struct Flags {
    /// The daemon
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "TIDEGATE_SERVER",
        default_value_t = format!("http://{DEFAULT_LISTEN}")
    )]
    pub(crate) server: String,
    /// Bearer token
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "TIDEGATE_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
    /// File that holds the bearer token
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Certificate authority of the daemon (PEM), for https
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Client certificate (PEM)
    #[arg(long, global = true, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Key of the client certificate (PEM)
    #[arg(long, global = true, value_name = "FILE")]
    key: Option<PathBuf>,
    /// How answers are printed
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Human)]
    pub(crate) output: Output,
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Tables and sentences
    Human,
    /// JSON
    Json,
}

/// A connection and how to print.
#[derive(Debug)]
pub(crate) struct Session {
    /// The connection.
    pub(crate) client: Client,
    /// The daemon's URL.
    pub(crate) server: String,
    /// How to print.
    pub(crate) output: Output,
}

impl Session {
    /// Prints `value` as JSON, or what `human` makes.
    pub(crate) fn print(
        &self,
        value: impl FnOnce() -> serde_json::Value,
        human: impl FnOnce() -> String,
    ) -> Result<()> {
        match self.output {
            Output::Json => say(&serde_json::to_string_pretty(&value())?),
            Output::Human => say(&printable(&human())),
        }
    }
}

fn file(path: Option<&Path>) -> Result<Option<Vec<u8>>> {
    path.map(|p| std::fs::read(p).with_context(|| format!("cannot read {}", p.display())))
        .transpose()
}

/// Connects and runs a verb.
pub(crate) fn online(flags: &Flags, verb: impl AsyncFnOnce(Session) -> Result<()>) -> Result<()> {
    let token = match &flags.token_file {
        None => flags.token.clone(),
        Some(path) => {
            let bytes = file(Some(path))?.unwrap_or_default();
            let text = String::from_utf8(bytes)
                .map_err(|_| usage(format!("{}: a token is one line of text", path.display())))?;
            Some(text.trim().to_owned())
        }
    };
    let server = if flags.server.contains("://") {
        flags.server.clone()
    } else {
        format!("http://{}", flags.server)
    };
    let options = Options {
        endpoint: server.clone(),
        token: token.filter(|t| !t.is_empty()),
        tls: Tls {
            ca: file(flags.ca.as_deref())?,
            certificate: file(flags.cert.as_deref())?,
            key: file(flags.key.as_deref())?,
        },
        ..Options::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let outcome = runtime.block_on(async {
        let client = Client::connect(&options).await.map_err(unreachable)?;
        verb(Session {
            client,
            server,
            output: flags.output,
        })
        .await
    });
    // A call may wait in a background thread of the runtime; nothing is owed to it any more.
    runtime.shutdown_background();
    outcome
}
