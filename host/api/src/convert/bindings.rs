//! Bindings on the wire: who serves, who stands beside it, what is in shadow, and the gate.

use super::catalog::{selector, selector_out};
use super::words::{id, module_kind, module_kind_out};
use crate::status::Problems;
use tidegate_core::life::{Backtest, Gate, Promotion};
use tidegate_core::module::{Binding, Challenger, ShadowModule};
use tidegate_core::units::Level;
use tidegate_proto::v1;

/// A binding.
pub(super) fn binding(b: v1::Binding, field: &str, problems: &mut Problems) -> Option<Binding> {
    let kind = problems.take(&format!("{field}.kind"), module_kind(b.kind));
    let name = id(&b.name, &format!("{field}.name"), problems);
    let selector = selector(b.selector, &format!("{field}.selector"), problems);
    let gate = gate(b.gate, &format!("{field}.gate"), problems);
    Some(Binding {
        id: name?,
        kind: kind?,
        selector,
        module: b.module,
        config: config(b.config),
        challengers: b
            .challengers
            .into_iter()
            .map(|c| Challenger {
                module: c.module,
                config: config(c.config),
            })
            .collect(),
        shadow: b.shadow.map(|s| ShadowModule {
            module: s.module,
            config: config(s.config),
        }),
        gate: gate?,
    })
}

/// A gate; what is left out is as by default.
fn gate(given: Option<v1::Gate>, field: &str, problems: &mut Problems) -> Option<Gate> {
    let usual = Gate::default();
    let Some(given) = given else {
        return Some(usual);
    };
    let promote = match v1::Promotion::try_from(given.promote) {
        Ok(v1::Promotion::Unspecified) => Ok(usual.promote),
        Ok(v1::Promotion::Automatic) => Ok(Promotion::Automatic),
        Ok(v1::Promotion::Manual) => Ok(Promotion::Manual),
        Err(_) => Err(format!(
            "{} is no way to promote; write PROMOTION_AUTOMATIC or PROMOTION_MANUAL",
            given.promote
        )),
    };
    let promote = problems.take(&format!("{field}.promote"), promote);
    let alpha = match given.alpha {
        None => Some(usual.alpha),
        Some(given) => problems.take(&format!("{field}.alpha"), alpha(given)),
    };
    Some(Gate {
        promote: promote?,
        alpha: alpha?,
        margin: given.margin.unwrap_or(usual.margin),
        min_duration_s: given.min_duration_s.unwrap_or(usual.min_duration_s),
        max_duration_s: given.max_duration_s.unwrap_or(usual.max_duration_s),
        watch_s: given.watch_s.unwrap_or(usual.watch_s),
        backtest: given.backtest.map(|b| Backtest {
            window_s: b.window_s,
            worse_by: b.worse_by,
        }),
    })
}

fn alpha(per_10_000: u32) -> Result<Level, String> {
    let level = u16::try_from(per_10_000).ok().and_then(Level::new);
    level.ok_or_else(|| {
        format!("{per_10_000} is no rate of false alarms; write it per 10,000, from 1 to 5000: 100 is 1 %")
    })
}

/// A gate on the wire.
pub(crate) fn gate_out(gate: &Gate) -> v1::Gate {
    let promote = match gate.promote {
        Promotion::Automatic => v1::Promotion::Automatic,
        Promotion::Manual => v1::Promotion::Manual,
    };
    v1::Gate {
        promote: promote.into(),
        alpha: Some(gate.alpha.get().into()),
        margin: Some(gate.margin),
        min_duration_s: Some(gate.min_duration_s),
        max_duration_s: Some(gate.max_duration_s),
        watch_s: Some(gate.watch_s),
        backtest: gate.backtest.map(|b| v1::BacktestGate {
            window_s: b.window_s,
            worse_by: b.worse_by,
        }),
    }
}

/// A config; none is an empty object.
fn config(given: String) -> String {
    if given.trim().is_empty() {
        "{}".into()
    } else {
        given
    }
}

/// A binding on the wire.
pub(super) fn binding_out(b: Binding) -> v1::Binding {
    v1::Binding {
        name: b.id.to_string(),
        kind: module_kind_out(b.kind).into(),
        selector: Some(selector_out(b.selector)),
        module: b.module,
        config: b.config,
        challengers: b
            .challengers
            .into_iter()
            .map(|c| v1::Challenger {
                module: c.module,
                config: c.config,
            })
            .collect(),
        shadow: b.shadow.map(|s| v1::ShadowModule {
            module: s.module,
            config: s.config,
        }),
        gate: (b.gate != Gate::default()).then(|| gate_out(&b.gate)),
    }
}
