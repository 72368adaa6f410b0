//! Modules, slots and versions that nobody has: enough to see that each field finds its way.

use super::Fake;
use std::sync::atomic::Ordering::SeqCst;
use tidegate_core::access::Principal;
use tidegate_core::ids::{BindingId, Digest, TenantId};
use tidegate_core::life::{Actor, Event, Gate, Ground, Side, Step, Version};
use tidegate_core::module::{Manifest, ModuleKind, ModuleRef, Signer};
use tidegate_core::policy::Verdict;
use tidegate_core::ports::serve::{
    Comparison, ModuleDetail, ModuleInfo, PoliciesPort, ServeError, ShadowStanding, SlotInfo,
};
use tidegate_core::time::Timestamp;

impl PoliciesPort for Fake {
    fn pusher(
        &self,
        _: &Principal,
        tenant: Option<TenantId>,
    ) -> Result<Option<TenantId>, ServeError> {
        Ok(tenant)
    }

    fn push(
        &self,
        caller: &Principal,
        owner: Option<TenantId>,
        bytes: Vec<u8>,
        _: Vec<u8>,
    ) -> Result<ModuleInfo, ServeError> {
        assert!(
            !self.broken.load(SeqCst),
            "the port breaks as the test asked"
        );
        if !bytes.starts_with(b"\0asm") {
            return Err(ServeError::field(
                "component",
                "header",
                "it is no component",
            ));
        }
        let info = ModuleInfo {
            digest: Digest::of(&bytes),
            manifest: Manifest {
                name: "ets".into(),
                version: "1.2.0".into(),
                kind: ModuleKind::Forecaster,
                interface: "0.1.0".into(),
                config_schema: "{}".into(),
                memory_bytes: Some(1 << 20),
                deadline_ms: None,
                description: "smooths".into(),
            },
            size: bytes.len() as u64,
            owner,
            admitted_at: Timestamp(5),
            pushed_by: caller.name.clone(),
            signed_by: Some(Signer {
                name: "release".into(),
                id: "3d4017c3e843895a".into(),
            }),
            quarantined: false,
            quarantined_for: vec![],
            serving: vec![],
        };
        self.modules.lock().unwrap().push(info.clone());
        Ok(info)
    }

    fn remove(
        &self,
        _: &Principal,
        owner: Option<TenantId>,
        module: &str,
    ) -> Result<ModuleInfo, ServeError> {
        let mut modules = self.modules.lock().unwrap();
        let mut all = modules.iter();
        let at = all.position(|m| m.owner == owner && m.manifest.name == module);
        at.map(|at| modules.remove(at))
            .ok_or_else(|| ServeError::NotFound {
                what: format!("module {module}"),
                remedy: "push it first".into(),
            })
    }

    fn modules(&self, _: &Principal) -> Result<Vec<ModuleInfo>, ServeError> {
        Ok(self.modules.lock().unwrap().clone())
    }

    fn slots(&self, _: &Principal) -> Result<Vec<SlotInfo>, ServeError> {
        Ok(vec![slot("b", "ets"), slot("a", "ets")])
    }

    fn bind(
        &self,
        _: &Principal,
        binding: &BindingId,
        module: &str,
        _: Option<String>,
    ) -> Result<SlotInfo, ServeError> {
        if self.modules.lock().unwrap().is_empty() {
            return Err(ServeError::NotFound {
                what: format!("module {module}"),
                remedy: "push it first".into(),
            });
        }
        Ok(slot(binding.as_str(), module))
    }

    fn rollback(&self, _: &Principal, binding: &BindingId) -> Result<SlotInfo, ServeError> {
        if self.modules.lock().unwrap().is_empty() {
            let text = format!("binding {binding} never had another version");
            return Err(ServeError::Precondition(text));
        }
        Ok(slot(binding.as_str(), "before"))
    }

    fn put_in_shadow(
        &self,
        _: &Principal,
        binding: &BindingId,
        module: &str,
        config: Option<String>,
    ) -> Result<SlotInfo, ServeError> {
        let mut slot = slot(binding.as_str(), "ets");
        slot.trial = Some(Box::new(standing(binding, module, config)));
        Ok(slot)
    }

    fn end_shadow(&self, _: &Principal, binding: &BindingId) -> Result<SlotInfo, ServeError> {
        Ok(slot(binding.as_str(), "ets"))
    }

    fn promote(
        &self,
        _: &Principal,
        binding: &BindingId,
        ground: Ground,
    ) -> Result<SlotInfo, ServeError> {
        match ground {
            Ground::Forced => Ok(slot(binding.as_str(), "theta")),
            Ground::Ordinary => Err(ServeError::Precondition("it needs evidence".into())),
        }
    }

    fn quarantine(
        &self,
        caller: &Principal,
        module: &str,
        binding: Option<&BindingId>,
    ) -> Result<ModuleInfo, ServeError> {
        let mut info = self.modules(caller)?.remove(0);
        info.manifest.name = module.into();
        info.quarantined = binding.is_none();
        info.quarantined_for = binding.cloned().into_iter().collect();
        Ok(info)
    }

    fn lift(
        &self,
        caller: &Principal,
        _: &str,
        _: Option<&BindingId>,
    ) -> Result<ModuleInfo, ServeError> {
        Ok(self.modules(caller)?.remove(0))
    }

    fn history(&self, caller: &Principal, of: &str) -> Result<Vec<Step>, ServeError> {
        Ok(vec![Step {
            sequence: 7,
            binding: of.parse().ok(),
            party: Some("shop".parse().unwrap()),
            to: Some(version("ets", "{}")),
            ground: Ground::Forced,
            reason: "because".into(),
            ..Step::new(
                Event::RolledBack,
                Actor::Caller(caller.name.clone()),
                Timestamp(9),
            )
        }])
    }

    fn compare(&self, caller: &Principal, a: &str, b: &str) -> Result<Comparison, ServeError> {
        let detail = |name: &str| -> Result<ModuleDetail, ServeError> {
            let mut info = self.modules(caller)?.remove(0);
            info.manifest.name = name.into();
            Ok(ModuleDetail {
                info,
                imports: vec!["host".into()],
                exports: vec![name.into()],
            })
        };
        Ok(Comparison {
            a: detail(a)?,
            b: detail(b)?,
            trials: vec![standing(&"a".parse().unwrap(), b, None)],
        })
    }
}

fn version(module: &str, config: &str) -> Version {
    Version {
        module: slot("a", module).active,
        config: config.into(),
    }
}

fn standing(binding: &BindingId, module: &str, config: Option<String>) -> ShadowStanding {
    ShadowStanding {
        binding: binding.clone(),
        candidate: version(module, &config.unwrap_or_else(|| "{}".into())),
        incumbent: version("ets", "{}"),
        serving: Side::Incumbent,
        since: Timestamp(5),
        gate: Gate::default(),
        pairs: 40,
        difference: Some(-0.25),
        bounds: Some((-0.5, 0.125)),
        verdict: Verdict::Proceed,
        reason: "more is needed".into(),
    }
}

/// A slot that a module serves.
pub(super) fn slot(binding: &str, module: &str) -> SlotInfo {
    SlotInfo {
        binding: binding.parse().unwrap(),
        kind: ModuleKind::Forecaster,
        active: ModuleRef {
            name: module.into(),
            version: "1.2.0".into(),
            digest: Digest::of(module.as_bytes()),
        },
        last_good: None,
        epoch: 2,
        calls: 10,
        faults: 0,
        trial: None,
    }
}
