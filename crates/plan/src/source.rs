//! What a source can be asked, and what it is given to work with.

use crate::key::KeyValue;
use bourn_project::{Project, SourceDeclaration};
use bourn_reapi::services::{Cancel, ErrorKind, ExportOptions};
use bourn_reapi::{Cas, Digest, ServiceError};
use bourn_yaml::look::{Name, PlaceKind};
use bourn_yaml::{Diagnostic, Diagnostics, Domain, Node, Provenance};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What is known when a source is configured. No network, no cache, no tools of the host.
#[derive(Clone, Copy)]
pub struct SourceContext<'a> {
    /// The project that declares it.
    pub project: &'a Project,
    /// Name of its element below the project's element path, with suffix (`base/zlib.bst`).
    pub element: &'a str,
    /// Aliases and mirrors of that project.
    pub urls: &'a Arc<dyn UrlTable>,
    /// Where paths of the project lead.
    pub local: &'a dyn LocalDigests,
    /// Takes what is odd but no error.
    pub warnings: &'a Warnings,
}

/// How much a remark matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Weight {
    /// Worth knowing.
    Info,
    /// Odd.
    #[default]
    Warning,
}

/// A warning about the user's files, or something else that is told once the project is loaded.
#[derive(Clone, Debug)]
pub struct Warning {
    /// How much it matters.
    pub weight: Weight,
    /// bst's token (`unaliased-url`, or `kind:token` of a plugin), if it can be made fatal.
    pub token: Option<&'static str>,
    /// One sentence.
    pub message: String,
    /// More lines.
    pub detail: Option<String>,
    /// The place.
    pub at: Provenance,
    /// The full name of the element whose plugin says this; what no plugin says is told with its place instead.
    pub speaker: Option<String>,
}

/// Warnings raised while planning, from any thread.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<Vec<Warning>>);

impl Warnings {
    /// Keeps a warning, or turns it into the error that the project's `fatal-warnings` make of it.
    ///
    /// # Errors
    /// The warning, its token as the code, when the project says that it is fatal.
    pub fn raise(&self, project: &Project, warning: Warning) -> Result<(), Diagnostic> {
        if let Some(token) =
            warning.token.filter(|token| project.fatal_warnings.iter().any(|name| name == token))
        {
            let mut diagnostic = Diagnostic::new(Domain::Plugin, token, warning.message).at(warning.at);
            diagnostic.detail = warning.detail;
            return Err(
                diagnostic.hint(format!("`fatal-warnings` of project `{}` names `{token}`", project.name))
            );
        }
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(warning);
        Ok(())
    }

    /// All that was kept.
    pub fn take(&self) -> Vec<Warning> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

/// Remembers what local files hash to, so that an unchanged tree is not read twice.
pub trait LocalDigests: Sync {
    /// The digest of the directory that staging `path` gives: the directory itself, or one that holds nothing but
    /// the file or symbolic link that `path` is.
    ///
    /// # Errors
    /// The path is not there or cannot be read.
    fn tree(&self, path: &Path, times: FileTimes) -> Result<Digest, SourceError>;

    /// The digest of the content of a regular file.
    ///
    /// # Errors
    /// The file is not there or cannot be read.
    fn file(&self, path: &Path) -> Result<Digest, SourceError>;

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// The directory is not there or cannot be read.
    fn names(&self, path: &Path) -> io::Result<Vec<Name>>;

    /// Where a path leads when symbolic links are followed, and what is there.
    ///
    /// # Errors
    /// It leads nowhere.
    fn place(&self, path: &Path) -> io::Result<(PathBuf, PlaceKind)>;
}

/// Whether modification times of files are part of a tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FileTimes {
    /// They are not (kind `local`).
    Dropped,
    /// They are (workspaces).
    Kept,
}

/// The ref of a source as the element file or project.refs keeps it: a mapping of the source's keys that make it
/// up, most often `ref` alone. A key with [`Value::Null`](bourn_yaml::Value::Null) is to be removed.
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
    /// Whose rule was broken, in bst's word, where it is not the source's.
    pub domain: Option<&'static str>,
}

impl std::fmt::Display for SourceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SourceError {}

