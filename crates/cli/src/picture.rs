//! The picture of a resolved project: what `show` said of its elements, kept for as long as everything that was looked
//! at to find it out would show the same.
//!
//! A picture is one file, `CACHEDIR/bourn/pictures/REQUEST`, where REQUEST sums up everything that was asked: the
//! program, the project, the targets, options, the user's configuration, open workspaces. It holds every look at the
//! disk ([`Look`]) with what it showed, the digests of local sources, and per element what can be said of it without
//! asking the cache. Whoever finds a picture looks at everything again, on all cores, before a word of it is believed.
//!
//! Nothing is kept of a load that saw more than files (a plugin that ran a program, say), or during which a file
//! changed. A picture of another program or format, one that was cut off or damaged, is none.

use crate::exit::Failure;
use crate::expiry;
use crate::invocation::Invocation;
use crate::report::element::{ElementFormat, Symbol};
use crate::report::pipeline::{self, State};
use crate::report::style::{PLAIN, Painter, Style};
use crate::settings::resolve::Settings;
use crate::watch::Watch;
use crate::wire;
use crate::workspaces::Workspaces;
use crate::world::{Remark, World};
use bourn_build::cache::Cached;
use bourn_build::event::MessageKind;
use bourn_project::selection::Selection as Scope;
use bourn_project::{DependencyKind, ElementId};
use bourn_reapi::services::ServiceResult;
use bourn_reapi::{ArtifactName, Digest};
use bourn_sources::{Local, LocalTrees};
use bourn_yaml::look::{Again, PlaceKind, Stamp, Sum, sum_of};
use bourn_yaml::{Look, Node};
use prost::Message;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Symbols that stand for long texts: a picture has those that were asked for, as they were printed.
const LONG: [Symbol; 4] = [Symbol::Config, Symbol::Vars, Symbol::Env, Symbol::Public];

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

/// The first bytes of the file; another version is another format.
const MAGIC: &[u8] = b"bourn picture 3\n";

/// Most pictures kept; those that were written first go.
const MOST: usize = 64;

/// Clocks of file systems tick only every few milliseconds.
const TICK: Duration = Duration::from_millis(20);

/// What is asked.
pub(crate) struct Request<'a> {
    /// Elements, as named on the command line.
    pub(crate) targets: &'a [String],
    /// Elements to leave out.
    pub(crate) except: &'a [String],
    /// Which of their dependencies.
    pub(crate) scope: Scope,
    /// Whether sorted by name.
    pub(crate) sorted: bool,
    /// What is printed of each.
    pub(crate) format: &'a ElementFormat,
}

/// A picture as it is written.
#[derive(Clone, PartialEq, Message)]
struct Stored {
    /// When the load began: seconds and nanoseconds since the epoch.
    #[prost(uint64, tag = "1")]
    seconds: u64,
    #[prost(uint32, tag = "2")]
    nanos: u32,
    #[prost(message, repeated, tag = "3")]
    looks: Vec<StoredLook>,
    #[prost(message, repeated, tag = "4")]
    locals: Vec<StoredLocal>,
    #[prost(message, repeated, tag = "5")]
    warnings: Vec<StoredWarning>,
    /// Full names of all elements.
    #[prost(string, repeated, tag = "6")]
    names: Vec<String>,
    /// The elements to show, in order.
    #[prost(message, repeated, tag = "7")]
    elements: Vec<StoredElement>,
    /// The sum of the environment, where it was shown to somebody.
    #[prost(bytes = "vec", optional, tag = "8")]
    environment: Option<Vec<u8>>,
}

/// A [`Look`].
#[derive(Clone, PartialEq, Message)]
struct StoredLook {
    #[prost(bytes = "vec", tag = "1")]
    path: Vec<u8>,
    /// 0: nothing, 1: file, 2: names, 3, 4 and 5: a place that is a file, a directory, or something else.
    #[prost(uint32, tag = "2")]
    what: u32,
    /// The stamp's numbers, in order.
    #[prost(uint64, repeated, tag = "3")]
    stamp: Vec<u64>,
    /// The sum; where a place is when that is not the path itself.
    #[prost(bytes = "vec", tag = "4")]
    content: Vec<u8>,
}

/// A [`Local`].
#[derive(Clone, PartialEq, Message)]
struct StoredLocal {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(bytes = "vec", tag = "2")]
    path: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    hash: Vec<u8>,
    #[prost(uint64, tag = "4")]
    size: u64,
}

