//! `local`: a file or directory of the project.

use crate::declared::{Declared, Origin};
use crate::own::{Own, OwnFiles};
use crate::reading::{PathKind, Reading};
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::services::ImportOptions;
use bourn_reapi::{Cas, Digest, Directory, FileNode};
use bourn_yaml::{Diagnostic, Diagnostics};
use std::path::{Path, PathBuf};

/// The kind.
pub(crate) struct Local;

#[derive(Clone)]
struct LocalSource {
    declared: Declared,
    /// As written.
    path: String,
    full_path: PathBuf,
}

impl SourceKind for Local {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(Own(read(&Reading::new(declaration, context))?)))
    }
}

fn read(reading: &Reading<'_>) -> Result<LocalSource, Diagnostic> {
    reading.keys(&["path"])?;
    let (path, full_path) = reading.project_path("path", PathKind::Any)?;
    Ok(LocalSource { declared: reading.declared(), path, full_path })
}

impl OwnFiles for LocalSource {
    fn unique_key(&self, local: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(local.tree(&self.full_path, FileTimes::Dropped)?.hex().into())
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        import(context.cas, &self.full_path, FileTimes::Dropped)
    }

    fn provenance(
        &self,
        context: &ProvenanceContext<'_>,
    ) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        let digest = context.local.tree(&self.full_path, FileTimes::Dropped)?.to_string();
        Ok(Some(vec![self.declared.provenance(Origin::local(&self.path, "cas-digest", &digest))]))
    }

    fn local_path(&self) -> Option<&Path> {
        Some(&self.full_path)
    }
}

/// Stores a directory, or a directory that holds just the file at `path`.
pub(crate) fn import(cas: &dyn Cas, path: &Path, times: FileTimes) -> Result<Digest, SourceError> {
    let found = path.metadata().map_err(|error| crate::tree::unreadable(path, &error))?;
    if found.is_dir() {
        let options = ImportOptions { record_mtime: times == FileTimes::Kept, ..ImportOptions::default() };
        return Ok(cas.import_tree(path, &options)?);
    }
    let file = FileNode { is_executable: crate::tree::is_executable(path), ..cas.import_file(path)? };
    Ok(cas.write_directory(&Directory { files: vec![file], ..Directory::default() })?)
}
