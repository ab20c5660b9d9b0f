//! Events for programs: one JSON object per line.
//!
//! Every object has `version` (1), `event` (its kind), `elapsed` (seconds since the program began; not in the last
//! one of a run that failed), and the fields of its kind, which `docs/programs.md` describes. Readers skip kinds and fields that they do not know; a change that would break them raises the
//! version.

use bourn_build::event::{Event, Failure, Issuer, JobId, JobResult, Subject};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

/// The line of an event, with its newline.
pub(crate) fn line(event: &Event, elapsed: Duration) -> String {
    let (name, fields) = object(event);
    let mut out = Map::new();
    out.insert("version".into(), 1.into());
    out.insert("event".into(), name.into());
    out.insert("elapsed".into(), seconds(elapsed));
    out.extend(fields);
    let mut text = Value::Object(out).to_string();
    text.push('\n');
    text
}

/// The line about the end of a run that failed, with its newline. It has no `elapsed`: usage and configuration fail
/// before the clock of a run begins.
pub(crate) fn failed(failure: Value) -> String {
    let mut out = Map::new();
    out.insert("version".into(), 1.into());
    out.insert("event".into(), "failed".into());
    if let Value::Object(fields) = failure {
        out.extend(fields);
    }
    let mut text = Value::Object(out).to_string();
    text.push('\n');
    text
}

fn object(event: &Event) -> (&'static str, Map<String, Value>) {
    let mut out = Map::new();
    let mut set = |key: &str, value: Value| {
        if !value.is_null() {
            out.insert(key.to_owned(), value);
        }
    };
    let name = match event {
        Event::Planned { queues } => {
            let queues: Vec<Value> = queues
                .iter()
                .map(|(action, total)| json!({"action": action.name(), "elements": total}))
                .collect();
            set("queues", queues.into());
            "planned"
        }
        Event::Message(message) => {
            set("subject", subject(&message.subject));
            set("kind", message.kind.name().to_ascii_lowercase().into());
            set("text", message.text.as_str().into());
            set("detail", message.detail.as_deref().into());
            set("took", message.elapsed.map_or(Value::Null, seconds));
            "message"
        }
        Event::JobStarted { job, subject: who, log } => {
            set("job", id(*job));
            set("subject", subject(who));
            set("log", path(log.as_deref()));
            "job-started"
        }
        Event::Progress { job, done, total } => {
            set("job", id(*job));
            set("done", (*done).into());
            set("total", (*total).into());
            "progress"
        }
        Event::JobRetried { job, subject: who, attempt, elapsed, failure: why, log } => {
            set("job", id(*job));
            set("subject", subject(who));
            set("attempt", (*attempt).into());
            set("took", seconds(*elapsed));
            set("failure", failure(why));
            set("log", path(log.as_deref()));
            "job-retried"
        }
        Event::JobFinished { job, subject: who, result, elapsed, log } => {
            set("job", id(*job));
            set("subject", subject(who));
            let (word, why) = match result {
                JobResult::Done => ("done", Value::Null),
                JobResult::Skipped(_) => ("skipped", Value::Null),
                JobResult::Failed(why) => ("failed", failure(why)),
                JobResult::Cancelled => ("cancelled", Value::Null),
            };
            set("result", word.into());
            set("failure", why);
            set("took", seconds(*elapsed));
            set("log", path(log.as_deref()));
            "job-finished"
        }
        Event::Passed { queue, element } => {
            set("action", queue.name().into());
            set("element", (&**element).into());
            "passed"
        }
        Event::WorkspaceBuilt { element, key } => {
            set("element", (&**element).into());
            set("key", (&**key).into());
            "workspace-built"
        }
    };
    (name, out)
}

fn seconds(time: Duration) -> Value {
    ((time.as_secs_f64() * 1e6).round() / 1e6).into()
}

fn id(job: JobId) -> Value {
    job.0.into()
}

fn path(path: Option<&Path>) -> Value {
    path.map(|path| path.to_string_lossy().into_owned()).into()
}

fn subject(subject: &Subject) -> Value {
    let mut out = Map::new();
    out.insert("action".into(), subject.action.name().into());
    if let Some(job) = subject.job {
        out.insert("job".into(), id(job));
    }
    for (key, issuer) in [("element", &subject.element), ("speaker", &subject.speaker)] {
        if let Some(issuer) = issuer {
            out.insert(key.into(), element(issuer));
        }
    }
    out.into()
}

fn element(issuer: &Issuer) -> Value {
    match &issuer.key {
        Some(key) => json!({"name": &*issuer.element, "key": &*key.full, "strict": key.strict}),
        None => json!({"name": &*issuer.element}),
    }
}

fn failure(failure: &Failure) -> Value {
    json!({
        "message": failure.message,
        "detail": failure.detail,
        "hint": failure.hint,
        "domain": failure.domain,
        "reason": failure.reason,
        "sandbox": failure.sandbox,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bourn_build::event::{Action, Message, MessageKind};

    #[test]
    fn a_message() {
        let message = Message {
            subject: Subject {
                element: Some(Issuer { element: "a.bst".into(), key: None }),
                action: Action::Build,
                ..Subject::MAIN
            },
            kind: MessageKind::Success,
            text: "Staging sources".into(),
            detail: None,
            elapsed: Some(Duration::from_millis(1500)),
        };
        let expect = r#"{"version":1,"event":"message","elapsed":2.0,"subject":{"action":"Build","element":{"name":"a.bst"}},"kind":"success","text":"Staging sources","took":1.5}"#;
        assert_eq!(line(&Event::Message(message), Duration::from_secs(2)).trim_end(), expect);
    }
}
