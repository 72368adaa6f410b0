//! The life of a module's version: how it comes to serve a binding, and what is kept of it.
//!
//! `uploaded → admitted → shadow → active → retired`, or `quarantined`. A version is put *in shadow*
//! of a binding, where it gets live input and its answers do not count; the binding's [`Gate`] says
//! when the evidence suffices to promote it, and for how long it is watched afterwards, so that it is
//! rolled back when the evidence turns against it. Every step is one [`Step`] of a journal that is
//! only appended to, and holds the newest [`Step::KEPT`] steps of each binding.
//!
//! The alternative, to keep the present state of each version alone, cannot say who forced what, and
//! on which evidence; the other, to keep everything for ever, lets whoever binds in a loop fill a disk.

use crate::ids::{BindingId, Digest, TenantId};
use crate::module::ModuleRef;
use crate::time::Timestamp;
use crate::units::Level;
use std::fmt;

/// Who lets a shadow become active once the evidence suffices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Promotion {
    /// The gate, by itself.
    #[default]
    Automatic,
    /// A person, by `tidegate policy promote`.
    Manual,
}

impl Promotion {
    /// The name in APIs and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Promotion::Automatic => "automatic",
            Promotion::Manual => "manual",
        }
    }
}

/// Stored history that a candidate must pass before it is promoted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backtest {
    /// How much of the newest history is replayed, in seconds.
    pub window_s: u32,
    /// Part of the incumbent's loss by which the candidate may be worse there, 0 to 1.
    pub worse_by: f64,
}

/// When a binding's shadow is promoted, and when the promotion is taken back. What is compared is the
/// candidate's loss less the incumbent's on the same inputs, as a part of the incumbent's loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// Who promotes.
    pub promote: Promotion,
    /// Most often, per 10,000, that a version which is as good is rolled back, or one that is worse
    /// promoted, however long it is looked at.
    pub alpha: Level,
    /// Part of the incumbent's loss by which a candidate may be worse and still counts as good as it.
    pub margin: f64,
    /// Never promoted before it was in shadow for so long, in seconds.
    pub min_duration_s: u32,
    /// A shadow that is undecided for so long, in seconds, ends: inconclusive, and not promoted.
    pub max_duration_s: u32,
    /// For so long after a promotion, in seconds, the version before goes on silently, and the new one
    /// is rolled back where it does harm. 0 does not watch.
    pub watch_s: u32,
    /// What it must have passed before; `None` asks for nothing.
    pub backtest: Option<Backtest>,
}

impl Default for Gate {
    /// Automatic, 1 % false alarms, 5 % margin, a day in shadow at least and two weeks at most, a day
    /// of watch. A day, because load has a daily shape: what fails in the evening is not seen before.
    fn default() -> Self {
        const DAY: u32 = 86_400;
        Self {
            promote: Promotion::default(),
            alpha: Gate::ALPHA,
            margin: 0.05,
            min_duration_s: DAY,
            max_duration_s: 14 * DAY,
            watch_s: DAY,
            backtest: None,
        }
    }
}

impl Gate {
    /// 1 %.
    const ALPHA: Level = match Level::new(100) {
        Some(level) => level,
        None => Level::P50,
    };
    /// Longest duration of any kind, in seconds: 90 days.
    pub const LONGEST_S: u32 = 90 * 86_400;
}

/// A version as it serves: a module and its config.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The module.
    pub module: ModuleRef,
    /// JSON under its schema.
    pub config: String,
}

/// What happened to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// Its bytes came.
    Uploaded,
    /// It passed what is asked of every module.
    Admitted,
    /// It was put in shadow of a binding.
    Shadowed,
    /// Its shadow ended without a promotion.
    ShadowEnded,
    /// Its shadow became active.
    Promoted,
    /// It was made active by word, without a shadow.
    Bound,
    /// It was taken back, and `to` serves since then.
    RolledBack,
    /// It may not serve again by itself.
    Quarantined,
    /// A quarantine was lifted.
    Lifted,
    /// It serves no more and nothing is known against it.
    Retired,
    /// Its holder gave it up.
    Removed,
}

