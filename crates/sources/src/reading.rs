//! Reading the configuration of a source: keys, URLs and paths, each checked as bst checks it.

use crate::declared::Declared;
use crate::release::Release;
use crate::version::VersionGuess;
use bourn_plan::{SourceContext, UrlError, Warning, Weight};
use bourn_project::SourceDeclaration;
use bourn_yaml::look::PlaceKind;
use bourn_yaml::{Diagnostic, Domain, Node};
use std::path::{Component, Path, PathBuf};

/// Keys that every source may have.
const COMMON: [&str; 3] = ["kind", "directory", "provenance"];

/// A declaration being read.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) node: &'a Node,
    pub(crate) declaration: &'a SourceDeclaration,
    pub(crate) context: &'a SourceContext<'a>,
}

/// What a path of the project must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathKind {
    /// A file or a directory.
    Any,
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(declaration: &'a SourceDeclaration, context: &'a SourceContext<'a>) -> Reading<'a> {
        Reading { node: &declaration.config, declaration, context }
    }

    /// What every source keeps of its declaration.
    pub(crate) fn declared(&self) -> Declared {
        Declared {
            kind: self.declaration.kind.clone(),
            provenance: self.declaration.provenance.clone(),
            release: Release::of(&self.declaration.origin),
        }
    }

    /// Checks that there are no other keys than these and the common ones.
    pub(crate) fn keys(&self, own: &[&str]) -> Result<(), Diagnostic> {
        let valid: Vec<&str> = own.iter().chain(&COMMON).copied().collect();
        self.node.validate_keys(&valid)
    }

    /// Checks the same of one of the community's kinds that guess versions, which they do since 2.1.
    pub(crate) fn keys_and_version(&self, own: &[&str]) -> Result<(), Diagnostic> {
        if Release::of(&self.declaration.origin) < Release(2, 1, 0) {
            return self.keys(own);
        }
        self.keys(&own.iter().chain(&VersionGuess::KEYS).copied().collect::<Vec<_>>())
    }

    /// An error about this source.
    pub(crate) fn error(&self, reason: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Domain::Source, reason, message).at(self.declaration.at)
    }

    /// A warning about this source.
    pub(crate) fn warn(
        &self,
        token: Option<&'static str>,
        message: impl Into<String>,
    ) -> Result<(), Diagnostic> {
        let weight = Weight::Warning;
        let warning = Warning {
            weight,
            token,
            message: message.into(),
            detail: None,
            at: self.declaration.at,
            speaker: None,
        };
        self.context.warnings.raise(self.context.project, warning)
    }

    /// Checks the alias of a URL; warns when it has none.
    pub(crate) fn mark(&self, url: &str) -> Result<(), Diagnostic> {
        match self.context.urls.check(url).map_err(|error| self.url_error(error))? {
            Some(_) => Ok(()),
            None => self.warn(Some("unaliased-url"), format!("Use of unaliased source download URL: {url}")),
        }
    }

    /// Checks the alias of a URL and answers what it stands for.
    pub(crate) fn translate(&self, url: &str) -> Result<String, Diagnostic> {
        self.mark(url)?;
        self.context.urls.translate(url).map_err(|error| self.url_error(error))
    }

    fn url_error(&self, error: UrlError) -> Diagnostic {
        let diagnostic = self.error(error.reason, error.message);
        match error.detail {
            Some(detail) => diagnostic.detail(detail),
            None => diagnostic,
        }
    }

    /// A path of the project, as written and in full.
    pub(crate) fn project_path(&self, key: &str, kind: PathKind) -> Result<(String, PathBuf), Diagnostic> {
        self.path_of(self.node.get_scalar(key)?, kind)
    }

    /// The path that a scalar names.
    pub(crate) fn path_of(&self, node: &Node, kind: PathKind) -> Result<(String, PathBuf), Diagnostic> {
        let text = node.as_str()?;
        let refuse =
            |code, why: &str| Diagnostic::load(code, format!("Specified path '{text}' {why}")).at(node.at);
        let path = Path::new(text);
        let directory = &self.context.project.directory;
        let full = directory.join(path);
        if full.is_symlink() {
            return Err(refuse("proj-path-invalid-kind", "must not point to symbolic links"));
        }
        if path.components().next() == Some(Component::ParentDir) {
            return Err(refuse("proj-path-invalid", "first component must not be '..'"));
        }
        let Ok((resolved, found)) = self.context.local.place(&full) else {
            return Err(refuse("missing-file", "does not exist"));
        };
        let root = directory.canonicalize().unwrap_or_else(|_| directory.clone());
        if !resolved.starts_with(&root) {
            return Err(refuse("proj-path-invalid", "must not lead outside of the project directory"));
        }
        if path.is_absolute() {
            let hint = "give the path relative to the directory of project.conf";
            return Err(refuse("proj-path-invalid", "is absolute").hint(hint));
        }
        check_kind(found, kind).map_err(|why| refuse("proj-path-invalid-kind", why))?;
        Ok((text.to_owned(), full))
    }
}

fn check_kind(found: PlaceKind, kind: PathKind) -> Result<(), &'static str> {
    match (kind, found) {
        (_, PlaceKind::Other) => Err("points to an unsupported file kind"),
        (PathKind::File, PlaceKind::Directory) => Err("is not a regular file"),
        (PathKind::Directory, PlaceKind::File) => Err("is not a directory"),
        _ => Ok(()),
    }
}
