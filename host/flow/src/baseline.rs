//! The engine's own rules: the last link of the chain before a plan is held.
//!
//! They are simple on purpose. They must never fail, never need a fit in advance, and never share a
//! defect with a plugin, so they share no code with one either.

mod allocator;
mod forecaster;
mod judge;
mod tierer;

pub use allocator::FloorsFirst;
pub use forecaster::LastValue;
pub use judge::Wait;
pub use tierer::BaseTier;
