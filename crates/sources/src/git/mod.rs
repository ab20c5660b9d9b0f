//! `git`: a commit of a git repository, submodules included.

use crate::declared::{Declared, Origin};
use crate::download::{activity, first};
use crate::git_repo::RefFormat;
use crate::git_tag::{Submodule, Submodules, absolute, submodules};
use crate::http::shown;
use crate::key;
use crate::reading::Reading;
use crate::release::Release;
use crate::repository::{
    self, Conversion, Depth, Described, GitDirectory, Head, Mirror, Oid, Wanted, tag_object,
};
use crate::trees;
use crate::version::VersionGuess;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics, Mapping, Node, Value};
use std::collections::BTreeSet;
use std::path::Path;

/// The kind.
pub(crate) struct Git;

#[derive(Clone)]
struct GitSource {
    declared: Declared,
    /// With its alias.
    original_url: String,
    reference: Option<String>,
    tags: Vec<Tag>,
    /// Branch or tag to track.
    track: Option<String>,
    track_tags: bool,
    format: RefFormat,
    submodules: Submodules,
    guess: VersionGuess,
}

/// A tag that `git describe` shall find in what is staged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    name: String,
    commit: String,
    annotated: bool,
}

impl SourceKind for Git {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }

    fn ref_keys(&self) -> &'static [&'static str] {
        &["ref", "tags"]
    }
}

const KEYS: [&str; 8] =
    ["url", "track", "ref", "submodules", "checkout-submodules", "ref-format", "track-tags", "tags"];

fn read(reading: &Reading<'_>) -> Result<GitSource, Diagnostic> {
    let release = Release::of(&reading.declaration.origin);
    let node = reading.node;
    let guesses = release >= Release(2, 5, 0);
    let keys: Vec<&str> = KEYS.iter().chain(VersionGuess::KEYS.iter().filter(|_| guesses)).copied().collect();
    reading.keys(&keys)?;
    let source = GitSource {
        declared: reading.declared(),
        tags: read_tags(node)?,
        track_tags: node.opt_bool("track-tags")?.unwrap_or(false),
        original_url: node.get_str("url")?.to_owned(),
        reference: node.opt_str("ref")?.map(str::to_owned),
        track: node.opt_str("track")?.map(str::to_owned),
        format: node.opt_enum("ref-format", RefFormat::NAMES)?.unwrap_or(RefFormat::Sha1),
        guess: if guesses { VersionGuess::read(node)? } else { VersionGuess::default() },
        submodules: Submodules::read(reading)?,
    };
    if source.reference.is_none() && source.track.is_none() {
        return Err(reading.error("missing-track-and-ref", "Git sources require a ref and/or track"));
    }
    reading.mark(&source.original_url)?;
    Ok(source)
}

fn read_tags(node: &Node) -> Result<Vec<Tag>, Diagnostic> {
    let tags = node.opt_sequence("tags")?.unwrap_or_default();
    let read = |tag: &Node| {
        tag.validate_keys(&["tag", "commit", "annotated"])?;
        let annotated = tag.get_bool("annotated")?;
        Ok(Tag { name: tag.get_str("tag")?.to_owned(), commit: tag.get_str("commit")?.to_owned(), annotated })
    };
    tags.iter().map(read).collect()
}

impl Tag {
    fn node(&self) -> Node {
        let mut entries = Mapping::new();
        entries.insert("tag", Node::scalar(self.name.as_str()));
        entries.insert("commit", Node::scalar(self.commit.as_str()));
        entries.insert("annotated", Node::from(self.annotated));
        Node::mapping(entries)
    }
}

impl GitSource {
    /// The commit of the ref, whatever stands before it.
    fn commit(&self) -> Option<&str> {
        self.reference
            .as_deref()
            .map(|reference| reference.rsplit_once("-g").map_or(reference, |(_, commit)| commit))
    }
}

/// The repository or one of its submodules.
#[derive(Clone, Debug)]
struct Module {
    /// Where it is staged; empty for the repository itself.
    path: String,
    /// With its alias.
    url: String,
    commit: String,
    /// The exact tag that the ref names.
    tag: Option<String>,
}

impl Module {
    fn mirror(&self, source_directory: &Path) -> Mirror {
        Mirror::plain(source_directory, "git", &self.url)
    }

