//! Bringing one file, whatever comes between.

use super::apart::LOOK;
use super::aside::{Beside, Buffer, Flow};
use super::{Answer, Failure, RETRIES, Request, pause, send, shown};
use bourn_plan::{Candidate, FetchContext, SourceError};
use bourn_reapi::services::Cancel;
use sha2::{Digest as _, Sha256};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a file whose pieces have the wrong sum together is brought from its first byte again: once for what an
/// earlier run left, once for a server that got another file meanwhile. One that has the wrong file and cannot send it in
/// one piece would be asked for ever.
const FRESH_STARTS: u32 = 2;
/// How often progress is reported.
const REPORT: Duration = Duration::from_millis(100);

/// A file to be brought.
pub(crate) struct Transfer<'a> {
    pub(crate) context: &'a FetchContext<'a>,
    /// The directory that it is kept in, under its sum.
    pub(crate) directory: &'a Path,
    /// What it must hash to; `None` when that is to be found out.
    pub(crate) sha256: Option<&'a str>,
    /// The server's name for what is here already: if it has nothing newer, nothing is transferred.
    pub(crate) etag: Option<String>,
    /// What uses a large file while it comes. It may be begun several times; [`Fetched::Seen`] says
    /// that the last time it was the whole file.
    pub(crate) beside: Option<&'a Beside<'a>>,
}

/// Files of fewer bytes are not used while they come: what was just written is read again soon enough.
const LARGE: u64 = 32 << 20;

/// What came of a [`Transfer`].
pub(crate) enum Fetched {
    /// It is kept under this sum.
    File(String),
    /// The same, and what was to be used while it came was the whole file.
    Seen(String),
    /// What is here already is what the server has.
    Unchanged,
}

/// A file being received.
struct Partial {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    length: u64,
    /// What the server called the version that this is a part of.
    validator: Option<String>,
    /// Whether it was pieced together from several answers.
    resumed: bool,
    /// Whether all of it was used while it came.
    seen: bool,
}

