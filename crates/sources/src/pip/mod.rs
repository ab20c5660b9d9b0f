//! `pip`: source distributions of Python packages, downloaded by the host's `pip`.

mod relay;

use crate::declared::{Declared, Origin, reference};
use crate::download::{activity, first};
use crate::host::{Tool, export_previous};
use crate::http::shown;
use crate::key;
use crate::reading::Reading;
use crate::release::Release;
use crate::scratch::workspace;
use crate::trees;
use crate::url;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_reapi::services::ImportOptions;
use bourn_yaml::{Diagnostic, Diagnostics};
use regex::RegexBuilder;
pub(crate) use relay::bring;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The directory that packages are staged in.
const STAGED: &str = ".bst_pip_downloads";
/// The Pythons of the host that may have pip, best first.
const PYTHONS: &[&str] = &[
    "python3",
    "python3.14",
    "python3.13",
    "python3.12",
    "python3.11",
    "python3.10",
    "python3.9",
    "python3.8",
    "python",
];

/// The kind.
pub(crate) struct Pip;

#[derive(Clone)]
struct PipSource {
    declared: Declared,
    /// With its alias.
    original_url: String,
    /// By the project's aliases.
    url: String,
    /// What to download, as on the command line of pip.
    packages: Vec<String>,
    /// Files of earlier sources that name packages.
    requirements: Vec<String>,
    /// A line `NAME==VERSION` per package.
    reference: Option<String>,
}

impl SourceKind for Pip {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<PipSource, Diagnostic> {
    reading.keys(&["url", "packages", "ref", "requirements-files"])?;
    let node = reading.node;
    let original_url = node.opt_str("url")?.unwrap_or("https://pypi.org/simple/").to_owned();
    let list = |key: &str| -> Result<Vec<String>, Diagnostic> {
        Ok(node.opt_str_list(key)?.unwrap_or_default().into_iter().map(str::to_owned).collect())
    };
    let source = PipSource {
        declared: reading.declared(),
        reference: node.opt_str("ref")?.map(str::to_owned),
        url: reading.translate(&original_url)?,
        original_url,
        packages: list("packages")?,
        requirements: list("requirements-files")?,
    };
    if source.packages.is_empty() && source.requirements.is_empty() {
        return Err(reading.error("", "Either 'packages' or 'requirements-files' must be specified"));
    }
    Ok(source)
}

impl Source for PipSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(KeyValue::List(vec![(*self.original_url).into(), key::optional(self.reference.as_deref())]))
    }

    fn is_resolved(&self) -> bool {
        self.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.reference.as_deref()?))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let reference = reference.opt_str("ref")?.map(str::to_owned);
        Ok(Box::new(PipSource { reference, ..self.clone() }))
    }

    fn previous(&self) -> Previous {
        Previous { track: true, ..Previous::default() }
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        let entries = self.directory(source_directory).map(|directory| directory.read_dir());
        Ok(entries.is_some_and(|entries| entries.is_ok_and(|mut entries| entries.next().is_some())))
    }

    /// The versions that pip chooses now.
    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let scratch = workspace(context, &self.declared.kind)?;
        let mut wanted = Vec::new();
        if !self.requirements.is_empty() {
            let tree = scratch.path().join("tree");
            export_previous(context, &tree)?;
            for name in &self.requirements {
                wanted.extend(["-r".into(), requirements(context, &tree, name)?]);
            }
        }
        wanted.extend(self.packages.iter().map(OsString::from));
        let candidates = context.urls.track(&self.original_url);
        let heading = format!("Tracking Python packages of {}", first(&candidates));
        let directory = scratch.path().join("packages");
        activity(context.progress, &heading, || download(context, &candidates, &directory, &wanted))?;
        Ok(Some(reference("ref", versions(&directory)?.as_str())))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        let (Some(reference), Some(kept)) = (&self.reference, self.directory(context.source_directory))
        else {
            return Err(self.declared.unresolved());
        };
        if self.is_fetched(context.source_directory)? {
            return Ok(());
        }
        let scratch = workspace(context, &self.declared.kind)?;
        let directory = scratch.path().join("packages");
        let wanted: Vec<OsString> = reference.trim().lines().map(OsString::from).collect();
        let candidates = context.urls.fetch(&self.original_url);
        let heading = format!("Fetching Python packages of {}", first(&candidates));
        activity(context.progress, &heading, || download(context, &candidates, &directory, &wanted))?;
        let moved = std::fs::create_dir_all(kept.parent().unwrap_or(&kept))
            .and_then(|()| std::fs::rename(&directory, &kept));
        match moved {
            // Another process was faster.
            Err(_) if self.is_fetched(context.source_directory)? => Ok(()),
            moved => moved.map_err(|error| bourn_reapi::ServiceError::io(&error, "Writing", &kept).into()),
        }
    }

    fn upstreams(&self, _: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        let reference = self.reference.as_deref().ok_or_else(|| self.declared.unresolved())?;
        let wanted = reference.trim().lines().map(str::to_owned).collect();
        let content = UpstreamContent::Packages { wanted };
        Ok(Some(vec![Upstream { url: self.original_url.clone(), content }]))
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let kept = self.directory(context.source_directory).ok_or_else(|| self.declared.unresolved())?;
        let packages = context.cas.import_tree(&kept, &ImportOptions::default())?;
        trees::put(context.cas, &Digest::empty(), STAGED, trees::Entry::Directory(packages))
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        if self.declared.release < Release(2, 5, 0) {
            return Ok(None);
        }
        let told = self.reference.as_deref().unwrap_or_default().lines().map(|line| {
            let mut parts = line.split("==");
            let (name, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let origin = Origin {
                url: &self.url,
                medium: "pypi",
                version_type: "indexed-version",
                version: Some(version),
                guess: Some(version.to_owned()),
                extra: Vec::new(),
            };
            self.declared.provenance(origin.extra("package-name", name))
        });
        Ok(Some(told.collect()))
    }
}

