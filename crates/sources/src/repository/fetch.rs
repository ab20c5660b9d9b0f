//! Fetching into a mirror no more than what is needed.

use super::refusal::explained;
use super::remote::{matching, remote_refs};
use super::{Mirror, Objects, Oid};
use crate::http::shown;
use bourn_plan::{Candidate, FetchContext, SourceError};

/// All branches and tags.
const ALL: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

/// How much history is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Depth {
    /// So many commits of each line.
    Commits(u64),
    /// All.
    Full,
}

/// What is needed of a repository.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    /// The commit.
    pub(crate) commit: &'a str,
    /// A tag that has to be there, too, and to be found from the commit.
    pub(crate) tag: Option<&'a str>,
    pub(crate) depth: Depth,
    /// Glob of refs that most likely have the commit, and globs that do not.
    pub(crate) track: Option<(&'a str, &'a [String])>,
}

impl Wanted<'_> {
    /// The name of the wanted tag.
    fn tag_ref(&self) -> Option<String> {
        self.tag.map(|tag| format!("refs/tags/{tag}"))
    }

    /// Whether a mirror has all of it, and nobody is changing it.
    ///
    /// # Errors
    /// No `git`.
    pub(crate) fn is_in(&self, mirror: &Mirror) -> Result<bool, SourceError> {
        Ok(self.is_there(mirror)? && mirror.is_settled())
    }

    /// Whether a mirror has all of it, for who is changing it.
    ///
    /// # Errors
    /// No `git`.
    pub(crate) fn is_there(&self, mirror: &Mirror) -> Result<bool, SourceError> {
        if !mirror.exists() || !mirror.contains(self.commit) {
            return Ok(false);
        }
        let Some(tag) = self.tag_ref() else { return Ok(true) };
        let Some(tagged) = mirror.reference(&tag) else { return Ok(false) };
        // Where history was cut, another source's commit may have cut it between this one and its tag.
        if !mirror.is_shallow() || tagged == self.commit {
            return Ok(mirror.contains(&tagged));
        }
        let ancestor = crate::host::Tool::silent("git").arg("--git-dir").arg(&mirror.path);
        ancestor.args(["merge-base", "--is-ancestor", &tag, self.commit]).succeeds()
    }

    /// Brings it, from the first candidate that has it.
    ///
    /// # Errors
    /// No server has it.
    pub(crate) fn fetch(
        &self,
        context: &FetchContext<'_>,
        mirror: &Mirror,
        candidates: &[Candidate],
    ) -> Result<(), SourceError> {
        let mut failure = None;
        for candidate in candidates {
            match self.fetch_from(context, mirror, &candidate.url) {
                Ok(()) => return Ok(()),
                Err(error) if context.cancel.is_cancelled() => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| SourceError::new("There is no URL to fetch from")))
    }

    fn fetch_from(&self, context: &FetchContext<'_>, mirror: &Mirror, url: &str) -> Result<(), SourceError> {
        let exact = self.fetch_exactly(context, mirror, url)?;
        if exact.is_none() {
            return self.check(mirror, url);
        }
        // Some servers only give what a ref leads to.
        context.progress.status(&format!("{} gives no single commits, fetching refs", shown(url)));
        if let Some((track, exclude)) = self.track {
            let refs = remote_refs(context, url)?;
            let specs = matching(&refs, track, exclude).into_iter().map(|one| format!("+{0}:{0}", one.name));
            let mut specs: Vec<String> = specs.collect();
            specs.extend(self.tag_ref().map(|tag| format!("+{tag}:{tag}")));
            if !specs.is_empty() {
                run(context, mirror, url, None, &specs)?;
            }
        }
        if !mirror.contains(self.commit)
            && let Some(error) = run(context, mirror, url, None, &ALL.map(str::to_owned))?
        {
            return Err(error);
        }
        self.check(mirror, url)
    }

    /// Asks for the commit itself. What went wrong, if the server was there but did not want to.
    fn fetch_exactly(
        &self,
        context: &FetchContext<'_>,
        mirror: &Mirror,
        url: &str,
    ) -> Result<Option<SourceError>, SourceError> {
        // A ref of its own keeps the commit from being swept up.
        let kept = format!("refs/bourn/{}", self.commit);
        let mut specs = vec![format!("{}:{kept}", self.commit)];
        if mirror.reference(&kept).is_some() {
            // Git would not ask for more history of what the ref already leads to.
            mirror.git(context).args(["update-ref", "-d", &kept]).run(|| format!("Failed to drop {kept}"))?;
        }
        if let Some(tag) = self.tag_ref().filter(|tag| mirror.reference(tag).is_none()) {
            specs.push(format!("{tag}:{tag}"));
        }
        let depth = match self.depth {
            // A mirror with all of its history keeps it.
            Depth::Commits(_) if !mirror.is_shallow() && !mirror.is_empty() => None,
            Depth::Commits(depth) => Some(depth),
            Depth::Full => None,
        };
        if self.depth == Depth::Full {
            specs.extend(ALL.map(str::to_owned));
            specs.retain(|spec| self.tag_ref().is_none_or(|tag| !spec.starts_with(&tag)));
            let unshallow = mirror.is_shallow().then(|| "--unshallow".to_owned());
            return run(context, mirror, url, unshallow, &specs);
        }
        let depth_option = depth.map(|depth| format!("--depth={depth}"));
        let first = run(context, mirror, url, depth_option, &specs)?;
        match first {
            Some(error) if depth.is_some() && is_about_depth(&error) => {
                run(context, mirror, url, None, &specs)
            }
            first => Ok(first),
        }
    }

    fn check(&self, mirror: &Mirror, url: &str) -> Result<(), SourceError> {
        if !mirror.contains(self.commit) {
            return Err(SourceError::new(format!("{} not found in remote {}", self.commit, shown(url))));
        }
        match self.tag_ref().filter(|tag| mirror.reference(tag).is_none()) {
            Some(tag) => Err(SourceError::new(format!("ref {tag} not found in remote {}", shown(url)))),
            None => Ok(()),
        }
    }
}

