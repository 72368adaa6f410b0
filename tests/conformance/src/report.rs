//! What was asked and how it went, for people and for programs.
//!
//! A case that does not apply is told as skipped, with the reason: silence would look like a pass.

use std::fmt;
use tidegate_core::module::{ModuleKind, ModuleRef};

/// How one case went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As the interface demands.
    Passed,
    /// Not so: what happened.
    Failed(String),
    /// It does not apply: why.
    Skipped(String),
}

/// One promise of the interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// A sentence that should hold.
    pub name: &'static str,
    /// Whether it does.
    pub outcome: Outcome,
}

/// All that was asked of one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which module.
    pub module: ModuleRef,
    /// What it is for.
    pub kind: ModuleKind,
    /// In the order in which they were tried.
    pub cases: Vec<Case>,
}

impl Report {
    /// Whether nothing failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The cases that failed, with what happened.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.cases.iter().filter_map(|case| match &case.outcome {
            Outcome::Failed(problem) => Some((case.name, problem.as_str())),
            Outcome::Passed | Outcome::Skipped(_) => None,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.module, self.kind)?;
        for case in &self.cases {
            match &case.outcome {
                Outcome::Passed => writeln!(f, "  ok    {}", case.name)?,
                Outcome::Failed(problem) => writeln!(f, "  FAIL  {}: {problem}", case.name)?,
                Outcome::Skipped(why) => writeln!(f, "  skip  {}: {why}", case.name)?,
            }
        }
        Ok(())
    }
}

/// Cases as they are tried.
#[derive(Debug, Default)]
pub(crate) struct Cases(Vec<Case>);

impl Cases {
    pub(crate) fn run(&mut self, name: &'static str, case: impl FnOnce() -> Result<(), String>) {
        let outcome = case().map_or_else(Outcome::Failed, |()| Outcome::Passed);
        self.0.push(Case { name, outcome });
    }

    pub(crate) fn skip(&mut self, name: &'static str, why: &str) {
        let outcome = Outcome::Skipped(why.to_owned());
        self.0.push(Case { name, outcome });
    }

    pub(crate) fn done(self) -> Vec<Case> {
        self.0
    }
}
