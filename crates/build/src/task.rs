//! One job, from the opening of its log to its end, in a thread that does nothing else meanwhile.

use crate::assemble::{Assembled, assemble};
use crate::error::{BuildError, BuildResult};
use crate::event::{self, Event, Failure, JobId, JobResult, MessageKind, Subject};
use crate::fetch::{self, Tracked};
use crate::job::Job;
use crate::log::LogFile;
use crate::push;
use crate::queue::{Resource, Work};
use crate::session::Session;
use crate::state::ArtifactState;
use bourn_project::ElementId;
use bourn_reapi::Digest;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::time::Duration;

/// A job that ended.
pub(crate) struct Ended {
    pub(crate) job: JobId,
    pub(crate) queue: usize,
    pub(crate) id: ElementId,
    pub(crate) subject: Subject,
    pub(crate) result: Result<Product, BuildError>,
    pub(crate) elapsed: Duration,
}

/// What a job made.
pub(crate) enum Product {
    Tracked(Option<Vec<Tracked>>),
    Fetched(Digest),
    Pulled(ArtifactState, bool),
    Built(Box<Assembled>),
    Pushed(bool),
    Mirrored,
}

/// A job about to be started.
pub(crate) struct Task<'s> {
    pub(crate) session: &'s Session<'s>,
    pub(crate) visit: Option<&'s fetch::Visit<'s>>,
    pub(crate) job: JobId,
    pub(crate) queue: usize,
    pub(crate) work: Work,
    pub(crate) id: ElementId,
}

/// How one try of a job ended.
enum Try {
    Ended(Subject, Result<Product, BuildError>, Duration),
    Again,
}

