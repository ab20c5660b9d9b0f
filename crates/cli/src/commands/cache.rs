//! `bourn cache …`: how much room the local cache takes, making room, checking it.

use crate::args::cache::{CacheCommand, Clean, Fsck, Show};
use crate::commands::print;
use crate::exit::{Failure, Outcome};
use crate::expiry;
use crate::invocation::Invocation;
use crate::settings::size::{self, pretty};
use crate::settings::user::volume_size;
use crate::wire;
use bourn_cas::{Checked, Damage, Quota, Usage, Used};
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// How many of the largest entries are listed for people.
const LARGEST: usize = 15;

/// Runs one of them.
pub(crate) fn run(invocation: &Invocation<'_>, command: &CacheCommand) -> Outcome {
    match command {
        CacheCommand::Show(options) => show(invocation, options),
        CacheCommand::Clean(options) => clean(invocation, options),
        CacheCommand::Fsck(options) => fsck(invocation, options),
    }
}

fn show(invocation: &Invocation<'_>, options: &Show) -> Outcome {
    let store = wire::store(invocation.settings)?;
    let usage = store.usage()?;
    let held = usage.bytes + usage.layer_bytes + usage.kept_bytes;
    let limit = store.limit(&expiry::quota(&invocation.settings.user), held)?;
    let text = match options.json {
        true => as_json(invocation, &usage, limit)?,
        false => as_text(invocation, &usage, limit),
    };
    invocation.reporter.aside(|| print::result(&text))
}

fn as_text(invocation: &Invocation<'_>, usage: &Usage, limit: u64) -> String {
    let artifacts = usage.used.iter().filter(|used| is_artifact(used)).count();
    let sources = usage.used.len() - artifacts;
    let mut out = String::new();
    let mut row = |name: &str, count: String, bytes: Option<u64>| {
        let bytes = bytes.map(pretty).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name: <12}{count: >10}{bytes: >12}");
    };
    row("Objects", usage.objects.to_string(), Some(usage.bytes));
    row("Artifacts", artifacts.to_string(), None);
    row("Sources", sources.to_string(), None);
    row("Layers", usage.layers.to_string(), Some(usage.layer_bytes));
    if usage.kept_bytes > 0 {
        row("Workspaces", String::new(), Some(usage.kept_bytes));
    }
    row("Nobody's", String::new(), Some(usage.unreferenced));
    row("May hold", String::new(), Some(limit));
    let mut largest: Vec<&Used> = usage.used.iter().collect();
    largest.sort_by(|a, b| b.own_bytes.cmp(&a.own_bytes).then_with(|| a.paths.cmp(&b.paths)));
    if !largest.is_empty() {
        out.push_str("\nRemoving would free  in all     last used  what\n");
    }
    let now = SystemTime::now();
    for used in largest.iter().take(LARGEST) {
        let (own, all) = (pretty(used.own_bytes), pretty(used.bytes));
        let name = name_of(used, &invocation.settings.user.cachedir);
        let _ = writeln!(out, "{own: >19}{all: >8}{: >14}  {name}", ago(now, used.last_used));
    }
    if largest.len() > LARGEST {
        let _ = writeln!(out, "{: >43}  and {} more", "", largest.len() - LARGEST);
    }
    out
}

