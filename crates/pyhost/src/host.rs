//! Python processes and the talk with them.

use crate::module;
use bourn_reapi::services::Cancel;
use bourn_yaml::Files;
use serde_json::{Value as Json, json};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Version of the talk; the host's own must be equal.
const VERSION: i64 = 3;

/// The oldest Python that the module runs on.
const OLDEST: (u32, u32) = (3, 9);

/// How often it is looked whether a call is to be stopped.
const GLANCE: Duration = Duration::from_millis(100);

/// What is needed to start hosts.
#[derive(Clone, Debug)]
pub struct Python {
    /// The interpreter.
    pub program: PathBuf,
    /// The environment plugins see: what they import and run depends on it.
    pub environment: Vec<(OsString, OsString)>,
    /// Where the module is laid out; may be deleted at any time while no host runs.
    pub directory: PathBuf,
    /// Where plugins keep what they download (`sourcedir`).
    pub source_directory: PathBuf,
    /// Where what a job needs for a while is kept.
    pub temporary_directory: PathBuf,
}

/// What went wrong with a host or a plugin.
#[derive(Clone, Debug, Default)]
pub struct HostError {
    /// One sentence.
    pub message: String,
    /// Longer text: what the plugin said, or the Python traceback.
    pub detail: Option<String>,
    /// The plugin's reason, or bst's.
    pub reason: Option<String>,
    /// The error's domain, as the plugin's exception names it.
    pub domain: Option<String>,
    /// Whether trying again may help.
    pub temporary: bool,
    /// The directory of the sandbox that is kept although the build failed.
    pub collect: Option<Box<str>>,
    /// Whether it is a command of the element that failed.
    pub of_element: bool,
}

impl HostError {
    pub(crate) fn new(message: impl Into<String>) -> HostError {
        HostError { message: message.into(), ..HostError::default() }
    }
}

/// A timed activity that a plugin begins.
#[derive(Clone, Copy, Debug)]
pub struct Heading<'a> {
    /// Its text.
    pub text: &'a str,
    /// Longer text.
    pub detail: Option<&'a str>,
    /// Whether messages within are not shown.
    pub silent: bool,
}

/// What happens within an activity.
pub type Within<'w> = &'w mut dyn FnMut(&mut dyn Listener) -> Result<(), HostError>;

/// What a host says and asks during a call.
pub trait Listener {
    /// A log message: its kind, text and detail.
    fn note(&mut self, kind: &str, text: &str, detail: Option<&str>);

    /// What the plugin or a tool of it printed.
    fn output(&mut self, text: &str) {
        let _ = text;
    }

    /// Answers a question.
    ///
    /// # Errors
    /// What the plugin is told instead of an answer.
    fn ask(&mut self, question: &str, arguments: &Json) -> Result<Json, HostError>;

    /// An activity begins, and `within` ends with it; an error of it says no more than that it failed.
    ///
    /// # Errors
    /// Those of `within`.
    fn activity(&mut self, heading: Heading<'_>, within: Within<'_>) -> Result<(), HostError>;
}

/// The Python processes for one set of plugin versions. Calls that are short, such as those while a project is
/// loaded, follow one another in one of them; each job has one to itself, so that nothing a plugin does to its process
/// is felt by another job.
#[derive(Debug)]
pub struct Host {
    python: Python,
    files: Files,
    loading: Mutex<Option<Process>>,
    /// Whether it was started before the first call.
    early: AtomicBool,
    idle: Mutex<Vec<Process>>,
}

/// A process that one job has to itself.
#[derive(Debug)]
pub struct Worker {
    host: Arc<Host>,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    input: BufWriter<ChildStdin>,
    lines: Receiver<std::io::Result<String>>,
    /// What it prints, where that is kept for a log.
    printed: Option<File>,
    files: Files,
}

impl Host {
    /// A host that is not running yet. What plugins look at while the project is loaded is noted in `files`.
    pub fn new(python: Python, files: Files) -> Host {
        Host {
            python,
            files,
            loading: Mutex::new(None),
            early: AtomicBool::new(false),
            idle: Mutex::default(),
        }
    }

    /// Starts the process on another thread, unless it runs or is being started. What goes wrong then goes wrong again
    /// at the first call, which says so.
    pub fn start_early(self: &Arc<Host>) {
        if self.early.swap(true, Ordering::Relaxed) {
            return;
        }
        let host = self.clone();
        // Without the thread the first call starts the process.
        let _ = std::thread::Builder::new().name("python".into()).spawn(move || {
            let mut slot = locked(&host.loading);
            if slot.is_none() {
                *slot = Process::start(&host.python, &host.files, Printed::Shown).ok();
            }
        });
    }

