//! Asks the judge about a shadow. A judge that faults never promotes.

use tidegate_core::invariant::{Breach, Invariant};
use tidegate_core::policy::{Judge, JudgeInput, Judgement};
use tidegate_core::roster::{Answer, Fault, Roster};

/// What the room needs.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The release, for logs.
    pub release: &'a str,
    /// Who judges.
    pub roster: &'a Roster<dyn Judge>,
    /// What was seen.
    pub question: &'a JudgeInput,
}

/// The verdict and who gave it.
pub type Output = Answer<Judgement>;

/// Nobody judged: the shadow goes on, nothing is promoted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no judge answered for release `{0}`; it continues, and is not promoted")]
pub struct Error(String);

/// Judges.
///
/// # Errors
/// When nobody answered.
pub fn run(input: &Input<'_>, faults: &mut Vec<Fault>) -> Result<Output, Error> {
    let metrics = input.question.metrics.len();
    input
        .roster
        .call(
            input.release,
            faults,
            |member| member.policy.judge(&member.config, input.question),
            |judgement| {
                if judgement.evidence.len() == metrics {
                    Ok(())
                } else {
                    let text = format!(
                        "evidence on {} of {metrics} metrics",
                        judgement.evidence.len()
                    );
                    Err(Breach::new(Invariant::RB1, text))
                }
            },
        )
        .ok_or_else(|| Error(input.release.to_owned()))
}
