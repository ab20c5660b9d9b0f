//! The file of a picture.

use bourn_reapi::Digest;
use bourn_sources::Local;
use bourn_yaml::Look;
use bourn_yaml::look::{PlaceKind, Stamp, Sum, sum_of};
use prost::Message;
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The first bytes of the file; another version is another format.
const MAGIC: &[u8] = b"bourn picture 3\n";

/// Most pictures kept; those that were written first go.
const MOST: usize = 64;

/// A picture as it is written.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Stored {
    /// When the load began: seconds and nanoseconds since the epoch.
    #[prost(uint64, tag = "1")]
    pub(crate) seconds: u64,
    #[prost(uint32, tag = "2")]
    pub(crate) nanos: u32,
    #[prost(message, repeated, tag = "3")]
    pub(crate) looks: Vec<StoredLook>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) locals: Vec<StoredLocal>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) warnings: Vec<StoredWarning>,
    /// Full names of all elements.
    #[prost(string, repeated, tag = "6")]
    pub(crate) names: Vec<String>,
    /// The elements to show, in order.
    #[prost(message, repeated, tag = "7")]
    pub(crate) elements: Vec<StoredElement>,
    /// The sum of the environment, where it was shown to somebody.
    #[prost(bytes = "vec", optional, tag = "8")]
    pub(crate) environment: Option<Vec<u8>>,
}

/// A [`Look`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredLook {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) path: Vec<u8>,
    /// 0: nothing, 1: file, 2: names, 3, 4 and 5: a place that is a file, a directory, or something else.
    #[prost(uint32, tag = "2")]
    pub(crate) what: u32,
    /// The stamp's numbers, in order.
    #[prost(uint64, repeated, tag = "3")]
    pub(crate) stamp: Vec<u64>,
    /// The sum; where a place is when that is not the path itself.
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) content: Vec<u8>,
}

/// A [`Local`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredLocal {
    #[prost(uint32, tag = "1")]
    pub(crate) kind: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) path: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) hash: Vec<u8>,
    #[prost(uint64, tag = "4")]
    pub(crate) size: u64,
}

/// A warning that loading raised.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredWarning {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
    #[prost(string, optional, tag = "2")]
    pub(crate) detail: Option<String>,
    /// Whether it is only worth knowing.
    #[prost(bool, tag = "3")]
    pub(crate) informs: bool,
    /// The element whose plugin said it.
    #[prost(string, optional, tag = "4")]
    pub(crate) speaker: Option<String>,
}

/// An element.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredElement {
    /// Its index in the names.
    #[prost(uint32, tag = "1")]
    pub(crate) name: u32,
    #[prost(string, tag = "2")]
    pub(crate) kind: String,
    /// On one line.
    #[prost(string, tag = "3")]
    pub(crate) description: String,
    /// The whole key as it is displayed.
    #[prost(string, tag = "4")]
    pub(crate) key: String,
    #[prost(bool, tag = "5")]
    pub(crate) strict: bool,
    /// Direct dependencies: index in the names times three, and 0 for building, 1 for running, 2 for both.
    #[prost(uint32, repeated, tag = "6")]
    pub(crate) dependencies: Vec<u32>,
    /// The long texts that were asked for, in the order of their symbols.
    #[prost(string, repeated, tag = "7")]
    pub(crate) texts: Vec<String>,
    /// The name of its artifact; empty while its key is not known.
    #[prost(string, tag = "8")]
    pub(crate) artifact: String,
    /// Whether all its sources have refs.
    #[prost(bool, tag = "9")]
    pub(crate) resolved: bool,
}

/// A stamp as it is written.
pub(crate) fn store_stamp(stamp: Stamp) -> Vec<u64> {
    let time = |nanos: i128| u64::try_from(nanos).unwrap_or(0);
    vec![stamp.device, stamp.inode, stamp.size, time(stamp.modified), time(stamp.changed)]
}

