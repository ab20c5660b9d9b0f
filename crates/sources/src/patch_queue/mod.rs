//! `patch_queue`: all patches of a directory of the project, applied with `git apply` in order of their names.

use crate::declared::{Declared, Origin};
use crate::download::activity;
use crate::host::{Tool, change_previous};
use crate::own::{Own, OwnFiles};
use crate::reading::{PathKind, Reading};
use crate::release::Release;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::look::Name;
use bourn_yaml::{Diagnostic, Diagnostics, Files};
use std::io;
use std::path::{Path, PathBuf};

/// The kind.
pub(crate) struct PatchQueue;

#[derive(Clone)]
struct PatchQueueSource {
    declared: Declared,
    /// As written.
    path: String,
    full_path: PathBuf,
}

impl SourceKind for PatchQueue {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(Own(read(&Reading::new(declaration, context))?)))
    }
}

fn read(reading: &Reading<'_>) -> Result<PatchQueueSource, Diagnostic> {
    // Before 2.1 there may be a `strip`, which nothing reads.
    let strip = reading.declared().release < Release(2, 1, 0);
    reading.keys(if strip { &["path", "strip"] } else { &["path"] })?;
    let (path, full_path) = reading.project_path("path", PathKind::Directory)?;
    Ok(PatchQueueSource { declared: reading.declared(), path, full_path })
}

impl PatchQueueSource {
    /// The patches, in order.
    fn patches(&self, names: io::Result<Vec<Name>>) -> Result<Vec<PathBuf>, SourceError> {
        let unreadable = |error| crate::tree::unreadable(&self.full_path, &error);
        Ok(names.map_err(unreadable)?.iter().map(|(name, _)| self.full_path.join(name)).collect())
    }

    fn apply(&self, patch: &Path, tree: &Path, context: &StageContext<'_>) -> Result<(), SourceError> {
        let git = Tool::new("git", context).arg("-C").arg(tree).arg("--git-dir").arg(tree.join(".git"));
        let apply = git.arg("--work-tree").arg(tree).arg("apply").arg(patch);
        apply.run(|| format!("Failed to apply patches from {}", self.path)).map(drop)
    }
}

impl OwnFiles for PatchQueueSource {
    const CHANGES_PREVIOUS: bool = true;

    fn unique_key(&self, local: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let sums = self
            .patches(local.names(&self.full_path))?
            .into_iter()
            .map(|path| Ok(KeyValue::from(local.file(&path)?.hex())));
        Ok(KeyValue::List(sums.collect::<Result<_, SourceError>>()?))
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        activity(context.progress, &format!("Applying patch queue: {}", self.path), || {
            change_previous(context, &self.declared.kind, |tree| {
                self.patches(Files::default().names(&self.full_path))?
                    .iter()
                    .try_for_each(|patch| self.apply(patch, tree, context))
            })
        })
    }

    fn provenance(
        &self,
        context: &ProvenanceContext<'_>,
    ) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        let told = self.patches(context.local.names(&self.full_path))?.into_iter().map(|path| {
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let sha256 = context.local.file(&path)?.hex();
            let url = crate::url::join(&self.path, &name);
            Ok(self.declared.provenance(Origin::local(&url, "sha256", &sha256)))
        });
        Ok(self.declared.told(told.collect::<Result<_, SourceError>>()?))
    }
}
