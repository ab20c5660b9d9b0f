//! What is answered on a socket in a sandbox.

use crate::link::blocking;
use crate::message::*;
use crate::stream::{PIECE, WAITING, store_pieces};
use bourn_reapi::digest::DigestMessage;
use bourn_reapi::services::{ErrorKind, ServiceError, ServiceResult};
use bourn_reapi::{ActionCache, ActionResult, Cas, Digest, Directory, TreeMessage};
use prost::Message;
use prost::bytes::Bytes;
use std::collections::HashSet;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tonic::body::Body;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::Grpc;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// Most bytes of blobs in one message, either way.
const BATCH: i64 = 4 << 20;

/// Largest message that is read: a full batch and what surrounds it.
const LARGEST_MESSAGE: usize = 16 << 20;

/// Directories in one part of a tree.
const PAGE: usize = 256;

/// `SymlinkAbsolutePathStrategy.Value.ALLOWED`.
const ALLOWED: i32 = 2;

/// One sandbox's view of the services.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) cas: Arc<dyn Cas>,
    pub(super) actions: Arc<dyn ActionCache>,
    pub(super) may_update: bool,
}

impl Service<http::Request<Body>> for Desk {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let desk = self.clone();
        Box::pin(async move { Ok(desk.answer(request).await) })
    }
}

