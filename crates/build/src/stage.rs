//! Staging artifacts: merging the files of elements into one tree.
//!
//! Merging is done in memory, on directories that are shared as long as they are equal. What was merged is remembered
//! by what it was merged of: an element whose dependencies start like those of an earlier one goes on from there, so
//! that many elements over one large base merge the base once. The files that a split takes of an artifact are
//! computed once as well.

use crate::cache::Cached;
use crate::error::{BuildError, BuildResult, domain};
use crate::event::{Issuer, MessageKind};
use crate::job::{Job, locked};
use crate::overlap::{Staged, StagingSession};
use crate::session::Session;
use bourn_plan::assembly::{Overlaps, Reach, Split, Stage};
use bourn_project::ElementId;
use bourn_reapi::artifact::ArtifactDependency;
use bourn_reapi::tree::{ImportReport, Tree};
use bourn_reapi::{ArtifactName, Cas, Digest};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// How many merged trees are kept in memory; of the others only the digest is remembered.
const KEPT: usize = 8;

/// Names what was merged, in which order: the hash of all steps so far.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Chain(Digest);

impl Chain {
    /// Nothing was merged.
    pub fn start() -> Chain {
        Chain(Digest::empty())
    }

    fn then(self, into: &str, artifact: &Cached, split: &Split) -> Chain {
        let mut step = Vec::with_capacity(256);
        step.extend(self.0.hash);
        step.extend(artifact.files().unwrap_or_default().hash);
        step.extend(into.trim_matches('/').as_bytes());
        if !split.is_all() {
            step.push(0);
            step.extend(split_name(artifact, split));
        }
        Chain(Digest::of(&step))
    }
}

/// Names the files that a split takes of an artifact, beside their digest.
fn split_name(artifact: &Cached, split: &Split) -> Vec<u8> {
    let mut name = Vec::new();
    name.extend(artifact.public_data().unwrap_or_default().hash);
    name.push(u8::from(split.orphans));
    for (mark, list) in [(b'+', &split.include), (b'-', &split.exclude)] {
        for domain in list {
            name.push(mark);
            name.extend(domain.as_bytes());
            name.push(0);
        }
    }
    name
}

/// What is remembered of merging during a session.
#[derive(Default)]
pub(crate) struct Staging {
    trees: Mutex<Remembered>,
    reports: Mutex<HashMap<Chain, Arc<ImportReport>>>,
    splits: Mutex<HashMap<(Digest, Vec<u8>), Digest>>,
}

/// Merged trees. All of them are in the store.
#[derive(Default)]
struct Remembered {
    digests: HashMap<Chain, Digest>,
    /// With what was read of them, the one used last at the end.
    kept: Vec<(Chain, Tree)>,
}

impl Remembered {
    fn get(&mut self, chain: Chain, cas: &Arc<dyn Cas>) -> Option<Tree> {
        let digest = *self.digests.get(&chain)?;
        let tree = match self.kept.iter().position(|(other, _)| *other == chain) {
            Some(at) => self.kept.remove(at).1,
            None => Tree::open(cas, digest),
        };
        self.keep(chain, tree.clone());
        Some(tree)
    }

    fn put(&mut self, chain: Chain, digest: Digest, tree: Tree) {
        if self.digests.insert(chain, digest).is_none() {
            self.keep(chain, tree);
        }
    }

    fn keep(&mut self, chain: Chain, tree: Tree) {
        if self.kept.len() >= KEPT {
            self.kept.remove(0);
        }
        self.kept.push((chain, tree));
    }
}

/// An artifact to be staged: of an element of the plan, or one that was asked for by its name.
#[derive(Clone, Debug)]
pub struct Piece {
    /// How messages call it: the full element name, or the artifact's name.
    pub issuer: Issuer,
    /// How the message about its staging calls it.
    pub short: Arc<str>,
    /// The element, if it is one of the plan.
    pub element: Option<ElementId>,
    /// The artifact.
    pub cached: Arc<Cached>,
}

/// How pieces are staged.
#[derive(Clone, Copy, Debug)]
pub struct Placing<'p> {
    /// Where.
    pub into: &'p str,
    /// Which files.
    pub split: &'p Split,
    /// What overlaps with earlier steps lead to.
    pub overlaps: Overlaps,
    /// How many pieces at the start are likely to be staged together again; nought when nothing is known.
    pub together: usize,
}

impl Placing<'_> {
    /// All files, at the root.
    pub const ROOT: Placing<'static> =
        Placing { into: "/", split: &Split::ALL, overlaps: Overlaps::Warn, together: 0 };
}

/// A tree in which artifacts are staged, and what is known of how it came about.
pub struct Root {
    /// The tree.
    pub tree: Tree,
    /// Trees on the way to this one that others are likely to be built upon too.
    pub prefixes: Vec<Digest>,
    /// How it was merged; `None` once anything else was done to it.
    chain: Option<Chain>,
    sessions: Vec<StagingSession>,
}

