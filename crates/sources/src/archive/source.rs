//! The source of kinds that download one archive and stage a directory of it: `tar`, `zip`, `deb`.

use super::{ArchiveResult, Scene};
use crate::download::Download;
use crate::downloaded::{Content, Downloaded};
use crate::reading::Reading;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::{Cas, Digest};
use bourn_yaml::{Diagnostic, Diagnostics};
use std::fs::File;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

/// How a kind takes its archive apart; the text is the `base-dir`, empty for all of the archive.
#[derive(Clone, Copy)]
pub(crate) enum Unpack {
    /// From its start to its end, so also while it is downloaded.
    Stream(fn(Box<dyn Read + Send>, &str, &dyn Cas) -> ArchiveResult<Scene>),
    /// With a look at its end first.
    File(fn(File, &str, &dyn Cas) -> ArchiveResult<Scene>),
}

/// How an archive is staged.
#[derive(Clone)]
struct Archive {
    /// Which directory of the archive is staged: a glob, or empty for all of it.
    base_dir: String,
    unpack: Unpack,
}

/// Reads the configuration of an archive: that of a download, and `base-dir`.
///
/// # Errors
/// Keys that are missing, wrong or unknown.
pub(crate) fn configure(
    declaration: &SourceDeclaration,
    context: &SourceContext<'_>,
    unpack: Unpack,
) -> Result<Box<dyn Source>, Diagnostics> {
    Downloaded::configure(&Reading::new(declaration, context), Archive { base_dir: "*".into(), unpack })
}

impl Content for Archive {
    const KEYS: &[&str] = &["base-dir"];

    fn read(self, reading: &Reading<'_>, _: &Download) -> Result<Archive, Diagnostic> {
        let base_dir = reading.node.opt_str("base-dir")?.map_or(self.base_dir, str::to_owned);
        Ok(Archive { base_dir, ..self })
    }

    fn key(&self) -> Vec<KeyValue> {
        vec![(*self.base_dir).into()]
    }

    fn stage(&self, download: &Download, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let file = download.file().open(context)?;
        let scene = match self.unpack {
            Unpack::Stream(unpack) => unpack(Box::new(file), &self.base_dir, context.cas),
            Unpack::File(unpack) => unpack(file, &self.base_dir, context.cas),
        };
        let tree = scene.and_then(|scene| scene.store(context.cas));
        tree.map_err(|error| error.staging(&download.url))
    }

    /// The content of files comes into the store while the archive is downloaded, where nothing refers to it; the
    /// tree follows when the archive has turned out to be the right one.
    fn fetch_and_stage(
        &self,
        download: &Download,
        context: &FetchContext<'_>,
    ) -> Result<Digest, SourceError> {
        let scene = Mutex::new(None);
        let keep = |made| *scene.lock().unwrap_or_else(PoisonError::into_inner) = made;
        let whole = match self.unpack {
            Unpack::Stream(unpack) => download.fetch_beside(context, &|pieces| {
                keep(unpack(Box::new(pieces), &self.base_dir, context.cas).ok());
            })?,
            Unpack::File(_) => download.fetch(context).map(|()| false)?,
        };
        match scene.into_inner().unwrap_or_else(PoisonError::into_inner).filter(|_| whole) {
            Some(scene) => scene.store(context.cas).map_err(|error| error.staging(&download.url)),
            // Also to say what is wrong with it.
            None => self.stage(download, context),
        }
    }
}
