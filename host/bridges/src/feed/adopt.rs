//! Apis that are fed before anybody declared them.
//!
//! "Point what you have at it" must show something at once, so a feed declares what it is told of, as
//! the caller and within the tenant's quota of series. What it declares is only observed
//! ([`Mode::Observe`]): forecast on request, and no part of any plan, until somebody decides. Every
//! api draws from a pool; an observed one draws nothing, so where none is named it is put into the
//! only pool there is, or into one without capacity, `observed`.
//!
//! **All that are new are declared at once**, before their first sums are stored ([`Feed::turn`]), since to
//! declare one costs as much as to declare a thousand: the catalog is one value, and is written as one.
//! A request is answered before that. What would refuse it is looked at first (the role, the quota,
//! whether there is a pool), and that its apis wait is in the journal with its points, so that a crash
//! in between loses neither (`Books::await_declaration`). A tenant or a pool that is not there
//! is declared at once, as the caller, since not everybody may.

use super::{Feed, Inner};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::{Api, Change, Mode, Object, ObjectKey, ObjectKind, Pool, Tenant};
use tidegate_core::ids::{ApiId, Generation, PoolId, TenantId};
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

/// Apis that are remembered because they could not be declared.
const MAX_UNDECLARED: usize = 100_000;

/// Series that an adopted api is counted as: requests, errors, latency.
const SERIES_PER_API: u64 = 3;

fn put(object: Object) -> Change {
    Change::Put {
        object: Box::new(object),
        expect: None,
    }
}

/// What is to be done about apis that streams were introduced for.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Those that cannot be declared, with what to do.
    pub(super) problems: BTreeMap<ApiId, String>,
    /// Those that are to be declared.
    pub(super) waiting: BTreeSet<ApiId>,
}

/// What became of the apis that waited.
#[derive(Debug, Default)]
pub(super) struct Declared {
    /// How many cannot be declared, and why the first cannot.
    pub(super) refused: Option<(u64, String)>,
    /// Why some wait still.
    pub(super) waiting: Option<String>,
}

/// Who declares what waits. That the senders may feed the tenants was looked at when they did.
fn feeds(tenants: BTreeSet<TenantId>) -> Principal {
    Principal {
        name: "feeds".into(),
        role: Role::Writer,
        tenants: Some(tenants),
    }
}

/// Whether the same may succeed later.
fn passes(error: &ServeError) -> bool {
    matches!(
        error,
        ServeError::Unavailable(_) | ServeError::Exhausted { .. }
    )
}

/// What could not be declared, and why.
#[derive(Debug)]
struct Left {
    apis: BTreeSet<ApiId>,
    error: ServeError,
}

impl Left {
    fn of(apis: BTreeSet<ApiId>, error: ServeError) -> Self {
        Self { apis, error }
    }
}

fn by_tenant(apis: BTreeSet<ApiId>) -> Vec<BTreeSet<ApiId>> {
    let mut all = BTreeMap::<TenantId, BTreeSet<ApiId>>::new();
    for api in apis {
        all.entry(api.tenant.clone()).or_default().insert(api);
    }
    all.into_values().collect()
}

impl Inner {
    /// Notes that apis could not be declared: their streams are looked at again, and from now on nothing of
    /// them is taken before they are declared.
    fn refuse(&mut self, apis: impl Iterator<Item = ApiId>) {
        if self.undeclared.len() >= MAX_UNDECLARED {
            self.undeclared.clear();
        }
        self.undeclared.extend(apis);
        self.names.forget();
    }
}

impl Feed {
    /// Looks at apis of which streams are new.
    pub(super) fn look(
        &self,
        caller: &Principal,
        inner: &mut Inner,
        apis: &BTreeSet<ApiId>,
    ) -> Looked {
        let mut looked = Looked::default();
        let mut missing: BTreeMap<TenantId, Vec<ApiId>> = BTreeMap::new();
        for api in apis {
            if !caller.may(Role::Writer, &api.tenant) {
                let text = "this credential may read, not feed; use one with role `writer`";
                looked.problems.insert(api.clone(), text.into());
            } else if !inner.books.waits(api)
                && !self.is_there(caller, ObjectKind::Api, &api.to_string())
            {
                missing
                    .entry(api.tenant.clone())
                    .or_default()
                    .push(api.clone());
            }
        }
        for (tenant, apis) in missing {
            let mut refuse = |apis: &mut dyn Iterator<Item = ApiId>, problem: &str| {
                looked
                    .problems
                    .extend(apis.map(|api| (api, problem.to_owned())));
            };
            if let Err(problem) = self.prepare(caller, inner, &tenant, &apis) {
                refuse(&mut apis.into_iter(), &problem);
                continue;
            }
            let was_refused = |api: &ApiId| inner.undeclared.contains(api);
            let (again, fresh): (BTreeSet<_>, BTreeSet<_>) =
                apis.into_iter().partition(was_refused);
            looked.waiting.extend(fresh);
            match self.declare_at_once(again.clone()) {
                Ok(()) => inner.undeclared.retain(|api| !again.contains(api)),
                Err(left) => {
                    let problem = format!("it cannot be declared: {}", left.error);
                    refuse(&mut left.apis.into_iter(), &problem);
                }
            }
        }
        looked
    }

