//! The way to one server: connections, credentials, deadlines, and repetitions.

use crate::fault::{Attempt, Fault, Here, code_name, describe, is_passing, kind_of};
use crate::opener::Opener;
use crate::server::Server;
use crate::token::Token;
use crate::traffic::{Counted, Traffic};
use crate::tries::{End, Policy, Tries};
use crate::tunnel::Blocked;
use bourn_reapi::ServiceError;
use bourn_reapi::services::{ErrorKind, ServiceResult};
use prost::Message;
use std::error::Error as _;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream::Stream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// How much longer a server may think that it has than it has.
const GRACE: Duration = Duration::from_secs(1);

/// How long a request may take that is not told otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The same as long as the server has not answered at all: whoever waits for that waits for all of it.
const FIRST_TIMEOUT: Duration = Duration::from_secs(15);

/// How often a request is repeated that is not told otherwise.
const RETRIES: u32 = 3;

/// How often a request comes again that a server refused because it does no more at a time.
const CROWDED: u32 = 6;

/// After what time it does so first; doubled each time.
const FIRST_WAY: Duration = Duration::from_millis(50);

/// After what time nothing is repeated any more, unless told how often to.
const PATIENCE: Duration = Duration::from_secs(5);

/// The time before the first repetition, unless told otherwise.
const DELAY: Duration = Duration::from_millis(200);

/// How long nothing is asked of a server that could not be reached although it was tried again and again.
const REST: Duration = Duration::from_secs(30);

/// What time between pings is long enough for everybody: gRPC's own libraries, as servers, end connections on which
/// there are more of them and nothing else.
const LONGEST_KEEPALIVE: Duration = Duration::from_secs(300);

/// Connections for blobs, beside the one for everything else: so much can be under way without small answers having to
/// wait for large ones.
const BULK: usize = 2;

/// Messages of other servers may be larger than what is asked for here; beyond this they are refused.
const LARGEST_MESSAGE: usize = 16 << 20;

/// Bytes that move in a second at least, on the way to a server that is there.
const SLOWEST: u64 = 256;

/// How many times as long as any request one with blobs may take while something moves.
const LONGER: u32 = 10;

/// What a request travels with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lane {
    /// Questions with short answers, and blobs that say which others are wanted.
    Talk,
    /// All other blobs.
    Bulk,
}

/// One server, as clients of its services see it.
pub(crate) struct Link {
    url: String,
    instance: String,
    token: Option<Token>,
    timeout: Duration,
    first_timeout: Duration,
    policy: Policy,
    opener: Opener,
    wires: RwLock<Wires>,
    next: AtomicUsize,
    /// What moved over all of these.
    pub(crate) traffic: Traffic,
    /// How often something was broken off.
    breaks: AtomicU64,
    /// Held by the one request that is sent again of those that were refused because there were too many.
    crowded: tokio::sync::Mutex<()>,
    /// Whether the server ever did what it was asked for.
    met: AtomicBool,
    /// Since when the server cannot be reached, and why.
    down: Mutex<Option<(Instant, String)>>,
}

/// The connections to a server.
struct Wires {
    talk: Channel,
    bulk: Vec<Channel>,
    /// Time between pings on them.
    keepalive: Option<Duration>,
    since: Instant,
}

impl Wires {
    fn new(opener: &Opener, keepalive: Option<Duration>) -> Wires {
        Wires {
            talk: opener.channel(keepalive),
            bulk: (0..BULK).map(|_| opener.channel(keepalive)).collect(),
            keepalive,
            since: Instant::now(),
        }
    }
}

