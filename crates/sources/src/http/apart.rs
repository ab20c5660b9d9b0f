//! Waiting for servers in threads that can be left alone: who waits in a system call, for a name, a connection or the
//! next bytes, cannot be stopped, and whoever is asked to stop does not wait with it.

use super::Failure;
use bourn_reapi::services::Cancel;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

/// How often one who waits looks whether to stop.
pub(super) const LOOK: Duration = Duration::from_millis(50);
/// Bytes that are read at a time.
const PIECE: usize = 1 << 17;
/// How many pieces are read ahead.
const AHEAD: usize = 4;

/// What `work` comes to, done in a thread of its own.
///
/// # Errors
/// Stopping was asked for; the thread goes on until its server says something or was waited for long enough.
pub(super) fn wait<T: Send + 'static>(
    cancel: &Cancel,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    if cancel.is_cancelled() {
        return Err(Failure::stopped());
    }
    let (done, result) = channel();
    start(move || {
        let _ = done.send(work());
    })
    .map_err(|error| Failure::lasting(error.to_string()))?;
    loop {
        match result.recv_timeout(LOOK) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) if cancel.is_cancelled() => return Err(Failure::stopped()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::lasting(FAULT)),
        }
    }
}

/// What is said of a thread that ended without a word.
const FAULT: &str = "a fault of the program ended the request";

fn start(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name("request".to_owned()).spawn(work).map(drop)
}

/// A body that is read in a thread of its own, from the first look at it on.
pub(super) struct Body {
    cancel: Cancel,
    state: State,
    piece: Vec<u8>,
    /// How much of the piece was handed out.
    taken: usize,
}

enum State {
    Untouched(Box<dyn Read + Send>),
    /// Pieces as they come, an empty one at the end; and where they go to be filled again.
    Flowing(Receiver<io::Result<Vec<u8>>>, Sender<Vec<u8>>),
    Ended,
}

impl Body {
    pub(super) fn new(reader: Box<dyn Read + Send>, cancel: &Cancel) -> Body {
        Body { cancel: cancel.clone(), state: State::Untouched(reader), piece: Vec::new(), taken: 0 }
    }

    /// The next piece; an empty one at the end.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        let (pieces, used) = match std::mem::replace(&mut self.state, State::Ended) {
            State::Untouched(reader) => {
                let (full, pieces) = sync_channel(AHEAD);
                let (used, empty) = channel();
                start(move || pump(reader, &full, &empty))?;
                (pieces, used)
            }
            State::Flowing(pieces, used) => {
                let _ = used.send(std::mem::take(&mut self.piece));
                (pieces, used)
            }
            State::Ended => return Ok(Vec::new()),
        };
        loop {
            match pieces.recv_timeout(LOOK) {
                Ok(Ok(piece)) => {
                    if !piece.is_empty() {
                        self.state = State::Flowing(pieces, used);
                    }
                    return Ok(piece);
                }
                Ok(Err(error)) => return Err(error),
                Err(RecvTimeoutError::Timeout) if self.cancel.is_cancelled() => {
                    return Err(io::Error::new(io::ErrorKind::ConnectionAborted, Failure::stopped().message));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other(FAULT)),
            }
        }
    }
}

/// Reads to the end, to an error, or until nobody wants any more.
fn pump(mut reader: Box<dyn Read + Send>, full: &SyncSender<io::Result<Vec<u8>>>, empty: &Receiver<Vec<u8>>) {
    loop {
        let mut piece = empty.try_recv().unwrap_or_default();
        piece.resize(PIECE, 0);
        let read = match reader.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let _ = full.send(Err(error));
                return;
            }
            Ok(read) => read,
        };
        piece.truncate(read);
        if full.send(Ok(piece)).is_err() || read == 0 {
            return;
        }
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.taken == self.piece.len() {
            self.piece = self.next()?;
            self.taken = 0;
        }
        let rest = &self.piece[self.taken..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.taken += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says something, and nothing more until somebody hangs up.
    struct Silent(&'static [u8], Receiver<()>);

    impl Read for Silent {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(buffer)?;
            if read == 0 {
                let _ = self.1.recv();
            }
            Ok(read)
        }
    }

    #[test]
    fn a_body_comes_whole() {
        let content: Vec<u8> = (0..3 * PIECE + 5).map(|at| (at % 251) as u8).collect();
        let reader = Box::new(io::Cursor::new(content.clone()));
        let mut read = Vec::new();
        let mut body = Body::new(reader, &Cancel::default());
        body.read_to_end(&mut read).expect("the body");
        assert_eq!(read, content);
        assert_eq!(body.read(&mut [0; 9]).expect("the end again"), 0);
    }

    #[test]
    fn errors_come_through() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
        let mut body = Body::new(Box::new(Broken), &Cancel::default());
        assert_eq!(body.read(&mut [0; 9]).map_err(|error| error.kind()), Err(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn nobody_waits_longer_than_wanted() {
        let cancel = Cancel::default();
        let (_line, silence) = channel();
        let mut body = Body::new(Box::new(Silent(b"well", silence)), &cancel);
        let mut buffer = [0; 9];
        assert_eq!(body.read(&mut buffer).expect("a word"), 4);
        cancel.cancel();
        assert!(body.read(&mut buffer).is_err());
        let (_line, silence) = channel::<()>();
        assert_eq!(wait(&Cancel::default(), || 7).expect("an answer"), 7);
        assert!(wait(&cancel, move || silence.recv()).is_err());
    }
}
