//! One piece of work and what it says: messages, timed activities, its log file.

use crate::error::{BuildError, BuildResult, domain};
use crate::event::{Event, Issuer, JobId, Message, MessageKind, Sink, Subject};
use crate::log::{Line, LogFile};
use bourn_plan::SourceError;
use bourn_plan::source::{Progress, Tone};
use bourn_reapi::services::{Cancel, ServiceError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A clock that stands still while work is suspended.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    pauses: Mutex<Pauses>,
}

#[derive(Debug, Default)]
struct Pauses {
    total: Duration,
    since: Option<Instant>,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock { start: Instant::now(), pauses: Mutex::default() }
    }
}

impl Clock {
    /// Time worked since the clock was made.
    pub fn now(&self) -> Duration {
        let pauses = locked(&self.pauses);
        let until = pauses.since.unwrap_or_else(Instant::now);
        until.duration_since(self.start).saturating_sub(pauses.total)
    }

    /// Stops the clock (`true`) or lets it run again.
    pub fn pause(&self, stop: bool) {
        let mut pauses = locked(&self.pauses);
        match (stop, pauses.since) {
            (true, None) => pauses.since = Some(Instant::now()),
            (false, Some(since)) => {
                pauses.total += since.elapsed();
                pauses.since = None;
            }
            _ => {}
        }
    }
}

/// Locks, whatever happened to those who held the lock before.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What jobs are given to be heard, timed and stopped.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Takes events.
    pub sink: &'a dyn Sink,
    /// Times activities.
    pub clock: &'a Clock,
    /// Whether to stop.
    pub cancel: &'a Cancel,
    /// Whether logs keep what is said for debugging (`logging.debug`).
    pub debug: bool,
}

/// A piece of work: it speaks for an element, or for the program itself.
pub struct Job<'a> {
    around: Surroundings<'a>,
    subject: Subject,
    /// Warnings that are errors in the project of the element.
    fatal: &'a [String],
    log: Option<Mutex<LogFile>>,
    path: Option<PathBuf>,
    /// How many silenced activities are open.
    silence: AtomicU32,
    /// The first failure to write the log.
    trouble: Mutex<Option<ServiceError>>,
}

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Voice {
    /// The element of the job.
    Own,
    /// The same without its key, as bst lets its sandbox and sources speak.
    Keyless,
}

/// An activity to be timed.
pub struct Activity<'a> {
    name: &'a str,
    detail: Option<&'a str>,
    silent: bool,
    voice: Voice,
}

impl<'a> Activity<'a> {
    /// An activity whose messages are shown.
    pub fn new(name: &'a str) -> Activity<'a> {
        Activity { name, detail: None, silent: false, voice: Voice::Own }
    }

    /// Messages within, other than warnings and failures, go to the log of the job only.
    pub fn silent(mut self, silent: bool) -> Activity<'a> {
        self.silent = silent;
        self
    }

    /// Longer text at its start.
    pub fn detail(mut self, detail: &'a str) -> Activity<'a> {
        self.detail = Some(detail);
        self
    }

    /// The sandbox or a source speaks.
    pub fn keyless(mut self) -> Activity<'a> {
        self.voice = Voice::Keyless;
        self
    }
}

