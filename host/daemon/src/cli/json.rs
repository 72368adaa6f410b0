//! Answers as JSON. Objects come out in the form of their manifests, so that what `get` prints
//! can be edited and applied again (JSON is YAML).

use super::words;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tidegate_client::v1;
use tidegate_client::v1::object::Object as Which;
use tidegate_client::v1::slo::Indicator;

/// An object without its absent fields.
fn pruned(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, v)| match v {
                Value::Null => false,
                Value::String(text) => !text.is_empty(),
                Value::Array(list) => !list.is_empty(),
                Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
            });
            Value::Object(kept.collect())
        }
        other => other,
    }
}

/// Seconds, as a manifest's duration.
fn seconds(seconds: u32) -> String {
    format!("{seconds}s")
}

/// An instant in RFC 3339; null for 0.
pub(crate) fn instant(ms: i64) -> Value {
    match Timestamp::from_millisecond(ms) {
        Ok(instant) if ms != 0 => json!(instant.to_string()),
        _ => Value::Null,
    }
}

/// Amounts by dimension.
pub(crate) fn resources(resources: Option<&v1::Resources>) -> Value {
    let Some(resources) = resources else {
        return Value::Null;
    };
    let amounts = words::amounts(resources).into_iter();
    Value::Object(
        amounts
            .map(|(d, v)| (words::dimension(d), json!(v)))
            .collect::<Map<_, _>>(),
    )
}

fn tier(value: i32) -> Value {
    match v1::Tier::try_from(value) {
        Ok(v1::Tier::Unspecified) | Err(_) => Value::Null,
        Ok(known) => json!(words::tier(known)),
    }
}

fn labels(labels: &std::collections::BTreeMap<String, String>) -> Value {
    if labels.is_empty() {
        Value::Null
    } else {
        json!(labels)
    }
}

