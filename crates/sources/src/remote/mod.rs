//! `remote`: a file as it is.

use crate::download::Download;
use crate::downloaded::{Content, Downloaded};
use crate::reading::Reading;
use crate::url::basename;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::{Digest, Directory, FileNode};
use bourn_yaml::{Diagnostic, Diagnostics};

/// The kind.
pub(crate) struct Remote;

/// How the file is staged.
#[derive(Clone, Default)]
struct AsItIs {
    /// Its name.
    file_name: String,
    /// Whether it may be executed.
    executable: bool,
}

impl SourceKind for Remote {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Downloaded::configure(&Reading::new(declaration, context), AsItIs::default())
    }
}

impl Content for AsItIs {
    const KEYS: &[&str] = &["filename", "executable"];

    fn read(self, reading: &Reading<'_>, download: &Download) -> Result<AsItIs, Diagnostic> {
        let file_name = reading.node.opt_str("filename")?.unwrap_or(basename(&download.url)).to_owned();
        let executable = reading.node.opt_bool("executable")?.unwrap_or(false);
        if file_name.contains('/') {
            let message = "filename parameter cannot contain directories";
            return Err(reading.error("filename-contains-directory", message));
        }
        Ok(AsItIs { file_name, executable })
    }

    fn key(&self) -> Vec<KeyValue> {
        vec![(*self.file_name).into(), KeyValue::Bool(self.executable)]
    }

    fn stage(&self, download: &Download, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let content = download.file().open(context)?;
        let digest = context.cas.write_from(&mut { content })?;
        let file = FileNode {
            name: self.file_name.clone(),
            digest: Some(digest.into()),
            is_executable: self.executable,
            node_properties: None,
        };
        Ok(context.cas.write_directory(&Directory { files: vec![file], ..Directory::default() })?)
    }
}
