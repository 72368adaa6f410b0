//! What a change of a slot is asked with, and what it answers.
//!
//! Who wants a swap is part of the question, because a quarantine (RB1) yields to a person's word and
//! to nothing else; how far that word reaches depends on what the person answers for. What was done is
//! data, for the daemon to log, to persist and to tell.

use super::quarantine::Reach;
use crate::schema::ConfigError;
use tidegate_core::ids::{BindingId, Digest};
use tidegate_core::module::{ModuleKind, ModuleRef};

/// Who wants a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A rule of the daemon: a promotion, a restart. May not bind a quarantined digest.
    Itself,
    /// Whoever answers for the binding and was told that the digest is quarantined: its quarantine
    /// for this binding is lifted. What was withdrawn everywhere stays so.
    Owner,
    /// Who answers for all: a withdrawal is lifted as well.
    Operator,
}

/// Why a slot stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SwapError {
    /// No such binding.
    #[error("there is no binding `{0}`; declare it first")]
    UnknownBinding(BindingId),
    /// The kinds differ.
    #[error("binding `{binding}` is of kind {expected}, {module} is of kind {found}")]
    WrongKind {
        /// The binding.
        binding: BindingId,
        /// Its kind.
        expected: ModuleKind,
        /// The module.
        module: ModuleRef,
        /// The module's kind.
        found: ModuleKind,
    },
    /// The digest was rolled back before.
    #[error(
        "{0} was rolled back and is quarantined (RB1); fix it and push a new version, or bind it explicitly as an operator"
    )]
    Quarantined(ModuleRef),
    /// The config does not fit the module.
    #[error("{module} does not take this config: {source}")]
    Config {
        /// The module's name.
        module: String,
        /// What does not fit.
        source: ConfigError,
    },
    /// Nothing to go back to.
    #[error("binding `{0}` has no version before this one; swap in another module")]
    NothingBefore(BindingId),
}

/// A change of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swapped {
    /// The slot.
    pub binding: BindingId,
    /// Who served; `None` for the baseline alone.
    pub from: Option<ModuleRef>,
    /// Who serves.
    pub to: Option<ModuleRef>,
    /// The slot's epoch afterwards.
    pub epoch: u64,
}

/// A slot that rolled itself back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledBack {
    /// What changed.
    pub swap: Swapped,
    /// The digest that may not come back by itself.
    pub quarantined: Digest,
    /// For this binding, or for all.
    pub reach: Reach,
    /// Faults that led to it.
    pub faults: u32,
    /// The last of them.
    pub cause: String,
}
