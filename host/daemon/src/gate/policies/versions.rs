//! What a caller may know and decide of versions: their shadows, their evidence, their past.
//!
//! The past names people, and reasons that tell of data. Of what happened in its own bindings a tenant
//! reads all of it; of what happened in the operator's, which serve it too, it reads what happened and
//! when, and neither who did it nor why.

use super::super::{Gate, not_found, require};
use super::{cut, sees};
use crate::config::Seconds;
use crate::life::{self, Place, Word};
use tidegate_core::access::{Principal, Role};
use tidegate_core::ids::{BindingId, Digest};
use tidegate_core::life::{Actor, Ground, Side, Step};
use tidegate_core::module::{Binding, ModuleRef, ShadowModule};
use tidegate_core::policy::Verdict;
use tidegate_core::ports::serve::{
    ModuleDetail, ModuleInfo, ServeError, ShadowStanding, SlotInfo, TrialsPort as _,
};
use tidegate_core::ports::storage::Modules as _;
use tidegate_core::time::Timestamp;

fn no_module(text: &str) -> ServeError {
    not_found(
        format!("module `{text}`"),
        "`tidegate policy list` shows the modules; push it first with `tidegate policy push`",
    )
}

impl Gate {
    /// A slot with what is known of its comparison.
    pub(super) fn told(&self, slot: SlotInfo) -> SlotInfo {
        SlotInfo {
            trial: self.world.standing(&slot.binding).map(Box::new),
            ..slot
        }
    }

    /// What shall be in shadow of a binding. A config belongs to its module: another module starts with
    /// its defaults.
    pub(super) fn shadow_of(
        &self,
        stands: &Binding,
        module: &str,
        config: Option<String>,
    ) -> Result<ShadowModule, ServeError> {
        let named = Binding {
            shadow: Some(ShadowModule {
                module: module.to_owned(),
                config: "{}".into(),
            }),
            challengers: vec![],
            ..stands.clone()
        };
        let pinned = self.world.policies.pinned(&named)?.shadow;
        let module = pinned.map_or_else(|| module.to_owned(), |s| s.module);
        let name = |text: &str| text.split('@').next().map(str::to_owned);
        let config = config.unwrap_or_else(|| {
            if name(&module) == name(&stands.module) {
                stands.config.clone()
            } else {
                "{}".into()
            }
        });
        Ok(ShadowModule { module, config })
    }

    /// On which word a shadow is promoted: on the gate's evidence, or past it.
    pub(super) fn promotion(
        &self,
        caller: &Principal,
        id: &BindingId,
        ground: Ground,
    ) -> Result<Word, ServeError> {
        let standing = self.world.standing(id);
        let shadow = standing.filter(|s| s.serving == Side::Incumbent);
        let Some(standing) = shadow else {
            let stands = life::binding(&self.world, id)?.value;
            return match (ground, stands.shadow) {
                // Nothing in shadow is told by the act itself.
                (Ground::Forced, _) | (_, None) => {
                    Ok(Word::of(&caller.name, "nothing was compared").forced())
                }
                (Ground::Ordinary, Some(shadow)) => Err(ServeError::Precondition(format!(
                    "{} is not promoted: nothing is compared with it now, because a promotion before it is still watched or the native baseline serves; wait, or promote it past the gate with --force, which is recorded",
                    shadow.module
                ))),
            };
        };
        let so_far = so_far(&standing, self.world.clock.now());
        match ground {
            Ground::Forced => {
                let reason = format!("forced past the gate; {so_far}");
                Ok(Word::of(&caller.name, reason).forced())
            }
            Ground::Ordinary if suffices(&standing, self.world.clock.now()) => {
                Ok(Word::of(&caller.name, so_far))
            }
            Ground::Ordinary => Err(ServeError::Precondition(format!(
                "{} is not promoted, because the gate's evidence does not suffice: {so_far}; wait, or promote it past the gate with --force, which is recorded",
                standing.candidate.module
            ))),
        }
    }

