//! The calendar as it is learned of: events in, and who wants to know of them.
//!
//! What is pushed becomes an object of the catalog through the same port as a change set, so there
//! is one set of checks and rights. A stream takes one frame, applies it, sends the ack and only then
//! takes the next: events come rarely, and what order they are applied in matters more than how many
//! are under way. HTTP/2 flow control reaches from the disk to the sender.
//!
//! A watch is woken whenever the world changes, which is mostly not the calendar: the catalog's
//! generation says whether it is worth a look. It then compares what stands with what it sent, and
//! so a slow watcher gets the last state of an event and not every state in between.

use super::Shared;
use crate::auth::caller;
use crate::convert::catalog::{effect_out, event, event_out};
use crate::pull::{Pull, Wake, closing};
use crate::scope;
use crate::status::{Problems, bad_field, retry_after_ms, status};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tidegate_core::access::Principal;
use tidegate_core::catalog::{Change, Effect, FieldProblem, Object, ObjectKey, ObjectKind};
use tidegate_core::event::Event;
use tidegate_core::ids::{Generation, ScopedId, TenantId};
use tidegate_core::ports::serve::{Run, ServeError};
use tidegate_core::time::Timestamp;
use tidegate_proto::v1;
use tidegate_proto::v1::events_server::Events;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;

/// Most events and names of one frame: the frame is checked as a whole.
const MAX_FRAME: usize = 1_000;

/// Most events of one message of a watch.
const PAGE: usize = 200;

/// What `Upcoming` tells where no end is given.
const WEEK_MS: i64 = 7 * 86_400_000;

#[tonic::async_trait]
impl Events for Shared {
    type ReportStream = Acks;

    async fn report(
        &self,
        request: Request<Streaming<v1::EventFrame>>,
    ) -> Result<Response<Acks>, Status> {
        let caller = caller(&request)?;
        let reporter = Reporter {
            shared: self.clone(),
            wake: self.wake.clone(),
            caller,
            frames: request.into_inner(),
            greeted: false,
            last: 0,
        };
        Ok(Response::new(Acks(Some(reporter.step()))))
    }

    type WatchStream = Pull<Watch, v1::WatchEventsResponse>;

    async fn watch(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = caller(&request)?;
        let watch = Watch {
            shared: self.clone(),
            wake: self.wake.clone(),
            tenant: tenant(&caller, &request.get_ref().tenant)?,
            caller,
            read: None,
            sent: BTreeMap::new(),
            pending: VecDeque::new(),
        };
        Ok(Response::new(Pull::new(watch, |mut watch| {
            Box::pin(async move { (watch.next().await, watch) })
        })))
    }

    async fn upcoming(
        &self,
        request: Request<v1::UpcomingRequest>,
    ) -> Result<Response<v1::UpcomingResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let only = tenant(&caller, &request.tenant)?;
        let from = request.from_ms.map_or_else(|| self.gate.now(), Timestamp);
        let to = request
            .to_ms
            .map_or_else(|| from.plus_ms(WEEK_MS), Timestamp);
        let found = self
            .blocking(move |gate| {
                let mut found = gate.happenings(&caller, from, to)?;
                found.retain(|h| is_own(&caller, only.as_ref(), &h.event.id));
                Ok(found)
            })
            .await?;
        let occurrences = found.into_iter().map(|h| v1::Occurrence {
            start_ms: h.start.0,
            end_ms: h.end.0,
            event: Some(event_out(h.event)),
        });
        Ok(Response::new(v1::UpcomingResponse {
            occurrences: occurrences.collect(),
        }))
    }
}

/// The tenant that a request narrows itself to. A foreign one is answered as one that is not there,
/// from the credential alone.
fn tenant(caller: &Principal, given: &str) -> Result<Option<TenantId>, Status> {
    if given.is_empty() {
        return Ok(None);
    }
    let tenant: TenantId = given
        .parse()
        .map_err(|e| bad_field("tenant", format!("{e}")))?;
    match caller.sees(&tenant) {
        true => Ok(Some(tenant)),
        false => Err(status(scope::absent("tenant", given))),
    }
}

fn is_own(caller: &Principal, only: Option<&TenantId>, id: &ScopedId) -> bool {
    caller.sees(&id.tenant) && only.is_none_or(|t| *t == id.tenant)
}

/// The sending end of one stream of frames.
pub(crate) struct Reporter {
    shared: Shared,
    wake: Wake,
    caller: Arc<Principal>,
    frames: Streaming<v1::EventFrame>,
    greeted: bool,
    /// Sequence of the newest frame.
    last: u64,
}

type Stepped = (Option<Result<v1::EventAck, Status>>, Reporter);

/// The acks of one stream; ends when the sender has ended, or after an error.
pub(crate) struct Acks(Option<Pin<Box<dyn Future<Output = Stepped> + Send>>>);

