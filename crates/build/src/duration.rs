//! How long builds took: remembered between runs, so that what others wait for longest is begun first.
//!
//! The file holds a line per element, `MILLISECONDS PROJECT/ELEMENT`. Losing it costs nothing but a less clever order.

use bourn_reapi::services::{ServiceError, ServiceResult};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// How long builds took, by `PROJECT/ELEMENT`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations(BTreeMap<String, Duration>);

impl Durations {
    /// Reads what an earlier run has written. Whatever cannot be read counts as unknown.
    pub fn read(path: &Path) -> Durations {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = |line: &str| {
            let (millis, name) = line.split_once(' ')?;
            Some((name.to_owned(), Duration::from_millis(millis.parse().ok()?)))
        };
        Durations(text.lines().filter_map(line).collect())
    }

    /// Writes them, so that the file is replaced as a whole.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> ServiceResult<()> {
        let failed = |error| ServiceError::io(&error, "writing", path);
        let directory = path.parent().unwrap_or(Path::new("."));
        let mut draft = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
        let lines = self.0.iter().map(|(name, took)| format!("{} {name}\n", took.as_millis()));
        draft.write_all(lines.collect::<String>().as_bytes()).map_err(failed)?;
        draft.persist(path).map_err(|error| ServiceError::io(&error.error, "writing", path))?;
        Ok(())
    }

    /// How long the last build of an element took.
    pub fn get(&self, name: &str) -> Option<Duration> {
        self.0.get(name).copied()
    }

    /// Remembers how long builds took.
    pub fn remember(&mut self, builds: impl IntoIterator<Item = (String, Duration)>) {
        self.0.extend(builds);
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("durations");
        assert_eq!(Durations::read(&path), Durations::default());
        let mut durations = Durations::default();
        let took = Duration::from_millis(1500);
        durations.remember([("demo/a b.bst".to_owned(), took), ("demo/c.bst".to_owned(), Duration::ZERO)]);
        durations.write(&path).expect("written");
        assert_eq!(Durations::read(&path), durations);
        assert_eq!(Durations::read(&path).get("demo/a b.bst"), Some(took));
        fs::write(&path, "x y\n\n7 z\n8\n").expect("written");
        assert_eq!(Durations::read(&path).get("z"), Some(Duration::from_millis(7)));
    }
}
