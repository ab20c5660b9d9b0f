//! A server for tests, in memory: what a remote cache has to do, with what other people's engines do differently, and
//! with everything that can go wrong on the way.

use crate::message::{
    Any, BatchReadBlobsRequest, BatchReadBlobsResponse, BatchUpdateBlobsRequest, BatchUpdateBlobsResponse,
    CacheCapabilities, FetchRequest, FetchResponse, FindMissingBlobsRequest, FindMissingBlobsResponse,
    GetTreeRequest, GetTreeResponse, IDENTITY, PushRequest, QueryWriteStatusRequest,
    QueryWriteStatusResponse, ReadBlob, ReadRequest, ReadResponse, RetryDelay, RetryInfo, SHA256,
    ServerCapabilities, StatusDetails, StatusMessage, UpdatedBlob, WriteRequest, WriteResponse, ZSTD,
};
use crate::server::{Auth, Connection, Server, ServerKind};
use bourn_reapi::{Digest, Directory, SymlinkNode};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use prost::Message;
use prost::bytes::{Bytes, BytesMut};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::Code;
use tonic::codegen::http;

/// What an engine can do.
#[derive(Clone, Debug)]
pub(crate) struct Traits {
    /// `max_batch_total_size_bytes`.
    pub(crate) batch: i64,
    /// How many bytes it takes, whatever it says.
    pub(crate) hidden: Option<i64>,
    /// Whether it knows GetTree.
    pub(crate) trees: bool,
    /// Whether it compresses.
    pub(crate) zstd: bool,
    /// Whether it compresses only what travels alone.
    pub(crate) streams_only: bool,
    /// The digest functions that it knows.
    pub(crate) digests: &'static [i32],
    /// How it says that it does not know a name.
    pub(crate) unknown: Unknown,
    /// Whether it has a Capabilities service.
    pub(crate) capabilities: bool,
    /// Whether names can be asked for.
    pub(crate) fetch: bool,
    /// Whether names can be published.
    pub(crate) push: bool,
    /// The bearer token that it wants to see.
    pub(crate) token: Option<String>,
    /// The instance that it answers for.
    pub(crate) instance: String,
    /// What it grants a connection.
    pub(crate) grants: Grants,
}

/// What a server grants a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grants {
    /// Requests at a time.
    pub(crate) streams: u32,
    /// Bytes of a request, and of all, that it takes before it says so.
    pub(crate) window: u32,
    /// Bytes of headers.
    pub(crate) headers: u32,
}

impl Grants {
    /// As most servers do.
    pub(crate) const USUAL: Grants = Grants { streams: 1000, window: 8 << 20, headers: 16 << 20 };
}

/// How an engine says that it does not know a name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unknown {
    /// With a status in place of an answer; for directories another one.
    Status(Code, Code),
    /// With a status in the answer.
    Answer(Code),
    /// With an answer that has nothing in it.
    Nothing,
}

impl Default for Traits {
    fn default() -> Traits {
        Traits {
            batch: 0,
            hidden: None,
            trees: true,
            zstd: false,
            streams_only: false,
            digests: &[SHA256],
            unknown: Unknown::Status(Code::NotFound, Code::NotFound),
            capabilities: true,
            fetch: true,
            push: true,
            token: None,
            instance: String::new(),
            grants: Grants::USUAL,
        }
    }
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// The answer is this status.
    Code(Code),
    /// The answer takes some time.
    Delay,
    /// There is no answer.
    Silence,
    /// The stream breaks off in the middle of the answer.
    Cut,
    /// The connection breaks off before the answer.
    Drop,
    /// A byte of each blob is another.
    Corrupt,
    /// The answer is no message.
    Garbage,
    /// Something in between answers instead.
    Gateway,
    /// Half of the answer comes, and the rest not before the engine lets go; of an upload nothing is taken until then.
    Hold,
    /// Everything comes in another order.
    Reorder,
    /// The answer is well-formed and not true.
    Lie,
    /// Messages never end.
    Endless,
    /// Only the token `renewed` is valid from now on.
    Renew,
    /// An upload breaks off, and what came of it is taken only after it was asked how much there is.
    Late,
    /// The stream is reset with this code, before the answer.
    Reset(u32),
    /// The connection is closed with this code; what is under way is still answered if it is 0.
    GoAway(u32),
    /// There is too much to do; the server says when to come back, or that it has no room.
    Busy(bool),
    /// Every second blob of a batch cannot be had at the moment.
    Partly,
    /// Every answer comes twice.
    Twice,
    /// Nothing that is asked for is there.
    Forgetful,
    /// An upload is answered without being read to its end: it is there already.
    Early,
    /// An upload is taken, and the answer says that less was.
    Short,
    /// Bytes come one by one, with some time between.
    Drip,
    /// A compressed stream of nothing, without end.
    Skip,
    /// The server loses all that it has, and is started anew.
    Wipe,
    /// There are more headers than anybody needs.
    Verbose,
}

