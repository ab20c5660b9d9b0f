//! Where the read-only parts of a root come from.

use crate::root::c_path;
use bourn_reapi::services::{ExportOptions, ServiceResult};
use bourn_reapi::{Cas, Digest};
use std::ffi::CString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Directories that show a tree when they are mounted one upon the other.
#[derive(Default)]
pub(crate) struct Stack {
    /// The layers, uppermost first.
    layers: Vec<PathBuf>,
    /// Directories that hold file content that layers refer to by path.
    content: Vec<PathBuf>,
}

impl Stack {
    /// The layers as the kernel takes them.
    pub(crate) fn layers(&self) -> ServiceResult<Vec<CString>> {
        self.layers.iter().map(|path| c_path(path)).collect()
    }

    /// The directories with content as the kernel takes them.
    pub(crate) fn content(&self) -> ServiceResult<Vec<CString>> {
        self.content.iter().map(|path| c_path(path)).collect()
    }
}

/// Makes layers of trees.
pub(crate) trait Layers {
    /// The layers that show `tree`; some of `prefixes` may already be laid out.
    fn stack(&self, tree: &Digest, prefixes: &[Digest]) -> ServiceResult<Stack>;

    /// Whether this machine can put an upper layer upon them.
    fn overlaid(&self) -> bool;
}

/// Layers that are exported once and kept.
pub(crate) struct Exported<'a> {
    /// Where trees come from.
    pub(crate) cas: &'a Arc<dyn Cas>,
    /// Where they are kept.
    pub(crate) directory: PathBuf,
    /// Whether there is an overlay.
    pub(crate) overlaid: bool,
}

impl Layers for Exported<'_> {
    fn stack(&self, tree: &Digest, _prefixes: &[Digest]) -> ServiceResult<Stack> {
        // Whoever comes second waits until the layer is whole.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.directory.join(tree.hex());
        if !path.exists() {
            static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
            let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let temporary = self.directory.join(format!("{}-{number}.part", std::process::id()));
            std::fs::create_dir_all(&temporary).map_err(|e| bourn_reapi::ServiceError::io(&e, "cannot create", &path))?;
            if *tree != Digest::empty() {
                self.cas.export_tree(tree, &temporary, &ExportOptions { merge: true, staged: true, ..ExportOptions::default() })?;
            }
            if std::fs::rename(&temporary, &path).is_err() {
                let _ = crate::scratch::remove(&temporary);
            }
        }
        Ok(Stack { layers: vec![path], content: Vec::new() })
    }

    fn overlaid(&self) -> bool {
        self.overlaid
    }
}
