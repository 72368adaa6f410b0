//! The command line: which verbs there are, and what every verb shares.
//!
//! Printing is allowed here and nowhere else. A verb returns an error as text for a person; the
//! exit code says 1 for what went wrong, 2 for what was asked wrongly and 3 for what was done in part.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command line talks to a person"
)]

pub(crate) mod admit_worker;
mod apply;
mod backtest;
mod component;
mod connect;
mod demo;
mod errors;
mod evaluate;
mod events;
mod forecast;
mod get;
mod health;
mod interrupt;
mod json;
mod manifest;
mod map;
mod plan;
mod policy;
mod replay;
mod serve;
mod standing;
mod status;
mod store;
mod token;
mod why;
pub(crate) mod words;

use clap::{CommandFactory as _, Parser, Subcommand};
use connect::online;
use std::io::Write as _;
use std::process::ExitCode;

/// Moves resources before the load arrives.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    flags: connect::Flags,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon
    Serve(serve::Args),
    /// Show the main job on real traces: foresee, divide, swap under load
    Demo(demo::Args),
    /// Measure how good a forecaster is, on files or stored series
    Evaluate(Box<evaluate::Args>),
    /// Show what shaping would have brought on one's own past, beside HPA, static peak and oracle
    Backtest(Box<backtest::Args>),
    /// Make the decisions of the ledger again, and tell what comes out otherwise
    Replay(replay::Args),
    /// Declare tenants, pools, tiers, apis, SLOs, events and bindings from YAML
    Apply(apply::Args),
    /// List or show declared objects
    Get(get::Args),
    /// Delete a declared object
    Delete(get::DeleteArgs),
    /// Read calendars, list what is known to happen, and take it back
    #[command(subcommand)]
    Events(events::Verb),
    /// Show what is expected to come
    Forecast(forecast::Args),
    /// Show who may use how much of a pool, and what comes next
    Plan(plan::Args),
    /// Explain an api's share, from load to number
    Why(why::Args),
    /// Show what an api may use now
    Grant(why::GrantArgs),
    /// List the alerts that stand
    Alerts,
    /// Build, push, bind and roll back policy modules
    #[command(subcommand)]
    Policy(policy::Verb),
    /// Look into the store, check it, copy it, make it smaller
    #[command(subcommand)]
    Store(store::Verb),
    /// Try how metrics of other protocols are read, before they are sent
    #[command(subcommand)]
    Map(map::Verb),
    /// Make a credential: the token for a client, its hash for the daemon
    Token(token::Args),
    /// Move the daemon's driven clock, and run what became due
    Advance(status::AdvanceArgs),
    /// Show how the daemon fares
    Status,
    /// Print completions for a shell
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
}

/// Runs the verb that was asked for. What the daemon alone asks for is no verb: it would be listed,
/// completed and suggested.
pub(crate) fn run() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let is_worker = arguments.next().is_some_and(|a| a == admit_worker::VERB);
    if is_worker && arguments.next().is_none() {
        return outcome(admit_worker::run());
    }
    let Cli { verb, flags } = Cli::parse();
    outcome(dispatch(verb, &flags))
}

fn outcome(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if is_broken_pipe(&error) {
                return ExitCode::SUCCESS;
            }
            eprintln!("tidegate: {}", words::printable(&format!("{error:#}")));
            match (error.is::<errors::Usage>(), error.is::<errors::Partly>()) {
                (true, _) => ExitCode::from(2),
                (_, true) => ExitCode::from(3),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Prints text and a line end. Whoever reads may stop early (`| head`): that is no failure.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end())?;
    out.flush()?;
    Ok(())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

fn dispatch(verb: Verb, flags: &connect::Flags) -> anyhow::Result<()> {
    match verb {
        Verb::Serve(args) => serve::run(args),
        Verb::Demo(args) => demo::run(args, flags.output == connect::Output::Json),
        Verb::Backtest(args) => backtest::run(&args, flags.output),
        Verb::Evaluate(args) => evaluate::run(&args, flags.output),
        Verb::Replay(args) => replay::run(&args, flags),
        Verb::Apply(args) => {
            let objects = apply::read(&args)?;
            online(flags, async |session| {
                apply::run(args, objects, session).await
            })
        }
        Verb::Get(args) => online(flags, async |session| get::run(args, session).await),
        Verb::Delete(args) => online(flags, async |session| get::delete(args, session).await),
        Verb::Events(verb) => events::run(verb, flags),
        Verb::Forecast(args) => online(flags, async |session| forecast::run(args, session).await),
        Verb::Plan(args) => online(flags, async |session| plan::run(args, session).await),
        Verb::Why(args) => online(flags, async |session| why::run(args, session).await),
        Verb::Grant(args) => online(flags, async |session| why::grant(args, session).await),
        Verb::Alerts => online(flags, status::alerts),
        Verb::Policy(verb) => policy::run(verb, flags),
        Verb::Store(verb) => store::run(verb, flags),
        Verb::Map(verb) => map::run(&verb, flags.output),
        Verb::Token(args) => token::run(&args, flags.output),
        Verb::Advance(args) => online(flags, async |session| status::advance(args, session).await),
        Verb::Status => online(flags, status::run),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tidegate", &mut script);
            say(&String::from_utf8_lossy(&script))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verb_table_holds_together() {
        Cli::command().debug_assert();
    }
}