/// A warning that loading raised.
#[derive(Clone, PartialEq, Message)]
struct StoredWarning {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(string, optional, tag = "2")]
    detail: Option<String>,
    /// Whether it is only worth knowing.
    #[prost(bool, tag = "3")]
    informs: bool,
    /// The element whose plugin said it.
    #[prost(string, optional, tag = "4")]
    speaker: Option<String>,
}

/// An element.
#[derive(Clone, PartialEq, Message)]
struct StoredElement {
    /// Its index in the names.
    #[prost(uint32, tag = "1")]
    name: u32,
    #[prost(string, tag = "2")]
    kind: String,
    /// On one line.
    #[prost(string, tag = "3")]
    description: String,
    /// The whole key as it is displayed.
    #[prost(string, tag = "4")]
    key: String,
    #[prost(bool, tag = "5")]
    strict: bool,
    /// Direct dependencies: index in the names times three, and 0 for building, 1 for running, 2 for both.
    #[prost(uint32, repeated, tag = "6")]
    dependencies: Vec<u32>,
    /// The long texts that were asked for, in the order of their symbols.
    #[prost(string, repeated, tag = "7")]
    texts: Vec<String>,
    /// The name of its artifact; empty while its key is not known.
    #[prost(string, tag = "8")]
    artifact: String,
    /// Whether all its sources have refs.
    #[prost(bool, tag = "9")]
    resolved: bool,
}

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
    let Some(mut stored) = read(&path) else { return Ok(None) };
    match holds(&mut stored, invocation) {
        None => return Ok(None),
        // Written with the new stamps, it need not be compared by content the next time.
        Some(true) => write(&path, &stored),
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
    if out.is_empty() {
        out.push('\n');
    }
    Ok(Some(out))
}

/// The states of all elements, asked of the cache. `None` where it lacks an artifact: whether that can be built is told
/// by more than a picture has.
fn states(invocation: &Invocation<'_>, stored: &Stored) -> Result<Option<Vec<State>>, Failure> {
    let services = wire::services(invocation.settings)?;
    let state = |element: &StoredElement| -> ServiceResult<Option<State>> {
        if !element.resolved {
            return Ok(Some(pipeline::NO_REFERENCE));
        }
        if element.kind == "junction" {
            return Ok(Some(pipeline::JUNCTION));
        }
        let Some(name) = ArtifactName::parse(&element.artifact) else { return Ok(None) };
        let Some(message) = services.assets.artifact(&name)? else { return Ok(None) };
        let cached = Cached::check(message, &*services.cas)?;
        Ok(cached.map(|cached| if cached.is_success() { pipeline::CACHED } else { pipeline::FAILED }))
    };
    Ok(stored.elements.par_iter().with_min_len(16).map(state).collect::<ServiceResult<Option<Vec<_>>>>()?)
}