impl Stream for Acks {
    type Item = Result<v1::EventAck, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(running) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let (item, reporter) = std::task::ready!(running.as_mut().poll(cx));
        self.0 = matches!(item, Some(Ok(_))).then(|| reporter.step());
        Poll::Ready(item)
    }
}

impl Reporter {
    fn step(mut self) -> Pin<Box<dyn Future<Output = Stepped> + Send>> {
        let span = tracing::Span::current();
        Box::pin(async move { (self.next().await.transpose(), self) }.instrument(span))
    }

    /// The next ack; `None` when the sender has ended.
    async fn next(&mut self) -> Result<Option<v1::EventAck>, Status> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Ok(Some(v1::EventAck::default()));
        }
        let frame = tokio::select! {
            frame = self.frames.next() => frame.transpose()?,
            _ = self.wake.closing.wait_for(|closing| *closing) => return Err(closing()),
        };
        let Some(frame) = frame else {
            return Ok(None);
        };
        if frame.sequence <= self.last {
            return Err(bad_field(
                "sequence",
                format!(
                    "{} does not rise: the frame before had {}, and the first has 1 or more",
                    frame.sequence, self.last
                ),
            ));
        }
        self.last = frame.sequence;
        Ok(Some(self.apply(frame).await))
    }

    async fn apply(&self, frame: v1::EventFrame) -> v1::EventAck {
        let sequence = frame.sequence;
        match self.applied(frame).await {
            Ok(ack) => v1::EventAck { sequence, ..ack },
            Err(refused) => v1::EventAck {
                sequence,
                error: Some(v1::FrameError {
                    code: refused.status.code() as i32,
                    retry_after_ms: retry_after_ms(&refused.status),
                    message: refused.status.message().to_owned(),
                    quota: None,
                }),
                problems: refused.problems,
                ..Default::default()
            },
        }
    }

    async fn applied(&self, frame: v1::EventFrame) -> Result<v1::EventAck, Refused> {
        let frame = Frame::read(&self.caller, frame)?;
        let (caller, changes) = (self.caller.clone(), frame.clone());
        let applied = self
            .shared
            .blocking(move |gate| {
                let there = |id: &ScopedId| gate.get(&caller, &key(id)).is_ok();
                let changes = changes.changes(&caller, there);
                // An inner result: what the port says of the frame is told in the ack.
                match changes.is_empty() {
                    true => Ok(Ok((gate.generation(), vec![]))),
                    false => Ok(gate
                        .apply(&caller, changes, Run::Real)
                        .map(|a| (a.generation, a.effects))),
                }
            })
            .await?;
        let (generation, effects) = applied.map_err(|e| frame.refused(e))?;
        let done: BTreeMap<&str, Effect> = effects
            .iter()
            .map(|(key, e)| (key.name.as_str(), *e))
            .collect();
        let names = frame.put.iter().map(|e| &e.id).chain(&frame.withdraw);
        let effects = names.map(|id| {
            let name = id.to_string();
            // What is not among the changes was not there to be withdrawn.
            let effect = done
                .get(name.as_str())
                .copied()
                .unwrap_or(Effect::Unchanged);
            v1::EventEffect {
                name,
                effect: effect_out(effect).into(),
            }
        });
        Ok(v1::EventAck {
            effects: effects.collect(),
            generation: generation.0,
            ..Default::default()
        })
    }
}

fn key(id: &ScopedId) -> ObjectKey {
    ObjectKey {
        kind: ObjectKind::Event,
        name: id.to_string(),
    }
}

/// Why a frame was not applied.
struct Refused {
    status: Status,
    problems: Vec<v1::EventProblem>,
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self {
            status,
            problems: vec![],
        }
    }
}

impl Refused {
    fn of(problems: Vec<FieldProblem>) -> Self {
        let told = problems.iter().map(|p| v1::EventProblem {
            field: p.field.clone(),
            problem: p.problem.clone(),
        });
        Self {
            problems: told.collect(),
            status: status(ServeError::Invalid { problems }),
        }
    }
}

/// A frame whose events were read.
#[derive(Clone)]
struct Frame {
    put: Vec<Event>,
    withdraw: Vec<ScopedId>,
}

