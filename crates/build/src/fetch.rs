//! Sources of elements: fetching, staging into the store, tracking.
//!
//! Each source is kept alone under its own key, and all sources of an element together under theirs. Sources that
//! work on what earlier ones staged (`patch`) are kept only together with those.

use crate::error::{BuildError, BuildResult, domain};
use crate::event::MessageKind;
use crate::job::Job;
use crate::session::Session;
use crate::state::SourceState;
use bourn_plan::source::{self, FetchContext, PlannedSource, SourceRef};
use bourn_project::ElementId;
use bourn_reapi::services::{ErrorKind, SourceName};
use bourn_reapi::tree::Tree;
use bourn_reapi::{Digest, Source};

/// What of an element is fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fetch {
    /// What staging needs, unless it is staged already.
    Staged,
    /// Everything that the sources themselves keep, even if it is staged already (workspaces).
    Original,
}

/// Whether a source is kept together with others only.
fn needs_others(source: &dyn source::Source) -> bool {
    let previous = source.previous();
    previous.fetch || previous.stage
}

/// Fetches and stages the sources of an element: the digest of the staged tree.
///
/// # Errors
/// A source cannot be fetched or staged.
pub fn fetch(session: &Session<'_>, job: &Job<'_>, id: ElementId, what: Fetch) -> BuildResult<Digest> {
    Sources::new(session, job, id).fetch(what)
}

/// Is shown a source that was fetched, its kind, and what fetching is given.
pub type Visit<'a> =
    dyn Fn(&dyn source::Source, &str, &FetchContext<'_>) -> Result<(), source::SourceError> + Sync + 'a;

/// Brings everything that the sources of an element keep themselves, and shows each to `visit`.
///
/// # Errors
/// A source cannot be fetched; those of `visit`.
pub fn visit(session: &Session<'_>, job: &Job<'_>, id: ElementId, visit: &Visit<'_>) -> BuildResult<()> {
    let sources = Sources::new(session, job, id);
    for at in 0..sources.all().len() {
        job.check_cancelled()?;
        sources.fetch_original(at)?;
        let source = sources.at(at);
        let previous = source.previous().fetch.then(|| sources.previous(at)).transpose()?;
        visit(source, &sources.all()[at].declaration.kind, &sources.context(previous))?;
    }
    Ok(())
}

/// A new ref that tracking found.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// Position of the source in the element's list.
    pub index: usize,
    /// The keys to be written, for [`SourceRef`].
    pub reference: SourceRef,
    /// Whether it differs from the one before.
    pub changed: bool,
}

/// Looks for newer refs of all sources of an element. `None` when none of them can be tracked.
///
/// # Errors
/// A source cannot be tracked.
pub fn track(session: &Session<'_>, job: &Job<'_>, id: ElementId) -> BuildResult<Option<Vec<Tracked>>> {
    Sources::new(session, job, id).track()
}

/// The sources of one element.
struct Sources<'a> {
    session: &'a Session<'a>,
    job: &'a Job<'a>,
    id: ElementId,
    /// By position: the source with the ref that was just found, where that is a new one.
    found: Vec<Option<Box<dyn source::Source>>>,
}

