//! A run of one command: its settings, where it writes, the project it is about, and how it ends.

use crate::exit::{Failure, Outcome};
use crate::location::{self, Location};
use crate::report::reporter::Reporter;
use crate::settings::resolve::Settings;
use crate::workspaces::Workspaces;
use bourn_build::event::MessageKind;
use bourn_yaml::Files;
use std::cell::Cell;
use std::path::{Path, PathBuf};

/// What every command is given.
pub(crate) struct Session<'a> {
    /// What holds.
    pub(crate) settings: &'a Settings,
    /// Every file that is read.
    pub(crate) files: &'a Files,
    /// Where it writes.
    pub(crate) reporter: Reporter,
    /// Where the project is.
    pub(crate) location: Location,
    /// How many elements the summary counts, once jobs were started.
    started: Cell<Option<usize>>,
}

impl<'a> Session<'a> {
    /// Runs `command` and frames it: `name` is what the lines at the beginning and end call it.
    ///
    /// # Errors
    /// Those of the command.
    pub(crate) fn run(
        settings: &'a Settings,
        files: &'a Files,
        name: Option<&str>,
        command: impl FnOnce(&Session<'a>) -> Outcome,
    ) -> Outcome {
        let reporter = Reporter::new(settings)?;
        if let Some(name) = name {
            reporter.message(MessageKind::Start, name, None, None);
        }
        let here = settings.directory.as_deref().unwrap_or(Path::new("."));
        let location =
            location::find(here, files).map_err(|failure| failure.while_doing("Error loading project"))?;
        let session = Session { settings, files, reporter, location, started: Cell::new(None) };
        let result = command(&session);
        if let Some(name) = name {
            session.close(name, &result);
        }
        result.map_err(|failure| session.with_task(failure))
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
        })
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

    /// Notes that jobs were started, on a project of `total` elements below the targets.
    pub(crate) fn set_started(&self, total: usize) {
        self.started.set(Some(total));
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
        if let Some(total) = self.started.get() {
            self.reporter.summary(total);
        }
    }

    /// Adds to a failure why the last job failed.
    fn with_task(&self, failure: Failure) -> Failure {
        let task = self.reporter.tally().last_failure;
        Failure { task: task.map(|task| (task.domain.to_owned(), task.reason)), ..failure }
    }
}
