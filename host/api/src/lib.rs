//! `tidegate.v1` over tonic: who asks, what they mean, and what the gate answers.
//!
//! The crate holds no state of the world and makes no decision. A call is authenticated ([`Auth`]),
//! its content parsed into `core`'s vocabulary with every problem named at once, handed to a port,
//! and the answer written back. What is `core`'s and what is the wire's meet in `convert` alone, so
//! that a change of the protos cannot reach a room. The ports are synchronous; those that touch the
//! disk or run a policy are called on the blocking pool, so that no slow disk stalls the network.
//!
//! Two rules hold for every answer. **Nothing crosses tenants**: what is not the caller's is
//! answered exactly as what does not exist (`scope`). **Nothing is unbounded**: messages, uploads,
//! frames in flight, watchers' backlogs and the error texts themselves have limits ([`Limits`]).
//!
//! Streams are pulled, not pushed: a watch holds a place in the sequence of plans and reads the
//! next one when its client has room. So a slow client costs a number, not a queue, and no task
//! outlives its call.
//!
//! ```no_run
//! # async fn run(gate: std::sync::Arc<dyn tidegate_core::ports::serve::Gate>)
//! # -> Result<(), tidegate_api::Error> {
//! use tidegate_api::{Options, Server};
//!
//! let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
//! let bound = Server::bind(Options::new(address), gate)?;
//! println!("listening on {}", bound.local_addr());
//! bound.serve(std::future::pending()).await
//! # }
//! ```

mod auth;
mod incoming;
mod options;
mod server;

mod scope;
mod status;

mod convert;
mod pull;
mod service;

pub use auth::{Auth, Credential, CredentialError, token_digest};
pub use options::{AdoptParent, Insecure, Limits, Options, Tls, check_exposure};
pub use server::{Bound, Error, Health, Server, Serving, check_free};