/// What happens to a method.
#[derive(Clone, Debug)]
struct Trouble {
    method: &'static str,
    mishap: Mishap,
    left: u32,
}

/// The blobs and names of an engine.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) traits: Traits,
    pub(crate) blobs: HashMap<Digest, Vec<u8>>,
    pub(crate) names: HashMap<String, Digest>,
    /// What was published, in order.
    pub(crate) pushed: Vec<PushRequest>,
    /// How many requests it answers at a time, each of which takes a moment then; the others it refuses.
    pub(crate) at_a_time: Option<usize>,
    under_way: usize,
    /// Uploads under way.
    partial: HashMap<String, Vec<u8>>,
    /// Messages of an upload that are still to be taken.
    late: Vec<Bytes>,
    troubles: Vec<Trouble>,
    /// Bytes of uploads that came one by one, however often.
    pub(crate) written: u64,
    /// Where downloads one by one began.
    pub(crate) offsets: Vec<i64>,
    /// Calls that are held.
    held: usize,
    /// The methods that were called, in order.
    pub(crate) calls: Vec<String>,
    /// What everything is compressed to, if that is a lie.
    pub(crate) bomb: Option<Vec<u8>>,
    /// Uploads that were answered before they came to their end.
    pub(crate) early: usize,
    /// Whether an asset was published before what it refers to was there.
    pub(crate) too_early: bool,
}

/// A running engine; ends with this value.
pub(crate) struct Engine {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    go: watch::Sender<bool>,
    _runtime: Runtime,
}

impl Engine {
    pub(crate) fn start(traits: Traits) -> Engine {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { traits, ..State::default() }));
        let (go, held) = watch::channel(false);
        runtime.spawn(serve(listener, state.clone(), held));
        Engine { address, state, go, _runtime: runtime }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the next `times` calls of a method go wrong.
    pub(crate) fn trouble(&self, method: &'static str, mishap: Mishap, times: u32) {
        self.state().troubles.push(Trouble { method, mishap, left: times });
    }

    /// Lets everything go right from now on.
    pub(crate) fn mend(&self) {
        self.state().troubles.clear();
    }

    /// Waits until so many calls are held.
    pub(crate) fn await_held(&self, count: usize) {
        let begin = std::time::Instant::now();
        while self.state().held < count {
            assert!(begin.elapsed() < Duration::from_secs(120), "only {} are held", self.state().held);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets go of what is held, for good.
    pub(crate) fn let_go(&self) {
        self.mend();
        self.go.send(true).unwrap();
    }

    /// How often a method was called.
    pub(crate) fn calls(&self, method: &str) -> usize {
        self.state().calls.iter().filter(|call| *call == method).count()
    }

    /// How clients find it: in a hurry, so that tests take no time.
    pub(crate) fn server(&self, kind: ServerKind) -> Server {
        Server {
            url: format!("http://{}", self.address),
            instance: self.state().traits.instance.clone(),
            kind,
            push: true,
            auth: Auth::default(),
            connection: Connection {
                // Otherwise nothing is repeated after some seconds, which may have passed on a busy machine.
                retry_limit: Some(3),
                retry_delay: Some(Duration::from_millis(1)),
                request_timeout: Some(Duration::from_secs(60)),
                ..Connection::default()
            },
            route: crate::Route::Direct,
        }
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>, held: watch::Receiver<bool>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (state, held) = (state.clone(), held.clone());
        let _ = socket.set_nodelay(true);
        tokio::spawn(async move {
            let grants = state.lock().unwrap_or_else(PoisonError::into_inner).traits.grants;
            let Ok(mut connection) = h2::server::Builder::new()
                .initial_window_size(grants.window)
                .initial_connection_window_size(grants.window.saturating_mul(4))
                .max_concurrent_streams(grants.streams)
                .max_header_list_size(grants.headers)
                .handshake::<_, Bytes>(socket)
                .await
            else {
                return;
            };
            let (close, mut closed) = tokio::sync::mpsc::channel::<Close>(16);
            loop {
                let accepted = tokio::select! {
                    accepted = connection.accept() => accepted,
                    how = closed.recv() => match how {
                        Some(Close::Break) | None => return,
                        Some(Close::GoAway(0)) => {
                            connection.graceful_shutdown();
                            continue;
                        }
                        Some(Close::GoAway(reason)) => {
                            connection.abrupt_shutdown(reason.into());
                            continue;
                        }
                    },
                };
                let Some(Ok((request, respond))) = accepted else { return };
                tokio::spawn(answer(request, respond, state.clone(), close.clone(), held.clone()));
            }
        });
    }
}

/// How a connection is closed.
enum Close {
    Break,
    GoAway(u32),
}

/// What an answer consists of.
type Answer = Result<Vec<Vec<u8>>, Code>;

/// A request while it is answered.
struct Visit<'s>(&'s Mutex<State>);

