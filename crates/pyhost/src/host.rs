//! One Python process and the talk with it.

use crate::module;
use bourn_yaml::Files;
use serde_json::{Value as Json, json};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Version of the talk; the host's own must be equal.
const VERSION: i64 = 1;

/// The oldest Python that the module runs on.
const OLDEST: (u32, u32) = (3, 9);

/// What is needed to start hosts.
#[derive(Clone, Debug)]
pub struct Python {
    /// The interpreter.
    pub program: PathBuf,
    /// The environment plugins see: what they import and run depends on it.
    pub environment: Vec<(OsString, OsString)>,
    /// Where the module is laid out; may be deleted at any time while no host runs.
    pub directory: PathBuf,
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
}

impl HostError {
    fn new(message: impl Into<String>) -> HostError {
        HostError { message: message.into(), ..HostError::default() }
    }
}

/// What a host says and asks during a call.
pub trait Listener {
    /// A log message: its kind, text and detail.
    fn note(&mut self, kind: &str, text: &str, detail: Option<&str>);

    /// Answers a question.
    ///
    /// # Errors
    /// What the plugin is told instead of an answer.
    fn ask(&mut self, question: &str, arguments: &Json) -> Result<Json, HostError>;
}

/// One Python process, started at the first call. Calls follow one another.
#[derive(Debug)]
pub struct Host {
    python: Python,
    files: Files,
    process: Mutex<Option<Process>>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
    files: Files,
}

impl Host {
    /// A host that is not running yet.
    /// What plugins look at is noted in `files`.
    pub fn new(python: Python, files: Files) -> Host {
        Host { python, files, process: Mutex::new(None) }
    }

    /// Calls an operation and returns its result.
    ///
    /// # Errors
    /// What the plugin raised, or that Python cannot be run or ended in the middle.
    pub fn call(&self, call: &Json, listener: &mut dyn Listener) -> Result<Json, HostError> {
        let mut slot = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = Some(Process::start(&self.python, &self.files)?);
        }
        let Some(process) = slot.as_mut() else { return Err(HostError::new("no Python is running")) };
        let result = process.call(call, listener);
        if result.is_err() && process.ended() {
            *slot = None;
        }
        result
    }
}

impl Process {
    fn start(python: &Python, files: &Files) -> Result<Process, HostError> {
        let host = module::lay_out(&python.directory).map_err(|error| {
            HostError::new(format!("Writing the plugin host to {}: {error}", python.directory.display()))
        })?;
        let mut child = Command::new(&python.program)
            .arg(&host)
            .env_clear()
            .envs(python.environment.iter().map(|(name, value)| (name, value)))
            // What Python compiles is kept, but not next to the user's plugins.
            .env_remove("PYTHONDONTWRITEBYTECODE")
            .env("PYTHONPYCACHEPREFIX", python.directory.join("compiled"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| no_python(&python.program, &error.to_string()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(HostError::new("Python was started without its pipe"));
        };
        let (input, output) = (BufWriter::new(input), BufReader::new(output));
        let mut process = Process { child, input, output, files: files.clone() };
        let hello = process.call(&json!({"call": "hello"}), &mut Deaf).map_err(|mut error| {
            let said = std::mem::take(&mut error.message);
            HostError { detail: Some(said), ..no_python(&python.program, "it did not start the plugin host") }
        })?;
        let version = hello["version"].as_i64();
        if version != Some(VERSION) {
            return Err(HostError::new(format!("The plugin host speaks version {version:?}, not {VERSION}")));
        }
        let python_version = hello["python"].as_str().unwrap_or_default();
        if older_than(python_version, OLDEST) {
            let needed = format!("{}.{}", OLDEST.0, OLDEST.1);
            return Err(no_python(
                &python.program,
                &format!("it is {python_version}, plugins need {needed} or later"),
            ));
        }
        if let Some(executable) = hello["executable"].as_str() {
            // What cannot be read cannot be compared either.
            let _ = files.bytes(Path::new(executable));
        }
        Ok(process)
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

    fn call(&mut self, call: &Json, listener: &mut dyn Listener) -> Result<Json, HostError> {
        self.send(call)?;
        loop {
            let mut message = self.receive()?;
            if let Some(kind) = message["note"].as_str() {
                listener.note(kind, message["text"].as_str().unwrap_or_default(), message["detail"].as_str());
            } else if let Some(question) = message["ask"].as_str() {
                let reply = match listener.ask(question, &message) {
                    Ok(answer) => json!({"answer": answer}),
                    Err(error) => json!({"refused": {
                        "message": error.message, "detail": error.detail, "reason": error.reason,
                    }}),
                };
                self.send(&reply)?;
            } else if let Some(error) = message.get("failed") {
                return Err(raised(error));
            } else {
                self.note(&message["seen"]);
                return Ok(message["done"].take());
            }
        }
    }

    fn send(&mut self, message: &Json) -> Result<(), HostError> {
        let sent = serde_json::to_writer(&mut self.input, message).map_err(std::io::Error::from);
        let sent = sent.and_then(|()| self.input.write_all(b"\n")).and_then(|()| self.input.flush());
        sent.map_err(|error| self.gone(&error.to_string()))
    }

    fn receive(&mut self) -> Result<Json, HostError> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(0) => Err(self.gone("its pipe was closed")),
            Ok(_) => serde_json::from_str(&line).map_err(|error| self.gone(&error.to_string())),
            Err(error) => Err(self.gone(&error.to_string())),
        }
    }

    fn gone(&mut self, why: &str) -> HostError {
        let _ = self.child.kill();
        let status = self.child.wait().map(|status| format!(" ({status})")).unwrap_or_default();
        HostError::new(format!("The Python process that runs plugins ended{status}: {why}"))
    }

    fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nobody is interested and nothing is answered: the first words of a host.
struct Deaf;

impl Listener for Deaf {
    fn note(&mut self, _: &str, _: &str, _: Option<&str>) {}

    fn ask(&mut self, question: &str, _: &Json) -> Result<Json, HostError> {
        Err(HostError::new(format!("`{question}` cannot be asked now")))
    }
}

fn raised(error: &Json) -> HostError {
    let text = |name: &str| error[name].as_str().map(str::to_owned);
    HostError {
        message: text("message").unwrap_or_default(),
        detail: text("traceback").or_else(|| text("detail")),
        reason: text("reason"),
        domain: text("domain"),
        temporary: error["temporary"].as_bool().unwrap_or_default(),
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
