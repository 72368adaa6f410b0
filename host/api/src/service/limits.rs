//! An api's current grant, once or whenever it changes.

use super::Shared;
use crate::auth::caller;
use crate::convert::plans::grant_out;
use crate::convert::words::id;
use crate::pull::{Pull, Wake, closing};
use crate::scope;
use crate::status::{Problems, status};
use std::sync::Arc;
use tidegate_core::access::Principal;
use tidegate_core::ids::ApiId;
use tidegate_core::ports::serve::Allowance;
use tidegate_proto::v1;
use tidegate_proto::v1::limits_server::Limits;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl Limits for Shared {
    async fn get_grant(
        &self,
        request: Request<v1::GetGrantRequest>,
    ) -> Result<Response<v1::GetGrantResponse>, Status> {
        let caller = caller(&request)?;
        let api = own_api(&caller, &request.get_ref().api)?;
        let Allowance { grant, mode } = self.gate.grant(&caller, &api).map_err(status)?;
        Ok(Response::new(v1::GetGrantResponse {
            grant: Some(grant_out(&caller, grant, mode)),
            now_ms: self.gate.now().0,
        }))
    }

    type WatchGrantStream = Pull<Watch, v1::WatchGrantResponse>;

    async fn watch_grant(
        &self,
        request: Request<v1::WatchGrantRequest>,
    ) -> Result<Response<Self::WatchGrantStream>, Status> {
        let caller = caller(&request)?;
        let api = own_api(&caller, &request.get_ref().api)?;
        // Told at once, not as the first item of a stream: there is no such api.
        self.gate.grant(&caller, &api).map_err(status)?;
        let watch = Watch {
            shared: self.clone(),
            wake: self.wake.clone(),
            caller,
            api,
            sent: None,
        };
        Ok(Response::new(Pull::new(watch, |mut watch| {
            Box::pin(async move { (watch.next().await, watch) })
        })))
    }
}

fn own_api(caller: &Principal, name: &str) -> Result<ApiId, Status> {
    let mut problems = Problems::default();
    let api = id::<ApiId>(name, "api", &mut problems);
    let api = problems.finish(api)?;
    scope::visible(caller, "api", &api).map_err(status)?;
    Ok(api)
}

/// What a watcher of a grant has seen.
pub(crate) struct Watch {
    shared: Shared,
    wake: Wake,
    caller: Arc<Principal>,
    api: ApiId,
    sent: Option<Allowance>,
}

impl Watch {
    async fn next(&mut self) -> Result<v1::WatchGrantResponse, Status> {
        loop {
            if self.wake.is_closing() {
                return Err(closing());
            }
            self.wake.seen();
            let allowed = self
                .shared
                .gate
                .grant(&self.caller, &self.api)
                .map_err(status)?;
            if self.sent.as_ref() != Some(&allowed) {
                self.sent = Some(allowed.clone());
                return Ok(v1::WatchGrantResponse {
                    grant: Some(grant_out(&self.caller, allowed.grant, allowed.mode)),
                    now_ms: self.shared.gate.now().0,
                });
            }
            self.wake.changed().await?;
        }
    }
}
