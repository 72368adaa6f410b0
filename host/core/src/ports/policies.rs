//! Modules, what they serve, and the versions that are compared: the part of what the daemon offers
//! that is about policies.

use super::serve::ServeError;
use crate::access::Principal;
use crate::ids::{BindingId, Digest, TenantId};
use crate::life::{Gate, Ground, Side, Step, Version};
use crate::module::{Manifest, ModuleKind, ModuleRef, Signer};
use crate::policy::Verdict;
use crate::time::Timestamp;

/// A module as a person sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModuleInfo {
    /// Identity.
    pub digest: Digest,
    /// Its manifest.
    pub manifest: Manifest,
    /// Size of the component in bytes.
    pub size: u64,
    /// The tenant that holds it; `None` is the operator's, for everybody.
    pub owner: Option<TenantId>,
    /// When it was admitted.
    pub admitted_at: Timestamp,
    /// By whom.
    pub pushed_by: String,
    /// The trusted key that had signed it, where one was demanded.
    pub signed_by: Option<Signer>,
    /// Whether it may serve nobody without an operator's word.
    pub quarantined: bool,
    /// Bindings that it may not serve without their owner's word.
    pub quarantined_for: Vec<BindingId>,
    /// Bindings that it serves now.
    pub serving: Vec<BindingId>,
}

/// A slot as a person sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct SlotInfo {
    /// The binding.
    pub binding: BindingId,
    /// Its kind.
    pub kind: ModuleKind,
    /// Who serves.
    pub active: ModuleRef,
    /// Who would, if it failed.
    pub last_good: Option<ModuleRef>,
    /// Rises with every swap.
    pub epoch: u64,
    /// Calls answered since the start.
    pub calls: u64,
    /// Faults since the last swap.
    pub faults: u64,
    /// The module in shadow, or the version before that goes on while a promotion is watched, and what
    /// is known of the comparison; `None` where there is neither.
    pub trial: Option<Box<ShadowStanding>>,
}

/// A module and what is read from its component.
#[derive(Debug, Clone, PartialEq)]
pub struct ModuleDetail {
    /// As it is listed.
    pub info: ModuleInfo,
    /// Interfaces and functions that it imports, as written in it.
    pub imports: Vec<String>,
    /// Interfaces and functions that it exports.
    pub exports: Vec<String>,
}

/// Two modules side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The first.
    pub a: ModuleDetail,
    /// The second.
    pub b: ModuleDetail,
    /// Where one is compared with the other now.
    pub trials: Vec<ShadowStanding>,
}

/// How a comparison of two versions of one binding stands: of a shadow with what serves, or, after a
/// promotion, of what serves with the version before.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadowStanding {
    /// The binding.
    pub binding: BindingId,
    /// The newer version.
    pub candidate: Version,
    /// The one that it is to replace, or has replaced.
    pub incumbent: Version,
    /// Whose answers count: the incumbent's while the candidate is in shadow, the candidate's while
    /// its promotion is watched.
    pub serving: Side,
    /// Since when they are compared, on the data's clock.
    pub since: Timestamp,
    /// By which rules.
    pub gate: Gate,
    /// Decisions on which both were scored.
    pub pairs: u64,
    /// Mean loss of the candidate less that of the incumbent, as a part of the incumbent's: -0.1 is
    /// ten percent better. `None` without pairs.
    pub difference: Option<f64>,
    /// Anytime-valid bounds on the difference at the gate's rate of false alarms.
    pub bounds: Option<(f64, f64)>,
    /// What the judge says now.
    pub verdict: Verdict,
    /// Why, or what is still missing; one sentence.
    pub reason: String,
}

/// What is known of comparisons while they go on. Apart from [`PoliciesPort`], because whoever scores
/// knows it, and whoever serves only tells it.
pub trait TrialsPort: Send + Sync {
    /// How the shadow of a binding stands, or the version that it became while that is watched.
    fn standing(&self, binding: &BindingId) -> Option<ShadowStanding>;
}

/// Modules and what they serve.
pub trait PoliciesPort: Send + Sync {
    /// For whom a push of this caller would hold a module: the tenant that it names, the only one of
    /// its credential, or everybody, where it names none and answers for all. Asked before an upload
    /// is read.
    ///
    /// # Errors
    /// When the caller may not push for that tenant, or must say for which.
    fn pusher(
        &self,
        caller: &Principal,
        tenant: Option<TenantId>,
    ) -> Result<Option<TenantId>, ServeError>;

