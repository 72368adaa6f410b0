//! Errors on the wire: a gRPC code, a text for a person, and `google.rpc` details for a program.
//!
//! A status travels in HTTP/2 trailers, and clients bound those (gRPC's soft limit is 8 KiB, hyper's
//! 16 KiB): an error that names two thousand fields would reach its reader as "protocol error". So
//! texts and details are cut to a budget here, and the cut says how many it left out.
//! Source of the details: `google/rpc/error_details.proto`.

use std::time::Duration;
use tidegate_core::catalog::FieldProblem;
use tidegate_core::ports::serve::ServeError;
use tidegate_core::quota::Exceeded;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// Bytes of a status's text: it travels twice, percent-encoded and in the details.
const MAX_TEXT: usize = 1_000;

/// Bytes of all field violations of one status, before base64.
const MAX_VIOLATIONS: usize = 2_500;

/// When to come back after something of ours has failed in passing.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// The status that says what an error of a port says.
pub(crate) fn status(error: ServeError) -> Status {
    match error {
        ServeError::Invalid { problems } => invalid(&problems),
        ServeError::NotFound { what, remedy } => {
            let (kind, name) = what.split_once(' ').unwrap_or(("object", &what));
            let details = ErrorDetails::with_resource_info(kind, name, "", &remedy);
            with(
                Code::NotFound,
                &format!("{what} was not found; {remedy}"),
                details,
            )
        }
        ServeError::Denied(text) => with(Code::PermissionDenied, &text, ErrorDetails::new()),
        ServeError::Precondition(text) => {
            let details = ErrorDetails::with_precondition_failure_violation("STATE", "", &text);
            with(Code::FailedPrecondition, &text, details)
        }
        ServeError::Exhausted { what, retry_ms } => {
            let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(retry_ms)));
            let text = format!("{what}; retry in {retry_ms} ms");
            with(Code::ResourceExhausted, &text, details)
        }
        ServeError::Quota(exceeded) => over_quota(&exceeded),
        ServeError::Unavailable(text) => unavailable(&text),
        ServeError::Unimplemented(text) => with(Code::Unimplemented, &text, ErrorDetails::new()),
    }
}

/// A quota that is used up: which, of whom, how much, and what helps.
fn over_quota(exceeded: &Exceeded) -> Status {
    let subject = format!("tenant:{}", exceeded.tenant);
    let text = exceeded.to_string();
    let mut details = ErrorDetails::with_quota_failure_violation(subject, text.clone());
    let facts = [
        ("tenant", exceeded.tenant.to_string()),
        ("quota", exceeded.quota.field().to_owned()),
        ("limit", exceeded.limit.to_string()),
    ];
    let facts = facts.map(|(key, value)| (key.to_owned(), value));
    details.set_error_info("QUOTA_EXCEEDED", "tidegate", facts);
    if let Some(ms) = exceeded.retry_ms {
        details.set_retry_info(Some(Duration::from_millis(ms)));
    }
    with(Code::ResourceExhausted, &text, details)
}

/// A failure of ours that passes.
pub(crate) fn unavailable(text: &str) -> Status {
    with(
        Code::Unavailable,
        text,
        ErrorDetails::with_retry_info(Some(RETRY)),
    )
}

/// One wrong field of a request.
pub(crate) fn bad_field(field: &str, problem: impl Into<String>) -> Status {
    let mut problems = Problems::default();
    problems.push(field, problem);
    problems.status()
}

/// A message that is larger than it may be, with the limit.
pub(crate) fn too_large(text: &str) -> Status {
    with(Code::ResourceExhausted, text, ErrorDetails::new())
}

/// The wait that a status names, in milliseconds; 0 when it says that another try is useless.
pub(crate) fn retry_after_ms(status: &Status) -> u64 {
    let delay = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    delay.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// What is wrong with a request, field by field, gathered before anything is refused.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<FieldProblem>);

impl Problems {
    /// Notes a problem of a field, by its path in the request.
    pub(crate) fn push(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.0.push(FieldProblem {
            object: String::new(),
            field: field.into(),
            problem: problem.into(),
        });
    }

    /// The value, or a problem of that field.
    pub(crate) fn take<T, E: ToString>(&mut self, field: &str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|e| self.push(field, e.to_string())).ok()
    }

    /// `value`, if nothing was wrong and it is there.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Status> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self.status()),
        }
    }

    /// What was noted.
    pub(crate) fn into_inner(self) -> Vec<FieldProblem> {
        self.0
    }

    fn status(self) -> Status {
        invalid(&self.0)
    }
}