impl Visit<'_> {
    /// `None` where there are too many.
    fn begin(state: &Mutex<State>) -> Option<Visit<'_>> {
        let mut locked = state.lock().unwrap_or_else(PoisonError::into_inner);
        if locked.at_a_time.is_some_and(|most| locked.under_way >= most) {
            return None;
        }
        locked.under_way += 1;
        Some(Visit(state))
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).under_way -= 1;
    }
}

async fn answer(
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    state: Arc<Mutex<State>>,
    close: tokio::sync::mpsc::Sender<Close>,
    mut held: watch::Receiver<bool>,
) {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let token =
        request.headers().get("authorization").and_then(|value| value.to_str().ok().map(str::to_owned));
    let locked = || state.lock().unwrap_or_else(PoisonError::into_inner);
    locked().calls.push(method.clone());
    let _visit = match Visit::begin(&state) {
        Some(visit) => visit,
        None => return refuse(&mut respond, Code::ResourceExhausted),
    };
    if locked().at_a_time.is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mishap = locked().mishap(&method);
    if method == "Write" && mishap == Some(Mishap::Hold) {
        locked().held += 1;
        let _ = held.wait_for(|go| *go).await;
    }
    if method == "Write" && mishap == Some(Mishap::Early) {
        return answer_early(request, &mut respond, &state, held).await;
    }
    let breaks = method == "Write" && matches!(mishap, Some(Mishap::Cut | Mishap::Late));
    let half = breaks.then_some(64 << 10);
    let messages = read(request.into_body(), half).await;
    match mishap {
        Some(Mishap::Late) if half.is_some() => {
            locked().late = messages;
            return respond.send_reset(Reason::INTERNAL_ERROR);
        }
        Some(Mishap::Cut) if half.is_some() => {
            // What came is kept, as far as it is whole.
            let _ = locked().act(&method, &messages, false);
            return respond.send_reset(Reason::INTERNAL_ERROR);
        }
        Some(Mishap::Code(code)) => return refuse(&mut respond, code),
        Some(Mishap::Delay) => tokio::time::sleep(Duration::from_millis(50)).await,
        Some(Mishap::Silence) => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            return;
        }
        Some(Mishap::Drop | Mishap::Wipe) => {
            if mishap == Some(Mishap::Wipe) {
                locked().blobs.clear();
            }
            let _ = close.send(Close::Break).await;
            return;
        }
        Some(Mishap::Reset(reason)) => return respond.send_reset(reason.into()),
        Some(Mishap::GoAway(reason)) => {
            let _ = close.send(Close::GoAway(reason)).await;
            if reason != 0 {
                // Whatever is said now comes too late.
                return tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
        Some(Mishap::Verbose) => return verbose(&mut respond),
        Some(Mishap::Busy(tells)) => return busy(&mut respond, tells),
        Some(Mishap::Renew) => locked().traits.token = Some("renewed".to_owned()),
        Some(Mishap::Gateway) => {
            let page = http::Response::builder().status(503).body(()).unwrap();
            return drop(respond.send_response(page, true));
        }
        _ => {}
    }
    let is_known = {
        let wanted = locked().traits.token.clone();
        wanted.is_none_or(|wanted| token == Some(format!("Bearer {wanted}")))
    };
    let answer = match (is_known, mishap) {
        (true, Some(Mishap::Lie)) => locked().lie(&method, &messages),
        (true, Some(Mishap::Forgetful)) => forgetful(&messages),
        (true, _) => locked().act(&method, &messages, mishap == Some(Mishap::Corrupt)),
        (false, _) => Err(Code::Unauthenticated),
    };
    if method == "QueryWriteStatus" {
        let late = std::mem::take(&mut locked().late);
        let _ = locked().act("Write", &late, false);
    }
    match (answer, mishap) {
        (Err(code), _) => refuse(&mut respond, code),
        (Ok(messages), Some(Mishap::Partly | Mishap::Twice | Mishap::Short)) => {
            let change = |message: &Vec<u8>| changed(&method, message, mishap);
            send(&mut respond, messages.iter().map(change).collect(), None).await;
        }
        (Ok(messages), Some(Mishap::Drip)) => drip(&mut respond, &messages).await,
        (Ok(messages), Some(Mishap::Endless)) => send_forever(&mut respond, &method, &messages).await,
        (Ok(_), Some(Mishap::Skip)) => send_forever(&mut respond, "nothing", &[]).await,
        (Ok(messages), Some(Mishap::Hold)) if method != "Write" => {
            let half = messages.len() / 2;
            let Some(mut stream) = begin(&mut respond) else { return };
            // Who gets many frames with nothing in them takes that for an attack.
            if half > 0 {
                let _ = stream.send_data(framed(&messages[..half]).freeze(), false);
            }
            locked().held += 1;
            let _ = held.wait_for(|go| *go).await;
            let _ = stream.send_data(framed(&messages[half..]).freeze(), false);
            end(stream);
        }
        (Ok(messages), Some(Mishap::Reorder)) => {
            let messages = messages.iter().map(|message| reordered(&method, message)).collect();
            send(&mut respond, messages, mishap).await;
        }
        (Ok(messages), _) => send(&mut respond, messages, mishap).await,
    }
}

fn begin(respond: &mut SendResponse<Bytes>) -> Option<h2::SendStream<Bytes>> {
    let response = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    respond.send_response(response, false).ok()
}

fn end(mut stream: h2::SendStream<Bytes>) {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let _ = stream.send_trailers(trailers);
}

fn framed(messages: &[Vec<u8>]) -> BytesMut {
    let mut all = BytesMut::new();
    for message in messages {
        all.extend_from_slice(&[0]);
        all.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
        all.extend_from_slice(message);
    }
    all
}

/// Sends the right answer first, and then more of its kind as long as somebody reads.
async fn send_forever(respond: &mut SendResponse<Bytes>, method: &str, messages: &[Vec<u8>]) {
    let Some(mut stream) = begin(respond) else { return };
    let mut next = framed(messages).freeze();
    let mut count = 0_u64;
    loop {
        stream.reserve_capacity(next.len());
        while stream.capacity() < next.len() {
            match std::future::poll_fn(|context| stream.poll_capacity(context)).await {
                Some(Ok(_)) => {}
                _ => return,
            }
        }
        if stream.send_data(next, false).is_err() {
            return;
        }
        count += 1;
        let more = match method {
            // Pages without anything in them.
            "GetTree" if count.is_multiple_of(2) => GetTreeResponse::default().encode_to_vec(),
            "GetTree" => {
                let link = SymlinkNode { target: "x".repeat(50 << 10), ..SymlinkNode::default() };
                let directories = (0..4).map(|at| Directory {
                    symlinks: vec![SymlinkNode { name: format!("{count}-{at}"), ..link.clone() }],
                    ..Directory::default()
                });
                GetTreeResponse { directories: directories.collect(), next_page_token: String::new() }
                    .encode_to_vec()
            }
            // A frame of zstd that is to be skipped.
            "nothing" => {
                let mut frame = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 1, 0].to_vec();
                frame.resize(8 + (64 << 10), 0);
                ReadResponse { data: Bytes::from(frame) }.encode_to_vec()
            }
            _ => ReadResponse { data: Bytes::from(vec![7; 64 << 10]) }.encode_to_vec(),
        };
        next = framed(&[more]).freeze();
    }
}

