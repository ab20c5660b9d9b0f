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
    /// Asking caches.
    Query,
}

/// Who a message is about.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The job, if it belongs to one.
    pub job: Option<JobId>,
    /// What is being done.
    pub action: Action,
    /// Full element name (`junction.bst:element.bst`), if any.
    pub element: Option<Arc<str>>,
    /// Full display key of the element, if known.
    pub key: Option<Arc<str>>,
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
    /// How long the activity took (`Success`, `Failure`, `Skipped`).
    pub elapsed: Option<Duration>,
    /// The log file of the job.
    pub log: Option<PathBuf>,
    /// For failures: bst's error domain (`sandbox`, `source`, `element` …) and reason.
    pub reason: Option<(&'static str, String)>,
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
    /// A job ended.
    JobFinished {
        /// The job.
        job: JobId,
        /// Who.
        subject: Subject,
        /// How.
        result: JobResult,
        /// How long it took.
        elapsed: Duration,
    },
}

/// How a job ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobResult {
    /// Done.
    Done,
    /// There was nothing to do.
    Skipped,
    /// It failed.
    Failed,
    /// It was stopped.
    Cancelled,
}

/// Consumes events. Called from any thread, in the order things happened per job.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}
