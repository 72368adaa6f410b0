//! How numbers look in a terminal: pure functions from values to text, so that tests read them.

pub(crate) mod plot;
pub(crate) mod table;
