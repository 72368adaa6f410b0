//! Golden scenarios: a script is a story, and its stored output is what the gate decided.
//!
//! A reviewer reads the diff of a script as a story that changed. So a script is one text with
//! everything in it: prose (`#`), commands (`>`), and under each command what it printed. Running a
//! script gives the whole text anew; a test compares it byte for byte with what is stored, twice,
//! since a plan that differs from run to run is the worst defect there could be. The world is
//! [`tidegate_harness`]'s. Rejected: assertions inside scripts. They say what their author thought
//! of; a stored transcript also shows what nobody thought of.

mod script;
mod words;

mod interpreter;
mod show;

pub use script::{ScriptError, run};
