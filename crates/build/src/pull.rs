//! Finding artifacts: in the local cache, and in remote ones.
//!
//! In a strict run only the artifact of the strict key counts. Otherwise one of the weak key is as good: an element is
//! not built again because something below it changed.

use crate::cache::Cached;
use crate::error::BuildResult;
use crate::event::MessageKind;
use crate::job::Job;
use crate::session::{Query, Session};
use crate::state::ArtifactState;
use bourn_project::ElementId;
use bourn_reapi::services::Report;
use bourn_reapi::{Artifact, ArtifactName};
use std::sync::Arc;

impl Session<'_> {
    /// Looks for the artifact of an element in the local cache. The second value says that it is not (wholly) here,
    /// and has to be looked for in remote caches before anything is decided. In a build, failures that are to be tried
    /// again count as absent.
    pub(crate) fn load(&self, id: ElementId, wanted: Query) -> BuildResult<(ArtifactState, bool)> {
        let Some(keys) = self.keys(id) else { return Ok((ArtifactState::Unknown, false)) };
        let building = wanted == Query::Build;
        let found = self.cached(id, keys.first)?;
        let whole = match &found {
            Some(cached) => !self.options.pull_build_trees || self.has_build_tree(cached)?,
            None => false,
        };
        if !whole && self.can_pull(id) {
            return Ok((ArtifactState::Unknown, true));
        }
        let state = match found {
            Some(cached) => self.judge(None, id, cached, building, true),
            None if self.options.strict => ArtifactState::Absent,
            None => match self.cached(id, keys.weak)? {
                Some(cached) => self.judge(None, id, cached, building, false),
                None => ArtifactState::Absent,
            },
        };
        Ok((state, false))
    }

    /// Pulls the artifact of an element, under the strict key or, in a non-strict run, under the weak one. What is
    /// known of it then, and whether anything was pulled.
    ///
    /// # Errors
    /// All remote caches failed; the local one cannot be read or written.
    pub(crate) fn pull(
        &self,
        job: &Job<'_>,
        id: ElementId,
        building: bool,
    ) -> BuildResult<(ArtifactState, bool)> {
        let Some(keys) = self.keys(id) else { return Ok((ArtifactState::Unknown, false)) };
        let pulled = self.pull_key(job, id, keys.first, building)?;
        let found = match pulled.clone() {
            Some(cached) => Some(cached),
            None => self.cached(id, keys.first)?,
        };
        if let Some(cached) = found {
            let state = self.judge(Some(job), id, cached, building, true);
            let kept = state.cached().is_some();
            return Ok((state, kept && pulled.is_some()));
        }
        if self.options.strict {
            return Ok((ArtifactState::Absent, false));
        }
        let pulled = self.pull_key(job, id, keys.weak, building)?;
        let found = match pulled.clone() {
            Some(cached) => Some(cached),
            None => self.cached(id, keys.weak)?,
        };
        let Some(cached) = found else { return Ok((ArtifactState::Absent, false)) };
        let state = self.judge(Some(job), id, cached, building, false);
        let kept = state.cached().is_some();
        Ok((state, kept && pulled.is_some()))
    }

    /// Pulls what is kept under one key, and publishes it here under all its keys. When it can be built instead, that
    /// no remote cache can be reached is nothing to fail for: they have warned already.
    fn pull_key(
        &self,
        job: &Job<'_>,
        id: ElementId,
        key: &str,
        building: bool,
    ) -> BuildResult<Option<Arc<Cached>>> {
        let build_tree = self.options.pull_build_trees && self.workspace(id).is_none();
        match self.pull_name(job, &self.artifact_name(id, key), build_tree) {
            Err(error) if building && error.temporary => Ok(None),
            pulled => pulled,
        }
    }

    /// Pulls an artifact and publishes it here under all its keys.
    pub(crate) fn pull_name(
        &self,
        job: &Job<'_>,
        name: &ArtifactName,
        build_tree: bool,
    ) -> BuildResult<Option<Arc<Cached>>> {
        let Some(remotes) = &self.services.remotes else { return Ok(None) };
        let pulled = remotes.pull_artifact(name, build_tree, job, job.cancel())?;
        let Some(message) = pulled else { return Ok(None) };
        self.assets().publish_artifact(&names_of(name, &message), &message)?;
        Ok(Some(Arc::new(Cached::new(message))))
    }

    /// The name that an artifact is looked for by first.
    pub(crate) fn first_name(&self, id: ElementId) -> Option<ArtifactName> {
        Some(self.artifact_name(id, self.keys(id)?.first))
    }

    /// The strong name of the artifact that is here.
    pub(crate) fn kept_name(&self, id: ElementId) -> Option<ArtifactName> {
        Some(self.artifact_name(id, &self.artifact(id)?.message.strong_key))
    }

    fn can_pull(&self, id: ElementId) -> bool {
        let remotes = self.services.remotes.as_ref();
        self.workspace(id).is_none()
            && remotes.is_some_and(|remotes| remotes.pulls_artifacts(&self.project(id).name))
    }

    fn has_build_tree(&self, cached: &Cached) -> BuildResult<bool> {
        Ok(cached.build_tree().map_or(Ok(true), |tree| self.cas().contains_tree(&tree))?)
    }

    /// Whether an artifact that was found is taken. In a build, a failure is not when failures are to be tried again,
    /// or when it was built upon something else.
    fn judge(
        &self,
        job: Option<&Job<'_>>,
        id: ElementId,
        cached: Arc<Cached>,
        building: bool,
        by_strict_key: bool,
    ) -> ArtifactState {
        if cached.is_success() || !building {
            return ArtifactState::Cached(cached);
        }
        let strict = self.keys(id).is_some_and(|keys| keys.first == cached.message.strong_key);
        let why = match self.options.retry_failed {
            true => "because retrying failed builds is enabled.",
            false if by_strict_key || strict => return ArtifactState::Cached(cached),
            false => "in non strict mode because intermediate dependencies may have changed.",
        };
        let detail = format!("Discarded '{}'\n{why}", cached.message.strong_key);
        let say = |job: &Job<'_>| job.say(MessageKind::Info, "Discarded failed build", Some(&detail));
        match job {
            Some(job) => say(job),
            None => say(&self.main_job(id)),
        }
        ArtifactState::Absent
    }

    fn keys(&self, id: ElementId) -> Option<Keys<'_>> {
        let planned = self.planned(id);
        let weak = &planned.weak_key.as_ref()?.0;
        Some(Keys { first: planned.strict_key.as_ref().map_or(weak, |strict| &strict.0), weak })
    }
}

/// All names of an artifact that was found under one of them.
pub(crate) fn names_of(name: &ArtifactName, message: &Artifact) -> Vec<ArtifactName> {
    let mut names = vec![name.clone()];
    // Not the strict one, if that is another: nothing was built with it.
    names.extend(message.names(name).into_iter().filter(|other| other != name));
    names
}

/// The keys that an artifact is looked for by.
struct Keys<'k> {
    /// The strict one. Where something below has no reference there is none, and even a strict run takes the weak one.
    first: &'k str,
    weak: &'k str,
}

impl Report for Job<'_> {
    fn status(&self, text: &str) {
        self.say(MessageKind::Status, text, None);
    }

    fn info(&self, text: &str) {
        self.say(MessageKind::Info, text, None);
    }

    fn warn(&self, text: &str) {
        self.say(MessageKind::Warn, text, None);
    }

    fn bytes(&self, done: u64, total: Option<u64>) {
        self.progress(done, total);
    }
}
