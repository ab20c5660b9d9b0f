//! `bourn artifact …`: what was built.

use crate::args::artifact::{Checkout, Delete, ListContents, Log, Pull, Push, Show};
use crate::args::value::Selection;
use crate::commands::print;
use crate::exit::{Failure, Outcome};
use crate::invocation::{Invocation, conclude};
use crate::items::{self, Item};
use crate::jobs;
use crate::pager;
use crate::report::reporter::{Reporter, write_stderr};
use crate::report::style::{CONTENT, FORMAT, Painter, Style};
use crate::signals;
use crate::tarball::{self, Location};
use crate::tree;
use crate::watch::Watch;
use crate::world::World;
use bourn_build::checkout::{self, About};
use bourn_build::event::MessageKind;
use bourn_build::session::Session;
use bourn_build::stage::Piece;
use bourn_build::{named, run};
use bourn_project::ElementId;
use bourn_reapi::ArtifactName;
use bourn_reapi::services::{ExportOptions, Report};
use bourn_reapi::tree::{Entry, Tree};
use std::collections::{BTreeSet, HashSet};
use std::path::Path;

/// `artifact show`.
pub(crate) fn show(invocation: &Invocation<'_>, options: &Show) -> Outcome {
    let (world, artifacts) = items::load(invocation, &options.artifacts)?;
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    let mut out = String::new();
    let painter = Painter { colors: invocation.settings.terminal.colors };
    let items = items::select(invocation, &world, &session, &artifacts, options.deps)?;
    let pieces = items.iter().map(|item| item.piece(&session)).collect::<Result<Vec<_>, _>>()?;
    let available = available(invocation, &world, &session, &items, &pieces)?;
    for (item, piece) in items.iter().zip(pieces) {
        let (state, style) = match piece {
            Some(piece) if piece.cached.is_success() => ("cached", Style::color(35)),
            Some(_) => ("failed", Style::color(31)),
            None if available.contains(item) => ("available", Style::color(94)),
            None => ("not cached", Style::color(91)),
        };
        painter.push(&mut out, &format!("{state: >12}"), style);
        out.push(' ');
        painter.push(&mut out, &item.full_name(&world), CONTENT);
        out.push('\n');
    }
    out.push('\n');
    invocation.reporter.aside(|| print::result(&out))
}

/// Shows what servers are warned of, and nothing else.
struct Warnings<'r>(&'r Reporter);

impl Report for Warnings<'_> {
    fn status(&self, _: &str) {}

    fn info(&self, _: &str) {}

    fn warn(&self, text: &str) {
        self.0.warn(text);
    }

    fn bytes(&self, _: u64, _: Option<u64>) {}
}

/// Which of the items that are not here could be pulled.
fn available(
    invocation: &Invocation<'_>,
    world: &World,
    session: &Session<'_>,
    items: &[Item],
    pieces: &[Option<Piece>],
) -> Result<HashSet<Item>, Failure> {
    let Some(remotes) = &world.services.remotes else { return Ok(HashSet::new()) };
    let missing: Vec<&Item> =
        items.iter().zip(pieces).filter(|(_, piece)| piece.is_none()).map(|(item, _)| item).collect();
    if missing.is_empty() {
        return Ok(HashSet::new());
    }
    let names: Vec<ArtifactName> = missing.iter().map(|item| item.artifact_name(session)).collect();
    let ask = || remotes.available(&names, &Warnings(&invocation.reporter), world.control.cancel());
    let found = signals::steered(invocation, &world.control, ask)?;
    Ok(missing.into_iter().zip(found).filter(|(_, found)| *found).map(|(item, _)| item.clone()).collect())
}

/// `artifact log`.
pub(crate) fn log(invocation: &Invocation<'_>, options: &Log) -> Outcome {
    let (world, artifacts) = items::load(invocation, &options.artifacts)?;
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    let mut logs = Vec::new();
    for item in items::select(invocation, &world, &session, &artifacts, Selection::None)? {
        let Some(piece) = cached(invocation, &session, &item)? else { continue };
        logs.push((item.element_name(&world).to_owned(), piece.cached.log_text(&**session.cas())?));
    }
    match &options.out {
        Some(directory) => write_logs(Path::new(directory), &logs),
        None => {
            let all: Vec<u8> = logs.into_iter().flat_map(|(_, text)| text).collect();
            let text = String::from_utf8_lossy(&all);
            let environment = &invocation.settings.environment;
            invocation.reporter.aside(|| match invocation.settings.terminal.interactive {
                true => {
                    pager::show(text.as_bytes(), environment);
                    Ok(0)
                }
                false => print::result(&text),
            })
        }
    }
}

