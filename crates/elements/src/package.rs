//! The packages that kinds come from, and their versions.

use bourn_project::KindOrigin;
use std::fmt;

/// A package of kinds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Package {
    /// BuildStream itself.
    Core,
    /// `buildstream-plugins`.
    Plugins,
    /// `buildstream-plugins-community`.
    Community,
}

impl Package {
    /// Its name on PyPI, in normal form; of the core, a name in the same style.
    pub fn name(self) -> &'static str {
        match self {
            Package::Core => "buildstream",
            Package::Plugins => "buildstream-plugins",
            Package::Community => "buildstream-plugins-community",
        }
    }

    /// The package of that name.
    pub fn named(name: &str) -> Option<Package> {
        [Package::Core, Package::Plugins, Package::Community]
            .into_iter()
            .find(|package| package.name() == name)
    }

    /// The versions that bourn can act as, newest first. What differs between them is decided by
    /// [`Version`]s in the kinds.
    pub fn versions(self) -> &'static [&'static str] {
        match self {
            Package::Core => &[],
            Package::Plugins => {
                &["2.8.0", "2.7.0", "2.5.0", "2.4.0", "2.3.0", "2.2.0", "2.1.0", "2.0.1", "2.0.0"]
            }
            Package::Community => &[
                "2.4.0", "2.3.3", "2.3.2", "2.3.1", "2.3.0", "2.2.0", "2.1.1", "2.1.0", "2.0.4", "2.0.3",
                "2.0.2", "2.0.1", "2.0.0",
            ],
        }
    }
}

/// A version of a package: three numbers. What follows them (`.dev1`, `-4-gabc`) does not count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Newer than all.
    pub const NEWEST: Version = Version(u32::MAX, u32::MAX, u32::MAX);

    /// Reads the numbers at the start of a text; missing ones are 0. `None` without any.
    pub fn parse(text: &str) -> Option<Version> {
        let mut numbers = [0; 3];
        let mut parts = text.trim_start_matches('v').split('.');
        for (at, number) in numbers.iter_mut().enumerate() {
            let Some(part) = parts.next() else { break };
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            match part[..end].parse() {
                Ok(value) => *number = value,
                Err(_) if at == 0 => return None,
                Err(_) => break,
            }
            if end < part.len() {
                break;
            }
        }
        Some(Version(numbers[0], numbers[1], numbers[2]))
    }

    /// The version of the package that a kind comes from: what its origin says, the newest where it says nothing.
    pub fn of(origin: &KindOrigin) -> Version {
        match origin {
            KindOrigin::Core => Version::NEWEST,
            KindOrigin::Pip { version, .. } => Version::parse(version).unwrap_or(Version::NEWEST),
            KindOrigin::File { package, .. } => {
                let version = package.as_ref().and_then(|(_, version)| Version::parse(version));
                version.unwrap_or(Version::NEWEST)
            }
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let check = |text: &str, expect: Option<Version>| assert_eq!(Version::parse(text), expect, "{text}");
        check("2.3.1", Some(Version(2, 3, 1)));
        check("2", Some(Version(2, 0, 0)));
        check("2.4", Some(Version(2, 4, 0)));
        check("v2.4.0", Some(Version(2, 4, 0)));
        check("2.3.1-4-gabcdef", Some(Version(2, 3, 1)));
        check("2.3.dev5", Some(Version(2, 3, 0)));
        check("2.3rc1.9", Some(Version(2, 3, 0)));
        check("", None);
        check("master", None);
        assert!(Version(2, 4, 0) > Version(2, 3, 9));
    }
}