/// Says that a blob is there already, before all of it came.
async fn answer_early(
    mut request: http::Request<RecvStream>,
    respond: &mut SendResponse<Bytes>,
    state: &Mutex<State>,
    mut held: watch::Receiver<bool>,
) {
    // The first part says which blob it is, and that it is compressed or not.
    let first = request.body_mut().data().await.and_then(Result::ok).unwrap_or_default();
    let name = || {
        let mut message = first.get(6..)?;
        let length = prost::encoding::decode_varint(&mut message).ok()? as usize;
        String::from_utf8(message.get(..length)?.to_vec()).ok()
    };
    let name = name().unwrap();
    let size = name.rsplit('/').next().and_then(|size| size.parse().ok()).unwrap_or(0);
    let committed_size = if name.contains("/compressed-blobs/") { -1 } else { size };
    state.lock().unwrap_or_else(PoisonError::into_inner).early += 1;
    let Some(mut stream) = begin(respond) else { return };
    let answer = WriteResponse { committed_size }.encode_to_vec();
    let _ = stream.send_data(framed(&[answer]).freeze(), false);
    end(stream);
    // Nothing more is read, and the stream is not reset either: that could overtake the answer. The connection is given
    // up in the end.
    let _ = held.wait_for(|go| *go).await;
}

fn forgetful(messages: &[Bytes]) -> Answer {
    let question: FindMissingBlobsRequest = decoded(messages)?;
    one(FindMissingBlobsResponse { missing_blob_digests: question.blob_digests })
}

