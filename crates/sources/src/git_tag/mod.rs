//! `git_tag`: a commit of a git repository with its `.git`, tracked by branch or latest tag.

use crate::declared::{Declared, Origin, reference};
use crate::download::{activity, first};
use crate::host::Tool;
use crate::http::shown;
use crate::key;
use crate::reading::Reading;
use crate::repository::{self, Conversion, Depth, Described, GitDirectory, Mirror, Oid, Wanted, explained};
use crate::trees;
use crate::version::VersionGuess;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};
use indexmap::IndexMap;
use std::path::Path;
use std::sync::Arc;

/// The kind.
pub(crate) struct GitTag;

/// What `git_tag` and `git_module` share.
#[derive(Clone)]
pub(crate) struct TaggedRepository {
    pub(crate) declared: Declared,
    /// With its alias.
    pub(crate) original_url: String,
    /// By the project's aliases.
    pub(crate) url: String,
    pub(crate) reference: Option<String>,
    /// Whether all of the history is fetched.
    pub(crate) full_clone: bool,
    /// Whether files kept by git-lfs are wanted; `None`: not said, which is worth a warning when there are any.
    pub(crate) use_lfs: Option<bool>,
    guess: VersionGuess,
}

#[derive(Clone)]
struct GitTagSource {
    repository: TaggedRepository,
    /// Branch to track.
    track: Option<String>,
    /// More branches; the newest commit of all counts.
    track_extra: Vec<String>,
    /// Whether the latest tag counts, not the latest commit.
    track_tags: bool,
    /// Globs of tags.
    matching: Vec<String>,
    /// Globs of tags not to take.
    exclude: Vec<String>,
    submodules: Submodules,
    /// What the URLs of submodules stand for.
    urls: Arc<dyn UrlTable>,
}

/// What a configuration says of submodules.
#[derive(Clone, Debug)]
pub(crate) struct Submodules {
    /// Whether they are checked out where nothing else is said.
    pub(crate) checkout: bool,
    /// By path: the URL to take instead of the one in `.gitmodules`.
    pub(crate) urls: IndexMap<String, Option<String>>,
    /// By path: whether it is checked out.
    pub(crate) checkouts: IndexMap<String, bool>,
}

impl Submodules {
    /// Reads `checkout-submodules` and `submodules`.
    pub(crate) fn read(reading: &Reading<'_>) -> Result<Submodules, Diagnostic> {
        let checkout = reading.node.opt_bool("checkout-submodules")?.unwrap_or(true);
        let mut submodules = Submodules { checkout, urls: IndexMap::new(), checkouts: IndexMap::new() };
        let Some(modules) = reading.node.opt_mapping("submodules")? else { return Ok(submodules) };
        for (path, _) in modules.as_mapping()? {
            let module = modules.get_mapping(path)?;
            let url = module.opt_str("url")?;
            if let Some(url) = url.filter(|url| !url.is_empty()) {
                reading.mark(url)?;
            }
            submodules.urls.insert(path.to_string(), url.map(str::to_owned));
            if module.get("checkout").is_some() {
                submodules.checkouts.insert(path.to_string(), module.get_bool("checkout")?);
            }
        }
        Ok(submodules)
    }

    /// What of it enters a key.
    pub(crate) fn key(&self) -> Vec<KeyValue> {
        let mut values = Vec::new();
        if !self.checkout {
            values.push(key::object([("checkout_submodules", KeyValue::Bool(false))]));
        }
        if !self.urls.is_empty() {
            let urls = self.urls.iter().map(|(path, url)| (path.as_str(), key::optional(url.as_deref())));
            values.push(key::object(urls));
        }
        if !self.checkouts.is_empty() {
            let checkouts =
                self.checkouts.iter().map(|(path, checkout)| (path.as_str(), KeyValue::Bool(*checkout)));
            values.push(key::object([("submodule_checkout_overrides", key::object(checkouts))]));
        }
        values
    }

    /// Whether a submodule is wanted.
    pub(crate) fn wants(&self, path: &str) -> bool {
        self.checkouts.get(path).copied().unwrap_or(self.checkout)
    }
}

