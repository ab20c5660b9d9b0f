//! A load in progress.

use crate::conf::Open;
use crate::element::Found;
use crate::load::{JunctionNeed, LoadOptions};
use crate::read::{Ahead, Parsed, read};
use bourn_yaml::{Diagnostic, Diagnostics, Files, Node};
use foldhash::{HashMap, HashMapExt};
use rayon::Scope;
use std::path::{Path, PathBuf};

/// Why something could not be loaded.
pub(crate) enum Stop {
    /// What is wrong; not reported yet.
    Wrong(Vec<Diagnostic>),
    /// It was reported before, or a junction has to be staged first.
    Known,
}

/// An attempt to load something.
pub(crate) type Attempt<T> = Result<T, Stop>;

impl From<Diagnostic> for Stop {
    fn from(one: Diagnostic) -> Stop {
        Stop::Wrong(vec![one])
    }
}

impl From<Diagnostics> for Stop {
    fn from(several: Diagnostics) -> Stop {
        Stop::Wrong(several.0)
    }
}

impl From<Vec<Diagnostic>> for Stop {
    fn from(several: Vec<Diagnostic>) -> Stop {
        Stop::Wrong(several)
    }
}

/// Index of an open project.
pub(crate) type ProjectIndex = usize;

/// Index of a found element.
pub(crate) type ElementIndex = usize;

/// A load in progress. Projects and elements are never removed; their indices are their names.
pub(crate) struct Session<'c, 's> {
    pub(crate) files: &'c Files,
    pub(crate) options: &'c LoadOptions<'c>,
    pub(crate) ahead: &'s Ahead<'s>,
    pub(crate) scope: &'c Scope<'s>,
    /// The values that every project.conf is composed onto.
    pub(crate) defaults: Node,
    pub(crate) projects: Vec<Open>,
    pub(crate) elements: Vec<Found>,
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
    pub(crate) needs: Vec<JunctionNeed>,
    /// Python packages that directories of plugins belong to.
    pub(crate) packages: HashMap<PathBuf, Option<(String, String)>>,
}

impl<'c, 's> Session<'c, 's> {
    pub(crate) fn new(
        files: &'c Files,
        options: &'c LoadOptions<'c>,
        ahead: &'s Ahead<'s>,
        scope: &'c Scope<'s>,
        defaults: Node,
    ) -> Session<'c, 's> {
        Session {
            files,
            options,
            ahead,
            scope,
            defaults,
            projects: Vec::new(),
            elements: Vec::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
            needs: Vec::new(),
            packages: HashMap::new(),
        }
    }

    /// Keeps what stopped an attempt and goes on; an error that is known already is kept once.
    pub(crate) fn report(&mut self, stop: Stop) {
        let Stop::Wrong(wrong) = stop else { return };
        for new in wrong {
            let known = self
                .errors
                .iter()
                .any(|old| old.at == new.at && old.code == new.code && old.message == new.message);
            if !known {
                self.errors.push(new);
            }
        }
    }

    /// Reads a file of a project that is no element.
    pub(crate) fn read(
        &self,
        project: Option<ProjectIndex>,
        path: &Path,
        display: &str,
    ) -> Result<Parsed, Diagnostics> {
        let junction = project.and_then(|project| self.projects[project].junction.as_ref());
        read(self.files, path, display, junction.map(|junction| junction.name.as_str()))
    }

    /// `FILE [line L column C]: `, or nothing for what stands in no file.
    pub(crate) fn place(&self, at: Option<bourn_yaml::Provenance>) -> String {
        at.and_then(|at| self.files.position(at)).map_or_else(String::new, |position| position.to_string())
    }
}