    /// The module, and where it is to be condemned or lifted, as far as the caller decides there.
    pub(super) fn condemned<'a>(
        &self,
        caller: &Principal,
        text: &str,
        binding: Option<&'a BindingId>,
        what: &str,
    ) -> Result<(ModuleRef, Place<'a>), ServeError> {
        let place = match binding {
            Some(id) => {
                self.binding(caller, id)?;
                Place::Binding(id)
            }
            None if caller.tenants.is_some() => {
                let text = format!(
                    "{what} everywhere is for who answers for all; name a binding of yours with --binding"
                );
                return Err(ServeError::Denied(text));
            }
            None => {
                require(caller, Role::Operator, what)?;
                Place::Everywhere
            }
        };
        let info = self.named(caller, text)?;
        let module = ModuleRef {
            name: info.manifest.name,
            version: info.manifest.version,
            digest: info.digest,
        };
        Ok((module, place))
    }

    /// The module of a digest, as the caller sees it.
    pub(super) fn module(
        &self,
        caller: &Principal,
        digest: Digest,
    ) -> Result<ModuleInfo, ServeError> {
        let found = self.seen(caller).into_iter().find(|m| m.digest == digest);
        found.ok_or_else(|| no_module(&digest.short()))
    }

    fn seen(&self, caller: &Principal) -> Vec<ModuleInfo> {
        let catalog = self.world.catalog.load();
        let sees =
            |owner: Option<&tidegate_core::ids::TenantId>| owner.is_none_or(|t| caller.sees(t));
        let seen = self.world.policies.modules(sees).into_iter();
        seen.map(|info| cut(&catalog, caller, info)).collect()
    }

    /// The module that a text names among those that a caller may see: the newest of a name, or the one
    /// of a digest.
    fn named(&self, caller: &Principal, text: &str) -> Result<ModuleInfo, ServeError> {
        let found: Vec<ModuleInfo> = self
            .seen(caller)
            .into_iter()
            .filter(|m| names(text, &m.manifest.name, m.digest))
            .collect();
        let by_name = |m: &ModuleInfo| m.manifest.name == text;
        match found.as_slice() {
            [] => Err(no_module(text)),
            [.., newest] if found.len() == 1 || found.iter().all(by_name) => Ok(newest.clone()),
            many => Err(ServeError::field(
                "module",
                "digest",
                format!("`{text}` begins {} digests; write more of it", many.len()),
            )),
        }
    }

    /// A module and what is read from its component.
    pub(super) fn detail(
        &self,
        caller: &Principal,
        text: &str,
    ) -> Result<ModuleDetail, ServeError> {
        let info = self.named(caller, text)?;
        let bytes = self.world.store.bytes(&info.digest);
        let bytes = bytes.map_err(super::stored)?.unwrap_or_default();
        let (imports, exports) = tidegate_engine::interface_of(&bytes);
        Ok(ModuleDetail {
            info,
            imports,
            exports,
        })
    }

    /// The steps of a binding or of a module.
    pub(super) fn steps(&self, caller: &Principal, of: &str) -> Result<Vec<Step>, ServeError> {
        let journal = &self.world.policies.journal;
        let mine = |step: &Step| step.party.as_ref().is_none_or(|t| caller.sees(t));
        let id = of.parse::<BindingId>().ok();
        let mut steps = id.as_ref().map_or(vec![], |id| journal.of_binding(id));
        steps.retain(mine);
        let catalog = self.world.catalog.load();
        let bound = id
            .as_ref()
            .is_some_and(|id| catalog.bindings.contains_key(id) && sees(&catalog, caller, id));
        if steps.is_empty() && !bound {
            let takes_part = |step: &Step| {
                let both = [&step.from, &step.to].into_iter().flatten();
                let mut modules = both.map(|version| &version.module);
                modules.any(|m| names(of, &m.name, m.digest))
            };
            steps = journal.filtered(|step| mine(step) && takes_part(step));
            if steps.is_empty() && self.named(caller, of).is_err() {
                return Err(not_found(
                    format!("binding or module `{of}`"),
                    "`tidegate get bindings` and `tidegate policy list` show them",
                ));
            }
        }
        let told = steps.into_iter().map(|step| shown(caller, step));
        Ok(told.collect())
    }
}

/// Whether a text names a module: its name, `name@digest`, or a digest, by at least six digits of it.
fn names(text: &str, name: &str, digest: Digest) -> bool {
    let begins = |prefix: &str| prefix.len() >= 6 && digest.to_string().starts_with(prefix);
    match text.split_once('@') {
        Some((of, prefix)) => of == name && begins(prefix),
        None => text == name || begins(text),
    }
}

/// A step as a caller may read it.
fn shown(caller: &Principal, step: Step) -> Step {
    if caller.tenants.is_none() || step.party.is_some() {
        return step;
    }
    let by = match step.by {
        Actor::Caller(name) if name != caller.name => Actor::Caller("others".into()),
        other => other,
    };
    Step {
        by,
        reason: String::new(),
        ..step
    }
}

fn suffices(standing: &ShadowStanding, now: Timestamp) -> bool {
    standing.verdict == Verdict::Promote
        && now.since_ms(standing.since) >= i64::from(standing.gate.min_duration_s) * 1000
}

/// The evidence on a shadow, in one sentence.
fn so_far(standing: &ShadowStanding, now: Timestamp) -> String {
    let age = u32::try_from(now.since_ms(standing.since).max(0) / 1000).unwrap_or(u32::MAX);
    // By the minute: seconds of days tell nobody anything.
    let age = if age > 3600 { age / 60 * 60 } else { age };
    let difference = match (standing.difference, standing.bounds) {
        (None, _) => String::new(),
        (Some(mean), None) => format!(", mean loss {:+.1} %", mean * 100.0),
        (Some(mean), Some((low, high))) => format!(
            ", mean loss {:+.1} % ({:+.1} to {:+.1} %)",
            mean * 100.0,
            low * 100.0,
            high * 100.0
        ),
    };
    format!(
        "verdict {}, {}; {} decisions compared{difference}; in shadow for {} of at least {}",
        standing.verdict.name(),
        standing.reason,
        standing.pairs,
        Seconds(age),
        Seconds(standing.gate.min_duration_s),
    )
}
