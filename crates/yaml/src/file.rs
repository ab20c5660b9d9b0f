//! The files that were read, kept so that diagnostics can quote them.

use crate::cursor::{bom_len, break_len};
use crate::diagnostic::Diagnostic;
use crate::look::{self, Look, sum_of};
use crate::span::{FileId, Provenance};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// One file that was read.
#[derive(Debug)]
pub struct FileEntry {
    /// Path on disk.
    pub path: PathBuf,
    /// Path relative to its project, as diagnostics name it.
    pub display: String,
    /// Chain of junctions that leads to its project (`a.bst:b.bst`), `None` in the toplevel project.
    pub junction: Option<String>,
    /// Its text.
    pub text: Arc<str>,
    /// What the look at it showed; `None` for what is no file on disk.
    look: Option<Look>,
}

impl FileEntry {
    /// The name that people read: `junction.bst:path`, or the path alone.
    pub fn name(&self) -> String {
        match &self.junction {
            Some(junction) => format!("{junction}:{}", self.display),
            None => self.display.clone(),
        }
    }
}

/// Every file of a load. Clones are the same files; adding takes a lock.
#[derive(Clone, Debug)]
pub struct Files {
    entries: Arc<RwLock<Vec<Arc<FileEntry>>>>,
    looks: Arc<Mutex<Looks>>,
}

/// What was looked at; `None` once something was seen that nobody can look at again.
type Looks = Option<Vec<(PathBuf, Look)>>;

/// A place as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// `junction.bst:path`, or the path alone.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 0 (as bst counts).
    pub column: usize,
}

/// As bst writes places: `FILE [line L column C]`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [line {} column {}]", self.file, self.line, self.column)
    }
}

impl Default for Files {
    fn default() -> Files {
        Files { entries: Arc::default(), looks: Arc::new(Mutex::new(Some(Vec::new()))) }
    }
}

impl Files {
    /// Registers a file and returns its id.
    pub fn add(&self, path: &Path, display: &str, junction: Option<&str>, text: Arc<str>) -> FileId {
        self.insert(path, display, junction, text, None)
    }

    fn insert(
        &self,
        path: &Path,
        display: &str,
        junction: Option<&str>,
        text: Arc<str>,
        look: Option<Look>,
    ) -> FileId {
        let junction = junction.map(str::to_owned);
        let entry = Arc::new(FileEntry { path: path.into(), display: display.into(), junction, text, look });
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let id = FileId::from_index(entries.len());
        entries.push(entry);
        id
    }

    /// Registers a file that exists only in the program, under the name `<synthetic NAME>`, and gives the place
    /// for the nodes that stand in it.
    pub fn add_synthetic(&self, name: &str) -> Provenance {
        let file = self.add(Path::new(name), &format!("<synthetic {name}>"), None, Arc::from(""));
        Provenance { file: Some(file), start: 0, end: 0 }
    }

    /// Reads a file from disk and registers it.
    ///
    /// # Errors
    /// `missing-file`, `loading-directory`, `invalid-yaml` for text that is not UTF-8, `unreadable-file` for
    /// whatever else the system says.
    pub fn read(&self, path: &Path, display: &str, junction: Option<&str>) -> Result<FileId, Diagnostic> {
        let (bytes, stamp) = look::read(path).map_err(|error| {
            self.note(path, Look::Nothing);
            let path = path.display();
            match error.kind() {
                ErrorKind::NotFound => {
                    Diagnostic::load("missing-file", format!("Could not find file at {path}"))
                }
                ErrorKind::IsADirectory => {
                    Diagnostic::load("loading-directory", format!("{path} is a directory"))
                }
                _ => Diagnostic::load("unreadable-file", format!("Could not read {path}: {error}")),
            }
        })?;
        // Summed up here, where several threads read, rather than for all files at once when they are asked for.
        let look = Look::File { stamp, sum: sum_of(&bytes) };
        let (text, fault) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let mut bytes = error.into_bytes();
                bytes.truncate(at);
                (String::from_utf8(bytes).unwrap_or_default(), Some(at))
            }
        };
        let id = self.insert(path, display, junction, text.into(), Some(look));
        match fault {
            None => Ok(id),
            Some(at) => {
                let at = u32::try_from(at).unwrap_or(u32::MAX);
                let message = format!("{} is not UTF-8 text", path.display());
                Err(Diagnostic::load("invalid-yaml", message).at(Provenance {
                    file: Some(id),
                    start: at,
                    end: at,
                }))
            }
        }
    }

    /// Notes what a look at a path showed.
    pub(crate) fn note(&self, path: &Path, look: Look) {
        if let Some(looks) = &mut *self.looks.lock().unwrap_or_else(PoisonError::into_inner) {
            looks.push((path.to_owned(), look));
        }
    }

    /// Says that something was seen that nobody can look at again, such as the answer of a server.
    pub fn saw_more(&self) {
        *self.looks.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Everything that was looked at so far, sorted by path, each look once; `None` after [`Files::saw_more`].
    pub fn looks(&self) -> Option<Vec<(PathBuf, Look)>> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        looks.extend(entries.iter().filter_map(|entry| Some((entry.path.clone(), entry.look.clone()?))));
        drop(entries);
        // As bytes: comparing paths by their components takes ten times as long.
        looks.sort_by(|(a, _), (b, _)| a.as_os_str().cmp(b.as_os_str()));
        looks.dedup();
        Some(looks)
    }

    /// How many files there are.
    pub fn count(&self) -> usize {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Forgets the content of all files but the first `kept`, and that they were looked at: for a load that is begun
    /// anew and reads them again. Ids stay what they are.
    pub fn forget(&self, kept: usize) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for entry in entries.iter_mut().skip(kept) {
            let FileEntry { path, display, junction, .. } = &**entry;
            let (path, display, junction) = (path.clone(), display.clone(), junction.clone());
            *entry = Arc::new(FileEntry { path, display, junction, text: Arc::from(""), look: None });
        }
    }

    /// The file of that id.
    pub fn get(&self, id: FileId) -> Arc<FileEntry> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries[id.index()].clone()
    }

    /// The place of a node; `None` for made-up nodes.
    pub fn position(&self, at: Provenance) -> Option<Position> {
        let entry = self.get(at.file?);
        let (line, column) = line_and_column(&entry.text, at.start as usize);
        Some(Position { file: entry.name(), line, column })
    }
}

