//! Who decides: pushing modules, binding them to slots, and what follows from their faults.
//!
//! As in the daemon, a bind fits first and swaps after, the catalog says what should serve and the
//! slots what does, and a slot that rolled itself back takes the catalog with it. A module's text
//! is `NAME@VERSION` here, not its digest, so that a story can be read.

use crate::native::{Native, native};
use crate::world::{HarnessError, World, slots};
use tidegate_core::catalog::{Api, Object};
use tidegate_core::ids::{BindingId, PoolId, TenantId};
use tidegate_core::invariant::Invariant;
use tidegate_core::life::Gate;
use tidegate_core::module::{Binding, ModuleKind, Selector};
use tidegate_core::policy::{Allocator, CallError, Forecaster, Tierer};
use tidegate_core::ports::storage::{Ledger, States, StoreError};
use tidegate_core::roster::{Fault, Roster};
use tidegate_core::units::Signal;
use tidegate_engine::{By, Pinned, Subject, SwapError};
use tidegate_flow::cycle::{Pins, PoolState};

/// A module for a slot.
#[derive(Debug, Clone)]
pub struct Bind {
    id: BindingId,
    kind: ModuleKind,
    selector: Selector,
    module: String,
    config: String,
    by: By,
}

impl Bind {
    /// Binds a module for everything of its kind, with its defaults, as an operator.
    #[must_use]
    pub fn new(id: BindingId, native: &Native) -> Self {
        Self {
            id,
            kind: native.kind(),
            selector: Selector::default(),
            module: text(native),
            config: "{}".into(),
            by: By::Operator,
        }
    }

    /// In this pool alone.
    #[must_use]
    pub fn pool(mut self, pool: PoolId) -> Self {
        self.selector.pool = Some(pool);
        self
    }

    /// For this tenant alone.
    #[must_use]
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.selector.tenant = Some(tenant);
        self
    }

    /// JSON config.
    #[must_use]
    pub fn config(mut self, config: &str) -> Self {
        self.config = config.into();
        self
    }

    /// Who asks: a rule of the daemon may not bind what is quarantined (RB1).
    #[must_use]
    pub fn by(mut self, by: By) -> Self {
        self.by = by;
        self
    }
}

pub(crate) fn text(native: &Native) -> String {
    format!("{}@{}", native.module.name, native.module.version)
}

impl World {
    /// Takes a module in; the same name and version again changes nothing.
    pub fn push(&mut self, native: Native) {
        if !self.natives.iter().any(|n| n.module == native.module) {
            self.natives.push(native);
        }
    }

    /// The module of a name (`NAME` or `NAME@VERSION`), newest first; a shipped one is taken in
    /// when it is first asked for.
    ///
    /// # Errors
    /// When there is none.
    pub fn module(&mut self, name: &str) -> Result<Native, HarnessError> {
        let fits = |n: &&Native| n.module.name == name || text(n) == name;
        if let Some(found) = self.natives.iter().rev().find(fits) {
            return Ok(found.clone());
        }
        let shipped =
            native(name).ok_or_else(|| HarnessError::Unknown(format!("module `{name}`")))?;
        self.push(shipped.clone());
        Ok(shipped)
    }

