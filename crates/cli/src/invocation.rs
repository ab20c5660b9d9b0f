//! A run of one command: its settings, where it writes, the project it is about, and how it ends.

use crate::args::command::Remotes;
use crate::exit::{Failure, Outcome};
use crate::location::{self, Location};
use crate::report::reporter::Reporter;
use crate::settings::resolve::Settings;
use crate::targets::{self, Known, Targets};
use crate::workspaces::Workspaces;
use bourn_build::error::BuildResult;
use bourn_build::event::{Event, Message, MessageKind};
use bourn_build::outcome::Outcome as Ran;
use bourn_build::session::{Query, Session};
use bourn_project::ElementId;
use bourn_reapi::ArtifactName;
use bourn_yaml::Files;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What every command is given.
pub(crate) struct Invocation<'a> {
    /// What holds.
    pub(crate) settings: &'a Settings,
    /// Every file that is read.
    pub(crate) files: &'a Files,
    /// Where it writes.
    pub(crate) reporter: Reporter,
    /// Where the project is.
    pub(crate) location: Location,
    /// Which servers the command speaks to.
    pub(crate) remotes: Remotes,
}

impl<'a> Invocation<'a> {
    /// Runs `command` and frames it: `name` is what the lines at the beginning and end call it.
    ///
    /// # Errors
    /// Those of the command.
    pub(crate) fn run(
        settings: &'a Settings,
        files: &'a Files,
        remotes: Remotes,
        name: Option<&str>,
        command: impl FnOnce(&Invocation<'a>) -> Outcome,
    ) -> Outcome {
        let reporter = Reporter::new(settings)?;
        if let Some(name) = name {
            reporter.message(MessageKind::Start, name, None, None);
        }
        let here = settings.directory.as_deref().unwrap_or(Path::new("."));
        let location =
            location::find(here, files).map_err(|failure| failure.while_doing("Error loading project"))?;
        let invocation = Invocation { settings, files, reporter, location, remotes };
        let result = command(&invocation);
        if let Some(name) = name {
            invocation.close(name, &result);
        }
        result
    }

    /// The directory of the project.
    ///
    /// # Errors
    /// There is none; `purpose` says what it was needed for.
    pub(crate) fn project(&self, purpose: &str) -> Result<&Path, Failure> {
        self.location.project.as_deref().ok_or_else(|| {
            Failure::stream(purpose)
                .reason("project-not-loaded")
                .detail("No project.conf or active workspace was located")
                .hint("go to a project, name one with `-C DIRECTORY`, or make one with `init`")
        })
    }

    /// Checks that what project.conf says makes sense, for commands that load no elements.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check_project(&self) -> Result<(), Failure> {
        match &self.location.project {
            Some(directory) => crate::world::check_project(self, directory),
            None => Ok(()),
        }
    }

    /// The open workspaces of the project.
    ///
    /// # Errors
    /// There is no project; the list cannot be read.
    pub(crate) fn workspaces(&self) -> Result<Workspaces, Failure> {
        Workspaces::load(self.project("Unable to locate workspaces")?, self.files)
    }

    /// The directory that paths on the command line are relative to.
    ///
    /// # Errors
    /// It was removed.
    pub(crate) fn absolute(&self, path: &str) -> Result<PathBuf, Failure> {
        std::path::absolute(path)
            .map(|path| crate::settings::environment::normalize(&path))
            .map_err(|error| Failure::io(&error, "finding", Path::new(path)))
    }

    /// The elements that words name; those of the project where there are none, or of the workspace this is run in.
    /// `None` when patterns match nothing, so that there is nothing to do.
    ///
    /// # Errors
    /// Words that name no elements.
    pub(crate) fn elements(&self, words: &[String]) -> Result<Option<Vec<String>>, Failure> {
        if words.is_empty() {
            self.project("Unable to determine default targets")?;
            return Ok(Some(self.location.workspace_element.iter().cloned().collect()));
        }
        let targets = self.classify(words, false, &|| Ok(Vec::new()))?;
        Ok(Some(targets.elements).filter(|elements| !elements.is_empty()))
    }