    fn is_there(&self, caller: &Principal, kind: ObjectKind, name: &str) -> bool {
        let key = ObjectKey {
            kind,
            name: name.to_owned(),
        };
        self.door.get(caller, &key).is_ok()
    }

    /// Sees to it that apis of a tenant can be declared.
    fn prepare(
        &self,
        caller: &Principal,
        inner: &mut Inner,
        tenant: &TenantId,
        apis: &[ApiId],
    ) -> Result<(), String> {
        let Adoption::Observe(pool) = &self.options.adoption else {
            return Err(format!(
                "there is no api `{}`; declare it with `tidegate apply`, or let feeds do so (`feeds.adopt: true`)",
                apis[0]
            ));
        };
        let mut changes = vec![];
        let needed = apis.len() as u64 * SERIES_PER_API;
        match self.room(caller, inner, tenant) {
            Some(room) if room < needed => {
                return Err(format!(
                    "tenant `{tenant}` has room for {room} more series, and {} apis would need {needed}; have an admin raise `max_series` of the tenant, or send routes as templates",
                    apis.len(),
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
        self.pool(caller, pool.as_ref(), &mut changes)?;
        if changes.is_empty() {
            return Ok(());
        }
        match self.door.apply(caller, changes, Run::Real) {
            Ok(_) => Ok(()),
            Err(ServeError::Denied(why)) => Err(format!(
                "`{}` is not declared, and this credential may not declare it: {why}; have an admin declare it, or a pool with `quotas` for its tenant",
                apis[0]
            )),
            Err(error) => Err(format!("`{}` cannot be declared: {error}", apis[0])),
        }
    }

    /// Series that a tenant may still make, beside those of the apis that wait; `None` where there is no
    /// such tenant. What it has is looked at once a turn: before that, nothing is stored that feeds sent.
    fn room(&self, caller: &Principal, inner: &mut Inner, tenant: &TenantId) -> Option<u64> {
        let key = ObjectKey {
            kind: ObjectKind::Tenant,
            name: tenant.to_string(),
        };
        let Object::Tenant(declared) = self.door.get(caller, &key).ok()?.value else {
            return None;
        };
        let used = match inner.used.get(tenant) {
            Some(used) => *used,
            None => {
                let used = self.door.usage(caller, tenant).map_or(0, |u| u.series);
                inner.used.insert(tenant.clone(), used);
                used
            }
        };
        let waiting = inner.books.waiting_of(tenant) * SERIES_PER_API;
        Some(declared.max_series.saturating_sub(used + waiting))
    }

    /// Declares what waits, in one change of the catalog.
    pub(super) fn declare(&self) -> Declared {
        let all = {
            let mut inner = self.inner();
            inner.used.clear();
            inner.books.waiting()
        };
        let mut declared = Declared::default();
        if all.is_empty() {
            return declared;
        }
        let (mut refused, mut waits) = (BTreeMap::new(), BTreeSet::new());
        let mut left = |this: Result<(), Left>, last: bool| match this {
            Ok(()) => BTreeSet::new(),
            Err(left) if passes(&left.error) => {
                declared.waiting = Some(left.error.to_string());
                waits.extend(left.apis);
                BTreeSet::new()
            }
            Err(left) if !last => left.apis,
            Err(left) => {
                let text = left.error.to_string();
                refused.extend(left.apis.into_iter().map(|api| (api, text.clone())));
                BTreeSet::new()
            }
        };
        // What is in the way of one tenant's is not in the way of another's.
        for apis in by_tenant(left(self.declare_at_once(all.clone()), false)) {
            left(self.declare_at_once(apis), true);
        }
        let mut inner = self.inner();
        for api in all.difference(&waits) {
            inner.books.settle_declaration(api);
        }
        if let Some(problem) = refused.values().next() {
            declared.refused = Some((refused.len() as u64, problem.clone()));
            inner.refuse(refused.into_keys());
        }
        declared
    }

    /// Declares apis in one change.
    fn declare_at_once(&self, mut apis: BTreeSet<ApiId>) -> Result<(), Left> {
        let caller = feeds(apis.iter().map(|api| api.tenant.clone()).collect());
        // As somebody else has declared one meanwhile, it stands.
        let is_there = |api: &ApiId| self.is_there(&caller, ObjectKind::Api, &api.to_string());
        apis.retain(|api| !is_there(api));
        while !apis.is_empty() {
            let named = match &self.options.adoption {
                Adoption::Never => None,
                Adoption::Observe(pool) => pool.as_ref(),
            };
            let mut changes = vec![];
            let pool = self.pool(&caller, named, &mut changes);
            let pool = match pool {
                Ok(pool) => pool,
                Err(problem) => return Err(Left::of(apis, ServeError::Precondition(problem))),
            };
            changes.extend(apis.iter().map(|id| {
                let mut api = Api::free(id.clone(), pool.clone());
                api.mode = Mode::Observe;
                api.labels.insert("adopted".into(), "feed".into());
                Change::Put {
                    object: Box::new(Object::Api(api)),
                    expect: Some(Generation(0)),
                }
            }));
            match self.door.apply(&caller, changes, Run::Real) {
                Ok(_) => break,
                Err(error) => {
                    let before = apis.len();
                    apis.retain(|api| !is_there(api));
                    if apis.len() == before {
                        return Err(Left::of(apis, error));
                    }
                }
            }
        }
        Ok(())
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
