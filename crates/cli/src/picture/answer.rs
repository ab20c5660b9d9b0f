//! Answering from a picture that still holds.

use crate::exit::Failure;
use crate::expiry;
use crate::invocation::Invocation;
use crate::picture::request::{LONG, Request, environment};
use crate::picture::stored::{self, Stored, StoredElement, load_local, load_look, store_stamp};
use crate::report::element::Symbol;
use crate::report::pipeline::{self, State};
use crate::report::style::{PLAIN, Painter, Style};
use crate::settings::resolve::Settings;
use crate::wire;
use crate::workspaces::Workspaces;
use crate::world::Remark;
use bourn_build::cache::Cached;
use bourn_build::event::MessageKind;
use bourn_reapi::services::ServiceResult;
use bourn_reapi::{ArtifactName, Assets};
use bourn_sources::LocalTrees;
use bourn_yaml::Node;
use bourn_yaml::look::{Again, Stamp};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The symbols that a picture knows.
const KNOWN: [Symbol; 15] = [
    Symbol::State,
    Symbol::Name,
    Symbol::Kind,
    Symbol::Description,
    Symbol::Key,
    Symbol::FullKey,
    Symbol::Workspaced,
    Symbol::WorkspaceDirs,
    Symbol::Deps,
    Symbol::BuildDeps,
    Symbol::RuntimeDeps,
    LONG[0],
    LONG[1],
    LONG[2],
    LONG[3],
];

/// Answers from the picture, if there is one that holds.
///
/// # Errors
/// There is no project; its list of workspaces cannot be read.
pub(crate) fn show(invocation: &Invocation<'_>, request: &Request<'_>) -> Result<Option<String>, Failure> {
    let format = request.format;
    if !format.only(&KNOWN) {
        return Ok(None);
    }
    let workspaces = invocation.workspaces()?;
    let Some(path) = request.path(invocation, &workspaces)? else { return Ok(None) };
    let Some(mut stored) = stored::read(&path) else { return Ok(None) };
    match holds(&mut stored, invocation) {
        None => return Ok(None),
        // Written with the new stamps, it need not be compared by content the next time.
        Some(true) => stored::write(&path, &stored),
        Some(false) => {}
    }
    touch_junctions(invocation.settings, &stored);
    let states = match format.uses(&[Symbol::State]) {
        true => states(invocation, &stored)?,
        false => Some(Vec::new()),
    };
    let Some(states) = states else { return Ok(None) };
    let reporter = &invocation.reporter;
    for activity in ["Loading elements", "Resolving elements"] {
        reporter.counted(activity, || Ok::<_, Failure>(((), None)))?;
    }
    for warning in &stored.warnings {
        let kind = if warning.informs { MessageKind::Info } else { MessageKind::Warn };
        let (text, detail) = (warning.text.clone(), warning.detail.clone());
        reporter.remark(&Remark { kind, text, detail, speaker: warning.speaker.clone() });
    }
    if !states.is_empty() {
        reporter.counted("Query cache", || Ok::<_, Failure>(((), None)))?;
    }
    let painter = Painter { colors: invocation.settings.terminal.colors };
    let key_length = invocation.settings.user.logging.key_length;
    let long = request.long();
    let printer = Printer { stored: &stored, workspaces: &workspaces, key_length, long: &long };
    let mut out = String::new();
    for (at, element) in stored.elements.iter().enumerate() {
        format.render(&mut out, painter, |symbol| {
            Ok::<_, Failure>(match (symbol, states.get(at)) {
                (Symbol::State, Some((word, style))) => ((*word).to_owned(), *style),
                _ => printer.value(element, symbol),
            })
        })?;
        out.push('\n');
    }
    format.trim_end(&mut out);
    out.push('\n');
    Ok(Some(out))
}

/// The states of all elements, asked of the cache. `None` where it lacks an artifact: whether that can be built is told
/// by more than a picture has.
fn states(invocation: &Invocation<'_>, stored: &Stored) -> Result<Option<Vec<State>>, Failure> {
    let store = wire::store(invocation.settings)?;
    let state = |element: &StoredElement| -> ServiceResult<Option<State>> {
        if !element.resolved {
            return Ok(Some(pipeline::NO_REFERENCE));
        }
        if element.kind == "junction" {
            return Ok(Some(pipeline::JUNCTION));
        }
        let Some(name) = ArtifactName::parse(&element.artifact) else { return Ok(None) };
        let Some(message) = store.artifact(&name)? else { return Ok(None) };
        let cached = Cached::check(message, &*store)?;
        Ok(cached.map(|cached| if cached.is_success() { pipeline::CACHED } else { pipeline::FAILED }))
    };
    Ok(stored.elements.par_iter().with_min_len(16).map(state).collect::<ServiceResult<Option<Vec<_>>>>()?)
}

