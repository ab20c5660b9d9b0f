//! The second, short names of objects, under which stubs find their content.

use crate::export::copy_content;
use crate::mode::mode;
use crate::object::{ObjectName, Objects, is_whole};
use crate::trouble::{Doing, io_error};
use bourn_reapi::Digest;
use bourn_reapi::services::ServiceResult;
use rustix::fs::{AtFlags, Mode, OFlags, StatVfs};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// `/ab/` and twenty digits to the base of 64: the first 128 bits of the hash, as a stub says them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ContentName([u8; 25]);

impl ContentName {
    pub(crate) fn new(digest: &Digest) -> ContentName {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut name = [0; 25];
        let first = digest.hash[0];
        name[..4].copy_from_slice(&[b'/', HEX[usize::from(first >> 4)], HEX[usize::from(first & 15)], b'/']);
        for (at, three) in digest.hash[1..16].chunks_exact(3).enumerate() {
            let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
            for digit in 0..4 {
                let value = (bits >> (18 - 6 * digit)) & 63;
                name[4 + 4 * at + digit] = BASE64[value as usize];
            }
        }
        ContentName(name)
    }

    /// The name of a file in a directory.
    pub(crate) fn parse(directory: &str, file: &str) -> Option<ContentName> {
        let mut name = [0; 25];
        name[..24].copy_from_slice(format!("/{directory}/{file}").as_bytes().first_chunk::<24>()?);
        (directory.len() == 2 && file.len() == 20).then_some(ContentName(name))
    }

    /// As the stub says it.
    pub(crate) fn redirect(&self) -> &[u8] {
        &self.0[..24]
    }

    /// Relative to the directory of all content.
    pub(crate) fn relative(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0[1..]).unwrap_or(c"")
    }
}

/// The directory `bourn/content`.
pub(crate) struct Content {
    path: PathBuf,
    root: OwnedFd,
}

impl Content {
    /// Opens the directory, and creates it if need be.
    pub(crate) fn open(cachedir: &Path) -> ServiceResult<Content> {
        let path = cachedir.join("bourn/content");
        std::fs::create_dir_all(&path).doing("cannot create", &path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty()).doing("cannot open", &path)?;
        Ok(Content { path, root })
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file system that it is on.
    pub(crate) fn disk(&self) -> ServiceResult<StatVfs> {
        rustix::fs::fstatvfs(&self.root).doing("cannot look at", &self.path)
    }

    /// Makes sure that the content of a blob has its second name.
    pub(crate) fn provide(&self, objects: &Objects, digest: &Digest) -> ServiceResult<ContentName> {
        let name = ContentName::new(digest);
        if self.holds(&name, digest)? {
            return Ok(name);
        }
        if !objects.is_there(digest)? {
            return Err(objects.missing(digest));
        }
        let object = ObjectName::new(digest);
        let link = || {
            let (from, to) = (object.as_c_str(), name.relative());
            rustix::fs::linkat(objects.root(), from, &self.root, to, AtFlags::empty())
        };
        let linked = match link() {
            // The first one that begins like this.
            Err(Errno::NOENT) => {
                let path = self.path_of(&name);
                let prefix = path.parent().unwrap_or(&path);
                std::fs::create_dir_all(prefix).doing("cannot create", prefix)?;
                link()
            }
            result => result,
        };
        match linked {
            Ok(()) => Ok(name),
            Err(Errno::EXIST) if self.holds(&name, digest)? => Ok(name),
            // The object belongs to somebody else, or has all the names that the file system allows.
            Err(Errno::PERM | Errno::ACCESS | Errno::MLINK | Errno::XDEV) => self.copy(objects, digest, name),
            Err(error) => Err(io_error(error, "cannot create", &self.path_of(&name))),
        }
    }

    /// Makes a copy of an object that cannot have a second name.
    fn copy(&self, objects: &Objects, digest: &Digest, name: ContentName) -> ServiceResult<ContentName> {
        let source = objects.open_object(digest)?;
        let draft =
            tempfile::NamedTempFile::new_in(&self.path).doing("cannot create a file in", &self.path)?;
        copy_content(&source, draft.as_file(), digest.size).doing("cannot write", draft.path())?;
        rustix::fs::fchmod(draft.as_file(), mode(0o444)).doing("cannot change the mode of", draft.path())?;
        let path = self.path_of(&name);
        draft.persist(&path).map_err(|error| io_error(error.error, "cannot create", &path))?;
        Ok(name)
    }

    /// Whether the content is there with the right size. What has another size is removed: a crash has damaged it.
    pub(crate) fn holds(&self, name: &ContentName, digest: &Digest) -> ServiceResult<bool> {
        match rustix::fs::statat(&self.root, name.relative(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if is_whole(&stat, digest) => Ok(true),
            Ok(_) => {
                rustix::fs::unlinkat(&self.root, name.relative(), AtFlags::empty())
                    .doing("cannot remove", &self.path_of(name))?;
                Ok(false)
            }
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(io_error(error, "cannot look at", &self.path_of(name))),
        }
    }

    fn path_of(&self, name: &ContentName) -> PathBuf {
        self.path.join(name.relative().to_string_lossy().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_tell_digests_apart() {
        let name = ContentName::new(&Digest::of(b"x"));
        // 2d711642b726b04401627ca9fbac32f5
        assert_eq!(name.redirect(), b"/2d/cRZCtyawRAFifKn7rDL1");
        assert_eq!(name.relative(), c"2d/cRZCtyawRAFifKn7rDL1");
        assert!(ContentName::parse("2d", "cRZCtyawRAFifKn7rDL1") == Some(name));
        assert!(ContentName::parse("2d", "cRZC").is_none());
        assert_ne!(ContentName::new(&Digest::of(b"y")).redirect(), name.redirect());
    }
}
