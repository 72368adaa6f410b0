//! Foreign protocols: what others send, in Tidegate's words.
//!
//! Nobody changes services to try a tool, so what is there already (an OpenTelemetry SDK or
//! collector, a Prometheus, an Envoy) must be enough. This crate reads those protocols, decides which api and
//! signal a metric is, and adds up what the instances of a service say.
//!
//! **Absent by rule:** any other crate of ours than `core`; the catalog's and the store's insides
//! (it asks through ports); the time of day (an argument); a protocol's generated types on the way
//! of a sample.
//!
//! Reading order: [`wire`] (bytes), [`otlp`], [`remote_write`] and
//! [`envoy`] (protocols), [`histogram`]; [`mapping`] (what a stream
//! is), [`books`] (what streams add up to); [`feed`] (from a body to an acknowledgement), [`serve`]
//! (the way in).

pub mod wire;

pub mod envoy;
pub mod otlp;
pub mod remote_write;

pub mod histogram;

pub mod mapping;

pub mod books;

pub mod feed;

pub mod serve;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