impl Link {
    /// Prepares connections; the first request opens them. To be called within a runtime.
    ///
    /// # Errors
    /// The URL makes no sense; credentials cannot be read.
    pub(crate) fn new(server: &Server) -> ServiceResult<Link> {
        let opener = Opener::new(server)?;
        let connection = &server.connection;
        Ok(Link {
            url: server.url.clone(),
            instance: server.instance.clone(),
            token: server.auth.access_token.clone().map(|path| Token::new(path, server.auth.token_reload)),
            timeout: connection.request_timeout.unwrap_or(TIMEOUT),
            first_timeout: connection.request_timeout.unwrap_or(FIRST_TIMEOUT),
            policy: Policy {
                retries: connection.retry_limit.unwrap_or(RETRIES),
                patience: if connection.retry_limit.is_some() { Duration::MAX } else { PATIENCE },
                delay: connection.retry_delay.unwrap_or(DELAY),
            },
            wires: RwLock::new(Wires::new(&opener, connection.keepalive)),
            opener,
            next: AtomicUsize::new(0),
            traffic: Traffic::default(),
            breaks: AtomicU64::new(0),
            crowded: tokio::sync::Mutex::default(),
            met: AtomicBool::new(false),
            down: Mutex::new(None),
        })
    }

    /// The URL, for people.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The instance on the server.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// The tries of a request that is about to be sent.
    pub(crate) fn tries(&self) -> Tries {
        Tries::new(self.policy)
    }

    /// How often something was broken off so far: a server may be another one since then, or have lost what it had.
    pub(crate) fn breaks(&self) -> u64 {
        self.breaks.load(Ordering::Relaxed)
    }

    /// A try begins.
    pub(crate) fn begin(&self, tries: &mut Tries) {
        tries.begin(self.traffic.bytes());
    }

    /// After a try that ended like this, waits until it is time for the next.
    ///
    /// # Errors
    /// Those of [`Tries::after`].
    pub(crate) async fn again(&self, tries: &mut Tries, status: &Status) -> Result<(), End> {
        self.note_break(status);
        self.heed(status);
        let delay = tries.after(status, self.traffic.bytes())?;
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// Notes that something was broken off, if that is what a status says.
    pub(crate) fn note_break(&self, status: &Status) {
        if is_passing(status) {
            self.breaks.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Pings less often on new connections when one was ended: by a server, perhaps, that found that there were too many
    /// pings, and that would do so again and again, in the middle of whatever takes long. It says so when it ends the
    /// connection, but not everything that was under way learns of that.
    fn heed(&self, status: &Status) {
        if !is_disconnected(status) {
            return;
        }
        let mut wires = self.wires.write().unwrap_or_else(PoisonError::into_inner);
        // All that was under way on earlier connections ends at once; these have not pinged yet.
        if let Some(time) = wires.keepalive.filter(|time| wires.since.elapsed() >= *time) {
            let longer = (time * 2).min(LONGEST_KEEPALIVE.max(time));
            *wires = Wires::new(&self.opener, Some(longer));
        }
    }

    /// The time between pings, as it is now.
    #[cfg(test)]
    pub(crate) fn keepalive(&self) -> Option<Duration> {
        self.wires.read().unwrap_or_else(PoisonError::into_inner).keepalive
    }

    /// How long a request may take, or nothing may come of a large blob.
    pub(crate) fn timeout(&self) -> Duration {
        if self.met.load(Ordering::Relaxed) { self.timeout } else { self.first_timeout }
    }

    /// One question, one answer.
    ///
    /// # Errors
    /// The server said no, or could not be reached.
    pub(crate) async fn unary<Q, A>(&self, lane: Lane, path: &'static str, question: Q) -> Attempt<A>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        self.unary_status(lane, path, question).await?.map_err(|status| self.fault(path, &status))
    }

    /// The same, for whom a refusal is an answer too.
    ///
    /// # Errors
    /// The server could not be reached; the token cannot be read.
    pub(crate) async fn unary_status<Q, A>(
        &self,
        lane: Lane,
        path: &'static str,
        question: Q,
    ) -> Attempt<Result<A, Status>>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        self.persist(path, || async {
            let mut request = self.authorized(Request::new(question.clone()))?;
            // The server may stop then. The client keeps to the same header, and should not be the one to notice.
            request.set_timeout(self.timeout + GRACE);
            self.in_time(self.ask(lane, path, request)).await
        })
        .await
    }

    /// The same of many blobs, which may take longer than any other answer while they come or leave.
    ///
    /// # Errors
    /// The server said no, or could not be reached.
    pub(crate) async fn exchange<Q, A>(&self, lane: Lane, path: &'static str, question: Q) -> Attempt<A>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let longest = self.timeout.saturating_mul(LONGER);
        let work = || async {
            let mut request = self.authorized(Request::new(question.clone()))?;
            request.set_timeout(longest.saturating_add(GRACE));
            let answer = self.while_moving(self.ask(lane, path, request));
            tokio::time::timeout(longest, answer).await.unwrap_or_else(|_| Err(late(longest)))
        };
        self.persist(path, work).await?.map_err(|status| self.fault(path, &status))
    }

    async fn ask<Q, A>(&self, lane: Lane, path: &'static str, request: Request<Q>) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.ready(lane).await?;
        let answer = grpc.unary(request, PathAndQuery::from_static(path), ProstCodec::<Q, A>::default());
        Ok(answer.await?.into_inner())
    }

    /// One question, many answers. Nothing is repeated, and no deadline is set for the whole: who reads knows whether
    /// it gets on.
    pub(crate) async fn download<Q, A>(
        &self,
        lane: Lane,
        path: &'static str,
        question: Q,
    ) -> Result<Streaming<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let request = self.authorized(Request::new(question))?;
        let mut grpc = self.ready(lane).await?;
        let codec = ProstCodec::<Q, A>::default();
        let answer = grpc.server_streaming(request, PathAndQuery::from_static(path), codec);
        Ok(answer.await?.into_inner())
    }

    /// Many parts of a question, one answer. Nothing is repeated, and no deadline is set: who sends knows whether it
    /// gets on.
    pub(crate) async fn upload<Q, A>(
        &self,
        path: &'static str,
        parts: impl Stream<Item = Q> + Send + 'static,
    ) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let request = self.authorized(Request::new(parts))?;
        let mut grpc = self.ready(Lane::Bulk).await?;
        let codec = ProstCodec::<Q, A>::default();
        Ok(grpc.client_streaming(request, PathAndQuery::from_static(path), codec).await?.into_inner())
    }