/// Sends an answer byte by byte, each as a message of its own as far as that is possible.
async fn drip(respond: &mut SendResponse<Bytes>, messages: &[Vec<u8>]) {
    let Some(mut stream) = begin(respond) else { return };
    let all: Vec<u8> = messages
        .iter()
        .flat_map(|message| ReadResponse::decode(message.as_slice()).unwrap().data.to_vec())
        .collect();
    for byte in all {
        let message = ReadResponse { data: Bytes::copy_from_slice(&[byte]) }.encode_to_vec();
        if stream.send_data(framed(&[message]).freeze(), false).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    end(stream);
}

/// An answer that is not all that was asked for, or more.
fn changed(method: &str, message: &[u8], mishap: Option<Mishap>) -> Vec<u8> {
    let passing = StatusMessage { code: Code::Unavailable as i32, message: "come back".into() };
    match (method, mishap) {
        ("BatchReadBlobs", Some(Mishap::Partly)) => {
            let mut answer = BatchReadBlobsResponse::decode(message).unwrap();
            for response in answer.responses.iter_mut().step_by(2) {
                (response.status, response.data) = (Some(passing.clone()), Vec::new());
            }
            answer.encode_to_vec()
        }
        ("BatchReadBlobs", Some(Mishap::Twice)) => {
            let mut answer = BatchReadBlobsResponse::decode(message).unwrap();
            answer.responses.extend(answer.responses.clone());
            answer.encode_to_vec()
        }
        ("BatchUpdateBlobs", Some(Mishap::Partly)) => {
            let mut answer = BatchUpdateBlobsResponse::decode(message).unwrap();
            for response in answer.responses.iter_mut().step_by(2) {
                response.status = Some(passing.clone());
            }
            answer.encode_to_vec()
        }
        ("BatchUpdateBlobs", Some(Mishap::Twice)) => {
            let mut answer = BatchUpdateBlobsResponse::decode(message).unwrap();
            answer.responses.extend(answer.responses.clone());
            answer.encode_to_vec()
        }
        ("FindMissingBlobs", Some(Mishap::Twice)) => {
            let mut answer = FindMissingBlobsResponse::decode(message).unwrap();
            answer.missing_blob_digests.extend(answer.missing_blob_digests.clone());
            answer.encode_to_vec()
        }
        ("Write", Some(Mishap::Short)) => WriteResponse { committed_size: 1 }.encode_to_vec(),
        _ => message.to_vec(),
    }
}

/// Refuses at length.
fn verbose(respond: &mut SendResponse<Bytes>) {
    let mut response = http::Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", (Code::Internal as i32).to_string())
        .header("grpc-message", "x".repeat(8_000));
    for number in 0..40 {
        response = response.header(format!("x-{number}"), "y".repeat(2_000));
    }
    let _ = respond.send_response(response.body(()).unwrap(), true);
}

/// Refuses because there is too much to do.
fn busy(respond: &mut SendResponse<Bytes>, tells: bool) {
    let info = RetryInfo { retry_delay: Some(RetryDelay { seconds: 0, nanos: 1_000_000 }) };
    let told =
        Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value: info.encode_to_vec() };
    let details = StatusDetails { details: if tells { vec![told] } else { Vec::new() } };
    let details = details.encode_to_vec().into();
    let status = tonic::Status::with_details(Code::ResourceExhausted, "as the test wants it", details);
    let _ = respond.send_response(status.into_http::<()>(), true);
}

/// The parts of an answer in another order.
fn reordered(method: &str, message: &[u8]) -> Vec<u8> {
    match method {
        "FindMissingBlobs" => {
            let mut answer = FindMissingBlobsResponse::decode(message).unwrap();
            answer.missing_blob_digests.reverse();
            answer.encode_to_vec()
        }
        "BatchReadBlobs" => {
            let mut answer = BatchReadBlobsResponse::decode(message).unwrap();
            answer.responses.reverse();
            answer.encode_to_vec()
        }
        "BatchUpdateBlobs" => {
            let mut answer = BatchUpdateBlobsResponse::decode(message).unwrap();
            answer.responses.reverse();
            answer.encode_to_vec()
        }
        _ => message.to_vec(),
    }
}

fn refuse(respond: &mut SendResponse<Bytes>, code: Code) {
    let response = http::Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", (code as i32).to_string())
        .header("grpc-message", "as the test wants it")
        .body(())
        .unwrap();
    let _ = respond.send_response(response, true);
}

async fn send(respond: &mut SendResponse<Bytes>, messages: Vec<Vec<u8>>, mishap: Option<Mishap>) {
    let Some(mut stream) = begin(respond) else { return };
    let mut messages = messages;
    match mishap {
        Some(Mishap::Garbage) => messages.iter_mut().for_each(|message| *message = vec![0xff; 7]),
        Some(Mishap::Reorder) => messages.reverse(),
        _ => {}
    }
    let mut all = framed(&messages);
    if mishap == Some(Mishap::Cut) {
        all.truncate(all.len() / 2);
    }
    if stream.send_data(all.freeze(), false).is_err() {
        return;
    }
    if mishap == Some(Mishap::Cut) {
        // What was sent has to leave before the reset overtakes it.
        tokio::time::sleep(Duration::from_millis(20)).await;
        return stream.send_reset(Reason::INTERNAL_ERROR);
    }
    end(stream);
}

