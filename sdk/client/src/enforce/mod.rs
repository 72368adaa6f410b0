//! Puts grants in force, and leaves a safe world when the daemon falls silent.
//!
//! What may go wrong is all in [`Machine`], which is pure: it hears grants and plans, refuses
//! stale generations, and says at any instant what shall be in force, which after an expiry is the
//! safe capacity. [`Enforcer`] watches the daemon, asks the machine and calls [`Apply`]. Applying
//! is idempotent: the same directive is not applied twice, and one that failed is tried again.
//! [`Apply`] is synchronous, because setting a limit is; one that must do I/O hands the directive
//! to its own task.

mod enforcer;
mod machine;

pub use enforcer::{Apply, Clock, Enforcer, EnforcerOptions, Watch};
pub use machine::{Directive, Hearing, Machine};
