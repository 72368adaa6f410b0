//! The real binary, end to end. One test binary for all of it: what takes long here is the daemon,
//! not the test, and two daemons at a time are what two cores can bear.

mod acts;
mod aftermath;
mod author;
mod bad_input;
mod champion;
mod demo;
mod envoy;
mod expiry;
mod feeds;
mod harm;
mod javascript;
mod kill;
mod life;
mod losses;
mod python;
mod replay;
mod restart;
mod scrapes;
mod senders;
mod store;
mod strangers;
mod stream;
mod swap;
mod takeover;
mod telemetry;
mod templates;
mod tenancy;