impl TaggedRepository {
    /// The keys it reads.
    const KEYS: [&'static str; 4] = ["url", "ref", "full-clone", "use-lfs"];

    /// Reads it, and checks that there are no keys but these and `own`.
    pub(crate) fn read(reading: &Reading<'_>, own: &[&str]) -> Result<TaggedRepository, Diagnostic> {
        let keys: Vec<&str> = Self::KEYS.iter().chain(own).copied().collect();
        reading.keys_and_version(&keys)?;
        let node = reading.node;
        let original_url = node.get_str("url")?.to_owned();
        Ok(TaggedRepository {
            declared: reading.declared(),
            full_clone: node.opt_bool("full-clone")?.unwrap_or(false),
            use_lfs: node.opt_bool("use-lfs")?,
            guess: VersionGuess::read(node)?,
            reference: node.opt_str("ref")?.map(str::to_owned),
            url: reading.translate(&original_url)?,
            original_url,
        })
    }

    /// The key, with what the kind adds.
    pub(crate) fn key(&self, own: Vec<KeyValue>) -> KeyValue {
        let mut values = vec![KeyValue::from(&*self.original_url), key::optional(self.reference.as_deref())];
        values.extend(own);
        if self.use_lfs == Some(true) {
            values.push("use-lfs".into());
        }
        self.guess.extend(&mut values);
        KeyValue::List(values)
    }

    pub(crate) fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.reference.as_deref()?))
    }

    pub(crate) fn with_reference(&self, node: &SourceRef) -> Result<TaggedRepository, Diagnostic> {
        Ok(TaggedRepository { reference: node.opt_str("ref")?.map(str::to_owned), ..self.clone() })
    }

    /// The commit of the ref, and its tag.
    fn described(&self) -> Result<Described<'_>, SourceError> {
        let described = self.reference.as_deref().and_then(Described::parse);
        described.ok_or_else(|| SourceError::new("The source has no ref that names a commit"))
    }

    /// The repository as one of its commits is kept.
    fn commit(&self) -> Result<TaggedCommit<'_>, SourceError> {
        let described = self.described()?;
        let reference = self.reference.as_deref().unwrap_or_default();
        Ok(TaggedCommit {
            kind: &self.declared.kind,
            url: &self.original_url,
            reference,
            described,
            full: self.full_clone,
        })
    }

    pub(crate) fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        self.commit()?.is_fetched(source_directory)
    }

    /// What a mirror has to have of it.
    ///
    /// # Errors
    /// It has no ref.
    pub(crate) fn remote(&self) -> Result<Upstream, SourceError> {
        Ok(repository::upstream(&self.original_url, self.commit()?.described.commit))
    }

    pub(crate) fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        self.commit()?.fetch(context)?;
        self.warn_of_lfs(context)
    }

    /// Warns when there are files kept by git-lfs and nothing is said about them.
    fn warn_of_lfs(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        if self.use_lfs.is_some() {
            return Ok(());
        }
        let commit = self.commit()?;
        let Some(mirror) = commit.mirror(context.source_directory) else { return Ok(()) };
        let path = format!("{}:.gitattributes", commit.described.commit);
        let attributes = mirror.git(context).args(["cat-file", "-p"]).arg(path).output()?;
        let text = attributes.text();
        if attributes.status.success()
            && ["filter=lfs", "diff=lfs", "merge=lfs"].iter().any(|word| text.contains(word))
        {
            let detail = "a filter, diff or merge is set to use lfs in .gitattributes";
            let token = match &*self.declared.kind {
                "git_module" => "git_module:unused-lfs",
                _ => "git_tag:unused-lfs",
            };
            context.progress.warn(
                Some(token),
                "Git LFS not configured but LFS objects exist",
                Some(detail),
            )?;
        }
        Ok(())
    }

    /// Stages the files with a small `.git`.
    pub(crate) fn stage(&self, context: &FetchContext<'_>) -> Result<Digest, SourceError> {
        self.commit()?.stage(context, self.use_lfs == Some(true))
    }

    pub(crate) fn init_workspace(
        &self,
        directory: &Path,
        context: &StageContext<'_>,
    ) -> Result<(), SourceError> {
        self.commit()?.init_workspace(directory, context, &self.url, self.use_lfs == Some(true))
    }

    /// Where it comes from.
    pub(crate) fn provenance(&self) -> SourceProvenance {
        let reference = self.reference.as_deref().unwrap_or_default();
        let described = Described::parse(reference);
        let commit = described.map_or(reference, |described| described.commit);
        let guess = self.guess.guess(described.and_then(|described| described.tag));
        let mut origin = Origin::git(&self.url, commit, guess);
        if let Some(count) = described.and_then(|described| described.count) {
            origin = origin.extra("commit-offset", count);
        }
        self.declared.provenance(origin)
    }
}

