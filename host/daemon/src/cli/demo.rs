//! `tidegate demo`: plays it and prints the summary.
#![expect(clippy::print_stdout, reason = "the summary is the verb's output")]

use crate::demo::{self, Drawing, POOL_CORES, Summary};
use anyhow::{Context, Result};
use std::io::IsTerminal as _;
use std::path::PathBuf;

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Live days to play after the week of history
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=2))]
    days: u32,
    /// Seed of the simulated services
    #[arg(long, default_value_t = 2026)]
    seed: u64,
    /// Shuffle every trace in time with this seed: the same load, but no peak can be foreseen
    #[arg(long, value_name = "SEED")]
    shuffle: Option<u64>,
    /// Forecaster of the first half
    #[arg(long, value_name = "MODULE", default_value = "seasonal-naive")]
    forecaster: String,
    /// Allocator of the first half
    #[arg(long, value_name = "MODULE", default_value = "proportional")]
    allocator: String,
    /// Forecaster that is swapped in half-way
    #[arg(long, value_name = "MODULE", default_value = "ets")]
    then_forecaster: String,
    /// Allocator that is swapped in half-way
    #[arg(long, value_name = "MODULE", default_value = "waterfill")]
    then_allocator: String,
    /// Part of a grant that is meant to be used; the rest absorbs bursts
    #[arg(long, value_name = "PART", default_value_t = 0.85)]
    target_utilisation: f64,
    /// Keep the daemon's data here instead of in a temporary directory
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Leave the daemon running, and say what to try next
    #[arg(long)]
    keep: bool,
    /// Print no progress
    #[arg(short, long)]
    quiet: bool,
}

/// Plays the demo.
pub(crate) fn run(args: Args, json: bool) -> Result<()> {
    let drawing = match (args.quiet, std::io::stderr().is_terminal()) {
        (true, _) => Drawing::Off,
        (false, true) => Drawing::Live,
        (false, false) => Drawing::Lines,
    };
    let options = demo::Options {
        days: args.days,
        seed: args.seed,
        shuffle: args.shuffle,
        first: [args.forecaster, args.allocator],
        then: [args.then_forecaster, args.then_allocator],
        target_utilisation: args.target_utilisation,
        data: args.data,
        keep: args.keep,
        drawing,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let summary = runtime.block_on(demo::run(&options))?;
    if json {
        println!("{:#}", summary.json());
    } else {
        print(&summary);
    }
    Ok(())
}

fn print(summary: &Summary) {
    let (moved, lead) = summary.lead();
    println!("\nSix real traces, one pool of {POOL_CORES} cores that is too small for all peaks");
    println!("  samples stored and acknowledged   {}", summary.samples);
    println!(
        "  plans in the ledger               {} for {} steps",
        summary.plans, summary.steps
    );
    for (allocator, plans) in &summary.allocators {
        println!("    by {allocator:<31} {plans}");
    }
    println!(
        "  grants moved                      {} times",
        summary.moves
    );
    println!("  grants put in force and reported  {}", summary.applied);
    println!("\nPeaks (the busiest five minutes of each api's day)");
    println!(
        "  foreseen half an hour before      {} of {}",
        summary.foreseen(),
        summary.peaks.len()
    );
    println!(
        "  grants moved for, ahead of        {moved} of {}, median {lead} min before the peak",
        summary.peaks.len()
    );
    println!(
        "  {:<14} {:<7} {:>9} {:>7} {:>9} {:>11}",
        "api", "tier", "peak /s", "needs", "asked for", "ready before"
    );
    for peak in &summary.peaks {
        let ready = match (peak.moved, peak.lead_minutes) {
            (_, 0) => "not".to_owned(),
            (true, minutes) => format!("{minutes} min"),
            (false, _) => "all along".to_owned(),
        };
        println!(
            "  {:<14} {:<7} {:>9.0} {:>7.2} {:>9.2} {ready:>11}",
            peak.api, peak.tier, peak.rate, peak.needed, peak.planned
        );
    }
    println!(
        "  cores; asked for: what the plan half an hour before foresaw for it, with its tier's headroom,\n  \
         before the pool of {POOL_CORES} was divided"
    );
    println!("\nMinutes with a missed objective");
    for (half, policies) in summary.policies.iter().enumerate() {
        let when = if half == 0 {
            "before the swap"
        } else {
            "after the swap"
        };
        println!("  {when}: {policies}");
        println!(
            "    {:<8} {:>9} {:>13} {:>20}",
            "tier", "Tidegate", "static split", "reactive autoscaler"
        );
        let mut all = demo::Violations::default();
        for tier in ["gold", "silver", "bronze"] {
            let v = summary
                .violations
                .get(tier)
                .map(|halves| halves[half])
                .unwrap_or_default();
            println!(
                "    {tier:<8} {:>9.0} {:>13.0} {:>20.0}",
                v.shaped, v.fixed, v.reactive
            );
            all = all + v;
        }
        println!(
            "    {:<8} {:>9.0} {:>13.0} {:>20.0}",
            "all", all.shaped, all.fixed, all.reactive
        );
    }
    println!("\nPolicies swapped under load");
    for swap in &summary.swaps {
        println!(
            "  {:<20} → {:<18} {:.2} s, {} calls meanwhile, {} dropped",
            swap.binding,
            swap.module,
            swap.seconds,
            swap.answered + swap.failed,
            swap.failed
        );
    }
    println!("  calls dropped                     {}", summary.dropped());
    println!("\nDone in {:.0} s.", summary.seconds);
    match &summary.kept {
        None => println!("`--keep` leaves the daemon running to explore."),
        Some(kept) => {
            println!(
                "\nThe daemon goes on (process {}, data in {}). Try:",
                kept.pid,
                kept.data.display()
            );
            println!("  export TIDEGATE_SERVER={}", kept.url);
            for line in [
                "status",
                "get api",
                "forecast shop/tickets",
                "plan edge",
                "why shop/tickets",
                "policy slots",
                "policy bind default-forecaster seasonal-naive",
            ] {
                println!("  tidegate {line}");
            }
            println!("  kill {}                          # stops it", kept.pid);
        }
    }
}