/// An object as its manifest.
pub(crate) fn object(object: &Which) -> Value {
    let value = match object {
        Which::Tenant(t) => json!({
            "kind": "tenant", "name": t.name, "max_series": t.max_series,
            "max_samples_per_s": t.max_samples_per_s, "max_modules": t.max_modules,
        }),
        Which::Pool(p) => {
            let quotas: Map<String, Value> = p
                .quotas
                .iter()
                .map(|(t, r)| (t.clone(), resources(Some(r))))
                .collect();
            json!({
                "kind": "pool", "name": p.name, "ready": resources(p.ready.as_ref()),
                "max": resources(p.max.as_ref()), "min": resources(p.min.as_ref()),
                "lead_time": seconds(p.lead_time_s), "unit_cost": resources(p.unit_cost.as_ref()),
                "quotas": if quotas.is_empty() { Value::Null } else { Value::Object(quotas) },
            })
        }
        Which::Tier(t) => json!({
            "kind": "tier", "tier": tier(t.tier), "demand_level": t.demand_level, "buy_level": t.buy_level, "weight": t.weight,
            "floor_of_expected": t.floor_of_expected, "step_up": t.step_up,
            "step_down": t.step_down, "dwell": seconds(t.dwell_s),
            "lends": t.lends, "borrows": t.borrows, "max_share": t.max_share,
        }),
        Which::Api(a) => json!({
            "kind": "api", "name": a.name, "pool": a.pool, "labels": labels(&a.labels),
            "category": a.category,
            "mode": mode(a.mode()),
            "base_tier": tier(a.base_tier), "lowest_tier": tier(a.lowest_tier),
            "highest_tier": tier(a.highest_tier), "pinned_tier": pin(a.pinned_tier, a.unpinned),
            "weight": a.weight, "floor": resources(a.floor.as_ref()),
            "ceiling": resources(a.ceiling.as_ref()), "safe": resources(a.safe.as_ref()),
            "expected": a.expected, "time_zone": a.time_zone,
            "forecasts": a.forecasts.iter().map(standing).collect::<Vec<_>>(),
            "filled": labels(&a.filled),
        }),
        Which::Slo(s) => json!({
            "kind": "slo", "name": s.name, "api": s.api, "objective": s.objective,
            "latency": match &s.indicator { Some(Indicator::Latency(l)) => json!(l.threshold), _ => Value::Null },
            "availability": match &s.indicator { Some(Indicator::Availability(_)) => json!({}), _ => Value::Null },
            "window": seconds(s.window_s),
            "template": s.origin.as_ref().map(|o| &o.template),
            "judged": s.origin.as_ref().map(|o| words::judged(o.judged())),
        }),
        Which::Event(e) => json!({
            "kind": "event", "name": e.name, "apis": e.apis, "type": e.kind, "start": instant(e.start_ms),
            "duration": seconds(e.duration_s), "every": e.every_s.map(seconds),
            "until": e.until_ms.map(instant), "minimum_uplift": e.minimum_uplift,
            "title": (!e.title.is_empty()).then_some(&e.title),
            "rrule": e.recurrence.as_ref().map(|r| &r.rrule).filter(|r| !r.is_empty()),
            "time_zone": e.recurrence.as_ref().map(|r| &r.time_zone).filter(|z| !z.is_empty()),
            "exdate": dates(e.recurrence.as_ref().map(|r| &r.exdate_ms)),
            "rdate": dates(e.recurrence.as_ref().map(|r| &r.rdate_ms)),
            "origin": e.origin.as_ref().map(|o| json!({"calendar": o.calendar, "uid": o.uid})),
        }),
        Which::Binding(b) => json!({
            "kind": "binding", "name": b.name, "type": words::module_kind(b.kind()),
            "selector": b.selector.as_ref().map(selector),
            "module": b.module, "config": b.config,
            "challengers": b.challengers.iter().map(|c| beside(&c.module, &c.config)).collect::<Vec<_>>(),
            "shadow": b.shadow.as_ref().map(|s| beside(&s.module, &s.config)),
            "gate": b.gate.as_ref().map(gate),
        }),
        Which::Template(t) => json!({
            "kind": "template", "name": t.name, "selector": t.selector.as_ref().map(selector),
            "mode": mode(t.mode()),
            "base_tier": tier(t.base_tier), "lowest_tier": tier(t.lowest_tier),
            "highest_tier": tier(t.highest_tier), "pinned_tier": pin(t.pinned_tier, t.unpinned),
            "weight": t.weight, "floor": resources(t.floor.as_ref()),
            "ceiling": resources(t.ceiling.as_ref()), "safe": resources(t.safe.as_ref()),
            "time_zone": t.time_zone,
            "slos": t.slos.iter().map(group_slo).collect::<Vec<_>>(),
            "apis": t.apis,
        }),
    };
    pruned(value)
}

/// The tier of a pin, `none` where it is declared that there is none.
fn pin(at: i32, unpinned: bool) -> Value {
    if unpinned { json!("none") } else { tier(at) }
}

fn mode(mode: v1::Mode) -> Value {
    match mode {
        v1::Mode::Unspecified => Value::Null,
        known => json!(words::lower(known.as_str_name(), "MODE_")),
    }
}

fn selector(s: &v1::Selector) -> Value {
    pruned(json!({
        "tenant": s.tenant, "pool": s.pool, "category": s.category, "labels": labels(&s.labels),
    }))
}

/// An SLO of a template, as a manifest has it.
fn group_slo(s: &v1::TemplateSlo) -> Value {
    use v1::template_slo::Indicator;
    pruned(json!({
        "name": s.name, "objective": s.objective,
        "latency": match &s.indicator { Some(Indicator::Latency(l)) => json!(l.threshold), _ => Value::Null },
        "availability": match &s.indicator { Some(Indicator::Availability(_)) => json!({}), _ => Value::Null },
        "window": seconds(s.window_s), "judged": words::judged(s.judged()),
    }))
}

/// Who answers for a series, beside seasonal-naive.
pub(crate) fn standing(standing: &v1::SeriesStanding) -> Value {
    json!({
        "api": standing.api, "signal": words::signal(standing.signal()),
        "module": standing.module.as_ref().map(module_ref),
        "verdict": words::lower(standing.verdict().as_str_name(), "COMPARISON_"),
        "loss": standing.loss, "outcomes": standing.outcomes,
    })
}