/// A commit of a repository, kept as the community's `git_tag` keeps it: in a mirror of the whole repository, or in
/// one of just this ref.
struct TaggedCommit<'a> {
    kind: &'a str,
    url: &'a str,
    reference: &'a str,
    described: Described<'a>,
    /// Whether the whole repository is wanted.
    full: bool,
}

impl TaggedCommit<'_> {
    fn whole(&self, source_directory: &Path) -> Mirror {
        Mirror::plain(source_directory, self.kind, self.url)
    }

    fn single(&self, source_directory: &Path) -> Mirror {
        Mirror::plain(source_directory, self.kind, &format!("{}#{}", self.url, self.reference))
    }

    fn oid(&self) -> Result<Oid, SourceError> {
        let commit = self.described.commit;
        Oid::parse(commit).ok_or_else(|| SourceError::new(format!("{commit} is no commit")))
    }

    fn tag(&self) -> Option<&str> {
        self.described.tag.filter(|tag| !tag.is_empty())
    }

    fn wanted(&self) -> Wanted<'_> {
        let count: u64 = self.described.count.and_then(|count| count.parse().ok()).unwrap_or(0);
        let depth = if self.full { Depth::Full } else { Depth::Commits(count.saturating_add(1)) };
        Wanted { commit: self.described.commit, tag: self.tag(), depth, track: None }
    }

    /// The mirror that has it.
    fn mirror(&self, source_directory: &Path) -> Option<Mirror> {
        let whole = self.whole(source_directory);
        if whole.exists() && whole.contains(self.described.commit) {
            return Some(whole);
        }
        Some(self.single(source_directory)).filter(|single| single.contains(self.described.commit))
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        let Some(mirror) = self.mirror(source_directory) else { return Ok(false) };
        self.is_in(&mirror)
    }

    /// Tags may be gone from a mirror of the whole; what the reference fetched counts as fetched.
    fn is_in(&self, mirror: &Mirror) -> Result<bool, SourceError> {
        let tag = self.tag().filter(|tag| mirror.reference(&format!("refs/tags/{tag}")).is_some());
        Wanted { tag, ..self.wanted() }.is_in(mirror)
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        if self.is_fetched(context.source_directory)? {
            return Ok(());
        }
        let whole = self.whole(context.source_directory);
        let mirror = if self.full || whole.exists() { whole } else { self.single(context.source_directory) };
        let candidates = context.urls.fetch(self.url);
        activity(context.progress, &format!("Fetching from {}", first(&candidates)), || {
            let is_there = || self.wanted().is_there(&mirror);
            mirror.change(context, self.kind, self.described.commit, is_there, || {
                self.wanted().fetch(context, &mirror, &candidates)?;
                if mirror.path == self.single(context.source_directory).path {
                    // The reference clones it, for which it has to have a HEAD.
                    let head =
                        mirror.git(context).args(["update-ref", "--no-deref", "HEAD", self.described.commit]);
                    head.run(|| "Failed to tag HEAD".to_owned())?;
                }
                Ok(())
            })
        })
    }

    fn stage(&self, context: &FetchContext<'_>, lfs: bool) -> Result<Digest, SourceError> {
        let mirror = self.mirror(context.source_directory).ok_or_else(|| self.missing())?;
        let conversion = if lfs { Conversion::Checkout } else { Conversion::CheckoutWithoutLfs };
        let files = repository::stage(context, self.kind, &mirror, self.oid()?, conversion)?;
        let tag = self.tag().filter(|tag| mirror.reference(&format!("refs/tags/{tag}")).is_some());
        let mut directory = GitDirectory::since(context, &mirror, self.oid()?, tag)?;
        if self.full {
            directory.add_history(context, &mirror)?;
        }
        let git = directory.store(&mirror, context.cas)?;
        trees::put(context.cas, &files, ".git", trees::Entry::Directory(git))
    }

    fn missing(&self) -> SourceError {
        SourceError::new(format!("The commit {} was not fetched from {}", self.described.commit, self.url))
    }

    fn init_workspace(
        &self,
        directory: &Path,
        context: &StageContext<'_>,
        url: &str,
        lfs: bool,
    ) -> Result<(), SourceError> {
        let mirror = self.mirror(context.source_directory).ok_or_else(|| self.missing())?;
        repository::open_workspace(context, &mirror, directory, url, self.oid()?, lfs)
    }
}