    /// Fits what the module will serve, writes the catalog, swaps.
    ///
    /// # Errors
    /// What the catalog or the slot refuses; what served goes on serving.
    pub fn bind(&mut self, bind: Bind) -> Result<(), HarnessError> {
        let native = self.module(&bind.module)?;
        if bind.by == By::Itself && self.slots.quarantined().contains(&native.module.digest) {
            return Err(SwapError::Quarantined(native.module).into());
        }
        tidegate_engine::check_config(&native.config_schema, &bind.config).map_err(|source| {
            SwapError::Config {
                module: native.module.name.clone(),
                source,
            }
        })?;
        let stands = self.catalog.bindings.get(&bind.id).map(|b| &b.value);
        let next = match stands.filter(|b| b.kind == bind.kind) {
            Some(stands) => Binding {
                selector: bind.selector.clone(),
                ..stands.served_by(bind.module.clone(), bind.config.clone())
            },
            None => Binding {
                id: bind.id.clone(),
                kind: bind.kind,
                selector: bind.selector.clone(),
                module: bind.module.clone(),
                config: bind.config.clone(),
                challengers: vec![],
                shadow: None,
                gate: Gate::default(),
            },
        };
        self.apply([Object::Binding(next)])?;
        self.slots.declare(&bind.id, bind.kind, bind.selector);
        self.prepare(&bind.id, &native, &bind.config);
        let swapped = self
            .slots
            .swap(&bind.id, &native.candidate(), &bind.config, bind.by)?;
        if swapped.from.is_some() {
            self.watch(&bind.id);
        }
        let from = swapped.from.map_or("nobody".to_owned(), |m| named(&m));
        self.note(format!(
            "binding {}: {} serves, before it {from}",
            bind.id,
            named(&native.module)
        ));
        Ok(())
    }

    /// Back to the version before; the one that served is quarantined.
    ///
    /// # Errors
    /// When there is none before it.
    pub fn rollback(&mut self, id: &BindingId) -> Result<(), HarnessError> {
        let swapped = self.slots.rollback(id)?;
        let name = |m: Option<_>| m.as_ref().map_or("nobody".to_owned(), named);
        self.note(format!(
            "binding {id}: rolled back from {} to {}",
            name(swapped.from),
            name(swapped.to)
        ));
        self.settle(id)
    }

    /// Counts faults and lets the slots draw their consequences.
    pub(crate) fn report_faults(&mut self, faults: &[Fault]) {
        for fault in faults {
            let label = match &fault.error {
                CallError::Refused(breach) => invariant(breach.invariant),
                other => other.label().to_owned(),
            };
            let key = (fault.module.name.clone(), label);
            *self.refusals.entry(key).or_default() += 1;
        }
        for rolled in self.slots.report_faults(faults) {
            let name = |m: &Option<_>| m.as_ref().map_or("the engine's own rule".to_owned(), named);
            self.note(format!(
                "binding {}: rolled back from {} to {} after {} faults; quarantined. The last: {}",
                rolled.swap.binding,
                name(&rolled.swap.from),
                name(&rolled.swap.to),
                rolled.faults,
                rolled.cause
            ));
            if let Err(error) = self.settle(&rolled.swap.binding) {
                self.note(format!("the rollback does not fit the catalog: {error}"));
            }
        }
    }

    /// After a slot went back: the catalog follows. Where nothing but the engine's own rule is
    /// left, the catalog keeps naming the module, which may not come back by itself (RB1).
    fn settle(&mut self, id: &BindingId) -> Result<(), HarnessError> {
        let (Some((module, config)), Some(stands)) =
            (self.slots.serving(id), self.catalog.bindings.get(id))
        else {
            return Ok(());
        };
        let module = format!("{}@{}", module.name, module.version);
        let binding = stands.value.served_by(module, config);
        self.apply([Object::Binding(binding)])
    }

