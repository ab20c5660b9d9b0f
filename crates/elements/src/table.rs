//! The table of all element kinds, and how one is found in it.

use crate::package::{Package, Version};
use crate::*;
use bourn_plan::ElementKind;
use bourn_project::{KindOrigin, KindTraits};

/// An element kind.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// The package it comes from.
    pub package: Package,
    /// The first version of the package that has it.
    pub since: Version,
    /// The first version in which the package offers it to projects that name the package (`origin: pip`). Some
    /// kinds are missing there, or under a name that leads nowhere, and can only be reached as files.
    pub by_package_since: Option<Version>,
    /// What its elements start from, as YAML: each text from that version on, in ascending order.
    pub defaults: &'static [(Version, &'static str)],
    /// Its manual entry, as Markdown.
    pub manual: &'static str,
    /// What it means.
    pub kind: &'static dyn ElementKind,
    /// What it forbids and allows, in a version.
    pub traits: fn(Version) -> KindTraits,
}

/// The first version of everything.
const FIRST: Version = Version(0, 0, 0);

/// The manual entry in a kind's folder.
macro_rules! manual {
    ($folder:literal) => {
        include_str!(concat!($folder, "/README.md"))
    };
}

/// The defaults in a kind's folder, or those of several versions.
macro_rules! defaults {
    ($folder:literal) => {
        &[(FIRST, include_str!(concat!($folder, "/defaults.yaml")))]
    };
    ($folder:literal, $($since:expr => $file:literal),+) => {
        &[$(($since, include_str!(concat!($folder, "/", $file)))),+]
    };
}

/// A kind that is nothing but its commands: the folder holds all there is to say.
macro_rules! commands {
    ($package:expr, $name:literal) => {
        Entry::commands($package, $name, defaults!($name), manual!($name))
    };
    ($package:expr, $name:literal, $($since:expr => $file:literal),+) => {
        Entry::commands($package, $name, defaults!($name, $($since => $file),+), manual!($name))
    };
}

/// A kind with a meaning of its own, with or without defaults.
macro_rules! kind {
    ($package:expr, $name:literal, $module:ident) => {
        Entry::new($package, $name, defaults!($name), manual!($name), &$module::Kind, $module::traits)
    };
    ($package:expr, $name:literal, $module:ident, none) => {
        Entry::new($package, $name, &[], manual!($name), &$module::Kind, $module::traits)
    };
    ($package:expr, $name:literal, $module:ident, $($since:expr => $file:literal),+) => {
        Entry::new($package, $name, defaults!($name, $($since => $file),+), manual!($name), &$module::Kind, $module::traits)
    };
}

use Package::{Community, Core, Plugins};

/// Every element kind.
#[rustfmt::skip]
pub static ELEMENTS: &[Entry] = &[
    kind!(Core, "compose", compose),
    kind!(Core, "filter", filter),
    kind!(Core, "import", import),
    kind!(Core, "junction", junction, none),
    kind!(Core, "link", link, none),
    commands!(Core, "manual"),
    kind!(Core, "script", script),
    kind!(Core, "stack", stack, none),
    commands!(Plugins, "autotools"),
    commands!(Plugins, "cmake"),
    commands!(Plugins, "make"),
    commands!(Plugins, "meson"),
    commands!(Plugins, "pip"),
    commands!(Plugins, "setuptools"),
    kind!(Community, "bazel_build", bazel_build, FIRST => "defaults-2.0.yaml", Version(2, 1, 0) => "defaults.yaml"),
    kind!(Community, "bazelize", bazelize),
    commands!(Community, "cargo").since(Version(2, 3, 0)),
    kind!(Community, "check_forbidden", check_forbidden, none),
    kind!(Community, "collect_integration", collect_integration, none),
    kind!(Community, "collect_manifest", collect_manifest, none),
    kind!(Community, "dpkg_build", dpkg_build),
    kind!(Community, "dpkg_deploy", dpkg_deploy),
    kind!(Community, "fastboot_bootimg", fastboot_bootimg).by_package(None),
    kind!(Community, "fastboot_ext4", fastboot_ext4).by_package(None),
    kind!(Community, "flatpak_image", flatpak_image),
    kind!(Community, "flatpak_repo", flatpak_repo),
    commands!(Community, "makemaker"),
    commands!(Community, "modulebuild"),
    kind!(Community, "oci", oci, none),
    kind!(Community, "ostree", ostree).by_package(None),
    commands!(Community, "pyproject", FIRST => "defaults-2.0.yaml", Version(2, 2, 0) => "defaults.yaml")
        .by_package(Some(Version(2, 2, 0))),
    commands!(Community, "qmake"),
    kind!(Community, "snap_image", snap_image),
    kind!(Community, "tar_element", tar_element),
    kind!(Community, "x86image", x86image),
];

