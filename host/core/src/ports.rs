//! The traits through which effects happen. Rooms and servers see these, never who is behind them.
//!
//! [`storage`] is what a shard's store must do; it stays narrow, so that an embedded database can
//! be replaced by a view of a replicated log. [`serve`] is what the daemon offers to its servers,
//! [`events`] the part of it that is about the calendar, [`policies`] that about modules, [`health`] that about
//! the store.

pub mod events;
pub mod health;
pub mod policies;
pub mod serve;
pub mod storage;
