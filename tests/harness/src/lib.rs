//! A whole gate in memory: what the daemon is, without its network, its disk and its Wasm.
//!
//! Stories and properties are about *decisions*, so everything that decides is the real thing: the
//! catalog, the rooms and the cycle, the slots with their rollbacks, the pure models that the
//! shipped plugins are made of. What is replaced is what only carries: the store is a map, the
//! clock is an argument, services are simulated from declared loads, and policies are native trait
//! objects that can be broken by a switch. The driver is the daemon's, in the same order of effects
//! (record, commit, publish), since the daemon is a binary and cannot be linked.
//!
//! ```
//! use tidegate_core::tier::Tier;
//! use tidegate_harness::{Load, gate, minutes};
//!
//! let mut world = gate()
//!     .pool("edge", 8.0)
//!     .api("shop/orders", Tier::Gold)
//!     .feed("shop/orders", Load::flat(200.0))
//!     .start()?;
//! world.run_until(world.now().plus_ms(minutes(30)));
//! let plan = world.plan("edge").expect("there is data, so there is a plan");
//! assert_eq!(plan.served.module.name, "native:floors-first");
//! # Ok::<(), tidegate_harness::HarnessError>(())
//! ```

mod gate;
mod load;
mod world;

mod broken;
mod native;
mod store;

mod bind;
mod drive;
mod trials;

pub use bind::Bind;
pub use broken::{Breakable, Breakage, Switch};
pub use gate::{Builder, gate};
pub use load::Load;
pub use native::{Native, fit_columns, native};
pub use store::MemoryStore;
pub use world::{HarnessError, Note, World};

use tidegate_core::time::Timestamp;

/// Midnight of Monday, 5 January 2026, UTC: day 0 of every simulated world.
pub const DAY_ZERO: Timestamp = Timestamp(1_767_571_200_000);

/// So many minutes, in milliseconds.
#[must_use]
pub fn minutes(n: i64) -> i64 {
    n * 60_000
}

/// An instant `hour:minute` on a day of the simulated world.
#[must_use]
pub fn day(day: i64, hour: i64, minute: i64) -> Timestamp {
    DAY_ZERO.plus_ms(minutes((day * 24 + hour) * 60 + minute))
}