impl<'a> Job<'a> {
    /// A piece of work. `fatal` are the warnings that are errors in the project of its element.
    pub fn new(
        around: Surroundings<'a>,
        subject: Subject,
        fatal: &'a [String],
        log: Option<LogFile>,
    ) -> Job<'a> {
        let path = log.as_ref().map(|log| log.path().to_owned());
        let log = log.map(Mutex::new);
        Job { around, subject, fatal, log, path, silence: AtomicU32::new(0), trouble: Mutex::default() }
    }

    /// Its number, if it is one of the scheduler's.
    pub fn id(&self) -> Option<JobId> {
        self.subject.job
    }

    /// Who it speaks for.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Whether to stop.
    pub fn cancel(&self) -> &'a Cancel {
        self.around.cancel
    }

    /// The path of its log file.
    pub fn log_path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// An error if somebody asked to stop.
    ///
    /// # Errors
    /// That one.
    pub fn check_cancelled(&self) -> BuildResult<()> {
        if self.around.cancel.is_cancelled() { Err(BuildError::cancelled()) } else { Ok(()) }
    }

    /// Time worked so far, to compute how long something took.
    pub fn now(&self) -> Duration {
        self.around.clock.now()
    }

    /// Says something in its own name.
    pub fn say(&self, kind: MessageKind, text: &str, detail: Option<&str>) {
        self.speak(Voice::Own, kind, text, detail, None);
    }

    /// Says something that concerns another element; in the log of the job that one speaks.
    pub fn say_of(&self, speaker: Issuer, kind: MessageKind, text: &str) {
        self.record(&Line { kind, issuer: Some(&speaker), text, detail: None, elapsed: None });
        self.forward(Some(speaker), kind, text, None, None);
    }

    /// Warns. A warning with a token that the project calls fatal becomes an error.
    ///
    /// # Errors
    /// That one, with the token as reason.
    pub fn warn(&self, token: Option<&str>, text: &str, detail: Option<&str>) -> BuildResult<()> {
        self.warn_as(Voice::Own, token, text, detail)
    }

    fn warn_as(
        &self,
        voice: Voice,
        token: Option<&str>,
        text: &str,
        detail: Option<&str>,
    ) -> BuildResult<()> {
        let text = match token {
            Some(token) => format!("[{token}]: {text}"),
            None => text.to_owned(),
        };
        if let Some(token) = token.filter(|&token| self.fatal.iter().any(|name| name == token)) {
            let message = format!("{text}\n{}", detail.unwrap_or_default());
            return Err(BuildError::new(domain::PLUGIN, message).reason(token));
        }
        self.speak(voice, MessageKind::Warn, &text, detail, None);
        Ok(())
    }

    /// Does something under a heading, timed.
    ///
    /// # Errors
    /// What `work` reports.
    pub fn activity<T>(
        &self,
        activity: &Activity<'_>,
        work: impl FnOnce() -> BuildResult<T>,
    ) -> BuildResult<T> {
        let start = self.now();
        self.speak(activity.voice, MessageKind::Start, activity.name, activity.detail, None);
        if activity.silent {
            self.silence.fetch_add(1, Ordering::Relaxed);
        }
        let result = work();
        if activity.silent {
            self.silence.fetch_sub(1, Ordering::Relaxed);
        }
        let elapsed = Some(self.now().saturating_sub(start));
        match &result {
            Ok(_) => self.speak(activity.voice, MessageKind::Success, activity.name, None, elapsed),
            Err(error) if error.cancelled => {}
            Err(_) => self.speak(activity.voice, MessageKind::Failure, activity.name, None, elapsed),
        }
        result
    }

    /// Writes a line about the job itself (start, end) to its log.
    pub fn note(&self, kind: MessageKind, text: &str, detail: Option<&str>, elapsed: Option<Duration>) {
        self.record(&Line { kind, issuer: self.subject.element.as_ref(), text, detail, elapsed });
    }

    /// Where commands of the job write to.
    ///
    /// # Errors
    /// No more files can be opened.
    pub fn output(&self) -> BuildResult<Box<dyn Write + Send>> {
        Ok(match &self.log {
            Some(log) => Box::new(locked(log).output()?),
            None => Box::new(io::sink()),
        })
    }

    /// Appends text to the log.
    pub fn append_to_log(&self, text: &str) {
        let Some(log) = &self.log else { return };
        if let Err(error) = locked(log).append(text.as_bytes()) {
            locked(&self.trouble).get_or_insert(error);
        }
    }

    /// The first failure to write the log file, if there was any.
    pub fn log_trouble(&self) -> Option<ServiceError> {
        locked(&self.trouble).take()
    }

    /// Tells how far a transfer is.
    pub fn progress(&self, done: u64, total: Option<u64>) {
        if let Some(job) = self.subject.job {
            self.around.sink.event(Event::Progress { job, done, total });
        }
    }

    fn speak(
        &self,
        voice: Voice,
        kind: MessageKind,
        text: &str,
        detail: Option<&str>,
        elapsed: Option<Duration>,
    ) {
        let keyless = match (voice, &self.subject.element) {
            (Voice::Keyless, Some(issuer)) => Some(Issuer { element: issuer.element.clone(), key: None }),
            _ => None,
        };
        let issuer = keyless.as_ref().or(self.subject.element.as_ref());
        self.record(&Line { kind, issuer, text, detail, elapsed });
        self.forward(keyless, kind, text, detail, elapsed);
    }

    fn forward(
        &self,
        speaker: Option<Issuer>,
        kind: MessageKind,
        text: &str,
        detail: Option<&str>,
        elapsed: Option<Duration>,
    ) {
        use MessageKind::{Bug, Error, Failure, Info, Log, Warn};
        let loud = matches!(kind, Info | Warn | Failure | Error | Bug);
        let silenced = self.silence.load(Ordering::Relaxed) > 0 && !loud;
        if silenced || (kind == Log && self.log.is_some()) {
            return;
        }
        let subject = Subject { speaker, ..self.subject.clone() };
        let (text, detail) = (text.to_owned(), detail.map(str::to_owned));
        self.around.sink.event(Event::Message(Message { subject, kind, text, detail, elapsed }));
    }

    fn record(&self, line: &Line<'_>) {
        let Some(log) = &self.log else { return };
        if line.kind == MessageKind::Debug && !self.around.debug {
            return;
        }
        if let Err(error) = locked(log).record(line) {
            locked(&self.trouble).get_or_insert(error);
        }
    }
}

impl Progress for Job<'_> {
    fn say(&self, tone: Tone, text: &str, detail: Option<&str>) {
        let kind = match tone {
            Tone::Debug => MessageKind::Debug,
            Tone::Status => MessageKind::Status,
            Tone::Info => MessageKind::Info,
            Tone::Log => MessageKind::Log,
        };
        self.speak(Voice::Keyless, kind, text, detail, None);
    }

    fn warn(&self, token: Option<&'static str>, text: &str, detail: Option<&str>) -> Result<(), SourceError> {
        self.warn_as(Voice::Keyless, token, text, detail)
            .map_err(|error| SourceError::new(error.failure.message).reason(token.unwrap_or_default()))
    }

    fn under(
        &self,
        heading: &str,
        detail: Option<&str>,
        silent: bool,
        work: &mut dyn FnMut() -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let activity = Activity { detail, ..Activity::new(heading).silent(silent).keyless() };
        // The source's own error is handed back as it is, whatever the log made of it.
        let mut failed = None;
        let done = Job::activity(self, &activity, || {
            work().map_err(|error| {
                let told = BuildError::new(domain::SOURCE, error.message.clone());
                failed = Some(error);
                told
            })
        });
        match (done, failed) {
            (_, Some(error)) => Err(error),
            (Err(error), None) => Err(SourceError::new(error.failure.message)),
            (Ok(()), None) => Ok(()),
        }
    }

    fn log(&self, output: &str) {
        self.append_to_log(output);
    }

    fn bytes(&self, done: u64, total: Option<u64>) {
        self.progress(done, total);
    }
}