impl Root {
    /// A root with nothing in it.
    pub fn empty(session: &Session<'_>) -> Root {
        Root {
            tree: Tree::empty(session.cas()),
            prefixes: Vec::new(),
            chain: Some(Chain::start()),
            sessions: Vec::new(),
        }
    }

    /// A root with the content of a tree.
    pub fn open(tree: Tree) -> Root {
        Root { tree, prefixes: Vec::new(), chain: None, sessions: Vec::new() }
    }

    /// The tree, to be changed by something other than staging.
    pub fn tree_mut(&mut self) -> &mut Tree {
        self.chain = None;
        &mut self.tree
    }

    /// Remembers the tree as it is as one that others are likely to be built upon.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn mark_prefix(&mut self) -> BuildResult<Digest> {
        let digest = self.tree.digest()?;
        if self.prefixes.last() != Some(&digest) && digest != Digest::empty() {
            self.prefixes.push(digest);
        }
        Ok(digest)
    }

    /// Stages artifacts as a step says.
    ///
    /// # Errors
    /// An artifact is not there; a directory meets a file; warnings and overlaps that are errors.
    pub fn stage(&mut self, session: &Session<'_>, job: &Job<'_>, step: &Stage) -> BuildResult<()> {
        let elements = match step.reach {
            Reach::Runtime => session.runtime_closure(step.from.iter().copied()),
            Reach::Alone => step.from.clone(),
        };
        let first = match step.from.split_first() {
            Some((&first, rest)) if step.reach == Reach::Runtime && !rest.is_empty() => {
                session.runtime_closure([first]).len()
            }
            _ => 0,
        };
        let pieces = session.pieces(&elements)?;
        check_domains(session, step, &pieces)?;
        let placing =
            Placing { into: &step.into, split: &step.split, overlaps: step.overlaps, together: first };
        self.place(session, job, &pieces, &placing)
    }

    /// Stages pieces, as one session for overlaps.
    ///
    /// # Errors
    /// A directory meets a file; warnings and overlaps that are errors.
    pub fn place(
        &mut self,
        session: &Session<'_>,
        job: &Job<'_>,
        pieces: &[Piece],
        placing: &Placing<'_>,
    ) -> BuildResult<()> {
        if !is_root(placing.into) {
            self.tree.create_directory(placing.into)?;
        }
        let chains = self.chains(pieces, placing);
        let done = self.recall(session, &chains, placing.together)?;
        let mut staged = Vec::with_capacity(pieces.len());
        for (at, piece) in pieces.iter().enumerate() {
            announce(session, job, piece);
            let files = session.split_files(&piece.cached, placing.split)?;
            let report = if at < done {
                recall_report(session, &chains[at])
            } else {
                job.check_cancelled()?;
                let report = self.tree.import(placing.into, &files, None)?;
                keep_report(session, chains.get(at), report)
            };
            if at >= done && (at + 1 == placing.together || at + 1 == pieces.len()) {
                let digest = self.mark_prefix()?;
                if let Some(chain) = chains.get(at) {
                    locked(&session.staging.trees).put(*chain, digest, self.tree.clone());
                }
            }
            staged.push(Staged { piece: piece.clone(), files, report });
        }
        self.chain = chains.last().copied().or(self.chain);
        let merged = StagingSession { location: absolute(placing.into), staged };
        merged.judge(session, job, &self.sessions, placing.overlaps)?;
        self.sessions.push(merged);
        Ok(())
    }

    /// The name of the tree after each artifact; empty when the tree is not made of artifacts alone.
    fn chains(&self, pieces: &[Piece], placing: &Placing<'_>) -> Vec<Chain> {
        let Some(mut chain) = self.chain else { return Vec::new() };
        let mut chains = Vec::with_capacity(pieces.len());
        for piece in pieces {
            chain = chain.then(placing.into, &piece.cached, placing.split);
            chains.push(chain);
        }
        chains
    }

    /// Goes on from the longest start of the chain for which the merged tree is remembered: how much that is.
    fn recall(&mut self, session: &Session<'_>, chains: &[Chain], first: usize) -> BuildResult<usize> {
        let (base, longest) = {
            let (mut trees, cas) = (locked(&session.staging.trees), session.cas());
            let base = first.checked_sub(1).and_then(|at| chains.get(at));
            let base = base.and_then(|chain| trees.get(*chain, cas));
            let mut all = chains.iter().enumerate().rev();
            (base, all.find_map(|(at, chain)| Some((at + 1, trees.get(*chain, cas)?))))
        };
        let Some((done, tree)) = longest else { return Ok(0) };
        for tree in base.into_iter().chain([tree]) {
            self.tree = tree;
            self.mark_prefix()?;
        }
        Ok(done)
    }
}

fn is_root(path: &str) -> bool {
    path.trim_matches('/').is_empty()
}

fn absolute(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}