    /// What a restart leaves: the store, and what can be made from it. Old versions are forgotten,
    /// so every slot has its bound module and the engine's own rule, and no last good one.
    ///
    /// # Errors
    /// When the store cannot be read or a binding names a module that is not there.
    pub fn restart(&mut self) -> Result<(), HarnessError> {
        let everywhere = self.slots.quarantined();
        let digests = self.natives.iter().map(|native| native.module.digest);
        let places: Vec<_> = digests
            .flat_map(|digest| {
                let places = self.slots.condemned_at(digest);
                places.into_iter().map(move |binding| (digest, binding))
            })
            .collect();
        // What a watch needs to go back to.
        let behind: Vec<_> = self
            .watched
            .keys()
            .filter_map(|id| {
                let (module, config) = self.slots.last_good(id)?;
                let native = self.natives.iter().find(|n| n.module == module)?;
                Some((id.clone(), native.clone(), config))
            })
            .collect();
        let (fresh, baselines) = slots();
        self.slots = fresh;
        self.baselines = baselines;
        self.slots.quarantine(everywhere);
        self.slots
            .quarantine_at(places.iter().map(|(digest, at)| (*digest, at, None)));
        for binding in self.catalog.bindings.clone().into_values().map(|b| b.value) {
            let native = self.module(&binding.module)?;
            self.slots
                .declare(&binding.id, binding.kind, binding.selector);
            let candidate = native.candidate();
            match self
                .slots
                .swap(&binding.id, &candidate, &binding.config, By::Itself)
            {
                Ok(_) => {}
                Err(error @ SwapError::Quarantined(_)) => self.note(error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
        for (id, native, config) in behind {
            self.slots.stand_behind(&id, &native.candidate(), &config);
        }
        self.restore_trials();
        self.pools.clear();
        self.standing.clear();
        self.tried.clear();
        self.resume()?;
        self.note("restarted".into());
        Ok(())
    }

    fn resume(&mut self) -> Result<(), StoreError> {
        for pool in self.catalog.pools.keys() {
            let record = match self.store.last(pool) {
                Some(generation) => self.store.whole(pool, generation)?,
                None => None,
            };
            self.pools.insert(pool.clone(), PoolState::resume(record));
        }
        for state in States::load(&self.store)? {
            if let Some(api) = self.catalog.apis.get(&state.key.api) {
                let pool = self.pools.entry(api.value.pool.clone()).or_default();
                pool.bank.put(state);
            }
        }
        Ok(())
    }
}

pub(crate) fn named(module: &tidegate_core::module::ModuleRef) -> String {
    format!("{} {}", module.name, module.version)
}

fn invariant(invariant: Invariant) -> String {
    invariant.to_string()
}

/// The slots of one instant as the cycle asks for them.
#[derive(Debug)]
pub(crate) struct Slotted {
    pinned: Pinned,
}

impl Slotted {
    pub(crate) fn of(world: &World) -> Self {
        Self {
            pinned: world.slots.pin(),
        }
    }

    /// Through which binding an api's series are forecast.
    pub(crate) fn binding_of(&self, api: &Api) -> Option<BindingId> {
        let resolved = self.pinned.forecaster(&subject(api))?;
        resolved.binding.map(|(id, _)| id.clone())
    }

    /// Through which binding a pool is divided.
    pub(crate) fn pool_binding(&self, pool: &PoolId) -> Option<BindingId> {
        let subject = Subject {
            pool: Some(pool),
            ..Subject::default()
        };
        let resolved = self.pinned.allocator(&subject)?;
        resolved.binding.map(|(id, _)| id.clone())
    }

    /// Through which binding a tenant's tiers are chosen.
    pub(crate) fn tenant_binding(&self, tenant: &TenantId) -> Option<BindingId> {
        let subject = Subject {
            tenant: Some(tenant),
            ..Subject::default()
        };
        let resolved = self.pinned.tierer(&subject)?;
        resolved.binding.map(|(id, _)| id.clone())
    }
}

fn subject(api: &Api) -> Subject<'_> {
    Subject {
        tenant: Some(&api.id.tenant),
        pool: Some(&api.pool),
        category: Some(&api.category),
        labels: Some(&api.labels),
    }
}

fn or_empty<P: ?Sized>(roster: Option<&Roster<P>>) -> Roster<P> {
    roster.cloned().unwrap_or(Roster::of(vec![]))
}

impl Pins for Slotted {
    fn forecaster(&self, api: &Api, _: Signal) -> Roster<dyn Forecaster> {
        or_empty(self.pinned.forecaster(&subject(api)).map(|r| r.roster))
    }

    fn tierer(&self, tenant: &TenantId) -> Roster<dyn Tierer> {
        let subject = Subject {
            tenant: Some(tenant),
            ..Subject::default()
        };
        or_empty(self.pinned.tierer(&subject).map(|r| r.roster))
    }

    fn allocator(&self, pool: &PoolId) -> Roster<dyn Allocator> {
        let subject = Subject {
            pool: Some(pool),
            ..Subject::default()
        };
        or_empty(self.pinned.allocator(&subject).map(|r| r.roster))
    }
}
