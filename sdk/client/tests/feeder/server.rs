//! A server that follows a script: the protocol from the other side, with a store in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use tidegate_client::{Client, Options, v1};
use tidegate_proto::v1::ingest_server::{Ingest, IngestServer};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// Frames that it takes without an ack.
pub(crate) const WINDOW: u32 = 4;

/// How one stream goes; those behind the script go well.
#[derive(Clone)]
pub(crate) enum Act {
    /// Takes so many frames, tells the acks of fewer, and ends as a broken line would.
    Break { taken: usize, told: usize },
    /// Is refused with this before it begins.
    Refuse(Status),
    /// Answers the first frame with an error, and goes well from then on.
    Error(v1::FrameError),
}

#[derive(Default)]
pub(crate) struct State {
    /// What was stored: the first value stands.
    pub(crate) stored: BTreeMap<(String, i32, i64), f64>,
    /// Every frame with samples, as it came.
    pub(crate) frames: Vec<v1::SampleFrame>,
    pub(crate) script: VecDeque<Act>,
    /// Whether sessions are kept.
    pub(crate) remembers: bool,
    /// Whether it tells terms, and so reads grids and sessions.
    pub(crate) is_old: bool,
    taken: u64,
    acks: Vec<v1::SampleAck>,
}

/// The running server.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) state: Arc<Mutex<State>>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl Server {
    /// A server, and a client of it.
    pub(crate) fn start() -> (Self, Client) {
        let server = Self {
            state: Arc::default(),
            tasks: Arc::default(),
        };
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let endpoint = format!("http://{}", incoming.local_addr().unwrap());
        let service = IngestServer::new(server.clone());
        server.tasks.lock().unwrap().spawn(async move {
            let router = tonic::transport::Server::builder().add_service(service);
            router.serve_with_incoming(incoming).await.unwrap();
        });
        let client = Client::lazy(&Options {
            endpoint,
            ..Options::default()
        });
        (server, client.unwrap())
    }

    pub(crate) fn with<T>(&self, ask: impl FnOnce(&mut State) -> T) -> T {
        ask(&mut self.state.lock().unwrap())
    }
}

impl State {
    fn take(&mut self, known: &BTreeMap<u32, v1::SeriesDeclaration>, frame: &v1::SampleFrame) {
        let (mut stored, mut duplicates) = (0, 0);
        let mut keep = |series_ref: u32, start_ms: i64, step: usize, value: f64| {
            let d = &known[&series_ref];
            let at = start_ms + step as i64 * i64::from(d.step_s) * 1000;
            let entry = self.stored.entry((d.api.clone(), d.signal, at));
            match entry {
                std::collections::btree_map::Entry::Occupied(_) => duplicates += 1,
                std::collections::btree_map::Entry::Vacant(free) => {
                    free.insert(value);
                    stored += 1;
                }
            }
        };
        for samples in &frame.series {
            let columns = samples.columns.as_ref().unwrap();
            assert!(columns.delta_ms.is_empty(), "these tests send no gaps");
            for (step, value) in columns.values.iter().enumerate() {
                keep(samples.series_ref, columns.start_ms, step, *value);
            }
        }
        for grid in &frame.grids {
            let steps = grid.steps as usize;
            for (i, count) in grid.counts.iter().enumerate() {
                let row = (i / steps) as u32;
                let reference = match grid.rows {
                    0 => grid.series_ref[row as usize],
                    _ => grid.series_ref[0] + row,
                };
                keep(reference, grid.start_ms, i % steps, *count as f64);
            }
        }
        self.taken = frame.sequence;
        self.frames.push(frame.clone());
        self.acks.push(v1::SampleAck {
            sequence: frame.sequence,
            stored,
            duplicates,
            ..Default::default()
        });
    }
}

async fn serve(
    server: Server,
    mut frames: Streaming<v1::SampleFrame>,
    acks: mpsc::Sender<Result<v1::SampleAck, Status>>,
    act: Option<Act>,
) {
    let terms = (!server.with(|s| s.is_old)).then(|| v1::StreamTerms {
        max_unacked_bytes: 1 << 20,
        ..Default::default()
    });
    let tell = async |ack| {
        let _ = acks.send(Ok(ack)).await;
    };
    tell(v1::SampleAck {
        max_unacked: WINDOW,
        terms,
        ..Default::default()
    })
    .await;
    let mut known = BTreeMap::new();
    let mut count = 0;
    while let Ok(Some(frame)) = frames.message().await {
        if let Some(open) = &frame.open {
            let (taken, missed) = server.with(|s| {
                if !s.remembers {
                    s.taken = 0;
                    s.acks.clear();
                }
                let missed = s.acks.iter().filter(|a| a.sequence > open.heard);
                (s.taken, missed.cloned().collect::<Vec<_>>())
            });
            tell(v1::SampleAck {
                resumed: Some(v1::StreamResumed { taken }),
                ..Default::default()
            })
            .await;
            for ack in missed {
                tell(ack).await;
            }
            continue;
        }
        known.extend(frame.declare.iter().map(|d| (d.series_ref, d.clone())));
        count += 1;
        let told = match &act {
            Some(Act::Error(error)) if count == 1 => {
                let error = Some(error.clone());
                let sequence = frame.sequence;
                tell(v1::SampleAck {
                    sequence,
                    error,
                    ..Default::default()
                })
                .await;
                continue;
            }
            Some(Act::Break { told, .. }) => count <= *told,
            _ => true,
        };
        let ack = server.with(|s| {
            s.take(&known, &frame);
            s.acks.last().cloned().unwrap()
        });
        if told {
            tell(ack).await;
        }
        if let Some(Act::Break { taken, .. }) = &act
            && count >= *taken
        {
            let _ = acks.send(Err(Status::unavailable("the line is cut"))).await;
            return;
        }
    }
}

#[tonic::async_trait]
impl Ingest for Server {
    type StreamSamplesStream = ReceiverStream<Result<v1::SampleAck, Status>>;

    async fn stream_samples(
        &self,
        request: Request<Streaming<v1::SampleFrame>>,
    ) -> Result<Response<Self::StreamSamplesStream>, Status> {
        let act = self.with(|s| s.script.pop_front());
        if let Some(Act::Refuse(status)) = act {
            return Err(status);
        }
        let (acks, outgoing) = mpsc::channel(1);
        let frames = request.into_inner();
        let stream = serve(self.clone(), frames, acks, act);
        self.tasks.lock().unwrap().spawn(stream);
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn push(
        &self,
        _: Request<v1::PushRequest>,
    ) -> Result<Response<v1::PushResponse>, Status> {
        Err(Status::unimplemented("a feeder streams"))
    }
}
