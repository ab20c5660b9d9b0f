//! `git_module`: a submodule of a repository that an earlier source stages.

use crate::git_tag::TaggedRepository;
use crate::key;
use crate::reading::Reading;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};
use std::path::{Component, Path};

/// The kind.
pub(crate) struct GitModule;

#[derive(Clone)]
struct GitModuleSource {
    repository: TaggedRepository,
    /// Where the submodule is in its repository; never absolute.
    path: String,
}

impl SourceKind for GitModule {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<GitModuleSource, Diagnostic> {
    let repository = TaggedRepository::read(reading, &["path"])?;
    let path = reading.node.get_str("path")?;
    let path = if path.starts_with('/') { relative_to_root(path) } else { path.to_owned() };
    Ok(GitModuleSource { repository, path })
}

/// An absolute path as seen from the root: `.` for the root itself.
fn relative_to_root(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => names.extend(name.to_str()),
            Component::ParentDir => drop(names.pop()),
            _ => {}
        }
    }
    if names.is_empty() { ".".to_owned() } else { names.join("/") }
}

impl Source for GitModuleSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let path = (!self.path.is_empty()).then(|| key::object([("path", (*self.path).into())]));
        Ok(self.repository.key(path.into_iter().collect()))
    }

    fn is_resolved(&self) -> bool {
        self.repository.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        self.repository.reference()
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let repository = self.repository.with_reference(reference)?;
        Ok(Box::new(GitModuleSource { repository, ..self.clone() }))
    }

    fn previous(&self) -> Previous {
        Previous { track: true, ..Previous::default() }
    }

    fn is_fetched(&self, _: &Path) -> Result<bool, SourceError> {
        Err(self.repository.declared.later("looked up"))
    }

    fn track(&self, _: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        Err(self.repository.declared.later("tracked"))
    }

    fn fetch(&self, _: &FetchContext<'_>) -> Result<(), SourceError> {
        Err(self.repository.declared.later("fetched"))
    }

    fn stage(&self, _: &StageContext<'_>) -> Result<Digest, SourceError> {
        Err(self.repository.declared.later("staged"))
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        Ok(Some(vec![self.repository.provenance()]))
    }
}
