//! What a run tells the world: one enum for the live display, the log lines, the JSON stream and the log files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Identifies a job within a run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// What a job does; the names bst uses in its log lines and log file names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Action {
    /// Work that belongs to no element.
    Main,
    /// Finding new refs.
    Track,
    /// Fetching sources.
    Fetch,
    /// Pulling an artifact.
    Pull,
    /// Building.
    Build,
    /// Pushing an artifact.
    Push,
    /// Pushing sources.
    SourcePush,
    /// Bringing what sources are fetched from into a mirror.
    Mirror,
    /// Asking caches.
    Query,
}

impl Action {
    /// Name of the queue in summaries (`Fetch Queue`) and of the job in log lines once in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Action::Main => "Main",
            Action::Track => "Track",
            Action::Fetch => "Fetch",
            Action::Pull => "Pull",
            Action::Build => "Build",
            Action::Push => "Push",
            Action::SourcePush => "Src-push",
            Action::Mirror => "Mirror",
            Action::Query => "Cache-query",
        }
    }

    /// What the queue has done to an element that went through it (`Sources Fetched`).
    pub fn done(self) -> &'static str {
        match self {
            Action::Main => "Done",
            Action::Track => "Sources Tracked",
            Action::Fetch => "Sources Fetched",
            Action::Pull => "Artifacts Pulled",
            Action::Build => "Built",
            Action::Push => "Artifacts Pushed",
            Action::SourcePush => "Sources Pushed",
            Action::Mirror => "Sources Mirrored",
            Action::Query => "Cache queried",
        }
    }
}

/// A cache key as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisplayKey {
    /// The whole key, or 64 question marks while it is not known.
    pub full: Arc<str>,
    /// Whether it is the key of a strict build plan; shown dimmed if not.
    pub strict: bool,
}

/// An element that has something to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Full element name (`junction.bst:element.bst`).
    pub element: Arc<str>,
    /// Its key; `None` for messages that bst writes without one (those of the sandbox).
    pub key: Option<DisplayKey>,
}

/// Who a message is about.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The job, if it belongs to one.
    pub job: Option<JobId>,
    /// What is being done.
    pub action: Action,
    /// The element of the job; shown in the log of the whole run.
    pub element: Option<Issuer>,
    /// The element that speaks, where it is another than the job's (a dependency being staged); written to the log
    /// of the job. `None`: the job's own.
    pub speaker: Option<Issuer>,
}

impl Subject {
    /// Nobody: the program itself, outside of any job.
    pub const MAIN: Subject = Subject { job: None, action: Action::Main, element: None, speaker: None };
}

/// Kinds of message; the names of bst's log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MessageKind {
    /// Details for debugging.
    Debug,
    /// What is being done.
    Status,
    /// Something worth knowing.
    Info,
    /// Something odd.
    Warn,
    /// A failure of bourn or of the configuration.
    Error,
    /// An internal fault.
    Bug,
    /// Raw output of a command, for the job's log.
    Log,
    /// A timed activity begins.
    Start,
    /// A timed activity ended well.
    Success,
    /// A timed activity failed.
    Failure,
    /// A job had nothing to do.
    Skipped,
}

impl MessageKind {
    /// What lines of messages and logs call it.
    pub fn name(self) -> &'static str {
        match self {
            MessageKind::Debug => "DEBUG",
            MessageKind::Status => "STATUS",
            MessageKind::Info => "INFO",
            MessageKind::Warn => "WARNING",
            MessageKind::Error => "ERROR",
            MessageKind::Bug => "BUG",
            MessageKind::Log => "LOG",
            MessageKind::Start => "START",
            MessageKind::Success => "SUCCESS",
            MessageKind::Failure => "FAILURE",
            MessageKind::Skipped => "SKIPPED",
        }
    }
}

/// One message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Who.
    pub subject: Subject,
    /// What kind.
    pub kind: MessageKind,
    /// One line.
    pub text: String,
    /// More lines.
    pub detail: Option<String>,
    /// How long the activity took (`Success`, `Failure`).
    pub elapsed: Option<Duration>,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One line.
    pub message: String,
    /// More lines.
    pub detail: Option<String>,
    /// What the user can do.
    pub hint: Option<String>,
    /// bst's error domain in lower case (`sandbox`, `source`, `element` …).
    pub domain: &'static str,
    /// bst's reason, if there is one.
    pub reason: Option<String>,
    /// Whether a build directory was kept that a shell can enter.
    pub sandbox: bool,
}

impl Failure {
    /// What is told below the message: more about it, then what the user can do.
    pub fn explanation(&self) -> Option<String> {
        let hint = self.hint.as_ref().map(|hint| format!("hint: {hint}"));
        let parts: Vec<String> = self.detail.clone().into_iter().chain(hint).collect();
        (!parts.is_empty()).then(|| parts.join("\n"))
    }
}

/// What happens during a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// How many elements each queue will process.
    Planned {
        /// Queue name, elements to process.
        queues: Vec<(Action, usize)>,
    },
    /// A message.
    Message(Message),
    /// A job started.
    JobStarted {
        /// The job.
        job: JobId,
        /// Who.
        subject: Subject,
        /// The log file of the job.
        log: Option<PathBuf>,
    },
    /// Progress of a download or transfer.
    Progress {
        /// The job.
        job: JobId,
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: Option<u64>,
    },
    /// A job failed for a reason that may pass (the network), and is tried again.
    JobRetried {
        /// The job.
        job: JobId,
        /// Who.
        subject: Subject,
        /// Which try failed, from 1.
        attempt: u32,
        /// How long it took.
        elapsed: Duration,
        /// Why.
        failure: Failure,
        /// The log file of the job.
        log: Option<PathBuf>,
    },
    /// A job ended.
    JobFinished {
        /// The job.
        job: JobId,
        /// Who; the key is the one known now.
        subject: Subject,
        /// How.
        result: JobResult,
        /// How long it took.
        elapsed: Duration,
        /// The log file of the job.
        log: Option<PathBuf>,
    },
    /// A queue let an element pass without a job: there was nothing to do for it.
    Passed {
        /// The queue.
        queue: Action,
        /// Full name of the element.
        element: Arc<str>,
    },
    /// An element was built in its workspace, with success or not: the next build there can go on from this one.
    WorkspaceBuilt {
        /// Full name of the element.
        element: Arc<str>,
        /// The strong key of the artifact, to be kept as `last_build`.
        key: Arc<str>,
    },
}

/// How a job ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JobResult {
    /// Done.
    Done,
    /// It found that there was nothing to do; what for (`Pull`).
    Skipped(String),
    /// It failed.
    Failed(Failure),
    /// It was stopped.
    Cancelled,
}

/// What to do after a job failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Go on with whatever does not need it.
    Continue,
    /// Finish what runs and stop.
    Quit,
    /// Stop what runs.
    Terminate,
    /// Run the job again.
    Retry,
}

/// Consumes events. Called from any thread, in the order things happened per job.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);

    /// Says how to go on after a job failed. Called after its [`Event::JobFinished`], on one thread at a time; new
    /// jobs wait for the answer. May take as long as a person does.
    fn failed(&self, job: JobId, subject: &Subject, failure: &Failure) -> Decision;
}

/// What is said when a job is tried again.
pub fn retried(attempt: u32) -> String {
    format!("Try #{attempt} failed, retrying")
}
