//! The services, one module each, and what they share.
//!
//! A service parses, asks its port and writes the answer; it keeps nothing between calls. What
//! blocks goes through [`Shared::blocking`]. Ports that only read memory (grants, alerts, pools,
//! the clock) are called in place: handing them to another thread would cost more than they do.

mod alerts;
mod catalog;
mod clock;
mod events;
mod forecasts;
mod ingest;
mod limits;
mod plans;
mod policies;
mod shadows;
mod status;

use crate::options::Limits;
use crate::pull::Wake;
use crate::status::status;
use std::sync::Arc;
use tidegate_core::ports::serve::{Gate, ServeError};
use tonic::Status;

/// What every service holds.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) limits: Limits,
    pub(crate) wake: Wake,
    pub(crate) sessions: Arc<ingest::Sessions>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Calls a port on the blocking pool, inside the span of the call.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn Gate) -> Result<T, ServeError> + Send + 'static,
    ) -> Result<T, Status> {
        let gate = self.gate.clone();
        let span = tracing::Span::current();
        let asked = tokio::task::spawn_blocking(move || span.in_scope(|| ask(&*gate))).await;
        match asked {
            Ok(answer) => answer.map_err(status),
            Err(failed) => {
                tracing::error!(error = %failed, "a port failed while it answered a call");
                Err(Status::internal(
                    "the daemon failed while it answered this call; its log says more",
                ))
            }
        }
    }
}