    /// Repeats `work` while what stops it may pass.
    ///
    /// # Errors
    /// The server could not be reached; a status that does not pass is in the inner result.
    pub(crate) async fn persist<T, F>(
        &self,
        path: &'static str,
        work: impl Fn() -> F,
    ) -> Attempt<Result<T, Status>>
    where
        F: Future<Output = Result<T, Status>>,
    {
        self.persist_from(path, || 0, work).await
    }

    /// The same of work that goes on where it was broken off; `done` says how far it is.
    ///
    /// # Errors
    /// Those of [`Link::persist`].
    pub(crate) async fn persist_from<T, F>(
        &self,
        path: &'static str,
        done: impl Fn() -> u64,
        work: impl Fn() -> F,
    ) -> Attempt<Result<T, Status>>
    where
        F: Future<Output = Result<T, Status>>,
    {
        self.assert_up()?;
        let mut tries = self.tries();
        let mut furthest = done();
        let mut renewed = false;
        let mut sent = self.credentials();
        let mut crowd = self.crowd();
        loop {
            self.begin(&mut tries);
            let status = match work().await {
                Ok(done) => {
                    self.set_up();
                    return Ok(Ok(done));
                }
                Err(status) => status,
            };
            if let Some(fault) = carried(&status) {
                return Err(fault);
            }
            if done() > furthest {
                (furthest, renewed) = (done(), false);
                tries.progressed();
            }
            if status.code() == Code::Unauthenticated && !renewed && self.has_newer(sent.as_ref()) {
                (renewed, sent) = (true, self.credentials());
                continue;
            }
            if crowd.gives_way(&status).await {
                continue;
            }
            match self.again(&mut tries, &status).await {
                Ok(()) => {}
                Err(End::Refused) => return Ok(Err(status)),
                Err(End::Gone) => return Err(self.set_down(path, &status)),
            }
        }
    }

