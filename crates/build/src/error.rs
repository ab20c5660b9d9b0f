//! What goes wrong while building: never the user's files, always a job, a tool, a sandbox or the machine.

use crate::event::Failure;
use bourn_plan::SourceError;
use bourn_plan::workbench::AssemblyError;
use bourn_reapi::ServiceError;
use bourn_reapi::services::ErrorKind;
use bourn_reapi::tree::TreeError;

/// bst's error domains, as programs read them (lower case, dashes).
pub mod domain {
    /// No domain of bst's: a failure that is known from the cache.
    pub const NONE: &str = "";
    /// Loading the project.
    pub const LOAD: &str = "load";
    /// A plugin.
    pub const PLUGIN: &str = "plugin";
    /// An element.
    pub const ELEMENT: &str = "element";
    /// A source.
    pub const SOURCE: &str = "source";
    /// The sandbox, or one of the caches of sources (bst files both here).
    pub const SANDBOX: &str = "sandbox";
    /// Artifacts.
    pub const ARTIFACT: &str = "artifact";
    /// The store.
    pub const CAS: &str = "cas";
    /// What was asked for as a whole cannot be processed.
    pub const PIPELINE: &str = "pipeline";
    /// A run as a whole.
    pub const STREAM: &str = "stream";
    /// Directories of trees.
    pub const VIRTUAL_FS: &str = "virtual-fs";
}

/// Reasons of bst's that are needed in more than one place.
pub mod reason {
    /// The cache cannot take what is to be written, and nothing in it can go.
    pub use bourn_plan::source::CACHE_TOO_FULL;
}

/// Why something was not done.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .failure.message)]
pub struct BuildError {
    /// What is told.
    pub failure: Box<Failure>,
    /// Whether trying again may help.
    pub temporary: bool,
    /// Whether the cause is that somebody asked to stop.
    pub cancelled: bool,
    /// Whether it is the element that failed, and not the world around it: then a failed artifact is kept.
    pub of_element: bool,
    /// Directory of the sandbox that is kept as the files of a failed artifact.
    pub collect: Option<String>,
}

/// Result of whatever builds.
pub type BuildResult<T> = Result<T, BuildError>;

impl BuildError {
    /// An error of a domain with one sentence.
    pub fn new(domain: &'static str, message: impl Into<String>) -> BuildError {
        let failure = Failure {
            message: message.into(),
            detail: None,
            hint: None,
            domain,
            reason: None,
            sandbox: false,
        };
        BuildError {
            failure: Box::new(failure),
            temporary: false,
            cancelled: false,
            of_element: false,
            collect: None,
        }
    }

    /// Somebody asked to stop.
    pub fn cancelled() -> BuildError {
        BuildError { cancelled: true, ..BuildError::new(domain::STREAM, "stopped") }
    }

    /// It is the element that failed; `collect` is a directory that is kept although it did.
    pub fn of_element(mut self, collect: Option<String>) -> BuildError {
        self.of_element = true;
        self.collect = collect;
        self
    }

    /// Adds bst's reason.
    pub fn reason(mut self, reason: impl Into<String>) -> BuildError {
        self.failure.reason = Some(reason.into());
        self
    }

    /// Adds longer text.
    pub fn detail(mut self, detail: impl Into<String>) -> BuildError {
        self.failure.detail = Some(detail.into());
        self
    }

    /// Adds what the user can do.
    pub fn hint(mut self, hint: impl Into<String>) -> BuildError {
        self.failure.hint = Some(hint.into());
        self
    }
}

impl From<ServiceError> for BuildError {
    fn from(error: ServiceError) -> BuildError {
        let domain = match error.kind {
            ErrorKind::Sandbox => domain::SANDBOX,
            _ => domain::CAS,
        };
        let mut own = BuildError::new(domain, error.message);
        own.failure.detail = error.detail;
        own.failure.hint = error.hint;
        if error.kind == ErrorKind::Sandbox {
            own.failure.reason = Some("unavailable-local-sandbox".to_owned());
        }
        if error.kind == ErrorKind::NoSpace {
            own.failure.reason = Some(reason::CACHE_TOO_FULL.to_owned());
        }
        own.temporary = matches!(error.kind, ErrorKind::Unavailable | ErrorKind::TimedOut);
        own.cancelled = error.kind == ErrorKind::Cancelled;
        own
    }
}

impl From<TreeError> for BuildError {
    fn from(error: TreeError) -> BuildError {
        match error {
            TreeError::Service(error) => error.into(),
            TreeError::Missing(_) => {
                BuildError::new(domain::VIRTUAL_FS, error.to_string()).reason("directory-not-found")
            }
            TreeError::NotADirectory(..) => BuildError::new(domain::VIRTUAL_FS, error.to_string()),
        }
    }
}

impl From<AssemblyError> for BuildError {
    fn from(error: AssemblyError) -> BuildError {
        let domain = if error.of_element { domain::ELEMENT } else { domain::CAS };
        let mut own = BuildError::new(domain, error.message);
        if let Some(origin) = error.origin {
            own.failure.domain = origin.domain;
            own.temporary = origin.temporary;
        }
        own.failure.reason = Some(error.reason.to_owned()).filter(|reason| !reason.is_empty());
        own.failure.detail = error.detail;
        own.failure.hint = error.hint;
        own.of_element = error.of_element;
        own.collect = error.collect.map(String::from);
        own
    }
}

impl From<SourceError> for BuildError {
    fn from(error: SourceError) -> BuildError {
        let domain = match error.domain {
            _ if error.reason == reason::CACHE_TOO_FULL => domain::CAS,
            Some(domain) => domain,
            None => domain::SOURCE,
        };
        let mut own = BuildError::new(domain, error.message);
        own.failure.reason = Some(error.reason.to_owned()).filter(|reason| !reason.is_empty());
        own.failure.detail = error.detail;
        own.failure.hint = error.hint;
        own.temporary = error.temporary;
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_cache_is_the_same_failure_whoever_writes_to_it() {
        let full = || ServiceError::new(ErrorKind::NoSpace, "the cache is full").hint("free some space");
        let direct = BuildError::from(full()).failure;
        let through_source = BuildError::from(SourceError::from(full())).failure;
        for failure in [direct, through_source] {
            assert_eq!((failure.domain, failure.reason.as_deref()), (domain::CAS, Some("cache-too-full")));
            assert_eq!(failure.hint.as_deref(), Some("free some space"));
        }
        let other = BuildError::from(SourceError::from(ServiceError::new(ErrorKind::Io, "no"))).failure;
        assert_eq!((other.domain, other.reason), (domain::SOURCE, None));
    }
}
