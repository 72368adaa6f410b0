//! Modules and slots on the wire. Digests travel as text, because a person compares them with what
//! `tidegate policy list` printed.

use super::bindings::gate_out;
use super::words::{module_kind_out, module_ref_out};
use tidegate_core::life::{Event, Ground, Side, Step, Version};
use tidegate_core::policy::Verdict;
use tidegate_core::ports::serve::{Comparison, ModuleDetail, ModuleInfo, ShadowStanding, SlotInfo};
use tidegate_proto::v1;

/// A module on the wire.
pub(crate) fn module_out(info: ModuleInfo) -> v1::Module {
    let manifest = info.manifest;
    v1::Module {
        digest: info.digest.to_string(),
        manifest: Some(v1::Manifest {
            name: manifest.name,
            version: manifest.version,
            kind: module_kind_out(manifest.kind).into(),
            interface: manifest.interface,
            config_schema: manifest.config_schema,
            memory_bytes: manifest.memory_bytes,
            deadline_ms: manifest.deadline_ms,
            description: manifest.description,
        }),
        size: info.size,
        admitted_at_ms: info.admitted_at.0,
        pushed_by: info.pushed_by,
        quarantined: info.quarantined,
        serving: info.serving.iter().map(ToString::to_string).collect(),
        owner: info.owner.map(|t| t.to_string()).unwrap_or_default(),
        quarantined_for: info
            .quarantined_for
            .iter()
            .map(ToString::to_string)
            .collect(),
        signed_by: info.signed_by.map(|key| v1::Signer {
            name: key.name,
            id: key.id,
        }),
    }
}

/// A slot on the wire.
pub(crate) fn slot_out(info: &SlotInfo) -> v1::Slot {
    v1::Slot {
        binding: info.binding.to_string(),
        kind: module_kind_out(info.kind).into(),
        active: Some(module_ref_out(&info.active)),
        last_good: info.last_good.as_ref().map(module_ref_out),
        epoch: info.epoch,
        calls: info.calls,
        faults: info.faults,
        trial: info.trial.as_deref().map(trial_out),
    }
}

fn version_out(version: &Version) -> v1::Version {
    v1::Version {
        module: Some(module_ref_out(&version.module)),
        config: version.config.clone(),
    }
}

fn trial_out(standing: &ShadowStanding) -> v1::VersionTrial {
    let serving = match standing.serving {
        Side::Candidate => v1::Side::Candidate,
        Side::Incumbent => v1::Side::Incumbent,
    };
    let verdict = match standing.verdict {
        Verdict::Proceed => v1::Verdict::Continue,
        Verdict::Promote => v1::Verdict::Promote,
        Verdict::RollBack => v1::Verdict::RollBack,
        Verdict::Starved => v1::Verdict::Starved,
        Verdict::Inconclusive => v1::Verdict::Inconclusive,
    };
    v1::VersionTrial {
        binding: standing.binding.to_string(),
        candidate: Some(version_out(&standing.candidate)),
        incumbent: Some(version_out(&standing.incumbent)),
        serving: serving.into(),
        since_ms: standing.since.0,
        gate: Some(gate_out(&standing.gate)),
        pairs: standing.pairs,
        difference: standing.difference,
        difference_low: standing.bounds.map(|(low, _)| low),
        difference_high: standing.bounds.map(|(_, high)| high),
        verdict: verdict.into(),
        reason: standing.reason.clone(),
    }
}

/// A step of the journal on the wire.
pub(crate) fn step_out(step: &Step) -> v1::LifeStep {
    let event = match step.event {
        Event::Uploaded => v1::LifeEvent::Uploaded,
        Event::Admitted => v1::LifeEvent::Admitted,
        Event::Shadowed => v1::LifeEvent::Shadow,
        Event::ShadowEnded => v1::LifeEvent::ShadowEnded,
        Event::Promoted => v1::LifeEvent::Promoted,
        Event::Bound => v1::LifeEvent::Bound,
        Event::RolledBack => v1::LifeEvent::RolledBack,
        Event::Quarantined => v1::LifeEvent::Quarantined,
        Event::Lifted => v1::LifeEvent::Lifted,
        Event::Retired => v1::LifeEvent::Retired,
        Event::Removed => v1::LifeEvent::Removed,
    };
    let named = |id: Option<String>| id.unwrap_or_default();
    v1::LifeStep {
        sequence: step.sequence,
        at_ms: step.at.0,
        event: event.into(),
        binding: named(step.binding.as_ref().map(ToString::to_string)),
        tenant: named(step.party.as_ref().map(ToString::to_string)),
        from: step.from.as_ref().map(version_out),
        to: step.to.as_ref().map(version_out),
        by: step.by.to_string(),
        forced: step.ground == Ground::Forced,
        reason: step.reason.clone(),
    }
}

/// Two modules side by side, on the wire.
pub(crate) fn comparison_out(comparison: Comparison) -> v1::CompareResponse {
    let detail = |detail: ModuleDetail| v1::ModuleDetail {
        module: Some(module_out(detail.info)),
        imports: detail.imports,
        exports: detail.exports,
    };
    v1::CompareResponse {
        trials: comparison.trials.iter().map(trial_out).collect(),
        a: Some(detail(comparison.a)),
        b: Some(detail(comparison.b)),
    }
}
