//! Indices of Python packages: which one this machine is configured for, and what one says (PEP 691).

use crate::glob::Glob;
use crate::host::Tool;
use crate::url;
use bourn_plan::{SourceError, TrackContext};
use pep440_rs::Version;
use serde_json::Value;
use std::str::FromStr;

/// What an index is asked to answer with.
pub(super) const MEDIUM: &str = "application/vnd.pypi.simple.v1+json";

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Distribution {
    name: String,
    pub(super) url: String,
    pub(super) sha256: String,
    /// Withdrawn by who published it.
    yanked: bool,
}

/// The index that pip of this machine uses, by its configuration files and environment.
///
/// # Errors
/// There is no pip, or it is not configured for an index.
pub(super) fn configured(context: &TrackContext<'_>) -> Result<Vec<u8>, SourceError> {
    let hint = "say which with `python3 -m pip config set global.index-url URL` or PIP_INDEX_URL";
    // Settings may hold passwords, so nothing of them goes into the log.
    let arguments = ["-m", "pip", "--disable-pip-version-check", "config", "list"];
    let listed = Tool::silent("python3").args(arguments).cancelled_by(context.cancel).output()?;
    if !listed.status.success() {
        let text = "Cannot ask pip which index of Python packages it uses";
        return Err(SourceError::new(text).detail(listed.stderr.trim().to_owned()).hint(hint));
    }
    let index = chosen(&listed.text()).ok_or_else(|| {
        SourceError::new("pip is not configured for an index of Python packages").hint(hint)
    })?;
    Ok(index.into_bytes())
}

/// The index among the settings that pip prints; the environment counts before files.
fn chosen(settings: &str) -> Option<String> {
    let value = |wanted: &str| {
        let of = |line: &str| {
            let (name, value) = line.split_once('=')?;
            (name == wanted).then(|| value.trim().trim_matches(['\'', '"']).trim_end_matches('/').to_owned())
        };
        settings.lines().find_map(of)
    };
    [":env:.index-url", "install.index-url", "download.index-url", "global.index-url"]
        .into_iter()
        .find_map(value)
        .filter(|url| !url.is_empty())
}

/// The files that an answer tells of.
///
/// # Errors
/// What the answer lacks.
pub(super) fn files(answer: &Value, asked: &str) -> Result<Vec<Distribution>, String> {
    let files = answer.get("files").and_then(Value::as_array).ok_or("the answer lists no `files`")?;
    let read = |file: &Value| {
        let text = |key: &str| file.get(key).and_then(Value::as_str).map(str::to_owned);
        let yanked =
            file.get("yanked").is_some_and(|yanked| !matches!(yanked, Value::Bool(false) | Value::Null));
        let sha256 = file.get("hashes").and_then(|hashes| hashes.get("sha256")?.as_str());
        Some(Distribution {
            name: text("filename")?,
            url: url::resolve(&text("url")?, asked),
            sha256: sha256.unwrap_or_default().to_owned(),
            yanked,
        })
    };
    Ok(files.iter().filter_map(read).collect())
}

/// What of a file's URL stands below the URL that files are fetched from, whatever host the index names for it.
pub(super) fn below<'a>(url: &'a str, base: &str) -> &'a str {
    if let Some(rest) = url.strip_prefix(base) {
        return rest;
    }
    let path = |url: &str| {
        let after = url.find("://").map_or(0, |at| at + 3);
        url[after..].find('/').map(|at| after + at)
    };
    let (Some(here), Some(there)) = (path(url), path(base)) else { return url };
    match base[there..].len() > 1 {
        true => url[here..].strip_prefix(&base[there..]).unwrap_or(url),
        false => url,
    }
}

/// Which versions a source wants.
pub(super) struct Wanted {
    prereleases: bool,
    include: Vec<Glob>,
    exclude: Vec<Glob>,
}

