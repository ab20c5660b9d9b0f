//! Where everything that happens is written to.

use crate::exit::Failure as Stop;
use crate::report::estimate::Estimate;
use crate::report::json;
use crate::report::line::{self, Line, LineFormat};
use crate::report::screen::{Screen, View};
use crate::report::style::{Painter, without_colors};
use crate::report::summary;
use crate::report::tally::Tally;
use crate::settings::resolve::{Display, Settings};
use crate::world::Remark;
use bourn_build::event::{Event, Issuer, JobId, JobResult, Message, MessageKind, Subject};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How often the live region is drawn anew while nothing happens.
const TICK: Duration = Duration::from_millis(200);
/// How long what was drawn stands at least, unless a line is written above it.
const FRAME: Duration = Duration::from_millis(40);

/// Writes events as they come, and remembers what the summary needs. Clones are one and the same.
#[derive(Clone)]
pub(crate) struct Reporter {
    shared: Arc<Shared>,
}

struct Shared {
    format: LineFormat,
    display: Display,
    /// Whether a live display leaves lines away that only say what is going on.
    quiet: bool,
    debug: bool,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    tally: Tally,
    /// How many elements the summary is about, once one is wanted.
    total: Option<usize>,
    /// Rendered failures by element.
    failures: BTreeMap<String, String>,
    /// Log files of jobs.
    logs: BTreeMap<JobId, PathBuf>,
    log_file: Option<File>,
    screen: Option<Screen>,
    /// When the live region was drawn last.
    drawn: Option<Instant>,
    ticking: bool,
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
        let live = settings.display == Display::Live;
        let state = State {
            tally: Tally::default(),
            total: None,
            failures: BTreeMap::new(),
            logs: BTreeMap::new(),
            log_file,
            screen: live.then(Screen::default),
            drawn: None,
            ticking: false,
        };
        let shared = Shared {
            format,
            display: settings.display,
            quiet: live && !(logging.verbose && logging.verbose_is_explicit),
            debug: logging.debug,
            started: Instant::now(),
            state: Mutex::new(state),
        };
        Ok(Reporter { shared: Arc::new(shared) })
    }

    /// Takes one event.
    pub(crate) fn event(&self, event: &Event) {
        let shared = &self.shared;
        let mut state = shared.lock();
        state.tally.count(event);
        if shared.display == Display::Json {
            write_stderr(&json::line(event, shared.started.elapsed()));
        }
        if let Event::JobStarted { job, log: Some(log), .. } = event {
            state.logs.insert(*job, log.clone());
        }
        if let Some(screen) = &mut state.screen {
            screen.note(event);
        }
        let text = shared.render(&mut state, event);
        shared.write(&mut state, text.as_deref().unwrap_or_default(), shared.is_shown(event));
        if state.screen.is_some() && !std::mem::replace(&mut state.ticking, true) {
            tick(Arc::downgrade(shared));
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
        let (text, detail) = (text.to_owned(), detail.map(str::to_owned));
        self.event(&Event::Message(Message { subject: Subject::MAIN, kind, text, detail, elapsed }));
    }

    /// What was remarked while a project was loaded.
    pub(crate) fn remark(&self, remark: &Remark) {
        let Remark { kind, text, detail, speaker } = remark.clone();
        let element = speaker.map(|element| Issuer { element: element.into(), key: None });
        let subject = Subject { element, ..Subject::MAIN };
        self.event(&Event::Message(Message { subject, kind, text, detail, elapsed: None }));
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
        self.counted(activity, || Ok((work()?, None)))
    }

    /// The same for work that also says what it did, for the line at its end.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) fn counted<T>(
        &self,
        activity: &str,
        work: impl FnOnce() -> Result<(T, Option<String>), Stop>,
    ) -> Result<T, Stop> {
        self.message(MessageKind::Start, activity, None, None);
        let begin = Instant::now();
        let result = work();
        let (kind, detail) = match &result {
            Ok((_, detail)) => (MessageKind::Success, detail.as_deref()),
            Err(_) => (MessageKind::Failure, None),
        };
        self.message(kind, activity, detail, Some(begin.elapsed()));
        result.map(|(value, _)| value)
    }

    /// Time since the program began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// The counts so far.
    pub(crate) fn tally(&self) -> Tally {
        self.shared.lock().tally.clone()
    }

    /// The log file of a job.
    pub(crate) fn log_of(&self, job: JobId) -> Option<PathBuf> {
        self.shared.lock().logs.get(&job).cloned()
    }

    /// Whether there is a live display.
    pub(crate) fn is_live(&self) -> bool {
        self.shared.display == Display::Live
    }

    /// Tells the live display how much there is to do.
    pub(crate) fn expect(&self, estimate: Estimate) {
        if let Some(screen) = &mut self.shared.lock().screen {
            screen.expect(estimate);
        }
    }

    /// Whether the heading of a session is wanted.
    pub(crate) fn wants_heading(&self) -> bool {
        !self.shared.quiet && self.shared.display != Display::Json
    }

    /// Writes text that is no message: the heading of a session.
    pub(crate) fn print(&self, text: &str) {
        let mut state = self.shared.lock();
        self.shared.write(&mut state, text, self.shared.display != Display::Json);
    }

    /// Runs something that uses the terminal itself: a question, a shell, results on standard output.
    pub(crate) fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.shared.pause(true);
        let result = work();
        self.shared.pause(false);
        result
    }

    /// Takes the live region away for good.
    pub(crate) fn finish(&self) {
        self.shared.pause(true);
    }

    /// Has a summary over `total` elements stand at the end of the session.
    pub(crate) fn summarise(&self, total: usize) {
        self.shared.lock().total = Some(total);
    }

    /// Writes the summary, if one is wanted.
    pub(crate) fn summary(&self) {
        let mut state = self.shared.lock();
        let Some(total) = state.total.filter(|_| self.shared.display != Display::Json) else { return };
        let failures: Vec<(String, String)> = state
            .failures
            .iter()
            .filter(|(element, _)| state.tally.has_failed(element))
            .map(|(element, text)| (element.clone(), text.clone()))
            .collect();
        let text = summary::render(&state.tally, &failures, total, self.shared.format.painter);
        self.shared.write(&mut state, &format!("\n{text}"), true);
    }
}

