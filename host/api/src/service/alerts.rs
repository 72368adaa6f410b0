//! Alerts that stand now, once or whenever they change.
//!
//! A watch sends the whole set each time: it is small, and a client that missed a change is right
//! again at the next one.

use super::Shared;
use crate::auth::caller;
use crate::convert::plans::alert_out;
use crate::pull::{Pull, Wake, closing};
use std::sync::Arc;
use tidegate_core::access::Principal;
use tidegate_core::alert::Alert;
use tidegate_core::ports::serve::Gate;
use tidegate_proto::v1;
use tidegate_proto::v1::alerts_server::Alerts;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl Alerts for Shared {
    async fn list_alerts(
        &self,
        request: Request<v1::ListAlertsRequest>,
    ) -> Result<Response<v1::ListAlertsResponse>, Status> {
        let caller = caller(&request)?;
        let alerts = own_alerts(&*self.gate, &caller).into_iter();
        Ok(Response::new(v1::ListAlertsResponse {
            alerts: alerts.map(alert_out).collect(),
        }))
    }

    type WatchAlertsStream = Pull<Watch, v1::WatchAlertsResponse>;

    async fn watch_alerts(
        &self,
        request: Request<v1::WatchAlertsRequest>,
    ) -> Result<Response<Self::WatchAlertsStream>, Status> {
        let watch = Watch {
            shared: self.clone(),
            wake: self.wake.clone(),
            caller: caller(&request)?,
            sent: None,
        };
        Ok(Response::new(Pull::new(watch, |mut watch| {
            Box::pin(async move { (watch.next().await, watch) })
        })))
    }
}

fn own_alerts(gate: &dyn Gate, caller: &Principal) -> Vec<Alert> {
    let mut alerts = gate.alerts(caller);
    alerts.retain(|alert| {
        alert
            .api
            .as_ref()
            .is_none_or(|api| caller.sees(&api.tenant))
    });
    alerts
}

/// What a watcher of the alerts has seen.
pub(crate) struct Watch {
    shared: Shared,
    wake: Wake,
    caller: Arc<Principal>,
    sent: Option<Vec<Alert>>,
}

impl Watch {
    async fn next(&mut self) -> Result<v1::WatchAlertsResponse, Status> {
        loop {
            if self.wake.is_closing() {
                return Err(closing());
            }
            self.wake.seen();
            let alerts = own_alerts(&*self.shared.gate, &self.caller);
            if self.sent.as_ref() != Some(&alerts) {
                self.sent = Some(alerts.clone());
                return Ok(v1::WatchAlertsResponse {
                    alerts: alerts.into_iter().map(alert_out).collect(),
                });
            }
            self.wake.changed().await?;
        }
    }
}
