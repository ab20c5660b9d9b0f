//! `bazel_source`: what a resolved file of Bazel names, downloaded into a distribution directory.

mod literal;
mod resolved;

use crate::declared::{Declared, reference};
use crate::download::activity;
use crate::host::{Tool, export_previous};
use crate::key;
use crate::reading::Reading;
use crate::scratch::workspace;
use crate::trees;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_reapi::services::ImportOptions;
use bourn_yaml::{Diagnostic, Diagnostics};
use resolved::Wanted;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The directory that Bazel is told to take for what it would download.
const DISTRIBUTION: &str = "_bst_distdir";

/// The kind.
pub(crate) struct BazelSource;

#[derive(Clone)]
struct BazelSourceSource {
    declared: Declared,
    /// Whether the host's `bazel` may make the resolved file where it is missing.
    allow_host_bazel: bool,
    /// Name of the resolved file in what earlier sources stage.
    repo_file: String,
    /// What the host's `bazel` is asked for.
    targets: Vec<String>,
    /// The project of Bazel in what earlier sources stage.
    workspace_directory: String,
    /// SHA-256 of the resolved file.
    reference: Option<String>,
    /// `ELEMENT-INDEX`, part of the name under which downloads are kept.
    name: String,
}

impl SourceKind for BazelSource {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<BazelSourceSource, Diagnostic> {
    reading.keys(&["workspace-dir", "allow-host-bazel", "repo-file", "targets", "ref"])?;
    let node = reading.node;
    let allow_host_bazel = node.opt_bool("allow-host-bazel")?.unwrap_or(false);
    let targets = node.opt_str_list("targets")?.unwrap_or_default();
    if !allow_host_bazel && !targets.is_empty() {
        reading.warn(None, "`targets` specified but host bazel not allowed")?;
    }
    let workspace_directory = node.opt_str("workspace-dir")?.unwrap_or(".").to_owned();
    if trees::parts(&workspace_directory).any(|part| part == "..") {
        return Err(
            reading.error("", format!("`workspace-dir: {workspace_directory}` leads out of the sources"))
        );
    }
    let targets = if targets.is_empty() { vec!["//..."] } else { targets };
    Ok(BazelSourceSource {
        declared: reading.declared(),
        allow_host_bazel,
        repo_file: node.opt_str("repo-file")?.unwrap_or(".bst-sources").to_owned(),
        targets: targets.into_iter().map(str::to_owned).collect(),
        workspace_directory,
        reference: node.opt_str("ref")?.map(str::to_owned),
        name: format!("{}-{}", reading.context.element, reading.declaration.index),
    })
}

impl BazelSourceSource {
    /// The resolved file, and whether the host's `bazel` made it.
    fn resolved(&self, context: &FetchContext<'_>) -> Result<(String, bool), SourceError> {
        match self.staged(context)? {
            Some(text) => Ok((text, false)),
            None => Ok((self.text(self.ask_bazel(context)?)?, true)),
        }
    }

    /// The resolved file that earlier sources staged.
    fn staged(&self, context: &FetchContext<'_>) -> Result<Option<String>, SourceError> {
        let path = format!("{}/{}", self.workspace_directory, self.repo_file);
        let previous = context.previous.unwrap_or_else(Digest::empty);
        trees::read(context.cas, &previous, &path)?.map(|content| self.text(content)).transpose()
    }

    /// A resolved file with ends of lines as the reference reads them.
    fn text(&self, content: Vec<u8>) -> Result<String, SourceError> {
        let text = String::from_utf8(content)
            .map_err(|_| SourceError::new(format!("The file '{}' is not UTF-8", self.repo_file)))?;
        Ok(text.replace("\r\n", "\n").replace('\r', "\n"))
    }

    fn wanted(&self, context: &FetchContext<'_>, text: &str) -> Result<Vec<Wanted>, SourceError> {
        resolved::wanted(context, text)
            .map_err(|what| SourceError::new(format!("{}: {what}", self.repo_file)))
    }

