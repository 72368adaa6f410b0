//! Which versions are compared now, read from the catalog and the journal and kept nowhere else: so a
//! restart goes on where it was, and no third place can contradict the two.
//!
//! A binding has one comparison at a time. While a promotion is watched, what served before goes on
//! silently; a shadow that was put there meanwhile waits until the watch is over, because an incumbent
//! that may itself be taken back is no yardstick.

use super::{binding, in_shadow, serving};
use crate::world::World;
use tidegate_core::ids::BindingId;
use tidegate_core::life::{Event, Gate, Side, Step, Version};
use tidegate_core::module::{Binding, ModuleKind};
use tidegate_core::time::Timestamp;
use tidegate_engine::Candidate;

/// Two versions of one binding that are compared.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    /// The binding.
    pub(crate) binding: BindingId,
    /// Its kind.
    pub(crate) kind: ModuleKind,
    /// By which rules.
    pub(crate) gate: Gate,
    /// The newer version.
    pub(crate) candidate: Version,
    /// The one that it is to replace, or has replaced.
    pub(crate) incumbent: Version,
    /// Whose answers count.
    pub(crate) serving: Side,
    /// Since when.
    pub(crate) since: Timestamp,
    /// The one whose answers do not count, as it can be asked.
    pub(crate) silent: Candidate,
}

impl Trial {
    /// Whether it watches a promotion.
    pub(crate) fn is_watch(&self) -> bool {
        self.serving == Side::Candidate
    }

    /// The version whose answers do not count.
    pub(crate) fn silent_version(&self) -> &Version {
        match self.serving {
            Side::Candidate => &self.incumbent,
            Side::Incumbent => &self.candidate,
        }
    }
}

/// All comparisons, ascending by binding.
pub(crate) fn trials(world: &World) -> Vec<Trial> {
    let catalog = world.catalog.load_full();
    let all = catalog.bindings.values();
    all.filter_map(|b| of(world, &b.value)).collect()
}

/// The comparison of a binding.
pub(crate) fn trial(world: &World, id: &BindingId) -> Option<Trial> {
    of(world, &binding(world, id).ok()?.value)
}

fn of(world: &World, binding: &Binding) -> Option<Trial> {
    let active = serving(world, &binding.id)?;
    let journal = &world.policies.journal;
    let watch = journal.read(&binding.id, |steps| watched(steps, &binding.gate, &active));
    let (serving, candidate, incumbent, since) = match watch {
        Some((before, since)) => (Side::Candidate, active, before, since),
        None => {
            let candidate = in_shadow(world, binding)?;
            let since = journal.read(&binding.id, |steps| shadowed(steps, &candidate));
            (Side::Incumbent, candidate, active, since)
        }
    };
    let silent = match serving {
        Side::Candidate => &incumbent,
        Side::Incumbent => &candidate,
    };
    Some(Trial {
        silent: world.policies.held(silent.module.digest)?,
        binding: binding.id.clone(),
        kind: binding.kind,
        gate: binding.gate,
        candidate,
        incumbent,
        serving,
        since,
    })
}

/// What the version that serves has replaced by a swap that is still watched, by a promotion or by word,
/// and since when.
fn watched(steps: &[Step], gate: &Gate, active: &Version) -> Option<(Version, Timestamp)> {
    let last = steps
        .iter()
        .rev()
        .find(|s| s.is_swap() || s.event == Event::Retired)?;
    let forwards = matches!(last.event, Event::Promoted | Event::Bound);
    if !forwards || last.to.as_ref() != Some(active) || gate.watch_s == 0 {
        return None;
    }
    Some((last.from.clone()?, last.at))
}

/// Since when a version is in shadow of what serves now.
fn shadowed(steps: &[Step], candidate: &Version) -> Timestamp {
    let begun = |s: &&Step| {
        let shadowed = s.event == Event::Shadowed && s.to.as_ref() == Some(candidate);
        shadowed || s.is_swap() || s.event == Event::Retired
    };
    steps
        .iter()
        .rev()
        .find(begun)
        .map_or(Timestamp(0), |s| s.at)
}
