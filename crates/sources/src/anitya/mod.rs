//! `anitya`: a release archive, tracked by release-monitoring.org.

use crate::cpan::remote_file;
use crate::declared::{Declared, reference};
use crate::document;
use crate::download::RemoteFile;
use crate::glob::Glob;
use crate::key;
use crate::reading::Reading;
use crate::template::{TemplateError, fill};
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics, Domain, Mapping, Node};
use fancy_regex::Regex;
use std::path::Path;
use std::sync::LazyLock;

/// The kind.
pub(crate) struct Anitya;

#[derive(Clone)]
struct AnityaSource {
    declared: Declared,
    api_url: String,
    project_id: i32,
    /// URL with names in braces.
    template: String,
    /// What of it stands before the first brace, by the project's aliases.
    translated_prefix: String,
    /// Globs of members that are not staged.
    exclude: Vec<String>,
    reference: Option<VersionReference>,
}

/// The ref.
#[derive(Clone, Debug, PartialEq, Eq)]
struct VersionReference {
    version: String,
    sha256: String,
    /// The URL of that version.
    url: String,
}

impl SourceKind for Anitya {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<AnityaSource, Diagnostic> {
    reading.keys(&["project-id", "url", "ref", "exclude", "api-url"])?;
    let node = reading.node;
    let template = node.get_str("url")?.to_owned();
    let api_url = node.opt_str("api-url")?.unwrap_or("https://release-monitoring.org/api/v2/").to_owned();
    let exclude = node.opt_str_list("exclude")?.unwrap_or_default();
    Ok(AnityaSource {
        declared: reading.declared(),
        api_url,
        project_id: node.get_int("project-id")?,
        translated_prefix: reading.translate(prefix(&template))?,
        exclude: exclude.into_iter().map(str::to_owned).collect(),
        reference: read_reference(node, &template)?,
        template,
    })
}

/// What of a template stands before its first brace.
fn prefix(template: &str) -> &str {
    template.split('{').next().unwrap_or(template)
}

fn read_reference(node: &Node, template: &str) -> Result<Option<VersionReference>, Diagnostic> {
    let Some(node) = node.get("ref").filter(|node| !node.is_null()) else { return Ok(None) };
    node.validate_keys(&["version", "sha256sum"])?;
    let version = node.get_str("version")?.to_owned();
    let sha256 = node.get_str("sha256sum")?.to_owned();
    let url = render(template, &version)
        .map_err(|message| Diagnostic::new(Domain::Source, "", message).at(node.at))?;
    Ok(Some(VersionReference { version, sha256, url }))
}

/// The parts that the names in a template stand for.
static PARTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let pattern = concat!(
        r"\A(?<prefix>.*?)(?<major>\d+)(?:(?=\.\d)|(?!.*\d+\.\d))(?:\.(?<minor>\d+))?(?:\.(?<patch>\d+))?",
        r"(?:\.\d+)*[-_.~]*(?<prerelease>[^+]*)(?:\+(?<metadata>.*))?\z"
    );
    Regex::new(pattern).ok()
});

/// The URL of a version.
fn render(template: &str, version: &str) -> Result<String, String> {
    let parts = PARTS.as_ref().and_then(|parts| parts.captures(version).ok().flatten());
    let value = |name: &str| match (name, &parts) {
        ("version", _) => Some(version),
        ("prefix" | "major" | "minor" | "patch" | "prerelease" | "metadata", Some(parts)) => {
            Some(parts.name(name).map_or("", |part| part.as_str()))
        }
        ("prefix" | "prerelease" | "metadata", None) => Some(""),
        _ => None,
    };
    fill(template, value).map_err(|error| match error {
        TemplateError::Unknown(name) => {
            format!("Version '{version}' does not provide {{{name}}} for the URL template")
        }
        TemplateError::Malformed => format!("The braces of the URL template {template} do not match"),
    })
}

impl AnityaSource {
    /// The archive; `None` without a ref.
    fn file(&self) -> Option<RemoteFile> {
        let VersionReference { url, sha256, .. } = self.reference.as_ref()?;
        Some(RemoteFile::new(&self.declared.kind, &self.template, url.clone(), Some(sha256)))
    }
}

impl Source for AnityaSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let reference = self.reference.as_ref();
        Ok(KeyValue::List(vec![
            (*self.template).into(),
            key::optional(reference.map(|reference| reference.version.as_str())),
            key::optional(reference.map(|reference| reference.sha256.as_str())),
            key::texts(&self.exclude),
        ]))
    }

    fn is_resolved(&self) -> bool {
        self.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        let VersionReference { version, sha256, .. } = self.reference.as_ref()?;
        let mut entries = Mapping::new();
        entries.insert("version", Node::scalar(version.as_str()));
        entries.insert("sha256sum", Node::scalar(sha256.as_str()));
        Some(reference("ref", entries))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(AnityaSource { reference: read_reference(reference, &self.template)?, ..self.clone() }))
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        Ok(self.file().is_some_and(|file| file.is_kept(source_directory)))
    }

    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let url = format!("{}versions/?project_id={}", self.api_url, self.project_id);
        let answer = document::read_json(context, &url, "application/json")?;
        let newest = answer.get("stable_versions").and_then(|versions| versions.get(0)?.as_str());
        let version = newest.ok_or_else(|| {
            let hint = "`project-id` is the number in the address of the project's page";
            SourceError::new(format!("Anitya project {} has no versions", self.project_id)).hint(hint)
        })?;
        let url = render(&self.template, version).map_err(SourceError::new)?;
        // Where nothing new came out, the server is asked whether it is still the same file.
        let known = self.reference.as_ref().filter(|known| known.url == url);
        let known = known.map(|known| known.sha256.as_str());
        let sha256 =
            RemoteFile::new(&self.declared.kind, &self.template, url.clone(), known).track(context)?;
        let reference = Some(VersionReference { version: version.to_owned(), sha256, url });
        Ok(AnityaSource { reference, ..self.clone() }.reference())
    }

    fn upstreams(&self, context: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        Ok(Some(self.file().and_then(|file| file.remote(context.source_directory)).into_iter().collect()))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        self.file().ok_or_else(|| self.declared.unresolved())?.fetch(context)
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let exclude: Vec<Glob> = self.exclude.iter().map(|glob| Glob::new(glob)).collect();
        self.file().ok_or_else(|| self.declared.unresolved())?.stage_top(context, &exclude)
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        let Some(VersionReference { url, sha256, .. }) = &self.reference else { return Ok(None) };
        let suffix = url.strip_prefix(prefix(&self.template)).unwrap_or(url);
        let url = format!("{}{suffix}", self.translated_prefix);
        Ok(Some(vec![remote_file(&self.declared, &url, Some(sha256), None, None)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, version: &str, expect: Result<&str, &str>) {
        let found = render(template, version);
        assert_eq!(found.as_deref().map_err(String::as_str), expect, "{template} {version}");
    }

    #[test]
    fn urls() {
        check("a:{major}.{minor}/x-{version}.tar", "1.2.3", Ok("a:1.2/x-1.2.3.tar"));
        check("{patch}|{prerelease}|{metadata}", "v1.2-rc1+b7", Ok("|rc1|b7"));
        check("{prefix}{major}", "release-4", Ok("release-4"));
        check("{major}", "none", Err("Version 'none' does not provide {major} for the URL template"));
        check("{prefix}", "none", Ok(""));
        check("{other}", "1", Err("Version '1' does not provide {other} for the URL template"));
    }
}