impl Task<'_> {
    /// Runs the job to its end.
    pub(crate) fn work(self, ended: &Sender<Ended>) {
        let mut attempt = 1;
        let (subject, result, elapsed) = loop {
            // Where telling of the job is what panics, whoever waits for its end waits no longer for that.
            let tried = catch_unwind(AssertUnwindSafe(|| self.attempt(attempt)));
            match tried.unwrap_or_else(|panic| self.lost(&*panic)) {
                Try::Ended(subject, result, elapsed) => break (subject, result, elapsed),
                Try::Again => attempt += 1,
            }
        };
        // Whoever waits for this ends only after all jobs did.
        let Task { job, queue, id, .. } = self;
        let _ = ended.send(Ended { job, queue, id, subject, result, elapsed });
    }

    /// How a try ended that panicked.
    fn lost(&self, panic: &(dyn std::any::Any + Send)) -> Try {
        Try::Ended(self.subject(), Err(fault(panic)), Duration::ZERO)
    }

    fn subject(&self) -> Subject {
        let element = Some(self.session.issuer(self.id));
        Subject { job: Some(self.job), action: self.work.action(), element, speaker: None }
    }

    fn attempt(&self, attempt: u32) -> Try {
        let session = self.session;
        let subject = self.subject();
        let start = session.control.clock().now();
        let (log, trouble) = match self.open_log(&subject) {
            Ok(log) => (Some(log), None),
            Err(error) => (None, Some(error)),
        };
        let fatal = &session.project(self.id).fatal_warnings;
        let job = Job::new(session.surroundings(), subject.clone(), fatal, log);
        let path = job.log_path().map(ToOwned::to_owned);
        session.sink.event(Event::JobStarted { job: self.job, subject: subject.clone(), log: path.clone() });
        let name = self.work.action().name();
        job.note(MessageKind::Start, name, None, None);
        let result = match trouble {
            Some(error) => Err(error),
            None => self.act(&job),
        };
        let elapsed = session.control.clock().now().saturating_sub(start);
        if let Some(failure) = self.retry(attempt, &result) {
            let text = event::retried(attempt);
            job.note(MessageKind::Failure, &text, Some(&failure.message), Some(elapsed));
            session.sink.event(Event::JobRetried {
                job: self.job,
                subject,
                attempt,
                elapsed,
                failure,
                log: path,
            });
            return Try::Again;
        }
        let told = self.tell(&job, &result, elapsed);
        let subject = self.subject();
        session.sink.event(Event::JobFinished {
            job: self.job,
            subject: subject.clone(),
            result: told,
            elapsed,
            log: path,
        });
        Try::Ended(subject, result, elapsed)
    }

    fn open_log(&self, subject: &Subject) -> BuildResult<LogFile> {
        let session = self.session;
        let element = session.element(self.id);
        let key = subject.element.as_ref().and_then(|issuer| issuer.key.as_ref());
        let brief = key.map_or("", |key| session.options.log.brief(&key.full));
        let name = format!(
            "{}/{}/{brief}-{}",
            session.project(self.id).name,
            log_name(&element.name),
            self.work.action().name().to_lowercase()
        );
        Ok(LogFile::create(&session.options.log, &name)?)
    }

    /// Does the work. A panic is a failure of this job, not of the run.
    fn act(&self, job: &Job<'_>) -> Result<Product, BuildError> {
        let session = self.session;
        let work = || -> BuildResult<Product> {
            job.check_cancelled()?;
            Ok(match self.work {
                Work::Track => Product::Tracked(fetch::track(session, job, self.id)?),
                Work::Fetch { what, .. } => Product::Fetched(fetch::fetch(session, job, self.id, what)?),
                Work::Pull { building } => {
                    let (artifact, pulled) = session.pull(job, self.id, building)?;
                    Product::Pulled(artifact, pulled)
                }
                Work::Push { .. } => Product::Pushed(push::artifact(session, job, self.id)?),
                Work::PushSources => Product::Pushed(push::sources(session, job, self.id)?),
                Work::Mirror => {
                    if let Some(visit) = self.visit {
                        fetch::visit(session, job, self.id, visit)?;
                    }
                    Product::Mirrored
                }
                Work::Build => Product::Built(Box::new(assemble(session, job, self.id))),
            })
        };
        let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(fault(&*panic)));
        match (result, job.log_trouble()) {
            (Ok(_), Some(trouble)) => Err(trouble.into()),
            // A transfer that is made to stop fails in its own words.
            (Err(_), _) if self.is_network() && session.control.is_terminated() => {
                Err(BuildError::cancelled())
            }
            (result, _) => result,
        }
    }

    /// Whether it moves things from or to other machines.
    fn is_network(&self) -> bool {
        self.work.resource() != Resource::Process
    }

    /// The failure, if it is one that is worth another try.
    fn retry(&self, attempt: u32, result: &Result<Product, BuildError>) -> Option<Failure> {
        match result {
            Err(error)
                if error.temporary
                    && self.is_network()
                    && attempt <= self.session.options.network_retries
                    && !self.session.control.is_terminated() =>
            {
                Some(Failure::clone(&error.failure))
            }
            _ => None,
        }
    }

    /// How the job ended, as others are told; noted in its log too.
    fn tell(&self, job: &Job<'_>, result: &Result<Product, BuildError>, elapsed: Duration) -> JobResult {
        let name = self.work.action().name();
        let error = match result {
            Ok(Product::Tracked(None)) => return skipped(job, "Element sources are not trackable"),
            Ok(Product::Pulled(_, false) | Product::Pushed(false)) => return skipped(job, name),
            Ok(Product::Built(assembled)) => assembled.error.as_ref(),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        match error {
            None => {
                job.note(MessageKind::Success, name, None, Some(elapsed));
                JobResult::Done
            }
            Some(error) if error.cancelled => {
                job.append_to_log("\n\nForcefully terminated\n");
                JobResult::Cancelled
            }
            Some(error) => {
                let failure = &error.failure;
                let explanation = failure.explanation();
                job.note(MessageKind::Failure, &failure.message, explanation.as_deref(), Some(elapsed));
                JobResult::Failed(Failure::clone(failure))
            }
        }
    }
}

fn skipped(job: &Job<'_>, why: &str) -> JobResult {
    job.note(MessageKind::Skipped, why, None, None);
    JobResult::Skipped(why.to_owned())
}

/// The name of an element in paths of log files: no suffix, slashes as dashes.
fn log_name(name: &str) -> String {
    let flat = name.replace('/', "-");
    flat.rsplit_once('.')
        .map_or(flat.clone(), |(stem, _)| if stem.is_empty() { flat.clone() } else { stem.to_owned() })
}

fn fault(panic: &(dyn std::any::Any + Send)) -> BuildError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    BuildError::new("", "A fault of the program ended this job").detail(text)
}