impl SourceError {
    /// An error for which bst has no reason.
    pub fn new(message: impl Into<String>) -> SourceError {
        SourceError {
            reason: "",
            message: message.into(),
            detail: None,
            hint: None,
            temporary: false,
            domain: None,
        }
    }

    /// Sets bst's reason.
    pub fn reason(mut self, reason: &'static str) -> SourceError {
        self.reason = reason;
        self
    }

    /// Sets the longer text.
    pub fn detail(mut self, detail: impl Into<String>) -> SourceError {
        self.detail = Some(detail.into());
        self
    }

    /// Says what the user can do.
    pub fn hint(mut self, hint: impl Into<String>) -> SourceError {
        self.hint = Some(hint.into());
        self
    }

    /// Says that trying again may help.
    pub fn temporary(mut self) -> SourceError {
        self.temporary = true;
        self
    }
}

/// The reason of errors of a cache that holds no more.
pub const CACHE_TOO_FULL: &str = "cache-too-full";

impl From<ServiceError> for SourceError {
    fn from(error: ServiceError) -> SourceError {
        let temporary = matches!(error.kind, ErrorKind::Unavailable | ErrorKind::TimedOut);
        // The one reason of a store that a source does not know how to tell itself.
        let reason = if error.kind == ErrorKind::NoSpace { CACHE_TOO_FULL } else { "" };
        let domain = None;
        SourceError {
            reason,
            message: error.message,
            detail: error.detail,
            hint: error.hint,
            temporary,
            domain,
        }
    }
}

/// How something is said while a source is at work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// Only for who looks for mistakes.
    Debug,
    /// What is being done.
    Status,
    /// Worth knowing.
    Info,
    /// Only for the log.
    Log,
}

/// Where a source reports what it does.
pub trait Progress: Send + Sync {
    /// Says something, with longer text.
    fn say(&self, tone: Tone, text: &str, detail: Option<&str>);

    /// A line for the log of the job (`Fetching URL`).
    fn status(&self, text: &str) {
        self.say(Tone::Status, text, None);
    }

    /// Something worth knowing, with longer text.
    fn info(&self, text: &str, detail: Option<&str>) {
        self.say(Tone::Info, text, detail);
    }

    /// Something odd, with its token if it has one (`ref-not-in-track`, `git:unused-lfs`).
    ///
    /// # Errors
    /// The warning itself when the project says that it is fatal.
    fn warn(&self, token: Option<&'static str>, text: &str, detail: Option<&str>) -> Result<(), SourceError>;

    /// Does `work` once under a heading of the log, timed.
    ///
    /// # Errors
    /// What `work` reports.
    fn activity(
        &self,
        heading: &str,
        work: &mut dyn FnMut() -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        self.under(heading, None, false, work)
    }

    /// The same with longer text, and with `silent` for what is said meanwhile to be in the log only, but for infos,
    /// warnings and failures.
    ///
    /// # Errors
    /// What `work` reports.
    fn under(
        &self,
        heading: &str,
        detail: Option<&str>,
        silent: bool,
        work: &mut dyn FnMut() -> Result<(), SourceError>,
    ) -> Result<(), SourceError>;

    /// Output of a tool of the host, for the log of the job.
    fn log(&self, output: &str);

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
    /// Aliases and mirrors of the project that declares the source.
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

/// What aliases of one project mean, mirrors and the user's `fetch` and `track` settings taken into account.
pub trait UrlTable: Send + Sync {
    /// The URL by the project's own aliases, or those of the parent project that they are mapped to. Mirrors do
    /// not count: this is what enters keys, messages and provenance. Unaliased URLs come back as they are.
    ///
    /// # Errors
    /// `missing-alias-mapping`, `invalid-source-alias`.
    fn translate(&self, url: &str) -> Result<String, UrlError>;

    /// Checks a URL of a configuration as bst does when a source marks it. The alias; `None` for an unaliased
    /// URL, which is worth the warning `unaliased-url`.
    ///
    /// # Errors
    /// `invalid-source-alias`, `missing-alias-mapping`, `missing-source-alias-target`.
    fn check(&self, url: &str) -> Result<Option<String>, UrlError>;

    /// What to try when `url` is fetched, best first. Never empty.
    fn fetch(&self, url: &str) -> Vec<Candidate>;

    /// What to try when `url` is tracked, best first. Never empty.
    fn track(&self, url: &str) -> Vec<Candidate>;

    /// Whose alias stands behind a URL, after the mapping of aliases from project to project: where a mirror for it
    /// has to be configured. `None` for a URL without an alias.
    fn home(&self, _url: &str) -> Option<AliasedPath> {
        None
    }

    /// The credentials kept for the host of a translated URL. Never printed.
    fn credentials(&self, url: &str) -> Option<Credentials>;

    /// The proxy that a translated URL is asked through; `None` where its server is asked itself.
    fn proxy(&self, _url: &str) -> Option<String> {
        None
    }

    /// How long servers are waited for.
    fn patience(&self) -> Patience {
        Patience::default()
    }

    /// An answer of a server that counts for the whole run: a table that remembers has it found out once per name,
    /// by whoever asks first. Errors are not remembered.
    ///
    /// # Errors
    /// Those of `find`.
    fn remember(
        &self,
        _name: &str,
        find: &mut dyn FnMut() -> Result<Vec<u8>, SourceError>,
    ) -> Result<Arc<[u8]>, SourceError> {
        find().map(Arc::from)
    }
}

/// How long servers are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: std::time::Duration,
    /// While nothing comes and nothing can be sent.
    pub silence: std::time::Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        let seconds = std::time::Duration::from_secs;
        Patience { connect: seconds(30), silence: seconds(60) }
    }
}

