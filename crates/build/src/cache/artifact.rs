//! Artifacts as they are loaded from the cache.

use crate::error::{BuildError, BuildResult, domain};
use crate::event::DisplayKey;
use bourn_plan::CacheKey;
use bourn_reapi::digest::DigestMessage;
use bourn_reapi::services::{Cas, ServiceResult};
use bourn_reapi::tree::Tree;
use bourn_reapi::{Artifact, Digest, SandboxState};
use std::sync::Arc;

/// Version of the message that is written.
pub const VERSION: i32 = 2;

/// An artifact that is in the local cache with all that is needed of it.
#[derive(Debug, Clone)]
pub struct Cached {
    /// The message, without what it was built upon: with that, the artifacts of a large project would not fit into
    /// memory.
    pub message: Artifact,
}

impl Cached {
    /// An artifact that is known to be here with all that is needed of it.
    pub fn new(mut message: Artifact) -> Cached {
        message.build_deps = Vec::new();
        Cached { message }
    }

    /// An artifact, if all that is needed of it is held: its files, metadata and logs, but not the build tree.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn check(message: Artifact, cas: &dyn Cas) -> ServiceResult<Option<Cached>> {
        let cached = Cached::new(message);
        let blobs: Vec<Digest> = cached.blobs().collect();
        if !cas.missing_blobs(&blobs)?.is_empty() {
            return Ok(None);
        }
        let whole = cached.files().map_or(Ok(true), |files| cas.contains_tree(&files))?;
        Ok(whole.then_some(cached))
    }

    /// Metadata and logs.
    fn blobs(&self) -> impl Iterator<Item = Digest> + '_ {
        let message = &self.message;
        let metadata = [&message.low_diversity_meta, &message.high_diversity_meta, &message.public_data];
        metadata.into_iter().filter_map(digest).chain(self.logs())
    }

    /// Its logs.
    pub fn logs(&self) -> impl Iterator<Item = Digest> + '_ {
        self.message.logs.iter().filter_map(|log| digest(&log.digest))
    }

    /// Its files; none when the build left none.
    pub fn files(&self) -> Option<Digest> {
        digest(&self.message.files)
    }

    /// Its files as a tree, empty when there are none.
    pub fn tree(&self, cas: &Arc<dyn Cas>) -> Tree {
        self.files().map_or_else(|| Tree::empty(cas), |files| Tree::open(cas, files))
    }

    /// The build directory as the build left it.
    pub fn build_tree(&self) -> Option<Digest> {
        digest(&self.message.buildtree)
    }

    /// The whole sandbox as the build left it.
    pub fn build_root(&self) -> Option<Digest> {
        digest(&self.message.buildroot)
    }

    /// State of the sandbox that goes with the build root.
    pub fn sandbox(&self) -> Option<&SandboxState> {
        self.message.buildsandbox.as_ref()
    }

    /// The sources that were staged.
    pub fn sources(&self) -> Option<Digest> {
        digest(&self.message.sources)
    }

    /// The blob of the public data.
    pub fn public_data(&self) -> Option<Digest> {
        digest(&self.message.public_data)
    }

    /// The blob with environment and sandbox.
    pub fn low_diversity(&self) -> Option<Digest> {
        digest(&self.message.low_diversity_meta)
    }

    /// Whether the build succeeded.
    pub fn is_success(&self) -> bool {
        self.message.build_success
    }

    /// The key of what it was really built from.
    pub fn strong_key(&self) -> CacheKey {
        CacheKey(self.message.strong_key.clone())
    }

    /// Its key as it is shown.
    pub fn display_key(&self) -> DisplayKey {
        DisplayKey {
            full: self.message.strong_key.as_str().into(),
            strict: self.message.strong_key == self.message.strict_key,
        }
    }

    /// The error of a failed build that is not tried again.
    pub fn failure(&self) -> BuildError {
        let mut error = BuildError::new(domain::NONE, self.message.build_error.clone());
        error.failure.detail =
            Some(self.message.build_error_details.clone()).filter(|detail| !detail.is_empty());
        error.failure.sandbox = true;
        error
    }

    /// The content of its logs, end to end.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn log_text(&self, cas: &dyn Cas) -> BuildResult<Vec<u8>> {
        let mut text = Vec::new();
        for log in self.logs() {
            text.extend(cas.read(&log)?);
        }
        Ok(text)
    }
}

/// The digest of a field; nothing when the field is absent. (bst: an empty message counts as absent, and so does a
/// digest without a hash.)
fn digest(field: &Option<DigestMessage>) -> Option<Digest> {
    field.as_ref().and_then(|message| Digest::try_from(message).ok())
}
