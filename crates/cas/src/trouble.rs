//! Errors of the operating system with the place where they happened.

use bourn_reapi::ServiceError;
use bourn_reapi::services::ServiceResult;
use std::io;
use std::path::Path;

/// Says what could not be done, and where.
pub(crate) trait Doing<T> {
    /// Wraps the error, if it is one: `cannot write /path: No space left on device`.
    fn doing(self, what: &str, path: &Path) -> ServiceResult<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: &str, path: &Path) -> ServiceResult<T> {
        self.map_err(|error| io_error(error, what, path))
    }
}

/// The error of the operating system as an error of the service.
pub(crate) fn io_error(error: impl Into<io::Error>, what: &str, path: &Path) -> ServiceError {
    ServiceError::io(&error.into(), what, path)
}
