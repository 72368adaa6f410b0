//! The api as a client sees it: a real server on a free port, a real client, and a gate in memory.
//!
//! The gate does not authorise on purpose: what a test finds hidden, the api has hidden.

mod fake;
mod world;

mod access;
mod bad_input;
mod calls;
mod ingest;
mod serving;
mod tls;
mod watches;
