//! What goes wrong between two machines, and whether trying again may help.

use crate::message::{RetryInfo, StatusDetails};
use bourn_reapi::ServiceError;
use bourn_reapi::services::{ErrorKind, ServiceResult};
use prost::Message;
use std::error::Error;
use std::time::Duration;
use tonic::{Code, Status};

/// Why something did not work: on the other side or on the way there, or here.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Another server may still do.
    Remote(ServiceError),
    /// No server can help.
    Local(ServiceError),
}

pub(crate) type Attempt<T> = Result<T, Fault>;

impl Fault {
    /// A fault of a server.
    pub(crate) fn remote(kind: ErrorKind, message: impl Into<String>) -> Fault {
        Fault::Remote(ServiceError::new(kind, message))
    }

    /// What kind it is of, if it is the server's.
    pub(crate) fn remote_kind(&self) -> Option<ErrorKind> {
        match self {
            Fault::Remote(error) => Some(error.kind),
            Fault::Local(_) => None,
        }
    }

    /// The error, whosever it is.
    pub(crate) fn into_error(self) -> ServiceError {
        match self {
            Fault::Remote(error) | Fault::Local(error) => error,
        }
    }
}

/// Marks errors of the local store.
pub(crate) trait Here<T> {
    /// As a fault of this machine.
    fn here(self) -> Attempt<T>;
}

impl<T> Here<T> for ServiceResult<T> {
    fn here(self) -> Attempt<T> {
        self.map_err(Fault::Local)
    }
}

/// A status in words: what the server said, and below it why the connection failed.
pub(crate) fn describe(status: &Status) -> String {
    // The words that other clients have for it.
    let common = |words: &str| words.replace("dns error", "DNS resolution failed");
    let mut text = match status.message() {
        "" => status.code().description().to_owned(),
        message => common(message),
    };
    let mut source = status.source();
    while let Some(error) = source {
        let more = common(&error.to_string());
        // What tonic calls everything that is no answer, and what follows says better.
        let says_nothing = more.is_empty() || more == "transport error";
        if !says_nothing && !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    format!("{} ({})", printable(text.trim()), code_name(status.code()))
}

/// What of a text of somebody else is shown: terminals take some characters for orders.
fn printable(text: &str) -> String {
    const LONGEST: usize = 2000;
    let mut shown: String =
        text.chars().take(LONGEST).map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// A line that tells of an error, with what helps behind it.
pub(crate) fn with_hint(mut line: String, error: &ServiceError) -> String {
    if let Some(hint) = &error.hint {
        line.push_str(&format!(" ({hint})"));
    }
    line
}

/// The name of a status code as the protocol's documentation spells it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// What kind of error a status is.
pub(crate) fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::NotFound => ErrorKind::Missing,
        Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Denied,
        Code::ResourceExhausted => ErrorKind::NoSpace,
        Code::DeadlineExceeded => ErrorKind::TimedOut,
        Code::DataLoss => ErrorKind::Corrupt,
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented | Code::FailedPrecondition => {
            ErrorKind::Invalid
        }
        _ => ErrorKind::Unavailable,
    }
}

/// Whether the same request may succeed a moment later.
pub(crate) fn is_passing(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::Aborted | Code::DeadlineExceeded => true,
        // A server that has too much to do says so with a time, or by breaking off. Without either it is full, or what
        // was asked for is too large.
        Code::ResourceExhausted => status.source().is_some() || told_to_wait(status).is_some(),
        // What a connection that breaks becomes; said by a server itself, these do not pass.
        Code::Unknown | Code::Internal | Code::Cancelled => status.source().is_some(),
        _ => false,
    }
}

/// After what time the server wants to be asked again (`google.rpc.RetryInfo` in its status), if it said so.
pub(crate) fn told_to_wait(status: &Status) -> Option<Duration> {
    const NAME: &str = "/google.rpc.RetryInfo";
    let details = StatusDetails::decode(status.details()).ok()?.details;
    let told = details.into_iter().find(|detail| detail.type_url.ends_with(NAME))?;
    let delay = RetryInfo::decode(told.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    let (seconds, nanos) =
        (u64::try_from(delay.seconds).unwrap_or(0), u32::try_from(delay.nanos).unwrap_or(0));
    Some(Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Any, RetryDelay};

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let passing: Vec<&str> = (0..=16)
            .map(Code::from_i32)
            .filter(|code| is_passing(&Status::new(*code, "")))
            .map(code_name)
            .collect();
        assert_eq!(passing, ["DEADLINE_EXCEEDED", "ABORTED", "UNAVAILABLE"]);
        let mut broken = Status::new(Code::Unknown, "h2 protocol error");
        broken.set_source(std::sync::Arc::new(std::io::Error::other("connection reset")));
        assert!(is_passing(&broken));
        assert_eq!(describe(&broken), "h2 protocol error: connection reset (UNKNOWN)");
        let mut lost = Status::unavailable("dns error");
        lost.set_source(std::sync::Arc::new(std::io::Error::other("transport error")));
        assert_eq!(describe(&lost), "DNS resolution failed (UNAVAILABLE)");
    }

    #[test]
    fn servers_say_when_to_come_back() {
        let info = RetryInfo { retry_delay: Some(RetryDelay { seconds: 3, nanos: 500_000_000 }) };
        let told =
            Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value: info.encode_to_vec() };
        let other = Any { type_url: "type.googleapis.com/google.rpc.Help".into(), value: vec![0xff] };
        let status = |details: Vec<Any>| {
            let details = StatusDetails { details }.encode_to_vec();
            Status::with_details(Code::ResourceExhausted, "too much", details.into())
        };
        let busy = status(vec![other.clone(), told]);
        assert_eq!(told_to_wait(&busy), Some(Duration::from_millis(3500)));
        assert!(is_passing(&busy));
        let full = status(vec![other]);
        assert_eq!(told_to_wait(&full), None);
        assert!(!is_passing(&full));
        let odd = RetryInfo { retry_delay: Some(RetryDelay { seconds: -1, nanos: i32::MIN }) };
        let odd = Any { type_url: "x/google.rpc.RetryInfo".into(), value: odd.encode_to_vec() };
        assert_eq!(told_to_wait(&status(vec![odd])), Some(Duration::ZERO));
        assert_eq!(told_to_wait(&Status::with_details(Code::Unavailable, "", vec![0xff; 9].into())), None);
    }

    #[test]
    fn nobody_gives_orders_to_the_terminal() {
        let status = Status::internal("\u{1b}]0;title\u{7}red\r".to_owned() + &"x".repeat(10_000));
        let text = describe(&status);
        assert!(text.starts_with(" ]0;title red x") || text.starts_with("]0;title red x"), "{text}");
        assert!(text.len() < 2100 && text.ends_with("… (INTERNAL)"), "{text}");
    }
}