    /// What its processes are started with.
    pub fn python(&self) -> &Python {
        &self.python
    }

    /// Does a short operation while the project is loaded and returns its result.
    ///
    /// # Errors
    /// What the plugin raised, or that Python cannot be run or ended in the middle.
    pub fn call(&self, call: &Json, listener: &mut dyn Listener) -> Result<Json, HostError> {
        let mut call = call.clone();
        call["watch"] = true.into();
        self.ask(&call, listener)
    }

    /// Asks for something short when the project is loaded already.
    ///
    /// # Errors
    /// What the plugin raised, or that Python cannot be run or ended in the middle.
    pub fn ask(&self, call: &Json, listener: &mut dyn Listener) -> Result<Json, HostError> {
        let mut slot = locked(&self.loading);
        let mut process = match slot.take() {
            Some(process) => process,
            None => Process::start(&self.python, &self.files, Printed::Shown)?,
        };
        let result = process.call(call, listener, None);
        *slot = process.is_running().then_some(process);
        result
    }

    /// A process for a job: one that is idle, or a new one.
    ///
    /// # Errors
    /// Python cannot be run.
    pub fn worker(self: &Arc<Host>) -> Result<Worker, HostError> {
        let idle = locked(&self.idle).pop();
        let process = match idle {
            Some(process) => process,
            None => Process::start(&self.python, &self.files, Printed::Kept)?,
        };
        Ok(Worker { host: self.clone(), process: Some(process) })
    }
}

