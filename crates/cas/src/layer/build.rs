//! Making a layer and publishing it.

use crate::layer::LayerKind;
use crate::layer::describe::Described;
use crate::layer::difference::{Comparison, Level};
use crate::layer::stack::{HEIGHT, Layers};
use crate::layer::verify::Check;
use crate::layer::write::{Pen, Pieces};
use crate::mode::umask;
use crate::remove::remove_tree;
use crate::trouble::Doing;
use bourn_reapi::Digest;
use bourn_reapi::services::ServiceResult;
use rustix::io::Errno;
use std::path::Path;

/// In a layer upon others, smaller files are always copied: a stub would not be smaller.
const LARGE: u64 = 32 << 10;

/// Up to so many bytes of large files are copied too: that takes less time than one more mount.
const COPIED: u64 = 4 << 20;

/// Bytes that an entry takes on the disk beside its content: about an inode and a name.
const PER_ENTRY: u64 = 512;

/// Makes the layer of one tree.
pub(crate) struct Builder<'a> {
    pub(crate) layers: &'a Layers<'a>,
    pub(crate) tree: &'a Digest,
}

impl Builder<'_> {
    /// Makes the layer upon `base`, whose layers exist and are in use by the caller, and publishes it.
    pub(crate) fn build(&self, base: Option<&Digest>) -> ServiceResult<()> {
        let store = self.layers.store;
        let (level, entries) = self.difference(base)?;
        let height = match base {
            Some(base) => {
                1 + Described::read(&self.layers.path(base)).map_or(HEIGHT, |described| described.height)
            }
            None => 0,
        };
        let stubs_from = self.stubs_from(base, &level)?;
        let copied = level.bytes(store, 0)? - stubs_from.map_or(Ok(0), |from| level.bytes(store, from))?;
        let described = Described {
            tree: *self.tree,
            base: base.copied(),
            height,
            entries,
            bytes: copied + entries * PER_ENTRY,
            stubs_from,
            standing: store.standing(),
        };
        let draft = store.session()?.temporary("layer");
        let published = self.lay_out(&level, &described, &draft).and_then(|()| self.publish(&draft));
        if published.is_err() {
            let _ = remove_tree(&draft);
        }
        published
    }

    /// Whether everything that the layer should hold is in it, and has the right size.
    pub(crate) fn is_whole(&self, described: &Described) -> ServiceResult<bool> {
        let (level, _) = self.difference(described.base.as_ref())?;
        Check { store: self.layers.store, described, path: &self.layers.path(self.tree) }.level(&level, "")
    }

    fn difference(&self, base: Option<&Digest>) -> ServiceResult<(Level, u64)> {
        let store = self.layers.store;
        let mut comparison = Comparison { store, counts: &store.counts, budget: u64::MAX, roughly: false };
        let level = comparison.compare(base, self.tree)?.unwrap_or_default();
        Ok((level, u64::MAX - comparison.budget))
    }

    /// From which size on files are stubs.
    fn stubs_from(&self, base: Option<&Digest>, level: &Level) -> ServiceResult<Option<u64>> {
        let store = self.layers.store;
        if self.layers.kind != LayerKind::Stub {
            return Ok(None);
        }
        if base.is_none() {
            return Ok(Some(1));
        }
        let cheap = store.layer_support()?.reflinks || level.bytes(store, LARGE)? <= COPIED;
        Ok((!cheap).then_some(LARGE))
    }

    fn lay_out(&self, level: &Level, described: &Described, draft: &Path) -> ServiceResult<()> {
        std::fs::create_dir(draft).doing("cannot create", draft)?;
        let store = self.layers.store;
        let stubs =
            described.stubs_from.map(|from| store.content().map(|content| (from, content))).transpose()?;
        let (kind, entries) = (self.layers.kind, described.entries);
        let stop = self.layers.stop;
        let pen = Pen { store, stubs, kind, umask: umask(), pieces: Pieces::All, entries, stop };
        let parts: &[_] = match described.has_stubs_apart() {
            true => &[("tree", Pieces::ButStubs), ("stubs", Pieces::Stubs)],
            false => &[("tree", Pieces::All)],
        };
        for (name, pieces) in parts {
            let top = draft.join(name);
            std::fs::create_dir(&top).doing("cannot create", &top)?;
            Pen { pieces: *pieces, ..pen }.level(level, &top)?;
        }
        described.write(draft, &draft.join("layer.new"))
    }

    fn publish(&self, draft: &Path) -> ServiceResult<()> {
        let path = self.layers.path(self.tree);
        match rustix::fs::rename(draft, &path) {
            // Something that is no layer of this tree has its name: half of a hash in common, or leftovers.
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                self.layers.store.discard(&path)?;
                rustix::fs::rename(draft, &path).doing("cannot create", &path)
            }
            result => result.doing("cannot create", &path),
        }
    }
}
