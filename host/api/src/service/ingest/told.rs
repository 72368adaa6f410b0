//! What became of a frame, in the words of the protocol and within its bounds.

use super::line::Outcome;
use crate::convert::samples::WayBack;
use crate::status::{retry_after_ms, status, unavailable};
use tidegate_core::ports::serve::ServeError;
use tidegate_core::sample::{Rejection, Stored};
use tidegate_proto::v1;
use tidegate_proto::v1::{FrameError, QuotaRefusal, SampleAck};
use tokio::sync::oneshot;
use tonic::Status;

/// Rejections of one answer: a frame of a hundred thousand bad series must still have an answer that
/// its sender can read.
pub(super) const MAX_REJECTIONS: usize = 256;

/// Rejections of an ack that is kept for a stream that breaks.
const KEPT_REJECTIONS: usize = 4;

/// What the port said; a dropped answer is a failure of ours, and the sender repeats the frame.
pub(super) fn heard(
    outcome: Result<Outcome, oneshot::error::RecvError>,
) -> Result<Outcome, Status> {
    outcome.map_err(|_| unavailable("the store gave no answer; send these samples again"))
}

/// The ack of a frame.
pub(super) fn ack(sequence: u64, way: WayBack, outcome: Result<Outcome, Status>) -> SampleAck {
    match outcome {
        Ok(Ok((stored, rejections))) => SampleAck {
            sequence,
            stored: stored.stored,
            duplicates: stored.duplicates,
            late: stored.late,
            rejections: rejected(way, rejections),
            arrival: stored.sequence,
            ..Default::default()
        },
        Ok(Err(error)) => {
            let quota = quota(&error);
            failed(sequence, way, &status(error), quota)
        }
        Err(refusal) => failed(sequence, way, &refusal, None),
    }
}

fn failed(sequence: u64, way: WayBack, status: &Status, quota: Option<QuotaRefusal>) -> SampleAck {
    SampleAck {
        sequence,
        rejections: rejected(way, vec![]),
        error: Some(FrameError {
            code: status.code() as i32,
            retry_after_ms: retry_after_ms(status),
            message: status.message().to_owned(),
            quota,
        }),
        ..Default::default()
    }
}

fn quota(error: &ServeError) -> Option<QuotaRefusal> {
    let ServeError::Quota(exceeded) = error else {
        return None;
    };
    Some(QuotaRefusal {
        tenant: exceeded.tenant.to_string(),
        quota: exceeded.quota.field().into(),
        limit: exceeded.limit,
    })
}

/// The answer to a call.
pub(super) fn answer(stored: &Stored, rejections: Vec<v1::Rejection>) -> v1::PushResponse {
    v1::PushResponse {
        stored: stored.stored,
        duplicates: stored.duplicates,
        late: stored.late,
        rejections,
        arrival: stored.sequence,
    }
}

/// All rejections in the sender's terms, as many as an answer may hold.
pub(super) fn rejected(way: WayBack, of_port: Vec<Rejection>) -> Vec<v1::Rejection> {
    bounded(way.rejections(of_port), MAX_REJECTIONS)
}

/// An ack as it is kept.
pub(super) fn short(ack: &SampleAck) -> SampleAck {
    SampleAck {
        rejections: bounded(ack.rejections.clone(), KEPT_REJECTIONS),
        ..ack.clone()
    }
}

/// The first of them, and one that stands for the rest, so that the samples still add up.
fn bounded(mut all: Vec<v1::Rejection>, most: usize) -> Vec<v1::Rejection> {
    if all.len() > most {
        let rest = all.split_off(most - 1);
        let samples = rest.iter().map(|r| r.samples).sum();
        let (count, first) = (rest.len(), &rest[0]);
        all.push(v1::Rejection {
            field: first.field.clone(),
            samples,
            reason: format!("{}; and {} more refusals", first.reason, count - 1),
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_rejections_become_as_many_as_an_answer_holds_and_still_add_up() {
        let one = |n: u64| v1::Rejection {
            field: format!("series[{n}]"),
            samples: n,
            reason: "no".into(),
        };
        let all: Vec<_> = (0..1000).map(one).collect();
        let told = bounded(all.clone(), 4);
        assert_eq!((told.len(), &told[..3]), (4, &all[..3]));
        assert_eq!(told.iter().map(|r| r.samples).sum::<u64>(), 499_500);
        assert_eq!(told[3].reason, "no; and 996 more refusals");
        assert_eq!(bounded(all[..4].to_vec(), 4), all[..4]);
    }
}