impl Frame {
    fn read(caller: &Principal, frame: v1::EventFrame) -> Result<Self, Refused> {
        let count = frame.put.len() + frame.withdraw.len();
        if count > MAX_FRAME {
            let text =
                format!("{count} events and names are more than {MAX_FRAME}; send several frames");
            return Err(bad_field("put", text).into());
        }
        let mut problems = Problems::default();
        let mut first: BTreeMap<ScopedId, String> = BTreeMap::new();
        let mut once = |id: &ScopedId, field: &str, problems: &mut Problems| {
            if let Some(other) = first.insert(id.clone(), field.to_owned()) {
                let text =
                    format!("`{id}` stands at {other} already; send one of them in a later frame");
                problems.push(field, text);
            }
        };
        let mut put = vec![];
        for (i, given) in frame.put.into_iter().enumerate() {
            let field = format!("put[{i}]");
            let Some(read) = event(given, &field, &mut problems) else {
                continue;
            };
            if !caller.sees(&read.id.tenant) {
                let text = format!(
                    "your credential does not hold the tenant `{}`",
                    read.id.tenant
                );
                return Err(status(ServeError::Denied(text)).into());
            }
            for api in read.apis.iter().filter(|api| !caller.sees(&api.tenant)) {
                let text = format!("there is no api `{api}` among your credential's tenants");
                problems.push(format!("{field}.apis"), text);
            }
            once(&read.id, &format!("{field}.name"), &mut problems);
            put.push(read);
        }
        let mut withdraw = vec![];
        for (i, name) in frame.withdraw.iter().enumerate() {
            let field = format!("withdraw[{i}]");
            if let Some(id) = problems.take(&field, name.parse::<ScopedId>()) {
                once(&id, &field, &mut problems);
                withdraw.push(id);
            }
        }
        match problems.into_inner() {
            none if none.is_empty() => Ok(Self { put, withdraw }),
            some => Err(Refused::of(some)),
        }
    }

    /// The change set. What is not there, or not the caller's, needs no withdrawal; which of the two
    /// it is stays untold.
    fn changes(self, caller: &Principal, there: impl Fn(&ScopedId) -> bool) -> Vec<Change> {
        let put = self.put.into_iter().map(|event| Change::Put {
            object: Box::new(Object::Event(event)),
            expect: None,
        });
        let gone = self.withdraw.into_iter();
        let gone = gone.filter(|id| caller.sees(&id.tenant) && there(id));
        let gone = gone.map(|id| Change::Delete {
            key: key(&id),
            expect: None,
        });
        put.chain(gone).collect()
    }

    /// What the port says of the frame; a problem of an event stands at its place in the frame.
    fn refused(&self, error: ServeError) -> Refused {
        let ServeError::Invalid { problems } = error else {
            return status(error).into();
        };
        let place = |p: FieldProblem| {
            let name = p.object.strip_prefix("event ");
            let i = self
                .put
                .iter()
                .position(|e| Some(e.id.to_string().as_str()) == name);
            let (object, field) = match i {
                Some(i) => (String::new(), format!("put[{i}].{}", p.field)),
                None => (p.object, p.field),
            };
            FieldProblem {
                object,
                field,
                problem: p.problem,
            }
        };
        Refused::of(problems.into_iter().map(place).collect())
    }
}

/// What a watcher of the calendar has seen.
pub(crate) struct Watch {
    shared: Shared,
    wake: Wake,
    caller: Arc<Principal>,
    tenant: Option<TenantId>,
    /// The catalog's generation that was read last.
    read: Option<Generation>,
    sent: BTreeMap<ScopedId, Event>,
    pending: VecDeque<v1::WatchEventsResponse>,
}

impl Watch {
    async fn next(&mut self) -> Result<v1::WatchEventsResponse, Status> {
        loop {
            if self.wake.is_closing() {
                return Err(closing());
            }
            if let Some(next) = self.pending.pop_front() {
                return Ok(next);
            }
            self.wake.seen();
            if self.look()? {
                continue;
            }
            self.wake.changed().await?;
        }
    }

    /// Whether there is something to send, which is then pending.
    fn look(&mut self) -> Result<bool, Status> {
        // Before the events: a change in between is then seen at the next look.
        let stands = self.shared.gate.generation();
        if self.read == Some(stands) {
            return Ok(false);
        }
        let first = self.read.replace(stands).is_none();
        let all = self.shared.gate.list(&self.caller, ObjectKind::Event);
        let now: BTreeMap<ScopedId, Event> = all
            .map_err(status)?
            .into_iter()
            .filter_map(|object| match object.value {
                Object::Event(event) => Some((event.id.clone(), event)),
                _ => None,
            })
            .filter(|(id, _)| is_own(&self.caller, self.tenant.as_ref(), id))
            .collect();
        let changed: Vec<v1::Event> = now
            .iter()
            .filter(|(id, event)| self.sent.get(id) != Some(event))
            .map(|(_, event)| event_out(event.clone()))
            .collect();
        let gone = self.sent.keys().filter(|id| !now.contains_key(id));
        let gone: Vec<String> = gone.map(ToString::to_string).collect();
        self.sent = now;
        if !first && changed.is_empty() && gone.is_empty() {
            return Ok(false);
        }
        let pages = changed.chunks(PAGE).map(|page| v1::WatchEventsResponse {
            put: page.to_vec(),
            ..Default::default()
        });
        self.pending.extend(pages);
        if self.pending.is_empty() {
            self.pending.push_back(v1::WatchEventsResponse::default());
        }
        if let Some(last) = self.pending.back_mut() {
            last.withdrawn = gone;
            last.complete = true;
        }
        Ok(true)
    }
}
