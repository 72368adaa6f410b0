//! What an author of a plugin begins with, out of this very binary: see the build script.

include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
