//! The kinds that plugins on disk define, found when they are first asked for.

use crate::element::PythonElement;
use crate::host::{Host, Python};
use bourn_plan::ElementKind;
use bourn_yaml::Files;
use bourn_yaml::look::PlaceKind;
use elsa::sync::FrozenMap;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Every plugin directory in use and the kinds asked for in it.
pub struct PythonKinds {
    python: Python,
    files: Files,
    /// A host per directory that is part of a package of its own version; the rest share one.
    hosts: Mutex<HashMap<Option<PathBuf>, Arc<Host>>>,
    elements: FrozenMap<(PathBuf, String), Box<PythonElement>>,
}

impl PythonKinds {
    /// No kinds yet, and no process.
    pub fn new(python: Python, files: Files) -> PythonKinds {
        PythonKinds { python, files, hosts: Mutex::default(), elements: FrozenMap::new() }
    }

    /// The element kind that `DIRECTORY/KIND.py` defines; `None` when there is no such file. `packaged` says that
    /// the directory belongs to a package, which then gets a process of its own.
    pub fn element(&self, kind: &str, directory: &Path, packaged: bool) -> Option<&dyn ElementKind> {
        let name = (directory.to_owned(), kind.to_owned());
        if let Some(known) = self.elements.get(&name) {
            return Some(known);
        }
        let code = self.files.place(&directory.join(format!("{kind}.py")));
        if !code.is_ok_and(|(_, kind)| kind == PlaceKind::File) {
            return None;
        }
        let element = PythonElement {
            host: self.host(packaged.then(|| directory.to_owned())),
            directory: directory.to_owned(),
            kind: kind.to_owned(),
            files: self.files.clone(),
        };
        Some(self.elements.insert(name, Box::new(element)))
    }

    /// Whether any kind was found.
    pub fn is_used(&self) -> bool {
        !self.hosts.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn host(&self, package: Option<PathBuf>) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts
            .entry(package)
            .or_insert_with(|| Arc::new(Host::new(self.python.clone(), self.files.clone())))
            .clone()
    }
}
