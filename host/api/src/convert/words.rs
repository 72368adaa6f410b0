//! The small words: signals, dimensions, tiers, kinds, amounts, names.

use crate::status::Problems;
use std::fmt::Display;
use std::str::FromStr;
use tidegate_core::catalog::Mode;
use tidegate_core::ids::Digest;
use tidegate_core::module::{ModuleKind, ModuleRef};
use tidegate_core::roster::{Retreat, Served};
use tidegate_core::tier::Tier;
use tidegate_core::units::{Dimension, Level, Resources, Signal};
use tidegate_proto::v1;

/// A name or id, or a problem of that field.
pub(crate) fn id<T: FromStr<Err: Display>>(
    text: &str,
    field: &str,
    problems: &mut Problems,
) -> Option<T> {
    problems.take(field, text.parse::<T>().map_err(|e| e.to_string()))
}

/// A signal, or why it is none.
pub(crate) fn signal(value: i32) -> Result<Signal, String> {
    Ok(match v1::Signal::try_from(value) {
        Ok(v1::Signal::Requests) => Signal::Requests,
        Ok(v1::Signal::Errors) => Signal::Errors,
        Ok(v1::Signal::Latency) => Signal::Latency,
        Ok(v1::Signal::Cpu) => Signal::Cpu,
        Ok(v1::Signal::Memory) => Signal::Memory,
        Ok(v1::Signal::Network) => Signal::Network,
        Ok(v1::Signal::Io) => Signal::Io,
        Ok(v1::Signal::Unspecified) | Err(_) => {
            return Err(unknown("signal", value, "SIGNAL_REQUESTS"));
        }
    })
}

/// The signal on the wire.
pub(crate) fn signal_out(signal: Signal) -> v1::Signal {
    match signal {
        Signal::Requests => v1::Signal::Requests,
        Signal::Errors => v1::Signal::Errors,
        Signal::Latency => v1::Signal::Latency,
        Signal::Cpu => v1::Signal::Cpu,
        Signal::Memory => v1::Signal::Memory,
        Signal::Network => v1::Signal::Network,
        Signal::Io => v1::Signal::Io,
    }
}

/// The dimension on the wire.
pub(crate) fn dimension_out(dimension: Dimension) -> v1::Dimension {
    match dimension {
        Dimension::Cpu => v1::Dimension::Cpu,
        Dimension::Memory => v1::Dimension::Memory,
        Dimension::Network => v1::Dimension::Network,
        Dimension::Io => v1::Dimension::Io,
        Dimension::Requests => v1::Dimension::Requests,
    }
}

/// A tier; `None` where it is unspecified.
pub(crate) fn tier(value: i32) -> Result<Option<Tier>, String> {
    Ok(match v1::Tier::try_from(value) {
        Ok(v1::Tier::Unspecified) => None,
        Ok(v1::Tier::Bronze) => Some(Tier::Bronze),
        Ok(v1::Tier::Silver) => Some(Tier::Silver),
        Ok(v1::Tier::Gold) => Some(Tier::Gold),
        Err(_) => return Err(unknown("tier", value, "TIER_GOLD")),
    })
}

/// The tier on the wire.
pub(crate) fn tier_out(tier: Tier) -> v1::Tier {
    match tier {
        Tier::Bronze => v1::Tier::Bronze,
        Tier::Silver => v1::Tier::Silver,
        Tier::Gold => v1::Tier::Gold,
    }
}

/// The mode on the wire.
pub(crate) fn mode_out(mode: Mode) -> v1::Mode {
    match mode {
        Mode::Observe => v1::Mode::Observe,
        Mode::Recommend => v1::Mode::Recommend,
        Mode::Enforce => v1::Mode::Enforce,
    }
}

/// A kind of module, or why it is none.
pub(crate) fn module_kind(value: i32) -> Result<ModuleKind, String> {
    Ok(match v1::ModuleKind::try_from(value) {
        Ok(v1::ModuleKind::Forecaster) => ModuleKind::Forecaster,
        Ok(v1::ModuleKind::Tierer) => ModuleKind::Tierer,
        Ok(v1::ModuleKind::Allocator) => ModuleKind::Allocator,
        Ok(v1::ModuleKind::Judge) => ModuleKind::Judge,
        Ok(v1::ModuleKind::Unspecified) | Err(_) => {
            return Err(unknown("kind of module", value, "MODULE_KIND_FORECASTER"));
        }
    })
}

/// The kind on the wire.
pub(crate) fn module_kind_out(kind: ModuleKind) -> v1::ModuleKind {
    match kind {
        ModuleKind::Forecaster => v1::ModuleKind::Forecaster,
        ModuleKind::Tierer => v1::ModuleKind::Tierer,
        ModuleKind::Allocator => v1::ModuleKind::Allocator,
        ModuleKind::Judge => v1::ModuleKind::Judge,
    }
}

