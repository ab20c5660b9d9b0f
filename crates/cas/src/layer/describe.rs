//! What is known about the layers that exist.

use crate::trouble::Doing;
use bourn_reapi::Digest;
use bourn_reapi::services::ServiceResult;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// What the file `layer` beside the files of a layer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    /// The tree that it shows, upon its base.
    pub(crate) tree: Digest,
    /// The tree that it lies upon.
    pub(crate) base: Option<Digest>,
    /// Layers below it.
    pub(crate) height: u32,
    /// Entries that it holds itself.
    pub(crate) entries: u64,
    /// Bytes that it takes on the disk, about.
    pub(crate) bytes: u64,
    /// Files of this size or more are stubs, in a directory of their own when the layer has a base.
    pub(crate) stubs_from: Option<u64>,
    /// The [`Store::standing`](crate::Store) when it was made or last compared with its tree.
    pub(crate) standing: String,
}

/// The first line; another one is not for us.
const FORMAT: &str = "bourn layer 1";

impl Described {
    /// The name of the directory of a layer: half of the hash is enough to tell trees apart, and the whole one is in
    /// the description.
    pub(crate) fn name(tree: &Digest) -> String {
        let mut name = tree.hex();
        name.truncate(32);
        name
    }

    /// Whether stubs are in a directory of their own: only the lowest layer of a stack may hold them among others.
    pub(crate) fn has_stubs_apart(&self) -> bool {
        self.base.is_some() && self.stubs_from.is_some()
    }

    /// Reads the description of the layer in a directory; `None` when there is none that makes sense.
    pub(crate) fn read(directory: &Path) -> Option<Described> {
        let text = std::fs::read_to_string(directory.join("layer")).ok()?;
        let mut lines = text.lines();
        (lines.next()? == FORMAT).then_some(())?;
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ').map(str::to_owned);
        let tree = value("tree")?.parse().ok()?;
        let base = match value("base")?.as_str() {
            "none" => None,
            digest => Some(digest.parse().ok()?),
        };
        let (height, entries) = (value("height")?.parse().ok()?, value("entries")?.parse().ok()?);
        let bytes = value("bytes")?.parse().ok()?;
        let stubs_from = match value("stubs-from")?.as_str() {
            "none" => None,
            size => Some(size.parse().ok()?),
        };
        Some(Described { tree, base, height, entries, bytes, stubs_from, standing: value("standing")? })
    }

    /// Writes the description into a directory, by way of `draft`: a path that nobody else writes to, for others may
    /// describe the same layer at the same time.
    pub(crate) fn write(&self, directory: &Path, draft: &Path) -> ServiceResult<()> {
        let base = self.base.map_or_else(|| "none".to_owned(), |base| base.to_string());
        let stubs_from = self.stubs_from.map_or_else(|| "none".to_owned(), |size| size.to_string());
        let text = format!(
            "{FORMAT}\ntree {}\nbase {base}\nheight {}\nentries {}\nbytes {}\nstubs-from {stubs_from}\nstanding {}\n",
            self.tree, self.height, self.entries, self.bytes, self.standing
        );
        let path = directory.join("layer");
        std::fs::write(draft, text).doing("cannot write", draft)?;
        std::fs::rename(draft, &path).doing("cannot create", &path)
    }
}

/// The layers of one kind.
#[derive(Default)]
pub(crate) struct Descriptions {
    read: Mutex<HashMap<String, Arc<Described>>>,
}

impl Descriptions {
    /// Every layer of a kind, last used first.
    pub(crate) fn list(&self, root: &Path) -> ServiceResult<Vec<Arc<Described>>> {
        let mut found: Vec<(SystemTime, Arc<Described>)> = Vec::new();
        let entries = match std::fs::read_dir(root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).doing("cannot list", root),
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut still_there = HashMap::new();
        for entry in entries {
            let entry = entry.doing("cannot list", root)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let described = match read.remove(&name) {
                Some(described) => described,
                None => match Described::read(&entry.path()) {
                    Some(described) => Arc::new(described),
                    None => continue,
                },
            };
            if let Ok(used) = entry.metadata().and_then(|status| status.modified()) {
                found.push((used, described.clone()));
                still_there.insert(name, described);
            }
        }
        *read = still_there;
        found.sort_by_key(|(used, _)| std::cmp::Reverse(*used));
        Ok(found.into_iter().map(|(_, described)| described).collect())
    }
}

/// Says which boot of the machine this is; what was written before another one may have been lost.
pub(crate) fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
