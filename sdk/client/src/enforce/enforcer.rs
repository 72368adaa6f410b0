//! Watches the daemon and drives the [`Machine`].
//!
//! Plans are made for every api of a pool, also for those that are only observed or recommended for:
//! the enforcer asks the catalog which these are whenever it hears something, and leaves them alone.

use super::machine::{Directive, Machine};
use crate::Client;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tidegate_proto::v1;
use tonic::{Code, Status, Streaming};

/// How long a report may take: it must never hold up a fallback.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest sleep: the clock that was given need not run as the runtime's does.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// Puts a directive in force; the same one may come again after an error.
pub trait Apply {
    /// # Errors
    /// What went wrong; the directive stays due and comes again.
    fn apply(&mut self, directive: &Directive) -> Result<(), String>;
}

impl<F: FnMut(&Directive) -> Result<(), String>> Apply for F {
    fn apply(&mut self, directive: &Directive) -> Result<(), String> {
        self(directive)
    }
}

/// The caller's clock, in milliseconds. It need not be right, only steady: the daemon's time comes
/// with its answers.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What is enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watch {
    /// Every api of a pool, by its plans.
    Pool(String),
    /// One api (TENANT/NAME), by its grant.
    Api(String),
}

/// How.
#[derive(Clone)]
pub struct EnforcerOptions {
    /// What is enforced.
    pub watch: Watch,
    /// By whom, as reports name it, for example `envoy-1`.
    pub actuator: String,
    /// The caller's clock.
    pub clock: Clock,
    /// Wait before a watch is opened again.
    pub backoff: Duration,
}

impl fmt::Debug for EnforcerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnforcerOptions")
            .field("watch", &self.watch)
            .field("actuator", &self.actuator)
            .finish_non_exhaustive()
    }
}

enum Update {
    Clock(i64),
    Plan(Box<v1::Plan>),
    Grant(Box<v1::Grant>, i64),
}

enum Messages {
    Plans(Streaming<v1::WatchPlansResponse>),
    Grants(Streaming<v1::WatchGrantResponse>),
}

type Opening = Pin<Box<dyn Future<Output = Result<(Messages, i64), Status>> + Send>>;

/// A watch that is opened, or open. Waiting for it may be given up at any moment without loss.
enum Feed {
    Opening(Opening),
    Open(Box<Messages>),
}

/// See the module.
pub struct Enforcer<A> {
    client: Client,
    options: EnforcerOptions,
    apply: A,
    machine: Machine,
    /// The newest generation that was heard; a watch of plans goes on after it.
    last_generation: Option<u64>,
    /// Reports that the daemon has not heard yet, the newest per api.
    unreported: BTreeMap<String, v1::AppliedReport>,
    /// Apis whose owners asked that nobody acts: plans are made for them and not applied.
    passive: BTreeSet<String>,
}

impl<A> fmt::Debug for Enforcer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enforcer")
            .field("options", &self.options)
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}

impl<A: Apply> Enforcer<A> {
    /// An enforcer that holds nothing yet.
    pub fn new(client: Client, options: EnforcerOptions, apply: A) -> Self {
        Self {
            client,
            options,
            apply,
            machine: Machine::default(),
            last_generation: None,
            unreported: BTreeMap::new(),
            passive: BTreeSet::new(),
        }
    }

