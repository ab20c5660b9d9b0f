//! How the program ends: what went wrong, in words and for programs, and the exit status.

use crate::render;
use crate::report::json;
use crate::report::style::Painter;
use crate::settings::environment::Environment;
use bourn_build::error::{BuildError, reason};
use bourn_reapi::services::{ErrorKind, ServiceError};
use bourn_yaml::{Diagnostic, Diagnostics, Domain, Files, Provenance};
use serde_json::Value;
use std::io::Write;
use std::process::ExitCode;

/// The status of every error.
pub(crate) const ERROR: u8 = 255;

/// Why a command could not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What to say. Empty when everything was said already (a job failed).
    pub(crate) message: String,
    /// More lines.
    pub(crate) detail: Option<String>,
    /// What the user can do.
    pub(crate) hint: Option<String>,
    /// bst's error domain.
    pub(crate) domain: &'static str,
    /// bst's reason.
    pub(crate) reason: Option<String>,
    /// What is wrong with the user's files, where that is the cause.
    pub(crate) diagnostics: Diagnostics,
    /// Domain and reason of the job that failed last.
    pub(crate) task: Option<(&'static str, Option<String>)>,
    /// Whether the user asked to stop.
    pub(crate) terminated: bool,
}

/// Result of a command: its exit status, or why it failed.
pub(crate) type Outcome = Result<u8, Failure>;

impl Failure {
    /// Of a domain, without a reason.
    pub(crate) fn new(domain: &'static str, message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            detail: None,
            hint: None,
            domain,
            reason: None,
            diagnostics: Diagnostics::default(),
            task: None,
            terminated: false,
        }
    }

    /// Of the way the program was used.
    pub(crate) fn app(message: impl Into<String>) -> Failure {
        Failure::new("app", message)
    }

    /// Of what a command was asked to do.
    pub(crate) fn stream(message: impl Into<String>) -> Failure {
        Failure::new("stream", message)
    }

    /// Sets the reason.
    pub(crate) fn reason(mut self, reason: impl Into<String>) -> Failure {
        self.reason = Some(reason.into());
        self
    }

    /// Sets further lines.
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Failure {
        self.detail = Some(detail.into());
        self
    }

    /// Sets what the user can do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Says what was being done when it happened.
    pub(crate) fn while_doing(mut self, prefix: &str) -> Failure {
        self.message = match self.message.as_str() {
            "" => prefix.to_owned(),
            message => format!("{prefix}: {message}"),
        };
        self
    }

    /// An error of the operating system.
    pub(crate) fn io(error: &std::io::Error, doing: &str, path: &std::path::Path) -> Failure {
        ServiceError::io(error, doing, path).into()
    }
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Failure {
        let first = diagnostics.0.first();
        let domain = first.map_or("load", |first| match first.domain {
            Domain::Load => "load",
            Domain::Plugin => "plugin",
            Domain::Element => "element",
            Domain::Source => "source",
        });
        let reason = first.map(|first| first.code).filter(|code| !code.is_empty()).map(str::to_owned);
        Failure { reason, diagnostics, ..Failure::new(domain, "") }
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Failure {
        Diagnostics::from(diagnostic).into()
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Failure {
        let domain = match error.kind {
            ErrorKind::Sandbox => "sandbox",
            ErrorKind::Unavailable | ErrorKind::TimedOut => "remote",
            _ => "cas",
        };
        let reason = (error.kind == ErrorKind::NoSpace).then(|| reason::CACHE_TOO_FULL.to_owned());
        Failure { hint: error.hint, detail: error.detail, reason, ..Failure::new(domain, error.message) }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Failure {
        let failure = *error.failure;
        Failure {
            detail: failure.detail,
            hint: failure.hint,
            reason: failure.reason,
            terminated: error.cancelled,
            ..Failure::new(failure.domain, failure.message)
        }
    }
}

/// Says on standard error why the program ends, for people or as an event for programs, and writes the report where
/// one is wanted. Answers with the exit status.
pub(crate) fn report(
    failure: &Failure,
    files: &Files,
    painter: Painter,
    as_event: bool,
    environment: &Environment,
) -> ExitCode {
    let text = render::failure(failure, files, painter);
    let mut told = text.clone();
    if as_event {
        told = json::failed(failure_json(failure, files, &text));
    }
    // When even this cannot be written there is nobody left to tell.
    let _ = std::io::stderr().lock().write_all(told.as_bytes());
    if let Some(path) = environment.get("BOURN_ERROR_REPORT") {
        let report = serde_json::json!({"main": main_json(failure, &text), "task": task_json(failure)});
        let _ = std::fs::write(path, report.to_string());
    }
    ExitCode::from(ERROR)
}

/// Why the program ended.
fn main_json(failure: &Failure, text: &str) -> Value {
    serde_json::json!({"domain": failure.domain, "reason": failure.reason, "message": text.trim()})
}

/// Why the last job failed; null where none did.
fn task_json(failure: &Failure) -> Value {
    let task = failure.task.as_ref();
    task.map(|(domain, reason)| serde_json::json!({"domain": domain, "reason": reason})).into()
}

/// All that is known of a failure, with the places in the user's files.
fn failure_json(failure: &Failure, files: &Files, text: &str) -> Value {
    let place = |at: Option<Provenance>| {
        let place = files.position(at?)?;
        Some(serde_json::json!({"file": place.file, "line": place.line, "column": place.column}))
    };
    let note =
        |(at, text): &(Option<Provenance>, String)| serde_json::json!({"text": text, "at": place(*at)});
    let diagnostics: Vec<Value> = failure
        .diagnostics
        .0
        .iter()
        .map(|wrong| {
            let notes: Vec<Value> = wrong.notes.iter().map(note).collect();
            serde_json::json!({
                "code": wrong.code, "message": wrong.message, "at": place(wrong.at), "notes": notes,
                "hint": wrong.hint, "detail": wrong.detail,
            })
        })
        .collect();
    serde_json::json!({
        "main": main_json(failure, text), "task": task_json(failure), "diagnostics": diagnostics,
    })
}
