//! Plugins known by their code.
//!
//! A project may carry a copy of a plugin in its own repository, or reach a checkout of a package that does not say its
//! version. The content of `KIND.py` then tells which kind of which package it is, if it is one that this program acts
//! as; any other Python code is not run by it, and must not be taken for something that it is not.

use crate::package::Package;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// A line per file: its SHA-256, the kind, the package, the version.
const KNOWN: &str = include_str!("recognised.txt");

/// The package and version of an element plugin, by the content of its Python file.
pub fn recognise(kind: &str, code: &[u8]) -> Option<(Package, &'static str)> {
    let mut hash = String::with_capacity(64);
    for byte in Sha256::digest(code) {
        let _ = write!(hash, "{byte:02x}");
    }
    let found = KNOWN.lines().find(|line| line.starts_with(hash.as_str()))?;
    match found.split(' ').collect::<Vec<_>>()[..] {
        [_, known, package, version] if known == kind => Some((Package::named(package)?, version)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ELEMENTS;

    #[test]
    fn lines_are_well_formed() {
        for line in KNOWN.lines().filter(|line| !line.starts_with('#')) {
            let [hash, kind, package, version] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            assert_eq!(hash.len(), 64, "{line}");
            let package = Package::named(package).expect(line);
            assert!(ELEMENTS.iter().any(|entry| entry.name == kind && entry.package == package), "{line}");
            assert!(crate::package::Version::parse(version).is_some(), "{line}");
        }
    }

    #[test]
    fn other_code_is_not_known() {
        assert_eq!(recognise("stack", b"class Other: pass"), None);
        assert_eq!(recognise("make", b""), None);
    }
}