    fn oid(&self) -> Result<Oid, SourceError> {
        Oid::parse(&self.commit).ok_or_else(|| SourceError::new(format!("{} is no commit", self.commit)))
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted { commit: &self.commit, tag: None, depth: Depth::Commits(1), track: None }
    }

    /// Brings it; `branch` is what else the source wants to know the history of.
    fn fetch(&self, context: &FetchContext<'_>, branch: Option<History<'_>>) -> Result<(), SourceError> {
        let mirror = self.mirror(context.source_directory);
        if self.wanted().is_in(&mirror)? {
            return Ok(());
        }
        let candidates = context.urls.fetch(&self.url);
        activity(context.progress, &format!("Fetching from {}", first(&candidates)), || {
            let is_there = || self.wanted().is_there(&mirror);
            mirror.change(context, "git", &self.commit, is_there, || match branch {
                None => self.wanted().fetch(context, &mirror, &candidates),
                Some(history) => self.fetch_with(context, &mirror, &candidates, history),
            })
        })
    }

    /// Brings it with history: all of it, or of a branch that ends with the commit just its end.
    fn fetch_with(
        &self,
        context: &FetchContext<'_>,
        mirror: &Mirror,
        candidates: &[Candidate],
        history: History<'_>,
    ) -> Result<(), SourceError> {
        let mut failure = SourceError::new("There is no URL to fetch from");
        for candidate in candidates {
            let failed = || format!("Failed to fetch from remote git repository: {}", shown(&candidate.url));
            let tips = match history {
                History::All => Ok(Vec::new()),
                History::Branch(track) => match self.fetch_tip(context, mirror, &candidate.url, track) {
                    Ok(true) => return Ok(()),
                    Ok(false) => self.tips(context, &candidate.url, track),
                    Err(error) => Err(error),
                },
            };
            let tips = match tips {
                Err(error) if context.cancel.is_cancelled() => return Err(error),
                Err(error) => {
                    failure = SourceError { message: failed(), ..error };
                    continue;
                }
                Ok(tips) => tips,
            };
            let fetch = |depth: Option<&str>| {
                let fetch = mirror.git(context).args(["fetch", "--quiet", "--no-write-fetch-head"]);
                if tips.is_empty() {
                    let all = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
                    let unshallow = mirror.is_shallow().then_some("--unshallow");
                    return fetch.args(unshallow).args(["--prune", "--", &candidate.url]).args(all);
                }
                let fetch = fetch.arg("--no-tags").args(depth).args(["--", &candidate.url]);
                fetch.args(tips.iter().map(|name| format!("+{name}:{name}")))
            };
            let depth = (mirror.is_shallow() || mirror.is_empty()).then_some("--depth=1");
            let fetched = match fetch(depth).run(failed) {
                // Plain files on a server, and servers of old, have all of the history or none.
                Err(error) if depth.is_some() && repository::is_about_depth(&error) => {
                    fetch(None).run(failed)
                }
                fetched => fetched,
            };
            match fetched {
                Ok(_) if mirror.contains(&self.commit) => return Ok(()),
                Ok(_) => {
                    let url = shown(&candidate.url);
                    failure = SourceError::new(format!(
                        "expected ref '{}' was not found in git repository: '{url}'",
                        self.commit
                    ));
                }
                Err(error) if context.cancel.is_cancelled() => return Err(error),
                Err(error) => failure = repository::explained(error),
            }
        }
        Err(failure)
    }

    /// The branch or tag that is tracked, if it leads to the commit at the server.
    fn tips(&self, context: &FetchContext<'_>, url: &str, track: &str) -> Result<Vec<String>, SourceError> {
        let is_it = |name: &str| {
            let mut kinds = ["refs/heads/", "refs/tags/"].iter();
            kinds.any(|kind| name.strip_prefix(kind) == Some(track))
        };
        let refs = repository::remote_refs(context, url)?.into_iter();
        Ok(refs.filter(|one| one.oid == self.commit && is_it(&one.name)).map(|one| one.name).collect())
    }