/// A look as it is written.
pub(crate) fn store_look(path: PathBuf, look: &Look) -> StoredLook {
    let (what, stamp, content) = match look {
        Look::Nothing => (0, Vec::new(), Vec::new()),
        Look::File { stamp, sum } => (1, store_stamp(*stamp), sum.to_vec()),
        Look::Names { stamp, sum } => (2, store_stamp(*stamp), sum.to_vec()),
        Look::Place { to, kind } => {
            let what = match kind {
                PlaceKind::File => 3,
                PlaceKind::Directory => 4,
                PlaceKind::Other => 5,
            };
            let to = if *to == path { Vec::new() } else { to.as_os_str().as_bytes().to_vec() };
            (what, Vec::new(), to)
        }
    };
    StoredLook { path: path.into_os_string().into_vec(), what, stamp, content }
}

/// A look that was written, if it is one.
pub(crate) fn load_look(stored: &StoredLook) -> Option<(PathBuf, Look)> {
    let path = PathBuf::from(OsStr::from_bytes(&stored.path));
    let stamp = || match *stored.stamp.as_slice() {
        [device, inode, size, modified, changed] => {
            Some(Stamp { device, inode, size, modified: modified.into(), changed: changed.into() })
        }
        _ => None,
    };
    let sum = || Sum::try_from(stored.content.as_slice()).ok();
    let place = |kind| {
        let to =
            if stored.content.is_empty() { path.clone() } else { OsStr::from_bytes(&stored.content).into() };
        Look::Place { to, kind }
    };
    let look = match stored.what {
        0 => Look::Nothing,
        1 => Look::File { stamp: stamp()?, sum: sum()? },
        2 => Look::Names { stamp: stamp()?, sum: sum()? },
        3 => place(PlaceKind::File),
        4 => place(PlaceKind::Directory),
        5 => place(PlaceKind::Other),
        _ => return None,
    };
    Some((path, look))
}

/// A local source as it is written.
pub(crate) fn store_local(local: &Local) -> StoredLocal {
    StoredLocal {
        kind: local.kind.into(),
        path: local.path.as_os_str().as_bytes().to_vec(),
        hash: local.digest.hash.to_vec(),
        size: local.digest.size,
    }
}

/// A local source that was written, if it is one.
pub(crate) fn load_local(stored: &StoredLocal) -> Option<Local> {
    Some(Local {
        kind: u8::try_from(stored.kind).ok()?,
        path: OsStr::from_bytes(&stored.path).into(),
        digest: Digest { hash: stored.hash.as_slice().try_into().ok()?, size: stored.size },
    })
}

/// Reads a picture; `None` for whatever is none.
pub(crate) fn read(path: &Path) -> Option<Stored> {
    let bytes = std::fs::read(path).ok()?;
    let (sum, body) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<32>()?;
    if sum_of(body) != *sum {
        return None;
    }
    Stored::decode(body).ok()
}

/// Writes a picture, whole or not at all, and removes the oldest beyond the number kept. Whatever goes wrong costs the
/// next run time and nothing else.
pub(crate) fn write(path: &Path, stored: &Stored) {
    let body = stored.encode_to_vec();
    let Some(directory) = path.parent() else { return };
    let written = (|| {
        std::fs::create_dir_all(directory)?;
        let mut draft = tempfile::NamedTempFile::new_in(directory)?;
        draft.write_all(&[MAGIC, &sum_of(&body)].concat())?;
        draft.write_all(&body)?;
        draft.persist(path).map_err(|error| error.error)
    })();
    if written.is_ok() {
        thin_out(directory);
    }
}

fn thin_out(directory: &Path) {
    let Ok(entries) = directory.read_dir() else { return };
    let mut found: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    let surplus = found.len().saturating_sub(MOST);
    if surplus > 0 {
        found.sort();
        for (_, path) in &found[..surplus] {
            let _ = std::fs::remove_file(path);
        }
    }
}
