//! What makes a shadow and a gate sensible: something to be compared with, and bounds that can be met.

use crate::catalog::check::Report;
use crate::life::Gate;
use crate::module::{Binding, ModuleKind};

/// Adds every problem of a binding's shadow.
pub(super) fn shadow(binding: &Binding, report: &mut Report<'_>) {
    let Some(shadow) = &binding.shadow else {
        return;
    };
    report.unless(binding.kind != ModuleKind::Judge, "shadow", || {
        "a judge has no loss by which it could be compared; leave `shadow` out, and change it by `tidegate policy bind`".into()
    });
    let module = &shadow.module;
    report.unless(!module.is_empty(), "shadow.module", || {
        "name a module; `tidegate policy list` shows them".into()
    });
    report.unless(
        *module != binding.module || shadow.config != binding.config,
        "shadow",
        || {
            format!("`{module}` serves the binding with this config already, and would be compared with itself; write another version or another config")
        },
    );
    // Scores name a module and a config, and must tell of one of the two.
    report.unless(
        binding.challengers.iter().all(|c| c.module != *module),
        "shadow.module",
        || format!("`{module}` is a challenger of the binding as well; remove it from one of them"),
    );
}

/// Adds every problem of a gate.
pub(super) fn gate(gate: &Gate, report: &mut Report<'_>) {
    let alpha = gate.alpha.get();
    report.unless(alpha <= 5000, "gate.alpha", || {
        format!("{alpha} per 10,000 false alarms are no better than a coin; write at most 5000, for example 100 for 1 %")
    });
    let part = |value: f64, most: f64| value.is_finite() && (0.0..=most).contains(&value);
    report.unless(part(gate.margin, 0.9), "gate.margin", || {
        format!(
            "{} is not a part of a loss from 0 to 0.9; write 0.05 for 5 %",
            gate.margin
        )
    });
    let longest = Gate::LONGEST_S;
    for (field, seconds) in [
        ("gate.max_duration", gate.max_duration_s),
        ("gate.watch", gate.watch_s),
    ] {
        report.unless(seconds <= longest, field, || {
            format!("{seconds} s are longer than 90 days; write for example 14d")
        });
    }
    report.unless(gate.max_duration_s > 0, "gate.max_duration", || {
        "a shadow of 0 s sees nothing; write for example 14d".into()
    });
    report.unless(
        gate.min_duration_s <= gate.max_duration_s,
        "gate.min_duration",
        || {
            format!(
                "{} s are longer than max_duration ({} s), so nothing would ever be promoted; write at most that",
                gate.min_duration_s, gate.max_duration_s
            )
        },
    );
    let Some(backtest) = &gate.backtest else {
        return;
    };
    report.unless(
        (3600..=longest).contains(&backtest.window_s),
        "gate.backtest.window",
        || {
            format!(
                "{} s are not between an hour and 90 days; write for example 7d",
                backtest.window_s
            )
        },
    );
    report.unless(
        part(backtest.worse_by, 1.0),
        "gate.backtest.worse_by",
        || {
            format!(
                "{} is not a part of a loss from 0 to 1; write 0.1 for 10 %",
                backtest.worse_by
            )
        },
    );
}