fn invalid(problems: &[FieldProblem]) -> Status {
    // A lost race for an object is no mistake of the sender's: read again, repeat (AIP-154).
    let raced = !problems.is_empty() && problems.iter().all(|p| p.field == "generation");
    let text = |p: &FieldProblem| {
        if p.object.is_empty() {
            format!("{}: {}", p.field, p.problem)
        } else {
            p.to_string()
        }
    };
    let mut room = MAX_VIOLATIONS;
    let violations = problems.iter().map_while(|p| {
        let description = if p.object.is_empty() {
            cut(&p.problem, 400)
        } else {
            cut(&format!("{}: {}", p.object, p.problem), 400)
        };
        let violation = FieldViolation::new(cut(&p.field, 200), description);
        room = room.checked_sub(violation.field.len() + violation.description.len() + 8)?;
        Some(violation)
    });
    let details = ErrorDetails::with_bad_request(violations.collect::<Vec<_>>());
    let mut message = String::new();
    for (i, problem) in problems.iter().enumerate() {
        let next = text(problem);
        if i > 0 && message.len() + next.len() > MAX_TEXT - 40 {
            message.push_str(&format!("; and {} more", problems.len() - i));
            break;
        }
        if i > 0 {
            message.push_str("; ");
        }
        message.push_str(&next);
    }
    let code = if raced {
        Code::Aborted
    } else {
        Code::InvalidArgument
    };
    with(code, &message, details)
}

fn with(code: Code, text: &str, details: ErrorDetails) -> Status {
    Status::with_error_details(code, cut(text, MAX_TEXT), details)
}

fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes - '…'.len_utf8())
        .rev()
        .find(|&i| text.is_char_boundary(i));
    format!("{}…", &text[..end.unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_with_thousands_of_fields_still_fits_the_trailers() {
        let problems = (0..2_000)
            .map(|i| FieldProblem {
                object: format!("api shop/{}{i}", "ü".repeat(40)),
                field: "pool".into(),
                problem: "there is no pool `main`".into(),
            })
            .collect();
        let status = status(ServeError::Invalid { problems });
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("and 19"), "{}", status.message());
        assert!(status.message().ends_with("more"));
        // Percent-encoding triples a byte that is not ASCII, base64 adds a third.
        let on_the_wire = 3 * status.message().len() + status.details().len() * 4 / 3;
        assert!(on_the_wire < 8 * 1024, "{on_the_wire}");
        assert!(
            status
                .get_details_bad_request()
                .unwrap()
                .field_violations
                .len()
                > 10
        );
    }

    #[test]
    fn a_lost_race_is_told_apart_from_a_wrong_field() {
        let raced = ServeError::field("api shop/a", "generation", "it stands at 4");
        assert_eq!(status(raced).code(), Code::Aborted);
        let wrong = ServeError::field("api shop/a", "pool", "there is none");
        assert_eq!(status(wrong).code(), Code::InvalidArgument);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "é".repeat(600);
        let short = cut(&text, 1000);
        assert!(short.len() <= 1000 && short.ends_with('…'));
        assert_eq!(cut("short", 1000), "short");
    }

    #[test]
    fn a_quota_is_told_in_the_words_of_the_protocol() {
        use tidegate_core::quota::Quota;
        let over = |retry_ms| {
            status(ServeError::Quota(Exceeded {
                tenant: "shop".parse().unwrap(),
                quota: Quota::Modules,
                limit: 4,
                retry_ms,
            }))
        };
        let told = over(None);
        assert_eq!(
            (told.code(), retry_after_ms(&told)),
            (Code::ResourceExhausted, 0)
        );
        let failure = told.get_details_quota_failure().unwrap();
        assert_eq!(failure.violations[0].subject, "tenant:shop");
        let info = told.get_details_error_info().unwrap();
        assert_eq!(info.reason, "QUOTA_EXCEEDED");
        assert_eq!(info.metadata["quota"], "max_modules");
        assert_eq!(info.metadata["limit"], "4");
        assert_eq!(retry_after_ms(&over(Some(250))), 250);
    }

    #[test]
    fn the_wait_is_told_where_another_try_makes_sense() {
        let busy = status(ServeError::Exhausted {
            what: "samples per second of `shop`".into(),
            retry_ms: 250,
        });
        assert_eq!(
            (busy.code(), retry_after_ms(&busy)),
            (Code::ResourceExhausted, 250)
        );
        let gone = status(ServeError::Unavailable("the store is closed".into()));
        assert_eq!(retry_after_ms(&gone), 1000);
        assert_eq!(retry_after_ms(&bad_field("x", "y")), 0);
    }
}
