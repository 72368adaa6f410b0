//! Policies of yesterday, built from the frozen WIT, and their next versions; and policies that keep every rule
//! and do harm, which nothing but a comparison finds out.
//!
//! What was stored under an interface version must serve as long as the daemon reads that version, and
//! only a component that was really built against it can show that. So the guests under `guests` are
//! written by hand, without the SDK (which moves on with the newest version), in a workspace of their
//! own. The same two versions of one module show what becomes of states at a swap.

use anyhow::{Context as _, Result};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tidegate_build::Builder;

/// A guest under `guests`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// `steady` 1.0.0, interface 0.1: states of format 1.
    FirstForecaster,
    /// `steady-tiers` 1.0.0, interface 0.1.
    FirstTierer,
    /// `steady-shares` 1.0.0, interface 0.1.
    FirstAllocator,
    /// `steady-judge` 1.0.0, interface 0.1.
    FirstJudge,
    /// `steady` 2.0.0, interface 0.2: states of format 2, which it makes of those of format 1 unless the
    /// config that these were fitted with names a `fault`.
    SecondForecaster,
    /// `steady-tiers` 2.0.0, interface 0.2: states of format 2.
    SecondTierer,
    /// `steady-judge` 2.0.0, interface 0.2: states of format 2, which it makes of those of format 1 that were
    /// shown a flush; at the others it fails.
    SecondJudge,
    /// `evenings` 1.0.0, interface 0.1: a forecaster that is better than `steady`, and says twice as much of
    /// evenings.
    Evenings,
    /// `starving` 1.0.0, interface 0.1: an allocator that takes from Silver what its steps allow.
    Starving,
}

impl Guest {
    fn place(self) -> &'static str {
        match self {
            Guest::FirstForecaster => "first/forecaster",
            Guest::FirstTierer => "first/tierer",
            Guest::FirstAllocator => "first/allocator",
            Guest::FirstJudge => "first/judge",
            Guest::SecondForecaster => "second/forecaster",
            Guest::SecondTierer => "second/tierer",
            Guest::SecondJudge => "second/judge",
            Guest::Evenings => "harmful/forecaster",
            Guest::Starving => "harmful/allocator",
        }
    }

    /// The component.
    ///
    /// # Errors
    /// When it does not build.
    pub fn component(self) -> Result<Vec<u8>> {
        // Two versions of one module have one name, and so one file.
        static BUILDING: Mutex<()> = Mutex::new(());
        let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let builder = Builder::new(here.join("guests").join(self.place()))
            .target_dir(here.join("../../target/guests"));
        let built = builder.build(&builder.packages()?)?;
        let built = built.first().context("nothing was built")?;
        Ok(std::fs::read(&built.component)?)
    }
}
