//! Jobs for artifacts that are named, not planned: there may be no project that they belong to.

use crate::error::{BuildError, BuildResult};
use crate::event::{Action, DisplayKey, Event, Failure, Issuer, JobId, JobResult, MessageKind, Subject};
use crate::job::Job;
use crate::log::LogFile;
use crate::outcome::Outcome;
use crate::push;
use crate::session::Session;
use bourn_plan::several;
use bourn_reapi::ArtifactName;
use std::convert::Infallible;

/// Pulls artifacts that are not here.
///
/// # Errors
/// The cache cannot be asked. Failures of jobs are no errors but part of the outcome.
pub fn pull(session: &Session<'_>, names: &[ArtifactName]) -> BuildResult<Outcome> {
    let mut missing = Vec::new();
    for name in names {
        if !is_here(session, name)? {
            missing.push(name.clone());
        }
    }
    if let Some(remotes) = &session.services.remotes {
        remotes.expect(&missing);
    }
    let work = |job: &Job<'_>, name: &ArtifactName| {
        Ok(session.pull_name(job, name, session.options.pull_build_trees)?.is_some())
    };
    Ok(run(session, Action::Pull, session.options.fetchers, &missing, &work))
}

/// Pushes artifacts.
///
/// # Errors
/// None of its own; failures of jobs are part of the outcome.
pub fn push(session: &Session<'_>, names: &[ArtifactName]) -> BuildResult<Outcome> {
    if let Some(remotes) = &session.services.remotes {
        remotes.expect_pushes(names);
    }
    let work = |job: &Job<'_>, name: &ArtifactName| {
        let piece = session.named_piece(name)?;
        let cached = piece.as_ref().map(|piece| &*piece.cached);
        push::named(session, job, name, &name.element, cached)
    };
    Ok(run(session, Action::Push, session.options.pushers, names, &work))
}

/// Whether all that is wanted of an artifact is in the local cache.
fn is_here(session: &Session<'_>, name: &ArtifactName) -> BuildResult<bool> {
    let Some(piece) = session.named_piece(name)? else { return Ok(false) };
    match piece.cached.build_tree().filter(|_| session.options.pull_build_trees) {
        Some(tree) => Ok(session.cas().contains_tree(&tree)?),
        None => Ok(true),
    }
}

/// What one of these jobs does: whether there was anything to do.
type Work<'w> = dyn Fn(&Job<'_>, &ArtifactName) -> BuildResult<bool> + Sync + 'w;

/// Runs a job for each name, some at a time.
fn run(
    session: &Session<'_>,
    action: Action,
    at_a_time: usize,
    names: &[ArtifactName],
    work: &Work<'_>,
) -> Outcome {
    let mut outcome = Outcome::default();
    if names.is_empty() {
        return outcome;
    }
    session.sink.event(Event::Planned { queues: vec![(action, names.len())] });
    let one = |(name, number)| {
        let one = One { session, action, name, id: JobId(number) };
        Ok::<_, Infallible>(if session.control.is_terminated() { None } else { one.run(work) })
    };
    let Ok(failures) = several(at_a_time, names.iter().zip(1..), one);
    let mut failures: Vec<Failure> = failures.into_iter().flatten().collect();
    outcome.failed_names = failures.len();
    outcome.last_failure = failures.pop();
    outcome.terminated = session.control.is_terminated();
    outcome
}

/// One of these jobs.
struct One<'s> {
    session: &'s Session<'s>,
    action: Action,
    name: &'s ArtifactName,
    id: JobId,
}

impl One<'_> {
    /// Runs it, again if what stopped it may pass. Why it failed, if it did.
    fn run(&self, work: &Work<'_>) -> Option<Failure> {
        let mut attempt = 1;
        loop {
            let (result, retry) = self.attempt(attempt, work);
            match result {
                Err(_) if retry => attempt += 1,
                Err(error) if !error.cancelled => return Some(*error.failure),
                _ => return None,
            }
        }
    }

    fn attempt(&self, attempt: u32, work: &Work<'_>) -> (BuildResult<bool>, bool) {
        let session = self.session;
        let key = DisplayKey { full: self.name.key.as_str().into(), strict: true };
        let issuer = Issuer { element: self.name.element.as_str().into(), key: Some(key) };
        let subject =
            Subject { job: Some(self.id), action: self.action, element: Some(issuer), speaker: None };
        let begin = session.control.clock().now();
        let brief = session.options.log.brief(&self.name.key);
        let action = self.action.name();
        let log = format!("{}/{}/{brief}-{}", self.name.project, self.name.element, action.to_lowercase());
        let (log, trouble) = match LogFile::create(&session.options.log, &log) {
            Ok(log) => (Some(log), None),
            Err(error) => (None, Some(BuildError::from(error))),
        };
        let job = Job::new(session.surroundings(), subject.clone(), &[], log);
        let log = job.log_path().map(ToOwned::to_owned);
        session.sink.event(Event::JobStarted { job: self.id, subject: subject.clone(), log: log.clone() });
        job.note(MessageKind::Start, action, None, None);
        let result = trouble.map_or_else(|| work(&job, self.name), Err);
        let elapsed = session.control.clock().now().saturating_sub(begin);
        if let Err(error) = &result
            && error.temporary
            && attempt <= session.options.network_retries
            && !session.control.is_terminated()
        {
            let failure = Failure::clone(&error.failure);
            let text = format!("Try #{attempt} failed, retrying");
            job.note(MessageKind::Failure, &text, None, Some(elapsed));
            session.sink.event(Event::JobRetried { job: self.id, subject, attempt, elapsed, failure, log });
            return (result, true);
        }
        let told = match &result {
            Ok(true) => {
                job.note(MessageKind::Success, action, None, Some(elapsed));
                JobResult::Done
            }
            Ok(false) => {
                job.note(MessageKind::Skipped, action, None, None);
                JobResult::Skipped(action.to_owned())
            }
            Err(error) if error.cancelled => JobResult::Cancelled,
            Err(error) => {
                let failure = &error.failure;
                let explanation = failure.explanation();
                job.note(MessageKind::Failure, &failure.message, explanation.as_deref(), Some(elapsed));
                JobResult::Failed(Failure::clone(failure))
            }
        };
        session.sink.event(Event::JobFinished { job: self.id, subject, result: told, elapsed, log });
        (result, false)
    }
}