/// A URL as mirrors see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AliasedPath {
    /// Name of the project whose alias it is.
    pub project: String,
    /// The alias in that project.
    pub alias: String,
    /// What follows the alias.
    pub path: String,
}

/// Something on a server that a source is fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its URL, with its alias.
    pub url: String,
    /// What is there.
    pub content: UpstreamContent,
}

/// What is there at a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamContent {
    /// A file.
    File {
        /// Where fetching keeps it.
        kept: PathBuf,
        /// Its SHA-256, in hexadecimal digits.
        sha256: String,
    },
    /// A git repository.
    Repository {
        /// The commit that is needed of it.
        commit: String,
    },
    /// An index of Python packages.
    Packages {
        /// What is needed of it, as on the command line of pip.
        wanted: Vec<String>,
    },
    /// A repository of OSTree.
    Ostree {
        /// The repository that fetching keeps.
        kept: PathBuf,
        /// The commit that is needed, or the branch that leads to it in `kept`.
        reference: String,
    },
    /// A repository of Bazaar.
    Bazaar {
        /// The branch that fetching keeps.
        kept: PathBuf,
        /// Its name below the URL.
        branch: String,
        /// The number of the revision that is needed.
        revision: String,
    },
}

/// Why a URL cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError {
    /// bst's reason.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
    /// More lines.
    pub detail: Option<String>,
}

/// A URL to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The URL, no alias left.
    pub url: String,
    /// How credentials are to be sent, if there are any.
    pub auth: Auth,
}

/// How credentials are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Auth {
    /// User and password, when the server asks.
    #[default]
    Basic,
    /// The password as a bearer token, always (mirror kinds demand it as `http-auth`).
    Bearer,
}

/// Credentials for a host.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user; may be empty.
    pub user: String,
    /// The password or token.
    pub password: String,
}

/// Shows who, never the password.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What a source says of where it comes from (`%{source-info}`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceProvenance {
    /// The mapping that `show` prints, in bst's key order.
    pub entries: Vec<(String, KeyValue)>,
}

/// A configured source.
pub trait Source: Send + Sync {
    /// What enters the key. Only asked when the source is resolved.
    ///
    /// # Errors
    /// Local files that cannot be read.
    fn unique_key(&self, local: &dyn LocalDigests) -> Result<KeyValue, SourceError>;

    /// Whether it has a ref, or needs none.
    fn is_resolved(&self) -> bool;

    /// The ref, if it has one.
    fn reference(&self) -> Option<SourceRef>;