/// Draws the live region again and again, as long as there is a reporter.
fn tick(shared: Weak<Shared>) {
    // Without the thread the region is still drawn with every event.
    let _ = std::thread::Builder::new().name("display".into()).spawn(move || {
        loop {
            std::thread::sleep(TICK);
            let Some(shared) = shared.upgrade() else { return };
            let mut state = shared.lock();
            shared.write(&mut state, "", true);
        }
    });
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause(&self, paused: bool) {
        let mut state = self.lock();
        let mut out = String::new();
        if let Some(screen) = &mut state.screen {
            screen.pause(&mut out, paused);
        }
        write_stderr(&out);
    }

    /// Writes text above the live region if `shown`, and into the log file in any case.
    fn write(&self, state: &mut State, text: &str, shown: bool) {
        if let Some(file) = &mut state.log_file {
            // A log file on a full disk must not stop what is being logged.
            let _ = file.write_all(without_colors(text).as_bytes());
        }
        let shown = if shown { text } else { "" };
        let Some(screen) = &mut state.screen else {
            if self.display != Display::Json {
                write_stderr(shown);
            }
            return;
        };
        if shown.is_empty() && state.drawn.is_some_and(|drawn| drawn.elapsed() < FRAME) {
            return;
        }
        state.drawn = Some(Instant::now());
        let mut out = String::new();
        screen.erase(&mut out);
        out.push_str(shown);
        let (columns, rows) = size();
        let painter = self.format.painter;
        let elapsed = self.started.elapsed();
        screen.draw(&mut out, &View { tally: &state.tally, elapsed, columns, rows, painter });
        write_stderr(&out);
    }

    /// Whether the line of an event belongs on the screen: a quiet display shows what went wrong and what was found.
    fn is_shown(&self, event: &Event) -> bool {
        if !self.quiet {
            return true;
        }
        match event {
            Event::Message(message) => match message.kind {
                MessageKind::Warn | MessageKind::Error | MessageKind::Bug => true,
                MessageKind::Info => message.subject.element.is_none(),
                _ => false,
            },
            Event::JobFinished { result, .. } => matches!(result, JobResult::Failed(_)),
            _ => false,
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
            Event::JobRetried { subject, attempt, elapsed, failure, log, .. } => Some(Line {
                job_log: log.as_deref(),
                elapsed: Some(*elapsed),
                detail: Some(failure.message.as_str().into()),
                ..line_of(subject, MessageKind::Failure, bourn_build::event::retried(*attempt))
            }),
            Event::JobFinished { subject, result, elapsed, log, .. } => {
                let (kind, text, detail) = match result {
                    JobResult::Done => (MessageKind::Success, subject.action.name(), None),
                    JobResult::Skipped(what) => (MessageKind::Skipped, what.as_str(), None),
                    JobResult::Failed(failure) => {
                        (MessageKind::Failure, failure.message.as_str(), failure.explanation())
                    }
                    JobResult::Cancelled => (MessageKind::Info, "Job terminated", None),
                };
                let (elapsed, detail) = (Some(*elapsed), detail.map(Into::into));
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
            detail: message.detail.as_deref().map(Into::into),
            elapsed: message.elapsed,
            ..line_of(&message.subject, message.kind, message.text.as_str())
        })
    }
}

fn line_of<'a>(subject: &'a Subject, kind: MessageKind, text: impl Into<Cow<'a, str>>) -> Line<'a> {
    let element = subject.element.as_ref().or(subject.speaker.as_ref());
    Line {
        kind,
        action: subject.action,
        element,
        text: text.into(),
        detail: None,
        elapsed: None,
        job_log: None,
    }
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => (80, 24),
    }
}

/// Writes to standard error. When that is closed there is nobody to tell.
pub(crate) fn write_stderr(text: &str) {
    if !text.is_empty() {
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}
