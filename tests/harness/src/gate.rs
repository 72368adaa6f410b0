//! Declares a world in one sentence: `gate().pool(..).api(..).feed(..).policy(..).start()`.
//!
//! Everything is declared before anything runs, and the catalog judges it as it does an
//! operator's file. Tenants need no word of their own: they are those of the apis. The first name
//! that is no name is kept and told by `start`, so that the sentence needs no `?` in its middle.

use crate::bind::Bind;
use crate::load::Load;
use crate::native::Native;
use crate::world::{HarnessError, World};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use tidegate_core::catalog::{Api, Object, Pool};
use tidegate_core::event::Event;
use tidegate_core::ids::{ApiId, PoolId};
use tidegate_core::slo::{Indicator, Slo};
use tidegate_core::tier::{Tier, TierSpec};
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::{Dimension, Resources};
use tidegate_flow::cycle::Settings;

/// A world to be.
#[derive(Debug)]
pub struct Builder {
    settings: Settings,
    history_days: u32,
    pools: Vec<Pool>,
    tiers: Vec<TierSpec>,
    apis: Vec<Api>,
    others: Vec<Object>,
    feeds: Vec<(ApiId, Load)>,
    costs: BTreeMap<ApiId, f64>,
    policies: Vec<(Native, Bind)>,
    problem: Option<HarnessError>,
}

/// An empty world of 5-minute steps, two days old when it starts.
#[must_use]
pub fn gate() -> Builder {
    Builder {
        settings: settings(),
        history_days: 2,
        pools: vec![],
        tiers: vec![],
        apis: vec![],
        others: vec![],
        feeds: vec![],
        costs: BTreeMap::new(),
        policies: vec![],
        problem: None,
    }
}

/// Coarse enough that a simulated day costs 288 cycles, fine enough that leads and dwells show.
pub(crate) fn settings() -> Settings {
    Settings {
        step: Step::from_secs(300).unwrap_or(Step::MINUTE),
        horizon: 24,
        plan_steps: 12,
        validity_ms: crate::minutes(30),
        fit_window: 7 * 288,
        seed: 1,
        ..Settings::default()
    }
}

/// Cores as a vector.
pub(crate) fn cores(amount: f64) -> Resources {
    Resources::NONE.with(Dimension::Cpu, amount)
}

/// A pool of cores that is ready at once and cannot grow.
pub(crate) fn pool(id: PoolId, amount: f64) -> Pool {
    Pool {
        id,
        ready: cores(amount),
        max: Resources::NONE,
        min: Resources::NONE,
        lead_time_s: 0,
        unit_cost: Resources::NONE,
        quotas: BTreeMap::new(),
    }
}

/// An api of a pool in a tier, free to move, with nothing of its own declared.
pub(crate) fn api(id: ApiId, pool: PoolId, tier: Tier) -> Api {
    Api {
        category: "web".into(),
        base_tier: tier,
        ..Api::free(id, pool)
    }
}

impl Builder {
    fn named<T: FromStr>(&mut self, text: &str) -> Option<T>
    where
        T::Err: Display,
    {
        match text.parse() {
            Ok(id) => Some(id),
            Err(error) => {
                let problem = HarnessError::Name {
                    text: text.into(),
                    problem: format!("{error}"),
                };
                self.problem.get_or_insert(problem);
                None
            }
        }
    }

