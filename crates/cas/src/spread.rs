//! Where on the disk the directories of a large tree begin.
//!
//! ext4 keeps a new file in the part of the disk (a group of blocks) where its directory is, and a new directory
//! where its parent is, so everything written below one directory meets in a few groups. A group in which much was
//! removed in the last minutes is slow to create in: ext4 does not like to give a freed inode away again so soon, in
//! case the machine crashes, and for each new file looks through all of them (`recently_deleted` in
//! `fs/ext4/ialloc.c`). Removing a checkout of a hundred thousand files and making it again then takes 300 µs per
//! file instead of 15.
//!
//! The directories below one with the attribute `T` (`chattr +T`: the top of hierarchies) are placed apart from each
//! other instead, where there is most room. So a directory of a large tree has that attribute for as long as its
//! subdirectories are being created. Other file systems do not know it, and do not need it.

use rustix::fs::IFlags;
use std::os::fd::AsFd;

/// Subdirectories of trees with fewer entries stay beside each other, which is good for whoever reads them.
pub(crate) const LARGE: u64 = 2048;

/// The attribute `T`: `FS_TOPDIR_FL` in `linux/fs.h`.
const TOP: IFlags = IFlags::from_bits_retain(0x0002_0000);

/// Does something with a directory while its new subdirectories are placed apart from each other, where the file
/// system can do that.
pub(crate) fn apart<T>(directory: impl AsFd, act: impl FnOnce() -> T) -> T {
    let before = place_apart(&directory);
    let done = act();
    if let Some(before) = before {
        // The attribute is a hint that changes nothing else.
        let _ = rustix::fs::ioctl_setflags(&directory, before);
    }
    done
}

/// From now on subdirectories are placed apart. The attributes that the directory had, if they were changed.
pub(crate) fn place_apart(directory: impl AsFd) -> Option<IFlags> {
    let before = rustix::fs::ioctl_getflags(&directory).ok()?;
    let wanted = before | TOP;
    (wanted != before && rustix::fs::ioctl_setflags(&directory, wanted).is_ok()).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_attributes() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let directory = std::fs::File::open(place.path()).expect("a directory");
        let flags = || rustix::fs::ioctl_getflags(&directory).ok();
        let before = flags();
        let within = apart(&directory, flags);
        assert_eq!(flags(), before);
        // Only where the file system knows the attribute.
        assert!(within == before || within == before.map(|flags| flags | TOP));
        assert_eq!(apart(&directory, || 7), 7);
    }
}
