//! Messages of gRPC out of a body.
//!
//! They are read here rather than by tonic, which would set memory aside for the length that a stranger
//! announces, before anybody could ask for room, and would unpack without a bound on windows, on a
//! thread that must not be busy.
//!
//! Sources: github.com/grpc, "gRPC over HTTP2" and "gRPC Compression".

use super::Held;
use super::room::Place;
use super::unpack::{Packing, Problem};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::HeaderMap;
use std::future::Future;
use std::time::Duration;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::BoxFuture;
use tonic::codegen::tokio_stream::StreamExt as _;
use tonic::server::ClientStreamingService;
use tonic::{Request, Response, Status, Streaming};

/// Bytes before a message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// What is read here, as a sender is told.
const ACCEPTED: &str = "gzip,zstd,identity";

/// What stands before a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    flag: u8,
    length: usize,
}

/// Messages out of a body.
pub(super) struct Frames {
    data: axum::body::BodyDataStream,
    /// What has arrived and is not taken.
    here: BytesMut,
    limit: usize,
    /// What to do where a message is larger than that.
    remedy: &'static str,
    packing: Option<Packing>,
}

impl Frames {
    /// Those of a body, of at most `limit` bytes each, packed and unpacked.
    ///
    /// # Errors
    /// Where they are packed in a way that is not read.
    pub(super) fn of(
        headers: &HeaderMap,
        body: axum::body::Body,
        limit: usize,
        remedy: &'static str,
    ) -> Result<Self, Status> {
        let packing = match headers.get("grpc-encoding") {
            None => None,
            Some(name) => Some(packing(name)?),
        };
        Ok(Self {
            data: body.into_data_stream(),
            here: BytesMut::new(),
            limit,
            remedy,
            packing: packing.filter(|p| *p != Packing::None),
        })
    }

    /// The head of the next message; `None` at the end.
    pub(super) async fn head(&mut self) -> Result<Option<Head>, Status> {
        if !self.gather(HEAD).await? {
            return if self.here.is_empty() {
                Ok(None)
            } else {
                Err(cut_off())
            };
        }
        let flag = self.here.get_u8();
        let length = self.here.get_u32() as usize;
        if length > self.limit {
            return Err(self.too_large());
        }
        Ok(Some(Head { flag, length }))
    }

    /// The message behind a head, for which there is room.
    pub(super) async fn message(&mut self, head: Head, place: Place) -> Result<Held, Status> {
        if !self.gather(head.length).await? {
            return Err(cut_off());
        }
        let body = self.here.split_to(head.length).freeze();
        // What is left is a part of the next message; the memory of this one must not hang on it.
        self.here = BytesMut::from(&self.here[..]);
        let packing = match (head.flag, self.packing) {
            (0, _) => return Ok((body, place)),
            (1, Some(packing)) => packing,
            (1, None) => {
                return Err(Status::internal(
                    "a message is compressed, and `grpc-encoding` does not say how",
                ));
            }
            _ => {
                return Err(Status::internal(
                    "a message begins neither with 0 nor with 1",
                ));
            }
        };
        let unpacked = packing.unpack_aside((body, place), self.limit).await;
        unpacked.map_err(|problem| match problem {
            Problem::TooLarge(_) => self.too_large(),
            Problem::Damaged(_) => Status::invalid_argument(format!("a message: {problem}")),
        })
    }

    /// Waits until `n` bytes are here; whether they are, or the body has ended.
    async fn gather(&mut self, n: usize) -> Result<bool, Status> {
        while self.here.len() < n {
            match self.data.next().await {
                Some(Ok(data)) => self.here.extend_from_slice(&data),
                Some(Err(error)) => return Err(Status::cancelled(error.to_string())),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn too_large(&self) -> Status {
        let (limit, remedy) = (self.limit, self.remedy);
        Status::resource_exhausted(format!(
            "a message is larger than {limit} bytes; {remedy}, or raise `feeds.message`"
        ))
    }
}

fn packing(name: &http::HeaderValue) -> Result<Packing, Status> {
    let known = name.to_str().ok().and_then(Packing::of_otlp);
    known.ok_or_else(|| {
        let mut status = Status::unimplemented(format!(
            "the compression {name:?} is not read here; send gzip, zstd or none"
        ));
        let accepted = tonic::metadata::MetadataValue::from_static(ACCEPTED);
        status
            .metadata_mut()
            .insert("grpc-accept-encoding", accepted);
        status
    })
}

fn cut_off() -> Status {
    Status::invalid_argument("the stream ends within a message")
}

/// What `work` comes to, or an error that may be repeated where it takes longer than `bound`.
pub(super) async fn within<T>(
    bound: Duration,
    overdue: &'static str,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let done = tokio::time::timeout(bound, work).await;
    done.unwrap_or_else(|_| Err(Status::unavailable(overdue)))
}

/// An answer of one message.
pub(super) async fn answer(message: Vec<u8>) -> http::Response<Body> {
    let nothing = http::Request::new(axum::body::Body::empty());
    let mut grpc = tonic::server::Grpc::new(Plain);
    grpc.client_streaming(Done(message), nothing).await
}

/// What is answered, whatever was asked.
struct Done(Vec<u8>);

impl ClientStreamingService<Bytes> for Done {
    type Response = Vec<u8>;
    type Future = BoxFuture<Response<Vec<u8>>, Status>;

    fn call(&mut self, _: Request<Streaming<Bytes>>) -> Self::Future {
        let message = std::mem::take(&mut self.0);
        Box::pin(async move { Ok(Response::new(message)) })
    }
}

/// Sends what it gets.
#[derive(Debug, Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
