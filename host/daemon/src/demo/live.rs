//! The days themselves: three worlds of the same services, one of them under Tidegate.

use super::draw::Screen;
use super::prober::Prober;
use super::setup::{bind, id};
use super::traces::{DAY, HISTORY, START_MS, STEP_S, Traces};
use super::wire::{Feed, advance};
use super::{Options, POOL, POOL_CORES};
use crate::clock::stopwatch;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use tidegate_client::sim::{
    Grant, Observation, Reactive, Scoreboard, Service, Surplus, static_split,
};
use tidegate_proto::v1::{self, plans_client::PlansClient};
use tonic::Streaming;
use tonic::transport::Channel;

/// One swap under load.
#[derive(Debug, Clone)]
pub(crate) struct Swap {
    /// The binding.
    pub(crate) binding: String,
    /// Who serves now.
    pub(crate) module: String,
    /// Seconds from the call to its answer, states prepared.
    pub(crate) seconds: f64,
    /// Calls of other clients that were answered meanwhile.
    pub(crate) answered: u64,
    /// Calls of other clients that failed meanwhile.
    pub(crate) failed: u64,
}

/// What happened, for the summary.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// First plan of the live days.
    pub(crate) first_generation: u64,
    /// Start of the live days.
    pub(crate) live_ms: i64,
    /// `[api][step]` of the live days under Tidegate.
    pub(crate) seen: Vec<Vec<Observation>>,
    /// Missed objectives under Tidegate, before and after the swap.
    pub(crate) shaped: [Scoreboard; 2],
    /// Under a static split by the week's mean use.
    pub(crate) fixed: [Scoreboard; 2],
    /// Under a reactive autoscaler's law.
    pub(crate) reactive: [Scoreboard; 2],
    /// Forecaster and allocator of each half.
    pub(crate) policies: [String; 2],
    /// The swaps.
    pub(crate) swaps: Vec<Swap>,
    /// Samples that the daemon acknowledged.
    pub(crate) samples: u64,
    /// Grants that the enforcer put in force and reported.
    pub(crate) applied: u64,
}

/// One world: the services under some division of the pool.
struct World {
    services: Vec<Service>,
    /// Before and after the swap.
    boards: [Scoreboard; 2],
}

impl World {
    fn new(traces: &Traces, seed: u64) -> Result<Self> {
        let services = traces
            .apis
            .iter()
            .map(|a| Service::new(a.spec.clone(), seed))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            services,
            boards: Default::default(),
        })
    }

    /// Lives through step `i` of the traces.
    fn step(&mut self, traces: &Traces, i: usize, cores: &[f64], count: Count) -> Vec<Observation> {
        let mut seen = vec![];
        for (a, service) in self.services.iter_mut().enumerate() {
            let api = &traces.apis[a];
            let next = api.rates.get(i + 1).copied().unwrap_or(api.rates[i]);
            let observation = service.step(api.rates[i], next, STEP_S, Grant::of_cores(cores[a]));
            match count {
                Count::Before => {
                    self.boards[0].record(&api.name, api.promise, cores[a], &observation)
                }
                Count::After => {
                    self.boards[1].record(&api.name, api.promise, cores[a], &observation)
                }
                Count::Not => {}
            }
            seen.push(observation);
        }
        seen
    }
}

/// On which board a step counts.
#[derive(Clone, Copy)]
enum Count {
    Not,
    Before,
    After,
}

/// Plays history and live days.
pub(crate) async fn play(
    channel: &Channel,
    traces: &Traces,
    options: &Options,
    screen: &mut Screen,
) -> Result<Outcome> {
    let mut worlds = [
        World::new(traces, options.seed)?,
        World::new(traces, options.seed)?,
        World::new(traces, options.seed)?,
    ];
    let mut feed = Feed::open(channel, &traces.apis).await?;
    let week = history(channel, traces, &mut worlds, &mut feed, screen).await?;
    let live_ms = START_MS + (HISTORY as i64) * i64::from(STEP_S) * 1000;

    // What an operator would set by hand: shares by the week's mean use, once.
    let fixed = static_split(POOL_CORES, &week);
    let law = Reactive {
        capacity: POOL_CORES,
        target_utilisation: 0.7,
        floor: 0.1,
        surplus: Surplus::Spread,
    };
    let mut reactive = fixed.clone();

    let mut enforcer = Enforcer::watch(channel).await?;
    let mut outcome = Outcome {
        first_generation: enforcer.generation,
        live_ms,
        seen: vec![vec![]; traces.apis.len()],
        shaped: Default::default(),
        fixed: Default::default(),
        reactive: Default::default(),
        policies: [options.first.join(" + "), options.then.join(" + ")],
        swaps: vec![],
        samples: 0,
        applied: 0,
    };
    let steps = (options.days as usize * DAY).min(traces.len() - HISTORY);
    for n in 0..steps {
        let i = HISTORY + n;
        let now_ms = live_ms + (n as i64) * i64::from(STEP_S) * 1000;
        if n == steps / 2 {
            for (binding, module) in super::BINDINGS.iter().zip(&options.then) {
                let swap = swap_under_load(channel, traces, binding, module).await?;
                screen.say(&format!(
                    "{binding} now serves {} ({:.2} s, {} calls meanwhile, {} dropped)",
                    swap.module, swap.seconds, swap.answered, swap.failed
                ));
                outcome.swaps.push(swap);
            }
        }
        let count = if n < steps / 2 {
            Count::Before
        } else {
            Count::After
        };
        let cores: Vec<f64> = traces
            .apis
            .iter()
            .map(|a| enforcer.cores(&id(&a.name)))
            .collect();
        let seen = worlds[0].step(traces, i, &cores, count);
        worlds[1].step(traces, i, &fixed, count);
        let lagging = worlds[2].step(traces, i, &reactive, count);
        reactive = law.next(
            &lagging
                .iter()
                .map(Observation::mean_cores)
                .collect::<Vec<_>>(),
        );
        screen.step(traces, n, steps, &cores, &seen);

        let columns: Vec<Vec<Observation>> = seen.iter().map(|s| vec![s.clone()]).collect();
        feed.send(now_ms, &columns).await?;
        for (all, new) in outcome.seen.iter_mut().zip(seen) {
            all.push(new);
        }
        let next_ms = now_ms + i64::from(STEP_S) * 1000;
        advance(channel, next_ms).await?;
        enforcer.follow(next_ms).await?;
    }
    let [shaped, fixed, reactive] = worlds.map(|w| w.boards);
    outcome.samples = feed.stored;
    outcome.applied = enforcer.applied;
    Ok(Outcome {
        shaped,
        fixed,
        reactive,
        ..outcome
    })
}

