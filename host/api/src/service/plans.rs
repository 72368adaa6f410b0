//! Plans over the wire, and the watch that resumes by generation.
//!
//! A watch is a place in a pool's sequence of plans. It catches up plan by plan on what was there
//! when it began; from then on, a watcher that falls more than a few plans behind is moved to the
//! newest and told how many it missed: an enforcer wants the plan that counts, an auditor reads the
//! ledger. What wakes it carries no plan; it reads the sequence again.

use super::Shared;
use crate::auth::caller;
use crate::convert::plans::{grant_out, plan_out, report, report_out};
use crate::convert::words::id;
use crate::pull::{Pull, Wake, closing};
use crate::scope;
use crate::status::{Problems, status};
use std::sync::Arc;
use tidegate_core::access::Principal;
use tidegate_core::ids::{ApiId, Generation, PoolId};
use tidegate_core::plan::Plan;
use tidegate_core::ports::serve::{Gate, ServeError};
use tidegate_core::time::Timestamp;
use tidegate_proto::v1;
use tidegate_proto::v1::plans_server::Plans;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl Plans for Shared {
    async fn get_plan(
        &self,
        request: Request<v1::GetPlanRequest>,
    ) -> Result<Response<v1::GetPlanResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut problems = Problems::default();
        let pool = id::<PoolId>(&request.pool, "pool", &mut problems);
        let pool = problems.finish(pool)?;
        let generation = request.generation.map(Generation);
        let asker = caller.clone();
        let plan = self.blocking(move |gate| {
            scope::visible_pool(gate, &asker, &pool)?;
            gate.plan(&asker, &pool, generation)
        });
        Ok(Response::new(v1::GetPlanResponse {
            plan: Some(plan_out(&caller, &*plan.await?, |api| self.gate.mode(api))),
        }))
    }

    async fn list_pools(
        &self,
        request: Request<v1::ListPoolsRequest>,
    ) -> Result<Response<v1::ListPoolsResponse>, Status> {
        let caller = caller(&request)?;
        let pools = self.gate.pools(&caller).into_iter();
        let pools = pools.map(|(pool, generation)| v1::PoolPlan {
            pool: pool.to_string(),
            generation: generation.0,
        });
        Ok(Response::new(v1::ListPoolsResponse {
            pools: pools.collect(),
        }))
    }

    type WatchPlansStream = Pull<Watch, v1::WatchPlansResponse>;

    async fn watch_plans(
        &self,
        request: Request<v1::WatchPlansRequest>,
    ) -> Result<Response<Self::WatchPlansStream>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut problems = Problems::default();
        let pool = id::<PoolId>(&request.pool, "pool", &mut problems);
        let pool = problems.finish(pool)?;
        let newest = newest(&*self.gate, &caller, &pool).map_err(status)?;
        let sent = match request.after_generation {
            None => newest.0.saturating_sub(1),
            Some(after) if after <= newest.0 => after,
            Some(after) => {
                let text = format!(
                    "pool {pool} stands at generation {newest}, before the {after} that you have \
                     seen: its ledger was replaced; watch again without `after_generation`"
                );
                return Err(status(ServeError::Precondition(text)));
            }
        };
        let watch = Watch {
            shared: self.clone(),
            wake: self.wake.clone(),
            caller,
            pool,
            sent: Generation(sent),
            catch_up: newest,
        };
        Ok(Response::new(Pull::new(watch, |mut watch| {
            Box::pin(async move { (watch.next().await, watch) })
        })))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut problems = Problems::default();
        let api = id::<ApiId>(&request.api, "api", &mut problems);
        let api = problems.finish(api)?;
        scope::visible(&caller, "api", &api).map_err(status)?;
        let at = request.at_ms.map(Timestamp);
        let asker = caller.clone();
        let why = self
            .blocking(move |gate| gate.explain(&asker, &api, at))
            .await?;
        Ok(Response::new(v1::ExplainResponse {
            grant: Some(grant_out(&caller, why.grant, why.mode)),
            sentences: why.sentences,
            inputs: why.inputs.to_string(),
        }))
    }

    async fn report_applied(
        &self,
        request: Request<v1::ReportAppliedRequest>,
    ) -> Result<Response<v1::ReportAppliedResponse>, Status> {
        let caller = caller(&request)?;
        let mut problems = Problems::default();
        let report = report(request.into_inner().report, &mut problems);
        let report = problems.finish(report)?;
        scope::visible(&caller, "api", &report.api).map_err(status)?;
        self.blocking(move |gate| gate.report_applied(&caller, report))
            .await?;
        Ok(Response::new(v1::ReportAppliedResponse {}))
    }

    async fn list_applied(
        &self,
        request: Request<v1::ListAppliedRequest>,
    ) -> Result<Response<v1::ListAppliedResponse>, Status> {
        let caller = caller(&request)?;
        let mut reports = self.gate.applied(&caller);
        reports.retain(|r| caller.sees(&r.api.tenant));
        Ok(Response::new(v1::ListAppliedResponse {
            reports: reports.into_iter().map(report_out).collect(),
        }))
    }
}

