//! `patch`: a patch of the project, applied with the host's `patch`.

use crate::declared::{Declared, Origin};
use crate::download::activity;
use crate::host::{Tool, change_previous};
use crate::own::{Own, OwnFiles};
use crate::reading::{PathKind, Reading};
use crate::release::Release;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};
use std::path::PathBuf;

/// The kind.
pub(crate) struct Patch;

#[derive(Clone)]
struct PatchSource {
    declared: Declared,
    /// As written.
    path: String,
    full_path: PathBuf,
    /// How many leading components of file names in the patch are dropped.
    strip_level: i32,
}

impl SourceKind for Patch {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(Own(read(&Reading::new(declaration, context))?)))
    }
}

fn read(reading: &Reading<'_>) -> Result<PatchSource, Diagnostic> {
    reading.keys(&["path", "strip-level"])?;
    let (path, full_path) = reading.project_path("path", PathKind::File)?;
    let strip_level = reading.node.opt_int("strip-level")?.unwrap_or(1);
    Ok(PatchSource { declared: reading.declared(), path, full_path, strip_level })
}

impl OwnFiles for PatchSource {
    const CHANGES_PREVIOUS: bool = true;

    fn unique_key(&self, local: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let sha256 = local.file(&self.full_path)?.hex();
        let strip_level = KeyValue::Integer(i64::from(self.strip_level));
        Ok(KeyValue::List(vec![(*self.path).into(), (*sha256).into(), strip_level]))
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        activity(context.progress, &format!("Applying local patch: {}", self.path), || {
            if context.previous.is_none_or(|previous| previous == Digest::empty()) {
                let message = "Nothing to patch: no source before this one put anything here";
                return Err(SourceError::new(message).reason("patch-no-files"));
            }
            change_previous(context, &self.declared.kind, |tree| {
                let patch = Tool::new("patch", context).arg(format!("-p{}", self.strip_level));
                let patch = patch.arg("-i").arg(&self.full_path).arg("-d").arg(tree);
                patch.run(|| format!("Failed to apply patch {}", self.path)).map(drop)
            })
        })
    }

    fn provenance(
        &self,
        context: &ProvenanceContext<'_>,
    ) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        if self.declared.release < Release(2, 5, 0) {
            return Ok(None);
        }
        let sha256 = context.local.file(&self.full_path)?.hex();
        Ok(Some(vec![self.declared.provenance(Origin::local(&self.path, "sha256", &sha256))]))
    }
}