/// The messages of a request; only those of its first bytes, if so many are enough.
async fn read(mut body: RecvStream, enough: Option<usize>) -> Vec<Bytes> {
    let mut all = BytesMut::new();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        all.extend_from_slice(&data);
        if enough.is_some_and(|enough| all.len() > 2 * enough) {
            break;
        }
    }
    let mut all = all.freeze();
    let mut messages = Vec::new();
    while all.len() >= 5 {
        let length = u32::from_be_bytes(all[1..5].try_into().unwrap()) as usize;
        let _ = all.split_to(5);
        if all.len() < length {
            break;
        }
        messages.push(all.split_to(length));
    }
    messages
}

fn decoded<M: Message + Default>(messages: &[Bytes]) -> Result<M, Code> {
    messages.first().and_then(|message| M::decode(message.clone()).ok()).ok_or(Code::Internal)
}

fn one(message: impl Message) -> Answer {
    Ok(vec![message.encode_to_vec()])
}

impl State {
    fn mishap(&mut self, method: &str) -> Option<Mishap> {
        let trouble = self
            .troubles
            .iter_mut()
            .find(|trouble| trouble.left > 0 && (trouble.method == method || trouble.method == "*"))?;
        trouble.left -= 1;
        Some(trouble.mishap)
    }

    fn act(&mut self, method: &str, messages: &[Bytes], corrupt: bool) -> Answer {
        match method {
            "GetCapabilities" if self.traits.capabilities => self.capabilities(),
            "FindMissingBlobs" => self.find_missing(&decoded(messages)?),
            "BatchReadBlobs" => self.read(&decoded(messages)?, corrupt),
            "BatchUpdateBlobs" => self.update(decoded(messages)?),
            "GetTree" if self.traits.trees => self.tree(&decoded(messages)?),
            "Read" => self.stream(&decoded(messages)?, corrupt),
            "Write" => self.write(messages),
            "QueryWriteStatus" => {
                let question: QueryWriteStatusRequest = decoded(messages)?;
                let partial = self.partial.get(&question.resource_name).ok_or(Code::NotFound)?;
                one(QueryWriteStatusResponse { committed_size: partial.len() as i64, complete: false })
            }
            "FetchBlob" if self.traits.fetch => self.fetch(&decoded(messages)?, false),
            "FetchDirectory" if self.traits.fetch => self.fetch(&decoded(messages)?, true),
            "PushBlob" | "PushDirectory" if self.traits.push => self.push(&decoded(messages)?),
            _ => Err(Code::Unimplemented),
        }
    }

    /// An answer that is well-formed, and wrong.
    fn lie(&mut self, method: &str, messages: &[Bytes]) -> Answer {
        let nothing = Digest::of(b"there is no such blob");
        match method {
            "GetCapabilities" => one(ServerCapabilities {
                cache_capabilities: Some(CacheCapabilities {
                    max_batch_total_size_bytes: -1,
                    supported_compressors: vec![ZSTD, 77],
                    supported_batch_update_compressors: vec![ZSTD, 77],
                    ..CacheCapabilities::default()
                }),
                ..ServerCapabilities::default()
            }),
            // It has everything, except for what was not asked for.
            "FindMissingBlobs" => {
                one(FindMissingBlobsResponse { missing_blob_digests: vec![nothing.into()] })
            }
            "FetchBlob" | "FetchDirectory" => {
                one(FetchResponse { status: None, digest: Some(nothing.into()) })
            }
            // Each has the content of another.
            "BatchReadBlobs" => {
                let answer = self.act(method, messages, false)?;
                let mut answer = BatchReadBlobsResponse::decode(answer[0].as_slice()).unwrap();
                let first = answer.responses.first().map(|response| response.data.clone());
                for response in &mut answer.responses {
                    response.data = [b"not ", first.as_deref().unwrap_or_default()].concat();
                }
                one(answer)
            }
            "BatchUpdateBlobs" => {
                let status = Some(StatusMessage::default());
                one(BatchUpdateBlobsResponse {
                    responses: vec![UpdatedBlob { digest: Some(nothing.into()), status }],
                })
            }
            "GetTree" => {
                let directory = Directory::default();
                one(GetTreeResponse { directories: vec![directory], next_page_token: "again".into() })
            }
            "Read" => one(ReadResponse { data: Bytes::from_static(b"something else") }),
            "Write" => one(WriteResponse { committed_size: i64::MAX }),
            "PushBlob" | "PushDirectory" => Ok(vec![Vec::new()]),
            _ => self.act(method, messages, false),
        }
    }

