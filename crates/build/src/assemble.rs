//! Building one element: carrying out its assembly and keeping what comes of it.

use crate::bench::Bench;
use crate::cache::artifact::VERSION;
use crate::cache::{Cached, metadata};
use crate::error::{BuildError, BuildResult, domain};
use crate::event::MessageKind;
use crate::job::{Activity, Job};
use crate::options::CacheBuildTrees;
use crate::sandbox::SYSTEM_DIRECTORIES;
use crate::session::Session;
use bourn_project::ElementId;
use bourn_reapi::artifact::ArtifactDependency;
use bourn_reapi::tree::Tree;
use bourn_reapi::{Artifact, Digest, EnvironmentVariable, LogFile, SandboxState};
use bourn_yaml::dump;
use std::io::Write;
use std::sync::Arc;

/// What building an element came to.
pub struct Assembled {
    /// The artifact that was kept, of a success or a failure.
    pub artifact: Option<Arc<Cached>>,
    /// Why the job failed.
    pub error: Option<BuildError>,
}

impl Assembled {
    fn failed(error: BuildError) -> Assembled {
        Assembled { artifact: None, error: Some(error) }
    }
}

/// Builds an element. A failure that is in the cache already is reported again, with its log.
pub fn assemble(session: &Session<'_>, job: &Job<'_>, id: ElementId) -> Assembled {
    if let Some(cached) = session.artifact(id).filter(|cached| !cached.is_success()) {
        let error = match repeat_log(session, job, &cached) {
            Ok(()) => cached.failure(),
            Err(error) => error,
        };
        return Assembled { artifact: Some(cached), error: Some(error) };
    }
    let mut bench = match stage(session, job, id) {
        Ok(bench) => bench,
        Err(error) => return Assembled::failed(error),
    };
    let assembly = &session.planned(id).description.assembly;
    let outcome = match bench.assemble_by_plugin() {
        Some(outcome) => outcome,
        None => bench.steps(&assembly.assemble).map(|()| Some(assembly.collect.clone())),
    };
    match outcome {
        Ok(collect) => keep(&bench, collect.as_deref(), None),
        Err(mut error) if error.of_element => {
            error.failure.sandbox = true;
            let collect = error.collect.clone();
            keep(&bench, collect.as_deref(), Some(error))
        }
        Err(error) => Assembled::failed(error),
    }
}

fn repeat_log(session: &Session<'_>, job: &Job<'_>, cached: &Cached) -> BuildResult<()> {
    let text = cached.log_text(&**session.cas())?;
    let written = job.output()?.write_all(&text);
    written.map_err(|error| BuildError::new(domain::CAS, format!("Writing the log failed: {error}")))
}

/// Prepares the sandbox of an element as its build finds it: configured and staged.
///
/// # Errors
/// Whatever staging finds wrong.
pub fn stage<'s>(session: &'s Session<'s>, job: &'s Job<'s>, id: ElementId) -> BuildResult<Bench<'s>> {
    let mut bench = Bench::new(session, job, id);
    let assembly = &session.planned(id).description.assembly;
    match &assembly.foreign {
        Some(foreign) => bench.configure_by_plugin(&**foreign)?,
        None => bench.configure(assembly)?,
    }
    let variables = bench.sandbox.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let text = format!("Build environment for element {}", session.element(id).name);
    job.say(MessageKind::Log, &text, Some(&metadata::environment(variables)));
    bench.stage_by_plugin()?;
    bench.steps(&assembly.stage)?;
    Ok(bench)
}

/// Keeps what a build left as an artifact, of a success or of the failure `error`.
fn keep(bench: &Bench<'_>, collect: Option<&str>, error: Option<BuildError>) -> Assembled {
    let heading = Activity::new("Caching artifact");
    match bench.job.activity(&heading, || Keeping { bench, error: error.as_ref() }.publish(collect)) {
        Ok((artifact, found)) => {
            let error = error.or_else(|| match collect {
                Some(path) if !found => Some(not_found(path)),
                _ => None,
            });
            Assembled { artifact: Some(artifact), error }
        }
        Err(error) => Assembled::failed(error),
    }
}

fn not_found(path: &str) -> BuildError {
    let message =
        format!("Directory '{path}' was not found inside the sandbox, unable to collect artifact contents");
    BuildError::new(domain::ELEMENT, message)
}

/// An artifact in the making.
struct Keeping<'k, 's> {
    bench: &'k Bench<'s>,
    error: Option<&'k BuildError>,
}

impl Keeping<'_, '_> {
    /// Stores everything and publishes the names; whether the directory to be collected was there.
    fn publish(&self, collect: Option<&str>) -> BuildResult<(Arc<Cached>, bool)> {
        let Bench { session, id, .. } = *self.bench;
        let root = &self.bench.sandbox.root.tree;
        let files = match collect {
            Some(path) => root.subtree(path)?.map(|files| bare(&files)).transpose()?,
            None => None,
        };
        let mut message = self.describe()?;
        message.files = files.map(Into::into);
        self.add_metadata(&mut message)?;
        if self.keeps_build_tree() {
            self.add_build_tree(&mut message)?;
        }
        let mut names = vec![session.artifact_name(id, &message.strong_key)];
        if message.weak_key != message.strong_key {
            names.push(session.artifact_name(id, &message.weak_key));
        }
        session.assets().publish_artifact(&names, &message)?;
        Ok((Arc::new(Cached::new(message)), files.is_some()))
    }