    /// The way on for a request that a crowded server may refuse.
    pub(crate) fn crowd(&self) -> Crowd<'_> {
        Crowd { link: self, refused: 0, alone: None }
    }

    /// What a refusal is called.
    pub(crate) fn fault(&self, path: &str, status: &Status) -> Fault {
        let method = path.rsplit('/').next().unwrap_or(path);
        let message = match self.met.load(Ordering::Relaxed) {
            true => format!("{}: {method} failed: {}", self.url, describe(status)),
            // What bst's own tests look for.
            false => {
                let code = code_name(status.code());
                format!("Remote initialisation failed with status {code}: {}", describe(status))
            }
        };
        let mut error = ServiceError::new(kind_of(status.code()), message);
        error.hint = self.cure(status);
        Fault::Remote(error)
    }

    fn is_encrypted(&self) -> bool {
        self.url.starts_with("https:") || self.url.starts_with("grpcs:")
    }

    /// What the user can do about a status, where that is known.
    fn cure(&self, status: &Status) -> Option<String> {
        if let Some(blocked) = Blocked::within(status) {
            return Some(blocked.cure());
        }
        let said = match status.code() {
            Code::Unauthenticated => Some("check `access-token` or the client certificate in its `auth`"),
            Code::PermissionDenied => Some("check that these credentials may do this on the server"),
            Code::Unavailable => {
                let why = describe(status);
                // The names that rustls gives its errors.
                let cures = [
                    ("UnknownIssuer", "name what the server's certificate is signed by: `auth: server-cert`"),
                    // Of one that signed itself, and is not the one that is named.
                    ("CaUsedAsEndEntity", "name the server's certificate: `auth: server-cert`"),
                    (
                        "certificate not valid for name",
                        "the server's certificate is for other names than that in the URL",
                    ),
                    (
                        "UnsupportedCertVersion",
                        "make the server one with `openssl x509 -req -extfile`: version 1 is too old",
                    ),
                    (
                        "InvalidContentType",
                        "it does not encrypt: the URL of such a server begins with http://",
                    ),
                ];
                cures.into_iter().find(|(name, _)| why.contains(name)).map(|(_, cure)| cure)
            }
            // What a connection that breaks becomes, as far as anybody can tell.
            Code::Unknown if status.source().is_some() && !self.is_encrypted() => {
                Some("where a server encrypts, its URL begins with https://")
            }
            Code::Unknown | Code::Cancelled
                if status.source().is_some() && !self.met.load(Ordering::Relaxed) && self.is_encrypted() =>
            {
                Some("it may want another `client-cert`, or one at all")
            }
            _ => None,
        };
        let is_unreached = match status.code() {
            Code::Unavailable => status.source().is_some(),
            Code::DeadlineExceeded => !self.met.load(Ordering::Relaxed),
            _ => false,
        };
        said.map(str::to_owned).or_else(|| self.opener.cure().filter(|_| is_unreached))
    }

    /// Lets `work` take as long as a request may.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let (timeout, begin) = (self.timeout(), Instant::now());
        match tokio::time::timeout(timeout, work).await {
            // On a busy machine the client may notice first that time is up, and calls it by another name.
            Ok(Err(status)) if status.code() == Code::Cancelled && begin.elapsed() >= timeout => {
                Err(late(timeout))
            }
            Ok(result) => result,
            Err(_) => Err(late(timeout)),
        }
    }

    /// Lets `work` take as long as things move on the way to the server, whosever they are: many share a slow line. In
    /// every time that a request may take, a little has to.
    ///
    /// # Errors
    /// Those of `work`; nothing moved.
    pub(crate) async fn while_moving<T>(
        &self,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let mut work = std::pin::pin!(work);
        loop {
            let (timeout, before) = (self.timeout(), self.traffic.bytes());
            if let Ok(result) = tokio::time::timeout(timeout, &mut work).await {
                return result;
            }
            let moved = self.traffic.bytes() - before;
            if moved < SLOWEST.saturating_mul(timeout.as_secs().max(1)) && !self.traffic.is_kept() {
                return Err(late(timeout));
            }
        }
    }

    fn assert_up(&self) -> Attempt<()> {
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        match &*down {
            Some((since, why)) if since.elapsed() < REST => {
                Err(Fault::remote(ErrorKind::Unavailable, why.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Notes that the server is there.
    pub(crate) fn set_up(&self) {
        self.met.store(true, Ordering::Relaxed);
        self.down.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Notes that the server cannot be reached, and says so.
    pub(crate) fn set_down(&self, path: &str, status: &Status) -> Fault {
        let fault = self.fault(path, status);
        if let Fault::Remote(error) = &fault {
            let why = (Instant::now(), error.message.clone());
            *self.down.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        }
        fault
    }

    /// What a request would say now about who asks.
    pub(crate) fn credentials(&self) -> Option<MetadataValue<Ascii>> {
        self.token.as_ref().and_then(|token| token.value().ok())
    }

    /// Whether there are other credentials by now than those that were refused.
    pub(crate) fn has_newer(&self, refused: Option<&MetadataValue<Ascii>>) -> bool {
        self.token.as_ref().zip(refused).is_some_and(|(token, refused)| token.renew(refused))
    }

    fn authorized<Q>(&self, mut request: Request<Q>) -> Result<Request<Q>, Status> {
        if let Some(token) = &self.token {
            // Of another server they may be in order.
            let unusable = |error: ServiceError| {
                let message = format!("{}: {}", self.url, error.message);
                carrying(Fault::Remote(ServiceError { kind: ErrorKind::Denied, message, ..error }))
            };
            let value = token.value().map_err(unusable)?;
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }

    fn channel(&self, lane: Lane) -> Channel {
        let wires = self.wires.read().unwrap_or_else(PoisonError::into_inner);
        match lane {
            Lane::Talk => wires.talk.clone(),
            Lane::Bulk => wires.bulk[self.next.fetch_add(1, Ordering::Relaxed) % wires.bulk.len()].clone(),
        }
    }

    async fn ready(&self, lane: Lane) -> Result<Grpc<Counted>, Status> {
        let mut grpc = Grpc::new(Counted { channel: self.channel(lane), traffic: self.traffic.clone() })
            .max_decoding_message_size(LARGEST_MESSAGE)
            .max_encoding_message_size(LARGEST_MESSAGE);
        self.in_time(async {
            grpc.ready().await.map_err(|error| {
                let mut status = Status::unavailable("cannot connect");
                status.set_source(Arc::new(error));
                status
            })
        })
        .await?;
        Ok(grpc)
    }
}

/// A request to a server that may be refused because others of ours are under way.
///
/// Servers that do so many things at a time and no more, as gRPC's for Python, refuse the rest as they would if their disk
/// were full, and say no time. So whatever was refused like this comes again a few times, later and alone among those that
/// were: what is under way at a time becomes less until the server can do it.
pub(crate) struct Crowd<'l> {
    link: &'l Link,
    refused: u32,
    alone: Option<tokio::sync::MutexGuard<'l, ()>>,
}

impl Crowd<'_> {
    /// Whether the request is to be sent again. It is time for that then.
    pub(crate) async fn gives_way(&mut self, status: &Status) -> bool {
        if status.code() != Code::ResourceExhausted || is_passing(status) || self.refused == CROWDED {
            return false;
        }
        if self.alone.is_none() {
            self.alone = Some(self.link.crowded.lock().await);
        }
        tokio::time::sleep(FIRST_WAY * 2_u32.pow(self.refused)).await;
        self.refused += 1;
        true
    }
}

/// Whether it was a connection that ended, and not only one request.
fn is_disconnected(status: &Status) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let ends = [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof];
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let has_ended =
            error.downcast_ref::<std::io::Error>().is_some_and(|error| ends.contains(&error.kind()));
        if has_ended || error.downcast_ref::<h2::Error>().is_some_and(h2::Error::is_go_away) {
            return true;
        }
        source = error.source();
    }
    false
}

/// That time is up.
fn late(timeout: Duration) -> Status {
    Status::deadline_exceeded(format!("no answer within {} s", timeout.as_secs_f32()))
}

/// Carries a fault through what only knows statuses.
#[derive(Debug)]
struct Carried(Fault);

impl std::fmt::Display for Carried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Fault::Remote(error) | Fault::Local(error)) = &self.0;
        error.fmt(f)
    }
}

