//! The workbench as kinds see it: what the steps that they carry out themselves may ask for and do.

use crate::bench::Bench;
use crate::error::BuildError;
use crate::event::MessageKind;
use crate::job::Activity;
use bourn_plan::assembly::{Run, Split, Stage};
use bourn_plan::closure::Edges;
use bourn_plan::source::{PlannedSource, ProvenanceContext, SourceProvenance};
use bourn_plan::workbench::{AssemblyError, Entry, Origin, Scratch, Workbench};
use bourn_project::{ElementGraph, ElementId};
use bourn_reapi::Digest;
use bourn_reapi::tree::{self};
use bourn_yaml::Node;
use bourn_yaml::code::intern;
use std::io::{self, Read, Seek, SeekFrom, Write};
/// An error as kinds see it.
pub(crate) fn assembly_error(error: impl Into<BuildError>) -> AssemblyError {
    let error: BuildError = error.into();
    AssemblyError {
        reason: error.failure.reason.as_deref().map_or("", intern),
        origin: Some(Box::new(Origin { domain: error.failure.domain, temporary: error.temporary })),
        message: error.failure.message,
        detail: error.failure.detail,
        hint: error.failure.hint,
        of_element: error.of_element,
        collect: error.collect.map(String::into_boxed_str),
    }
}

fn seen(entry: &tree::Entry) -> Entry {
    match entry {
        tree::Entry::Directory(_) => Entry::Directory,
        tree::Entry::File(file) => Entry::File { digest: file.digest, executable: file.executable },
        tree::Entry::Symlink(link) => Entry::Symlink { target: link.target.to_string() },
    }
}

/// What comes of a step that kinds carry out themselves.
pub(crate) type Done<T> = Result<T, AssemblyError>;