fn write_logs(directory: &Path, logs: &[(String, Vec<u8>)]) -> Outcome {
    if let Err(error) = std::fs::create_dir(directory) {
        write_stderr(&match error.kind() {
            std::io::ErrorKind::AlreadyExists => format!("Error: {} already exists\n", directory.display()),
            _ => format!("Error: {} cannot be created: {error}\n", directory.display()),
        });
        return Ok(1);
    }
    for (name, text) in logs {
        let path = directory.join(format!("{}.log", name.strip_suffix(".bst").unwrap_or(name)));
        let fail = |error: std::io::Error| Failure::io(&error, "writing", &path);
        std::fs::create_dir_all(path.parent().unwrap_or(directory)).map_err(fail)?;
        std::fs::write(&path, text).map_err(fail)?;
    }
    Ok(0)
}

/// The artifact of an item; warns when it is not cached.
fn cached(invocation: &Invocation<'_>, session: &Session<'_>, item: &Item) -> Result<Option<Piece>, Failure> {
    let piece = item.piece(session)?;
    if piece.is_none() {
        let text = format!("{} is not cached", item.artifact_name(session));
        let hint = "`artifact pull` brings it where a server has it";
        invocation.reporter.message(MessageKind::Warn, &text, Some(hint), None);
    }
    Ok(piece)
}

/// `artifact list-contents`.
pub(crate) fn list_contents(invocation: &Invocation<'_>, options: &ListContents) -> Outcome {
    let (world, artifacts) = items::load(invocation, &options.artifacts)?;
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    let painter = Painter { colors: invocation.settings.terminal.colors };
    let mut out = String::new();
    for item in items::select(invocation, &world, &session, &artifacts, Selection::None)? {
        let Some(piece) = cached(invocation, &session, &item)? else { continue };
        let name = match &item {
            Item::Element(_) => item.element_name(&world).to_owned(),
            Item::Artifact(name) => name.to_string(),
        };
        painter.push(&mut out, &format!("  {name}:"), FORMAT);
        painter.push(&mut out, &contents(&piece.cached.tree(session.cas()), options.long)?, CONTENT);
        out.push('\n');
    }
    if out.is_empty() {
        invocation.reporter.finish();
        write_stderr("None of the specified artifacts are cached.\n");
        return Ok(1);
    }
    out.push('\n');
    invocation.reporter.aside(|| print::result(&out))
}

fn contents(tree: &Tree, long: bool) -> Result<String, Failure> {
    let mut out = String::new();
    tree.walk(|path, entry| {
        out.push_str("\n\t");
        out.push_str(&if long { long_line(path, entry) } else { path.to_owned() });
    })?;
    if out.is_empty() {
        out.push_str("\n\tThis element has no associated artifacts");
    }
    Ok(out)
}

fn long_line(path: &str, entry: &Entry) -> String {
    match entry {
        Entry::Directory(_) => format!("drwxr-xr-x  dir    {: <11} {path}", 0),
        Entry::Symlink(link) => {
            format!("lrwxrwxrwx  link   {: <11} {path} -> {}", link.target.len(), link.target)
        }
        Entry::File(file) if file.executable => {
            format!("-rwxr-xr-x  exe    {: <11} {path}", file.digest.size)
        }
        Entry::File(file) => format!("-rw-r--r--  reg    {: <11} {path}", file.digest.size),
    }
}

/// `artifact delete`.
pub(crate) fn delete(invocation: &Invocation<'_>, options: &Delete) -> Outcome {
    let (world, artifacts) = items::load(invocation, &options.artifacts)?;
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    // Several items may have the same artifact, and an artifact has several names.
    let mut names: BTreeSet<ArtifactName> = BTreeSet::new();
    for item in items::select(invocation, &world, &session, &artifacts, options.deps)? {
        let name = item.artifact_name(&session);
        if let Some(piece) = item.piece(&session)? {
            let message = &piece.cached.message;
            for key in [&message.strong_key, &message.weak_key] {
                names.insert(ArtifactName { key: key.clone(), ..name.clone() });
            }
        }
        if let Item::Element(id) = item
            && let Some(weak) = &world.plan.element(id).weak_key
        {
            names.insert(ArtifactName { key: weak.0.clone(), ..name.clone() });
        }
        names.insert(name);
    }
    let mut removed = false;
    for name in names {
        match world.services.assets.remove_artifact(&name)? {
            true => {
                invocation.reporter.info(&format!("Removed: {name}"));
                removed = true;
            }
            false => invocation.reporter.warn(&format!("Could not find ref '{name}'")),
        }
    }
    if !removed {
        invocation.reporter.info("No artifacts were removed");
    }
    Ok(0)
}