    /// Brings the end of a branch, and nothing is asked before. Whether there is such a branch and the commit is its end,
    /// as it is most often.
    ///
    /// # Errors
    /// The server lets nobody in, or not this machine.
    fn fetch_tip(
        &self,
        context: &FetchContext<'_>,
        mirror: &Mirror,
        url: &str,
        track: &str,
    ) -> Result<bool, SourceError> {
        if track.contains(|c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c)) || track.contains("..") {
            return Ok(false);
        }
        let branch = format!("refs/heads/{track}");
        let fetch = mirror.git(context).args(["fetch", "--quiet", "--no-write-fetch-head", "--no-tags"]);
        let depth = (mirror.is_shallow() || mirror.is_empty()).then_some("--depth=1");
        let fetch = fetch.args(depth).args(["--", url]).arg(format!("+{branch}:{branch}"));
        match fetch.run(|| format!("Failed to fetch from {}", shown(url))).map_err(repository::explained) {
            Ok(_) => Ok(mirror.reference(&branch).as_deref() == Some(&self.commit)),
            // It is not asked again what it said for good.
            Err(error) if error.hint.is_some() || context.cancel.is_cancelled() => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Its submodules, as far as it was fetched, wanted or not.
    fn below(&self, source_directory: &Path) -> Result<Vec<Submodule>, SourceError> {
        let mirror = self.mirror(source_directory);
        if mirror.contains(&self.commit) { submodules(&mirror, &self.commit) } else { Ok(Vec::new()) }
    }

    /// A submodule of it.
    fn module(&self, below: &Submodule) -> Option<Module> {
        Some(Module {
            path: crate::url::join(&self.path, &below.path),
            url: absolute(&self.url, &below.url),
            commit: below.commit.clone()?,
            tag: None,
        })
    }

    fn stage(&self, context: &FetchContext<'_>) -> Result<Digest, SourceError> {
        let mirror = self.mirror(context.source_directory);
        repository::stage(context, "git", &mirror, self.oid()?, Conversion::Checkout)
    }
}

/// What history a source needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum History<'a> {
    /// All branches and tags.
    All,
    /// As much as tells whether the commit is in a branch or tag.
    Branch(&'a str),
}

impl GitSource {
    fn top(&self) -> Result<Module, SourceError> {
        let commit = self.commit().ok_or_else(|| SourceError::new("The source has no ref"))?.to_owned();
        let described = self.reference.as_deref().and_then(Described::parse);
        let tag =
            described.filter(|described| described.count == Some("0")).and_then(|described| described.tag);
        Ok(Module {
            path: String::new(),
            url: self.original_url.clone(),
            commit,
            tag: tag.map(str::to_owned),
        })
    }

    /// Tags want history, and so does telling whether the commit is in the branch that is tracked.
    fn needs_branch(&self) -> Option<History<'_>> {
        let exact = self.top().is_ok_and(|top| top.tag.is_some());
        match &self.track {
            _ if !self.tags.is_empty() => Some(History::All),
            Some(track) if !exact => Some(History::Branch(track)),
            _ => None,
        }
    }