/// Looks at everything again: `None` when something differs, else whether something has a new stamp.
fn holds(stored: &mut Stored, invocation: &Invocation<'_>) -> Option<bool> {
    let taken = SystemTime::UNIX_EPOCH.checked_add(Duration::new(stored.seconds, stored.nanos))?;
    if let Some(seen) = &stored.environment
        && *seen != environment(invocation.settings)
    {
        return None;
    }
    let now = SystemTime::now();
    let restamped: Vec<(usize, Stamp)> = stored
        .looks
        .par_iter()
        .with_min_len(64)
        .enumerate()
        .map(|(at, stored)| {
            let (path, look) = load_look(stored)?;
            match look.again(&path, taken) {
                Again::Same => Some(None),
                Again::Restamped(stamp) => Some(Some((at, stamp))),
                Again::Different => None,
            }
        })
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect();
    if !stored.locals.is_empty() {
        let own = invocation.settings.own_directory();
        let local = LocalTrees::new(Some(&own), invocation.files.clone());
        let same = stored
            .locals
            .par_iter()
            .with_min_len(16)
            .all(|stored| load_local(stored).is_some_and(|known| local.still(&known)));
        if !same {
            return None;
        }
    }
    // A stamp from just now tells no more than the old one did.
    let limit =
        i128::try_from(now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos()).ok()? - 1_000_000_000;
    let settled = !restamped.is_empty() && restamped.iter().all(|(_, stamp)| stamp.changed < limit);
    if settled {
        for (at, stamp) in &restamped {
            stored.looks[*at].stamp = store_stamp(*stamp);
        }
        let since = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        (stored.seconds, stored.nanos) = (since.as_secs(), since.subsec_nanos());
    }
    Some(settled)
}

/// Says of the projects of junctions that they are in use, so that they are not expired.
fn touch_junctions(settings: &Settings, stored: &Stored) {
    let root = settings.own_directory().join("junctions");
    let used: BTreeSet<PathBuf> = stored
        .looks
        .iter()
        .filter_map(|look| {
            let below = Path::new(OsStr::from_bytes(&look.path)).strip_prefix(&root).ok()?;
            Some(root.join(below.components().next()?))
        })
        .collect();
    used.iter().for_each(|directory| expiry::touch_junction(directory));
}

/// Prints elements of a picture.
struct Printer<'a> {
    stored: &'a Stored,
    workspaces: &'a Workspaces,
    key_length: usize,
    long: &'a [Symbol],
}

impl Printer<'_> {
    fn name(&self, index: u32) -> &str {
        self.stored.names.get(index as usize).map_or("", String::as_str)
    }

    fn value(&self, element: &StoredElement, symbol: Symbol) -> (String, Style) {
        let key_style = Style::color(33).dim_if(!element.strict);
        let workspace = || self.workspaces.directory(self.name(element.name));
        match symbol {
            Symbol::Name => (self.name(element.name).to_owned(), Style::color(34).bold()),
            Symbol::Kind => (element.kind.clone(), Style::color(36)),
            Symbol::Description => (element.description.clone(), key_style),
            Symbol::Key => (element.key[..self.key_length.min(element.key.len())].to_owned(), key_style),
            Symbol::FullKey => (element.key.clone(), key_style),
            Symbol::Workspaced => {
                let text = if workspace().is_some() { "(workspaced)" } else { "" };
                (text.to_owned(), Style::color(33))
            }
            Symbol::WorkspaceDirs => match workspace() {
                Some(directory) => (format!("Workspace: {}", directory.display()), PLAIN),
                None => (String::new(), PLAIN),
            },
            Symbol::Deps => (self.dependencies(element, true, true), PLAIN),
            Symbol::BuildDeps => (self.dependencies(element, true, false), PLAIN),
            Symbol::RuntimeDeps => (self.dependencies(element, false, true), PLAIN),
            symbol => {
                let at = self.long.iter().position(|long| *long == symbol);
                (at.and_then(|at| element.texts.get(at).cloned()).unwrap_or_default(), PLAIN)
            }
        }
    }

    /// Direct dependencies: those for building, those for running, each once.
    fn dependencies(&self, element: &StoredElement, build: bool, run: bool) -> String {
        let is_build = |dependency: &&u32| build && **dependency % 3 != 1;
        let is_rest = |dependency: &&u32| run && !dependency.is_multiple_of(3) && !is_build(dependency);
        let all = element.dependencies.iter();
        let names = all.clone().filter(is_build).chain(all.filter(is_rest));
        let names = names.map(|dependency| Node::scalar(self.name(dependency / 3).to_owned()));
        bourn_yaml::dump(&Node::sequence(names.collect())).trim_end_matches('\n').to_owned()
    }
}