impl PipSource {
    /// Where the packages of the ref are kept.
    fn directory(&self, source_directory: &Path) -> Option<PathBuf> {
        let sum = Digest::of(self.reference.as_deref()?.as_bytes()).hex();
        let kind = source_directory.join(&*self.declared.kind);
        Some(kind.join(url::directory_name(&self.original_url)).join(sum))
    }
}

/// The file of earlier sources that names packages.
fn requirements(context: &FetchContext<'_>, tree: &Path, name: &str) -> Result<OsString, SourceError> {
    let found = match &context.previous {
        Some(previous) => trees::file(context.cas, previous, name)?,
        None => None,
    };
    match found {
        Some(_) => Ok(tree.join(name.trim_start_matches('/')).into_os_string()),
        None => Err(SourceError::new(format!("Failed to find the requirements file {name}"))
            .hint("a source before this one in the list has to stage it")),
    }
}

/// The first Python of the host with a pip that can download.
fn python() -> Result<&'static str, SourceError> {
    for python in PYTHONS {
        match Tool::silent(python).args(["-m", "pip", "download", "--help"]).succeeds() {
            Ok(true) => return Ok(python),
            Ok(false) => {}
            // It is not installed; the next one may be.
            Err(_) => {}
        }
    }
    let hint = "install the package `python3-pip` on this machine";
    Err(SourceError::new("Unable to find a suitable pip command").hint(hint))
}

/// Lets pip download source distributions, from the first index that has all of them.
fn download(
    context: &FetchContext<'_>,
    candidates: &[Candidate],
    directory: &Path,
    wanted: &[OsString],
) -> Result<(), SourceError> {
    let python = python()?;
    let mut failure = SourceError::new("There is no index to ask");
    for candidate in candidates {
        // What another index gave is not this one's.
        let _ = std::fs::remove_dir_all(directory);
        std::fs::create_dir_all(directory)
            .map_err(|error| bourn_reapi::ServiceError::io(&error, "Creating", directory))?;
        let ran = pip(Tool::new(python, context), &candidate.url, directory)
            .args(wanted)
            .run(|| format!("Failed to download Python packages from {}", shown(&candidate.url)));
        match ran {
            Ok(_) => return Ok(()),
            Err(error) if context.cancel.is_cancelled() => return Err(error),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// `pip` downloading source distributions into a directory.
fn pip<'a>(python: Tool<'a>, index: &str, directory: &Path) -> Tool<'a> {
    let pip = python.args(["-m", "pip", "--disable-pip-version-check", "download"]);
    pip.args(["--no-input", "--no-binary", ":all:", "--index-url", index, "--dest"]).arg(directory)
}

/// The names and versions of the source distributions in a directory, a line each, sorted.
fn versions(directory: &Path) -> Result<String, SourceError> {
    let entries = directory.read_dir().map_err(|error| crate::tree::unreadable(directory, &error))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<(String, String)> = names.filter_map(|name| distribution(&name)).collect();
    found.sort();
    let lines: Vec<String> = found.into_iter().map(|(name, version)| format!("{name}=={version}")).collect();
    Ok(lines.join("\n"))
}

/// Name and version of a source distribution, told by the name of its file.
fn distribution(file: &str) -> Option<(String, String)> {
    // The dots of the endings stand for anything, as with the reference.
    let pattern = r"^([\w.-]+?)-((?:[\d.]+){2,})\.(?:tar|tar.bz2|tar.gz|tar.xz|tar.Z|zip)$";
    let regex = RegexBuilder::new(pattern).case_insensitive(true).build().ok()?;
    let found = regex.captures(file)?;
    Some((found[1].to_owned(), found[2].to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions() {
        for (file, expect) in [
            ("foo-1.0.tar.gz", Some(("foo", "1.0"))),
            ("a-b.c-2.10.3.zip", Some(("a-b.c", "2.10.3"))),
            ("Foo-1.0.TAR.BZ2", Some(("Foo", "1.0"))),
            ("foo-1.0rc1.tar.gz", None),
            ("foo-1.tar.gz", None),
            ("foo-1.0-py3-none-any.whl", None),
        ] {
            let found = distribution(file);
            let found = found.as_ref().map(|(name, version)| (name.as_str(), version.as_str()));
            assert_eq!(found, expect, "{file}");
        }
    }
}