/// Whether a server refused to cut history off.
pub(crate) fn is_about_depth(error: &SourceError) -> bool {
    error.detail.as_deref().is_some_and(|detail| detail.contains("shallow") || detail.contains("dumb http"))
}

/// One `git fetch`. What the server refused; failing to reach it is an error.
fn run(
    context: &FetchContext<'_>,
    mirror: &Mirror,
    url: &str,
    depth: Option<String>,
    specs: &[String],
) -> Result<Option<SourceError>, SourceError> {
    let fetch = mirror.git(context).args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"]);
    let fetch = fetch.args(["--no-recurse-submodules"]).args(depth).arg("--").arg(url).args(specs);
    let output = fetch.output()?;
    if output.status.success() {
        return Ok(None);
    }
    let error =
        SourceError::new(format!("Failed to fetch from {}", shown(url))).detail(output.stderr.clone());
    let refused = [
        "not our ref",
        "unadvertised object",
        "couldn't find remote ref",
        "shallow",
        "dumb http",
        "did not send all",
    ];
    if refused.iter().any(|words| output.stderr.contains(words)) {
        return Ok(Some(error));
    }
    Err(explained(error))
}

/// The whole name of a commit of which the beginning is known: for that, all of the repository is fetched, unless a
/// branch or tag leads to the commit itself.
///
/// # Errors
/// No server has it, or several commits begin so.
pub(crate) fn complete(
    context: &FetchContext<'_>,
    kind: &str,
    url: &str,
    beginning: &str,
) -> Result<String, SourceError> {
    let mut failure = SourceError::new("There is no URL to track");
    for candidate in context.urls.track(url) {
        context.progress.status(&format!("Tracking {beginning} from {}", shown(&candidate.url)));
        match complete_at(context, kind, url, &candidate.url, beginning) {
            Err(error) if !context.cancel.is_cancelled() => failure = error,
            done => return done,
        }
    }
    Err(failure)
}

