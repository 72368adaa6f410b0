//! What a stream has taken and not yet answered, apart from the connection over which it came.
//!
//! A connection breaks; what was taken is stored all the same. So frames and their acks belong to a
//! [`Line`], which a session finds again: the next stream goes on answering where the last one
//! stopped. The alternative, to tell the sender a number and let it send the rest twice, would also
//! lose nothing, but nobody could say any more what was new and what was a repetition.
//!
//! Lines are kept in memory. A daemon that ended has lost them, and the store's own rule (the first
//! value of a series and an instant stands) makes the repetition harmless. They are counted per
//! credential, so that no sender can push out another's.

use super::told;
use crate::convert::samples::WayBack;
use crate::status::{bad_field, retry_after_ms, status};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tidegate_core::ids::Name;
use tidegate_core::ports::serve::ServeError;
use tidegate_core::sample::{Rejection, Stored};
use tidegate_proto::v1::SampleAck;
use tokio::sync::{oneshot, watch};
use tonic::Status;

/// Milliseconds after which a session may have become free.
const RETRY_MS: u64 = 5_000;

/// What the port said of a batch.
pub(crate) type Outcome = Result<(Stored, Vec<Rejection>), ServeError>;

/// A batch on its way to the disk.
pub(super) struct Waiting {
    pub(super) sequence: u64,
    /// Memory that it takes until it is stored.
    pub(super) bytes: usize,
    pub(super) way: WayBack,
    pub(super) outcome: Awaited,
}

/// Where a batch's outcome comes from.
pub(super) enum Awaited {
    /// From the port.
    Port(oneshot::Receiver<Outcome>),
    /// The port has answered already.
    Known(Outcome),
    /// Nothing of the frame reached the port.
    Nothing,
    /// The whole frame was refused before the port saw it.
    Refused(Status),
}

/// Frames in their order, and the newest acks.
#[derive(Default)]
pub(super) struct Line {
    /// Sequence of the newest frame that was taken.
    pub(super) last: u64,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Acks that may not have been heard; kept for sessions alone.
    told: VecDeque<SampleAck>,
    /// How many of them; 0 keeps none.
    keep: usize,
    /// A frame that is to be sent again, and after how many milliseconds: those behind it, which
    /// were under way already, must not overtake it, or what it holds could come too late to be
    /// stored.
    pushed_back: Option<(u64, u64)>,
    /// Newest ack that is no longer kept.
    forgotten: u64,
    /// Which stream holds it.
    pub(super) holder: u64,
}