/// Keeps a picture of what was loaded since `began`. That it cannot be written is no error.
///
/// # Errors
/// There is no project.
pub(crate) fn keep(
    invocation: &Invocation<'_>,
    request: &Request<'_>,
    world: &World,
    elements: &[ElementId],
    began: SystemTime,
) -> Result<(), Failure> {
    // In a plan that is not strict, the cache decides upon keys.
    if !world.options.strict {
        return Ok(());
    }
    let Some(path) = request.path(invocation, &world.workspaces)? else { return Ok(()) };
    let Some(looks) = invocation.files.looks() else { return Ok(()) };
    if looks.par_iter().with_min_len(64).any(|(path, look)| is_newer(path, look, began)) {
        return Ok(());
    }
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    let states = session.states();
    let graph = world.graph();
    let (long, printer) = (request.long(), world.printer(invocation, &states));
    let texts =
        |id| long.iter().map(|symbol| Ok(printer.value(id, *symbol)?.0)).collect::<Result<_, Failure>>();
    let since = began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let environment = world.kinds.runs_python().then(|| environment(invocation.settings).to_vec());
    let stored = Stored {
        seconds: since.as_secs(),
        nanos: since.subsec_nanos(),
        environment,
        looks: looks.into_par_iter().with_min_len(64).map(|(path, look)| store_look(path, &look)).collect(),
        locals: world.local.found().iter().map(store_local).collect(),
        warnings: world
            .remarks(invocation)
            .into_iter()
            .map(|Remark { kind, text, detail, speaker }| {
                let informs = kind == MessageKind::Info;
                StoredWarning { text, detail, informs, speaker }
            })
            .collect(),
        names: (0..graph.elements.len())
            .into_par_iter()
            .with_min_len(64)
            .map(|at| graph.full_name(ElementId(at as u32)))
            .collect(),
        elements: elements
            .par_iter()
            .with_min_len(64)
            .map(|&id| -> Result<StoredElement, Failure> {
                let element = graph.element(id);
                let key = states.display_key(&world.plan, id);
                let description: Vec<&str> =
                    element.description.as_deref().unwrap_or_default().lines().collect();
                Ok(StoredElement {
                    name: id.0,
                    kind: element.kind.to_string(),
                    description: description.join(" "),
                    key: key.full.to_string(),
                    strict: key.strict,
                    dependencies: element
                        .dependencies
                        .iter()
                        .map(|dependency| dependency.element.0 * 3 + number(dependency.kind))
                        .collect(),
                    texts: texts(id)?,
                    artifact: match &world.plan.element(id).strict_key {
                        Some(key) => session.artifact_name(id, &key.0).to_string(),
                        None => String::new(),
                    },
                    resolved: world.plan.element(id).sources.iter().all(|source| source.source.is_resolved()),
                })
            })
            .collect::<Result<_, Failure>>()?,
    };
    write(&path, &stored);
    // As with the plan: the process is about to end.
    std::mem::forget(stored);
    Ok(())
}

fn number(kind: DependencyKind) -> u32 {
    match kind {
        DependencyKind::Build => 0,
        DependencyKind::Runtime => 1,
        DependencyKind::All => 2,
    }
}

impl Request<'_> {
    /// The symbols asked for that stand for long texts.
    fn long(&self) -> Vec<Symbol> {
        LONG.into_iter().filter(|symbol| self.format.uses(&[*symbol])).collect()
    }

    /// Where the picture of this request is; `None` where a program that cannot be told from others runs.
    fn path(&self, invocation: &Invocation<'_>, workspaces: &Workspaces) -> Result<Option<PathBuf>, Failure> {
        let settings = invocation.settings;
        let directory = invocation.project("Unable to load elements")?;
        let Ok(program) = std::env::current_exe() else { return Ok(None) };
        let Ok(found) = program.metadata() else { return Ok(None) };
        let machine = rustix::system::uname();
        let mut text = format!(
            "{program:?} {:?}\n{:?}\n{:?} {:?} {:?} {} {:?}\n{:?} {:?}\n",
            Stamp::of(&found),
            directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf()),
            self.targets,
            self.except,
            self.scope,
            self.sorted,
            self.long(),
            machine.machine(),
            machine.sysname(),
        );
        let Settings { user, strict, options, default_mirror, .. } = settings;
        let _ = writeln!(text, "{user:?} {strict:?} {options:?} {default_mirror:?} {}", settings.max_jobs());
        // Where credentials are looked for.
        let _ = writeln!(text, "{:?}", settings.environment.home());
        for (element, workspace) in workspaces.iter() {
            let exists = workspaces.directory(element).is_some_and(|directory| directory.exists());
            let _ = writeln!(text, "{element:?} {workspace:?} {exists}");
        }
        let name = Digest { hash: sum_of(text.as_bytes()), size: 0 }.hex();
        Ok(Some(pictures(settings).join(name)))
    }
}

/// The sum of the environment that plugins see, without what only counts how a shell came to run this.
fn environment(settings: &Settings) -> Sum {
    let mut variables: Vec<String> = settings
        .environment
        .all()
        .filter(|(name, _)| !["_", "SHLVL", "OLDPWD"].contains(name))
        .map(|variable| format!("{variable:?}"))
        .collect();
    variables.sort();
    sum_of(variables.join("\n").as_bytes())
}

fn pictures(settings: &Settings) -> PathBuf {
    settings.own_directory().join("pictures")
}

