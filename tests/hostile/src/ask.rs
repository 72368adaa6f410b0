//! Questions to ask a guest: the smallest lawful input of each world, so that whatever goes wrong is
//! the guest's doing.

use std::sync::Arc;
use tidegate_core::module::ModuleRef;
use tidegate_core::policy::{Blobs, Covariates, Forecaster, Frames, Horizon};
use tidegate_core::roster::{Member, Retreat, Roster};
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::{Level, Signal};

/// A horizon of `steps` at three levels, one series per seed.
#[must_use]
pub fn horizon(seeds: &[u64], steps: u32) -> Horizon {
    Horizon {
        step: Step::MINUTE,
        steps,
        levels: vec![Level::P50, Level::P90, Level::P99],
        starts: vec![Timestamp(0); seeds.len()],
        future: Covariates::default(),
        seeds: seeds.to_vec(),
    }
}

/// Short histories, one per seed.
#[must_use]
pub fn frames(seeds: &[u64]) -> Frames {
    let mut frames = Frames::new(Step::MINUTE);
    for &seed in seeds {
        frames.push(Signal::Requests, Timestamp(0), &[1.0, 2.0, 3.0], seed);
    }
    frames
}

/// Empty states, one per series.
#[must_use]
pub fn states(series: usize) -> Blobs {
    Blobs::join(1, std::iter::repeat_n(&[][..], series))
}

/// A roster of a module and, behind it, another.
#[must_use]
pub fn roster_of(
    active: (ModuleRef, Arc<dyn Forecaster>),
    behind: (ModuleRef, Arc<dyn Forecaster>),
) -> Roster<dyn Forecaster> {
    let member = |(module, policy), retreat| Member {
        module,
        binding: None,
        retreat,
        config: "{}".into(),
        policy,
    };
    Roster::of(vec![
        member(active, Retreat::Active),
        member(behind, Retreat::LastGood),
    ])
}