/// `artifact checkout`.
pub(crate) fn checkout(invocation: &Invocation<'_>, options: &Checkout) -> Outcome {
    let target = match (&options.target, &invocation.location.workspace_element) {
        (Some(target), _) | (None, Some(target)) => target.clone(),
        (None, None) => return Err(Failure::app("Missing argument \"ELEMENT\".")),
    };
    let (world, artifacts) = items::load(invocation, std::slice::from_ref(&target))?;
    items::assert_scope(&artifacts, options.deps)?;
    let destination = Destination::of(invocation, options, &target)?;
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    // What an artifact was built upon is written in it.
    jobs::pull_named(invocation, &world, &session, &artifacts)?;
    destination.check(options.force)?;
    let selected = items::select(invocation, &world, &session, &artifacts, options.deps)?;
    let (elements, names) = divided(selected.clone());
    jobs::pull_missing(invocation, &world, &session, &elements)?;
    jobs::pull_named(invocation, &world, &session, &names)?;
    let about = match (world.graph().targets.first(), artifacts.first()) {
        (Some(id), _) => Item::Element(*id),
        (None, Some(name)) => Item::Artifact(name.clone()),
        (None, None) => return Err(Failure::stream(format!("Nothing is named by {target}"))),
    };
    let staged =
        jobs::steered(invocation, &world, || stage(&session, &about, &selected, !options.no_integrate));
    let tree = staged?.map_err(while_staging)?;
    destination.write(invocation, &session, &about, &tree, options.hardlinks)?;
    Ok(0)
}

/// The tree to write, or why there is none.
fn stage(
    session: &Session<'_>,
    about: &Item,
    selected: &[Item],
    integrated: bool,
) -> bourn_build::error::BuildResult<Result<Tree, Failure>> {
    let job = match about {
        Item::Element(id) => session.main_job(*id),
        Item::Artifact(_) => session.program_job(),
    };
    let find = || -> Result<(Option<Piece>, Vec<Piece>), Failure> {
        let about = match about {
            Item::Element(_) => None,
            Item::Artifact(_) => Some(piece_to_stage(session, about)?),
        };
        let pieces = selected.iter().map(|item| piece_to_stage(session, item)).collect::<Result<_, _>>()?;
        Ok((about, pieces))
    };
    let (named, pieces) = match find() {
        Ok(found) => found,
        Err(failure) => return Ok(Err(failure)),
    };
    let about = match (about, &named) {
        (_, Some(piece)) => About::from(piece),
        (Item::Element(id), None) => About::Element(*id),
        (Item::Artifact(name), None) => return Ok(Err(not_cached(name))),
    };
    Ok(Ok(checkout::checkout(session, &job, about, &pieces, integrated)?))
}

fn piece_to_stage(session: &Session<'_>, item: &Item) -> Result<Piece, Failure> {
    match (item, item.piece(session)?) {
        (_, Some(piece)) => Ok(piece),
        // An element that is not built at all: its artifact is asked for only to be staged.
        (Item::Element(id), None) => Ok(session.pieces(&[*id])?.remove(0)),
        (Item::Artifact(name), None) => Err(not_cached(name)),
    }
}

fn not_cached(name: &ArtifactName) -> Failure {
    Failure::new("element", format!("Error preparing sandbox for element: {}", name.element))
        .reason("missing-sandbox-config")
        .hint("this artifact is not in the cache: build the element or pull it")
}

fn while_staging(failure: Failure) -> Failure {
    let message = format!("Error while staging dependencies into a sandbox: '{}'", failure.message);
    Failure { message, domain: "stream", ..failure }
}

/// Where a checkout goes.
enum Destination {
    Directory(std::path::PathBuf),
    Tarball(Location, Option<crate::args::value::Compression>),
}

impl Destination {
    fn of(invocation: &Invocation<'_>, options: &Checkout, target: &str) -> Result<Destination, Failure> {
        if let Some(tar) = &options.tar {
            let compression = options.compression.or(tarball::compression_of(tar).unwrap_or(None));
            return Ok(Destination::Tarball(Location::named(tar), compression));
        }
        let named = options.directory.as_deref().unwrap_or(target.strip_suffix(".bst").unwrap_or(target));
        Ok(Destination::Directory(invocation.absolute(named)?))
    }

    /// Checks that it can be written, and creates a directory.
    fn check(&self, force: bool) -> Result<(), Failure> {
        match self {
            Destination::Directory(directory) => tree::assert_writable(directory, force),
            Destination::Tarball(Location::File(path), _) => tree::assert_file(path, force),
            Destination::Tarball(Location::Stdout, _) => Ok(()),
        }
    }