/// When something was, as one would say it.
fn ago(now: SystemTime, then: SystemTime) -> String {
    let seconds = now.duration_since(then).unwrap_or_default().as_secs();
    match seconds {
        0..120 => "just now".to_owned(),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

fn is_artifact(used: &Used) -> bool {
    !used.artifacts.is_empty()
}

fn name_of(used: &Used, cachedir: &std::path::Path) -> String {
    match (used.artifacts.first(), used.paths.first()) {
        (Some(name), _) => name.to_string(),
        (None, Some(path)) => path.strip_prefix(cachedir).unwrap_or(path).display().to_string(),
        (None, None) => String::new(),
    }
}

fn as_json(invocation: &Invocation<'_>, usage: &Usage, limit: u64) -> Result<String, Failure> {
    let entry = |used: &Used| -> Value {
        let seconds = used.last_used.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        json!({
            "artifacts": used.artifacts.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "files": used.paths,
            "bytes": used.bytes,
            "own-bytes": used.own_bytes,
            "last-used": seconds,
        })
    };
    let value = json!({
        "version": 1,
        "cachedir": invocation.settings.user.cachedir,
        "objects": usage.objects,
        "bytes": usage.bytes,
        "unreferenced-bytes": usage.unreferenced,
        "layers": usage.layers,
        "layer-bytes": usage.layer_bytes,
        "workspace-bytes": usage.kept_bytes,
        "limit": limit,
        "used": usage.used.iter().map(entry).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&value).map_err(|error| Failure::app(error.to_string()))?;
    Ok(text + "\n")
}

fn clean(invocation: &Invocation<'_>, options: &Clean) -> Outcome {
    let user = &invocation.settings.user;
    let quota = match (&options.to, options.all) {
        (_, true) => Quota { bytes: Some(0), reserved: 0, low_watermark: 0.0 },
        (Some(text), false) => {
            let bytes = size::parse_size(text, || volume_size(&user.cachedir))
                .map_err(|wrong| Failure::app(wrong).hint("write for example 20G, or 50% of the disk"))?;
            Quota { bytes, reserved: 0, low_watermark: 1.0 }
        }
        (None, false) => expiry::quota(user),
    };
    let expired = wire::store(invocation.settings)?.expire(&quota)?;
    expiry::drop_junctions(invocation.settings, options.all)?;
    for name in expired.artifacts.iter().flatten() {
        invocation.reporter.info(&format!("Removed: {name}"));
    }
    let (before, after) = (pretty(expired.before), pretty(expired.after));
    let text = match expired.objects == 0 && expired.layers == 0 {
        true => {
            format!("Nothing to remove: the cache holds {after} and may hold {}\n", pretty(expired.limit))
        }
        false => format!(
            "Removed {} artifacts, {} sources, {} layers and {} objects: {before} before, {after} now\n",
            expired.artifacts.len(),
            expired.sources,
            expired.layers,
            expired.objects
        ),
    };
    invocation.reporter.aside(|| print::result(&text))
}

fn fsck(invocation: &Invocation<'_>, options: &Fsck) -> Outcome {
    let remote = invocation.settings.user.storage_service.is_some();
    let store = wire::store(invocation.settings)?;
    let checked =
        invocation.reporter.timed("Checking the cache", || Ok(store.fsck(!options.quick, remote)?))?;
    let text = report(&checked);
    invocation.reporter.aside(|| print::result(&text))?;
    Ok(u8::from(!checked.damage.is_empty()))
}

fn report(checked: &Checked) -> String {
    let mut out = String::new();
    for damage in &checked.damage {
        let line = match damage {
            Damage::Object(path) => format!("damaged, put aside: {}", path.display()),
            Damage::Writable(path) => format!("was writable, made read-only: {}", path.display()),
            Damage::Stray(path) => format!("does not belong there, put aside: {}", path.display()),
            Damage::Artifact(name) => format!("incomplete artifact, removed: {name}"),
            Damage::Name(path) => format!("incomplete or unreadable name, removed: {}", path.display()),
            Damage::Layer(path) => format!("wrong layer, removed: {}", path.display()),
            Damage::LayerInUse(path) => {
                format!("wrong layer, in use, left alone (check again later): {}", path.display())
            }
        };
        out.push_str(&line);
        out.push('\n');
    }
    let (objects, bytes) = (checked.objects, pretty(checked.bytes));
    let counts = format!("{objects} objects ({bytes}), {} names, {} layers", checked.names, checked.layers);
    out.push_str(&match checked.damage.len() {
        0 => format!("{counts}: all is well\n"),
        count => format!("{counts}: {count} damaged\n"),
    });
    out
}