    /// What words name; warns of patterns that match nothing.
    ///
    /// # Errors
    /// Words that name nothing.
    pub(crate) fn classify(
        &self,
        words: &[String],
        artifacts_allowed: bool,
        artifacts: &dyn Fn() -> Result<Vec<ArtifactName>, Failure>,
    ) -> Result<Targets, Failure> {
        let element_path = self.element_path()?;
        let known = Known { element_path: element_path.as_deref(), artifacts, artifacts_allowed };
        let targets = targets::classify(words, &known)?;
        for sentence in &targets.unmatched {
            self.reporter.warn(sentence);
        }
        Ok(targets)
    }

    /// The directory of elements, if there is a project.
    pub(crate) fn element_path(&self) -> Result<Option<PathBuf>, Failure> {
        let Some(project) = &self.location.project else { return Ok(None) };
        let conf = self.files.read(&project.join(location::PROJECT_FILE), location::PROJECT_FILE, None)?;
        let conf = bourn_yaml::parse(self.files, conf)?;
        Ok(Some(project.join(conf.opt_str("element-path")?.unwrap_or_default())))
    }

    /// Finds out what the cache holds of elements (with what they need to run if `runtime`) and of what they are built
    /// upon.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub(crate) fn query(
        &self,
        session: &Session<'_>,
        ids: &[ElementId],
        runtime: bool,
        wanted: Query,
    ) -> Result<(), Failure> {
        self.counted_query(session, || session.require(ids, runtime, wanted))
    }

    /// The same where the cache is to be asked for all of `all`.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub(crate) fn query_all(
        &self,
        session: &Session<'_>,
        ids: &[ElementId],
        runtime: bool,
        all: &[ElementId],
        wanted: Query,
    ) -> Result<(), Failure> {
        self.counted_query(session, || session.require_knowing(ids, runtime, all, wanted))
    }

    fn counted_query(
        &self,
        session: &Session<'_>,
        query: impl FnOnce() -> BuildResult<()>,
    ) -> Result<(), Failure> {
        self.reporter.counted("Query cache", || {
            let begin = Instant::now();
            query()?;
            let all = session.plan.elements.len();
            let count = self.worth_counting(begin).then(|| format!("{all} of {all} subtasks processed"));
            Ok(((), count))
        })
    }

    /// Says that an activity for an element begins and how it ended.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) fn timed_of<T>(
        &self,
        session: &Session<'_>,
        element: Option<ElementId>,
        activity: &str,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let job = match element {
            Some(id) => session.main_job(id),
            None => session.program_job(),
        };
        let begin = Instant::now();
        job.say(MessageKind::Start, activity, None);
        let result = work();
        let kind = if result.is_ok() { MessageKind::Success } else { MessageKind::Failure };
        self.reporter.event(&Event::Message(Message {
            subject: job.subject().clone(),
            kind,
            text: activity.to_owned(),
            detail: None,
            elapsed: Some(begin.elapsed()),
        }));
        result
    }

    fn close(&self, name: &str, result: &Outcome) {
        let elapsed = Some(self.reporter.elapsed());
        match result {
            Ok(_) => self.reporter.message(MessageKind::Success, name, None, elapsed),
            Err(failure) if failure.terminated => {
                self.reporter.message(MessageKind::Warn, &format!("{name} Terminated"), None, elapsed);
            }
            Err(_) => self.reporter.message(MessageKind::Failure, name, None, elapsed),
        }
        self.reporter.summary();
    }
}

/// What a run of jobs means for the command. Why jobs failed was said already.
///
/// # Errors
/// A job failed, or the run was stopped.
pub(crate) fn conclude(ran: &Ran) -> Result<(), Failure> {
    if ran.is_success() {
        return Ok(());
    }
    let task = ran.last_failure.as_ref().map(|failure| (failure.domain, failure.reason.clone()));
    Err(Failure { task, terminated: ran.failed.is_empty() && ran.terminated, ..Failure::stream("") })
}
