//! Where the read-only parts of a root come from.

use crate::orders::Stack;
use crate::root::c_path;
use bourn_cas::{LayerKind, LayerStack, Store};
use bourn_reapi::Digest;
use bourn_reapi::services::ServiceResult;
use std::path::Path;

/// How overlays are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlays {
    /// The layers are named one by one (`lowerdir+`, since Linux 6.7).
    Appended,
    /// The layers are named in one text (`lowerdir`, on every kernel).
    Joined,
    /// Not at all. Without them a tree is one directory.
    Never,
}

impl Overlays {
    /// How this kernel wants it. Kernels before 6.5 take a parameter that they do not know and refuse to mount later,
    /// with an error that says nothing, so they are not asked.
    pub(crate) fn of_this_kernel() -> Overlays {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let mut numbers =
            release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
        match (numbers.next().unwrap_or(0_u32), numbers.next().unwrap_or(0_u32)) >= (6, 7) {
            true => Overlays::Appended,
            false => Overlays::Joined,
        }
    }
}

/// Takes layers from a store.
pub(crate) struct Layers<'a> {
    /// The store.
    pub(crate) store: &'a Store,
    /// How this machine mounts overlays.
    pub(crate) overlays: Overlays,
    /// Which kind of layers, when it is not to be the best that works.
    pub(crate) kind: Option<LayerKind>,
}

impl Layers<'_> {
    /// The layers that show `tree`; some of `prefixes` may already be laid out.
    pub(crate) fn stack(&self, tree: &Digest, prefixes: &[Digest]) -> ServiceResult<LayerStack> {
        let stacked = self.overlays != Overlays::Never;
        let support = self.store.layer_support()?;
        let kind = match self.kind.unwrap_or(support.kind) {
            // They mean nothing without an overlay, and the kernels that want layers named in one text know no stubs.
            LayerKind::Stub if self.overlays == Overlays::Appended => LayerKind::Stub,
            LayerKind::Stub if support.reflinks => LayerKind::Reflink,
            LayerKind::Stub => LayerKind::Copy,
            other => other,
        };
        self.store.layer_of(kind, stacked, tree, prefixes)
    }
}

/// The layers as the kernel is told about them; they are put together on `attach`.
pub(crate) fn told(stack: &LayerStack, attach: &Path, overlays: Overlays) -> ServiceResult<Stack> {
    let layer = |layer: &bourn_cas::Layer| Ok((c_path(&layer.path)?, layer.refers));
    Ok(Stack {
        layers: stack.layers.iter().map(layer).collect::<ServiceResult<_>>()?,
        content: stack.content.as_deref().map(c_path).transpose()?,
        attach: c_path(attach)?,
        joined: overlays == Overlays::Joined,
    })
}