impl Desk {
    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        const REAPI: &str = "/build.bazel.remote.execution.v2.";
        let path = request.uri().path().to_owned();
        match path.strip_prefix(REAPI).unwrap_or(&path) {
            "Capabilities/GetCapabilities" => {
                unary(request, |_: GetCapabilitiesRequest| ready(Ok(self.capabilities()))).await
            }
            "ContentAddressableStorage/FindMissingBlobs" => {
                unary(request, |question| self.work(move |desk| desk.find_missing(&question))).await
            }
            "ContentAddressableStorage/BatchUpdateBlobs" => {
                unary(request, |question| self.work(move |desk| desk.update(question))).await
            }
            "ContentAddressableStorage/BatchReadBlobs" => {
                unary(request, |question| self.work(move |desk| desk.read(question))).await
            }
            "ContentAddressableStorage/GetTree" => {
                let open = |question: GetTreeRequest| {
                    let desk = self.clone();
                    stream(move |parts| desk.tree(&question, &parts))
                };
                grpc().server_streaming(Method(open), request).await
            }
            "ActionCache/GetActionResult" => {
                unary(request, |question| self.work(move |desk| desk.action_result(&question))).await
            }
            "ActionCache/UpdateActionResult" => {
                unary(request, |question| self.work(move |desk| desk.update_action_result(question))).await
            }
            "/google.bytestream.ByteStream/Read" => {
                let open = |question: ReadRequest| {
                    let desk = self.clone();
                    stream(move |parts| desk.stream_blob(&question, &parts))
                };
                grpc().server_streaming(Method(open), request).await
            }
            "/google.bytestream.ByteStream/Write" => {
                let take = |parts: Streaming<WriteRequest>| self.clone().take(parts);
                grpc().client_streaming(Method(take), request).await
            }
            "/google.bytestream.ByteStream/QueryWriteStatus" => {
                unary(request, |question| self.work(move |desk| desk.write_status(&question))).await
            }
            _ => Status::unimplemented("storage and a cache of actions are all there is here").into_http(),
        }
    }

    /// Runs what blocks beside everything else.
    fn work<A: Send + 'static>(
        &self,
        work: impl FnOnce(&Desk) -> Result<A, Status> + Send + 'static,
    ) -> impl Future<Output = Result<A, Status>> + Send + 'static {
        let desk = self.clone();
        async move {
            let done = tokio::task::spawn_blocking(move || work(&desk)).await;
            done.unwrap_or_else(|error| Err(Status::internal(error.to_string())))
        }
    }

    fn capabilities(&self) -> ServerCapabilities {
        ServerCapabilities {
            cache_capabilities: Some(CacheCapabilities {
                digest_functions: vec![SHA256],
                action_cache_update_capabilities: Some(UpdateCapabilities {
                    update_enabled: self.may_update,
                }),
                max_batch_total_size_bytes: BATCH,
                symlink_absolute_path_strategy: ALLOWED,
                ..CacheCapabilities::default()
            }),
            low_api_version: Some(ApiVersion { major: 2, minor: 0 }),
            high_api_version: Some(ApiVersion { major: 2, minor: 2 }),
        }
    }

    fn find_missing(&self, question: &FindMissingBlobsRequest) -> Result<FindMissingBlobsResponse, Status> {
        let wanted = question.blob_digests.iter().map(digest).collect::<Result<Vec<_>, _>>()?;
        let missing = self.cas.missing_blobs(&wanted).map_err(|error| status(&error))?;
        let missing_blob_digests = missing.into_iter().map(DigestMessage::from).collect();
        Ok(FindMissingBlobsResponse { missing_blob_digests })
    }

    fn update(&self, question: BatchUpdateBlobsRequest) -> Result<BatchUpdateBlobsResponse, Status> {
        let each = |blob: UpdateBlob| {
            let stored = digest_of(blob.digest.as_ref()).and_then(|digest| {
                if blob.compressor != IDENTITY {
                    return Err(Status::invalid_argument("compressed blobs are not taken"));
                }
                if Digest::of(&blob.data) != digest {
                    return Err(Status::invalid_argument(format!("{digest} is not what came")));
                }
                self.cas.write(&blob.data).map_err(|error| status(&error))
            });
            UpdatedBlob { digest: blob.digest, status: Some(told(stored.err().as_ref())) }
        };
        Ok(BatchUpdateBlobsResponse { responses: question.requests.into_iter().map(each).collect() })
    }

    fn read(&self, question: BatchReadBlobsRequest) -> Result<BatchReadBlobsResponse, Status> {
        let wanted = question.digests.iter().map(digest).collect::<Result<Vec<_>, _>>()?;
        let size = wanted.iter().fold(0_u64, |size, digest| size.saturating_add(digest.size));
        if size > BATCH as u64 {
            return Err(Status::invalid_argument(format!("no more than {BATCH} bytes are sent at a time")));
        }
        let each = |digest: &Digest| {
            let (data, failed) = match self.cas.read(digest) {
                Ok(data) => (data, None),
                Err(error) => (Vec::new(), Some(status(&error))),
            };
            let status = Some(told(failed.as_ref()));
            ReadBlob { digest: Some((*digest).into()), data, status, compressor: IDENTITY }
        };
        Ok(BatchReadBlobsResponse { responses: wanted.iter().map(each).collect() })
    }

    /// Sends the directories of a tree, each once, from the root downwards.
    fn tree(&self, question: &GetTreeRequest, parts: &Parts<GetTreeResponse>) -> Result<(), Status> {
        let root = digest_of(question.root_digest.as_ref())?;
        let (mut level, mut known) = (vec![root], HashSet::from([root]));
        let mut page: Vec<Directory> = Vec::new();
        while !level.is_empty() {
            let mut next = Vec::new();
            for digest in level {
                let directory = self.cas.directory(&digest).map_err(|error| status(&error))?;
                for node in &directory.directories {
                    let child = digest_of(node.digest.as_ref())?;
                    if known.insert(child) {
                        next.push(child);
                    }
                }
                page.push((*directory).clone());
                if page.len() == PAGE {
                    parts.send(GetTreeResponse {
                        directories: std::mem::take(&mut page),
                        ..Default::default()
                    })?;
                }
            }
            level = next;
        }
        parts.send(GetTreeResponse { directories: page, ..Default::default() })
    }

    fn stream_blob(&self, question: &ReadRequest, parts: &Parts<ReadResponse>) -> Result<(), Status> {
        let digest = blob_of(&question.resource_name)?;
        let size = digest.size;
        let start = u64::try_from(question.read_offset).ok().filter(|start| *start <= size);
        let (Some(start), Ok(limit)) = (start, u64::try_from(question.read_limit)) else {
            return Err(Status::out_of_range(format!("{digest} has no such part")));
        };
        let end = if limit == 0 { size } else { size.min(start.saturating_add(limit)) };
        let file = self.cas.open(&digest).map_err(|error| status(&error))?;
        let mut at = start;
        while at < end {
            let mut piece = vec![0; PIECE.min(usize::try_from(end - at).unwrap_or(PIECE))];
            file.read_exact_at(&mut piece, at)
                .map_err(|error| Status::data_loss(format!("{digest}: {error}")))?;
            at += piece.len() as u64;
            parts.send(ReadResponse { data: Bytes::from(piece) })?;
        }
        Ok(())
    }

    async fn take(self, mut parts: Streaming<WriteRequest>) -> Result<WriteResponse, Status> {
        let first = parts.message().await?.ok_or_else(|| Status::invalid_argument("nothing came"))?;
        let digest = blob_of(&first.resource_name)?;
        let (pieces, receiver) = channel(WAITING);
        let cas = self.cas.clone();
        let stored = tokio::spawn(blocking(move || store_pieces(&*cas, receiver, digest.size, false)));
        let came = receive(first, parts, digest.size, &pieces).await;
        if came.is_err() {
            let _ = pieces.send(Err(io::Error::other("the transfer was broken off"))).await;
        }
        drop(pieces);
        let stored = stored.await.map_err(|error| Status::internal(error.to_string()))?;
        // What went wrong here explains why nothing more was taken.
        let stored = stored.map_err(|fault| status(&fault.into_error()));
        came.or_else(
            |error| if error.code() == Code::Aborted { stored.clone().map(drop) } else { Err(error) },
        )?;
        match stored? == digest {
            true => Ok(WriteResponse { committed_size: digest.size as i64 }),
            false => Err(Status::invalid_argument(format!("{digest} is not what came"))),
        }
    }

    fn write_status(&self, question: &QueryWriteStatusRequest) -> Result<QueryWriteStatusResponse, Status> {
        let digest = blob_of(&question.resource_name)?;
        let missing = self.cas.missing_blobs(&[digest]).map_err(|error| status(&error))?;
        // Nothing is kept of what did not come whole.
        let complete = missing.is_empty();
        let committed_size = if complete { digest.size as i64 } else { 0 };
        Ok(QueryWriteStatusResponse { committed_size, complete })
    }

    fn action_result(&self, question: &GetActionResultRequest) -> Result<ActionResult, Status> {
        let action = digest_of(question.action_digest.as_ref())?;
        let found = self.actions.action_result(&action).map_err(|error| status(&error))?;
        let nothing = || Status::not_found(format!("there is no result of {action}"));
        let result = found.ok_or_else(nothing)?;
        match self.is_whole(&result).map_err(|error| status(&error))? {
            true => Ok(result),
            false => Err(nothing()),
        }
    }

    fn update_action_result(&self, question: UpdateActionResultRequest) -> Result<ActionResult, Status> {
        if !self.may_update {
            return Err(Status::permission_denied(
                "results are not kept: the element's sandbox does not say `action-cache-enable-update`",
            ));
        }
        let action = digest_of(question.action_digest.as_ref())?;
        let result = question.action_result.ok_or_else(|| Status::invalid_argument("there is no result"))?;
        if !self.is_whole(&result).map_err(|error| status(&error))? {
            return Err(Status::failed_precondition("the result refers to what was not stored"));
        }
        self.actions.update_action_result(&action, &result).map_err(|error| status(&error))?;
        Ok(result)
    }

    /// Whether all that a result refers to is stored.
    fn is_whole(&self, result: &ActionResult) -> ServiceResult<bool> {
        let blobs = result.blobs().map(Digest::try_from).collect::<Result<Vec<_>, _>>()?;
        if !self.cas.missing_blobs(&blobs)?.is_empty() {
            return Ok(false);
        }
        for output in &result.output_directories {
            if let Some(root) = &output.root_directory_digest
                && !self.cas.contains_tree(&root.try_into()?)?
            {
                return Ok(false);
            }
            if let Some(tree) = &output.tree_digest
                && !self.cas.missing_blobs(&files_of(&self.cas.read(&tree.try_into()?)?)?)?.is_empty()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The files that a serialized [`TreeMessage`] refers to.
fn files_of(tree: &[u8]) -> ServiceResult<Vec<Digest>> {
    let tree = TreeMessage::decode(tree)
        .map_err(|error| ServiceError::new(ErrorKind::Invalid, format!("this is no tree: {error}")))?;
    Ok(tree.files().map(Digest::try_from).collect::<Result<_, _>>()?)
}

/// Hands on what comes for a blob; `Aborted` when nobody takes it any more.
async fn receive(
    first: WriteRequest,
    mut parts: Streaming<WriteRequest>,
    size: u64,
    pieces: &Sender<io::Result<Bytes>>,
) -> Result<(), Status> {
    let (mut done, mut part) = (0_u64, first);
    loop {
        if u64::try_from(part.write_offset) != Ok(done) {
            return Err(Status::invalid_argument(format!("the part at {done} was to come next")));
        }
        done = done.saturating_add(part.data.len() as u64);
        if done > size {
            return Err(Status::invalid_argument("more came than the digest says"));
        }
        let is_last = part.finish_write;
        if !part.data.is_empty() {
            pieces.send(Ok(part.data)).await.map_err(|_| Status::aborted("nothing more is taken"))?;
        }
        if is_last {
            return Ok(());
        }
        part = parts.message().await?.ok_or_else(|| Status::cancelled("the blob did not come whole"))?;
    }
}

/// The blob that a resource of byte streams names: `[INSTANCE/][uploads/ID/]blobs/HASH/SIZE[/MORE]`.
fn blob_of(resource: &str) -> Result<Digest, Status> {
    let mut parts = resource.split('/').skip_while(|part| *part != "blobs").skip(1);
    let found = parts.next().zip(parts.next()).and_then(|(hash, size)| format!("{hash}/{size}").parse().ok());
    found.ok_or_else(|| Status::invalid_argument(format!("{resource} names no blob")))
}

fn digest(message: &DigestMessage) -> Result<Digest, Status> {
    Digest::try_from(message).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn digest_of(message: Option<&DigestMessage>) -> Result<Digest, Status> {
    digest(message.ok_or_else(|| Status::invalid_argument("there is no digest"))?)
}

fn status(error: &ServiceError) -> Status {
    let code = match error.kind {
        ErrorKind::Missing => Code::NotFound,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::NoSpace => Code::ResourceExhausted,
        ErrorKind::Denied => Code::PermissionDenied,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::TimedOut => Code::DeadlineExceeded,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::Sandbox | ErrorKind::Io => Code::Internal,
    };
    Status::new(code, error.message.clone())
}

/// A status as a part of an answer.
fn told(failed: Option<&Status>) -> StatusMessage {
    failed.map_or_else(StatusMessage::default, |status| StatusMessage {
        code: status.code() as i32,
        message: status.message().to_owned(),
    })
}

fn grpc<Q, A>() -> Grpc<ProstCodec<A, Q>>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
{
    Grpc::new(ProstCodec::default()).max_decoding_message_size(LARGEST_MESSAGE)
}

async fn unary<Q, A, W>(request: http::Request<Body>, work: impl FnMut(Q) -> W) -> http::Response<Body>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    W: Future<Output = Result<A, Status>> + Send + 'static,
{
    grpc().unary(Method(work), request).await
}

/// Where the parts of an answer go.
struct Parts<A>(Sender<Result<A, Status>>);

impl<A> Parts<A> {
    /// # Errors
    /// Nobody wants them any more.
    fn send(&self, part: A) -> Result<(), Status> {
        self.0.blocking_send(Ok(part)).map_err(|_| Status::cancelled("nobody listens"))
    }
}

/// An answer in parts, which a thread of its own makes.
fn stream<A: Send + 'static>(
    work: impl FnOnce(Parts<A>) -> Result<(), Status> + Send + 'static,
) -> Ready<Result<ReceiverStream<Result<A, Status>>, Status>> {
    let (sender, receiver): (_, Receiver<Result<A, Status>>) = channel(WAITING);
    tokio::task::spawn_blocking(move || {
        if let Err(status) = work(Parts(sender.clone())) {
            // Nobody listens, perhaps.
            let _ = sender.blocking_send(Err(status));
        }
    });
    ready(Ok(ReceiverStream::new(receiver)))
}

/// A function as the service that a method is.
struct Method<F>(F);

impl<F, Q, A, W> Service<Request<Q>> for Method<F>
where
    F: FnMut(Q) -> W,
    W: Future<Output = Result<A, Status>> + Send + 'static,
{
    type Response = Response<A>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<A>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let work = (self.0)(request.into_inner());
        Box::pin(async move { Ok(Response::new(work.await?)) })
    }
}
