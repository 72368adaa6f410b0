//! What every policy is asked: how many replicas should each api have now?
//!
//! One question every fifteen seconds, the sync period of Kubernetes' controller and faster than any
//! daemon's cycle; a policy that acts more seldom leaves the wishes as they are. What is seen is what
//! would be seen: use as the last but one scrape told it, minutes after they have ended.

use super::service::Minute;
use tidegate_core::policy::CallError;
use tidegate_core::ports::storage::StoreError;

/// Seconds between two questions, and between two scrapes.
pub const SYNC_S: usize = 15;

/// What is seen of one api.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observed {
    /// Replicas that serve.
    pub serving: u32,
    /// Replicas that are paid for.
    pub held: u32,
    /// Replicas of which the scrape tells: those that served while it was taken and still do.
    pub measured: u32,
    /// Cores that one of them used, on average over the scrape.
    pub used_each: f64,
}

/// Why a policy could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The cycle could not run.
    #[error("the cycle could not run")]
    Cycle(#[from] tidegate_flow::cycle::Error),
    /// A fit could not read its history.
    #[error("history cannot be read")]
    Store(#[from] StoreError),
    /// The catalog of the simulated world was refused.
    #[error("the simulated world is not lawful: {0}")]
    World(String),
    /// A name of the simulated world is none.
    #[error("the simulated world cannot be named")]
    Name(#[from] tidegate_core::ids::IdError),
    /// A policy gave no answer.
    #[error("a policy gave no answer")]
    Policy(#[from] CallError),
}

/// A policy under test.
pub trait Scaler {
    /// Says what each api should have: `wishes` holds what it said last.
    ///
    /// # Errors
    /// When it cannot go on; the run ends.
    fn sync(&mut self, second: usize, seen: &[Observed], wishes: &mut [u32])
    -> Result<(), Failure>;

    /// Is told a minute that has ended, one per api.
    fn minute(&mut self, _second: usize, _minutes: &[Minute]) {}
}