    fn check(&self, instance: &str) -> Result<(), Code> {
        if instance == self.traits.instance { Ok(()) } else { Err(Code::InvalidArgument) }
    }

    fn capabilities(&self) -> Answer {
        let compressors = if self.traits.zstd { vec![ZSTD] } else { Vec::new() };
        one(ServerCapabilities {
            cache_capabilities: Some(CacheCapabilities {
                digest_functions: self.traits.digests.to_vec(),
                max_batch_total_size_bytes: self.traits.batch,
                supported_compressors: compressors.clone(),
                supported_batch_update_compressors: if self.traits.streams_only {
                    Vec::new()
                } else {
                    compressors
                },
                ..CacheCapabilities::default()
            }),
            ..ServerCapabilities::default()
        })
    }

    fn find_missing(&self, question: &FindMissingBlobsRequest) -> Answer {
        self.check(&question.instance_name)?;
        let missing = question
            .blob_digests
            .iter()
            .filter(|digest| !self.blobs.contains_key(&(*digest).try_into().unwrap()));
        one(FindMissingBlobsResponse { missing_blob_digests: missing.cloned().collect() })
    }

    fn read(&self, question: &BatchReadBlobsRequest, corrupt: bool) -> Answer {
        self.check(&question.instance_name)?;
        let mut responses = Vec::new();
        for message in &question.digests {
            let digest: Digest = message.try_into().unwrap();
            let (code, mut data) = match self.blobs.get(&digest) {
                Some(data) => (0, data.clone()),
                None => (Code::NotFound as i32, Vec::new()),
            };
            if corrupt && let Some(first) = data.first_mut() {
                *first ^= 1;
            }
            let mut compressor = IDENTITY;
            let accepts = question.acceptable_compressors.contains(&ZSTD);
            if accepts && !self.traits.streams_only && code == 0 {
                data = self.bomb.clone().unwrap_or_else(|| zstd::bulk::compress(&data, 1).unwrap());
                compressor = ZSTD;
            }
            let status = Some(StatusMessage { code, message: String::new() });
            responses.push(ReadBlob { digest: Some(digest.into()), data, status, compressor });
        }
        let bytes: usize = responses.iter().map(|response| response.data.len()).sum();
        let limit = if self.traits.batch == 0 { 4 << 20 } else { self.traits.batch };
        let limit = self.traits.hidden.unwrap_or(limit);
        if bytes as i64 > limit {
            Err(Code::InvalidArgument)
        } else {
            one(BatchReadBlobsResponse { responses })
        }
    }

    fn update(&mut self, question: BatchUpdateBlobsRequest) -> Answer {
        self.check(&question.instance_name)?;
        let limit = self.traits.hidden.unwrap_or(self.traits.batch);
        if limit > 0 && question.encoded_len() as i64 > limit {
            return Err(Code::InvalidArgument);
        }
        let mut responses = Vec::new();
        for request in question.requests {
            let digest: Digest = request.digest.as_ref().unwrap().try_into().unwrap();
            let data = match request.compressor {
                ZSTD if self.traits.streams_only => return Err(Code::InvalidArgument),
                ZSTD => zstd::bulk::decompress(&request.data, digest.size as usize).unwrap(),
                _ => request.data.to_vec(),
            };
            let right = Digest::of(&data) == digest;
            if right {
                self.blobs.insert(digest, data);
            }
            let code = if right { 0 } else { Code::InvalidArgument as i32 };
            let status = Some(StatusMessage { code, message: String::new() });
            responses.push(UpdatedBlob { digest: request.digest, status });
        }
        one(BatchUpdateBlobsResponse { responses })
    }

    fn tree(&self, question: &GetTreeRequest) -> Answer {
        self.check(&question.instance_name)?;
        let mut waiting: Vec<Digest> = vec![question.root_digest.as_ref().unwrap().try_into().unwrap()];
        let mut pages = Vec::new();
        while let Some(digest) = waiting.pop() {
            let Some(blob) = self.blobs.get(&digest) else {
                if pages.is_empty() {
                    return Err(Code::NotFound);
                }
                continue;
            };
            let directory = Directory::decode(blob.as_slice()).unwrap();
            waiting.extend(directory.directories.iter().map(|child| child.content().unwrap()));
            pages.push(
                GetTreeResponse { directories: vec![directory], next_page_token: String::new() }
                    .encode_to_vec(),
            );
        }
        Ok(pages)
    }

