//! Lock files of cargo.

use crate::crates::RegistryCrate;
use toml::{Table, Value};

/// The packages that come from somewhere else than the directory of the lock file.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn packages(content: &[u8]) -> Result<Vec<RegistryCrate>, String> {
    let text = std::str::from_utf8(content).map_err(|error| error.to_string())?;
    let lock: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let packages = match lock.get("package") {
        Some(Value::Array(packages)) => packages,
        _ => return Err("it has no list `package`".to_owned()),
    };
    packages.iter().filter(|package| package.get("source").is_some()).map(package).collect()
}

fn package(package: &Value) -> Result<RegistryCrate, String> {
    let text = |key: &str| package.get(key).and_then(Value::as_str).map(str::to_owned);
    let wanted = |key: &str| text(key).ok_or_else(|| format!("a package has no `{key}`"));
    Ok(RegistryCrate {
        name: wanted("name")?,
        version: wanted("version")?,
        sha256: text("checksum"),
        provenance: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lock: &str, expect: Result<&[(&str, &str, Option<&str>)], &str>) {
        let found = packages(lock.as_bytes());
        let found = found.as_ref().map(|found| {
            let one = |one: &RegistryCrate| (one.name.clone(), one.version.clone(), one.sha256.clone());
            found.iter().map(one).collect::<Vec<_>>()
        });
        let owned = |(name, version, sum): &(&str, &str, Option<&str>)| {
            ((*name).to_owned(), (*version).to_owned(), sum.map(str::to_owned))
        };
        match (found, expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect.iter().map(owned).collect::<Vec<_>>()),
            (Err(found), Err(expect)) => assert!(found.contains(expect), "{found}"),
            (found, expect) => panic!("{found:?}, not {expect:?}"),
        }
    }

    #[test]
    fn locks() {
        let lock = "version = 3\n[[package]]\nname = 'own'\nversion = '1.0'\n[[package]]\nname = \"a\"\n\
                    version = \"0.1\"\nsource = \"registry+x\"\nchecksum = \"12\"\n[[package]]\nname = \"b\"\n\
                    version = \"2\"\nsource = \"git+x\"\n";
        check(lock, Ok(&[("a", "0.1", Some("12")), ("b", "2", None)]));
        check("version = 3\n", Err("no list"));
        check("[[package]]\nname = 'x'\nsource = 'y'\n", Err("`version`"));
        check("[[package", Err(""));
    }
}
