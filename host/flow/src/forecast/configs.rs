//! The digests by which fits of different configs are told apart.
//!
//! Every series of a cycle asks for its module's, and very many series share few configs: one is hashed
//! once a run. A digest kept beside the config in the roster was rejected: it holds the step, which
//! slots know nothing of.

use std::cell::RefCell;
use std::collections::BTreeMap;
use tidegate_core::canonical;
use tidegate_core::ids::Digest;
use tidegate_core::policy::Forecaster;
use tidegate_core::roster::Member;
use tidegate_core::time::Step;

/// What tells fits of one series by one module apart: the module's config, and the step at which it
/// was fitted. A season of 1440 steps is a day at one step and five days at another, so a state must
/// not outlive a change of the daemon's resolution.
#[must_use]
pub fn fitted_with(config: &str, step: Step) -> Digest {
    let mut encoder = canonical::Encoder::default();
    encoder.text(config).raw(&step.secs().to_le_bytes());
    encoder.digest()
}

/// [`fitted_with`] of the configs of a run: very many series have few, and each is hashed once. They are
/// told apart by where they lie; the targets keep them there.
#[derive(Debug, Default)]
pub(super) struct Configs(RefCell<BTreeMap<(*const u8, usize), Digest>>);

impl Configs {
    pub(super) fn of(&self, member: &Member<dyn Forecaster>, step: Step) -> Digest {
        let config = &member.config;
        let mut known = self.0.borrow_mut();
        let place = (config.as_ptr(), config.len());
        *known
            .entry(place)
            .or_insert_with(|| fitted_with(config, step))
    }
}
