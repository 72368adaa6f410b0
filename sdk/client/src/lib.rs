//! What a caller links: typed client, feeder, enforcer, simulated service.
//!
//! Everything that a program needs to live with Tidegate from the other side of the wire. The
//! crate sees the generated protocol and nothing of the host, so that whatever works here works
//! for a caller that was written elsewhere. [`Client`] hands out the generated clients as they are:
//! a second vocabulary over theirs would be one more thing to learn and to keep true. Two jobs are
//! hard to get right by hand and stand here: [`ingest::Feeder`] (acked means durable, across
//! reconnects) and [`enforce::Enforcer`] (a dead daemon leaves a safe world). [`sim`] is no client
//! at all but a world to act upon, for the demo and for tests.
//!
//! No task is spawned and no clock is read: futures are the caller's to poll, and time is a
//! function that the caller gives.

mod connect;
pub mod enforce;
pub mod ingest;
pub mod sim;

pub use connect::{Client, ConnectError, Credentials, Options, Tls, Transport};
pub use tidegate_proto::v1;
