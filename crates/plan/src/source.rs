//! What a source can be asked, and what it is given to work with.

use crate::key::KeyValue;
use bourn_project::{Project, SourceDeclaration};
use bourn_reapi::services::Cancel;
use bourn_reapi::{Cas, Digest};
use bourn_yaml::Node;
use std::path::Path;

/// What is known when a source is configured. No network, no cache.
pub struct SourceContext<'a> {
    /// The project that declares it.
    pub project: &'a Project,
    /// All projects of the graph, for alias mappings that lead to a parent.
    pub projects: &'a [Project],
    /// Full name of its element, for messages.
    pub element: &'a str,
    /// Digests of local directories and files by absolute path: kept between runs, checked by stat.
    pub local: &'a dyn LocalDigests,
}

/// Remembers what local files hash to, so that an unchanged tree is not read twice.
pub trait LocalDigests: Sync {
    /// The digest of the tree (or single file) at `path`, as the store would name it.
    fn digest(&self, path: &Path) -> Result<Digest, SourceError>;
}

/// The ref of a source: what `track` found or the project pins. A scalar, or a structure for some kinds.
pub type SourceRef = Node;

/// What went wrong with a source outside of its configuration.
#[derive(Debug, Clone)]
pub struct SourceError {
    /// bst's reason, or empty.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
    /// Longer text, such as the output of a tool.
    pub detail: Option<String>,
    /// What the user can do.
    pub hint: Option<String>,
    /// Whether trying again may help (network).
    pub temporary: bool,
}

/// Where a source reports what it does.
pub trait Progress: Send + Sync {
    /// A line for the log of the job (`Fetching URL`).
    fn status(&self, text: &str);
    /// A warning, with its token if it has one (`ref-not-in-track`).
    fn warn(&self, token: Option<&str>, text: &str);
    /// Bytes of a download so far, and in all if known.
    fn bytes(&self, done: u64, total: Option<u64>);
}

/// What fetching is given.
pub struct FetchContext<'a> {
    /// Where downloads are kept (`sourcedir`).
    pub source_directory: &'a Path,
    /// The store.
    pub cas: &'a dyn Cas,
    /// What earlier sources of the element staged, for sources that need them.
    pub previous: Option<Digest>,
    /// URLs to try for an aliased URL, in order, as configured (`fetch.source`, mirrors).
    pub urls: &'a dyn UrlTable,
    /// Where to report.
    pub progress: &'a dyn Progress,
    /// Stop asked for?
    pub cancel: &'a Cancel,
}

/// What tracking is given: the same.
pub type TrackContext<'a> = FetchContext<'a>;

/// What staging is given: the same; everything needed was fetched before.
pub type StageContext<'a> = FetchContext<'a>;

/// Translates aliased URLs.
pub trait UrlTable: Sync {
    /// Candidates for fetching `url` (written with or without alias), best first, with extra data of mirror kinds.
    fn fetch(&self, url: &str) -> Vec<String>;
    /// Candidates for tracking.
    fn track(&self, url: &str) -> Vec<String>;
    /// The value of `auth` headers or netrc credentials for an URL, never printed.
    fn credentials(&self, url: &str) -> Option<Credentials>;
}

/// Credentials for a download.
#[derive(Clone)]
pub enum Credentials {
    /// User and password.
    Basic(String, String),
    /// A bearer token.
    Bearer(String),
}

/// What a source says of where it comes from (`%{source-info}`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Provenance {
    /// The mapping that `show` prints, in bst's key order.
    pub entries: Vec<(String, KeyValue)>,
}

/// A configured source.
pub trait Source: Send + Sync {
    /// What enters the key.
    fn unique_key(&self) -> Result<KeyValue, SourceError>;

    /// Whether it has a ref, or needs none.
    fn is_resolved(&self) -> bool;

    /// The ref, if it has one.
    fn reference(&self) -> Option<SourceRef>;

    /// The same source with another ref.
    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, bourn_yaml::Diagnostics>;

    /// Whether staging it works on what earlier sources of the element staged (patch): it is then not cached alone.
    fn requires_previous(&self) -> bool {
        false
    }

    /// Whether fetching or tracking it needs earlier sources staged (cargo2, gen_cargo_lock).
    fn requires_previous_for_fetch(&self) -> bool {
        false
    }

    /// Whether everything needed to stage it is on this machine.
    fn is_fetched(&self, source_directory: &Path) -> bool;

    /// Finds the newest ref; `None` when this kind or configuration cannot be tracked.
    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError>;

    /// Brings everything needed to stage it; verified, resumable, published whole.
    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError>;

    /// Stages it: the tree of its files, or of `previous` changed by it. Without its `directory:`.
    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError>;

    /// Prepares a workspace opened at `directory` (git metadata and the like); staging already happened.
    fn init_workspace(&self, directory: &Path, context: &StageContext<'_>) -> Result<(), SourceError> {
        let _ = (directory, context);
        Ok(())
    }

    /// Where it comes from, for `%{source-info}`.
    fn provenance(&self) -> Result<Vec<Provenance>, SourceError>;
}

/// A source with its place in the element.
pub struct PlannedSource {
    /// The declaration.
    pub declaration: SourceDeclaration,
    /// The source itself.
    pub source: Box<dyn Source>,
}
