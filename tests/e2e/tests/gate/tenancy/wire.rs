//! Calls by name, with bytes: what a test need not know of a call to make it.
//!
//! Every call is made as a stream of messages that is answered by a stream, which on the wire is what
//! the three other kinds are special cases of.

use super::names::Names;
use anyhow::{Context, Result, anyhow, bail};
use prost::Message;
use prost::bytes::{Buf, BufMut};
use std::fmt;
use std::time::Duration;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_reflection::pb::v1 as reflection;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// A watch that says nothing for so long has said what it had to say.
const QUIET: Duration = Duration::from_millis(400);

/// Messages as they are.
#[derive(Debug, Clone, Copy, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Bytes;
    type Decoder = Bytes;

    fn encoder(&mut self) -> Bytes {
        Bytes
    }

    fn decoder(&mut self) -> Bytes {
        Bytes
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}

/// A call as reflection describes it.
#[derive(Debug, Clone)]
pub(super) struct Method {
    /// `tidegate.v1.Plans/GetPlan`.
    pub(super) path: String,
    /// Whether its answer is a stream.
    pub(super) server_streams: bool,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// Messages.
    pub(super) items: Vec<Vec<u8>>,
    /// Code, text and details of the end, where there was one.
    pub(super) end: Option<(i32, String, Vec<u8>)>,
}

impl Answer {
    fn of(items: Vec<Vec<u8>>, end: Option<Status>) -> Self {
        let end = end.map(|s| {
            (
                s.code() as i32,
                s.message().to_owned(),
                s.details().to_vec(),
            )
        });
        Self { items, end }
    }

    /// How it ended; a watch that goes on is well.
    pub(super) fn code(&self) -> Code {
        self.end.as_ref().map_or(Code::Ok, |e| Code::from_i32(e.0))
    }

    /// Everything that a stranger could read in it.
    pub(super) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let end = self.end.iter();
        let end = end.flat_map(|(_, text, details)| [text.as_bytes(), details.as_slice()]);
        self.items.iter().map(Vec::as_slice).chain(end)
    }

    /// The answer with the names that were asked for struck out.
    pub(super) fn without(&self, names: &Names) -> Self {
        let struck = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            for name in names.asked() {
                let blank = vec![b'_'; name.len()];
                let mut at = 0;
                while let Some(found) = bytes[at..]
                    .windows(name.len())
                    .position(|w| w == name.as_bytes())
                {
                    let from = at + found;
                    bytes[from..from + name.len()].copy_from_slice(&blank);
                    at = from + name.len();
                }
            }
            bytes
        };
        Self {
            items: self.items.iter().map(|i| struck(i)).collect(),
            end: self.end.as_ref().map(|(code, text, details)| {
                let text = String::from_utf8_lossy(&struck(text.as_bytes())).into_owned();
                (*code, text, struck(details))
            }),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in &self.items {
            writeln!(f, "  {}", String::from_utf8_lossy(item).escape_debug())?;
        }
        match &self.end {
            None => writeln!(f, "  (goes on)"),
            Some((code, text, details)) => writeln!(
                f,
                "  {:?}: {text} [{}]",
                Code::from_i32(*code),
                String::from_utf8_lossy(details).escape_debug()
            ),
        }
    }
}

/// A stream that is open, or how it failed to open.
pub(super) type Open = std::result::Result<Streaming<Vec<u8>>, Status>;

/// Reads to the end; a watch until it is quiet.
pub(super) async fn read(open: Open, watches: bool) -> Answer {
    let mut stream = match open {
        Ok(stream) => stream,
        Err(status) => return Answer::of(vec![], Some(status)),
    };
    let mut items = vec![];
    loop {
        let next = stream.message();
        let next = if watches {
            match tokio::time::timeout(QUIET, next).await {
                Ok(next) => next,
                Err(_) => return Answer::of(items, None),
            }
        } else {
            next.await
        };
        match next {
            Ok(Some(item)) => items.push(item),
            Ok(None) => return Answer::of(items, None),
            Err(status) => return Answer::of(items, Some(status)),
        }
    }
}

/// A connection on which any call can be made.
#[derive(Debug, Clone)]
pub(super) struct Wire(pub(super) Channel);

impl Wire {
    /// Opens a call.
    pub(super) async fn open(
        &self,
        rpc: &str,
        token: Option<&str>,
        messages: Vec<Vec<u8>>,
    ) -> Result<Open> {
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await.context("the daemon is gone")?;
        let mut request = Request::new(tokio_stream::iter(messages));
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse()?;
            request.metadata_mut().insert("authorization", value);
        }
        let path = format!("/{rpc}").parse()?;
        let answer = grpc.streaming(request, path, Bytes).await;
        Ok(answer.map(tonic::Response::into_inner))
    }

    /// Makes a call and reads what it answers.
    pub(super) async fn call(
        &self,
        rpc: &str,
        token: Option<&str>,
        messages: Vec<Vec<u8>>,
        watches: bool,
    ) -> Result<Answer> {
        Ok(read(self.open(rpc, token, messages).await?, watches).await)
    }

    /// Makes a call that must be answered by one message.
    pub(super) async fn one<A: Message + Default>(
        &self,
        rpc: &str,
        token: &str,
        message: &impl Message,
    ) -> Result<A> {
        let messages = vec![message.encode_to_vec()];
        let answer = self.call(rpc, Some(token), messages, false).await?;
        match &answer.items[..] {
            [item] => Ok(A::decode(item.as_slice())?),
            _ => bail!("{rpc} by {token}: {answer}"),
        }
    }

    /// All calls of all services that the daemon's reflection knows, ascending.
    pub(super) async fn methods(&self, token: &str) -> Result<Vec<Method>> {
        let list = MessageRequest::ListServices(String::new());
        let MessageResponse::ListServicesResponse(services) = self.reflect(token, list).await?
        else {
            bail!("reflection lists no services")
        };
        let mut methods = vec![];
        for service in services.service {
            let symbol = MessageRequest::FileContainingSymbol(service.name.clone());
            let MessageResponse::FileDescriptorResponse(files) =
                self.reflect(token, symbol).await?
            else {
                bail!("reflection does not know {}", service.name)
            };
            for file in files.file_descriptor_proto {
                let file = prost_types::FileDescriptorProto::decode(file.as_slice())?;
                for described in &file.service {
                    let name = format!("{}.{}", file.package(), described.name());
                    if name != service.name {
                        continue;
                    }
                    methods.extend(described.method.iter().map(|m| Method {
                        path: format!("{name}/{}", m.name()),
                        server_streams: m.server_streaming(),
                    }));
                }
            }
        }
        methods.sort_by(|a, b| a.path.cmp(&b.path));
        anyhow::ensure!(
            methods.len() > 20,
            "reflection tells of too few: {methods:?}"
        );
        Ok(methods)
    }

    async fn reflect(&self, token: &str, ask: MessageRequest) -> Result<MessageResponse> {
        let request = reflection::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(ask),
        };
        let rpc = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
        let answer: reflection::ServerReflectionResponse = self.one(rpc, token, &request).await?;
        answer
            .message_response
            .ok_or_else(|| anyhow!("reflection answers nothing"))
    }
}
