//! Running tools of the host.

use crate::follow::{Pipe, follow};
use crate::http::shown;
use crate::scratch::workspace;
use bourn_plan::{FetchContext, Progress, SourceError};
use bourn_reapi::Digest;
use bourn_reapi::services::{Cancel, ExportOptions, ImportOptions};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// A tool of the host, about to be run.
pub(crate) struct Tool<'a> {
    name: &'static str,
    command: Command,
    progress: Option<&'a dyn Progress>,
    cancel: Option<&'a Cancel>,
    input: Stdio,
    /// How long it may neither do nor receive anything.
    silence: Option<Duration>,
}

/// What a tool said.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Output {
    /// Standard output as text without white space at its end.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

/// The package that brings a tool, where it is called otherwise.
fn package(tool: &str) -> &str {
    match tool {
        "bzr" => "brz",
        "cargo" => "cargo or rustup",
        other => other,
    }
}

impl<'a> Tool<'a> {
    /// A tool that says what it does to the log of the job.
    pub(crate) fn new(name: &'static str, context: &'a FetchContext<'_>) -> Tool<'a> {
        Tool { progress: Some(context.progress), cancel: Some(context.cancel), ..Tool::silent(name) }
    }

    /// A tool that is only asked something.
    pub(crate) fn silent(name: &'static str) -> Tool<'a> {
        let mut command = Command::new(name);
        command.env("LC_ALL", "C.UTF-8").process_group(0);
        Tool { name, command, progress: None, cancel: None, input: Stdio::null(), silence: None }
    }

    /// Ends it when somebody asks to stop.
    pub(crate) fn cancelled_by(mut self, cancel: &'a Cancel) -> Tool<'a> {
        self.cancel = Some(cancel);
        self
    }

    /// Ends it once neither it nor what it started has done or received anything for so long.
    pub(crate) fn given_up_after(mut self, silence: Duration) -> Tool<'a> {
        self.silence = Some(silence);
        self
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Tool<'a> {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Tool<'a> {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Tool<'a> {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Tool<'a> {
        self.command.env_remove(name);
        self
    }

    /// The directory that it runs in.
    pub(crate) fn within(mut self, directory: &Path) -> Tool<'a> {
        self.command.current_dir(directory);
        self
    }

    /// Gives it a file as its input.
    pub(crate) fn input(mut self, file: std::fs::File) -> Tool<'a> {
        self.input = file.into();
        self
    }

    /// Runs it to its end, whatever that is.
    ///
    /// # Errors
    /// It is not there or cannot be run; somebody asked to stop.
    pub(crate) fn output(mut self) -> Result<Output, SourceError> {
        if let Some(progress) = self.progress {
            progress.log(&format!("+ {}\n", self.line()));
        }
        self.command.stdin(self.input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(|error| not_run(self.name, &error))?;
        let mut pipes = [Pipe::new(child.stdout.take()), Pipe::new(child.stderr.take())];
        let ended = follow(&mut child, &mut pipes, self.cancel, self.silence);
        let ended = ended.map_err(|error| not_run(self.name, &error))?;
        let [stdout, stderr] = pipes.map(|pipe| pipe.read);
        // Tools repeat the URLs that they were given.
        let mut stderr = shown(&String::from_utf8_lossy(&stderr));
        if let (true, Some(silence)) = (ended.was_silent, self.silence) {
            let seconds = silence.as_secs();
            stderr.push_str(&format!("'{}' heard nothing for {seconds} seconds and was ended\n", self.name));
        }
        if let Some(progress) = self.progress
            && !stderr.is_empty()
        {
            progress.log(&stderr);
        }
        if self.cancel.is_some_and(Cancel::is_cancelled) {
            return Err(SourceError::new("Interrupted"));
        }
        Ok(Output { status: ended.status, stdout, stderr })
    }

    /// Runs it and wants it to succeed.
    ///
    /// # Errors
    /// As of [`Tool::output`]; else `fail`, with what it said.
    pub(crate) fn run(self, fail: impl FnOnce() -> String) -> Result<Output, SourceError> {
        let line = self.line();
        let output = self.output()?;
        if output.status.success() {
            return Ok(output);
        }
        let said = [output.stderr.trim(), shown(&output.text()).trim()].join("\n").trim().to_owned();
        Err(SourceError::new(fail())
            .detail(format!("{line}: {}\n{said}", output.status).trim_end().to_owned()))
    }

    /// Whether it succeeds.
    ///
    /// # Errors
    /// As of [`Tool::output`].
    pub(crate) fn succeeds(self) -> Result<bool, SourceError> {
        Ok(self.output()?.status.success())
    }

    fn line(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let words: Vec<OsString> = words.map(OsStr::to_owned).collect();
        shown(&words.join(OsStr::new(" ")).to_string_lossy())
    }
}

/// The error of a tool that cannot be run.
pub(crate) fn not_run(name: &str, error: &io::Error) -> SourceError {
    if error.kind() == io::ErrorKind::NotFound {
        let hint = format!("install the package `{}` on this machine", package(name));
        return SourceError::new(format!("Did not find '{name}' in PATH")).hint(hint);
    }
    SourceError::new(format!("Cannot run '{name}': {error}"))
}

/// Lets a tool work on the tree that earlier sources staged: exported, changed, stored again.
///
/// # Errors
/// Those of `work`, of the disk, of the store.
pub(crate) fn change_previous(
    context: &FetchContext<'_>,
    kind: &str,
    work: impl FnOnce(&Path) -> Result<(), SourceError>,
) -> Result<Digest, SourceError> {
    let scratch = workspace(context, kind)?;
    let tree = scratch.path().join("tree");
    export_previous(context, &tree)?;
    work(&tree)?;
    let options = ImportOptions { consume: true, ..ImportOptions::default() };
    Ok(context.cas.import_tree(&tree, &options)?)
}

/// Writes what earlier sources staged to a directory of its own.
///
/// # Errors
/// The disk, the store.
pub(crate) fn export_previous(context: &FetchContext<'_>, into: &Path) -> Result<(), SourceError> {
    match &context.previous {
        Some(previous) => Ok(context.cas.export_tree(previous, into, &ExportOptions::default())?),
        None => std::fs::create_dir_all(into)
            .map_err(|error| bourn_reapi::ServiceError::io(&error, "Creating", into).into()),
    }
}
