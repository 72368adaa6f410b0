//! Conversions that more than one policy needs.

use super::types;
use tidegate_core::module::ModuleKind;
use tidegate_core::policy::{Blob, Blobs, CallError, PolicyError};
use tidegate_core::tier::Tier;
use tidegate_core::time::Timestamp;
use tidegate_core::units::{Dimension, Level, Signal};

pub(in crate::adapter) fn kind(kind: types::ModuleKind) -> ModuleKind {
    match kind {
        types::ModuleKind::Forecaster => ModuleKind::Forecaster,
        types::ModuleKind::Tierer => ModuleKind::Tierer,
        types::ModuleKind::Allocator => ModuleKind::Allocator,
        types::ModuleKind::Judge => ModuleKind::Judge,
    }
}

pub(in crate::adapter) fn signal(signal: Signal) -> types::Signal {
    match signal {
        Signal::Requests => types::Signal::Requests,
        Signal::Errors => types::Signal::Errors,
        Signal::Latency => types::Signal::Latency,
        Signal::Cpu => types::Signal::Cpu,
        Signal::Memory => types::Signal::Memory,
        Signal::Network => types::Signal::Network,
        Signal::Io => types::Signal::Io,
    }
}

pub(in crate::adapter) fn dimension(dimension: Dimension) -> types::Dimension {
    match dimension {
        Dimension::Cpu => types::Dimension::Cpu,
        Dimension::Memory => types::Dimension::Memory,
        Dimension::Network => types::Dimension::Network,
        Dimension::Io => types::Dimension::Io,
        Dimension::Requests => types::Dimension::Requests,
    }
}

fn tier_in(tier: Tier) -> types::Tier {
    match tier {
        Tier::Bronze => types::Tier::Bronze,
        Tier::Silver => types::Tier::Silver,
        Tier::Gold => types::Tier::Gold,
    }
}

pub(in crate::adapter) fn tier_out(tier: types::Tier) -> Tier {
    match tier {
        types::Tier::Bronze => Tier::Bronze,
        types::Tier::Silver => Tier::Silver,
        types::Tier::Gold => Tier::Gold,
    }
}

pub(in crate::adapter) fn tiers(tiers: &[Tier]) -> Vec<types::Tier> {
    tiers.iter().copied().map(tier_in).collect()
}

pub(in crate::adapter) fn instants(times: &[Timestamp]) -> Vec<i64> {
    times.iter().map(|t| t.0).collect()
}

pub(in crate::adapter) fn levels(levels: &[Level]) -> Vec<u16> {
    levels.iter().map(|l| l.get()).collect()
}

pub(in crate::adapter) fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

pub(in crate::adapter) fn error(error: types::PolicyError) -> PolicyError {
    match error {
        types::PolicyError::InvalidInput(text) => PolicyError::InvalidInput(text),
        types::PolicyError::NotFitted(text) => PolicyError::NotFitted(text),
        types::PolicyError::InsufficientData(short) => PolicyError::InsufficientData {
            have: short.have,
            need: short.need,
        },
        types::PolicyError::Numeric(text) => PolicyError::Numeric(text),
        types::PolicyError::Unsupported(text) => PolicyError::Unsupported(text),
        types::PolicyError::Internal(text) => PolicyError::Internal(text),
    }
}

/// The policy's own answer, once the call itself went well.
pub(in crate::adapter) fn answer<T>(answer: Result<T, types::PolicyError>) -> Result<T, CallError> {
    answer.map_err(|e| CallError::Policy(error(e)))
}

pub(in crate::adapter) fn blob_in(blob: &Blob) -> types::BlobParam<'_> {
    types::BlobParam {
        format: blob.format,
        bytes: &blob.bytes,
    }
}

pub(in crate::adapter) fn blob_out(blob: types::BlobResult) -> Blob {
    Blob {
        format: blob.format,
        bytes: blob.bytes,
    }
}

pub(in crate::adapter) fn blobs_in(blobs: &Blobs) -> types::BlobsParam<'_> {
    types::BlobsParam {
        format: blobs.format,
        offsets: &blobs.offsets,
        bytes: &blobs.bytes,
    }
}

pub(in crate::adapter) fn blobs_out(blobs: types::BlobsResult) -> Blobs {
    Blobs {
        format: blobs.format,
        offsets: blobs.offsets,
        bytes: blobs.bytes,
    }
}
