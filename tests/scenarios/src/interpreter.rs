//! The commands of a script, each one thing that an operator or the world does.
//!
//! What the gate refuses is part of the story and is printed; what the script misspells is an
//! error of the script. So commands give two kinds of failure: a line of output, or `Err`.

use crate::show;
use crate::words::{Words, parse, seconds, time_of_day, told};
use std::collections::BTreeMap;
use tidegate_core::catalog::template::{Field, GroupSlo, Template};
use tidegate_core::catalog::{Api, Mode, Object, Pool};
use tidegate_core::event::Event;
use tidegate_core::ids::{ApiId, BindingId, PoolId, TenantId};
use tidegate_core::life::{Gate, Promotion};
use tidegate_core::module::Selector;
use tidegate_core::slo::{Indicator, Judged, Slo};
use tidegate_core::tier::{Pin, Tier};
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::{Dimension, Level, Resources};
use tidegate_engine::By;
use tidegate_harness::{Bind, Breakage, HarnessError, Load, World};

/// Lines of output, or what is wrong with the command.
pub(crate) type Told = Result<Vec<String>, String>;

/// A world and what was already told of it.
#[derive(Debug, Default)]
pub(crate) struct Interpreter {
    world: World,
    journal: usize,
}

fn cores(amount: f64) -> Resources {
    Resources::NONE.with(Dimension::Cpu, amount)
}

fn tier(text: &str) -> Result<Tier, String> {
    Tier::parse(text).ok_or_else(|| format!("`{text}` is no tier: gold, silver or bronze"))
}

/// A tier, or `none`.
fn pin(text: Option<&str>) -> Result<Option<Pin>, String> {
    match text {
        Some("none") => Ok(Some(Pin::Free)),
        text => Ok(text.map(tier).transpose()?.map(Pin::At)),
    }
}

/// What the gate refused becomes a line; nothing is said where it did not.
fn outcome(result: Result<(), HarnessError>) -> Told {
    Ok(result
        .err()
        .map(|error| format!("refused: {error}"))
        .into_iter()
        .collect())
}

impl Interpreter {
    /// Does what a command says.
    pub(crate) fn execute(&mut self, command: &str) -> Told {
        let mut words = Words::of(command);
        let verb = words.next("a command")?;
        let lines = match verb {
            "world" => self.world(&mut words),
            "pool" => self.pool(&mut words),
            "tier" => self.tier(&mut words),
            "api" => self.api(&mut words),
            "slo" => self.slo(&mut words),
            "template" => self.template(&mut words),
            "event" => self.event(&mut words),
            "load" => self.load(&mut words),
            "burst" | "campaign" | "silence" => self.extra(verb, &mut words),
            "bind" => self.bind(&mut words),
            "rollback" => {
                let id: BindingId = words.value("a binding")?;
                outcome(self.world.rollback(&id))
            }
            "break" => {
                let (module, how) = (words.next("a module")?, words.next("how")?);
                let found = Breakage::ALL.iter().find(|(name, _)| *name == how);
                let (_, breakage) = found.ok_or_else(|| {
                    let names: Vec<&str> = Breakage::ALL.iter().map(|(n, _)| *n).collect();
                    format!("`{how}` is no breakage: {}", names.join(", "))
                })?;
                outcome(self.world.set_breakage(module, Some(*breakage)))
            }
            "shadow" => self.shadow(&mut words),
            "mend" => outcome(self.world.set_breakage(words.next("a module")?, None)),
            "restart" => outcome(self.world.restart()),
            "run" => {
                words.expect("to")?;
                let to = words.instant()?;
                self.world.run_until(to);
                Ok(vec![])
            }
            "watch" => self.watch(&mut words),
            "show" => self.show(&mut words),
            "why" => {
                let api: ApiId = words.value("an api")?;
                show::why(&self.world, &api)
            }
            other => Err(format!(
                "`{other}` is no command: world, pool, tier, api, slo, template, event, load, burst, campaign, \
                 silence, bind, rollback, shadow, break, mend, restart, run, watch, show, why"
            )),
        }?;
        words.done()?;
        Ok(lines.iter().map(|line| show::readable(line)).collect())
    }