impl Transfer<'_> {
    /// Brings it from the first candidate that has it.
    ///
    /// # Errors
    /// That of the last candidate.
    pub(crate) fn run(&self, candidates: &[Candidate]) -> Result<Fetched, SourceError> {
        let mut failures: Vec<SourceError> = Vec::new();
        for candidate in candidates {
            match self.try_candidate(candidate) {
                Ok(fetched) => return Ok(fetched),
                Err(error) if self.context.cancel.is_cancelled() => return Err(error),
                Err(error) => failures.push(error),
            }
        }
        let mut last = failures.pop().unwrap_or_else(|| SourceError::new("There is no URL to try"));
        if !failures.is_empty() {
            let others: Vec<String> = failures.into_iter().map(|failure| failure.message).collect();
            last.detail = Some(format!("Other URLs were tried before:\n  {}", others.join("\n  ")));
        }
        Err(last)
    }

    fn try_candidate(&self, candidate: &Candidate) -> Result<Fetched, SourceError> {
        std::fs::create_dir_all(self.directory).map_err(|error| self.write_error(&error))?;
        let mut partial = self.lock()?;
        if let Some(sha256) = self.sha256.filter(|sum| is_sum(sum))
            && self.directory.join(sha256).is_file()
        {
            // Somebody else was faster; what was to take the file up is of no use any more.
            partial.discard().map_err(|error| self.write_error(&error))?;
            return Ok(Fetched::File(sha256.to_owned()));
        }
        let (mut attempt, mut starts) = (0, 0);
        let mut best = partial.length;
        loop {
            let failure = match self.attempt(candidate, &mut partial) {
                Ok(Some(etag)) => match self.publish(candidate, partial, etag)? {
                    Verdict::Good(fetched) => return Ok(fetched),
                    // The pieces are not of one file: those from an earlier run, or the server has another one since.
                    Verdict::Stale(fresh, error) => {
                        starts += 1;
                        if starts > FRESH_STARTS {
                            drop(fresh.discard());
                            return Err(error);
                        }
                        partial = fresh;
                        best = 0;
                        continue;
                    }
                    Verdict::Wrong(error) => return Err(error),
                },
                Ok(None) => return Ok(Fetched::Unchanged),
                Err(Trouble::Network(failure)) => failure,
                Err(Trouble::Disk(error)) => return Err(self.write_error(&error)),
                Err(Trouble::Cancelled) => return Err(SourceError::new("Interrupted")),
            };
            if failure.passing && partial.length > best {
                // As long as something comes, going on is worth it, at once.
                best = partial.length;
                attempt = 0;
                continue;
            }
            if !failure.passing || attempt >= RETRIES {
                return Err(mirror_error(&candidate.url, &failure));
            }
            let wait = failure.after.unwrap_or_else(|| pause(attempt));
            self.context.progress.log(&format!(
                "{}: {}, trying again\n",
                shown(&candidate.url),
                failure.message
            ));
            sleep(wait, self.context.cancel)?;
            attempt += 1;
        }
    }

    /// Opens what there is of the file, and keeps others from it.
    fn lock(&self) -> Result<Partial, SourceError> {
        let path = self
            .directory
            .join(format!(".{}.part", self.sha256.filter(|sum| is_sum(sum)).unwrap_or("track")));
        loop {
            let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let file = opened.map_err(|error| self.write_error(&error))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    sleep(Duration::from_millis(50), self.context.cancel)?;
                    continue;
                }
                Err(TryLockError::Error(error)) => return Err(self.write_error(&error)),
            }
            // The one who held it may have renamed it away meanwhile.
            use std::os::unix::fs::MetadataExt;
            let same = path.metadata().and_then(|found| Ok(found.ino() == file.metadata()?.ino()));
            if same.unwrap_or(false) {
                return Partial::resume(path, file).map_err(|error| self.write_error(&error));
            }
        }
    }

    /// Receives as much as comes. The server's name for the whole, `None` when it has nothing newer.
    #[expect(clippy::option_option, reason = "the name is optional, and so is the answer")]
    fn attempt(
        &self,
        candidate: &Candidate,
        partial: &mut Partial,
    ) -> Result<Option<Option<String>>, Trouble> {
        // Without a sum to check in the end, only a part of the same version may be continued.
        if self.sha256.is_none() && partial.validator.is_none() && partial.length > 0 {
            partial.restart()?;
        }
        let mut request =
            Request { url: &candidate.url, auth: candidate.auth, from: partial.length, ..Request::default() };
        if let Some(etag) = self.etag.clone().filter(|_| partial.length == 0) {
            request.headers.push(("If-None-Match", etag));
        }
        // With a sum to check, the rest may come from wherever it is the same.
        if let Some(validator) =
            partial.validator.clone().filter(|_| partial.length > 0 && self.sha256.is_none())
        {
            request.headers.push(("If-Range", validator));
        }
        let answer = send(&request, self.context.urls, self.context.cancel)?;
        let same = self.etag.is_some() && answer.etag == self.etag && partial.length == 0;
        match answer.status {
            304 => return Ok(None),
            200..=299 if same => return Ok(None),
            // All of it is here already, or what is here is no part of it.
            416 => {
                let whole =
                    answer.header("content-range").and_then(|range| range.rsplit('/').next()?.parse().ok());
                if whole == Some(partial.length) && partial.length > 0 {
                    partial.resumed = true;
                    return Ok(Some(partial.etag()));
                }
                partial.restart()?;
                return Err(Trouble::Network(Failure::passing("the server has no such part of the file")));
            }
            401 => {
                let message = "HTTP Error 401: Unauthorized";
                return Err(Trouble::Network(Failure { status: Some(401), ..Failure::lasting(message) }));
            }
            _ => {}
        }
        if answer.status == 206 && partial.length > 0 && answer.header("content-range").is_none() {
            partial.restart()?;
            let message = "the server does not say which part of the file it sends";
            return Err(Trouble::Network(Failure::passing(message)));
        }
        let etag = answer.etag.clone();
        self.receive(answer, partial)?;
        Ok(Some(etag))
    }

    fn receive(&self, mut answer: Answer, partial: &mut Partial) -> Result<(), Trouble> {
        partial.continue_at(answer.from)?;
        partial.seen = false;
        if answer.from == 0 {
            partial.remember(&answer)?;
            if let Some(beside) = self.beside.filter(|_| answer.total.is_some_and(|total| total >= LARGE)) {
                return self.receive_beside(answer, partial, beside);
            }
        }
        let mut buffer = vec![0; 1 << 17];
        let mut reported = Instant::now();
        loop {
            if self.context.cancel.is_cancelled() {
                return Err(Trouble::Cancelled);
            }
            let read = match answer.body.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Trouble::Network(Failure::passing(body_error(&error)))),
                Ok(0) => break,
                Ok(read) => read,
            };
            partial.write(&buffer[..read])?;
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                self.context.progress.bytes(partial.length, answer.total);
            }
        }
        self.context.progress.bytes(partial.length, answer.total);
        all_came(partial.length, answer.total)
    }

    /// The same for a large file that is used while it comes.
    fn receive_beside(
        &self,
        mut answer: Answer,
        partial: &mut Partial,
        beside: &Beside<'_>,
    ) -> Result<(), Trouble> {
        let Partial { file, hasher, length, .. } = partial;
        let file: &File = file;
        let received = std::thread::scope(|scope| {
            let flow = Flow::start(scope, file, beside);
            let received = self.hand_on(&mut answer, &flow, |bytes| {
                hasher.update(bytes);
                *length += bytes.len() as u64;
                *length
            });
            let received = received.and_then(|()| all_came(*length, answer.total));
            // What the disk did not take was received in vain.
            flow.finish(received.is_ok()).map_err(Trouble::Disk).and(received)
        });
        partial.seen = received.is_ok();
        received
    }

    /// Hands everything on that comes; `count` is shown it, and answers how much there is.
    fn hand_on(
        &self,
        answer: &mut Answer,
        flow: &Flow<'_>,
        mut count: impl FnMut(&[u8]) -> u64,
    ) -> Result<(), Trouble> {
        let mut reported = Instant::now();
        loop {
            let mut buffer = self.buffer(flow)?;
            let filled = fill(&mut answer.body, &mut buffer);
            let length = count(buffer.content());
            // What came before an error is kept, too: the next attempt goes on behind it.
            if !flow.send(buffer) {
                return Ok(());
            }
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                self.context.progress.bytes(length, answer.total);
            }
            match filled {
                Ok(true) => {}
                Ok(false) => {
                    self.context.progress.bytes(length, answer.total);
                    return Ok(());
                }
                Err(error) => return Err(Trouble::Network(Failure::passing(body_error(&error)))),
            }
        }
    }

    /// Waits until whoever uses the file is done with some of it.
    fn buffer(&self, flow: &Flow<'_>) -> Result<Buffer, Trouble> {
        loop {
            if self.context.cancel.is_cancelled() {
                return Err(Trouble::Cancelled);
            }
            if let Some(buffer) = flow.buffer(LOOK) {
                return Ok(buffer);
            }
        }
    }

    /// Checks the sum and puts the file where it belongs.
    fn publish(
        &self,
        candidate: &Candidate,
        partial: Partial,
        etag: Option<String>,
    ) -> Result<Verdict, SourceError> {
        let failed = |error: io::Error| self.write_error(&error);
        let sha256 = bourn_reapi::Digest { hash: partial.hasher.clone().finalize().into(), size: 0 }.hex();
        if let Some(expected) = self.sha256.filter(|expected| !expected.eq_ignore_ascii_case(&sha256)) {
            let resumed = partial.resumed;
            let url = shown(&candidate.url);
            let mut fresh = partial;
            fresh.restart().map_err(failed)?;
            let message = format!("File downloaded from {url} has sha256sum '{sha256}', not '{expected}'!");
            let hint = "if the new content is right, track the source; else somebody tampers with it";
            let error = SourceError::new(message).hint(hint);
            if resumed {
                return Ok(Verdict::Stale(fresh, error));
            }
            drop(fresh.discard());
            return Ok(Verdict::Wrong(error));
        }
        partial.file.sync_data().map_err(failed)?;
        let name = self.sha256.unwrap_or(&sha256);
        std::fs::rename(&partial.path, self.directory.join(name)).map_err(failed)?;
        let _ = std::fs::remove_file(validator_path(&partial.path));
        if let Some(etag) = etag {
            write_whole(&self.directory.join(format!("{name}.etag")), etag.as_bytes()).map_err(failed)?;
        }
        Ok(Verdict::Good(match partial.seen {
            true => Fetched::Seen(name.to_owned()),
            false => Fetched::File(name.to_owned()),
        }))
    }

    fn write_error(&self, error: &io::Error) -> SourceError {
        let service = bourn_reapi::ServiceError::io(error, "Downloading into", self.directory);
        service.into()
    }
}