impl<'a> Sources<'a> {
    fn new(session: &'a Session<'a>, job: &'a Job<'a>, id: ElementId) -> Sources<'a> {
        let found = session.planned(id).sources.iter().map(|_| None).collect();
        Sources { session, job, id, found }
    }

    fn all(&self) -> &'a [PlannedSource] {
        &self.session.planned(self.id).sources
    }

    fn at(&self, at: usize) -> &dyn source::Source {
        self.found[at].as_deref().unwrap_or(&*self.all()[at].source)
    }

    fn context<'c>(&'c self, previous: Option<Digest>) -> FetchContext<'c> {
        let project = self.session.element(self.id).project;
        FetchContext {
            source_directory: &self.session.options.source_directory,
            cas: &**self.session.cas(),
            previous,
            urls: &*self.session.plan.urls[project.0 as usize],
            progress: self.job,
            cancel: self.job.cancel(),
        }
    }

    fn fetch(&self, what: Fetch) -> BuildResult<Digest> {
        let known = self.session.states().get(self.id).sources;
        if what == Fetch::Original {
            for at in 0..self.all().len() {
                self.fetch_original(at)?;
            }
        }
        let known = match known {
            SourceState::Unknown => self.session.source_state(self.id)?,
            known => known,
        };
        if let SourceState::Staged(digest) = known {
            return Ok(digest);
        }
        let together = self.session.planned(self.id).sources_key.clone().map(SourceName::Element);
        if let Some(name) = &together
            && let Some(digest) = self.pull(name)?
        {
            return Ok(digest);
        }
        self.fetch_before(self.all().len())?;
        let tree = self.stage_before(self.all().len())?;
        let digest = tree.digest()?;
        if let Some(name) = &together {
            self.publish(name, digest)?;
        }
        Ok(digest)
    }

    /// Fetches the sources before position `end`.
    fn fetch_before(&self, end: usize) -> BuildResult<()> {
        for at in 0..end {
            self.job.check_cancelled()?;
            if needs_others(self.at(at)) {
                self.fetch_original(at)?;
            } else {
                self.fetch_alone(at)?;
            }
        }
        Ok(())
    }

    /// Brings what a source keeps itself, if it is not here.
    fn fetch_original(&self, at: usize) -> BuildResult<()> {
        let source = self.at(at);
        if source.is_fetched(&self.session.options.source_directory)? {
            return Ok(());
        }
        let previous = source.previous().fetch.then(|| self.previous(at)).transpose()?;
        Ok(source.fetch(&self.context(previous))?)
    }

    /// Brings a source into the store under its own key.
    fn fetch_alone(&self, at: usize) -> BuildResult<Digest> {
        let name = match self.found[at] {
            Some(_) => None,
            None => Some(single_name(&self.all()[at])?),
        };
        if let Some(name) = &name
            && let Some(digest) = self.session.staged_source(name)?
        {
            return Ok(digest);
        }
        let is_fetched = self.at(at).is_fetched(&self.session.options.source_directory)?;
        if let Some(name) = &name
            && !is_fetched
            && let Some(digest) = self.pull(name)?
        {
            return Ok(digest);
        }
        let digest = match is_fetched {
            true => self.stage(at, None)?,
            false => self.sealed(self.at(at).fetch_and_stage(&self.context(None))?)?,
        };
        if let Some(name) = &name {
            self.publish(name, digest)?;
        }
        Ok(digest)
    }

    fn stage(&self, at: usize, previous: Option<Digest>) -> BuildResult<Digest> {
        let context = self.context(previous);
        self.at(at).validate(&context)?;
        self.sealed(self.at(at).stage(&context)?)
    }

    /// What of a staged tree is kept.
    fn sealed(&self, staged: Digest) -> BuildResult<Digest> {
        Ok(Tree::open(self.session.cas(), staged).without_properties()?.digest()?)
    }

    /// What the sources before position `end` stage where the source at `end` is staged.
    fn previous(&self, end: usize) -> BuildResult<Digest> {
        self.fetch_before(end)?;
        let tree = self.stage_before(end)?;
        let directory = self.all()[end].declaration.directory.as_deref().unwrap_or_default();
        let there = tree.subtree(directory)?;
        Ok(there.unwrap_or_else(|| Tree::empty(self.session.cas())).digest()?)
    }

    /// Stages the sources before position `end`, one over the other.
    fn stage_before(&self, end: usize) -> BuildResult<Tree> {
        let cas = self.session.cas();
        let mut tree = Tree::empty(cas);
        for (at, source) in self.all()[..end].iter().enumerate() {
            self.job.check_cancelled()?;
            let directory = source.declaration.directory.as_deref().unwrap_or_default();
            tree.create_directory(directory).map_err(|error| self.not_staged(error))?;
            if needs_others(self.at(at)) {
                let there = tree.subtree(directory)?.unwrap_or_else(|| Tree::empty(cas));
                let staged = self.stage(at, Some(there.digest()?))?;
                tree.replace(directory, &Tree::open(cas, staged)).map_err(|error| self.not_staged(error))?;
            } else {
                let files = Tree::open(cas, self.fetch_alone(at)?);
                tree.import(directory, &files, None).map_err(|error| self.not_staged(error))?;
            }
        }
        Ok(tree)
    }

    fn not_staged(&self, error: impl Into<BuildError>) -> BuildError {
        let error: BuildError = error.into();
        let name = &self.session.element(self.id).name;
        let message = format!("Error trying to stage sources for {name}: {}", error.failure.message);
        BuildError::new(domain::ELEMENT, message).reason("stage-sources-fail")
    }

    /// Brings a source tree from a remote cache, if one has it.
    fn pull(&self, name: &SourceName) -> BuildResult<Option<Digest>> {
        let project = &self.session.project(self.id).name;
        let remotes = self.session.services.remotes.as_ref();
        let Some(remotes) = remotes.filter(|remotes| remotes.pulls_sources(project)) else { return Ok(None) };
        // What no remote cache can give is fetched from where it comes from: they have warned already.
        let pulled = match remotes.pull_source(project, name, self.job, self.job.cancel()) {
            Err(error) if error.kind == ErrorKind::Unavailable => None,
            pulled => pulled?,
        };
        let Some(source) = pulled else { return Ok(None) };
        self.session.assets().publish_source(name, &source)?;
        self.leave_directories();
        Ok(self.session.staged_source(name)?)
    }

    /// Leaves the directories that a fetch would have kept something in, as bst does: scripts that were written for it
    /// look into them. Whoever needs one makes sure of it.
    fn leave_directories(&self) {
        let directory = &self.session.options.source_directory;
        for (at, source) in self.all().iter().enumerate() {
            if matches!(self.at(at).is_fetched(directory), Ok(false)) {
                let _ = std::fs::create_dir_all(directory.join(&*source.declaration.kind));
            }
        }
    }

    fn publish(&self, name: &SourceName, digest: Digest) -> BuildResult<()> {
        let source = Source { version: 0, files: Some(digest.into()) };
        Ok(self.session.assets().publish_source(name, &source)?)
    }

    fn track(mut self) -> BuildResult<Option<Vec<Tracked>>> {
        let mut tracked = Vec::new();
        let mut any = false;
        for at in 0..self.all().len() {
            self.job.check_cancelled()?;
            let previous = match self.at(at).previous().track {
                true => Some(self.previous(at)?),
                false => None,
            };
            let old = self.at(at).reference();
            let new = self.at(at).track(&self.context(previous))?;
            any |= new.is_some() || old.is_some();
            let Some(reference) = new else { continue };
            let changed = old.as_ref() != Some(&reference);
            if changed {
                self.job.say(MessageKind::Info, &format!("Found new revision: {}", shown(&reference)), None);
                self.warn_of_workspace()?;
                let found = self.at(at).with_reference(&reference).map_err(|wrong| {
                    BuildError::new(domain::SOURCE, "The ref that was found cannot be read")
                        .detail(wrong.to_string())
                })?;
                self.found[at] = Some(found);
            }
            tracked.push(Tracked { index: self.all()[at].declaration.index, reference, changed });
        }
        Ok(any.then_some(tracked))
    }

    fn warn_of_workspace(&self) -> BuildResult<()> {
        if self.session.workspace(self.id).is_none() {
            return Ok(());
        }
        let detail = "This source has an open workspace.\n\
                      To start using the new reference, please close the existing workspace.";
        self.job.warn(None, "Updated reference will be ignored as source has open workspace", Some(detail))
    }
}

pub(crate) fn single_name(source: &PlannedSource) -> BuildResult<SourceName> {
    let unresolved = || BuildError::new(domain::SOURCE, "A source without a ref cannot be fetched");
    let key = source.key.clone().ok_or_else(unresolved)?;
    Ok(SourceName::Single { kind: source.declaration.kind.to_string(), key })
}

/// A ref for people: its value alone where there is only one.
fn shown(reference: &SourceRef) -> String {
    match reference.entries() {
        Some(entries) if entries.len() == 1 => match entries.get("ref").and_then(|value| value.text()) {
            Some(text) => text.to_owned(),
            None => bourn_yaml::dump(reference).trim_end().to_owned(),
        },
        _ => bourn_yaml::dump(reference).trim_end().to_owned(),
    }
}
