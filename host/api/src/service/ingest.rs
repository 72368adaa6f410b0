//! Samples in: one stream per sender, each frame acked when it is on disk.
//!
//! [`acks`] is a connection, [`line`] what survives it, [`told`] what is said of a frame, [`size`]
//! what one may cost. Acks come in the order of the frames, whatever the order in which the store
//! finishes: a sender may then forget everything up to the last ack.

mod acks;
mod line;
mod size;
mod told;

pub(crate) use line::Sessions;

use super::Shared;
use crate::auth::caller;
use crate::convert::samples::{Translated, WayBack};
use crate::status::{bad_field, status};
use acks::Acks;
use line::Outcome;
use std::sync::Arc;
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::{Object, ObjectKey, ObjectKind};
use tidegate_core::ports::serve::{Gate, ServeError};
use tidegate_proto::v1::ingest_server::Ingest;
use tidegate_proto::v1::{
    PushRequest, PushResponse, SampleAck, SampleFrame, StreamTerms, TenantTerms,
};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status, Streaming};

/// Tenants whose quotas a stream is told.
const MAX_TENANTS: usize = 32;

impl Shared {
    /// Hands what can be stored to the port; `None` when nothing can.
    fn ingest(
        &self,
        caller: &Principal,
        samples: Translated,
    ) -> (WayBack, Option<oneshot::Receiver<Outcome>>) {
        let (batch, way) = samples.into_parts();
        let outcome = (!batch.is_empty()).then(|| {
            let (done, outcome) = oneshot::channel();
            let done = Box::new(move |result| {
                // The sender may be gone by now; what it sent is stored all the same.
                let _ = done.send(result);
            });
            self.gate.ingest(caller, batch, done);
            outcome
        });
        (way, outcome)
    }

    /// What a stream of this caller may cost.
    async fn terms(&self, caller: &Arc<Principal>) -> Result<StreamTerms, Status> {
        let limits = self.limits;
        let tenants = match &caller.tenants {
            None => vec![],
            Some(_) => {
                let caller = caller.clone();
                self.blocking(move |gate| Ok(tenants(gate, &caller)))
                    .await?
            }
        };
        Ok(StreamTerms {
            max_unacked_bytes: limits.max_unacked_bytes as u64,
            max_frame_samples: limits.max_frame_samples as u64,
            max_frame_bytes: limits.ingest_message as u64,
            max_declared: limits.max_declared as u64,
            tenants,
        })
    }
}

/// The quotas of the tenants that a credential names; of one that is not declared there is nothing
/// to tell.
fn tenants(gate: &dyn Gate, caller: &Principal) -> Vec<TenantTerms> {
    let named = caller.tenants.iter().flatten().take(MAX_TENANTS);
    named
        .filter_map(|tenant| {
            let key = ObjectKey {
                kind: ObjectKind::Tenant,
                name: tenant.to_string(),
            };
            let declared = gate.get(caller, &key).ok()?;
            let Object::Tenant(of) = declared.value else {
                return None;
            };
            let usage = gate.usage(caller, tenant);
            Some(TenantTerms {
                tenant: tenant.to_string(),
                max_series: of.max_series,
                series: usage.map_or(0, |u| u.series),
                max_samples_per_s: of.max_samples_per_s,
            })
        })
        .collect()
}

/// Who feeds: a credential that may only read is told so once, not sample by sample.
fn feeder<T>(request: &Request<T>) -> Result<Arc<Principal>, Status> {
    let caller = caller(request)?;
    if caller.role < Role::Writer {
        let text = "a reader may not feed samples; use a credential of the role writer";
        return Err(status(ServeError::Denied(text.into())));
    }
    Ok(caller)
}

#[tonic::async_trait]
impl Ingest for Shared {
    type StreamSamplesStream = Acks;

    async fn stream_samples(
        &self,
        request: Request<Streaming<SampleFrame>>,
    ) -> Result<Response<Acks>, Status> {
        let caller = feeder(&request)?;
        let greeting = SampleAck {
            max_unacked: self.limits.max_unacked,
            terms: Some(self.terms(&caller).await?),
            ..Default::default()
        };
        let frames = request.into_inner();
        Ok(Response::new(Acks::new(
            self.clone(),
            caller,
            frames,
            greeting,
        )))
    }

    async fn push(&self, request: Request<PushRequest>) -> Result<Response<PushResponse>, Status> {
        let caller = feeder(&request)?;
        let series = request.into_inner().series;
        if series.is_empty() {
            return Err(bad_field("series", "it is empty; send at least one series"));
        }
        let (way, outcome) = self.ingest(&caller, Translated::of_call(&caller, series));
        let (stored, rejections) = match outcome {
            Some(outcome) => told::heard(outcome.await)?.map_err(status)?,
            None => Default::default(),
        };
        let rejections = told::rejected(way, rejections);
        Ok(Response::new(told::answer(&stored, rejections)))
    }
}