    fn world(&mut self, words: &mut Words<'_>) -> Told {
        let mut settings = self.world.settings().clone();
        if let Some(text) = words.text("step") {
            settings.step = Step::from_secs(seconds(text)?).ok_or("no such step")?;
        }
        if let Some(text) = words.text("validity") {
            settings.validity_ms = i64::from(seconds(text)?) * 1000;
        }
        settings.plan_steps = words.option("plan")?.unwrap_or(settings.plan_steps);
        settings.horizon = words.option("horizon")?.unwrap_or(settings.horizon);
        settings.seed = words.option("seed")?.unwrap_or(settings.seed);
        self.world = World::new(settings, words.option("days")?.unwrap_or(2));
        self.journal = 0;
        Ok(vec![])
    }

    fn pool(&mut self, words: &mut Words<'_>) -> Told {
        let id: PoolId = words.value("a pool")?;
        let ready: f64 = words.value("cores")?;
        let mut quotas = BTreeMap::new();
        for (tenant, amount) in words.prefixed("quota:") {
            let tenant: TenantId = parse(tenant, "tenant")?;
            quotas.insert(tenant, cores(parse(amount, "quota")?));
        }
        self.world
            .declare_tenants(quotas.keys().cloned())
            .map_err(|e| e.to_string())?;
        outcome(self.world.apply([Object::Pool(Pool {
            id,
            ready: cores(ready),
            max: words.option("max")?.map_or(Resources::NONE, cores),
            min: Resources::NONE,
            lead_time_s: words.text("lead").map_or(Ok(0), seconds)?,
            unit_cost: Resources::NONE,
            quotas,
        })]))
    }

    fn tier(&mut self, words: &mut Words<'_>) -> Told {
        let mut spec = self.world.catalog().tier(tier(words.next("a tier")?)?);
        if let Some(text) = words.text("dwell") {
            spec.dwell_s = seconds(text)?;
        }
        if let Some(percent) = words.option::<f64>("level")? {
            spec.demand_level = Level::new((percent * 100.0) as u16).ok_or("no such level")?;
            spec.buy_level = tidegate_core::tier::TierSpec::default_buy(spec.demand_level);
        }
        spec.floor_of_expected = words.option("floor")?.unwrap_or(spec.floor_of_expected);
        spec.weight = words.option("weight")?.unwrap_or(spec.weight);
        spec.step_up = words.option("up")?.unwrap_or(spec.step_up);
        spec.step_down = words.option("down")?.unwrap_or(spec.step_down);
        let sharing = &mut spec.sharing;
        sharing.lends = words.option("lends")?.unwrap_or(sharing.lends);
        sharing.borrows = words.option("borrows")?.unwrap_or(sharing.borrows);
        sharing.max_share = words.option("share")?.unwrap_or(sharing.max_share);
        outcome(self.world.apply([Object::Tier(spec)]))
    }

    fn api(&mut self, words: &mut Words<'_>) -> Told {
        let id: ApiId = words.value("an api")?;
        let labels = words.prefixed("label:").into_iter();
        let labels = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        // `open` leaves to the templates what is not said here.
        let (base_tier, mut open) = match words.next("a tier, or `open`")? {
            "open" => (Tier::Bronze, Field::ALL.map(|field| (field, None)).into()),
            text => (tier(text)?, BTreeMap::new()),
        };
        let pinned = pin(words.text("pin"))?;
        if pinned.is_some() {
            open.remove(&Field::PinnedTier);
        }
        let bound = |text: Option<&str>, or: Tier| text.map_or(Ok(or), tier);
        let amount = |o: Option<f64>| o.map_or(Resources::NONE, cores);
        let pool = match words.option("pool")? {
            Some(pool) => pool,
            None => {
                let first = self.world.catalog().pools.keys().next();
                first.cloned().ok_or("declare a pool first")?
            }
        };
        let api = Api {
            pool,
            labels,
            category: "web".into(),
            mode: Mode::Enforce,
            base_tier,
            lowest_tier: bound(words.text("lowest"), Tier::Bronze)?,
            highest_tier: bound(words.text("highest"), Tier::Gold)?,
            pinned_tier: pinned.and_then(Pin::tier),
            weight: words.option("weight")?.unwrap_or(1.0),
            floor: amount(words.option("floor")?),
            ceiling: amount(words.option("ceiling")?),
            safe: amount(words.option("safe")?),
            expected: words.option("expected")?,
            time_zone: "UTC".into(),
            open,
            id,
        };
        self.world
            .declare_tenants([api.id.tenant.clone()])
            .map_err(|e| e.to_string())?;
        outcome(self.world.apply([Object::Api(api)]))
    }