/// Instants; null where there are none.
fn dates(ms: Option<&Vec<i64>>) -> Value {
    match ms {
        Some(all) if !all.is_empty() => all.iter().map(|ms| instant(*ms)).collect(),
        _ => Value::Null,
    }
}

/// A challenger or a shadow as a manifest has it: its name alone where it has no config.
fn beside(module: &str, config: &str) -> Value {
    match config {
        "" | "{}" => json!(module),
        config => json!({"module": module, "config": config}),
    }
}

/// A gate as a binding's manifest says it.
pub(crate) fn gate(gate: &v1::Gate) -> Value {
    pruned(json!({
        "promote": words::lower(gate.promote().as_str_name(), "PROMOTION_"),
        "alpha": gate.alpha.map(|a| format!("{}%", f64::from(a) / 100.0)), "margin": gate.margin,
        "min_duration": gate.min_duration_s.map(seconds),
        "max_duration": gate.max_duration_s.map(seconds), "watch": gate.watch_s.map(seconds),
        "backtest": gate.backtest.as_ref().map(|b| json!({
            "window": seconds(b.window_s), "worse_by": b.worse_by,
        })),
    }))
}

/// Who answered.
pub(crate) fn served(served: Option<&v1::Served>) -> Value {
    let Some(served) = served else {
        return Value::Null;
    };
    json!({
        "module": served.module.as_ref().map(module_ref),
        "retreat": words::lower(served.retreat().as_str_name(), "RETREAT_"),
    })
}

/// One version of a module.
pub(crate) fn module_ref(module: &v1::ModuleRef) -> Value {
    pruned(json!({"name": module.name, "version": module.version, "digest": module.digest}))
}

/// A loan.
fn loan(loan: &v1::Loan) -> Value {
    json!({
        "lender": loan.lender, "borrower": loan.borrower, "dimension": words::dimension(loan.dimension()),
        "amount": loan.amount, "from": instant(loan.from_ms), "until": instant(loan.until_ms),
    })
}

/// A grant.
pub(crate) fn grant(grant: &v1::Grant) -> Value {
    json!({
        "api": grant.api, "pool": grant.pool, "generation": grant.generation,
        "tier": tier(grant.tier), "guaranteed": resources(grant.guaranteed.as_ref()),
        "limit": resources(grant.limit.as_ref()), "safe": resources(grant.safe.as_ref()),
        "from": instant(grant.from_ms), "expires_at": instant(grant.expires_at_ms),
        "mode": words::mode(grant.mode()), "recommended": resources(grant.recommended.as_ref()),
        "loans": grant.loans.iter().map(loan).collect::<Vec<_>>(),
    })
}

/// A plan; matrices as rows of steps.
pub(crate) fn plan(plan: &v1::Plan) -> Value {
    let rows = |m: &[f64]| {
        m.chunks(plan.dimensions.len().max(1))
            .map(<[f64]>::to_vec)
            .collect::<Vec<_>>()
    };
    let apis = plan.apis.iter().map(|a| {
        pruned(json!({
            "api": a.api, "tier": tier(a.tier), "tier_since": instant(a.tier_since_ms),
            "guaranteed": rows(&a.guaranteed), "limit": rows(&a.limit), "demand": rows(&a.demand),
            "safe": resources(a.safe.as_ref()), "reason": a.reason, "tier_reason": a.tier_reason,
            "emergency": a.emergency,
        }))
    });
    json!({
        "pool": plan.pool, "generation": plan.generation, "parent": plan.parent,
        "made_at": instant(plan.made_at_ms), "start": instant(plan.start_ms), "step_s": plan.step_s,
        "steps": plan.step_count, "expires_at": instant(plan.expires_at_ms),
        "dimensions": plan.dimensions().map(words::dimension).collect::<Vec<_>>(),
        "capacity": rows(&plan.capacity), "wanted": rows(&plan.wanted),
        "apis": apis.collect::<Vec<_>>(), "loans": plan.loans.iter().map(loan).collect::<Vec<_>>(),
        "served": served(plan.served.as_ref()), "inputs": plan.inputs,
    })
}