    /// Result, keys and what it was built upon.
    fn describe(&self) -> BuildResult<Artifact> {
        let Bench { session, id, .. } = *self.bench;
        let planned = session.planned(id);
        let unknown = || BuildError::new(domain::ARTIFACT, "An element without a key cannot be kept");
        let (weak, strict) =
            planned.weak_key.as_ref().zip(planned.strict_key.as_ref()).ok_or_else(unknown)?;
        let strong = session.strong_key(id).ok_or_else(unknown)?;
        let failure = self.error.map(|error| &error.failure);
        let mut message = Artifact {
            version: VERSION,
            build_success: failure.is_none(),
            build_error: failure.map_or_else(|| "succeeded".to_owned(), |failure| failure.message.clone()),
            build_error_details: failure.and_then(|failure| failure.detail.clone()).unwrap_or_default(),
            strong_key: strong.0,
            strict_key: strict.0.clone(),
            weak_key: weak.0.clone(),
            was_workspaced: session.workspace(id).is_some(),
            ..Artifact::default()
        };
        message.set_dependencies(session.build_closure(id).into_iter().map(|id| dependency(session, id)));
        Ok(message)
    }

    fn add_metadata(&self, message: &mut Artifact) -> BuildResult<()> {
        let Bench { session, id, .. } = *self.bench;
        let element = session.element(id);
        let blobs = [
            dump(&self.bench.public).into_bytes(),
            metadata::low_diversity(element, &self.bench.sandbox.environment).into_bytes(),
            metadata::high_diversity(element).into_bytes(),
        ];
        let digests = session.cas().write_many(&blobs.each_ref().map(Vec::as_slice))?;
        let mut digests = digests.into_iter().map(Into::into);
        message.public_data = digests.next();
        message.low_diversity_meta = digests.next();
        message.high_diversity_meta = digests.next();
        if let Some(path) = self.bench.job.log_path() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            message.logs.push(LogFile { name, digest: session.cas().import_file(path)?.digest });
        }
        Ok(())
    }

    fn keeps_build_tree(&self) -> bool {
        let Bench { session, id, .. } = *self.bench;
        match session.options.cache_build_trees {
            CacheBuildTrees::Always => true,
            CacheBuildTrees::Never => false,
            CacheBuildTrees::Auto => self.error.is_some() || session.workspace(id).is_some(),
        }
    }

    /// The whole sandbox. Directories of the system carry the mark that bst's last command left on them.
    fn build_root(&self) -> BuildResult<Digest> {
        let Bench { sandbox, .. } = self.bench;
        let mut root = sandbox.root.tree.without_properties()?;
        if sandbox.was_read_only {
            for path in SYSTEM_DIRECTORIES {
                root.set_property(path, READ_ONLY, "false")?;
            }
        }
        Ok(root.digest()?)
    }

    fn add_build_tree(&self, message: &mut Artifact) -> BuildResult<()> {
        let Bench { session, id, sandbox, .. } = self.bench;
        let root = &sandbox.root.tree;
        if let Some(path) = session.element(*id).variables.get("build-root")
            && let Some(tree) = root.subtree(path)?
        {
            message.buildtree = Some(bare(&tree)?.into());
        }
        message.buildroot = Some(self.build_root()?.into());
        message.sources = session.states().get(*id).sources.staged().map(Into::into);
        if root.is_empty()? {
            // bst takes a root that holds nothing for none.
            return Ok(());
        }
        let mut environment: Vec<EnvironmentVariable> = Vec::new();
        if sandbox.has_environment() {
            let variable = |(name, value): &(String, String)| EnvironmentVariable {
                name: name.clone(),
                value: value.clone(),
            };
            environment.extend(sandbox.environment.iter().map(variable));
            environment.sort_by(|a, b| a.name.cmp(&b.name));
        }
        message.buildsandbox = Some(SandboxState {
            environment,
            working_directory: sandbox.working_directory().to_owned(),
            subsandbox_digests: sandbox.subsandboxes.iter().map(|&digest| digest.into()).collect(),
            marked_directories: sandbox.marked.clone(),
        });
        Ok(())
    }
}

/// The property by which bst tells its sandbox what of a tree may be written to.
const READ_ONLY: &str = "SubtreeReadOnly";

/// The digest of a tree's content without properties of its top directory.
fn bare(tree: &Tree) -> BuildResult<Digest> {
    Ok(tree.without_properties()?.digest()?)
}

fn dependency(session: &Session<'_>, id: ElementId) -> ArtifactDependency {
    ArtifactDependency {
        project_name: session.project(id).name.clone(),
        element_name: session.element(id).name.to_string(),
        cache_key: session.strong_key(id).map(|key| key.0).unwrap_or_default(),
        was_workspaced: session.workspace(id).is_some(),
    }
}