impl Worker {
    /// Does an operation, however long it takes, and returns its result. What the plugin had started ends with the
    /// process when `cancel` asks to stop.
    ///
    /// # Errors
    /// What the plugin raised, that Python ended in the middle, or that stopping was asked for.
    pub fn call(
        &mut self,
        call: &Json,
        listener: &mut dyn Listener,
        cancel: Option<&Cancel>,
    ) -> Result<Json, HostError> {
        match &mut self.process {
            Some(process) => process.call(call, listener, cancel),
            None => Err(HostError::new("The Python process of this job has ended")),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take().filter(|_| !std::thread::panicking())
            && process.is_running()
        {
            locked(&self.host.idle).push(process);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What becomes of what plugins and their tools print.
#[derive(Clone, Copy)]
enum Printed {
    /// The user sees it: there is no log while the project is loaded.
    Shown,
    /// It is kept for the log of the job.
    Kept,
}

impl Printed {
    /// Where it is written, and where it can be read.
    fn stream(self, directory: &Path) -> std::io::Result<(Stdio, Option<File>)> {
        match self {
            Printed::Shown => Ok((Stdio::inherit(), None)),
            Printed::Kept => {
                let file = tempfile::NamedTempFile::new_in(directory)?;
                // Appends, so that what is read here does not move where it writes.
                let writing = File::options().append(true).open(file.path())?;
                Ok((writing.into(), Some(file.into_file())))
            }
        }
    }
}

/// What ended a stretch of the talk.
enum End {
    Call(Result<Json, HostError>),
    /// Whether the activity was a success.
    Activity(bool),
}

impl Process {
    fn start(python: &Python, files: &Files, prints: Printed) -> Result<Process, HostError> {
        let laid_out = module::lay_out(&python.directory).and_then(|host| {
            let (error_stream, printed) = prints.stream(&python.directory)?;
            Ok((host, error_stream, printed))
        });
        let (host, error_stream, printed) = laid_out.map_err(|error| {
            HostError::new(format!("Writing the plugin host to {}: {error}", python.directory.display()))
        })?;
        let mut command = Command::new(&python.program);
        if matches!(prints, Printed::Shown) {
            // The module finds installed packages when they are wanted (`_start.py`). Jobs may depend on what packages
            // do to every Python, such as knowing more certificates, and take longer anyway.
            command.arg("-S");
        }
        let mut child = command
            .arg(&host)
            .env_clear()
            .envs(python.environment.iter().map(|(name, value)| (name, value)))
            // What Python compiles is kept; `_start.py` says where.
            .env_remove("PYTHONDONTWRITEBYTECODE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(error_stream)
            // With the tools that it runs, so that all can be ended at once.
            .process_group(0)
            .spawn()
            .map_err(|error| no_python(&python.program, &error.to_string()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(HostError::new("Python was started without its pipe"));
        };
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut process =
            Process { child, input: BufWriter::new(input), lines, printed, files: files.clone() };
        process.greet(python)?;
        Ok(process)
    }

    fn greet(&mut self, python: &Python) -> Result<(), HostError> {
        let path = python.environment.iter().rev().find(|(name, _)| name == "PATH");
        let mut hello = json!({"call": "hello"});
        if let Some(path) = path.and_then(|(_, path)| path.to_str()) {
            hello["path"] = path.into();
        }
        let hello = self.call(&hello, &mut Deaf, None).map_err(|error| {
            let said = error.detail.unwrap_or(error.message);
            HostError { detail: Some(said), ..no_python(&python.program, "it did not start the plugin host") }
        })?;
        let found = hello["python"].as_str().unwrap_or_default();
        if older_than(found, OLDEST) {
            let needed = format!("{}.{}", OLDEST.0, OLDEST.1);
            let why = format!("it is {found}, plugins need {needed} or later");
            return Err(no_python(&python.program, &why));
        }
        let version = &hello["version"];
        if version.as_i64() != Some(VERSION) {
            let place = python.directory.display();
            let message = format!(
                "The plugin host below {place} speaks version {version} of bourn's pipe, and this bourn version {VERSION}"
            );
            let hint = "It was changed after bourn wrote it. Remove that directory: bourn writes it again.";
            return Err(HostError { detail: Some(hint.to_owned()), ..HostError::new(message) });
        }
        if let Some(executable) = hello["executable"].as_str() {
            // What cannot be read cannot be compared either.
            let _ = self.files.bytes(Path::new(executable));
        }
        Ok(())
    }

    /// Notes what plugins have looked at.
    fn note(&self, seen: &Json) {
        let each = |name: &str, look: &dyn Fn(&Path)| {
            let paths = seen[name].as_array().into_iter().flatten().filter_map(Json::as_str);
            paths.for_each(|path| look(Path::new(path)));
        };
        // Failures are noted like everything else.
        each("files", &|path| drop(self.files.bytes(path)));
        each("directories", &|path| drop(self.files.names(path)));
        each("places", &|path| drop(self.files.place(path)));
        if seen["outside"].as_bool() != Some(false) {
            self.files.saw_more();
        }
    }

    fn call(
        &mut self,
        call: &Json,
        listener: &mut dyn Listener,
        cancel: Option<&Cancel>,
    ) -> Result<Json, HostError> {
        self.send(call)?;
        loop {
            match self.talk(listener, cancel) {
                End::Call(result) => return result,
                // An activity that ended without having begun: nothing of ours to end.
                End::Activity(_) => {}
            }
        }
    }

    /// Listens until the call or the activity that began last ends.
    fn talk(&mut self, listener: &mut dyn Listener, cancel: Option<&Cancel>) -> End {
        loop {
            let mut message = match self.receive(cancel) {
                Ok(message) => message,
                Err(error) => {
                    self.pass_output(listener);
                    return End::Call(Err(error));
                }
            };
            self.pass_output(listener);
            if let Some(kind) = message["note"].as_str() {
                match kind {
                    "success" => return End::Activity(true),
                    "failure" => return End::Activity(false),
                    "start" => {
                        if let Some(result) = self.activity(&message, listener, cancel) {
                            return End::Call(result);
                        }
                    }
                    _ => listener.note(kind, text(&message), message["detail"].as_str()),
                }
            } else if let Some(question) = message["ask"].as_str() {
                let reply = match listener.ask(question, &message) {
                    Ok(answer) => json!({"answer": answer}),
                    Err(error) => refusal(&error),
                };
                if let Err(error) = self.send(&reply) {
                    return End::Call(Err(error));
                }
            } else if let Some(error) = message.get("failed") {
                return End::Call(Err(raised(error)));
            } else {
                if let Some(seen) = message.get("seen") {
                    self.note(seen);
                }
                return End::Call(Ok(message["done"].take()));
            }
        }
    }

    /// Listens within an activity; the result of the call if that ended meanwhile.
    fn activity(
        &mut self,
        start: &Json,
        listener: &mut dyn Listener,
        cancel: Option<&Cancel>,
    ) -> Option<Result<Json, HostError>> {
        let heading = Heading {
            text: text(start),
            detail: start["detail"].as_str(),
            silent: start["silent"].as_bool().unwrap_or_default(),
        };
        let mut ended = None;
        // Whether it failed is known to the plugin, which raises what it has to.
        let _ = listener.activity(heading, &mut |listener| match self.talk(listener, cancel) {
            End::Activity(true) => Ok(()),
            End::Activity(false) => Err(HostError::new("failed")),
            End::Call(result) => {
                let failed = result.as_ref().err().cloned();
                ended = Some(result);
                failed.map_or(Ok(()), Err)
            }
        });
        ended
    }

    /// Hands on what was printed since the last time.
    fn pass_output(&mut self, listener: &mut dyn Listener) {
        let printed = self.printed();
        if !printed.is_empty() {
            listener.output(&printed);
        }
    }

    /// What was printed since the last time. Output that cannot be read is no reason to fail a job.
    fn printed(&mut self) -> String {
        let mut bytes = Vec::new();
        if let Some(printed) = &mut self.printed {
            let _ = printed.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn send(&mut self, message: &Json) -> Result<(), HostError> {
        let sent = serde_json::to_writer(&mut self.input, message).map_err(std::io::Error::from);
        let sent = sent.and_then(|()| self.input.write_all(b"\n")).and_then(|()| self.input.flush());
        sent.map_err(|error| self.gone(&error.to_string()))
    }

    fn receive(&mut self, cancel: Option<&Cancel>) -> Result<Json, HostError> {
        loop {
            match self.lines.recv_timeout(GLANCE) {
                Ok(Ok(line)) => {
                    return serde_json::from_str(&line).map_err(|error| self.gone(&error.to_string()));
                }
                Ok(Err(error)) => return Err(self.gone(&error.to_string())),
                Err(RecvTimeoutError::Disconnected) => return Err(self.gone("its pipe was closed")),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if cancel.is_some_and(Cancel::is_cancelled) {
                self.end();
                return Err(HostError::new("The plugin was stopped"));
            }
        }
    }

    fn gone(&mut self, why: &str) -> HostError {
        // What ended by itself tells how; only then is the rest of its group ended.
        let status = match self.child.try_wait() {
            Ok(Some(status)) => Some(status),
            _ => {
                std::thread::sleep(GLANCE);
                self.child.try_wait().ok().flatten()
            }
        };
        self.end();
        let status = status.map(|status| format!(" ({status})")).unwrap_or_default();
        let printed = self.printed();
        HostError {
            detail: Some(printed).filter(|printed| !printed.trim().is_empty()),
            ..HostError::new(format!("The Python process that runs plugins ended{status}: {why}"))
        }
    }

    fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends the process and everything that it started in its group.
    fn end(&mut self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.end();
        }
    }
}

fn text(message: &Json) -> &str {
    message["text"].as_str().unwrap_or_default()
}

/// Nobody is interested and nothing is answered: the first words of a host.
pub(crate) struct Deaf;

impl Listener for Deaf {
    fn note(&mut self, _: &str, _: &str, _: Option<&str>) {}

    fn ask(&mut self, question: &str, _: &Json) -> Result<Json, HostError> {
        Err(HostError::new(format!("`{question}` cannot be asked now")))
    }

    fn activity(&mut self, _: Heading<'_>, within: Within<'_>) -> Result<(), HostError> {
        within(self)
    }
}

fn refusal(error: &HostError) -> Json {
    json!({"refused": {
        "message": error.message,
        "detail": error.detail,
        "reason": error.reason,
        "domain": error.domain,
        "temporary": error.temporary,
        "collect": error.collect,
        "of-element": error.of_element,
    }})
}

fn raised(error: &Json) -> HostError {
    let text = |name: &str| error[name].as_str().map(str::to_owned);
    HostError {
        message: text("message").unwrap_or_default(),
        detail: text("traceback").or_else(|| text("detail")),
        reason: text("reason"),
        domain: text("domain"),
        temporary: error["temporary"].as_bool().unwrap_or_default(),
        collect: text("collect").map(String::into_boxed_str),
        of_element: error["of-element"].as_bool().unwrap_or_default(),
    }
}

fn no_python(program: &Path, why: &str) -> HostError {
    let message = format!("Python plugins cannot be run with {}: {why}", program.display());
    HostError {
        detail: Some("Install Python 3.9 or later (Debian: python3).".to_owned()),
        ..HostError::new(message)
    }
}

fn older_than(version: &str, oldest: (u32, u32)) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) < oldest
}