/// A level per 10,000, or why it is none.
pub(crate) fn level(value: u32) -> Result<Level, String> {
    let level = u16::try_from(value).ok().and_then(Level::new);
    level.ok_or_else(|| {
        format!("{value} is not a quantile level; write it per 10,000, from 1 to 9999: 9900 is p99")
    })
}

/// Amounts per dimension; absent means nothing set.
pub(crate) fn resources(
    given: Option<&v1::Resources>,
    field: &str,
    problems: &mut Problems,
) -> Resources {
    let Some(given) = given else {
        return Resources::NONE;
    };
    Dimension::ALL
        .into_iter()
        .fold(Resources::NONE, |sum, dimension| {
            let amount = match dimension {
                Dimension::Cpu => given.cpu,
                Dimension::Memory => given.memory,
                Dimension::Network => given.network,
                Dimension::Io => given.io,
                Dimension::Requests => given.requests,
            };
            match amount {
                Some(amount) if amount.is_finite() && amount >= 0.0 => sum.with(dimension, amount),
                Some(amount) => {
                    problems.push(
                        format!("{field}.{}", dimension.name()),
                        format!(
                            "{amount} is not an amount; write a number >= 0 in {}",
                            dimension.unit()
                        ),
                    );
                    sum
                }
                None => sum,
            }
        })
}

/// Amounts on the wire.
pub(crate) fn resources_out(resources: &Resources) -> v1::Resources {
    v1::Resources {
        cpu: resources.get(Dimension::Cpu),
        memory: resources.get(Dimension::Memory),
        network: resources.get(Dimension::Network),
        io: resources.get(Dimension::Io),
        requests: resources.get(Dimension::Requests),
    }
}

/// A digest on the wire; the zero digest of native baselines is empty.
pub(crate) fn digest_out(digest: &Digest) -> String {
    if digest.0 == [0; 32] {
        String::new()
    } else {
        digest.to_string()
    }
}

/// A module's identity on the wire.
pub(crate) fn module_ref_out(module: &ModuleRef) -> v1::ModuleRef {
    v1::ModuleRef {
        name: module.name.clone(),
        version: module.version.clone(),
        digest: digest_out(&module.digest),
    }
}

/// Who answered, on the wire.
pub(crate) fn served_out(served: &Served) -> v1::Served {
    let retreat = match served.retreat {
        Retreat::Active => v1::Retreat::Active,
        Retreat::LastGood => v1::Retreat::LastGood,
        Retreat::Baseline => v1::Retreat::Baseline,
        Retreat::HeldPlan => v1::Retreat::HeldPlan,
        Retreat::SafeCapacity => v1::Retreat::SafeCapacity,
    };
    v1::Served {
        module: Some(module_ref_out(&served.module)),
        retreat: retreat.into(),
    }
}

/// The text about an enum's number that has no meaning.
pub(crate) fn unknown(what: &str, value: i32, example: &str) -> String {
    if value == 0 {
        format!("it is missing; name a {what}, for example {example}")
    } else {
        format!("{value} is not a {what} that this version knows; name one, for example {example}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_survives_the_wire() {
        for s in Signal::ALL {
            assert_eq!(signal(signal_out(s).into()), Ok(s));
        }
        for t in Tier::ALL {
            assert_eq!(tier(tier_out(t).into()), Ok(Some(t)));
        }
        for k in ModuleKind::ALL {
            assert_eq!(module_kind(module_kind_out(k).into()), Ok(k));
        }
        assert!(signal(0).unwrap_err().contains("missing"));
        assert!(signal(99).unwrap_err().contains("99"));
        assert!(level(0).is_err() && level(10_000).is_err() && level(70_000).is_err());
    }

    #[test]
    fn absent_amounts_stay_absent_and_wrong_ones_are_named() {
        let mut problems = Problems::default();
        let given = v1::Resources {
            cpu: Some(0.0),
            io: Some(-1.0),
            requests: Some(f64::NAN),
            ..Default::default()
        };
        let read = resources(Some(&given), "floor", &mut problems);
        assert_eq!(read, Resources::NONE.with(Dimension::Cpu, 0.0));
        let text = problems.finish(Some(())).unwrap_err().message().to_owned();
        assert!(
            text.contains("floor.io: -1") && text.contains("floor.requests: NaN"),
            "{text}"
        );
        let out = resources_out(&read);
        assert_eq!((out.cpu, out.memory), (Some(0.0), None));
    }
}