fn complete_at(
    context: &FetchContext<'_>,
    kind: &str,
    original_url: &str,
    url: &str,
    beginning: &str,
) -> Result<String, SourceError> {
    let refs = remote_refs(context, url)?;
    if let Some(found) =
        refs.iter().find(|one| one.oid.starts_with(beginning) && !is_tag_object(&refs, &one.name))
    {
        return Ok(found.oid.clone());
    }
    let mirror = Mirror::dulwich(context.source_directory, kind, original_url);
    let _lock = mirror.lock(context)?;
    mirror.create(context, kind)?;
    let unshallow = mirror.is_shallow().then(|| "--unshallow".to_owned());
    if let Some(error) = run(context, &mirror, url, unshallow, &ALL.map(str::to_owned))? {
        return Err(error);
    }
    let found = mirror.git(context).args(["rev-parse", "--verify", "--quiet", "--end-of-options"]);
    let found = found.arg(format!("{beginning}^{{commit}}")).output()?;
    if !found.status.success() {
        return Err(SourceError::new(format!("Failed to find {beginning} from {}", shown(url))));
    }
    Ok(found.text())
}

/// Whether a ref names a tag object, which is no commit: then the list has what it leads to, too.
fn is_tag_object(refs: &[super::remote::RemoteRef], name: &str) -> bool {
    refs.iter().any(|one| one.name.strip_suffix("^{}") == Some(name))
}

/// The tag and distance that the reference's community kinds describe a commit by: the first tagged commit that a
/// walk by date meets. History is fetched as far as that takes.
///
/// # Errors
/// The server, the mirror.
pub(crate) fn describe(
    context: &FetchContext<'_>,
    mirror: &Mirror,
    url: &str,
    commit: &str,
) -> Result<String, SourceError> {
    let refs = remote_refs(context, url)?;
    let mut tags = std::collections::HashMap::new();
    for one in refs.iter().filter(|one| one.name.starts_with("refs/tags/")) {
        let name = one.name["refs/tags/".len()..].trim_end_matches("^{}");
        tags.insert(one.oid.as_str(), name);
    }
    let mut depth = 64;
    loop {
        let wanted = Wanted { commit, tag: None, depth: Depth::Commits(depth), track: None };
        let complete = !mirror.is_shallow() && mirror.contains(commit);
        if !complete {
            wanted.fetch_from(context, mirror, url)?;
        }
        let list = mirror
            .git(context)
            .args(["rev-list", commit])
            .run(|| format!("Unable to find revision {commit}"))?;
        let list = list.text();
        let commits: Vec<&str> = list.lines().collect();
        let found = commits.iter().position(|commit| tags.contains_key(commit));
        let ends = boundary(mirror)?;
        let cut = commits.iter().position(|commit| ends.iter().any(|end| end == commit));
        match (found, cut) {
            (Some(count), cut) if cut.is_none_or(|cut| count <= cut) => {
                return Ok(format!("{}-{count}-g{commit}", tags[commits[count]]));
            }
            (_, None) => return Ok(commit.to_owned()),
            _ => depth = depth.saturating_mul(4),
        }
    }
}

/// The commits at which history was cut.
fn boundary(mirror: &Mirror) -> Result<Vec<String>, SourceError> {
    match std::fs::read_to_string(mirror.path.join("shallow")) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(crate::tree::unreadable(&mirror.path.join("shallow"), &error)),
    }
}

/// A tag object and its content.
pub(crate) type Tag = (Oid, Vec<u8>);

/// The commit that a ref such as a tag leads to, with the tags on the way.
///
/// # Errors
/// It is not there.
pub(crate) fn peel(mirror: &Mirror, oid: Oid) -> Result<(Oid, Vec<Tag>), SourceError> {
    let mut at = oid;
    let mut tags = Vec::new();
    loop {
        let mut contents = Objects::contents(mirror, &[at])?;
        match contents.pop() {
            Some((super::Kind::Tag, content)) => {
                let next = super::objects::parse_tag(&content);
                tags.push((at, content));
                at = next.ok_or_else(|| SourceError::new(format!("The tag {at} is malformed")))?;
            }
            Some((super::Kind::Commit, _)) => return Ok((at, tags)),
            _ => return Err(SourceError::new(format!("{oid} does not lead to a commit"))),
        }
    }
}
