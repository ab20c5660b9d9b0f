//! Changing the attributes of mounts: with `mount_setattr` (since Linux 5.12), or one after the other as every kernel
//! can. Runs in the sandbox's first process: nothing here allocates.

use crate::kernel::{self, List};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatVfsMountFlags, StatxFlags, fstatvfs, openat, statx};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountFlags, mount_remount};
use std::ffi::CStr;

/// More mounts than this below one are an error.
const MOST: usize = 4096;

/// Sets attributes of a mount, and of those below it if `recursive`. It must be mounted somewhere already.
pub(crate) fn set_attributes(
    mount: &OwnedFd,
    attributes: MountAttrFlags,
    recursive: bool,
) -> Result<(), Errno> {
    match kernel::set_mount_attributes(mount, attributes.bits().into(), recursive) {
        // The older filters of containers refuse what they do not know in this way.
        Err(Errno::NOSYS | Errno::PERM) if recursive => remount_all(mount, attributes),
        Err(Errno::NOSYS | Errno::PERM) => remount(mount, attributes),
        done => done,
    }
}

/// Adds attributes to those that one mount has: what came from another user namespace must not be lost, and an
/// attribute that is not named would be.
fn remount(mount: &OwnedFd, attributes: MountAttrFlags) -> Result<(), Errno> {
    let mut buffer = [0; 32];
    let path = descriptor_path(mount, &mut buffer);
    let has = fstatvfs(mount)?.f_flag;
    let mut flags = MountFlags::BIND;
    for (attribute, shown, flag) in [
        (MountAttrFlags::MOUNT_ATTR_RDONLY, StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
        (MountAttrFlags::MOUNT_ATTR_NOSUID, StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (MountAttrFlags::MOUNT_ATTR_NODEV, StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (MountAttrFlags::MOUNT_ATTR_NOEXEC, StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
    ] {
        flags.set(flag, attributes.contains(attribute) || has.contains(shown));
    }
    flags.set(MountFlags::NOATIME, has.contains(StatVfsMountFlags::NOATIME));
    flags.set(MountFlags::NODIRATIME, has.contains(StatVfsMountFlags::NODIRATIME));
    flags.set(MountFlags::RELATIME, has.contains(StatVfsMountFlags::RELATIME));
    if !has.intersects(StatVfsMountFlags::NOATIME | StatVfsMountFlags::RELATIME) {
        flags |= MountFlags::STRICTATIME;
    }
    mount_remount(path, flags, c"")
}

/// The same for a mount and all below it, which the kernel lists.
fn remount_all(mount: &OwnedFd, attributes: MountAttrFlags) -> Result<(), Errno> {
    remount(mount, attributes)?;
    let mut done = List::reserve(MOST)?;
    done.push(mount_id(mount)?);
    // Mostly a mount is listed after the one that it is on, and the second round finds nothing more.
    loop {
        let mut more = false;
        for_each_mount(|id, parent, path| {
            if !done.iter().any(|known| known == parent) || done.iter().any(|known| known == id) {
                return Ok(());
            }
            if done.is_full() {
                return Err(Errno::TOOBIG);
            }
            done.push(id);
            more = true;
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let inner = openat(CWD, path, flags, Mode::empty())?;
            // Another one may be mounted upon it; then nobody gets to this one.
            if mount_id(&inner)? == id { remount(&inner, attributes) } else { Ok(()) }
        })?;
        if !more {
            return Ok(());
        }
    }
}

fn mount_id(mount: &OwnedFd) -> Result<u64, Errno> {
    let found = statx(mount, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    if found.stx_mask & StatxFlags::MNT_ID.bits() == 0 { Err(Errno::NOSYS) } else { Ok(found.stx_mnt_id) }
}

/// Calls `visit` with the number of each mount of this namespace, that of the one it is on, and its path.
fn for_each_mount(mut visit: impl FnMut(u64, u64, &CStr) -> Result<(), Errno>) -> Result<(), Errno> {
    let mut text = [0; 16 << 10];
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(CWD, c"/proc/self/mountinfo", flags, Mode::empty())?;
    let mut filled = 0;
    loop {
        let read = rustix::io::read(&file, &mut text[filled..])?;
        filled += read;
        let mut start = 0;
        while let Some(length) = text[start..filled].iter().position(|byte| *byte == b'\n') {
            let mut path = [0; 4097];
            if let Some((id, parent)) = entry(&text[start..start + length], &mut path) {
                visit(id, parent, CStr::from_bytes_until_nul(&path).map_err(|_| Errno::NAMETOOLONG)?)?;
            }
            start += length + 1;
        }
        text.copy_within(start..filled, 0);
        filled -= start;
        match (read, filled) {
            (0, 0) => return Ok(()),
            (0, _) => return Err(Errno::NAMETOOLONG), // a line that does not fit
            _ => {}
        }
    }
}

/// Reads a line of `/proc/PID/mountinfo` (see proc(5)): the two numbers, and the path into a zeroed buffer.
fn entry(line: &[u8], path: &mut [u8; 4097]) -> Option<(u64, u64)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = decimal(fields.next()?)?;
    let parent = decimal(fields.next()?)?;
    let mut rest = fields.nth(2)?;
    let mut at = 0;
    while let Some((first, others)) = rest.split_first() {
        // Blanks and the like are written as three octal digits.
        let (byte, others) = match (first, others) {
            (b'\\', [a, b, c, others @ ..]) => {
                ((a & 3) << 6 | (b.wrapping_sub(b'0') & 7) << 3 | (c.wrapping_sub(b'0') & 7), others)
            }
            _ => (*first, others),
        };
        *path[..4096].get_mut(at)? = byte;
        at += 1;
        rest = others;
    }
    Some((id, parent))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let digit = |digit: u8| (digit as char).to_digit(10).map(u64::from);
    digits.iter().try_fold(0_u64, |value, byte| value.checked_mul(10)?.checked_add(digit(*byte)?))
}

/// `/proc/self/fd/N`, written without allocating.
pub(crate) fn descriptor_path<'a>(descriptor: &OwnedFd, buffer: &'a mut [u8; 32]) -> &'a CStr {
    use std::io::Write;
    let mut rest = &mut buffer[..31];
    let written = write!(rest, "/proc/self/fd/{}", descriptor.as_raw_fd());
    debug_assert!(written.is_ok(), "24 bytes suffice for the largest number");
    CStr::from_bytes_until_nul(buffer).unwrap_or(c"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mounts_are_read() {
        let check = |line: &str, expect: Option<(u64, u64, &[u8])>| {
            let mut path = [0; 4097];
            let found = entry(line.as_bytes(), &mut path);
            let path = CStr::from_bytes_until_nul(&path).expect("terminated").to_bytes();
            assert_eq!(found.map(|(id, parent)| (id, parent, path)), expect, "{line}");
        };
        check("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw", Some((36, 35, b"/mnt2")));
        check(r"7 1 0:1 / /a\040b\134c rw - tmpfs t rw", Some((7, 1, br"/a b\c")));
        check(r"7 1 0:1 / /\303\244 rw - tmpfs t rw", Some((7, 1, "/ä".as_bytes())));
        check("7 1 0:1 /", None);
        check("x 1 0:1 / /a rw", None);
        check(&format!("7 1 0:1 / /{} rw", "x".repeat(5000)), None);
    }
}
