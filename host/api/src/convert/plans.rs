//! Plans, grants, reports and alerts, as one caller may see them.

use super::words::{dimension_out, id, mode_out, resources, resources_out, served_out, tier_out};
use crate::scope;
use crate::status::Problems;
use tidegate_core::access::Principal;
use tidegate_core::alert::{Alert, AlertKind, Severity};
use tidegate_core::catalog::Mode;
use tidegate_core::ids::{ApiId, Generation};
use tidegate_core::plan::{ApiPlan, Grant, Loan, Plan};
use tidegate_core::ports::serve::AppliedReport;
use tidegate_core::time::Timestamp;
use tidegate_core::units::Resources;
use tidegate_proto::v1;

/// A plan on the wire: the caller's own part of it. What may be done with each of its apis is not the
/// plan's to say, but what is declared now.
pub(crate) fn plan_out(caller: &Principal, plan: &Plan, mode: impl Fn(&ApiId) -> Mode) -> v1::Plan {
    let plan = scope::own_part(caller, plan);
    v1::Plan {
        pool: plan.pool.to_string(),
        generation: plan.generation.0,
        parent: plan.parent.0,
        made_at_ms: plan.made_at.0,
        start_ms: plan.grid.start.0,
        step_s: plan.grid.step.secs(),
        step_count: u32::try_from(plan.grid.count).unwrap_or(u32::MAX),
        expires_at_ms: plan.expires_at.0,
        dimensions: plan
            .dimensions
            .iter()
            .map(|&d| dimension_out(d).into())
            .collect(),
        capacity: plan.capacity,
        wanted: plan.wanted,
        apis: plan
            .apis
            .into_iter()
            .map(|row| {
                let mode = mode(&row.api);
                row_out(row, mode)
            })
            .collect(),
        loans: plan.loans.iter().map(|l| loan_out(caller, l)).collect(),
        served: Some(served_out(&plan.served)),
        inputs: plan.inputs.to_string(),
    }
}

fn row_out(row: ApiPlan, mode: Mode) -> v1::ApiPlan {
    v1::ApiPlan {
        api: row.api.to_string(),
        tier: tier_out(row.tier).into(),
        tier_since_ms: row.tier_since.0,
        guaranteed: row.guaranteed,
        limit: row.limit,
        demand: row.demand,
        safe: Some(resources_out(&row.safe)),
        reason: row.reason,
        tier_reason: row.tier_reason,
        emergency: row.emergency,
        mode: mode_out(mode).into(),
    }
}

fn loan_out(caller: &Principal, loan: &Loan) -> v1::Loan {
    v1::Loan {
        lender: scope::name_of(caller, &loan.lender),
        borrower: scope::name_of(caller, &loan.borrower),
        dimension: dimension_out(loan.dimension).into(),
        amount: loan.amount,
        from_ms: loan.from.0,
        until_ms: loan.until.0,
    }
}

/// A grant on the wire. Where it is not in force, no field that an enforcer obeys says anything: one
/// that knows nothing of modes then limits nothing, which is what was declared.
pub(crate) fn grant_out(caller: &Principal, grant: Grant, mode: Mode) -> v1::Grant {
    let mut grant = scope::own_grant(caller, grant);
    let mut recommended = None;
    if mode != Mode::Enforce {
        recommended = (mode == Mode::Recommend).then(|| resources_out(&grant.limit));
        grant.guaranteed = Resources::NONE;
        grant.limit = Resources::NONE;
        grant.safe = Resources::NONE;
        grant.loans = vec![];
    }
    v1::Grant {
        api: grant.api.to_string(),
        pool: grant.pool.to_string(),
        generation: grant.generation.0,
        tier: tier_out(grant.tier).into(),
        guaranteed: Some(resources_out(&grant.guaranteed)),
        limit: Some(resources_out(&grant.limit)),
        from_ms: grant.from.0,
        expires_at_ms: grant.expires_at.0,
        safe: Some(resources_out(&grant.safe)),
        loans: grant.loans.iter().map(|l| loan_out(caller, l)).collect(),
        mode: mode_out(mode).into(),
        recommended,
    }
}

/// A report of an enforcer.
pub(crate) fn report(
    given: Option<v1::AppliedReport>,
    problems: &mut Problems,
) -> Option<AppliedReport> {
    let Some(given) = given else {
        problems.push("report", "it is missing; say what was applied");
        return None;
    };
    if given.actuator.is_empty() || given.actuator.len() > 100 {
        problems.push(
            "report.actuator",
            "name who applied it, in 1 to 100 characters",
        );
    }
    let limit = resources(given.limit.as_ref(), "report.limit", problems);
    Some(AppliedReport {
        api: id(&given.api, "report.api", problems)?,
        generation: Generation(given.generation),
        at: Timestamp(given.at_ms),
        actuator: given.actuator,
        limit,
        safe: given.safe,
    })
}

/// A report on the wire.
pub(crate) fn report_out(report: AppliedReport) -> v1::AppliedReport {
    v1::AppliedReport {
        api: report.api.to_string(),
        generation: report.generation.0,
        at_ms: report.at.0,
        actuator: report.actuator,
        limit: Some(resources_out(&report.limit)),
        safe: report.safe,
    }
}

/// An alert on the wire.
pub(crate) fn alert_out(alert: Alert) -> v1::Alert {
    v1::Alert {
        kind: match alert.kind {
            AlertKind::Contention => v1::AlertKind::Contention,
            AlertKind::GoldFloorsCut => v1::AlertKind::GoldFloorsCut,
            AlertKind::SloBurn => v1::AlertKind::SloBurn,
            AlertKind::ModuleFault => v1::AlertKind::ModuleFault,
            AlertKind::StaleFeed => v1::AlertKind::StaleFeed,
            AlertKind::PlanHeld => v1::AlertKind::PlanHeld,
            AlertKind::StoreRoom => v1::AlertKind::StoreRoom,
        }
        .into(),
        severity: match alert.severity {
            Severity::Info => v1::Severity::Info,
            Severity::Warning => v1::Severity::Warning,
            Severity::Critical => v1::Severity::Critical,
        }
        .into(),
        pool: alert.pool.map(|p| p.to_string()),
        api: alert.api.map(|a| a.to_string()),
        subject: alert.subject,
        at_ms: alert.at.0,
        message: alert.message,
    }
}
