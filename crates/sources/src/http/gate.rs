//! How many answers one host is asked for at the same time.

use super::Failure;
use super::apart::LOOK;
use bourn_reapi::services::Cancel;
use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};

/// Servers and those who run them do not like more.
pub(crate) const PER_HOST: usize = 8;

/// Answers under way, by host.
static BUSY: LazyLock<(Mutex<HashMap<String, usize>>, Condvar)> = LazyLock::new(Default::default);

/// One of the places at a host; free again when dropped.
pub(super) struct Turn(String);

/// Waits for a place.
///
/// # Errors
/// Stopping was asked for.
pub(super) fn enter(host: &str, cancel: &Cancel) -> Result<Turn, Failure> {
    let (_, freed) = &*BUSY;
    let mut busy = lock();
    while busy.get(host).is_some_and(|count| *count >= PER_HOST) {
        if cancel.is_cancelled() {
            return Err(Failure::stopped());
        }
        busy = freed.wait_timeout(busy, LOOK).unwrap_or_else(PoisonError::into_inner).0;
    }
    *busy.entry(host.to_owned()).or_default() += 1;
    Ok(Turn(host.to_owned()))
}

fn lock() -> MutexGuard<'static, HashMap<String, usize>> {
    BUSY.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut busy = lock();
        if let Some(count) = busy.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                busy.remove(&self.0);
            }
        }
        drop(busy);
        BUSY.1.notify_all();
    }
}

/// A body whose place is taken until it ends or is dropped.
pub(super) struct Body<R> {
    reader: R,
    turn: Option<Turn>,
}

impl<R> Body<R> {
    pub(super) fn new(reader: R, turn: Turn) -> Body<R> {
        Body { reader, turn: Some(turn) }
    }
}

impl<R: Read> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer);
        if !buffer.is_empty() && matches!(read, Ok(0) | Err(_)) {
            self.turn = None;
        }
        read
    }
}