    /// What it holds and what is in force.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Enforces until `stop` completes. A silent or absent daemon is no error: what is held runs
    /// out into the safe capacity, and the watch is opened again and again.
    ///
    /// # Errors
    /// The daemon's refusal, where trying again is useless: no such pool or api, or no right to it.
    pub async fn run(&mut self, stop: impl Future<Output = ()>) -> Result<(), Status> {
        let mut stop = std::pin::pin!(stop);
        let mut feed = Feed::Opening(self.open(Duration::ZERO));
        loop {
            self.enforce();
            let own = (self.options.clock)();
            let wait = self.machine.next_change(own).map_or(LONGEST_SLEEP, |at| {
                let wait = u64::try_from(at.saturating_sub(own)).unwrap_or(0).max(1);
                Duration::from_millis(wait).min(LONGEST_SLEEP)
            });
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                update = feed.next() => match update {
                    Ok(update) => {
                        self.learn_modes().await;
                        self.hear(update);
                        self.enforce();
                        self.report().await;
                    }
                    Err(status) if is_final(status.code()) => return Err(status),
                    Err(_) => feed = Feed::Opening(self.open(self.options.backoff)),
                },
                () = tokio::time::sleep(wait) => {
                    self.enforce();
                    // A dead daemon hears nothing; the report waits for the next that lives.
                    if matches!(feed, Feed::Open(_)) {
                        self.report().await;
                    }
                }
            }
        }
    }

    fn hear(&mut self, update: Update) {
        let own = (self.options.clock)();
        match update {
            Update::Clock(server) => self.machine.sync(server, own),
            Update::Plan(mut plan) => {
                let (active, passive) = plan
                    .apis
                    .into_iter()
                    .partition(|a| in_force(a.mode()) && !self.passive.contains(&a.api));
                plan.apis = active;
                let passive: Vec<v1::ApiPlan> = passive;
                passive.iter().for_each(|a| self.machine.release(&a.api));
                self.last_generation = self.last_generation.max(Some(plan.generation));
                self.machine.hear_plan(&plan);
            }
            Update::Grant(grant, server) => {
                self.machine.sync(server, own);
                if in_force(grant.mode()) && !self.passive.contains(&grant.api) {
                    self.machine.hear_grant(*grant);
                } else {
                    self.machine.release(&grant.api);
                }
            }
        }
    }

    /// Learns which apis are observed or recommended for only. What cannot be learnt now stays as it
    /// was: a slow catalog must not delay a grant.
    async fn learn_modes(&mut self) {
        let listing = tokio::time::timeout(REPORT_TIMEOUT, passive_apis(&self.client));
        if let Ok(Ok(passive)) = listing.await {
            passive.iter().for_each(|api| self.machine.release(api));
            self.passive = passive;
        }
    }

    fn enforce(&mut self) {
        let own = (self.options.clock)();
        for directive in self.machine.due(own) {
            if self.apply.apply(&directive).is_err() {
                continue;
            }
            let report = v1::AppliedReport {
                api: directive.api.clone(),
                generation: directive.generation,
                at_ms: self.machine.now(own),
                actuator: self.options.actuator.clone(),
                limit: Some(directive.limit),
                safe: directive.safe,
            };
            self.unreported.insert(directive.api.clone(), report);
            self.machine.applied(directive);
        }
    }

    async fn report(&mut self) {
        let mut plans = self.client.plans();
        while let Some((api, report)) = self.unreported.first_key_value() {
            let api = api.clone();
            let request = v1::ReportAppliedRequest {
                report: Some(report.clone()),
            };
            let call = plans.report_applied(request);
            match tokio::time::timeout(REPORT_TIMEOUT, call).await {
                // A report that is refused once is refused again: only unreachability keeps it.
                Ok(Ok(_)) => {}
                Ok(Err(status)) if is_final(status.code()) => {}
                Ok(Err(_)) | Err(_) => return,
            }
            self.unreported.remove(&api);
        }
    }

    fn open(&self, after: Duration) -> Opening {
        let (client, watch) = (self.client.clone(), self.options.watch.clone());
        let after_generation = self.last_generation;
        Box::pin(async move {
            tokio::time::sleep(after).await;
            let now = client
                .clock()
                .now(v1::NowRequest {})
                .await?
                .into_inner()
                .now_ms;
            let messages = match watch {
                Watch::Pool(pool) => {
                    let request = v1::WatchPlansRequest {
                        pool,
                        after_generation,
                    };
                    Messages::Plans(client.plans().watch_plans(request).await?.into_inner())
                }
                Watch::Api(api) => {
                    let request = v1::WatchGrantRequest { api };
                    Messages::Grants(client.limits().watch_grant(request).await?.into_inner())
                }
            };
            Ok((messages, now))
        })
    }
}

impl Feed {
    async fn next(&mut self) -> Result<Update, Status> {
        let ended = || Status::unavailable("the daemon ended the watch");
        match self {
            Feed::Opening(opening) => {
                let (messages, now) = opening.await?;
                *self = Feed::Open(Box::new(messages));
                Ok(Update::Clock(now))
            }
            Feed::Open(messages) => match messages.as_mut() {
                Messages::Plans(plans) => {
                    let plan = plans.message().await?.and_then(|m| m.plan);
                    Ok(Update::Plan(Box::new(plan.ok_or_else(ended)?)))
                }
                Messages::Grants(grants) => {
                    let message = grants.message().await?.ok_or_else(ended)?;
                    let grant = message.grant.ok_or_else(ended)?;
                    Ok(Update::Grant(Box::new(grant), message.now_ms))
                }
            },
        }
    }
}

async fn passive_apis(client: &Client) -> Result<BTreeSet<String>, Status> {
    let mut catalog = client.catalog();
    let mut passive = BTreeSet::new();
    let mut page_token = String::new();
    loop {
        let kind = v1::ObjectKind::Api.into();
        let request = v1::ListObjectsRequest {
            kind,
            page_size: 1000,
            page_token,
        };
        let page = catalog.list(request).await?.into_inner();
        for object in page.objects.into_iter().filter_map(|o| o.object?.object) {
            if let v1::object::Object::Api(api) = object
                && !in_force(api.mode())
            {
                passive.insert(api.name);
            }
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(passive);
        }
    }
}

/// Whether what is granted is to be put in force: an api may be observed or advised only.
fn in_force(mode: v1::Mode) -> bool {
    !matches!(mode, v1::Mode::Observe | v1::Mode::Recommend)
}

/// Whether the same watch would fail again.
fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented
    )
}
