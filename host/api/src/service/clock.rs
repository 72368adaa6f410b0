//! The data's clock over the wire. Advancing it may fit models and run cycles, so the port is called
//! where it may block.

use super::Shared;
use crate::auth::caller;
use tidegate_core::time::Timestamp;
use tidegate_proto::v1;
use tidegate_proto::v1::clock_server::Clock;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl Clock for Shared {
    async fn now(
        &self,
        request: Request<v1::NowRequest>,
    ) -> Result<Response<v1::NowResponse>, Status> {
        caller(&request)?;
        Ok(Response::new(v1::NowResponse {
            now_ms: self.gate.now().0,
        }))
    }

    async fn advance(
        &self,
        request: Request<v1::AdvanceRequest>,
    ) -> Result<Response<v1::AdvanceResponse>, Status> {
        let caller = caller(&request)?;
        let to = Timestamp(request.get_ref().now_ms);
        let now = self.blocking(move |gate| gate.advance(&caller, to)).await?;
        Ok(Response::new(v1::AdvanceResponse { now_ms: now.0 }))
    }
}