    /// The wanted submodules of a module that was fetched, and theirs, the outer ones first.
    ///
    /// Whether all are there; if not, what lies within those that are not there is unknown.
    fn each_module(
        &self,
        source_directory: &Path,
        module: &Module,
        work: &mut dyn FnMut(&Module) -> Result<bool, SourceError>,
    ) -> Result<bool, SourceError> {
        if !self.submodules.checkout && self.submodules.checkouts.is_empty() {
            return Ok(true);
        }
        for mut below in module.below(source_directory)?.iter().filter_map(|below| module.module(below)) {
            if !self.submodules.wants(&below.path) {
                continue;
            }
            if let Some(Some(url)) = self.submodules.urls.get(&below.path) {
                below.url.clone_from(url);
            }
            if !work(&below)? || !self.each_module(source_directory, &below, work)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Warns of submodules that only the configuration or only the repository knows.
    fn check_modules(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        let mut found = Vec::new();
        let mut todo = vec![self.top()?];
        while let Some(module) = todo.pop() {
            let below = module.below(context.source_directory)?;
            below.iter().try_for_each(|below| below.check(context))?;
            let below: Vec<Module> = below.iter().filter_map(|below| module.module(below)).collect();
            found.extend(below.iter().map(|module| (module.path.clone(), module.url.clone())));
            todo.extend(below);
        }
        let line = |path: &str, url: &str| format!("  Submodule URL '{url}' at path '{path}'");
        let known = |path: &String| found.iter().any(|(known, _)| known == path);
        let invalid = self.submodules.urls.iter().filter(|(path, _)| !known(path));
        let invalid: Vec<String> =
            invalid.map(|(path, url)| line(path, url.as_deref().unwrap_or("None"))).collect();
        if !invalid.is_empty() {
            let detail = format!(
                "The following submodules are specified in the source description but do not exist according to the repository\n\n{}",
                invalid.join("\n")
            );
            context.progress.warn(
                Some("git:invalid-submodule"),
                "Invalid submodules specified",
                Some(&detail),
            )?;
        }
        let listed = |path: &String| self.submodules.urls.contains_key(path);
        let unlisted = found.iter().filter(|(path, _)| self.submodules.wants(path) && !listed(path));
        let unlisted: Vec<String> = unlisted.map(|(path, url)| line(path, url)).collect();
        if !unlisted.is_empty() {
            let detail = format!(
                "The following submodules exist but are not specified in the source description\n\n{}",
                unlisted.join("\n")
            );
            context.progress.warn(
                Some("git:unlisted-submodule"),
                "Unlisted submodules exist",
                Some(&detail),
            )?;
        }
        Ok(())
    }

    /// Warns when the commit is not in the branch or tag that is tracked.
    fn check_track(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        let top = self.top()?;
        let Some(track) = self.track.as_ref().filter(|_| top.tag.is_none()) else { return Ok(()) };
        let mirror = top.mirror(context.source_directory);
        let leads_to = |kind| mirror.reference(&format!("refs/{kind}/{track}"));
        if ["heads", "tags"].into_iter().any(|kind| leads_to(kind).as_ref() == Some(&top.commit)) {
            return Ok(());
        }
        for kind in ["branch", "tag"] {
            let list = mirror
                .git(context)
                .args([kind, "--contains", &top.commit, "--list", "--end-of-options", track])
                .output()?;
            if !list.text().is_empty() {
                return Ok(());
            }
        }
        let reference = self.reference.as_deref().unwrap_or_default();
        let text = format!(
            "expected ref '{reference}' was not found in given track '{track}' for staged repository: '{}'",
            self.original_url
        );
        let detail = format!(
            "`source track` replaces it by the newest one of '{track}'; what became of it can be seen at {}",
            self.original_url
        );
        context.progress.warn(Some("ref-not-in-track"), &text, Some(&detail))
    }

    /// Just enough history for `git describe` to find the recorded tags.
    fn described(&self, context: &FetchContext<'_>, top: &Module) -> Result<GitDirectory, SourceError> {
        let mirror = top.mirror(context.source_directory);
        let commit = top.oid()?;
        let (mut included, mut boundary) = (BTreeSet::new(), BTreeSet::new());
        let mut directory = GitDirectory {
            commit,
            head: Head::Detached,
            commits: BTreeSet::new(),
            trees: false,
            tags: Vec::new(),
            tag_objects: Vec::new(),
        };
        for tag in &self.tags {
            let tagged = Oid::parse(&tag.commit);
            let tagged =
                tagged.ok_or_else(|| SourceError::new(format!("The tag {} names no commit", tag.name)))?;
            if tagged == commit {
                boundary.insert(commit);
            } else {
                let range = format!("{}..{}", tag.commit, top.commit);
                let list = mirror.git(context).args(["rev-list", "--ancestry-path", "--boundary", &range]);
                for line in list.run(|| format!("Failed to get git history {range}"))?.text().lines() {
                    match line.strip_prefix('-') {
                        Some(line) => boundary.extend(Oid::parse(line)),
                        None => included.extend(Oid::parse(line)),
                    }
                }
            }
            if tag.annotated {
                let (oid, content) = tag_object(&tag.name, &tag.commit, self.tagger());
                directory.tags.push((tag.name.clone(), oid));
                directory.tag_objects.push((oid, content));
            } else {
                directory.tags.push((tag.name.clone(), tagged));
            }
        }
        directory.commits.extend(included);
        directory.commits.extend(boundary);
        Ok(directory)
    }

    /// Who made the tags, as far as they have to say.
    fn tagger(&self) -> &'static str {
        if self.declared.release >= Release(2, 3, 0) {
            "tagger Unspecified Tagger <unspecified-tagger> 0 +0000\n"
        } else {
            ""
        }
    }

    fn track_at(&self, context: &TrackContext<'_>, track: &str, url: &str) -> Result<SourceRef, SourceError> {
        // Where neither tags nor distances are asked for, the server alone can tell.
        if !self.track_tags
            && self.format == RefFormat::Sha1
            && let Some(commit) = self.tip(context, track, url)?
        {
            return Ok(reference_of(&commit, &[]));
        }
        let mirror = Mirror::plain(context.source_directory, "git", &self.original_url);
        let _lock = mirror.lock(context)?;
        mirror.create(context, "git")?;
        let fetch = mirror.git(context).args(["fetch", "--quiet", "--prune", "--no-write-fetch-head"]);
        let unshallow = mirror.is_shallow().then_some("--unshallow");
        let fetch =
            fetch.args(unshallow).args(["--", url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]);
        let failed = || format!("Failed to fetch from remote git repository: {}", shown(url));
        fetch.run(failed).map_err(repository::explained)?;
        let unknown = || format!("Unable to find revision {track}");
        let commit =
            mirror.git(context).args(["rev-list", "-n", "1", "--end-of-options", track]).run(unknown)?.text();
        let tags = if self.track_tags { reachable_tags(context, &mirror, &commit)? } else { Vec::new() };
        if self.format == RefFormat::Sha1 {
            return Ok(reference_of(&commit, &tags));
        }
        let describe =
            mirror.git(context).args(["describe", "--tags", "--abbrev=40", "--long", "--always", &commit]);
        Ok(reference_of(&describe.run(unknown)?.text(), &tags))
    }

    /// The commit of a branch or tag, from what the server lists; `None` when it is anything else.
    fn tip(&self, context: &TrackContext<'_>, track: &str, url: &str) -> Result<Option<String>, SourceError> {
        let refs = repository::remote_refs(context, url)?;
        let find = |name: &str| refs.iter().find(|one| one.name == name).map(|one| one.oid.clone());
        // In the order in which git looks a name up.
        let tag = find(&format!("refs/tags/{track}^{{}}")).or_else(|| find(&format!("refs/tags/{track}")));
        Ok(tag.or_else(|| find(&format!("refs/heads/{track}"))))
    }
}

/// Tags that `git describe` finds from a commit, in each of the ways it can be asked.
fn reachable_tags(
    context: &FetchContext<'_>,
    mirror: &Mirror,
    commit: &str,
) -> Result<Vec<Tag>, SourceError> {
    let mut tags: Vec<Tag> = Vec::new();
    for options in [&[][..], &["--first-parent"], &["--tags"], &["--tags", "--first-parent"]] {
        let found = mirror.git(context).args(["describe", "--abbrev=0", commit]).args(options).output()?;
        if !found.status.success() || tags.iter().any(|tag| tag.name == found.text()) {
            continue;
        }
        let name = found.text();
        let peeled = mirror.git(context).args(["rev-parse", &format!("{name}^{{commit}}")]);
        let commit = peeled.run(|| format!("Unable to resolve tag '{name}'"))?.text();
        let annotated = mirror.git(context).args(["cat-file", "tag", &name]).succeeds()?;
        tags.push(Tag { name, commit, annotated });
    }
    Ok(tags)
}

/// A ref with its tags, as it is written down.
fn reference_of(reference: &str, tags: &[Tag]) -> SourceRef {
    let mut entries = Mapping::new();
    entries.insert("ref", Node::scalar(reference));
    let nodes = tags.iter().map(Tag::node).collect();
    entries.insert("tags", if tags.is_empty() { Value::Null.into() } else { Node::sequence(nodes) });
    Node::mapping(entries)
}

impl Source for GitSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let mut values = vec![KeyValue::from(&*self.original_url), key::optional(self.commit())];
        if !self.tags.is_empty() {
            let value = |tag: &Tag| KeyValue::List(vec![(*tag.commit).into(), KeyValue::Bool(tag.annotated)]);
            let tags = key::object(self.tags.iter().map(|tag| (tag.name.as_str(), value(tag))));
            values.push(key::object([("tags", tags)]));
        }
        values.extend(self.submodules.key());
        self.guess.extend(&mut values);
        Ok(KeyValue::List(values))
    }

    fn is_resolved(&self) -> bool {
        self.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        Some(reference_of(self.reference.as_deref()?, &self.tags))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let tags = match reference.get("tags") {
            Some(tags) if !tags.is_null() => read_tags(reference)?,
            _ => Vec::new(),
        };
        let reference = reference.opt_str("ref")?.map(str::to_owned);
        Ok(Box::new(GitSource { reference, tags, ..self.clone() }))
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        let top = self.top()?;
        if !top.mirror(source_directory).exists() || !top.wanted().is_in(&top.mirror(source_directory))? {
            return Ok(false);
        }
        let is_there = |module: &Module| module.wanted().is_in(&module.mirror(source_directory));
        self.each_module(source_directory, &top, &mut |module| is_there(module))
    }

    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let Some(track) = &self.track else { return Ok(None) };
        let mut failure = SourceError::new("There is no URL to track");
        for candidate in context.urls.track(&self.original_url) {
            let heading = format!("Tracking {track} from {}", shown(&candidate.url));
            match activity(context.progress, &heading, || self.track_at(context, track, &candidate.url)) {
                Ok(found) => return Ok(Some(found)),
                Err(error) if context.cancel.is_cancelled() => return Err(error),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn upstreams(&self, context: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        let top = self.top()?;
        let mut remotes = vec![repository::upstream(&top.url, &top.commit)];
        self.each_module(context.source_directory, &top, &mut |module| {
            remotes.push(repository::upstream(&module.url, &module.commit));
            Ok(true)
        })?;
        Ok(Some(remotes))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        let top = self.top()?;
        top.fetch(context, self.needs_branch())?;
        let fetch = |module: &Module| module.fetch(context, None).map(|()| true);
        self.each_module(context.source_directory, &top, &mut |module| fetch(module)).map(drop)
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        activity(context.progress, &format!("Staging {}", self.original_url), || {
            let top = self.top()?;
            let mut tree = top.stage(context)?;
            if !self.tags.is_empty() {
                let git = self
                    .described(context, &top)?
                    .store(&top.mirror(context.source_directory), context.cas)?;
                tree = trees::put(context.cas, &tree, ".git", trees::Entry::Directory(git))?;
            }
            self.each_module(context.source_directory, &top, &mut |module| {
                let staged = trees::Entry::Directory(module.stage(context)?);
                tree = trees::put(context.cas, &tree, &module.path, staged)?;
                Ok(true)
            })?;
            Ok(tree)
        })
    }

    fn validate(&self, context: &StageContext<'_>) -> Result<(), SourceError> {
        self.check_modules(context)?;
        self.check_track(context)
    }

    fn init_workspace(&self, directory: &Path, context: &StageContext<'_>) -> Result<(), SourceError> {
        let top = self.top()?;
        let open = |module: &Module| {
            let mirror = module.mirror(context.source_directory);
            let origin = context.urls.translate(&module.url).unwrap_or_else(|_| module.url.clone());
            let oid = module.oid()?;
            repository::open_workspace(context, &mirror, &directory.join(&module.path), &origin, oid, true)
        };
        open(&top)?;
        let open = |module: &Module| open(module).map(|()| true);
        self.each_module(context.source_directory, &top, &mut |module| open(module)).map(drop)
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        if self.declared.release < Release(2, 5, 0) {
            return Ok(None);
        }
        let reference = self.reference.as_deref().unwrap_or_default();
        let (described, commit) = match reference.rsplit_once("-g") {
            Some((described, commit)) => (Some(described), commit),
            None => (None, reference),
        };
        let (tag, count) =
            match described.map(|described| described.rsplit_once('-').unwrap_or((described, ""))) {
                Some((tag, count)) => (Some(tag), Some(count)),
                None => (None, None),
            };
        // The reference tells the URL as it is written.
        let mut origin = Origin::git(&self.original_url, commit, self.guess.guess(tag));
        if let Some(count) = count.filter(|count| !count.is_empty() && *count != "0") {
            origin = origin.extra("commit-offset", count);
        }
        Ok(Some(vec![self.declared.provenance(origin)]))
    }
}
