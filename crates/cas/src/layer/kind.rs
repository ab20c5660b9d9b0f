//! What this machine can do.

use crate::mode::mode;
use rustix::fs::{OFlags, XattrFlags};
use std::fmt;
use std::path::Path;

/// How the content of files comes into a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerKind {
    /// Shells that refer to the objects.
    Stub,
    /// Files that share their blocks with the objects.
    Reflink,
    /// Copies.
    Copy,
}

impl LayerKind {
    /// The name of its directory below `bourn/layers`.
    pub(crate) fn directory(self) -> &'static str {
        match self {
            LayerKind::Stub => "stub",
            LayerKind::Reflink => "reflink",
            LayerKind::Copy => "copy",
        }
    }
}

impl fmt::Display for LayerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.directory())
    }
}

/// Which kind of layers suits a machine and a file system, and why.
#[derive(Clone, Debug)]
pub struct LayerSupport {
    /// The best kind that works.
    pub kind: LayerKind,
    /// Whether files can share their blocks with objects.
    pub reflinks: bool,
    /// Why no better kind works; empty when the best one does.
    pub reasons: Vec<String>,
}

/// The first kernel that follows stubs without privileges.
const STUBS_SINCE: (u32, u32) = (6, 16);

impl LayerSupport {
    /// Tries it out in a directory that is there for temporary files.
    pub(crate) fn probe(temporary: &Path) -> LayerSupport {
        let (stubs, reflinks) = (stubs_work(temporary), reflinks_work(temporary));
        let kind = match (&stubs, &reflinks) {
            (Ok(()), _) => LayerKind::Stub,
            (_, Ok(())) => LayerKind::Reflink,
            _ => LayerKind::Copy,
        };
        let mut reasons = Vec::new();
        if let Err(reason) = stubs {
            reasons.push(format!("no stubs: {reason}"));
        }
        if let Err(reason) = &reflinks
            && kind != LayerKind::Stub
        {
            reasons.push(format!("no reflinks: {reason}"));
        }
        LayerSupport { kind, reflinks: reflinks.is_ok(), reasons }
    }
}

fn stubs_work(temporary: &Path) -> Result<(), String> {
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy();
    if kernel_version(&release) < Some(STUBS_SINCE) {
        return Err(format!("Linux {release} is older than {}.{}", STUBS_SINCE.0, STUBS_SINCE.1));
    }
    let path = temporary.join("probe-attributes");
    let tried = std::fs::File::create(&path).and_then(|file| {
        Ok(rustix::fs::fsetxattr(&file, c"user.overlay.metacopy", b"", XattrFlags::empty())?)
    });
    let _ = std::fs::remove_file(&path);
    tried.map_err(|error| {
        format!("the file system of {} has no extended attributes ({error})", temporary.display())
    })
}

fn reflinks_work(temporary: &Path) -> Result<(), String> {
    let (from, to) = (temporary.join("probe-from"), temporary.join("probe-to"));
    let tried = std::fs::write(&from, "x").and_then(|()| {
        let source = std::fs::File::open(&from)?;
        let copy = rustix::fs::open(&to, OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC, mode(0o600))?;
        Ok(rustix::fs::ioctl_ficlone(&copy, &source)?)
    });
    let _ = std::fs::remove_file(&from);
    let _ = std::fs::remove_file(&to);
    tried.map_err(|error| {
        format!("the file system of {} does not share blocks ({error})", temporary.display())
    })
}

/// Major and minor version in the release of a kernel.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::kernel_version;

    #[test]
    fn releases_are_understood() {
        for (release, expect) in [
            ("6.18.44-fc-v445", Some((6, 18))),
            ("6.1.0-13-amd64", Some((6, 1))),
            ("5.11", Some((5, 11))),
            ("6.16-rc1", Some((6, 16))),
            ("weird", None),
        ] {
            assert_eq!(kernel_version(release), expect, "{release}");
        }
    }
}