impl Event {
    /// All, in the order of a life.
    pub const ALL: [Event; 11] = [
        Event::Uploaded,
        Event::Admitted,
        Event::Shadowed,
        Event::ShadowEnded,
        Event::Promoted,
        Event::Bound,
        Event::RolledBack,
        Event::Quarantined,
        Event::Lifted,
        Event::Retired,
        Event::Removed,
    ];

    /// The name in APIs and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Event::Uploaded => "uploaded",
            Event::Admitted => "admitted",
            Event::Shadowed => "shadow",
            Event::ShadowEnded => "shadow-ended",
            Event::Promoted => "promoted",
            Event::Bound => "bound",
            Event::RolledBack => "rolled-back",
            Event::Quarantined => "quarantined",
            Event::Lifted => "lifted",
            Event::Retired => "retired",
            Event::Removed => "removed",
        }
    }
}

/// Who or what did it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// A credential, by its name.
    Caller(String),
    /// The binding's gate, on evidence.
    Gate,
    /// The engine, after repeated faults.
    Faults,
    /// The daemon, as it starts or admits.
    Daemon,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Caller(name) => f.write_str(name),
            Actor::Gate => f.write_str("the gate"),
            Actor::Faults => f.write_str("repeated faults"),
            Actor::Daemon => f.write_str("tidegate"),
        }
    }
}

/// Whether evidence was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Ground {
    /// In the ordinary way.
    #[default]
    Ordinary,
    /// By somebody's word alone, past the gate.
    Forced,
}

/// One step in the life of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Rises with every step of the journal.
    pub sequence: u64,
    /// When, on the data's clock.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
    /// Where; `None` for what concerns a module wherever it is bound.
    pub binding: Option<BindingId>,
    /// Whose binding or holding it was; `None` is the operator's.
    pub party: Option<TenantId>,
    /// What served or was held before; `None`: nothing, or the native baseline.
    pub from: Option<Version>,
    /// What serves, is in shadow or is held since then; `None`: nothing, or the native baseline.
    pub to: Option<Version>,
    /// Who or what did it.
    pub by: Actor,
    /// Past the gate or not.
    pub ground: Ground,
    /// The evidence or the reason, one sentence.
    pub reason: String,
}

impl Step {
    /// A step of a version, that no journal has a place for yet: what else there is to say is filled in.
    #[must_use]
    pub fn new(event: Event, by: Actor, at: Timestamp) -> Self {
        Self {
            sequence: 0,
            at,
            event,
            binding: None,
            party: None,
            from: None,
            to: None,
            by,
            ground: Ground::default(),
            reason: String::new(),
        }
    }

    /// Steps that are kept of one binding, and of one holder's modules where there is no binding.
    pub const KEPT: usize = 500;

    /// Whether a module takes part.
    #[must_use]
    pub fn concerns(&self, digest: Digest) -> bool {
        let both = [&self.from, &self.to];
        both.into_iter()
            .flatten()
            .any(|version| version.module.digest == digest)
    }

    /// Whether it changed who serves a binding.
    #[must_use]
    pub fn is_swap(&self) -> bool {
        matches!(
            self.event,
            Event::Promoted | Event::Bound | Event::RolledBack
        )
    }
}

/// Of which side of a comparison an answer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The candidate: it was promoted, and is watched.
    Candidate,
    /// The incumbent: the candidate is in shadow.
    Incumbent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_gate_waits_for_a_whole_day_and_takes_one_percent_of_false_alarms() {
        let gate = Gate::default();
        assert_eq!(gate.alpha.get(), 100);
        assert_eq!((gate.min_duration_s, gate.watch_s), (86_400, 86_400));
        assert!(gate.max_duration_s > gate.min_duration_s);
    }

    #[test]
    fn events_have_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = Event::ALL.iter().map(|e| e.name()).collect();
        assert_eq!(names.len(), Event::ALL.len());
    }
}
