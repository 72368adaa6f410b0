//! The house rules that a compiler does not know, as pure functions.
//!
//! Each rule takes text (or a dependency graph) and gives [`Finding`]s: where, what, and what to
//! do. It reads nothing itself, so that its unit tests can show it a bad example and see it
//! object: a check that cannot fail is a defect. `tests/repository.rs` runs them all over the
//! files that git tracks. The rejected alternative, a script with patterns, has no such tests and
//! rots unseen.
//!
//! The rules are those of the design: small files with headers ([`files`]), who may see whom
//! ([`graph`]), chosen and justified dependencies ([`manifests`]), documents that keep up with the
//! code ([`documents`]).

use std::fmt;

pub mod files;

pub mod graph;

pub mod manifests;

pub mod documents;

/// Something that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file or crate, with the line where there is one.
    pub place: String,
    /// What is wrong there, and what to do.
    pub what: String,
}

impl Finding {
    /// A finding at a file or crate.
    #[must_use]
    pub fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }

    /// A finding at a line (counted from 0 here, from 1 for people).
    pub(crate) fn at_line(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self::new(format!("{path}:{}", line + 1), what)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}