fn recall_report(session: &Session<'_>, chain: &Chain) -> Arc<ImportReport> {
    locked(&session.staging.reports).get(chain).cloned().unwrap_or_default()
}

/// Most reports are empty, and those are not kept.
fn keep_report(session: &Session<'_>, chain: Option<&Chain>, report: ImportReport) -> Arc<ImportReport> {
    let empty = report.overwritten.is_empty() && report.ignored.is_empty();
    let report = Arc::new(report);
    if let Some(chain) = chain.filter(|_| !empty) {
        locked(&session.staging.reports).insert(*chain, report.clone());
    }
    report
}

/// Says that a piece is being staged.
fn announce(session: &Session<'_>, job: &Job<'_>, piece: &Piece) {
    let key = piece.issuer.key.as_ref().map_or("", |key| &key.full);
    let text = format!("Staging {}/{}", piece.short, session.options.log.brief(key));
    job.say_of(piece.issuer.clone(), MessageKind::Status, &text);
}

/// Refuses domains that an artifact does not know, where the step asks for that.
fn check_domains(session: &Session<'_>, step: &Stage, pieces: &[Piece]) -> BuildResult<()> {
    let Some((include_at, exclude_at)) = &step.known_domains else { return Ok(()) };
    for piece in pieces {
        let public = session.public(&piece.cached)?;
        let known = public.split_rules()?.domains();
        let mut lines = Vec::new();
        for (list, at) in [(&step.split.include, include_at), (&step.split.exclude, exclude_at)] {
            let unknown: Vec<&String> = list.iter().filter(|domain| !known.contains(domain)).collect();
            if !unknown.is_empty() {
                lines.push(format!("Unknown domains were used in {}", session.place(*at)));
                lines.extend(unknown.iter().map(|domain| format!(" - {domain}")));
            }
        }
        if !lines.is_empty() {
            return Err(
                BuildError::new(domain::ELEMENT, "Unknown domains declared.").detail(lines.join("\n"))
            );
        }
    }
    Ok(())
}

impl Session<'_> {
    /// The artifacts of elements, to be staged.
    ///
    /// # Errors
    /// One of them is not cached.
    pub fn pieces(&self, elements: &[ElementId]) -> BuildResult<Vec<Piece>> {
        elements.iter().map(|&element| self.piece(element)).collect()
    }

    /// The artifact of that name, to be staged; `None` when it is not here, or not whole.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn named_piece(&self, name: &ArtifactName) -> BuildResult<Option<Piece>> {
        let Some(message) = self.assets().artifact(name)? else { return Ok(None) };
        let Some(cached) = Cached::check(message, &**self.cas())? else { return Ok(None) };
        let short: Arc<str> = name.element.as_str().into();
        let issuer = Issuer { element: short.clone(), key: Some(cached.display_key()) };
        Ok(Some(Piece { issuer, short, element: None, cached: Arc::new(cached) }))
    }

    /// The names of the artifacts that an artifact was built upon, in staging order.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn built_upon(&self, name: &ArtifactName) -> BuildResult<Vec<ArtifactName>> {
        let Some(message) = self.assets().artifact(name)? else { return Ok(Vec::new()) };
        let dependencies = message.dependencies().map_err(|error| {
            BuildError::new(domain::ARTIFACT, format!("The artifact {name} cannot be read"))
                .detail(error.to_string())
        })?;
        let name = |d: &ArtifactDependency| ArtifactName::new(&d.project_name, &d.element_name, &d.cache_key);
        Ok(dependencies.iter().map(name).collect())
    }

    fn piece(&self, id: ElementId) -> BuildResult<Piece> {
        let Some(cached) = self.artifact(id) else {
            let text = format!("{} has no artifact in the cache", self.plan.graph.full_name(id));
            let error =
                BuildError::new(domain::ELEMENT, text).hint("build it first, or pull it from a server");
            return Err(error.reason("uncached-checkout-attempt"));
        };
        Ok(Piece { issuer: self.issuer(id), short: self.element(id).name.clone(), element: Some(id), cached })
    }

    /// The files that a split takes of an artifact.
    ///
    /// # Errors
    /// The store cannot be read, or the split rules are malformed.
    pub fn split_files(&self, cached: &Cached, split: &Split) -> BuildResult<Tree> {
        let all = cached.tree(self.cas());
        if split.is_all() {
            return Ok(all);
        }
        let name = (cached.files().unwrap_or_default(), split_name(cached, split));
        if let Some(digest) = locked(&self.staging.splits).get(&name) {
            return Ok(Tree::open(self.cas(), *digest));
        }
        let public = self.public(cached)?;
        let mut taken = Tree::empty(self.cas());
        match public.split_rules()?.filter(split) {
            Some(filter) => taken.import("", &all, Some(&|path| filter.takes(path)))?,
            None => taken.import("", &all, None)?,
        };
        locked(&self.staging.splits).insert(name, taken.digest()?);
        Ok(taken)
    }
}