impl Workbench for Bench<'_> {
    fn graph(&self) -> &ElementGraph {
        &self.session.plan.graph
    }

    fn edges(&self) -> &Edges {
        &self.session.plan.edges
    }

    fn element(&self) -> ElementId {
        self.id
    }

    fn public(&self, dependency: ElementId, domain: &str) -> Done<Option<Node>> {
        let Some(cached) = self.session.artifact(dependency) else { return Ok(None) };
        let public = self.session.public(&cached).map_err(assembly_error)?;
        Ok(public.domain(domain).cloned())
    }

    fn own_public(&self, domain: &str) -> Option<Node> {
        self.public.get(domain).cloned()
    }

    fn set_public(&mut self, domain: &str, value: Node) {
        if let Some(entries) = self.public.entries_mut() {
            entries.insert(domain, value);
        }
    }

    fn manifest(&self, dependency: ElementId, split: &Split) -> Done<Vec<String>> {
        self.manifest_of(dependency, split).map_err(assembly_error)
    }

    fn paths(&self, path: &str) -> Done<Option<Vec<String>>> {
        let path = self.followed(path).map_err(assembly_error)?;
        let directory = self.sandbox.root.tree.subtree(&path).map_err(assembly_error)?;
        directory.map(|directory| directory.paths().map_err(assembly_error)).transpose()
    }

    fn artifact_name(&self, dependency: ElementId) -> String {
        let key = self.session.strong_key(dependency).map(|key| key.0).unwrap_or_default();
        self.session.artifact_name(dependency, &key).to_string()
    }

    fn sources(&self, element: ElementId) -> &[PlannedSource] {
        &self.session.planned(element).sources
    }

    fn provenance(&self, element: ElementId) -> Done<Vec<Option<Vec<SourceProvenance>>>> {
        let Some(local) = self.session.local else {
            return Err(AssemblyError::world("Where sources come from is not known in this session"));
        };
        let graph = &self.session.plan.graph;
        let context = ProvenanceContext {
            project: graph.project(graph.element(element).project),
            local,
            source_directory: &self.session.options.source_directory,
        };
        let sources = self.sources(element).iter().map(|planned| {
            planned.source.provenance(&context).map_err(|error| {
                let message = format!("{}: {}", graph.full_name(element), error.message);
                AssemblyError { detail: error.detail, hint: error.hint, ..AssemblyError::world(message) }
            })
        });
        sources.collect()
    }

    fn entry(&self, path: &str) -> Done<Option<Entry>> {
        let path = self.followed(path).map_err(assembly_error)?;
        let entry = self.sandbox.root.tree.entry(&path).map_err(assembly_error)?;
        Ok(entry.as_deref().map(seen))
    }

    fn list(&self, path: &str) -> Done<Option<Vec<(String, Entry)>>> {
        let path = self.followed(path).map_err(assembly_error)?;
        let Some(directory) = self.sandbox.root.tree.subtree(&path).map_err(assembly_error)? else {
            return Ok(None);
        };
        let entries = directory.entries().map_err(assembly_error)?;
        Ok(Some(entries.map(|(name, entry)| (name.to_owned(), seen(entry))).collect()))
    }

    fn open(&self, path: &str) -> Done<Box<dyn Read>> {
        match Workbench::entry(self, path)? {
            Some(Entry::File { digest, .. }) => {
                Ok(Box::new(self.session.cas().open(&digest).map_err(assembly_error)?))
            }
            _ => Err(AssemblyError::world(format!("There is no file at /{}", path.trim_start_matches('/')))),
        }
    }

    fn write(
        &mut self,
        path: &str,
        executable: bool,
        content: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Done<Digest> {
        let failed = |error: io::Error| AssemblyError::world(format!("Writing {path} failed: {error}"));
        let mut scratch = tempfile::tempfile_in(&self.session.options.temporary_directory).map_err(failed)?;
        let mut buffered = io::BufWriter::new(&mut scratch);
        content(&mut buffered).and_then(|()| buffered.flush()).map_err(failed)?;
        drop(buffered);
        scratch.seek(SeekFrom::Start(0)).map_err(failed)?;
        let digest = self.session.cas().write_from(&mut scratch).map_err(assembly_error)?;
        let path = self.followed(path).map_err(assembly_error)?;
        let file = tree::Entry::File(tree::File { digest, executable, properties: None });
        self.sandbox.root.tree_mut().put(&path, file).map_err(assembly_error)?;
        Ok(digest)
    }

    fn create_directory(&mut self, path: &str) -> Done<()> {
        let path = self.followed(path).map_err(assembly_error)?;
        self.sandbox.root.tree_mut().create_directory(&path).map_err(assembly_error)
    }

    fn remove(&mut self, path: &str) -> Done<()> {
        let path = self.followed(path).map_err(assembly_error)?;
        self.sandbox.root.tree_mut().remove(&path).map(drop).map_err(assembly_error)
    }

    fn rename(&mut self, from: &str, to: &str) -> Done<()> {
        let (from, to) =
            (self.followed(from).map_err(assembly_error)?, self.followed(to).map_err(assembly_error)?);
        let tree = self.sandbox.root.tree_mut();
        match tree.remove(&from).map_err(assembly_error)? {
            Some(entry) => tree.put(&to, entry).map_err(assembly_error),
            None => Err(AssemblyError::world(format!("There is nothing at /{from}"))),
        }
    }

    fn import(&mut self, from: &str, into: &str, keep: Option<&dyn Fn(&str) -> bool>) -> Done<()> {
        let (from, into) =
            (self.followed(from).map_err(assembly_error)?, self.followed(into).map_err(assembly_error)?);
        let source = self.sandbox.root.tree.subtree(&from).map_err(assembly_error)?;
        let Some(source) = source else {
            return Err(AssemblyError::world(format!("There is no directory at /{from}")));
        };
        let tree = self.sandbox.root.tree_mut();
        match keep {
            None => tree.import(&into, &source, None).map_err(assembly_error)?,
            Some(keep) => {
                let directory = |path: &str| matches!(source.entry(path), Ok(Some(entry)) if entry.kind() == tree::Kind::Directory);
                let keep = |path: &str| keep(path) || directory(path);
                tree.import(&into, &source, Some(&keep)).map_err(assembly_error)?
            }
        };
        Ok(())
    }

    fn stage(&mut self, stage: &Stage) -> Done<()> {
        self.sandbox.root.stage(self.session, self.job, stage).map_err(assembly_error)
    }

    fn run(&mut self, run: &Run) -> Done<()> {
        self.run_commands(run).map_err(assembly_error)
    }

    fn scratch(&mut self) -> Done<Box<dyn Scratch>> {
        let file = tempfile::tempfile_in(&self.session.options.temporary_directory)
            .map_err(|error| AssemblyError::world(format!("No temporary file can be made: {error}")))?;
        Ok(Box::new(file))
    }

    fn info(&self, message: &str) {
        self.job.say(MessageKind::Info, message, None);
    }

    fn warn(&self, token: Option<&str>, message: &str, detail: Option<&str>) -> Done<()> {
        self.job.warn(token, message, detail).map_err(assembly_error)
    }

    fn activity(
        &mut self,
        name: &str,
        silent: bool,
        work: &mut dyn FnMut(&mut dyn Workbench) -> Done<()>,
    ) -> Done<()> {
        let job = self.job;
        job.activity(&Activity::new(name).silent(silent), || Ok(work(self)?)).map_err(assembly_error)
    }
}
