//! `bourn doctor`: what this machine offers and what is missing.

use crate::args::command::Doctor;
use crate::commands::{print, survey};
use crate::exit::{Failure, Outcome};
use crate::invocation::Invocation;
use crate::report::style::{DETAIL, ERROR, Painter, SUCCESS, Style};
use crate::settings::resolve::Settings;
use crate::settings::size;
use crate::settings::user::volume_size;
use crate::wire;
use bourn_cas::{LayerKind, LayerSupport};
use bourn_reapi::ServiceError;
use bourn_sandbox::Facts;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it should be.
    Good,
    /// Something that some projects need is missing.
    Lacking,
    /// Nothing can be built like this.
    Broken,
}

/// One thing that was looked at.
pub(crate) struct Check {
    title: String,
    verdict: Verdict,
    found: String,
    cure: Option<String>,
    /// More for programs: the name of a member, and its value.
    more: Option<(&'static str, Value)>,
}

impl Check {
    pub(crate) fn good(title: &str, found: impl Into<String>) -> Check {
        let (title, found) = (title.to_owned(), found.into());
        Check { title, verdict: Verdict::Good, found, cure: None, more: None }
    }

    pub(crate) fn bad(
        title: &str,
        verdict: Verdict,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) -> Check {
        Check { verdict, cure: Some(cure.into()), ..Check::good(title, found) }
    }

    /// The same with more for programs.
    pub(crate) fn with(self, name: &'static str, value: Value) -> Check {
        Check { more: Some((name, value)), ..self }
    }
}

/// Prints what was found; the status tells whether anything can be built.
pub(crate) fn run(invocation: &Invocation<'_>, options: &Doctor) -> Outcome {
    let settings = invocation.settings;
    let mut checks = vec![kernel()];
    checks.extend(sandboxes(settings));
    checks.push(memory());
    checks.extend(directories(settings));
    checks.extend(TOOLS.iter().map(|tool| look_for(settings, tool)));
    checks.push(configuration(settings));
    match options.remote {
        true => checks.extend(survey::checks(invocation)?),
        false => checks.push(servers(settings)),
    }
    let broken = checks.iter().any(|check| check.verdict == Verdict::Broken);
    let text = match options.json {
        true => as_json(&checks)?,
        false => as_text(&checks, Painter { colors: settings.terminal.colors }),
    };
    print::result(&text)?;
    Ok(if broken { crate::exit::ERROR } else { 0 })
}

fn as_text(checks: &[Check], painter: Painter) -> String {
    let widest = checks.iter().map(|check| check.title.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for check in checks {
        let (mark, style) = match check.verdict {
            Verdict::Good => ("ok     ", SUCCESS),
            Verdict::Lacking => ("missing", Style::color(33)),
            Verdict::Broken => ("broken ", ERROR.bold()),
        };
        painter.push(&mut out, mark, style);
        out.push_str(&format!(" {: <widest$}  {}\n", check.title, check.found));
        if let Some(cure) = &check.cure {
            let indent = " ".repeat(widest + 10);
            out.push_str(&indent);
            painter.push(&mut out, cure, DETAIL);
            out.push('\n');
        }
    }
    out
}

fn as_json(checks: &[Check]) -> Result<String, Failure> {
    let list: Vec<Value> = checks
        .iter()
        .map(|check| {
            let verdict = match check.verdict {
                Verdict::Good => "ok",
                Verdict::Lacking => "missing",
                Verdict::Broken => "broken",
            };
            let mut value =
                json!({"check": check.title, "verdict": verdict, "found": check.found, "cure": check.cure});
            if let Some((name, more)) = &check.more {
                value[*name] = more.clone();
            }
            value
        })
        .collect();
    Ok(serde_json::to_string_pretty(&list).map_err(|error| Failure::app(error.to_string()))? + "\n")
}

/// The oldest kernel with everything that sandboxes use: overlays in user namespaces came with Linux 5.11.
const KERNEL: (u32, u32) = (5, 11);

fn kernel() -> Check {
    let name = rustix::system::uname();
    let (system, release) = (name.sysname().to_string_lossy(), name.release().to_string_lossy());
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let found = format!("{system} {release}");
    match version >= KERNEL {
        true => Check::good("kernel", found),
        false => {
            let cure = format!("sandboxes need Linux {}.{} or newer", KERNEL.0, KERNEL.1);
            Check::bad("kernel", Verdict::Broken, found, cure)
        }
    }
}

/// Makes sandboxes with nothing in them, and says how their roots come to be.
fn sandboxes(settings: &Settings) -> Vec<Check> {
    let tried = wire::store(settings).and_then(|store| {
        let facts = wire::local_executor(settings, store.clone())?.facts();
        Ok((facts, store.layer_support()?.clone()))
    });
    let (facts, support) = match tried {
        Ok(found) => found,
        Err(failure) => {
            let cure = "the cache directory has to be usable first";
            return vec![Check::bad("sandbox", Verdict::Broken, failure.message, cure)];
        }
    };
    let sandbox = match &facts.sandboxes {
        Ok(()) => Check::good("sandbox", "namespaces work without privileges"),
        Err(error) => refused("sandbox", Verdict::Broken, error),
    };
    let overlays = match &facts.overlays {
        Ok(()) if facts.joined => {
            Check::good("overlays", "mounted without privileges, in the way of kernels before Linux 6.7")
        }
        Ok(()) => Check::good("overlays", "mounted without privileges"),
        Err(error) => refused("overlays", Verdict::Lacking, error),
    };
    let staging = Check::good("staging", staging(&facts, &support));
    vec![sandbox, overlays, staging]
}

fn refused(title: &str, verdict: Verdict, error: &ServiceError) -> Check {
    let cure = error.hint.clone().unwrap_or_else(|| {
        "sandboxes need user namespaces, and are faster with overlay mounts in them".to_owned()
    });
    Check::bad(title, verdict, error.message.clone(), cure)
}

/// How the files of dependencies come into sandboxes, and why in no better way.
fn staging(facts: &Facts, support: &LayerSupport) -> String {
    let mut reasons = support.reasons.clone();
    let mut kind = support.kind;
    if kind == LayerKind::Stub && (facts.overlays.is_err() || facts.joined) {
        kind = if support.reflinks { LayerKind::Reflink } else { LayerKind::Copy };
    }
    let mut how = match kind {
        LayerKind::Stub => "files without content that refer to the cache".to_owned(),
        LayerKind::Reflink => "files that share their blocks with the cache".to_owned(),
        LayerKind::Copy => "copies of the files in the cache".to_owned(),
    };
    match facts.overlays.is_ok() {
        true => {
            how.push_str(", stacked by overlays");
            match (&facts.served, kind) {
                (Ok(()), LayerKind::Stub) => {
                    how.push_str("; large trees that are new are shown by FUSE before that");
                }
                (Err(error), LayerKind::Stub) => {
                    reasons
                        .push(format!("large trees that are new are not shown by FUSE: {}", error.message));
                }
                _ => {}
            }
        }
        false => reasons.push("no stacks: there are no overlays".to_owned()),
    }
    if !reasons.is_empty() {
        how.push_str(&format!(" ({})", reasons.join("; ")));
    }
    how
}

fn memory() -> Check {
    let found = rustix::system::sysinfo();
    let total = found.totalram as u64 * u64::from(found.mem_unit);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Check::good("machine", format!("{cores} cores, {} of memory", size::pretty(total)))
}

fn directories(settings: &Settings) -> Vec<Check> {
    let user = &settings.user;
    [
        ("cache directory", &user.cachedir),
        ("source directory", &user.sourcedir),
        ("log directory", &user.logdir),
    ]
    .map(|(title, path)| directory(title, path, settings))
    .into()
}

fn directory(title: &str, path: &Path, settings: &Settings) -> Check {
    use rustix::fs::{Access, access, statvfs};
    let existing = path.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
    let at = path.display();
    if access(existing, Access::WRITE_OK).is_err() {
        let cure = "choose another in the user configuration, or change its permissions";
        return Check::bad(title, Verdict::Broken, format!("{at} cannot be written"), cure);
    }
    let free = statvfs(existing).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize));
    let total = volume_size(existing);
    let found = format!("{at}, {} of {} free", size::pretty(free), size::pretty(total));
    if free < settings.user.reserved {
        let cure = format!(
            "{} are to be kept free (cache.reserved-disk-space)",
            size::pretty(settings.user.reserved)
        );
        return Check::bad(title, Verdict::Lacking, found, cure);
    }
    Check::good(title, found)
}

