//! `git_module`: a submodule of a repository that an earlier source stages.

use crate::declared::reference;
use crate::download::activity;
use crate::git_tag::TaggedRepository;
use crate::host::export_previous;
use crate::key;
use crate::reading::Reading;
use crate::repository::git;
use crate::scratch::workspace;
use crate::trees;
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

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        self.repository.is_fetched(source_directory)
    }

    /// The commit that the staged repository names for the path.
    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let scratch = workspace(context, &self.repository.declared.kind)?;
        let tree = scratch.path().join("tree");
        export_previous(context, &tree)?;
        let entry = git(context).arg("-C").arg(&tree).args(["ls-tree", "HEAD", "--", &self.path]);
        let entry =
            entry.run(|| format!("Failed to look up the submodule {} in the staged sources", self.path))?;
        let text = entry.text();
        let mut words = text.split_whitespace().skip(1);
        match (words.next(), words.next()) {
            (Some("commit"), Some(commit)) => Ok(Some(reference("ref", commit))),
            _ => {
                let message = format!("Could not find submodule at path {}", self.path);
                Err(SourceError::new(message)
                    .hint("a source before this one has to stage the repository with its .git"))
            }
        }
    }

    fn upstreams(&self, _: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        Ok(Some(vec![self.repository.remote()?]))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        self.repository.fetch(context)
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        activity(context.progress, &format!("Staging {}", self.repository.original_url), || {
            let staged = trees::Entry::Directory(self.repository.stage(context)?);
            trees::put(context.cas, &Digest::empty(), &self.path, staged)
        })
    }

    fn init_workspace(&self, directory: &Path, context: &StageContext<'_>) -> Result<(), SourceError> {
        self.repository.init_workspace(&directory.join(&self.path), context)
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        Ok(self.repository.declared.told(vec![self.repository.provenance()]))
    }
}
