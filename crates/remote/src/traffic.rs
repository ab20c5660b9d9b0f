//! What moves on the way to a server: by this a server that is slow is told from one that is gone.

use http_body::Frame;
use prost::bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::{Channel, Error};

/// Bytes of a request that are handed to a connection at a time: it takes more when these are on their way.
const PIECE: usize = 64 << 10;

/// What has moved over all connections to a server, in either direction. Clones count together.
#[derive(Clone, Default)]
pub(crate) struct Traffic(Arc<Counts>);

#[derive(Default)]
struct Counts {
    bytes: AtomicU64,
    /// Answers that wait for this machine.
    kept: AtomicUsize,
}

impl Traffic {
    /// Bytes of messages so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Whether something has come and waits for this machine, whose fault it is then that nothing moves.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.kept.load(Ordering::Relaxed) > 0
    }

    /// Runs what this machine does with something that has come.
    pub(crate) async fn keep<T>(&self, work: impl Future<Output = T>) -> T {
        let _kept = Kept::new(self);
        work.await
    }

    /// Notes that something moved.
    pub(crate) fn count(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// After so long, that nothing moved is the fault of whoever kept it.
const LONG: Duration = Duration::from_secs(1);

/// While this lives, something waits for this machine.
struct Kept<'t> {
    traffic: &'t Traffic,
    since: Instant,
}

impl Kept<'_> {
    fn new(traffic: &Traffic) -> Kept<'_> {
        traffic.0.kept.fetch_add(1, Ordering::Relaxed);
        Kept { traffic, since: Instant::now() }
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if self.since.elapsed() > LONG {
            self.traffic.count(PIECE);
        }
        self.traffic.0.kept.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Connections to a server, with a count of what goes over them.
#[derive(Clone)]
pub(crate) struct Counted {
    pub(crate) channel: Channel,
    pub(crate) traffic: Traffic,
}

impl Service<http::Request<Body>> for Counted {
    type Response = http::Response<Pieces>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let traffic = self.traffic.clone();
        let request = request.map(|body| Body::new(Pieces::of(body, &traffic)));
        let answer = self.channel.call(request);
        Box::pin(async move { Ok(answer.await?.map(|body| Pieces::of(body, &traffic))) })
    }
}

/// A body that is handed on, and counted, piece by piece.
pub(crate) struct Pieces {
    body: Body,
    rest: Bytes,
    traffic: Traffic,
}

impl Pieces {
    fn of(body: Body, traffic: &Traffic) -> Pieces {
        Pieces { body, rest: Bytes::new(), traffic: traffic.clone() }
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let own = &mut *self;
        if own.rest.is_empty() {
            match Pin::new(&mut own.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => own.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return other,
            }
        }
        let piece = own.rest.split_to(own.rest.len().min(PIECE));
        own.traffic.count(piece.len());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_come_in_pieces_that_are_counted() {
        let traffic = Traffic::default();
        let content: Bytes = (0..3 * PIECE + 7).map(|at| at as u8).collect::<Vec<u8>>().into();
        let whole = Pieces { body: Body::empty(), rest: content.clone(), traffic: traffic.clone() };
        let mut pieces = Pieces::of(Body::new(whole), &traffic);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut came = Vec::new();
        while let Poll::Ready(Some(frame)) = http_body::Body::poll_frame(Pin::new(&mut pieces), &mut context)
        {
            came.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        assert_eq!(came, content);
        assert_eq!(traffic.bytes(), 2 * content.len() as u64);
        assert!(http_body::Body::is_end_stream(&pieces));
    }

    #[test]
    fn what_waits_for_this_machine_is_no_silence() {
        let traffic = Traffic::default();
        let kept = Kept::new(&traffic);
        assert!(traffic.is_kept());
        drop(kept);
        assert!(!traffic.is_kept());
        let since = Instant::now().checked_sub(2 * LONG).unwrap();
        traffic.0.kept.fetch_add(1, Ordering::Relaxed);
        let before = traffic.bytes();
        drop(Kept { traffic: &traffic, since });
        assert!(traffic.bytes() > before);
    }
}
