//! Files read ahead: while the loader follows dependencies one after the other, other threads already read and parse
//! the files that these dependencies name.

use crate::name::normalise;
use bourn_yaml::{Diagnostics, Files, Node, Text, parse};
use foldhash::{HashMap, HashMapExt};
use rayon::Scope;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A file that was parsed.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// Its top.
    pub(crate) node: Node,
    /// Whether it may have conditionals or assertions.
    pub(crate) conditions: bool,
    /// Whether it may have includes.
    pub(crate) includes: bool,
}

/// Reads and parses a file at once.
///
/// # Errors
/// What reading and parsing say.
pub(crate) fn read(
    files: &Files,
    path: &Path,
    display: &str,
    junction: Option<&str>,
) -> Result<Parsed, Diagnostics> {
    let file = files.read(path, display, junction)?;
    let node = parse(files, file)?;
    let entry = files.get(file);
    // A key can be written with escapes; a text with a backslash may hold anything.
    let escapes = entry.text.contains('\\');
    let conditions = escapes || entry.text.contains("(?)") || entry.text.contains("(!)");
    let includes = escapes || entry.text.contains("(@)");
    Ok(Parsed { node, conditions, includes })
}

/// Where elements of a project lie, and how their files are called in messages.
#[derive(Debug)]
pub(crate) struct Place {
    /// Directory of the elements.
    pub(crate) directory: PathBuf,
    /// Name of the junction of the project.
    pub(crate) junction: Option<Text>,
}

/// The files read ahead.
pub(crate) struct Ahead<'f> {
    files: &'f Files,
    slots: Mutex<HashMap<PathBuf, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
enum State {
    /// Nobody reads it yet.
    #[default]
    Waiting,
    /// Somebody reads it.
    Busy,
    /// It was read.
    Ready(Result<Parsed, Diagnostics>),
    /// It was handed out.
    Taken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'f> Ahead<'f> {
    pub(crate) fn new(files: &'f Files) -> Ahead<'f> {
        Ahead { files, slots: Mutex::new(HashMap::new()) }
    }

    /// Hands out an element file, which is read now if nobody did.
    ///
    /// # Errors
    /// What reading and parsing say.
    pub(crate) fn element<'s>(
        &'s self,
        scope: &Scope<'s>,
        place: &Arc<Place>,
        name: &str,
    ) -> Result<Parsed, Diagnostics> {
        let slot = lock(&self.slots).entry(place.directory.join(name)).or_default().clone();
        let mut state = lock(&slot.state);
        loop {
            match std::mem::replace(&mut *state, State::Taken) {
                State::Ready(result) => return result,
                State::Busy => {
                    *state = State::Busy;
                    state = slot.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                State::Waiting | State::Taken => {
                    drop(state);
                    return self.read(scope, place, name);
                }
            }
        }
    }

    /// Takes an element file back that is not needed yet.
    pub(crate) fn give_back(&self, place: &Place, name: &str, parsed: Parsed) {
        let slot = lock(&self.slots).entry(place.directory.join(name)).or_default().clone();
        *lock(&slot.state) = State::Ready(Ok(parsed));
    }

    fn read<'s>(&'s self, scope: &Scope<'s>, place: &Arc<Place>, name: &str) -> Result<Parsed, Diagnostics> {
        let parsed = read(self.files, &place.directory.join(name), name, place.junction.as_deref())?;
        each_dependency(&parsed.node, &mut |name| self.want(scope, place, name));
        Ok(parsed)
    }

    /// Has an element file read, unless it is already.
    fn want<'s>(&'s self, scope: &Scope<'s>, place: &Arc<Place>, name: &str) {
        if !name.ends_with(".bst") || name.contains(':') || name.starts_with('/') {
            return;
        }
        let name = normalise(name);
        let slot = {
            let mut slots = lock(&self.slots);
            let path = place.directory.join(&name);
            if slots.contains_key(&path) {
                return;
            }
            slots.entry(path).or_default().clone()
        };
        let place = place.clone();
        scope.spawn(move |scope| {
            {
                let mut state = lock(&slot.state);
                match *state {
                    State::Waiting => *state = State::Busy,
                    _ => return,
                }
            }
            let result = self.read(scope, &place, &name);
            *lock(&slot.state) = State::Ready(result);
            slot.changed.notify_all();
        });
    }
}

/// The names of dependencies inside the project, as far as they can be told before conditionals and includes.
fn each_dependency(node: &Node, found: &mut dyn FnMut(&str)) {
    for key in ["build-depends", "runtime-depends", "depends"] {
        for item in node.get(key).and_then(Node::items).unwrap_or_default() {
            if let Some(name) = item.text() {
                found(name);
            } else if item.get("junction").is_none()
                && let Some(filename) = item.get("filename")
            {
                filename.text().into_iter().for_each(&mut *found);
                filename.items().into_iter().flatten().filter_map(Node::text).for_each(&mut *found);
            }
        }
    }
}