impl Line {
    /// Whether another frame may be taken.
    pub(super) fn has_room(&self, frames: usize, bytes: usize) -> bool {
        self.waiting.is_empty() || (self.waiting.len() < frames && self.bytes < bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Why the next frame is refused, because one before it is to be sent again; until all that
    /// were under way behind that one are answered.
    pub(super) fn behind(&mut self) -> Option<Status> {
        if self.waiting.is_empty() {
            self.pushed_back = None;
        }
        let (sequence, retry_ms) = self.pushed_back?;
        Some(status(ServeError::Exhausted {
            what: format!("frame {sequence} is to be sent again, and this one behind it"),
            retry_ms,
        }))
    }

    pub(super) fn push(&mut self, mut waiting: Waiting) {
        if let Awaited::Port(outcome) = &mut waiting.outcome
            && let Ok(known) = outcome.try_recv()
        {
            if let Err(error) = &known
                && let retry_ms @ 1.. = retry_after_ms(&status(error.clone()))
            {
                self.pushed_back.get_or_insert((waiting.sequence, retry_ms));
            }
            waiting.outcome = Awaited::Known(known);
        }
        self.last = waiting.sequence;
        self.bytes += waiting.bytes;
        self.waiting.push_back(waiting);
    }

    /// The ack of the oldest waiting frame.
    pub(super) fn poll_oldest(&mut self, cx: &mut Context<'_>) -> Poll<SampleAck> {
        let Some(oldest) = self.waiting.front_mut() else {
            return Poll::Pending;
        };
        let outcome = match &mut oldest.outcome {
            Awaited::Nothing => Ok(Ok(Default::default())),
            Awaited::Known(known) => Ok(known.clone()),
            Awaited::Refused(refusal) => Err(refusal.clone()),
            Awaited::Port(outcome) => told::heard(std::task::ready!(Pin::new(outcome).poll(cx))),
        };
        let Some(frame) = self.waiting.pop_front() else {
            return Poll::Pending;
        };
        self.bytes -= frame.bytes;
        let ack = told::ack(frame.sequence, frame.way, outcome);
        if self.keep > 0 {
            self.told.push_back(told::short(&ack));
            while self.told.len() > self.keep {
                self.forgotten = self.told.pop_front().map_or(0, |a| a.sequence);
            }
        }
        Poll::Ready(ack)
    }

    /// The acks after `heard`, for a stream that goes on. Where one of them is lost, the line begins
    /// anew: a frame must not be taken for settled when nobody can say how it ended.
    fn resume(&mut self, heard: u64) -> Vec<SampleAck> {
        if heard < self.forgotten {
            *self = Self {
                keep: self.keep,
                holder: self.holder,
                ..Self::default()
            };
        }
        self.told.retain(|ack| ack.sequence > heard);
        self.told.iter().cloned().collect()
    }
}

/// A line that this stream holds until another takes it over.
pub(super) struct Held {
    line: Arc<Mutex<Line>>,
    holder: u64,
    /// Resolves when another stream has taken it over.
    lost: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Held {
    /// A line that nobody can resume.
    pub(super) fn alone() -> Self {
        Self {
            line: Arc::default(),
            holder: 0,
            lost: Box::pin(std::future::pending()),
        }
    }

    /// The line, if it is still this stream's; who asks is woken when it no longer is.
    pub(super) fn line(&mut self, cx: &mut Context<'_>) -> Option<MutexGuard<'_, Line>> {
        if self.lost.as_mut().poll(cx).is_ready() {
            self.lost = Box::pin(std::future::ready(()));
            return None;
        }
        let line = locked(&self.line);
        (line.holder == self.holder).then_some(line)
    }
}

/// What a stream learns when it opens a session.
pub(super) struct Resumed {
    pub(super) held: Held,
    pub(super) taken: u64,
    pub(super) unheard: Vec<SampleAck>,
}

struct Session {
    line: Arc<Mutex<Line>>,
    holder: watch::Sender<u64>,
    used: u64,
}

/// Every line that can be resumed, by credential and session.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<Known>);

#[derive(Default)]
struct Known {
    uses: u64,
    of: BTreeMap<String, BTreeMap<String, Session>>,
}

impl Sessions {
    /// Takes over a session of a caller, or begins it.
    ///
    /// # Errors
    /// When the name is none, or `most` sessions of the caller are held by other streams.
    pub(super) fn open(
        &self,
        caller: &str,
        session: &str,
        heard: u64,
        most: usize,
        keep: usize,
    ) -> Result<Resumed, Status> {
        if let Err(error) = Name::new(session) {
            return Err(bad_field("open.session", error.to_string()));
        }
        let mut known = locked(&self.0);
        known.uses += 1;
        let now = known.uses;
        let all = known.of.entry(caller.to_owned()).or_default();
        if !all.contains_key(session) && all.len() >= most.max(1) {
            let idle = all
                .iter()
                .filter(|(_, s)| s.holder.is_closed())
                .min_by_key(|(_, s)| s.used);
            let Some(oldest) = idle.map(|(name, _)| name.clone()) else {
                return Err(status(ServeError::Exhausted {
                    what: format!("{most} sessions of this credential are open; end one of them"),
                    retry_ms: RETRY_MS,
                }));
            };
            all.remove(&oldest);
        }
        let of = all.entry(session.to_owned()).or_insert_with(|| Session {
            line: Arc::new(Mutex::new(Line {
                keep,
                ..Line::default()
            })),
            holder: watch::Sender::new(0),
            used: now,
        });
        of.used = now;
        let (taken, unheard) = {
            let mut line = locked(&of.line);
            line.holder = now;
            let unheard = line.resume(heard);
            (line.last, unheard)
        };
        of.holder.send_replace(now);
        let mut watch = of.holder.subscribe();
        let held = Held {
            line: of.line.clone(),
            holder: now,
            lost: Box::pin(async move {
                // An error means that the session was dropped: nobody takes it over then.
                if watch.changed().await.is_err() {
                    std::future::pending().await
                }
            }),
        };
        Ok(Resumed {
            held,
            taken,
            unheard,
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(sequence: u64) -> Waiting {
        Waiting {
            sequence,
            bytes: 10,
            way: WayBack::default(),
            outcome: Awaited::Nothing,
        }
    }

    fn answer(held: &mut Held, frames: std::ops::RangeInclusive<u64>) -> Vec<u64> {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let mut line = held.line(cx).unwrap();
        frames.for_each(|n| line.push(nothing(n)));
        let mut acks = vec![];
        while let Poll::Ready(ack) = line.poll_oldest(cx) {
            acks.push(ack.sequence);
        }
        acks
    }

    fn unheard(resumed: &Resumed) -> Vec<u64> {
        resumed.unheard.iter().map(|a| a.sequence).collect()
    }

    #[test]
    fn who_resumes_hears_the_acks_that_were_lost_and_what_was_taken() {
        let sessions = Sessions::default();
        let mut first = sessions.open("shop", "a", 0, 2, 4).unwrap();
        assert_eq!((first.taken, first.unheard.len()), (0, 0));
        assert_eq!(answer(&mut first.held, 1..=3), [1, 2, 3]);
        let second = sessions.open("shop", "a", 1, 2, 4).unwrap();
        assert_eq!((second.taken, unheard(&second)), (3, vec![2, 3]));
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        assert!(first.held.line(cx).is_none() && first.held.line(cx).is_none());
        let other = sessions.open("bank", "a", 0, 2, 4).unwrap();
        assert_eq!(other.taken, 0, "another credential has sessions of its own");
    }

    #[test]
    fn a_session_that_lost_an_unheard_ack_begins_anew() {
        let sessions = Sessions::default();
        let mut held = sessions.open("shop", "a", 0, 2, 4).unwrap().held;
        answer(&mut held, 1..=6);
        let kept = sessions.open("shop", "a", 2, 2, 4).unwrap();
        assert_eq!((kept.taken, unheard(&kept)), (6, vec![3, 4, 5, 6]));
        drop(kept);
        let mut held = sessions.open("shop", "a", 1, 2, 4).unwrap();
        assert_eq!((held.taken, unheard(&held)), (0, vec![]));
        assert_eq!(answer(&mut held.held, 2..=3), [2, 3]);
    }

    #[test]
    fn a_caller_s_sessions_are_bounded_and_the_one_idle_for_longest_goes_first() {
        let sessions = Sessions::default();
        let mut a = sessions.open("shop", "a", 0, 2, 4).unwrap();
        answer(&mut a.held, 1..=1);
        drop(a);
        let b = sessions.open("shop", "b", 0, 2, 4).unwrap();
        let c = sessions.open("shop", "c", 0, 2, 4).unwrap();
        let refused = sessions.open("shop", "d", 0, 2, 4).err().unwrap();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(refused.message().contains("2 sessions"), "{refused}");
        drop((b, c));
        assert_eq!(sessions.open("shop", "a", 0, 2, 4).unwrap().taken, 0);
        let bad = sessions.open("shop", "a b", 0, 2, 4).err().unwrap();
        assert!(bad.message().contains("open.session"), "{bad}");
    }

    #[test]
    fn a_line_has_room_by_frames_and_by_bytes_and_always_for_one() {
        let mut line = Line::default();
        assert!(line.has_room(0, 0));
        line.push(nothing(1));
        assert!(line.has_room(2, 11) && !line.has_room(1, 11) && !line.has_room(2, 10));
    }
}
