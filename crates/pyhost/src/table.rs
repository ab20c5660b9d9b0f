//! The kinds that plugins on disk define, found when they are first asked for.

use crate::element::PythonElement;
use crate::host::{Deaf, Host, HostError, Python};
use crate::mirror::PythonMirror;
use crate::source::PythonSourceKind;
use bourn_plan::mirror::{ForeignMirrors, Mirror};
use bourn_plan::{ElementKind, SourceKind};
use bourn_project::{Installed, KindOrigin, Project};
use bourn_yaml::look::PlaceKind;
use bourn_yaml::{Diagnostic, Files, Node};
use elsa::sync::FrozenMap;
use serde_json::json;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A plugin: its directory and its kind.
type Name = (PathBuf, String);

/// Every plugin directory in use and the kinds asked for in it.
pub struct PythonKinds {
    python: Python,
    files: Files,
    /// A host per package: by the directory that it is imported from, or that of its plugins. The rest share one.
    hosts: Mutex<HashMap<Option<PathBuf>, Arc<Host>>>,
    elements: FrozenMap<Name, Box<PythonElement>>,
    sources: FrozenMap<Name, Box<PythonSourceKind>>,
    deprecated: Mutex<HashMap<(String, Name), Option<String>>>,
}

impl PythonKinds {
    /// No kinds yet, and no process.
    pub fn new(python: Python, files: Files) -> PythonKinds {
        PythonKinds {
            python,
            files,
            hosts: Mutex::default(),
            elements: FrozenMap::new(),
            sources: FrozenMap::new(),
            deprecated: Mutex::default(),
        }
    }

    /// The element kind that the plugin at an origin defines; `None` when there is no such file.
    pub fn element(&self, kind: &str, origin: &KindOrigin) -> Option<&dyn ElementKind> {
        let (directory, host) = self.find(kind, origin)?;
        let name = (directory.to_owned(), kind.to_owned());
        if let Some(known) = self.elements.get(&name) {
            return Some(known);
        }
        let element = PythonElement {
            host,
            directory: directory.to_owned(),
            kind: kind.to_owned(),
            files: self.files.clone(),
        };
        Some(self.elements.insert(name, Box::new(element)))
    }

    /// The source kind that the plugin at an origin defines; `None` when there is no such file.
    pub fn source(&self, kind: &str, origin: &KindOrigin) -> Option<&dyn SourceKind> {
        let (directory, host) = self.find(kind, origin)?;
        let name = (directory.to_owned(), kind.to_owned());
        if let Some(known) = self.sources.get(&name) {
            return Some(known);
        }
        let source = PythonSourceKind {
            host,
            directory: directory.to_owned(),
            kind: kind.to_owned(),
            files: self.files.clone(),
        };
        Some(self.sources.insert(name, Box::new(source)))
    }

    /// Why a kind of a group (`elements`, `sources`) should not be used any more, if its plugin says so. Only plugins
    /// whose own code names the attribute are asked, since others would be started for nothing.
    pub fn deprecated(&self, group: &str, kind: &str, origin: &KindOrigin) -> Option<String> {
        let (directory, host) = self.find(kind, origin)?;
        let code = self.files.bytes(&directory.join(format!("{kind}.py"))).ok()?;
        if !String::from_utf8_lossy(&code).contains("BST_PLUGIN_DEPRECATED") {
            return None;
        }
        let name = (directory.to_owned(), kind.to_owned());
        let mut known = self.deprecated.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .entry((group.to_owned(), name))
            .or_insert_with(|| {
                let plugin = json!({"directory": directory, "kind": kind, "group": group});
                // A plugin that cannot be loaded says so when it is used.
                let traits =
                    host.call(&json!({"call": "plugin-traits", "plugin": plugin}), &mut Deaf).ok()?;
                traits["deprecated"].as_str().map(str::to_owned)
            })
            .clone()
    }

    /// The installed Python package of a name, with its plugin of a kind of a group; `None` when it is not installed.
    ///
    /// # Errors
    /// Python cannot be run, or importing the package fails.
    pub fn installed(&self, group: &str, package: &str, kind: &str) -> Result<Option<Installed>, HostError> {
        let call = json!({"call": "package-find", "group": group, "package": package, "kind": kind});
        let found = self.host(None).call(&call, &mut Deaf)?;
        Ok(found["version"].as_str().map(|version| Installed {
            version: version.to_owned(),
            code: found["code"].as_str().map(PathBuf::from),
        }))
    }

    /// Starts Python while there is other work to be done: a plugin will probably be asked.
    pub fn expect(&self) {
        self.host(None).start_early();
    }

    /// Whether any kind was found.
    pub fn is_used(&self) -> bool {
        !self.hosts.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The directory of a plugin, and the host for its version: packages get processes of their own.
    fn find<'o>(&self, kind: &str, origin: &'o KindOrigin) -> Option<(&'o Path, Arc<Host>)> {
        let KindOrigin::File { directory, package } = origin else { return None };
        let code = self.files.place(&directory.join(format!("{kind}.py")));
        if !code.is_ok_and(|(_, kind)| kind == PlaceKind::File) {
            return None;
        }
        let apart = self.tree(directory).or_else(|| package.is_some().then(|| directory.clone()));
        Some((directory, self.host(apart)))
    }

    /// The directory that a directory of modules is imported from, if it is part of a package: its modules find one
    /// another by the package's name, and no process can have two packages of one name.
    fn tree(&self, directory: &Path) -> Option<PathBuf> {
        let is_package = |path: &&Path| {
            let code = self.files.place(&path.join("__init__.py"));
            code.is_ok_and(|(_, kind)| kind == PlaceKind::File)
        };
        let top = directory.ancestors().take_while(is_package).last()?;
        top.parent().map(Path::to_owned)
    }

    fn host(&self, packaged: Option<PathBuf>) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Host::new(self.python.clone(), self.files.clone()));
        hosts.entry(packaged).or_insert_with(new).clone()
    }
}

impl ForeignMirrors for PythonKinds {
    fn mirror(
        &self,
        kind: &str,
        origin: &KindOrigin,
        node: &Node,
        project: &Project,
    ) -> Option<Result<Box<dyn Mirror>, Diagnostic>> {
        let (directory, host) = self.find(kind, origin)?;
        let read = PythonMirror::read(host, kind, directory, node, project, &self.files);
        Some(read.map(|mirror| Box::new(mirror) as Box<dyn Mirror>))
    }
}
