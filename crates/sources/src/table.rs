//! The table of source kinds.

use crate::release::Release;
use crate::*;
use bourn_plan::SourceKind;
use bourn_project::KindOrigin;

/// Where a kind comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Package {
    /// BuildStream itself.
    Core,
    /// buildstream-plugins.
    Plugins,
    /// buildstream-plugins-community.
    Community,
}

/// One source kind.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Where it comes from.
    pub package: Package,
    /// What it means.
    pub kind: &'static dyn SourceKind,
    /// Its manual entry.
    pub manual: &'static str,
}

macro_rules! entry {
    ($package:ident, $module:ident, $kind:ident) => {
        Entry {
            name: stringify!($module),
            package: Package::$package,
            kind: &$module::$kind,
            manual: include_str!(concat!(stringify!($module), "/README.md")),
        }
    };
}

/// Every source kind.
pub const SOURCES: &[Entry] = &[
    entry!(Core, local, Local),
    entry!(Core, remote, Remote),
    entry!(Core, tar, Tar),
    entry!(Core, workspace, Workspace),
    entry!(Plugins, bzr, Bzr),
    entry!(Plugins, cargo, Cargo),
    entry!(Plugins, docker, Docker),
    entry!(Plugins, git, Git),
    entry!(Plugins, patch, Patch),
    entry!(Plugins, pip, Pip),
    entry!(Community, anitya, Anitya),
    entry!(Community, bazel_file, BazelFile),
    entry!(Community, bazel_source, BazelSource),
    entry!(Community, cargo2, Cargo2),
    entry!(Community, cpan, Cpan),
    entry!(Community, deb, Deb),
    entry!(Community, gen_cargo_lock, GenCargoLock),
    entry!(Community, git_module, GitModule),
    entry!(Community, git_repo, GitRepo),
    entry!(Community, git_tag, GitTag),
    entry!(Community, gnu, Gnu),
    entry!(Community, go_module, GoModule),
    entry!(Community, ostree, Ostree),
    entry!(Community, patch_queue, PatchQueue),
    entry!(Community, pypi, Pypi),
    entry!(Community, quilt, Quilt),
    entry!(Community, zip, Zip),
];

/// The package that an origin names; `None` for plugins of a project's own and of other packages.
pub(crate) fn package(origin: &KindOrigin) -> Option<Package> {
    let name = match origin {
        KindOrigin::Core => return Some(Package::Core),
        KindOrigin::Pip { package, .. } => package,
        KindOrigin::File { package: Some((package, _)), .. } => package,
        KindOrigin::File { package: None, .. } => return None,
    };
    Package::named(name)
}

impl Package {
    /// The package of that name on the Python Package Index.
    pub(crate) fn named(name: &str) -> Option<Package> {
        match name.replace('_', "-").to_ascii_lowercase().as_str() {
            "buildstream-plugins" => Some(Package::Plugins),
            "buildstream-plugins-community" => Some(Package::Community),
            _ => None,
        }
    }
}

/// A source kind by name and origin; `None` when it is not built in, or not part of the release that is named.
pub fn find(kind: &str, origin: &KindOrigin) -> Option<&'static dyn SourceKind> {
    let package = package(origin)?;
    let entry = SOURCES.iter().find(|entry| entry.name == kind && entry.package == package)?;
    // What came to the community's package later than 2.0.
    let since = match kind {
        "anitya" => Release(2, 4, 0),
        "bazel_file" => Release(2, 1, 0),
        _ => Release(0, 0, 0),
    };
    (Release::of(origin) >= since).then_some(entry.kind)
}

/// The manual entry of a source kind.
pub fn manual(kind: &str) -> Option<&'static str> {
    SOURCES.iter().find(|entry| entry.name == kind).map(|entry| entry.manual)
}