impl Entry {
    const fn new(
        package: Package,
        name: &'static str,
        defaults: &'static [(Version, &'static str)],
        manual: &'static str,
        kind: &'static dyn ElementKind,
        traits: fn(Version) -> KindTraits,
    ) -> Entry {
        Entry { name, package, since: FIRST, by_package_since: Some(FIRST), defaults, manual, kind, traits }
    }

    const fn commands(
        package: Package,
        name: &'static str,
        defaults: &'static [(Version, &'static str)],
        manual: &'static str,
    ) -> Entry {
        Entry::new(package, name, defaults, manual, &commands::Commands, commands::traits)
    }

    const fn since(mut self, since: Version) -> Entry {
        self.since = since;
        self
    }

    const fn by_package(mut self, since: Option<Version>) -> Entry {
        self.by_package_since = since;
        self
    }

    /// The entry of a kind that comes from there; `None` when there is no such kind in that package and version.
    pub fn find(kind: &str, origin: &KindOrigin) -> Option<&'static Entry> {
        let package = match origin {
            KindOrigin::Core => Core,
            KindOrigin::Pip { package, .. } => Package::named(package)?,
            KindOrigin::File { package, .. } => Package::named(&package.as_ref()?.0)?,
        };
        let version = Version::of(origin);
        let entry = ELEMENTS.iter().find(|entry| entry.name == kind && entry.package == package)?;
        let by_package = matches!(origin, KindOrigin::Pip { .. });
        let offered = !by_package || entry.by_package_since.is_some_and(|since| since <= version);
        (entry.since <= version && offered).then_some(entry)
    }

    /// The defaults in that version; empty when the kind has none.
    pub fn defaults(&self, version: Version) -> &'static str {
        let known = self.defaults.iter().rev();
        known.into_iter().find(|(since, _)| *since <= version).map_or("", |(_, text)| text)
    }
}

/// Whether any package has a kind of that name.
pub fn is_known(kind: &str) -> bool {
    ELEMENTS.iter().any(|entry| entry.name == kind)
}

/// The defaults of a kind that comes from there, as YAML; empty when it has none, `None` when there is no such kind.
pub fn defaults(kind: &str, origin: &KindOrigin) -> Option<&'static str> {
    Entry::find(kind, origin).map(|entry| entry.defaults(Version::of(origin)))
}

/// What a kind that comes from there forbids and allows.
pub fn traits(kind: &str, origin: &KindOrigin) -> Option<KindTraits> {
    Entry::find(kind, origin).map(|entry| (entry.traits)(Version::of(origin)))
}

/// The kind of that name that comes from there.
pub fn element(kind: &str, origin: &KindOrigin) -> Option<&'static dyn ElementKind> {
    Entry::find(kind, origin).map(|entry| entry.kind)
}

/// The versions of a package that its kinds can act as, newest first; empty for other packages.
pub fn package_versions(package: &str) -> &'static [&'static str] {
    Package::named(package).map_or(&[], Package::versions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn pip(package: &str, version: &str) -> KindOrigin {
        KindOrigin::Pip { package: package.into(), specifier: String::new(), version: version.into() }
    }

    #[test]
    fn kinds_are_found_where_they_come_from() {
        let community = |version| pip("buildstream-plugins-community", version);
        let check = |kind: &str, origin: KindOrigin, expect: bool| {
            assert_eq!(Entry::find(kind, &origin).is_some(), expect, "{kind} of {origin:?}");
        };
        check("stack", KindOrigin::Core, true);
        check("autotools", KindOrigin::Core, false);
        check("autotools", pip("buildstream-plugins", "2.2.0"), true);
        check("autotools", community("2.4.0"), false);
        check("cargo", community("2.2.0"), false);
        check("cargo", community("2.3.0"), true);
        check("cargo", pip("somebody-else", "2.3.0"), false);
        check("ostree", community("2.4.0"), false);
        check("pyproject", community("2.1.1"), false);
        let file = |package: Option<(&str, &str)>| KindOrigin::File {
            directory: "/p".into(),
            package: package.map(|(name, version)| (name.into(), version.into())),
        };
        check("cargo", file(Some(("buildstream-plugins-community", "2.3.1"))), true);
        check("cargo", file(None), false);
    }

    #[test]
    fn defaults_follow_the_version() {
        let check = |kind: &str, version: &str, has: &str, expect: bool| {
            let package = Some(("buildstream-plugins-community".into(), version.into()));
            let text = defaults(kind, &KindOrigin::File { directory: "/p".into(), package }).unwrap_or("");
            assert_eq!(text.contains(has), expect, "{kind} {version}");
        };
        check("pyproject", "2.1.1", "build-args-local: \"\"", false);
        check("pyproject", "2.2.0", "build-args-local: \"\"", true);
        check("bazel_build", "2.0.4", "--registry", false);
        check("bazel_build", "2.1.0", "--registry", true);
    }

    #[test]
    fn names_are_unique_and_manuals_begin_with_them() {
        let mut names = BTreeSet::new();
        for entry in ELEMENTS {
            assert!(names.insert(entry.name), "{} twice", entry.name);
            assert!(entry.manual.starts_with(&format!("# {}\n", entry.name)), "{}", entry.name);
            assert!(entry.manual.contains(&format!("```yaml\nkind: {}\n", entry.name)), "{}", entry.name);
        }
        assert_eq!(names.len(), 35);
    }
}