/// Whether a file may have changed after the load began: then it is not known which content was seen.
fn is_newer(path: &Path, look: &Look, began: SystemTime) -> bool {
    let limit = began.checked_sub(TICK).and_then(|limit| limit.duration_since(SystemTime::UNIX_EPOCH).ok());
    let limit = limit.map_or(0, |limit| i128::try_from(limit.as_nanos()).unwrap_or(0));
    let stamp = match look {
        Look::File { stamp, .. } | Look::Names { stamp, .. } => *stamp,
        Look::Place { to, .. } => match to.symlink_metadata() {
            Ok(found) => Stamp::of(&found),
            Err(_) => return true,
        },
        Look::Nothing => return path.exists(),
    };
    stamp.changed >= limit || stamp.modified >= limit
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

fn store_stamp(stamp: Stamp) -> Vec<u64> {
    let time = |nanos: i128| u64::try_from(nanos).unwrap_or(0);
    vec![stamp.device, stamp.inode, stamp.size, time(stamp.modified), time(stamp.changed)]
}

fn store_look(path: PathBuf, look: &Look) -> StoredLook {
    let (what, stamp, content) = match look {
        Look::Nothing => (0, Vec::new(), Vec::new()),
        Look::File { stamp, sum } => (1, store_stamp(*stamp), sum.to_vec()),
        Look::Names { stamp, sum } => (2, store_stamp(*stamp), sum.to_vec()),
        Look::Place { to, kind } => {
            let what = match kind {
                PlaceKind::File => 3,
                PlaceKind::Directory => 4,
                PlaceKind::Other => 5,
            };
            let to = if *to == path { Vec::new() } else { to.as_os_str().as_bytes().to_vec() };
            (what, Vec::new(), to)
        }
    };
    StoredLook { path: path.into_os_string().into_vec(), what, stamp, content }
}

fn load_look(stored: &StoredLook) -> Option<(PathBuf, Look)> {
    let path = PathBuf::from(OsStr::from_bytes(&stored.path));
    let stamp = || match *stored.stamp.as_slice() {
        [device, inode, size, modified, changed] => {
            Some(Stamp { device, inode, size, modified: modified.into(), changed: changed.into() })
        }
        _ => None,
    };
    let sum = || Sum::try_from(stored.content.as_slice()).ok();
    let place = |kind| {
        let to =
            if stored.content.is_empty() { path.clone() } else { OsStr::from_bytes(&stored.content).into() };
        Look::Place { to, kind }
    };
    let look = match stored.what {
        0 => Look::Nothing,
        1 => Look::File { stamp: stamp()?, sum: sum()? },
        2 => Look::Names { stamp: stamp()?, sum: sum()? },
        3 => place(PlaceKind::File),
        4 => place(PlaceKind::Directory),
        5 => place(PlaceKind::Other),
        _ => return None,
    };
    Some((path, look))
}

fn store_local(local: &Local) -> StoredLocal {
    StoredLocal {
        kind: local.kind.into(),
        path: local.path.as_os_str().as_bytes().to_vec(),
        hash: local.digest.hash.to_vec(),
        size: local.digest.size,
    }
}

fn load_local(stored: &StoredLocal) -> Option<Local> {
    Some(Local {
        kind: u8::try_from(stored.kind).ok()?,
        path: OsStr::from_bytes(&stored.path).into(),
        digest: Digest { hash: stored.hash.as_slice().try_into().ok()?, size: stored.size },
    })
}

/// Reads a picture; `None` for whatever is none.
fn read(path: &Path) -> Option<Stored> {
    let bytes = std::fs::read(path).ok()?;
    let (sum, body) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<32>()?;
    if sum_of(body) != *sum {
        return None;
    }
    Stored::decode(body).ok()
}

/// Writes a picture, whole or not at all, and removes the oldest beyond the number kept. Whatever goes wrong costs the
/// next run time and nothing else.
fn write(path: &Path, stored: &Stored) {
    let body = stored.encode_to_vec();
    let Some(directory) = path.parent() else { return };
    let written = (|| {
        std::fs::create_dir_all(directory)?;
        let mut draft = tempfile::NamedTempFile::new_in(directory)?;
        draft.write_all(&[MAGIC, &sum_of(&body)].concat())?;
        draft.write_all(&body)?;
        draft.persist(path).map_err(|error| error.error)
    })();
    if written.is_ok() {
        thin_out(directory);
    }
}

fn thin_out(directory: &Path) {
    let Ok(entries) = directory.read_dir() else { return };
    let mut found: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    let surplus = found.len().saturating_sub(MOST);
    if surplus > 0 {
        found.sort();
        for (_, path) in &found[..surplus] {
            let _ = std::fs::remove_file(path);
        }
    }
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
