//! `tidegate serve`: flags over the configuration file.

use crate::config::{self, ClockKind, Seconds};
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Flags; each replaces the key of the same name in the file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Configuration file (YAML); without it, every default applies
    #[arg(short, long, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    config: Option<PathBuf>,
    /// Address of the gRPC API; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Directory in which everything is kept
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Whose time counts: the machine's, or that of a feed that replays the past
    #[arg(long, value_enum)]
    clock: Option<ClockArg>,
    /// Resolution of forecasts and plans, for example 60s
    #[arg(long, value_name = "SPAN")]
    step: Option<Seconds>,
    /// OTLP/gRPC endpoint for traces and metrics, for example http://127.0.0.1:4317
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp: Option<String>,
    /// Log filter, for example info,tidegate_engine=debug
    #[arg(long, value_name = "FILTER", env = "TIDEGATE_LOG")]
    log: Option<String>,
    /// Listen beyond loopback although there are no tokens or no TLS
    #[arg(long)]
    allow_insecure: bool,
    /// Check the configuration, say that it is right, and stop
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ClockArg {
    System,
    Driven,
}

/// Runs the daemon in the foreground.
pub(crate) fn run(args: Args) -> Result<()> {
    let mut config = config::load(args.config.as_deref())?;
    config.listen = args.listen.unwrap_or(config.listen);
    config.data = args.data.unwrap_or(config.data);
    config.step = args.step.unwrap_or(config.step);
    config.telemetry.otlp = args.otlp.or(config.telemetry.otlp);
    config.telemetry.filter = args.log.unwrap_or(config.telemetry.filter);
    config.allow_insecure |= args.allow_insecure;
    config.clock = match args.clock {
        None => config.clock,
        Some(ClockArg::System) => ClockKind::System,
        Some(ClockArg::Driven) => ClockKind::Driven,
    };
    config
        .check()
        .map_err(|problem| anyhow::anyhow!("{problem}"))?;
    if args.check {
        crate::serve::check(&config)?;
        println!("the configuration is right");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("tidegate")
        .build()
        .context("the runtime cannot start")?;
    runtime.block_on(crate::serve::run(
        config,
        Box::new(|address| println!("listening on {address}")),
    ))
}
