//! Apis that are fed before anybody declared them.
//!
//! "Point what you have at it" must show something at once, so a feed declares what it is told of, as
//! the caller and within the tenant's quota of series. What it declares is only observed
//! ([`Mode::Observe`]): forecast on request, and no part of any plan, until somebody decides. Every
//! api draws from a pool; an observed one draws nothing, so where none is named it is put into the
//! only pool there is, or into one without capacity, `observed`.
//!
//! All new apis of a request are declared in one change of the catalog.

use super::Feed;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::{Api, Change, Mode, Object, ObjectKey, ObjectKind, Pool, Tenant};
use tidegate_core::ids::{ApiId, PoolId, TenantId};
use tidegate_core::ports::serve::{Run, ServeError};
use tidegate_core::units::{Dimension, Resources};

/// What happens to apis that are not declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    /// What is told of them is refused.
    Never,
    /// They are declared, to be observed; in this pool, if one is named.
    Observe(Option<PoolId>),
}

impl Default for Adoption {
    fn default() -> Self {
        Adoption::Observe(None)
    }
}

/// The pool of adopted apis where there is no other.
const POOL: &str = "observed";

/// Quotas of a tenant that is made on the way, as `tidegate apply` has them.
const MAX_SERIES: u64 = 10_000;
const MAX_SAMPLES_PER_S: u64 = 100_000;
const MAX_MODULES: u64 = 20;

/// Series that an adopted api is counted as: requests, errors, latency.
const SERIES_PER_API: u64 = 3;

fn put(object: Object) -> Change {
    Change::Put {
        object: Box::new(object),
        expect: None,
    }
}

impl Feed {
    /// Sees to it that apis are declared; returns those that cannot be, with what to do.
    pub(super) fn declare(
        &self,
        caller: &Principal,
        apis: &BTreeSet<ApiId>,
    ) -> BTreeMap<ApiId, String> {
        let mut problems = BTreeMap::new();
        let mut missing: BTreeMap<TenantId, Vec<ApiId>> = BTreeMap::new();
        for api in apis {
            if !caller.may(Role::Writer, &api.tenant) {
                let text = "this credential may read, not feed; use one with role `writer`";
                problems.insert(api.clone(), text.into());
            } else if !self.is_there(caller, ObjectKind::Api, &api.to_string()) {
                missing
                    .entry(api.tenant.clone())
                    .or_default()
                    .push(api.clone());
            }
        }
        for (tenant, apis) in missing {
            if let Err(problem) = self.adopt(caller, &tenant, &apis) {
                let told = apis.into_iter().map(|api| (api, problem.clone()));
                problems.extend(told);
            }
        }
        problems
    }

    fn is_there(&self, caller: &Principal, kind: ObjectKind, name: &str) -> bool {
        let key = ObjectKey {
            kind,
            name: name.to_owned(),
        };
        self.door.get(caller, &key).is_ok()
    }

    fn adopt(&self, caller: &Principal, tenant: &TenantId, apis: &[ApiId]) -> Result<(), String> {
        let Adoption::Observe(pool) = &self.options.adoption else {
            return Err(format!(
                "there is no api `{}`; declare it with `tidegate apply`, or let feeds do so (`feeds.adopt: true`)",
                apis[0]
            ));
        };
        let mut changes = vec![];
        match self.room(caller, tenant) {
            Some(room) if room < apis.len() as u64 * SERIES_PER_API => {
                return Err(format!(
                    "tenant `{tenant}` has room for {room} more series, and {} apis would need {}; have an admin raise `max_series` of the tenant, or send routes as templates",
                    apis.len(),
                    apis.len() as u64 * SERIES_PER_API
                ));
            }
            Some(_) => {}
            None => changes.push(put(Object::Tenant(Tenant {
                id: tenant.clone(),
                max_series: MAX_SERIES,
                max_samples_per_s: MAX_SAMPLES_PER_S,
                max_modules: MAX_MODULES,
            }))),
        }
        let pool = self.pool(caller, pool.as_ref(), &mut changes)?;
        for id in apis {
            let mut api = Api::free(id.clone(), pool.clone());
            api.mode = Mode::Observe;
            api.labels.insert("adopted".into(), "feed".into());
            changes.push(put(Object::Api(api)));
        }
        match self.door.apply(caller, changes, Run::Real) {
            Ok(_) => Ok(()),
            Err(ServeError::Denied(why)) => Err(format!(
                "`{}` is not declared, and this credential may not declare it: {why}",
                apis[0]
            )),
            Err(error) => Err(format!("`{}` cannot be declared: {error}", apis[0])),
        }
    }

    /// Series that a tenant may still make; `None` where there is no such tenant.
    fn room(&self, caller: &Principal, tenant: &TenantId) -> Option<u64> {
        let key = ObjectKey {
            kind: ObjectKind::Tenant,
            name: tenant.to_string(),
        };
        let Object::Tenant(declared) = self.door.get(caller, &key).ok()?.value else {
            return None;
        };
        let used = self.door.usage(caller, tenant).map_or(0, |u| u.series);
        Some(declared.max_series.saturating_sub(used))
    }

    fn pool(
        &self,
        caller: &Principal,
        named: Option<&PoolId>,
        changes: &mut Vec<Change>,
    ) -> Result<PoolId, String> {
        if let Some(pool) = named {
            return if self.is_there(caller, ObjectKind::Pool, pool.as_str()) {
                Ok(pool.clone())
            } else {
                Err(format!(
                    "there is no pool `{pool}`, in which `feeds.pool` puts new apis; declare it with `tidegate apply`"
                ))
            };
        }
        let pools = self.door.list(caller, ObjectKind::Pool).unwrap_or_default();
        let name = |object: &Object| match object {
            Object::Pool(pool) => Some(pool.id.clone()),
            _ => None,
        };
        let all: Vec<PoolId> = pools.iter().filter_map(|p| name(&p.value)).collect();
        if let Some(pool) = all.iter().find(|p| p.as_str() == POOL) {
            return Ok(pool.clone());
        }
        if let [only] = &all[..] {
            return Ok(only.clone());
        }
        if !all.is_empty() {
            return Err(format!(
                "there are {} pools; say by `feeds.pool` in which new apis are put",
                all.len()
            ));
        }
        let id = PoolId::new(POOL).map_err(|e| e.to_string())?;
        changes.push(put(Object::Pool(Pool {
            id: id.clone(),
            ready: Resources::NONE.with(Dimension::Requests, 0.0),
            max: Resources::NONE,
            min: Resources::NONE,
            lead_time_s: 0,
            unit_cost: Resources::NONE,
            quotas: BTreeMap::new(),
        })));
        Ok(id)
    }
}
