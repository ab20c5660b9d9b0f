//! Where the read-only parts of a root come from.

use crate::loader;
use crate::orders::{Holds, Stack};
use crate::root::c_path;
use bourn_cas::{LayerKind, LayerStack, Store};
use bourn_reapi::Digest;
use bourn_reapi::services::ServiceResult;
use std::ffi::CStr;
use std::path::{Path, PathBuf};

/// Where the kernel asks what is in a served tree.
pub(crate) const DEVICE: &CStr = c"/dev/fuse";

/// Laying out so many entries takes half a second, on a busy disk a second or two; larger trees are served.
pub(crate) const LAID_OUT: u64 = 30_000;

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
    /// Trees are served when laying them out took more entries than this. `None` where that does not work.
    pub(crate) served: Option<u64>,
}

/// Where the read-only parts of one root come from.
pub(crate) enum Source {
    /// Layers that are laid out.
    Layers(LayerStack),
    /// A tree that is served, and the directory with the content of its files.
    Served(Digest, PathBuf),
}

impl Source {
    /// The tree that has to be served.
    pub(crate) fn served(&self) -> Option<Digest> {
        match self {
            Source::Layers(_) => None,
            Source::Served(tree, _) => Some(*tree),
        }
    }
}

/// What a tree is needed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// It is seen as it is.
    Seen,
    /// It is below a private layer that receives what is written.
    Below,
}

impl Layers<'_> {
    /// What shows `tree`; some of `prefixes` may already be laid out.
    pub(crate) fn source(&self, tree: &Digest, prefixes: &[Digest], need: Use) -> ServiceResult<Source> {
        let stacked = self.overlays != Overlays::Never;
        let support = self.store.layer_support()?;
        let kind = match self.kind.unwrap_or(support.kind) {
            // They mean nothing without an overlay, and the kernels that want layers named in one text know no stubs.
            LayerKind::Stub if self.overlays == Overlays::Appended => LayerKind::Stub,
            LayerKind::Stub if support.reflinks => LayerKind::Reflink,
            LayerKind::Stub => LayerKind::Copy,
            other => other,
        };
        if let Some(most) = self.served.filter(|_| kind == LayerKind::Stub)
            && !self.store.is_laid_out_soon(tree, prefixes, most)?
            // With a disk above it, the overlay makes the numbers of its files larger than 32 bits.
            && !(need == Use::Below && loader::has_small_programs(self.store, tree)?)
        {
            return Ok(Source::Served(*tree, self.store.serve(tree)?.to_owned()));
        }
        self.store.layer_of(kind, stacked, tree, prefixes).map(Source::Layers)
    }
}

/// The layers as the kernel is told about them; they are put together on `attach`.
pub(crate) fn told(source: &Source, attach: &Path, overlays: Overlays) -> ServiceResult<Stack> {
    let layer = |layer: &bourn_cas::Layer| {
        Ok((c_path(&layer.path)?, if layer.refers { Holds::Stubs } else { Holds::Files }))
    };
    let (layers, content) = match source {
        Source::Layers(stack) => {
            (stack.layers.iter().map(layer).collect::<ServiceResult<_>>()?, stack.content.as_deref())
        }
        Source::Served(_, content) => (vec![(DEVICE.into(), Holds::Answers)], Some(content.as_path())),
    };
    Ok(Stack {
        layers,
        content: content.map(c_path).transpose()?,
        attach: c_path(attach)?,
        joined: overlays == Overlays::Joined,
    })
}