    fn stream(&mut self, question: &ReadRequest, corrupt: bool) -> Answer {
        self.offsets.push(question.read_offset);
        let name = self.local(&question.resource_name)?;
        let (packed, name) = match name.strip_prefix("compressed-blobs/zstd/") {
            Some(name) if self.traits.zstd => (true, name),
            Some(_) => return Err(Code::Unimplemented),
            None => (false, name.strip_prefix("blobs/").ok_or(Code::InvalidArgument)?),
        };
        let digest: Digest = name.parse().map_err(|_| Code::InvalidArgument)?;
        let blob = self.blobs.get(&digest).ok_or(Code::NotFound)?;
        let mut data = blob[usize::try_from(question.read_offset).unwrap()..].to_vec();
        if corrupt && let Some(last) = data.last_mut() {
            *last ^= 1;
        }
        if packed {
            data = self.bomb.clone().unwrap_or_else(|| zstd::bulk::compress(&data, 1).unwrap());
        }
        let pieces = data
            .chunks(64 << 10)
            .map(|piece| ReadResponse { data: Bytes::copy_from_slice(piece) }.encode_to_vec());
        Ok(pieces.collect())
    }

    /// A resource name without its instance.
    fn local<'n>(&self, name: &'n str) -> Result<&'n str, Code> {
        match self.traits.instance.as_str() {
            "" => Ok(name),
            instance => name
                .strip_prefix(instance)
                .and_then(|name| name.strip_prefix('/'))
                .ok_or(Code::InvalidArgument),
        }
    }

    fn write(&mut self, messages: &[Bytes]) -> Answer {
        let parts: Vec<WriteRequest> =
            messages.iter().filter_map(|message| WriteRequest::decode(message.clone()).ok()).collect();
        let name = parts.first().ok_or(Code::InvalidArgument)?.resource_name.clone();
        let local = self.local(&name)?;
        let (packed, digest) = match local.split_once("/compressed-blobs/zstd/") {
            Some((_, digest)) if self.traits.zstd => (true, digest),
            _ => (false, local.split_once("/blobs/").ok_or(Code::InvalidArgument)?.1),
        };
        let digest: Digest = digest.parse().map_err(|_| Code::InvalidArgument)?;
        let partial = self.partial.entry(name.clone()).or_default();
        for part in &parts {
            if part.write_offset != partial.len() as i64 {
                return Err(Code::InvalidArgument);
            }
            partial.extend_from_slice(&part.data);
            self.written += part.data.len() as u64;
        }
        let committed_size = partial.len() as i64;
        if parts.last().is_some_and(|part| part.finish_write) {
            let mut data = self.partial.remove(&name).unwrap_or_default();
            if packed {
                data = zstd::stream::decode_all(data.as_slice()).map_err(|_| Code::InvalidArgument)?;
            }
            if Digest::of(&data) != digest {
                return Err(Code::InvalidArgument);
            }
            self.blobs.insert(digest, data);
        }
        one(WriteResponse { committed_size })
    }

    fn fetch(&self, question: &FetchRequest, is_directory: bool) -> Answer {
        self.check(&question.instance_name)?;
        if question.uris.is_empty() {
            return Err(Code::InvalidArgument);
        }
        let Some(found) = question.uris.iter().find_map(|uri| self.names.get(uri)) else {
            return match self.traits.unknown {
                Unknown::Status(_, code) if is_directory => Err(code),
                Unknown::Status(code, _) => Err(code),
                Unknown::Answer(code) => {
                    let status = StatusMessage { code: code as i32, message: "No item found".into() };
                    one(FetchResponse { status: Some(status), digest: None })
                }
                Unknown::Nothing => Ok(vec![Vec::new()]),
            };
        };
        let status = matches!(self.traits.unknown, Unknown::Answer(_)).then(StatusMessage::default);
        one(FetchResponse { status, digest: Some((*found).into()) })
    }

    fn push(&mut self, question: &PushRequest) -> Answer {
        self.check(&question.instance_name)?;
        if question.uris.is_empty() {
            return Err(Code::InvalidArgument);
        }
        let referred =
            question.digest.iter().chain(&question.references_blobs).chain(&question.references_directories);
        for message in referred {
            self.too_early |= !self.has_tree(&message.try_into().unwrap());
        }
        let digest: Digest = question.digest.as_ref().unwrap().try_into().unwrap();
        for uri in &question.uris {
            self.names.insert(uri.clone(), digest);
        }
        self.pushed.push(question.clone());
        Ok(vec![Vec::new()])
    }

    /// Whether a blob is there; and, if it could be a directory, all that it refers to.
    fn has_tree(&self, digest: &Digest) -> bool {
        let Some(blob) = self.blobs.get(digest) else { return digest.size == 0 };
        let Ok(directory) = Directory::decode_checked(blob) else { return true };
        directory.files.iter().all(|file| self.has_tree(&file.content().unwrap()))
            && directory.directories.iter().all(|child| self.has_tree(&child.content().unwrap()))
    }
}
