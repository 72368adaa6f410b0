//! The command line: which verbs there are, and what every verb shares.
//!
//! Printing is allowed here and nowhere else. A verb returns an error as text for a person; the
//! exit code says 1 for what went wrong and 2 for what was asked wrongly.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the command line talks to a person")]

mod demo;
mod serve;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Moves resources before the load arrives.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon
    Serve(serve::Args),
    /// Show the main job on real traces: foresee, divide, swap under load
    Demo(demo::Args),
}

/// Runs the verb that was asked for.
pub(crate) fn run() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Serve(args) => serve::run(args),
        Verb::Demo(args) => demo::run(args, false),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidegate: {error:#}");
            ExitCode::FAILURE
        }
    }
}