/// A submodule as `.gitmodules` has it.
pub(crate) struct Submodule {
    pub(crate) path: String,
    pub(crate) url: String,
    /// `None` when it was never added.
    pub(crate) commit: Option<String>,
}

impl Submodule {
    /// Warns when it was never added.
    pub(crate) fn check(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        if self.commit.is_some() {
            return Ok(());
        }
        let path = &self.path;
        let detail = format!(
            "The submodule '{path}' is named in .gitmodules, but was never added with `git submodule add`."
        );
        let text = format!("Ignoring inconsistent submodule '{path}'");
        context.progress.warn(Some("git:inconsistent-submodule"), &text, Some(&detail))
    }
}

/// The submodules that a commit in a mirror has.
///
/// # Errors
/// `git` fails.
pub(crate) fn submodules(mirror: &Mirror, commit: &str) -> Result<Vec<Submodule>, SourceError> {
    if repository::has_no_submodules(mirror, commit) {
        return Ok(Vec::new());
    }
    let git = || Tool::silent("git").arg("--git-dir").arg(&mirror.path);
    let blob = format!("{commit}:.gitmodules");
    let list =
        git().args(["config", "--blob", &blob, "--null", "--get-regexp", r"^submodule\..*\.(path|url)$"]);
    let list = list.output()?;
    if !list.status.success() {
        return Ok(Vec::new());
    }
    let mut named: IndexMap<String, (Option<String>, Option<String>)> = IndexMap::new();
    for entry in String::from_utf8_lossy(&list.stdout).split('\0') {
        let Some((key, value)) = entry.split_once('\n') else { continue };
        let Some((name, field)) = key.rsplit_once('.') else { continue };
        let entry = named.entry(name.to_owned()).or_default();
        *(if field == "path" { &mut entry.0 } else { &mut entry.1 }) = Some(value.to_owned());
    }
    let mut found = Vec::new();
    for (path, url) in named.into_values() {
        let (Some(path), Some(url)) = (path, url) else { continue };
        let tree = git().args(["ls-tree", commit, "--", &path]);
        let tree = tree.run(|| format!("ls-tree failed for commit {commit} and submodule: {path}"))?.text();
        let mut words = tree.split_whitespace().skip(1);
        let commit = match (words.next(), words.next()) {
            (Some("commit"), Some(commit)) => Some(commit.to_owned()),
            _ => None,
        };
        found.push(Submodule { path, url, commit });
    }
    Ok(found)
}

