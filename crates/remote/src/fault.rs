//! What goes wrong between two machines, and whether trying again may help.

use bourn_reapi::ServiceError;
use bourn_reapi::services::{ErrorKind, ServiceResult};
use std::error::Error;
use tonic::{Code, Status};

/// Why something did not work: on the other side or on the way there, or here.
#[derive(Debug)]
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
    let mut text = match status.message() {
        "" => status.code().description().to_owned(),
        message => message.to_owned(),
    };
    let mut source = status.source();
    while let Some(error) = source {
        // The words that other clients have for it.
        let more = error.to_string().replace("dns error", "DNS resolution failed");
        if !more.is_empty() && !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    format!("{} ({})", text.trim(), code_name(status.code()))
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
        // What a connection that breaks becomes; said by a server itself, these do not pass.
        Code::Unknown | Code::Internal | Code::Cancelled => status.source().is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
