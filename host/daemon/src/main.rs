//! The `tidegate` binary: one table of contents, the verbs are in `cli`.

mod alarms;
mod cli;
mod clock;
mod config;
mod copies;
mod demo;
mod driver;
mod feeds;
mod gate;
mod keeper;
mod life;
mod plans;
mod policies;
mod recur;
mod render;
mod sdk;
mod serve;
mod shipped;
#[cfg(test)]
mod testing;
mod together;
mod trials;
mod upkeep;
mod world;
mod zones;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