impl SourceKind for GitTag {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<GitTagSource, Diagnostic> {
    let own = ["track", "track-extra", "track-tags", "match", "exclude", "checkout-submodules", "submodules"];
    let repository = TaggedRepository::read(reading, &own)?;
    let node = reading.node;
    let list = |key: &str| -> Result<Vec<String>, Diagnostic> {
        Ok(node.opt_str_list(key)?.unwrap_or_default().into_iter().map(str::to_owned).collect())
    };
    let source = GitTagSource {
        track: node.opt_str("track")?.map(str::to_owned),
        track_extra: list("track-extra")?,
        track_tags: node.opt_bool("track-tags")?.unwrap_or(false),
        matching: list("match")?,
        exclude: list("exclude")?,
        submodules: Submodules::read(reading)?,
        urls: reading.context.urls.clone(),
        repository,
    };
    if source.repository.reference.is_none() && source.track.is_none() {
        return Err(reading.error("missing-track-and-ref", "Git sources require a ref and/or track"));
    }
    Ok(source)
}

impl Source for GitTagSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(self.repository.key(self.submodules.key()))
    }

    fn is_resolved(&self) -> bool {
        self.repository.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        self.repository.reference()
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let repository = self.repository.with_reference(reference)?;
        Ok(Box::new(GitTagSource { repository, ..self.clone() }))
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        if !self.repository.is_fetched(source_directory)? {
            return Ok(false);
        }
        for (_, module) in self.modules(source_directory)? {
            if !module.is_fetched(source_directory)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let Some(track) = &self.track else { return Ok(None) };
        let mut failure = SourceError::new("There is no URL to track");
        for candidate in context.urls.track(&self.repository.original_url) {
            let heading = format!("Tracking {track} from {}", shown(&candidate.url));
            match activity(context.progress, &heading, || self.track_at(context, track, &candidate.url)) {
                Ok(found) => return Ok(found.map(|found| reference("ref", found))),
                Err(error) if context.cancel.is_cancelled() => return Err(error),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn upstreams(&self, context: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        let mut remotes = vec![self.repository.remote()?];
        for (_, module) in self.modules(context.source_directory)? {
            remotes.push(module.remote()?);
        }
        Ok(Some(remotes))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        self.repository.fetch(context)?;
        self.modules(context.source_directory)?.iter().try_for_each(|(_, module)| module.fetch(context))
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        activity(context.progress, &format!("Staging {}", self.repository.original_url), || {
            let mut tree = self.repository.stage(context)?;
            for (path, module) in self.modules(context.source_directory)? {
                let staged = trees::Entry::Directory(module.stage(context)?);
                tree = trees::put(context.cas, &tree, &path, staged)?;
            }
            Ok(tree)
        })
    }

    fn init_workspace(&self, directory: &Path, context: &StageContext<'_>) -> Result<(), SourceError> {
        self.repository.init_workspace(directory, context)?;
        let modules = self.modules(context.source_directory)?;
        modules.into_iter().try_for_each(|(path, module)| {
            let url = context.urls.translate(&module.original_url).unwrap_or(module.url.clone());
            TaggedRepository { url, ..module }.init_workspace(&directory.join(path), context)
        })
    }

    /// Where it and its submodules come from. Which there are is only known once it was fetched.
    fn provenance(
        &self,
        context: &ProvenanceContext<'_>,
    ) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        let mut told = vec![self.repository.provenance()];
        if self.repository.reference.is_some() {
            for (_, module) in self.modules(context.source_directory)? {
                let url = self.urls.translate(&module.url);
                let url = url.map_err(|error| SourceError::new(error.message).reason(error.reason))?;
                told.push(TaggedRepository { url, ..module }.provenance());
            }
        }
        Ok(self.repository.declared.told(told))
    }
}

impl GitTagSource {
    /// The submodules that are wanted, as repositories of their own.
    fn modules(&self, source_directory: &Path) -> Result<Vec<(String, TaggedRepository)>, SourceError> {
        let commit = self.repository.commit()?;
        if !self.submodules.checkout && self.submodules.checkouts.is_empty() {
            return Ok(Vec::new());
        }
        let Some(mirror) = commit.mirror(source_directory) else { return Ok(Vec::new()) };
        let found = submodules(&mirror, commit.described.commit)?;
        let wanted = found.into_iter().filter(|module| self.submodules.wants(&module.path));
        Ok(wanted.filter_map(|module| Some((module.path.clone(), self.module(module)?))).collect())
    }

    fn module(&self, module: Submodule) -> Option<TaggedRepository> {
        let configured = self.submodules.urls.get(&module.path).cloned().flatten();
        let url = match configured.filter(|url| !url.is_empty()) {
            Some(url) => url,
            None => absolute(&self.repository.original_url, &module.url),
        };
        Some(TaggedRepository {
            url: url.clone(),
            original_url: url,
            reference: Some(module.commit?),
            full_clone: false,
            ..self.repository.clone()
        })
    }

    /// The newest commit or tag of the branches.
    fn track_at(
        &self,
        context: &TrackContext<'_>,
        track: &str,
        url: &str,
    ) -> Result<Option<String>, SourceError> {
        let kind = &self.repository.declared.kind;
        let mirror = Mirror::plain(context.source_directory, kind, &self.repository.original_url);
        let _lock = mirror.lock(context)?;
        mirror.create(context, kind)?;
        let fetch =
            mirror.git(context).args(["fetch", "--quiet", "--prune", "--force", "--no-write-fetch-head"]);
        let unshallow = mirror.is_shallow().then_some("--unshallow");
        let fetch =
            fetch.args(unshallow).args(["--", url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]);
        fetch
            .run(|| format!("Failed to fetch from remote git repository: {}", shown(url)))
            .map_err(explained)?;
        let mut best: Option<(i64, String)> = None;
        for branch in std::iter::once(track).chain(self.track_extra.iter().map(String::as_str)) {
            let Some((time, found)) = self.latest(context, &mirror, branch)? else { continue };
            if best.as_ref().is_none_or(|(latest, _)| time > *latest) {
                best = Some((time, found));
            }
        }
        Ok(best.map(|(_, found)| found))
    }

    /// The latest commit or tag of a branch, and its time.
    fn latest(
        &self,
        context: &TrackContext<'_>,
        mirror: &Mirror,
        branch: &str,
    ) -> Result<Option<(i64, String)>, SourceError> {
        let patterns = || {
            let matching = self.matching.iter().map(|glob| format!("--match={glob}"));
            matching.chain(self.exclude.iter().map(|glob| format!("--exclude={glob}")))
        };
        let found = if self.track_tags {
            let describe = mirror.git(context).args(["describe", "--tags", "--abbrev=0"]).args(patterns());
            let found = describe.args(["--end-of-options", branch]).output()?;
            if !found.status.success() {
                context.progress.status(&format!("Unable to find tag for specified branch name '{branch}'"));
                return Ok(None);
            }
            found.text()
        } else {
            let parse = mirror.git(context).args(["rev-parse", "--verify", "--end-of-options", branch]);
            parse.run(|| format!("Unable to find commit for specified branch name '{branch}'"))?.text()
        };
        let describe =
            mirror.git(context).args(["describe", "--tags", "--abbrev=40", "--long"]).args(patterns());
        let described = describe.arg(&found).output()?;
        let found = if described.status.success() { described.text() } else { found };
        let time = mirror.git(context).args(["show", "-s", "--format=%ct", &found]);
        let time = time.run(|| format!("Unable to tell the time of {found}"))?.text();
        let time = time.lines().last().and_then(|line| line.trim().parse().ok()).unwrap_or(0);
        Ok(Some((time, found)))
    }
}

/// The URL of a submodule, which may be written as seen from its repository.
pub(crate) fn absolute(base: &str, url: &str) -> String {
    if !url.starts_with("./") && !url.starts_with("../") {
        return url.to_owned();
    }
    let (mut base, mut rest) = (base.trim_end_matches('/').to_owned(), url);
    loop {
        if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix("../") {
            let cut =
                base.rfind(['/', ':']).map_or(0, |at| if base[at..].starts_with(':') { at + 1 } else { at });
            base.truncate(cut);
            rest = after;
        } else {
            let slash = if base.is_empty() || base.ends_with([':', '/']) { "" } else { "/" };
            return format!("{base}{slash}{rest}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_submodules() {
        for (base, url, expect) in [
            ("https://h/g/repo.git", "../other.git", "https://h/g/other.git"),
            ("https://h/g/repo.git/", "../../x/y", "https://h/x/y"),
            ("up:repo.git", "../other.git", "up:other.git"),
            ("up:g/repo.git", "./sub", "up:g/repo.git/sub"),
            ("up:repo", "https://elsewhere/x", "https://elsewhere/x"),
        ] {
            assert_eq!(absolute(base, url), expect, "{base} {url}");
        }
    }
}
