//! `workspace`: an open workspace; the loader puts it in the place of an element's sources.

use crate::declared::{Declared, Origin};
use crate::own::{Own, OwnFiles};
use crate::reading::Reading;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};
use std::path::{Path, PathBuf};

/// The kind.
pub(crate) struct Workspace;

#[derive(Clone)]
struct WorkspaceSource {
    declared: Declared,
    path: String,
    full_path: PathBuf,
}

impl SourceKind for Workspace {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(Own(read(&Reading::new(declaration, context))?)))
    }
}

fn read(reading: &Reading<'_>) -> Result<WorkspaceSource, Diagnostic> {
    reading.node.validate_keys(&["path", "last_build", "kind"])?;
    let path = reading.node.get_str("path")?.to_owned();
    let full_path = PathBuf::from(&path);
    Ok(WorkspaceSource { declared: reading.declared(), path, full_path })
}

impl OwnFiles for WorkspaceSource {
    fn unique_key(&self, local: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(local.tree(&self.full_path, FileTimes::Kept)?.hex().into())
    }

    fn is_there(&self) -> bool {
        self.full_path.exists()
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        crate::local::import(context.cas, &self.full_path, FileTimes::Kept)
    }

    fn refuses_workspace(&self, directory: &Path) -> Option<SourceError> {
        let message =
            format!("{} is a workspace already; {} cannot be opened on it", self.path, directory.display());
        Some(SourceError::new(message))
    }

    fn provenance(
        &self,
        context: &ProvenanceContext<'_>,
    ) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        let digest = context.local.tree(&self.full_path, FileTimes::Kept)?.to_string();
        let mut origin = Origin::local(&self.path, "cas-digest", &digest);
        origin.medium = "workspace";
        Ok(Some(vec![self.declared.provenance(origin)]))
    }

    fn local_path(&self) -> Option<&Path> {
        Some(&self.full_path)
    }
}