/// Line from 1 and column from 0 of a byte. Line breaks are those of YAML 1.1; a byte order mark at the start of
/// the text takes no column. What lies past the end is on a line of its own.
fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let bytes = text.as_bytes();
    let past_end = at > bytes.len();
    let at = at.min(bytes.len());
    let (mut line, mut line_start, mut next) = (1, bom_len(bytes), 0);
    while next < at {
        let len = break_len(bytes, next);
        next += len.max(1);
        if len > 0 && next <= at {
            line += 1;
            line_start = next;
        }
    }
    let column = bytes.get(line_start..at).unwrap_or_default().iter().filter(|&&b| b & 0xC0 != 0x80).count();
    if past_end { (line + 1, 0) } else { (line, column) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_lines_and_columns() {
        let cases = [
            ("a\nb", 2, (2, 0)),
            ("a\r\nb", 3, (2, 0)),
            ("a\rb\rc", 4, (3, 0)),
            ("é\u{85}ü日x", 9, (2, 2)),
            ("\u{feff}ab", 4, (1, 1)),
            ("ab", 2, (1, 2)),
            ("ab", 3, (2, 0)),
            ("ab\n", 3, (2, 0)),
            ("", 0, (1, 0)),
        ];
        for (text, at, expected) in cases {
            assert_eq!(line_and_column(text, at), expected, "{text:?} {at}");
        }
    }

    #[test]
    fn names_files_of_junctions() {
        let files = Files::default();
        let file = files.add(Path::new("/p/x.bst"), "x.bst", Some("a.bst:b.bst"), "k: v".into());
        let at = Provenance { file: Some(file), start: 3, end: 4 };
        assert_eq!(files.position(at).unwrap().to_string(), "a.bst:b.bst:x.bst [line 1 column 3]");
        let made_up = files.add_synthetic("project.refs");
        assert_eq!(
            files.position(made_up).unwrap().to_string(),
            "<synthetic project.refs> [line 1 column 0]"
        );
        assert_eq!(files.position(Provenance::SYNTHETIC), None);
    }

    #[test]
    fn forgets_what_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, "a: b\n").unwrap();
        let files = Files::default();
        let kept = files.read(&path, "a", None).unwrap();
        let count = files.count();
        let forgotten = files.read(&path, "a", None).unwrap();
        files.forget(count);
        assert_eq!((&*files.get(kept).text, &*files.get(forgotten).text), ("a: b\n", ""));
        std::fs::write(&path, "a: c\n").unwrap();
        let again = files.read(&path, "a", None).unwrap();
        assert_eq!((files.count(), &*files.get(again).text), (3, "a: c\n"));
        let looks = files.looks().unwrap();
        assert_eq!(looks.len(), 2, "that of the file kept and that of the last");
    }

    #[test]
    fn says_why_a_file_cannot_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::default();
        let read = |name: &str| files.read(&directory.path().join(name), name, None);
        assert_eq!(read("missing").unwrap_err().code, "missing-file");
        assert_eq!(read(".").unwrap_err().code, "loading-directory");
        std::fs::write(directory.path().join("latin"), b"a: b\nc: \xe4\n").unwrap();
        let error = read("latin").unwrap_err();
        let place = error.at.and_then(|at| files.position(at)).unwrap();
        assert_eq!((error.code, place.to_string().as_str()), ("invalid-yaml", "latin [line 2 column 3]"));
        std::fs::write(directory.path().join("good"), "a: b\n").unwrap();
        assert_eq!(&*files.get(read("good").unwrap()).text, "a: b\n");
    }
}
