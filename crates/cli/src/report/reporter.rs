//! Where everything that happens is written to.

use crate::exit::Failure as Stop;
use crate::report::json;
use crate::report::line::{self, Line, LineFormat};
use crate::report::style::{Painter, without_colors};
use crate::report::summary;
use crate::report::tally::Tally;
use crate::settings::resolve::{Display, Settings};
use bourn_build::event::{Event, JobResult, Message, MessageKind, Subject};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Writes events as they come, and remembers what the summary needs.
pub(crate) struct Reporter {
    format: LineFormat,
    display: Display,
    started: Instant,
    debug: bool,
    state: Mutex<State>,
}

struct State {
    tally: Tally,
    /// Rendered failures by element.
    failures: BTreeMap<String, String>,
    log_file: Option<File>,
}

impl Reporter {
    /// As the settings want it.
    ///
    /// # Errors
    /// A format that cannot be read, a log file that cannot be written.
    pub(crate) fn new(settings: &Settings) -> Result<Reporter, Stop> {
        let logging = &settings.user.logging;
        let painter = Painter { colors: settings.terminal.colors };
        let format =
            LineFormat::new(&logging.message_format, logging.debug, logging, &settings.user.logdir, painter)
                .map_err(|bad| Stop::app(format!("logging.message-format: {}", bad.0)))?;
        let log_file = match &settings.log_file {
            None => None,
            Some(path) => {
                Some(File::create(path).map_err(|error| Stop::io(&error, "creating the log file", path))?)
            }
        };
        let state = Mutex::new(State { tally: Tally::default(), failures: BTreeMap::new(), log_file });
        let debug = logging.debug;
        Ok(Reporter { format, display: settings.display, started: Instant::now(), debug, state })
    }

    /// Takes one event.
    pub(crate) fn event(&self, event: &Event) {
        let mut state = self.lock();
        state.tally.count(event);
        if self.display == Display::Json {
            write_stderr(&json::line(event, self.started.elapsed()));
        }
        if let Some(text) = self.render(&mut state, event) {
            self.write(&mut state, &text);
        }
    }

    /// A message of the program itself.
    pub(crate) fn message(
        &self,
        kind: MessageKind,
        text: &str,
        detail: Option<&str>,
        elapsed: Option<Duration>,
    ) {
        let detail = detail.map(str::to_owned);
        self.event(&Event::Message(Message {
            subject: Subject::MAIN,
            kind,
            text: text.to_owned(),
            detail,
            elapsed,
        }));
    }

    /// Something worth knowing.
    pub(crate) fn info(&self, text: &str) {
        self.message(MessageKind::Info, text, None, None);
    }

    /// Something odd.
    pub(crate) fn warn(&self, text: &str) {
        self.message(MessageKind::Warn, text, None, None);
    }

    /// Says that `activity` begins and how it ended.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) fn timed<T>(&self, activity: &str, work: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
        self.message(MessageKind::Start, activity, None, None);
        let begin = Instant::now();
        let result = work();
        let kind = if result.is_ok() { MessageKind::Success } else { MessageKind::Failure };
        self.message(kind, activity, None, Some(begin.elapsed()));
        result
    }

    /// Time since the program began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The counts so far.
    pub(crate) fn tally(&self) -> Tally {
        self.lock().tally.clone()
    }

    /// How lines are written.
    pub(crate) fn format(&self) -> &LineFormat {
        &self.format
    }

    /// Writes text that is no message: the heading of a session.
    pub(crate) fn print(&self, text: &str) {
        if self.display != Display::Json {
            self.write(&mut self.lock(), text);
        }
    }

    /// Writes the summary of a session over `total` elements.
    pub(crate) fn summary(&self, total: usize) {
        if self.display == Display::Json {
            return;
        }
        let mut state = self.lock();
        let failures: Vec<(String, String)> = state
            .failures
            .iter()
            .filter(|(element, _)| state.tally.has_failed(element))
            .map(|(element, text)| (element.clone(), text.clone()))
            .collect();
        let text = summary::render(&state.tally, &failures, total, self.format.painter);
        write_stderr("\n");
        self.write(&mut state, &text);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, state: &mut State, text: &str) {
        if self.display != Display::Json {
            write_stderr(text);
        }
        if let Some(file) = &mut state.log_file {
            // A log file on a full disk must not stop what is being logged.
            let _ = file.write_all(without_colors(text).as_bytes());
        }
    }

    /// The line of an event, if it has one. Remembers failures.
    fn render(&self, state: &mut State, event: &Event) -> Option<String> {
        let line = self.line(event)?;
        if line.kind == MessageKind::Status && !self.format.verbose {
            return None;
        }
        let text = self.format.render(&line);
        if let Some(issuer) = line.element.filter(|_| line::is_error(line.kind)) {
            state.failures.insert(issuer.element.to_string(), text.clone());
        }
        Some(text)
    }

    fn line<'a>(&self, event: &'a Event) -> Option<Line<'a>> {
        match event {
            Event::Message(message) => self.message_line(message),
            Event::JobStarted { subject, log, .. } => Some(Line {
                job_log: log.as_deref(),
                ..line_of(subject, MessageKind::Start, subject.action.name())
            }),
            Event::JobRetried { subject, elapsed, failure, log, .. } => Some(Line {
                job_log: log.as_deref(),
                elapsed: Some(*elapsed),
                ..line_of(subject, MessageKind::Failure, &failure.message)
            }),
            Event::JobFinished { subject, result, elapsed, log, .. } => {
                let (kind, text, detail) = match result {
                    JobResult::Done => (MessageKind::Success, subject.action.name(), None),
                    JobResult::Skipped(what) => (MessageKind::Skipped, what.as_str(), None),
                    JobResult::Failed(failure) => {
                        (MessageKind::Failure, failure.message.as_str(), failure.detail.as_deref())
                    }
                    JobResult::Cancelled => (MessageKind::Info, "Job terminated", None),
                };
                let elapsed = Some(*elapsed);
                Some(Line { job_log: log.as_deref(), elapsed, detail, ..line_of(subject, kind, text) })
            }
            Event::Planned { .. }
            | Event::Progress { .. }
            | Event::Passed { .. }
            | Event::WorkspaceBuilt { .. } => None,
        }
    }

    fn message_line<'a>(&self, message: &'a Message) -> Option<Line<'a>> {
        match message.kind {
            MessageKind::Log => return None,
            MessageKind::Debug if !self.debug => return None,
            _ => {}
        }
        Some(Line {
            detail: message.detail.as_deref(),
            elapsed: message.elapsed,
            ..line_of(&message.subject, message.kind, &message.text)
        })
    }
}

fn line_of<'a>(subject: &'a Subject, kind: MessageKind, text: &'a str) -> Line<'a> {
    let element = subject.element.as_ref().or(subject.speaker.as_ref());
    Line { kind, action: subject.action, element, text, detail: None, elapsed: None, job_log: None }
}

/// Writes to standard error. When that is closed there is nobody to tell.
pub(crate) fn write_stderr(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