    /// Admits a component: signature, structure, imports, manifest, limits, canary calls. Idempotent
    /// by digest and owner. `signature` is empty where none came.
    ///
    /// # Errors
    /// Says what to change in the component; or which quota of the owner is used up.
    fn push(
        &self,
        caller: &Principal,
        owner: Option<TenantId>,
        bytes: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<ModuleInfo, ServeError>;

    /// Gives up a module that an owner holds, told as for a push. `module` is a name of which one
    /// version is held, a digest, or a unique prefix of one. Its bytes stay with the records that it
    /// decided.
    ///
    /// # Errors
    /// While a binding uses it, naming the bindings; when the owner holds no such module.
    fn remove(
        &self,
        caller: &Principal,
        owner: Option<TenantId>,
        module: &str,
    ) -> Result<ModuleInfo, ServeError>;

    /// Modules that the caller may bind, oldest first.
    ///
    /// # Errors
    /// When the caller may not.
    fn modules(&self, caller: &Principal) -> Result<Vec<ModuleInfo>, ServeError>;

    /// All slots.
    ///
    /// # Errors
    /// When the caller may not.
    fn slots(&self, caller: &Principal) -> Result<Vec<SlotInfo>, ServeError>;

    /// Makes a module serve a binding: states are prepared first, then one atomic swap. `module` is
    /// a name (the newest admitted version), a digest, or a unique prefix of one.
    ///
    /// # Errors
    /// When there is no such binding or module, or its config does not fit.
    fn bind(
        &self,
        caller: &Principal,
        binding: &BindingId,
        module: &str,
        config: Option<String>,
    ) -> Result<SlotInfo, ServeError>;

    /// Back to the version before; the one that served is quarantined for this binding.
    ///
    /// # Errors
    /// When there is none.
    fn rollback(&self, caller: &Principal, binding: &BindingId) -> Result<SlotInfo, ServeError>;

    /// Puts a version in shadow of a binding, instead of the one that is there. `module` as for a bind.
    ///
    /// # Errors
    /// When there is no such binding or module, its kind or config does not fit, or it is quarantined
    /// for the binding (RB1).
    fn put_in_shadow(
        &self,
        caller: &Principal,
        binding: &BindingId,
        module: &str,
        config: Option<String>,
    ) -> Result<SlotInfo, ServeError>;

    /// Ends the shadow of a binding without a promotion.
    ///
    /// # Errors
    /// When nothing is in shadow of it.
    fn end_shadow(&self, caller: &Principal, binding: &BindingId) -> Result<SlotInfo, ServeError>;

    /// Makes the shadow of a binding its module, by the path of a bind.
    ///
    /// # Errors
    /// When nothing is in shadow; in the ordinary way also while the gate's evidence does not suffice,
    /// with the evidence so far and what is missing.
    fn promote(
        &self,
        caller: &Principal,
        binding: &BindingId,
        ground: Ground,
    ) -> Result<SlotInfo, ServeError>;

    /// Quarantines a module for one binding, or everywhere where none is named; where it serves there,
    /// the version before does at once, or the native baseline.
    ///
    /// # Errors
    /// When there is no such module or binding, or the caller may not decide for it.
    fn quarantine(
        &self,
        caller: &Principal,
        module: &str,
        binding: Option<&BindingId>,
    ) -> Result<ModuleInfo, ServeError>;

    /// Lifts a module's quarantine for one binding, or all that is known against it.
    ///
    /// # Errors
    /// As for a quarantine; a precondition when it is withdrawn everywhere and one binding is named.
    fn lift(
        &self,
        caller: &Principal,
        module: &str,
        binding: Option<&BindingId>,
    ) -> Result<ModuleInfo, ServeError>;

    /// The steps in the life of versions that are kept of a binding, or of a module (its name, its digest
    /// or a prefix of one), oldest first.
    ///
    /// # Errors
    /// When there is neither.
    fn history(&self, caller: &Principal, of: &str) -> Result<Vec<Step>, ServeError>;

    /// Two modules side by side, named as for a bind, and how they compare where one is in shadow of the
    /// other.
    ///
    /// # Errors
    /// When the caller may bind one of them nowhere.
    fn compare(&self, caller: &Principal, a: &str, b: &str) -> Result<Comparison, ServeError>;
}
