//! Shadows are not served yet. The calls are there, so that a client hears so from the daemon and
//! not from its library, and so that their shape can be read by reflection.

use super::Shared;
use crate::auth::caller;
use crate::status::status;
use tidegate_core::ports::serve::ServeError;
use tidegate_proto::v1;
use tidegate_proto::v1::shadows_server::Shadows;
use tonic::{Request, Response, Status};

fn not_yet<T, R>(request: &Request<T>, call: &str) -> Result<Response<R>, Status> {
    caller(request)?;
    Err(status(ServeError::Unimplemented(format!(
        "Shadows.{call} is not served yet by this version; a later one compares shadows with \
         production"
    ))))
}

#[tonic::async_trait]
impl Shadows for Shared {
    async fn start(
        &self,
        request: Request<v1::StartShadowRequest>,
    ) -> Result<Response<v1::StartShadowResponse>, Status> {
        not_yet(&request, "Start")
    }

    async fn get(
        &self,
        request: Request<v1::GetShadowRequest>,
    ) -> Result<Response<v1::GetShadowResponse>, Status> {
        not_yet(&request, "Get")
    }

    async fn list(
        &self,
        request: Request<v1::ListShadowsRequest>,
    ) -> Result<Response<v1::ListShadowsResponse>, Status> {
        not_yet(&request, "List")
    }

    async fn stop(
        &self,
        request: Request<v1::StopShadowRequest>,
    ) -> Result<Response<v1::StopShadowResponse>, Status> {
        not_yet(&request, "Stop")
    }
}