    fn write(
        &self,
        invocation: &Invocation<'_>,
        session: &Session<'_>,
        about: &Item,
        tree: &Tree,
        hardlinks: bool,
    ) -> Result<(), Failure> {
        let element: Option<ElementId> = match about {
            Item::Element(id) => Some(*id),
            Item::Artifact(_) => None,
        };
        match self {
            Destination::Directory(directory) => {
                let doing = format!("Checking out files in '{}'", directory.display());
                invocation.timed_of(session, element, &doing, || {
                    let options = ExportOptions { hardlinks, merge: true, ..ExportOptions::default() };
                    let digest = tree.digest()?;
                    session.cas().export_tree(&digest, directory, &options).map_err(|error| Failure {
                        hint: error.hint.clone(),
                        ..Failure::stream(format!("Failed to checkout files: '{error}'"))
                    })
                })
            }
            Destination::Tarball(location, compression) => {
                invocation.timed_of(session, element, "Creating tarball", || {
                    tarball::write(tree, "./", &**session.cas(), location, *compression)
                })
            }
        }
    }
}

/// Checks the options of `artifact checkout` against each other. The status to end with, if they conflict.
pub(crate) fn check_options(options: &Checkout) -> Option<u8> {
    let wrong = match (&options.tar, &options.directory) {
        (Some(_), _) if options.hardlinks => "options --hardlinks and --tar conflict".to_owned(),
        (Some(_), Some(_)) => "options --directory and --tar conflict".to_owned(),
        (None, _) if options.compression.is_some() => {
            "--compression can only be provided if --tar is provided".to_owned()
        }
        (Some(tar), None) => match tarball::compression_of(tar) {
            Err(text) => format!("Invalid file extension given with '--tar': {text}"),
            Ok(Some(inferred)) if options.compression.is_some_and(|wanted| wanted != inferred) => {
                write_stderr("WARNING: File extension and compression differ. --compression counts.\n");
                return None;
            }
            Ok(_) => return None,
        },
        _ => return None,
    };
    write_stderr(&format!("ERROR: {wrong}\n"));
    Some(crate::exit::ERROR)
}

/// `artifact pull`.
pub(crate) fn pull(invocation: &Invocation<'_>, options: &Pull) -> Outcome {
    jobs::warn_of_storage(invocation, "Artifacts");
    let (world, artifacts) = load(invocation, &options.artifacts)?;
    world.connected.assert_artifacts(invocation, &world.control, false)?;
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    items::assert_scope(&artifacts, options.deps)?;
    // What an artifact was built upon is written in it.
    jobs::pull_named(invocation, &world, &session, &artifacts)?;
    let (elements, names) = divided(items::select(invocation, &world, &session, &artifacts, options.deps)?);
    jobs::assert_refs(&session, &elements)?;
    jobs::announce(invocation, &world, &session, &world.graph().targets)?;
    if !elements.is_empty() {
        conclude(&jobs::steered(invocation, &world, || run::pull(&session, &elements))?)?;
    }
    jobs::pull_named(invocation, &world, &session, &names)?;
    Ok(0)
}

/// `artifact push`.
pub(crate) fn push(invocation: &Invocation<'_>, options: &Push) -> Outcome {
    let (world, artifacts) = load(invocation, &options.artifacts)?;
    world.connected.assert_artifacts(invocation, &world.control, true)?;
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    let (elements, names) = divided(items::select(invocation, &world, &session, &artifacts, options.deps)?);
    jobs::assert_refs(&session, &elements)?;
    jobs::announce(invocation, &world, &session, &world.graph().targets)?;
    if !elements.is_empty() {
        conclude(&jobs::steered(invocation, &world, || run::push(&session, &elements))?)?;
    }
    jobs::pull_named(invocation, &world, &session, &names)?;
    conclude(&jobs::steered(invocation, &world, || named::push(&session, &names))?)?;
    Ok(0)
}

/// What words name; the elements of the project where there are none.
fn load(invocation: &Invocation<'_>, words: &[String]) -> Result<(World, Vec<ArtifactName>), Failure> {
    match words.is_empty() {
        true => {
            let elements = invocation.elements(words)?.unwrap_or_default();
            Ok((World::load(invocation, &elements, &[])?, Vec::new()))
        }
        false => items::load(invocation, words),
    }
}

/// Elements and artifacts apart.
fn divided(items: Vec<Item>) -> (Vec<ElementId>, Vec<ArtifactName>) {
    let (mut elements, mut names) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            Item::Element(id) => elements.push(id),
            Item::Artifact(name) => names.push(name),
        }
    }
    (elements, names)
}