/// The newest generation of a pool, 0 when it has no plan yet.
fn newest(gate: &dyn Gate, caller: &Principal, pool: &PoolId) -> Result<Generation, ServeError> {
    let newest = gate.newest(caller, pool);
    newest.ok_or_else(|| scope::absent("pool", pool.as_str()))
}

/// A place in a pool's sequence of plans.
pub(crate) struct Watch {
    shared: Shared,
    wake: Wake,
    caller: Arc<Principal>,
    pool: PoolId,
    /// The newest plan that the watcher has.
    sent: Generation,
    /// Up to here, every plan is sent however far behind the watcher is.
    catch_up: Generation,
}

impl Watch {
    async fn next(&mut self) -> Result<v1::WatchPlansResponse, Status> {
        loop {
            if self.wake.is_closing() {
                return Err(closing());
            }
            self.wake.seen();
            let newest = newest(&*self.shared.gate, &self.caller, &self.pool).map_err(status)?;
            if newest > self.sent {
                let skipped_from = self.sent;
                let plan = self.read(newest).await?;
                // Where even the newest cannot be read, its caller sees none of its rows: go on.
                self.sent = plan.as_ref().map_or(newest, |p| p.generation);
                if let Some(plan) = plan {
                    return Ok(v1::WatchPlansResponse {
                        plan: Some(plan_out(&self.caller, &plan, |api| {
                            self.shared.gate.mode(api)
                        })),
                        skipped: plan.generation.0.saturating_sub(skipped_from.0 + 1),
                    });
                }
            } else {
                self.wake.changed().await?;
            }
        }
    }

    /// The plan that comes next: the one after the last, or the oldest that is left, or the newest
    /// for a watcher that is too slow.
    async fn read(&self, newest: Generation) -> Result<Option<Arc<Plan>>, Status> {
        let (caller, pool) = (self.caller.clone(), self.pool.clone());
        let next = self.sent.next();
        let behind = newest.0 - self.sent.0;
        let in_order = next <= self.catch_up || behind <= self.shared.limits.watch_backlog;
        let first = if in_order { next } else { newest };
        let read = move |gate: &dyn Gate| oldest_from(gate, &caller, &pool, first, newest);
        self.shared.blocking(read).await
    }
}

/// The oldest plan from `first` to `newest` that is still in the ledger. Ledgers lose their oldest
/// records first, so that a search by halves finds the edge.
fn oldest_from(
    gate: &dyn Gate,
    caller: &Principal,
    pool: &PoolId,
    first: Generation,
    newest: Generation,
) -> Result<Option<Arc<Plan>>, ServeError> {
    let read = |g: u64| match gate.plan(caller, pool, Some(Generation(g))) {
        Ok(plan) => Ok(Some(plan)),
        Err(ServeError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    if let Some(plan) = read(first.0)? {
        return Ok(Some(plan));
    }
    let (mut absent, mut present) = (first.0, newest.0);
    let mut found = read(present)?;
    while found.is_some() && present - absent > 1 {
        let middle = absent + (present - absent) / 2;
        match read(middle)? {
            Some(plan) => (present, found) = (middle, Some(plan)),
            None => absent = middle,
        }
    }
    Ok(found)
}
