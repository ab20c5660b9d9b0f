//! Releases among the files of a server that mirrors GNU.

/// Compressions, the best last.
const COMPRESSIONS: [&str; 3] = ["gz", "bz2", "xz"];

/// What to look for.
#[derive(Clone, Copy)]
pub(super) struct Project<'a> {
    /// What its archives are called.
    pub(super) name: &'a str,
    /// The directory that they are in, below the mirror.
    pub(super) directory: &'a str,
}

/// An archive; the newer one is the greater, of one version the better compressed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Release {
    version: Vec<u64>,
    compression: usize,
    /// Its path below the mirror.
    pub(super) path: String,
}

impl Project<'_> {
    /// The release that the file at a path below the mirror is, if it is one.
    pub(super) fn release(self, path: &str) -> Option<Release> {
        let below = path.strip_prefix(self.directory)?.strip_prefix('/')?;
        let (stem, extension) = below.rsplit_once(".tar.")?;
        let compression = COMPRESSIONS.iter().position(|known| *known == extension)?;
        let (_, version) = stem.rsplit_once(&format!("{}-", self.name))?;
        let digits = version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if !digits || !version.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        let version = version.split('.').map(|part| part.parse().unwrap_or(0)).collect();
        Some(Release { version, compression, path: path.to_owned() })
    }
}

/// Where the list of all files stands: beside the directory that is mirrored. `None` where nothing is beside it.
pub(super) fn list(mirror: &str) -> Option<String> {
    let (parent, _) = mirror.trim_end_matches('/').rsplit_once('/')?;
    (!parent.ends_with('/')).then(|| format!("{parent}/find.txt.gz"))
}

/// The names that a listing of a directory links to.
pub(super) fn links(listing: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = listing;
    while let Some(at) = ["href=", "HREF="].iter().filter_map(|word| rest.find(word)).min() {
        rest = &rest[at + "href=".len()..];
        let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''));
        let Some(quote) = quote else { continue };
        let Some((name, after)) = rest[1..].split_once(quote) else { break };
        let name = name.rsplit('/').next().unwrap_or(name);
        names.extend(Some(crate::url::unquote(name)).filter(|name| !name.is_empty()));
        rest = after;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, directory: &str, paths: &[&str], expect: Option<&str>) {
        let project = Project { name, directory };
        let newest = paths.iter().filter_map(|path| project.release(path)).max();
        assert_eq!(newest.map(|newest| newest.path).as_deref(), expect, "{name} of {paths:?}");
    }

    #[test]
    fn the_newest_wins() {
        let paths = [
            "hello/hello-2.9.tar.xz",
            "hello/hello-2.10.tar.gz",
            "hello/hello-2.10.tar.bz2",
            "hello/hello-2.10.tar.gz.sig",
            "hello/hello-3.0rc1.tar.gz",
            "hello/hello-traditional-4.0.tar.gz",
            "other/hello-9.0.tar.gz",
        ];
        check("hello", "hello", &paths, Some("hello/hello-2.10.tar.bz2"));
        check(
            "gcc",
            "gcc",
            &["gcc/gcc-12.1.0/gcc-12.1.0.tar.xz", "gcc/gcc-9.5.0/gcc-9.5.0.tar.xz"],
            Some("gcc/gcc-12.1.0/gcc-12.1.0.tar.xz"),
        );
        check(
            "libstdc++",
            "libstdc++",
            &["libstdc++/libstdc++-1.tar.gz"],
            Some("libstdc++/libstdc++-1.tar.gz"),
        );
        check("hello", "hello", &[], None);
    }

    #[test]
    fn lists_and_listings() {
        assert_eq!(list("https://host/pub/gnu/").as_deref(), Some("https://host/pub/find.txt.gz"));
        assert_eq!(list("gnu:").as_deref(), None);
        assert_eq!(list("https://host/").as_deref(), None);
        let page =
            r#"<a href="../">up</a><a HREF="/gnu/hello/hello-1.tar.gz">x</a><a href='hello-2%2B.tar.gz'>"#;
        assert_eq!(links(page), ["hello-1.tar.gz", "hello-2+.tar.gz"]);
    }
}
