//! The api as a client sees it: a real server on a free port, a real client, and a gate in memory.
//!
//! The gate does not authorise on purpose: what a test finds hidden, the api has hidden.

#![expect(
    clippy::unwrap_used,
    reason = "the fixtures of a test fail where they stand, as the tests do"
)]

mod fake;
mod forecasts;
mod world;

mod access;
mod bad_catalog;
mod bad_input;
mod calls;
mod events;
mod incoming;
mod ingest;
mod resume;
mod serving;
mod tls;
mod traces;
mod versions;
mod watches;