    /// How cycles run.
    #[must_use]
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// The root seed, of loads and of policies.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.settings(|s| s.seed = seed)
    }

    /// Days of history before the world starts.
    #[must_use]
    pub fn history_days(mut self, days: u32) -> Self {
        self.history_days = days;
        self
    }

    /// A pool with so many cores; apis that follow are in it.
    #[must_use]
    pub fn pool(mut self, name: &str, amount: f64) -> Self {
        if let Some(id) = self.named(name) {
            self.pools.push(pool(id, amount));
        }
        self
    }

    /// What a tenant may hold of the pool that was declared last, in cores.
    #[must_use]
    pub fn quota(mut self, tenant: &str, amount: f64) -> Self {
        if let Some(tenant) = self.named(tenant)
            && let Some(pool) = self.pools.last_mut()
        {
            pool.quotas.insert(tenant, cores(amount));
        }
        self
    }

    /// What a tier buys.
    #[must_use]
    pub fn tier(mut self, spec: TierSpec) -> Self {
        self.tiers.push(spec);
        self
    }

    /// An api in the pool that was declared last, free to move between the tiers.
    #[must_use]
    pub fn api(mut self, name: &str, tier: Tier) -> Self {
        let pool = self.pools.last().map(|p| p.id.clone());
        if let (Some(id), Some(pool)) = (self.named(name), pool) {
            self.apis.push(api(id, pool, tier));
        }
        self
    }

    /// The floor of the api that was declared last, in cores.
    #[must_use]
    pub fn floor(mut self, amount: f64) -> Self {
        if let Some(api) = self.apis.last_mut() {
            api.floor = cores(amount);
        }
        self
    }

    /// The ceiling of the api that was declared last, in cores.
    #[must_use]
    pub fn ceiling(mut self, amount: f64) -> Self {
        if let Some(api) = self.apis.last_mut() {
            api.ceiling = cores(amount);
        }
        self
    }

    /// Cores per request/s of the api that was declared last; 0.01 where unsaid.
    #[must_use]
    pub fn cost(mut self, amount: f64) -> Self {
        if let Some(api) = self.apis.last() {
            self.costs.insert(api.id.clone(), amount);
        }
        self
    }

    /// An availability objective over 30 days.
    #[must_use]
    pub fn slo(mut self, name: &str, api: &str, objective: f64) -> Self {
        if let (Some(id), Some(api)) = (self.named(name), self.named(api)) {
            self.others.push(Object::Slo(Slo {
                id,
                api,
                indicator: Indicator::Availability,
                objective,
                window_s: 30 * 86_400,
                template: None,
            }));
        }
        self
    }

    /// A campaign of all apis of a tenant, of so many seconds and perhaps so many times the
    /// ordinary load at least.
    #[must_use]
    pub fn event(
        mut self,
        name: &str,
        start: Timestamp,
        duration_s: u32,
        minimum_uplift: Option<f64>,
    ) -> Self {
        if let Some(id) = self.named(name) {
            self.others.push(Object::Event(Event {
                minimum_uplift,
                ..Event::once(id, "campaign", start, duration_s)
            }));
        }
        self
    }

    /// What an api is asked for.
    #[must_use]
    pub fn feed(mut self, api: &str, load: Load) -> Self {
        if let Some(api) = self.named(api) {
            self.feeds.push((api, load));
        }
        self
    }

    /// A module for everything of its kind, under a binding of that name.
    #[must_use]
    pub fn policy(self, binding: &str, native: Native) -> Self {
        self.policy_with(binding, native, "{}")
    }

    /// A module with a config.
    #[must_use]
    pub fn policy_with(mut self, binding: &str, native: Native, config: &str) -> Self {
        if let Some(id) = self.named(binding) {
            let bind = Bind::new(id, &native).config(config);
            self.policies.push((native, bind));
        }
        self
    }

    /// Declares everything, fills the past, fits and binds. No plan has been made yet.
    ///
    /// # Errors
    /// Names that are no names, and everything that the catalog or the slots refuse.
    pub fn start(self) -> Result<World, HarnessError> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let mut world = World::new(self.settings, self.history_days);
        let tenants = self.apis.iter().map(|a| a.id.tenant.clone());
        world.declare_tenants(tenants)?;
        let objects = self.pools.into_iter().map(Object::Pool);
        let objects = objects.chain(self.tiers.into_iter().map(Object::Tier));
        let objects = objects.chain(self.apis.into_iter().map(Object::Api));
        world.apply(objects.chain(self.others))?;
        for (api, load) in self.feeds {
            let cost = self.costs.get(&api).copied();
            world.feed(&api, load, cost)?;
        }
        for (native, bind) in self.policies {
            world.push(native);
            world.bind(bind)?;
        }
        Ok(world)
    }
}
