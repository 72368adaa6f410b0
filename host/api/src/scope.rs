//! Nothing crosses tenants.
//!
//! The ports authorise; this is the last wall before the wire, and the place where "not yours" and
//! "not there" become the same answer. The rule that makes them equal: an id that names a foreign
//! tenant is answered *before* any look-up, from the credential and the id alone, so that neither
//! the text, nor the code, nor the time of the answer can depend on whether the object exists.

use tidegate_core::access::Principal;
use tidegate_core::catalog::{Object, ObjectKey, ObjectKind, Versioned};
use tidegate_core::ids::{ApiId, PoolId, ScopedId, TenantId};
use tidegate_core::plan::{Grant, Loan, Plan};
use tidegate_core::ports::serve::{PlansPort, ServeError};

/// What a caller hears of what is not there, or not its own.
pub(crate) fn absent(kind: &str, name: &str) -> ServeError {
    ServeError::NotFound {
        what: format!("{kind} {name}"),
        remedy: "check its name and that your credential holds its tenant".into(),
    }
}

/// Refuses an id of a foreign tenant.
pub(crate) fn visible(caller: &Principal, kind: &str, id: &ScopedId) -> Result<(), ServeError> {
    if caller.sees(&id.tenant) {
        Ok(())
    } else {
        Err(absent(kind, &id.to_string()))
    }
}

/// Refuses the key of an object that names a foreign tenant.
pub(crate) fn visible_key(caller: &Principal, key: &ObjectKey) -> Result<(), ServeError> {
    let tenant = match key.kind {
        ObjectKind::Tenant => key.name.parse::<TenantId>().ok(),
        ObjectKind::Api | ObjectKind::Slo | ObjectKind::Event => {
            key.name.parse::<ScopedId>().ok().map(|id| id.tenant)
        }
        // One that says whose it is; others are the operator's names.
        ObjectKind::Binding | ObjectKind::Template => named_tenant(&key.name),
        ObjectKind::Pool | ObjectKind::Tier => None,
    };
    match tenant {
        Some(tenant) if !caller.sees(&tenant) => Err(absent(key.kind.name(), &key.name)),
        _ => Ok(()),
    }
}

/// The tenant of a binding's or a template's name, where it is written `TENANT/NAME`.
fn named_tenant(name: &str) -> Option<TenantId> {
    name.split_once('/')?.0.parse().ok()
}

/// Refuses a pool that the caller may not see, exactly as one that is not there.
pub(crate) fn visible_pool<P: PlansPort + ?Sized>(
    port: &P,
    caller: &Principal,
    pool: &PoolId,
) -> Result<(), ServeError> {
    if port.newest(caller, pool).is_some() {
        Ok(())
    } else {
        Err(absent("pool", pool.as_str()))
    }
}

/// Whether the caller may see an object.
pub(crate) fn sees_object(caller: &Principal, object: &Versioned<Object>) -> bool {
    object.value.tenant().is_none_or(|t| caller.sees(t))
}

/// The foreign apis that an object refers to; a caller must not learn from an error whether they
/// exist.
pub(crate) fn foreign_references(
    caller: &Principal,
    object: &Object,
) -> Vec<(&'static str, ApiId)> {
    let named: Vec<(&'static str, &ApiId)> = match object {
        Object::Slo(slo) => vec![("api", &slo.api)],
        Object::Event(event) => event.apis.iter().map(|api| ("apis", api)).collect(),
        Object::Tenant(_)
        | Object::Pool(_)
        | Object::Tier(_)
        | Object::Api(_)
        | Object::Binding(_)
        | Object::Template(_) => vec![],
    };
    let foreign = named
        .into_iter()
        .filter(|(_, api)| !caller.sees(&api.tenant));
    foreign.map(|(field, api)| (field, api.clone())).collect()
}

/// The name under which a caller reads an api in a loan.
pub(crate) fn name_of(caller: &Principal, api: &ApiId) -> String {
    if caller.sees(&api.tenant) {
        api.to_string()
    } else {
        "others".into()
    }
}

/// A plan as the caller may see it: the rows of its own apis, and the loans that touch them.
pub(crate) fn own_part(caller: &Principal, plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.apis.retain(|row| caller.sees(&row.api.tenant));
    plan.loans.retain(|loan| touches(caller, loan));
    plan
}

/// A grant without the loans between others.
pub(crate) fn own_grant(caller: &Principal, mut grant: Grant) -> Grant {
    grant.loans.retain(|loan| touches(caller, loan));
    grant
}

fn touches(caller: &Principal, loan: &Loan) -> bool {
    caller.sees(&loan.lender.tenant) || caller.sees(&loan.borrower.tenant)
}