/// What a received file turned out to be.
enum Verdict {
    Good(Fetched),
    /// Its pieces do not fit; it is empty now.
    Stale(Partial, SourceError),
    Wrong(SourceError),
}

/// Why an attempt ended.
enum Trouble {
    Network(Failure),
    Disk(io::Error),
    Cancelled,
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Network(failure)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Disk(error)
    }
}

/// The reference calls every failure to download passing.
fn mirror_error(url: &str, failure: &Failure) -> SourceError {
    let error = SourceError::new(format!("Error mirroring {}: {}", shown(url), failure.message)).temporary();
    match failure.status {
        Some(401 | 403) => error.hint("give the credentials for this host in ~/.netrc"),
        Some(404 | 410) => error.hint("the file is gone there; a mirror may still have it"),
        _ => error,
    }
}

fn body_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the connection was closed before the end".to_owned(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "the server fell silent".to_owned(),
        _ => error.to_string(),
    }
}

/// Whether so many bytes are all that the server has.
fn all_came(length: u64, total: Option<u64>) -> Result<(), Trouble> {
    match total {
        Some(total) if length < total => {
            Err(Trouble::Network(Failure::passing(format!("Partial file {length}/{total}"))))
        }
        _ => Ok(()),
    }
}

/// Reads until a buffer is full. Whether there may be more.
fn fill(body: &mut dyn Read, buffer: &mut Buffer) -> io::Result<bool> {
    while !buffer.free().is_empty() {
        match body.read(buffer.free()) {
            Ok(0) => return Ok(false),
            Ok(count) => buffer.fill(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Waits, unless asked to stop.
pub(crate) fn sleep(duration: Duration, cancel: &Cancel) -> Result<(), SourceError> {
    let end = Instant::now() + duration;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        if cancel.is_cancelled() {
            return Err(SourceError::new("Interrupted"));
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
    Ok(())
}

/// Writes a file so that it is there whole or not at all.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Whether a text is a SHA-256 sum. Refs are written by whoever wrote the project, and a file is kept under its ref: one
/// that is a path must lead nowhere.
pub(crate) fn is_sum(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Where the server's name for a partial file is kept.
fn validator_path(path: &Path) -> PathBuf {
    path.with_extension("validator")
}

impl Partial {
    /// Takes up what an earlier attempt left.
    fn resume(path: PathBuf, mut file: File) -> io::Result<Partial> {
        let (mut hasher, mut length) = (Sha256::new(), 0);
        let mut buffer = vec![0; 1 << 17];
        file.seek(SeekFrom::Start(0))?;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            length += read as u64;
        }
        let validator = std::fs::read_to_string(validator_path(&path)).ok().filter(|_| length > 0);
        Ok(Partial { path, file, hasher, length, validator, resumed: false, seen: false })
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = Sha256::new();
        self.length = 0;
        self.validator = None;
        self.resumed = false;
        self.seen = false;
        match std::fs::remove_file(validator_path(&self.path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The server may send from the start although asked for the rest.
    fn continue_at(&mut self, from: u64) -> io::Result<()> {
        if from == self.length {
            self.resumed = from > 0;
            return Ok(());
        }
        self.restart()?;
        if from > 0 {
            return Err(io::Error::other("the server sent another part than asked for"));
        }
        Ok(())
    }

    /// Notes what the server calls this version, so that a later run can ask for the rest of the same.
    fn remember(&mut self, answer: &Answer) -> io::Result<()> {
        let strong = answer.etag.clone().filter(|etag| !etag.starts_with("W/"));
        self.validator = strong.or_else(|| answer.modified.clone());
        match &self.validator {
            Some(validator) => write_whole(&validator_path(&self.path), validator.as_bytes()),
            None => Ok(()),
        }
    }

    fn etag(&self) -> Option<String> {
        self.validator.clone().filter(|validator| validator.starts_with('"'))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn discard(self) -> io::Result<()> {
        let _ = std::fs::remove_file(validator_path(&self.path));
        std::fs::remove_file(&self.path)
    }
}