/// An alert.
pub(crate) fn alert(alert: &v1::Alert) -> Value {
    pruned(json!({
        "kind": words::lower(alert.kind().as_str_name(), "ALERT_KIND_"),
        "severity": words::lower(alert.severity().as_str_name(), "SEVERITY_"),
        "pool": alert.pool, "api": alert.api, "subject": alert.subject, "at": instant(alert.at_ms),
        "message": alert.message,
    }))
}

/// A module.
pub(crate) fn module(module: &v1::Module) -> Value {
    let manifest = module.manifest.clone().unwrap_or_default();
    let schema = serde_json::from_str::<Value>(&manifest.config_schema).unwrap_or(Value::Null);
    pruned(json!({
        "name": manifest.name, "version": manifest.version, "kind": words::module_kind(manifest.kind()),
        "interface": manifest.interface, "description": manifest.description, "config_schema": schema,
        "digest": module.digest, "size": module.size, "admitted_at": instant(module.admitted_at_ms),
        "owner": module.owner, "pushed_by": module.pushed_by,
        "signed_by": module.signed_by.as_ref().map(|key| json!({"name": key.name, "id": key.id})),
        "memory_bytes": manifest.memory_bytes, "deadline_ms": manifest.deadline_ms,
        "quarantined": module.quarantined,
        "quarantined_for": module.quarantined_for, "serving": module.serving,
    }))
}

/// What a tenant uses of its quotas.
pub(crate) fn usage(tenant: &v1::Tenant) -> Value {
    let used = tenant.usage.clone().unwrap_or_default();
    let pools = used.pools.iter().map(|share| {
        pruned(json!({
            "pool": share.pool, "held": resources(share.held.as_ref()),
            "quota": resources(share.quota.as_ref()),
        }))
    });
    json!({
        "tenant": tenant.name,
        "series": {"used": used.series, "max": tenant.max_series},
        "samples_per_s": {"used": used.samples_per_s, "max": tenant.max_samples_per_s},
        "modules": {"used": used.modules, "max": tenant.max_modules},
        "refused_samples": used.refused_samples, "pools": pools.collect::<Vec<_>>(),
    })
}

/// A slot.
pub(crate) fn slot(slot: &v1::Slot) -> Value {
    pruned(json!({
        "binding": slot.binding, "kind": words::module_kind(slot.kind()),
        "active": slot.active.as_ref().map(module_ref), "last_good": slot.last_good.as_ref().map(module_ref),
        "epoch": slot.epoch, "calls": slot.calls, "faults": slot.faults,
        "trial": slot.trial.as_ref().map(trial),
    }))
}

fn version(version: &v1::Version) -> Value {
    let module = version.module.as_ref().map(module_ref);
    pruned(json!({"module": module, "config": version.config}))
}

/// Two versions that are compared.
pub(crate) fn trial(trial: &v1::VersionTrial) -> Value {
    pruned(json!({
        "binding": trial.binding, "candidate": trial.candidate.as_ref().map(version),
        "incumbent": trial.incumbent.as_ref().map(version),
        "serving": words::lower(trial.serving().as_str_name(), "SIDE_"),
        "since": instant(trial.since_ms), "gate": trial.gate.as_ref().map(gate),
        "pairs": trial.pairs, "difference": trial.difference,
        "difference_low": trial.difference_low, "difference_high": trial.difference_high,
        "verdict": words::lower(trial.verdict().as_str_name(), "VERDICT_"), "reason": trial.reason,
    }))
}

/// A step in the life of versions.
pub(crate) fn step(step: &v1::LifeStep) -> Value {
    pruned(json!({
        "sequence": step.sequence, "at": instant(step.at_ms), "event": words::life_event(step.event()),
        "binding": step.binding, "tenant": step.tenant, "from": step.from.as_ref().map(version),
        "to": step.to.as_ref().map(version), "by": step.by, "forced": step.forced, "reason": step.reason,
    }))
}