    /// The same source with another ref.
    ///
    /// # Errors
    /// A ref that this kind cannot read.
    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics>;

    /// What of the earlier sources of the element it works on. A source that needs any is not cached alone, and
    /// cannot be the first.
    fn previous(&self) -> Previous {
        Previous::default()
    }

    /// Whether everything needed to stage it is on this machine.
    ///
    /// # Errors
    /// A tool of the host that is needed to tell and is not there.
    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError>;

    /// Finds the newest ref; `None` when this kind or configuration cannot be tracked.
    ///
    /// # Errors
    /// The network, a server's answer, a tool of the host.
    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError>;

    /// Brings everything needed to stage it; verified, resumable, published whole.
    ///
    /// # Errors
    /// The network, a server's answer, a tool of the host, content that does not match the ref.
    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError>;

    /// Stages it: the tree of its files, or of `previous` changed by it. Without its `directory:`.
    ///
    /// # Errors
    /// Something was not fetched, an archive is malformed, a patch does not apply.
    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError>;

    /// Fetches, validates and stages it: for whoever needs what is staged. Kinds that can do so stage what they are
    /// fetching while it comes; nothing is staged of what was not verified in the end.
    ///
    /// # Errors
    /// Those of fetching, validating and staging.
    fn fetch_and_stage(&self, context: &FetchContext<'_>) -> Result<Digest, SourceError> {
        self.fetch(context)?;
        self.validate(context)?;
        self.stage(context)
    }

    /// What it is fetched from, told after it was fetched: what a mirror has to have. `None`: this kind does not say. What
    /// earlier sources staged is there if fetching needs it.
    ///
    /// # Errors
    /// What was fetched cannot be read; there is something that no mirror can have.
    fn upstreams(&self, context: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        let _ = context;
        Ok(None)
    }

    /// Checks that only make sense once it is fetched, before it is staged or a workspace is opened.
    ///
    /// # Errors
    /// Warnings that the project makes fatal.
    fn validate(&self, context: &StageContext<'_>) -> Result<(), SourceError> {
        let _ = context;
        Ok(())
    }

    /// Prepares a workspace: fills `directory`, which is there and holds what earlier sources put into it. The
    /// default exports what is staged.
    ///
    /// # Errors
    /// As for staging.
    fn init_workspace(&self, directory: &Path, context: &StageContext<'_>) -> Result<(), SourceError> {
        let tree = self.stage(context)?;
        let options = ExportOptions { merge: true, ..ExportOptions::default() };
        Ok(context.cas.export_tree(&tree, directory, &options)?)
    }

    /// Where it comes from, for `%{source-info}`. Only asked when the source is resolved. `None`: this kind does
    /// not say, which is worth the warning `unavailable-source-info`.
    ///
    /// # Errors
    /// Local files that cannot be read, provenance attributes that the project does not declare.
    fn provenance(
        &self,
        context: &ProvenanceContext<'_>,
    ) -> Result<Option<Vec<SourceProvenance>>, SourceError>;

    /// A directory of the host that holds exactly what is staged, if there is one: junctions read it in place.
    fn local_path(&self) -> Option<&Path> {
        None
    }
}

/// What telling the provenance of a source is given.
pub struct ProvenanceContext<'a> {
    /// The project that declares it.
    pub project: &'a Project,
    /// Digests of local files.
    pub local: &'a dyn LocalDigests,
    /// Where downloads are kept (`sourcedir`): submodules are only known once fetched.
    pub source_directory: &'a Path,
}

/// When a source needs what earlier sources of its element staged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Previous {
    /// To be tracked.
    pub track: bool,
    /// To be fetched.
    pub fetch: bool,
    /// To be staged.
    pub stage: bool,
}

/// A source with its place in the element.
pub struct PlannedSource {
    /// The declaration.
    pub declaration: SourceDeclaration,
    /// The source itself.
    pub source: Box<dyn Source>,
    /// What enters the key; `None` while it has no ref.
    pub unique_key: Option<KeyValue>,
    /// The key that names its staged content (`source_protos/KIND/KEY`); `None` while it has no ref.
    pub key: Option<String>,
}