/// The week before: every service on as much as it wants. Returns mean cores per api.
async fn history(
    channel: &Channel,
    traces: &Traces,
    worlds: &mut [World; 3],
    feed: &mut Feed,
    screen: &mut Screen,
) -> Result<Vec<f64>> {
    let plenty = vec![2.0 * POOL_CORES; traces.apis.len()];
    let mut used = vec![0.0; traces.apis.len()];
    for day in 0..HISTORY / DAY {
        let mut columns: Vec<Vec<Observation>> = vec![vec![]; traces.apis.len()];
        for i in day * DAY..(day + 1) * DAY {
            for (w, world) in worlds.iter_mut().enumerate() {
                let seen = world.step(traces, i, &plenty, Count::Not);
                if w == 0 {
                    for (a, observation) in seen.into_iter().enumerate() {
                        used[a] += observation.mean_cores() / HISTORY as f64;
                        columns[a].push(observation);
                    }
                }
            }
        }
        feed.send(
            START_MS + (day * DAY) as i64 * i64::from(STEP_S) * 1000,
            &columns,
        )
        .await?;
        screen.say(&format!(
            "history: day {} of {} is stored",
            day + 1,
            HISTORY / DAY
        ));
    }
    // The clock jumps to the first live step: every series is fitted, and the first plan is made.
    advance(
        channel,
        START_MS + (HISTORY as i64) * i64::from(STEP_S) * 1000,
    )
    .await?;
    Ok(used)
}

async fn swap_under_load(
    channel: &Channel,
    traces: &Traces,
    binding: &str,
    module: &str,
) -> Result<Swap> {
    let names: Vec<String> = traces.apis.iter().map(|a| a.name.clone()).collect();
    let prober = Prober::start(channel, &names);
    let clock = stopwatch();
    let slot = bind(channel, binding, module).await?;
    let seconds = clock.elapsed().as_secs_f64();
    // A little longer than the swap itself, so that calls that began before it are counted too.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let (answered, failed) = prober.stop().await?;
    let active = slot.active.unwrap_or_default();
    Ok(Swap {
        binding: binding.into(),
        module: format!("{} {}", active.name, active.version),
        seconds,
        answered,
        failed,
    })
}

/// Holds the plan that is in force, as an enforcer beside the services would.
struct Enforcer {
    client: PlansClient<Channel>,
    plans: Streaming<v1::WatchPlansResponse>,
    plan: v1::Plan,
    generation: u64,
    applied: u64,
}

impl Enforcer {
    async fn watch(channel: &Channel) -> Result<Self> {
        let mut client = PlansClient::new(channel.clone()).max_decoding_message_size(64 << 20);
        let request = v1::WatchPlansRequest {
            pool: POOL.into(),
            after_generation: None,
        };
        let mut plans = client.watch_plans(request).await?.into_inner();
        let first = plans
            .message()
            .await?
            .and_then(|m| m.plan)
            .context("the daemon made no plan of the history")?;
        let generation = first.generation;
        let mut enforcer = Self {
            client,
            plans,
            plan: first,
            generation,
            applied: 0,
        };
        enforcer.report().await?;
        Ok(enforcer)
    }

    /// Waits for the plan that holds from `now_ms` on, applies it, and reports so.
    async fn follow(&mut self, now_ms: i64) -> Result<()> {
        while self.plan.made_at_ms < now_ms {
            let next =
                tokio::time::timeout(std::time::Duration::from_secs(30), self.plans.message())
                    .await;
            let next = next
                .context("no plan came within 30 s")??
                .and_then(|m| m.plan)
                .context("the watch ended")?;
            self.generation = next.generation;
            self.plan = next;
        }
        self.report().await
    }

    async fn report(&mut self) -> Result<()> {
        let apis: BTreeMap<String, f64> = self
            .plan
            .apis
            .iter()
            .map(|a| (a.api.clone(), self.cores(&a.api)))
            .collect();
        for (api, cores) in apis {
            let report = v1::AppliedReport {
                api,
                generation: self.generation,
                at_ms: self.plan.made_at_ms,
                actuator: "demo".into(),
                limit: Some(v1::Resources {
                    cpu: Some(cores),
                    ..v1::Resources::default()
                }),
                safe: false,
            };
            self.client
                .report_applied(v1::ReportAppliedRequest {
                    report: Some(report),
                })
                .await?;
            self.applied += 1;
        }
        Ok(())
    }

    /// Cores of an api in the plan's first step (the pool has one dimension).
    fn cores(&self, api: &str) -> f64 {
        self.plan
            .apis
            .iter()
            .find(|a| a.api == api)
            .and_then(|a| a.limit.first().copied())
            .unwrap_or(0.0)
    }
}