/// A program of the host that some kinds use.
struct Tool {
    name: &'static str,
    arguments: &'static [&'static str],
    needed_for: &'static str,
}

const TOOLS: [Tool; 7] = [
    Tool {
        name: "git",
        arguments: &["--version"],
        needed_for: "sources of kind git, git_repo, git_tag, git_module",
    },
    Tool { name: "git-lfs", arguments: &["version"], needed_for: "git sources with large files" },
    Tool { name: "bzr", arguments: &["--version"], needed_for: "sources of kind bzr" },
    Tool { name: "ostree", arguments: &["--version"], needed_for: "sources of kind ostree" },
    Tool { name: "quilt", arguments: &["--version"], needed_for: "sources of kind quilt" },
    Tool { name: "pip3", arguments: &["--version"], needed_for: "sources of kind pip" },
    Tool { name: "python3", arguments: &["--version"], needed_for: "plugins that projects bring along" },
];

fn look_for(settings: &Settings, tool: &Tool) -> Check {
    let Some(path) = settings.environment.find_program(tool.name) else {
        return Check::bad(
            tool.name,
            Verdict::Lacking,
            "not found",
            format!("install it for {}", tool.needed_for),
        );
    };
    let output = std::process::Command::new(&path).args(tool.arguments).stdin(Stdio::null()).output();
    let version =
        output.ok().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    // Some begin with a line that is only their name.
    let has_number = |line: &&str| line.contains(|letter: char| letter.is_ascii_digit());
    let version = version.lines().find(has_number).unwrap_or_default().trim().to_owned();
    Check::good(tool.name, format!("{} {version}", path.display()))
}

fn configuration(settings: &Settings) -> Check {
    match &settings.user.origin {
        Some(path) => Check::good("configuration", path.display().to_string()),
        None => Check::good("configuration", "none, defaults hold"),
    }
}

fn servers(settings: &Settings) -> Check {
    let user = &settings.user;
    let mut urls: Vec<&str> =
        user.artifacts.servers.iter().chain(&user.source_caches.servers).map(|s| &*s.url).collect();
    urls.extend(user.storage_service.iter().map(|service| &*service.url));
    if let Some(services) = &user.remote_execution {
        let all = [&services.execution, &services.storage, &services.action_cache];
        urls.extend(all.into_iter().flatten().map(|service| &*service.url));
    }
    match urls.is_empty() {
        true => Check::good("servers", "none configured"),
        false if user.remote_execution.is_some() => {
            let found = format!("configured: {}", urls.join(", "));
            Check::bad(
                "servers",
                Verdict::Lacking,
                found,
                "builds run on this machine, whatever `remote-execution` says",
            )
        }
        false => Check::good("servers", format!("configured: {} (`--remote` asks them)", urls.join(", "))),
    }
}
