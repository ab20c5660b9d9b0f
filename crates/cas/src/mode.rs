//! Permissions of files: how an executable bit becomes a mode.

use rustix::fs::Mode;

/// The mask of permissions that new files of this process do not get.
///
/// Read from `/proc`, because asking the kernel for it means setting it, which other threads would notice.
/// Without `/proc` the usual mask of 022 is assumed.
pub(crate) fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(0o022)
}

/// The mode with an executable bit wherever there is one for reading, as `bst` gives it to executable files.
pub(crate) fn executable(mode: u32) -> u32 {
    mode | (mode & 0o444) >> 2
}

/// A mode in the type of the system calls.
pub(crate) fn mode(bits: u32) -> Mode {
    Mode::from_bits_truncate(bits)
}
