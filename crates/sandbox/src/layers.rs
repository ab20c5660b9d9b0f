//! Where the read-only parts of a root come from.

use crate::orders::Stack;
use crate::root::c_path;
use bourn_cas::{LayerKind, LayerStack, Store};
use bourn_reapi::Digest;
use bourn_reapi::services::ServiceResult;
use std::path::Path;

/// Takes layers from a store.
pub(crate) struct Layers<'a> {
    /// The store.
    pub(crate) store: &'a Store,
    /// Whether this machine can mount overlays. Without them a tree is one directory.
    pub(crate) overlaid: bool,
}

impl Layers<'_> {
    /// The layers that show `tree`; some of `prefixes` may already be laid out.
    pub(crate) fn stack(&self, tree: &Digest, prefixes: &[Digest]) -> ServiceResult<LayerStack> {
        if self.overlaid {
            return self.store.layer(tree, prefixes);
        }
        let kind = match self.store.layer_support()?.kind {
            LayerKind::Stub => LayerKind::Copy,
            other => other,
        };
        self.store.layer_of(kind, false, tree, prefixes)
    }
}

/// The layers as the kernel is told about them; they are put together on `attach`.
pub(crate) fn told(stack: &LayerStack, attach: &Path) -> ServiceResult<Stack> {
    let layer = |layer: &bourn_cas::Layer| Ok((c_path(&layer.path)?, layer.refers));
    Ok(Stack {
        layers: stack.layers.iter().map(layer).collect::<ServiceResult<_>>()?,
        content: stack.content.as_deref().map(c_path).transpose()?,
        attach: c_path(attach)?,
    })
}
