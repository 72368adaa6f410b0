//! What a caller links: typed client, enforcer, simulated service.
//!
//! Everything that a program needs to live with Tidegate from the other side of the wire. The
//! crate sees the generated protocol and nothing of the host, so that whatever works here works
//! for a caller that was written elsewhere. [`sim`] is the exception that proves it: it is no
//! client at all but a world to act upon, for the demo and for tests.

pub mod sim;
