//! Making room in the cache after a run, and on demand.

use crate::exit::Failure;
use crate::invocation::Invocation;
use crate::settings::resolve::Settings;
use crate::settings::user::UserConfig;
use crate::tree;
use crate::wire;
use bourn_build::event::MessageKind;
use bourn_cas::Quota;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long the project of a junction is kept after its last use.
const JUNCTION_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// How exactly the last use of a junction is known.
const JUNCTION_GRAIN: Duration = Duration::from_secs(24 * 3600);

/// How much the configuration lets the cache hold.
pub(crate) fn quota(user: &UserConfig) -> Quota {
    Quota { bytes: user.quota, reserved: user.reserved, low_watermark: user.low_watermark }
}

/// Makes room after a run that wrote something, if the cache holds more than it may. That it fails is no reason to
/// call the run a failure.
pub(crate) fn after_run(invocation: &Invocation<'_>) {
    let user = &invocation.settings.user;
    let wrote = invocation.reporter.tally().queues.values().any(|queue| queue.processed > 0);
    // Adding up what the cache holds takes a while: nobody wants to know where there is enough room anyway.
    if !wrote || (user.quota.is_none() && has_room(&user.cachedir, user.reserved)) {
        return;
    }
    let expired = wire::store(invocation.settings).and_then(|store| {
        drop_junctions(invocation.settings, false)?;
        Ok(store.expire(&quota(user))?)
    });
    match expired {
        Ok(expired) if expired.before > expired.after => {
            let freed = crate::settings::size::pretty(expired.before - expired.after);
            invocation
                .reporter
                .info(&format!("Removed {freed} from the cache that were not used for longest"));
        }
        Ok(_) => {}
        Err(failure) => {
            let text = format!("No room was made in the cache: {}", failure.message);
            invocation.reporter.message(MessageKind::Warn, &text, None, None);
        }
    }
}

/// Whether more of the disk is free than is to stay free.
fn has_room(cachedir: &Path, reserved: u64) -> bool {
    rustix::fs::statvfs(cachedir)
        .is_ok_and(|status| status.f_bavail.saturating_mul(status.f_frsize) > reserved)
}

/// Removes projects of junctions that were not used for long, or `all` of them.
///
/// # Errors
/// They cannot be removed.
pub(crate) fn drop_junctions(settings: &Settings, all: bool) -> Result<(), Failure> {
    let directory = settings.own_directory().join("junctions");
    let Ok(entries) = std::fs::read_dir(&directory) else { return Ok(()) };
    for entry in entries.flatten() {
        let path = entry.path();
        let used = entry.metadata().and_then(|found| found.modified());
        let old = used.is_ok_and(|used| used.elapsed().is_ok_and(|since| since > JUNCTION_LIFE));
        if all || old {
            tree::remove(&path).map_err(|error| Failure::io(&error, "removing", &path))?;
        }
    }
    Ok(())
}

/// Notes that the project of a junction is used.
pub(crate) fn touch_junction(directory: &Path) {
    let Ok(opened) = std::fs::File::open(directory) else { return };
    let used = opened.metadata().and_then(|found| found.modified());
    if used.is_ok_and(|used| used.elapsed().is_ok_and(|since| since > JUNCTION_GRAIN)) {
        // On a cache that may only be read there is nothing to note.
        let _ = opened.set_modified(SystemTime::now());
    }
}
