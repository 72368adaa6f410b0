//! Asks the judge about a shadow. A judge that faults never promotes.
//!
//! The state of a judge goes to its writer alone, or through `migrate` to another version of it: evidence
//! that another judge gathered is none that this one could weigh, so it begins anew.

use tidegate_core::invariant::{Breach, Invariant};
use tidegate_core::policy::{Judge, JudgeInput, Judgement, Kept};
use tidegate_core::roster::{Answer, Fault, Roster};

/// What the room needs.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The release, for logs.
    pub release: &'a str,
    /// Who judges.
    pub roster: &'a Roster<dyn Judge>,
    /// What the last call returned.
    pub state: &'a Kept,
    /// What was seen; its state is set here.
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
    // Paired losses may have a row of their own.
    let most = metrics + usize::from(input.question.paired_horizon > 0);
    input
        .roster
        .call(
            input.release,
            faults,
            |member| {
                let state = input.state;
                let asked = JudgeInput {
                    state: state.for_module(&member.module, |blob| member.policy.migrate(blob)),
                    ..input.question.clone()
                };
                member.policy.judge(&member.config, &asked)
            },
            |judgement| {
                if (metrics..=most).contains(&judgement.evidence.len()) {
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
