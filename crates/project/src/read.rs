//! Files read ahead: while the loader follows dependencies one after the other, other threads already read and parse
//! the files that these dependencies name.

use crate::include::{Ready, process_inside};
use crate::name::{is_normal, normalise};
use bourn_yaml::{Diagnostics, Files, Node, Text, parse};
use foldhash::HashMap;
use rayon::Scope;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// A file that was parsed.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// Its top.
    pub(crate) node: Node,
    /// Whether it may have conditionals or assertions.
    pub(crate) conditions: bool,
    /// Whether it may have includes.
    pub(crate) includes: bool,
    /// Whether both were processed already.
    pub(crate) processed: bool,
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
    Ok(Parsed { node, conditions, includes, processed: false })
}

/// Where elements of a project lie, how their files are called in messages, and those that were asked for.
pub(crate) struct Place {
    /// Directory of the elements.
    pub(crate) directory: PathBuf,
    /// Name of the junction of the project.
    pub(crate) junction: Option<Text>,
    /// What processing elements takes, once that is known.
    pub(crate) ready: OnceLock<Ready>,
    slots: Mutex<HashMap<Text, Arc<Slot>>>,
}

impl Place {
    pub(crate) fn new(directory: PathBuf, junction: Option<Text>) -> Place {
        Place { directory, junction, ready: OnceLock::new(), slots: Mutex::default() }
    }

    /// The slot of an element, and whether it is new.
    fn slot(&self, name: &str) -> (Arc<Slot>, bool) {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(name) {
            return (slot.clone(), false);
        }
        let slot = Arc::<Slot>::default();
        slots.insert(name.into(), slot.clone());
        (slot, true)
    }
}

/// The files read ahead.
pub(crate) struct Ahead<'f> {
    files: &'f Files,
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
    Busy {
        /// Whether somebody waits for that: waking nobody is a call of the system all the same.
        awaited: bool,
    },
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
        Ahead { files }
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
        let (slot, _) = place.slot(name);
        let mut state = lock(&slot.state);
        loop {
            match std::mem::replace(&mut *state, State::Taken) {
                State::Ready(result) => return result,
                State::Busy { .. } => {
                    *state = State::Busy { awaited: true };
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
        let (slot, _) = place.slot(name);
        *lock(&slot.state) = State::Ready(Ok(parsed));
    }

    fn read<'s>(&'s self, scope: &Scope<'s>, place: &Arc<Place>, name: &str) -> Result<Parsed, Diagnostics> {
        let junction = place.junction.as_deref();
        let mut parsed = read(self.files, &place.directory.join(name), name, junction)?;
        if let Some(ready) = place.ready.get()
            && !is_first_pass(&parsed.node)
        {
            if !parsed.includes && !parsed.conditions {
                parsed.processed = true;
            } else if let Some(node) =
                process_inside(self.files, ready, junction, &parsed.node, parsed.includes)
            {
                parsed.node = node;
                parsed.processed = true;
            }
        }
        each_dependency(&parsed.node, &mut |name| self.want(scope, place, name));
        Ok(parsed)
    }

    /// Has an element file read, unless it is already.
    fn want<'s>(&'s self, scope: &Scope<'s>, place: &Arc<Place>, name: &str) {
        if !name.ends_with(".bst") || name.contains(':') || name.starts_with('/') {
            return;
        }
        let normal;
        let name = if is_normal(name) {
            name
        } else {
            normal = normalise(name);
            &normal
        };
        let (slot, true) = place.slot(name) else { return };
        let name = Text::new(name);
        let place = place.clone();
        scope.spawn(move |scope| {
            {
                let mut state = lock(&slot.state);
                match *state {
                    State::Waiting => *state = State::Busy { awaited: false },
                    _ => return,
                }
            }
            let result = self.read(scope, &place, &name);
            let before = std::mem::replace(&mut *lock(&slot.state), State::Ready(result));
            if matches!(before, State::Busy { awaited: true }) {
                slot.changed.notify_all();
            }
        });
    }
}

/// Whether an element is one that is loaded before its project is complete; also if that cannot be told.
fn is_first_pass(node: &Node) -> bool {
    node.get("kind").and_then(Node::text).is_none_or(|kind| matches!(kind, "junction" | "link"))
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
