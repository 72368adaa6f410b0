//! Modules and slots on the wire. Digests travel as text, because a person compares them with what
//! `tidegate policy list` printed.

use super::words::{module_kind_out, module_ref_out};
use tidegate_core::ports::serve::{ModuleInfo, SlotInfo};
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
    }
}