impl std::error::Error for Carried {}

/// A fault as a status.
fn carrying(fault: Fault) -> Status {
    let carried = Carried(fault);
    let mut status = Status::failed_precondition(carried.to_string());
    status.set_source(Arc::new(carried));
    status
}

/// An error of this machine as a status.
pub(crate) fn as_status(error: ServiceError) -> Status {
    carrying(Fault::Local(error))
}

/// The fault in a status that carries one.
pub(crate) fn carried(status: &Status) -> Option<Fault> {
    let Carried(fault) = std::error::Error::source(status)?.downcast_ref()?;
    Some(fault.clone())
}

/// Runs work that blocks (the local store) beside everything else.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> ServiceResult<T> + Send + 'static,
) -> Attempt<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.here(),
        Err(error) => {
            let message = format!("work on the local cache was ended: {error}");
            Err(Fault::Local(ServiceError::new(ErrorKind::Io, message)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Route;
    use crate::server::{Auth, Connection, ServerKind};

    fn link(request_timeout: Option<Duration>) -> Link {
        let server = Server {
            url: "http://127.0.0.1:1".into(),
            instance: String::new(),
            kind: ServerKind::All,
            push: false,
            auth: Auth::default(),
            connection: Connection { request_timeout, ..Connection::default() },
            route: Route::Direct,
        };
        Link::new(&server).unwrap()
    }

    #[test]
    fn servers_that_answered_once_may_take_their_time() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _within = runtime.enter();
        let usual = link(None);
        assert_eq!(usual.timeout(), FIRST_TIMEOUT);
        usual.set_up();
        assert_eq!(usual.timeout(), TIMEOUT);
        let told = link(Some(Duration::from_secs(7)));
        assert_eq!(told.timeout(), Duration::from_secs(7));
        told.set_up();
        assert_eq!(told.timeout(), Duration::from_secs(7));
    }

    /// Work that is looked at `times` times before it is done, and moves something each time, or nothing.
    async fn work(link: &Link, times: usize, moves: bool) -> Result<usize, Status> {
        let mut looked = 0;
        std::future::poll_fn(|_| {
            looked += 1;
            if moves {
                link.traffic.count(1 << 20);
            }
            if looked < times { std::task::Poll::Pending } else { std::task::Poll::Ready(Ok(looked)) }
        })
        .await
    }

    #[test]
    fn whoever_is_slow_is_waited_for_and_whoever_is_silent_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _within = runtime.enter();
        let link = link(Some(Duration::from_millis(5)));
        let slow = runtime.block_on(link.while_moving(work(&link, 10, true)));
        assert_eq!(slow.unwrap(), 10);
        let silent = runtime.block_on(link.while_moving(work(&link, 10, false)));
        assert_eq!(silent.unwrap_err().code(), Code::DeadlineExceeded);
        // What keeps it is this machine.
        let kept = runtime.block_on(link.while_moving(link.traffic.keep(work(&link, 10, false))));
        assert_eq!(kept.unwrap(), 10);
    }

    #[test]
    fn a_server_that_is_gone_is_asked_again_after_a_while() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _within = runtime.enter();
        let link = link(None);
        link.set_down("/x/Y", &Status::unavailable("gone"));
        let fault = link.assert_up().unwrap_err();
        assert!(fault.into_error().message.contains("gone"));
        let before = Instant::now().checked_sub(REST).unwrap();
        *link.down.lock().unwrap() = Some((before, "gone".into()));
        link.assert_up().unwrap();
        // It answers.
        link.set_down("/x/Y", &Status::unavailable("gone"));
        link.set_up();
        link.assert_up().unwrap();
    }

    #[test]
    fn what_helps_is_said() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _within = runtime.enter();
        let link = link(None);
        let cure = |code: Code, source: &str| {
            let mut status = Status::new(code, "transport error");
            status.set_source(Arc::new(std::io::Error::other(source.to_owned())));
            link.cure(&status).unwrap_or_default()
        };
        for (code, source, part) in [
            (Code::Unavailable, "invalid peer certificate: UnknownIssuer", "`auth: server-cert`"),
            (Code::Unavailable, "received corrupt message of type InvalidContentType", "begins with http://"),
            (Code::Unknown, "stream closed because of a broken pipe", "begins with https://"),
            (Code::PermissionDenied, "", "credentials"),
        ] {
            assert!(cure(code, source).contains(part), "{code:?} {source}");
        }
        assert_eq!(cure(Code::Unavailable, "Connection refused"), "");
    }
}