    /// Has the host's `bazel` find out what the project needs.
    fn ask_bazel(&self, context: &FetchContext<'_>) -> Result<Vec<u8>, SourceError> {
        let text = format!("Repository file '{}' not found, falling back to host bazel", self.repo_file);
        context.progress.warn(None, &text, None)?;
        if !self.allow_host_bazel {
            let message = "No repository resolved file found and cannot fall back to host bazel";
            let hint = "let an earlier source stage the file, or say `allow-host-bazel: true`";
            return Err(SourceError::new(message).hint(hint));
        }
        let scratch = workspace(context, &self.declared.kind)?;
        let (tree, output) = (scratch.path().join("tree"), scratch.path().join("output"));
        export_previous(context, &tree)?;
        let workspace: PathBuf = trees::parts(&self.workspace_directory).collect();
        let (within, made) = (tree.join(workspace), scratch.path().join("resolved"));
        let bazel = || Tool::new("bazel", context).within(&within).arg("--output_base").arg(&output);
        let mut option = OsString::from("--experimental_repository_resolved_file=");
        option.push(&made);
        let ran = bazel().arg("cquery").arg(option).args(&self.targets);
        let ran = ran.run(|| "Failed to generate repository file with host bazel".to_owned());
        // Whatever came of it, its server is not to stay.
        let ended = bazel().arg("shutdown").run(|| "Failed to shutdown host bazel".to_owned());
        ran.and(ended)?;
        std::fs::read(&made).map_err(|error| crate::tree::unreadable(&made, &error))
    }

    /// Puts what was downloaded where it is kept, all at once.
    fn publish(&self, source_directory: &Path, made: &Path) -> Result<(), SourceError> {
        let kept = self.directory(source_directory);
        let moved = std::fs::create_dir_all(kept.parent().unwrap_or(&kept))
            .and_then(|()| std::fs::rename(made, &kept));
        match moved {
            // Another process was faster.
            Err(_) if self.is_fetched(source_directory)? => Ok(()),
            moved => moved.map_err(|error| bourn_reapi::ServiceError::io(&error, "Writing", &kept).into()),
        }
    }

    /// Where downloads are kept.
    fn directory(&self, source_directory: &Path) -> PathBuf {
        let reference = self.reference.as_deref().unwrap_or("None");
        source_directory.join(&*self.declared.kind).join(format!("{}-{reference}", self.name))
    }
}

impl Source for BazelSourceSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(KeyValue::List(vec![
            KeyValue::Bool(self.allow_host_bazel),
            (*self.repo_file).into(),
            key::texts(&self.targets),
            (*self.workspace_directory).into(),
            key::optional(self.reference.as_deref()),
        ]))
    }

    fn is_resolved(&self) -> bool {
        self.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.reference.as_deref()?))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let reference = reference.opt_str("ref")?.map(str::to_owned);
        Ok(Box::new(BazelSourceSource { reference, ..self.clone() }))
    }

    fn previous(&self) -> Previous {
        Previous { track: true, fetch: true, stage: false }
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        let entries = self.directory(source_directory).read_dir();
        Ok(entries.is_ok_and(|mut entries| entries.next().is_some()))
    }

    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let (resolved, _) = self.resolved(context)?;
        Ok(Some(reference("ref", Digest::of(resolved.as_bytes()).hex())))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        let reference = self.reference.as_deref().ok_or_else(|| self.declared.unresolved())?;
        if self.is_fetched(context.source_directory)? {
            return Ok(());
        }
        let (resolved, by_host) = self.resolved(context)?;
        let sum = Digest::of(resolved.as_bytes()).hex();
        if by_host {
            context.progress.warn(None, "Not checking ref, using host bazel affects repo file", None)?;
        } else if sum != reference {
            let hint = "track the source if the new file is the right one";
            return Err(
                SourceError::new(format!("Ref {sum} does not match specified {reference}")).hint(hint)
            );
        }
        let wanted = self.wanted(context, &resolved)?;
        let scratch = workspace(context, &self.declared.kind)?;
        let directory = scratch.path().join("kept").join(DISTRIBUTION);
        resolved::download(context, &wanted, &directory)?;
        self.publish(context.source_directory, &scratch.path().join("kept"))
    }

    /// What the resolved file names, as far as it was to be had. A file that the host's `bazel` makes is made anew where
    /// it is fetched, from what no mirror has.
    fn upstreams(&self, context: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        let Some(resolved) = self.staged(context)? else { return Ok(None) };
        let wanted = self.wanted(context, &resolved)?;
        let directory = self.directory(context.source_directory).join(DISTRIBUTION);
        let found = wanted.iter().map(|file| file.upstream(&directory));
        Ok(Some(found.filter_map(Result::transpose).collect::<Result<_, _>>()?))
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        activity(context.progress, "Staging Bazel sources", || {
            let kept = self.directory(context.source_directory);
            let kept = trees::Entry::Directory(context.cas.import_tree(&kept, &ImportOptions::default())?);
            let staged = trees::put(context.cas, &Digest::empty(), &self.workspace_directory, kept)?;
            trees::overlay(context.cas, &context.previous.unwrap_or_else(Digest::empty), &staged)
        })
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        Ok(None)
    }
}