impl Wanted {
    pub(super) fn new(prereleases: bool, include: &[String], exclude: &[String]) -> Wanted {
        let globs = |patterns: &[String]| patterns.iter().map(|pattern| Glob::new(pattern)).collect();
        Wanted { prereleases, include: globs(include), exclude: globs(exclude) }
    }

    /// The source distribution with the highest version; of equal ones the last.
    pub(super) fn newest<'a>(&self, files: &'a [Distribution]) -> Option<&'a Distribution> {
        let candidates = files.iter().filter(|file| !file.yanked && !file.sha256.is_empty());
        let versions = candidates.filter_map(|file| Some((version(&file.name)?, file)));
        let wanted = versions.filter(|(version, _)| self.wants(version));
        wanted.max_by(|(one, _), (other, _)| one.cmp(other)).map(|(_, file)| file)
    }

    fn wants(&self, version: &Version) -> bool {
        let text = version.to_string();
        (self.prereleases || !version.any_prerelease())
            && self.include.iter().all(|glob| glob.matches(&text))
            && !self.exclude.iter().any(|glob| glob.matches(&text))
    }
}

/// The version in the name of a source distribution; `None` when it is the name of something else.
fn version(name: &str) -> Option<Version> {
    let stem = name.strip_suffix(".tar.gz").or_else(|| name.strip_suffix(".zip"))?;
    Version::from_str(stem.rsplit_once('-')?.1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prereleases: bool, include: &[&str], exclude: &[&str], expect: Option<&str>) {
        let file = |name: &str, yanked| Distribution {
            name: name.into(),
            url: String::new(),
            sha256: "0".into(),
            yanked,
        };
        let files = [
            file("foo-1.10.tar.gz", false),
            file("foo-1.9.tar.gz", false),
            file("foo-1.9.zip", false),
            file("foo-2.0rc1.tar.gz", false),
            file("foo-1.11-py3-none-any.whl", false),
            file("foo-3.0.tar.gz", true),
            file("foo-odd.tar.gz", false),
        ];
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let wanted = Wanted::new(prereleases, &texts(include), &texts(exclude));
        assert_eq!(wanted.newest(&files).map(|file| file.name.as_str()), expect);
    }

    #[test]
    fn the_newest_wins() {
        check(false, &[], &[], Some("foo-1.10.tar.gz"));
        check(true, &[], &[], Some("foo-2.0rc1.tar.gz"));
        check(false, &["1.?"], &[], Some("foo-1.9.zip"));
        check(false, &[], &["1.1*"], Some("foo-1.9.zip"));
        check(false, &["4*"], &[], None);
        check(false, &["1.*", "*.9"], &[], Some("foo-1.9.zip"));
    }

    #[test]
    fn indices_of_pip() {
        let settings =
            "global.index-url='https://files'\nglobal.timeout='3'\n:env:.index-url='https://env/simple/'\n";
        assert_eq!(chosen(settings).as_deref(), Some("https://env/simple"));
        assert_eq!(
            chosen("global.index-url='https://files/simple'").as_deref(),
            Some("https://files/simple")
        );
        assert_eq!(chosen("global.timeout='3'"), None);
    }

    #[test]
    fn urls() {
        let asked = "https://host/simple/foo/";
        for (url, expect) in [
            ("https://other/x", "https://other/x"),
            ("/packages/x", "https://host/packages/x"),
            ("../../packages/x", "https://host/packages/x"),
            ("x", "https://host/simple/foo/x"),
        ] {
            assert_eq!(url::resolve(url, asked), expect, "{url}");
        }
        assert_eq!(below("https://a/packages/1/x", "https://a/packages/"), "1/x");
        assert_eq!(below("https://a/packages/1/x", "http://mirror/packages/"), "1/x");
        assert_eq!(below("https://a/1/x", "http://mirror/packages/"), "https://a/1/x");
        assert_eq!(below("https://a/1/x", "http://mirror/"), "https://a/1/x");
    }
}