    fn slo(&mut self, words: &mut Words<'_>) -> Told {
        let id = words.value("a name")?;
        words.expect("of")?;
        let api: ApiId = words.value("an api")?;
        let objective = words
            .option("objective")?
            .ok_or("`objective=` is missing")?;
        outcome(self.world.apply([Object::Slo(Slo {
            id,
            api,
            indicator: Indicator::Availability,
            objective,
            window_s: 30 * 86_400,
            template: None,
        })]))
    }

    /// A template, whose SLOs are written `slo:NAME=OBJECTIVE`, and `together:NAME=OBJECTIVE` where they
    /// are judged over the group.
    fn template(&mut self, words: &mut Words<'_>) -> Told {
        let amount = |o: Option<f64>| o.map(cores);
        let bound = |text: Option<&str>| text.map(tier).transpose();
        let id = words.value("a name")?;
        let labels = words.prefixed("label:").into_iter();
        let mut slos = Vec::new();
        for (prefix, judged) in [("slo:", Judged::Each), ("together:", Judged::Together)] {
            for (name, objective) in words.prefixed(prefix) {
                slos.push(GroupSlo {
                    name: parse(name, "name")?,
                    indicator: Indicator::Availability,
                    objective: parse(objective, "objective")?,
                    window_s: 30 * 86_400,
                    judged,
                });
            }
        }
        outcome(self.world.apply([Object::Template(Template {
            id,
            selector: Selector {
                tenant: words.option("tenant")?,
                labels: labels.map(|(k, v)| (k.into(), v.into())).collect(),
                ..Selector::default()
            },
            mode: None,
            base_tier: bound(words.text("tier"))?,
            lowest_tier: bound(words.text("lowest"))?,
            highest_tier: bound(words.text("highest"))?,
            pinned_tier: pin(words.text("pin"))?,
            weight: words.option("weight")?,
            floor: amount(words.option("floor")?),
            ceiling: amount(words.option("ceiling")?),
            safe: None,
            time_zone: None,
            slos,
        })]))
    }

    fn event(&mut self, words: &mut Words<'_>) -> Told {
        let id = words.value("a name")?;
        let (start, until) = words.span()?;
        let every_s = words.text("every").map(seconds).transpose()?;
        let apis = words.text("apis").unwrap_or_default().split(',');
        let apis = apis.filter(|a| !a.is_empty()).map(|a| parse(a, "api"));
        let apis: Vec<ApiId> = apis.collect::<Result<_, _>>()?;
        let kind = words.text("kind").unwrap_or("campaign");
        let lasts = u32::try_from(until.since_ms(start) / 1000).map_err(|e| e.to_string())?;
        outcome(self.world.apply([Object::Event(Event {
            apis,
            every_s,
            minimum_uplift: words.option("uplift")?,
            ..Event::once(id, kind, start, lasts)
        })]))
    }

    fn load(&mut self, words: &mut Words<'_>) -> Told {
        let api: ApiId = words.value("an api")?;
        let load = match words.next("flat, day or ramp")? {
            "flat" => Load::flat(words.value("requests/s")?),
            "day" => {
                let (low, high) = (words.value("low")?, words.value("high")?);
                let peak = words.text("peak").map_or(Ok(12 * 3600), time_of_day)?;
                Load::day(low, high, peak)
            }
            "ramp" => {
                let (from, to) = (words.value("from")?, words.value("to")?);
                let (start, until) = words.span()?;
                Load::ramp(from, to, start, until)
            }
            other => return Err(format!("`{other}` is no load: flat, day or ramp")),
        };
        let load = load.noise(words.option("noise")?.unwrap_or(0.0));
        outcome(self.world.feed(&api, load, words.option("cost")?))
    }

