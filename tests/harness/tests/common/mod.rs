//! Random worlds, and what happens to them while they run.

use proptest::prelude::*;
use tidegate_core::catalog::{Object, Pool};
use tidegate_core::tier::Tier;
use tidegate_core::units::{Dimension, Resources};
use tidegate_harness::{Breakage, Load, day, gate, native};

/// An api to be.
#[derive(Debug, Clone)]
struct Drawn {
    tenant: usize,
    tier: Tier,
    low: f64,
    high: f64,
    peak_h: i64,
    floor: Option<f64>,
    ceiling: Option<f64>,
    objective: Option<f64>,
}

/// Something that happens before a step.
#[derive(Debug, Clone)]
enum Happening {
    Break(usize, Option<Breakage>),
    Resize(f64),
    Restart,
    Burst(usize, f64),
    Rebind,
}

/// A world to be.
#[derive(Debug, Clone)]
pub(crate) struct World {
    seed: u64,
    cores: f64,
    quota: Option<f64>,
    apis: Vec<Drawn>,
    forecaster: Option<&'static str>,
    tierer: Option<&'static str>,
    allocator: Option<&'static str>,
    happenings: Vec<(u64, Happening)>,
}

/// Everything that can be broken, by name.
const MODULES: [&str; 7] = [
    "seasonal-naive",
    "slo-tiers",
    "proportional",
    "waterfill",
    "native:last-value",
    "native:base-tier",
    "native:floors-first",
];

/// What is refused. A lawful answer of a broken module is used, and one that was mended since cannot make it
/// again.
fn unlawful() -> Vec<Breakage> {
    let all = Breakage::ALL.into_iter().map(|(_, breakage)| breakage);
    all.filter(|breakage| !breakage.is_lawful()).collect()
}

fn apis() -> impl Strategy<Value = Drawn> {
    let tiers = prop::sample::select(Tier::ALL.to_vec());
    let load = (0.0..300.0, 0.0..500.0, 0_i64..24);
    let bounds = (
        prop::option::of(0.0..2.0),
        prop::option::of(2.0..6.0),
        prop::option::of(0.9..0.999),
    );
    (0_usize..2, tiers, load, bounds).prop_map(
        |(tenant, tier, (low, more, peak_h), (floor, ceiling, objective))| Drawn {
            tenant,
            tier,
            low,
            high: low + more,
            peak_h,
            floor,
            ceiling,
            objective,
        },
    )
}

fn happenings() -> impl Strategy<Value = Happening> {
    let breakage = prop::option::of(prop::sample::select(unlawful()));
    prop_oneof![
        4 => (0..MODULES.len(), breakage).prop_map(|(m, b)| Happening::Break(m, b)),
        2 => (2.0..20.0).prop_map(Happening::Resize),
        1 => Just(Happening::Restart),
        2 => (0_usize..5, 100.0..2000.0).prop_map(|(api, more)| Happening::Burst(api, more)),
        1 => Just(Happening::Rebind),
    ]
}

/// Worlds of one or two tenants and up to five apis.
pub(crate) fn worlds() -> impl Strategy<Value = World> {
    let policies = (
        prop::sample::select(vec![None, Some("seasonal-naive")]),
        prop::sample::select(vec![None, Some("slo-tiers")]),
        prop::sample::select(vec![None, Some("proportional"), Some("waterfill")]),
    );
    (
        any::<u64>(),
        2.0..20.0,
        prop::option::of(1.0..8.0),
        prop::collection::vec(apis(), 1..5),
        policies,
        prop::collection::vec((0..World::STEPS, happenings()), 0..8),
    )
        .prop_map(|(seed, cores, quota, apis, policies, mut happenings)| {
            happenings.sort_by_key(|(step, _)| *step);
            World {
                seed,
                cores,
                quota,
                apis,
                forecaster: policies.0,
                tierer: policies.1,
                allocator: policies.2,
                happenings,
            }
        })
}

const TENANTS: [&str; 2] = ["bank", "shop"];

impl World {
    /// Steps that a world runs.
    pub(crate) const STEPS: u64 = 18;

    fn name(&self, i: usize) -> String {
        format!("{}/api{i}", TENANTS[self.apis[i].tenant])
    }

    /// Runs it from its start.
    pub(crate) fn run(&self) -> tidegate_harness::World {
        let mut builder = gate()
            .seed(self.seed)
            .history_days(1)
            .pool("edge", self.cores);
        // A quota is a tenant's, so there must be an api of it.
        if let Some(quota) = self.quota {
            builder = builder.quota(TENANTS[self.apis[0].tenant], quota);
        }
        for (i, api) in self.apis.iter().enumerate() {
            let name = self.name(i);
            builder = builder.api(&name, api.tier);
            // The catalog refuses a floor that the whole pool does not have.
            if let Some(floor) = api.floor {
                builder = builder.floor(floor.min(2.0));
            }
            if let Some(ceiling) = api.ceiling {
                builder = builder.ceiling(ceiling);
            }
            if let Some(objective) = api.objective {
                let slo = format!("{}/slo{i}", TENANTS[api.tenant]);
                builder = builder.slo(&slo, &name, objective);
            }
            let load = Load::day(api.low, api.high, api.peak_h * 3600).noise(0.1);
            builder = builder.feed(&name, load);
        }
        let bound = [
            ("forecasts", self.forecaster),
            ("tiers", self.tierer),
            ("shares", self.allocator),
        ];
        for (binding, module) in bound {
            if let Some(module) = module {
                builder = builder.policy(binding, native(module).expect("it is shipped"));
            }
        }
        let mut world = builder.start().expect("the drawn world makes sense");
        let mut left = self.happenings.iter().peekable();
        for step in 0..Self::STEPS {
            while let Some((_, happening)) = left.next_if(|(at, _)| *at <= step) {
                self.happen(&mut world, happening);
            }
            world.run_until(world.now().plus_steps(world.settings().step, 1));
        }
        world
    }

    fn happen(&self, world: &mut tidegate_harness::World, happening: &Happening) {
        match happening {
            Happening::Break(module, breakage) => world
                .set_breakage(MODULES[*module], *breakage)
                .expect("it is a module"),
            Happening::Resize(cores) => {
                let pool = world.catalog().pools.values().next().expect("a pool");
                let ready = Resources::NONE.with(Dimension::Cpu, *cores);
                let pool = Pool {
                    ready,
                    ..pool.value.clone()
                };
                world
                    .apply([Object::Pool(pool)])
                    .expect("floors are at most 2");
            }
            Happening::Restart => world.restart().expect("the store is whole"),
            Happening::Burst(api, more) => {
                let api = self.name(api % self.apis.len()).parse().expect("a name");
                let load = world.load(&api).cloned().expect("it is fed");
                let now = world.now();
                let load = load.burst(*more, now, now.plus_ms(20 * 60_000));
                world.feed(&api, load, None).expect("it is declared");
            }
            Happening::Rebind => {
                if let Some(name) = self.allocator {
                    let native = world.module(name).expect("it is bound");
                    let id = "shares".parse().expect("a name");
                    let bind = tidegate_harness::Bind::new(id, &native);
                    world.bind(bind).expect("an operator may");
                }
            }
        }
    }

    /// Mends everything that may be broken.
    pub(crate) fn mend(&self, world: &mut tidegate_harness::World) {
        for module in MODULES {
            world.set_breakage(module, None).expect("it is a module");
        }
        assert!(world.now() > day(1, 0, 0), "the world has run");
    }
}
