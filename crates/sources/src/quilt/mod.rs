//! `quilt`: the quilt series that earlier sources brought, applied with the host's `quilt`.

use crate::declared::Declared;
use crate::download::activity;
use crate::host::{Tool, change_previous};
use crate::key;
use crate::own::{Own, OwnFiles};
use crate::reading::Reading;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};

/// The kind.
pub(crate) struct Quilt;

#[derive(Clone)]
struct QuiltSource {
    declared: Declared,
    /// Directory of the series, in what is staged.
    path: String,
}

impl SourceKind for Quilt {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(Own(read(&Reading::new(declaration, context))?)))
    }
}

/// The reference looks at no other key, so that none is refused.
fn read(reading: &Reading<'_>) -> Result<QuiltSource, Diagnostic> {
    let path = reading.node.opt_str("path")?.unwrap_or("").to_owned();
    Ok(QuiltSource { declared: reading.declared(), path })
}

impl OwnFiles for QuiltSource {
    const CHANGES_PREVIOUS: bool = true;

    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(key::texts(&[&self.path]))
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        activity(context.progress, &format!("quilt: Applying patches: {}", self.path), || {
            change_previous(context, &self.declared.kind, |tree| {
                let series = tree.join(&self.path);
                if !series.is_dir() {
                    let message = format!("No source before this one staged the directory '{}'", self.path);
                    return Err(SourceError::new(message).reason("no-dir-found"));
                }
                // The reference leaves nothing else in the environment; quilt then takes its own defaults.
                let quilt = Tool::new("quilt", context).args(["push", "-a"]).within(tree);
                let quilt = quilt.env("QUILT_PATCHES", &self.path).env("QUILTRC", "/dev/null");
                quilt.run(|| "Error occurred while calling quilt push -a".to_owned()).map(drop)
            })
        })
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        Ok(None)
    }
}