    fn extra(&mut self, verb: &str, words: &mut Words<'_>) -> Told {
        let api: ApiId = words.value("an api")?;
        let load = self.world.load(&api).cloned();
        let load = load.ok_or_else(|| format!("{api} has no load yet"))?;
        let load = match verb {
            "burst" => {
                let more = words.value("requests/s")?;
                let (from, until) = words.span()?;
                load.burst(more, from, until)
            }
            "campaign" => {
                let factor = words.value("a factor")?;
                let (from, until) = words.span()?;
                load.campaign(factor, from, until)
            }
            _ => {
                let (from, until) = words.span()?;
                load.silent(from, until)
            }
        };
        outcome(self.world.feed(&api, load, None))
    }

    fn bind(&mut self, words: &mut Words<'_>) -> Told {
        let id: BindingId = words.value("a binding")?;
        let name = words.next("a module")?;
        let native = match self.world.module(name) {
            Ok(native) => native,
            Err(error) => return outcome(Err(error)),
        };
        let mut bind = Bind::new(id, &native);
        if let Some(pool) = words.option("pool")? {
            bind = bind.pool(pool);
        }
        if let Some(tenant) = words.option("tenant")? {
            bind = bind.tenant(tenant);
        }
        if let Some(config) = words.text("config") {
            bind = bind.config(config);
        }
        match words.text("by") {
            None | Some("operator") => {}
            Some("itself") => bind = bind.by(By::Itself),
            Some(other) => return Err(format!("`by={other}`: operator or itself")),
        }
        outcome(self.world.bind(bind))
    }

    /// Puts a module in shadow of a binding; the binding's gate is declared with it.
    fn shadow(&mut self, words: &mut Words<'_>) -> Told {
        let id: BindingId = words.value("a binding")?;
        let module = words.next("a module")?;
        let fallback = Gate::default();
        let span = |text: Option<&str>, or: u32| text.map_or(Ok(or), seconds);
        let gate = Gate {
            promote: match words.text("promote") {
                None | Some("automatic") => Promotion::Automatic,
                Some("manual") => Promotion::Manual,
                Some(other) => return Err(format!("`promote={other}`: automatic or manual")),
            },
            margin: words.option("margin")?.unwrap_or(fallback.margin),
            min_duration_s: span(words.text("min"), fallback.min_duration_s)?,
            max_duration_s: span(words.text("max"), fallback.max_duration_s)?,
            watch_s: span(words.text("watch"), fallback.watch_s)?,
            ..fallback
        };
        let config = words.text("config").unwrap_or("{}");
        outcome(self.world.shadow(&id, module, config, gate))
    }

    /// Runs on and prints, now and then, what every api of a pool uses and may use.
    fn watch(&mut self, words: &mut Words<'_>) -> Told {
        let pool: PoolId = words.value("a pool")?;
        words.expect("to")?;
        let to = words.instant()?;
        let every = words.text("every").map_or(Ok(1800), seconds)?;
        let every = i64::from(every) * 1000;
        let mut course = show::Course::new(&self.world, &pool);
        while self.world.now() < to {
            let next = self.world.now().plus_ms(every);
            let next = Timestamp(next.0 - next.0.rem_euclid(every)).min(to);
            self.world.run_until(next);
            course.note(&self.world);
        }
        Ok(course.lines())
    }

    fn show(&mut self, words: &mut Words<'_>) -> Told {
        match words.next("what to show")? {
            "plan" => {
                let pool = words.next("a pool")?;
                let at = if words.take("at") {
                    words.instant()?
                } else {
                    self.world.now()
                };
                show::plan(&self.world, pool, at)
            }
            "grants" => show::grants(&self.world, &words.value("a pool")?),
            "forecast" => show::forecast(&self.world, &words.value("an api")?),
            "alerts" => Ok(show::alerts(&self.world)),
            "slots" => Ok(show::slots(&self.world)),
            "trials" => Ok(show::trials(&self.world)),
            "refusals" => Ok(show::refusals(&self.world)),
            "digest" => show::digest(&self.world, words.next("a pool")?),
            "journal" => {
                let fresh = &self.world.journal()[self.journal..];
                let lines = fresh.iter().map(|n| format!("{}  {}", told(n.at), n.text));
                let lines: Vec<String> = lines.collect();
                self.journal = self.world.journal().len();
                Ok(show::or(lines, "nothing happened"))
            }
            other => Err(format!(
                "`{other}` cannot be shown: plan, grants, forecast, alerts, slots, trials, refusals, digest, journal"
            )),
        }
    }
}
