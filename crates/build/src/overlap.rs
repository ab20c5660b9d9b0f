//! Files of different artifacts that fall on one path.

use crate::error::{BuildError, BuildResult, domain};
use crate::job::Job;
use crate::session::Session;
use crate::stage::Piece;
use bourn_plan::assembly::Overlaps;
use bourn_reapi::services::ServiceResult;
use bourn_reapi::tree::{Entry, ImportReport, Tree};
use indexmap::IndexMap;
use std::fmt::Write;
use std::sync::Arc;

/// bst's token of the warning about overlaps.
pub const OVERLAPS: &str = "overlaps";
/// bst's token of the warning about files that were not staged.
pub const UNSTAGED_FILES: &str = "unstaged-files";

/// One artifact that was staged.
pub struct Staged {
    /// The artifact.
    pub piece: Piece,
    /// The files of it that the split took.
    pub files: Tree,
    /// What staging it did to what was there.
    pub report: Arc<ImportReport>,
}

impl Staged {
    /// Whether it put a file or link at a path below the place of the session.
    fn wrote(&self, path: &str) -> ServiceResult<bool> {
        let there = matches!(self.files.entry(path)?.as_deref(), Some(Entry::File(_) | Entry::Symlink(_)));
        Ok(there && !self.report.ignored.iter().any(|ignored| ignored == path))
    }
}

/// The artifacts staged by one step at one place.
pub struct StagingSession {
    /// The place, absolute.
    pub location: String,
    /// In staging order.
    pub staged: Vec<Staged>,
}

impl StagingSession {
    /// Warns of what overlapped within this session, and does what `action` says of what overlapped with earlier
    /// ones.
    ///
    /// # Errors
    /// A warning that is fatal; overlaps with earlier sessions where they are errors.
    pub fn judge(
        &self,
        session: &Session<'_>,
        job: &Job<'_>,
        earlier: &[StagingSession],
        action: Overlaps,
    ) -> BuildResult<()> {
        if self
            .staged
            .iter()
            .all(|staged| staged.report.overwritten.is_empty() && staged.report.ignored.is_empty())
        {
            return Ok(());
        }
        let overlaps = self.overlaps()?;
        let external = self.warn_of_overlaps(session, job, &overlaps)?;
        self.warn_of_ignored(job)?;
        match action {
            _ if external.is_empty() => Ok(()),
            Overlaps::Ignore => Ok(()),
            _ => self.judge_external(job, earlier, &external, action),
        }
    }

    /// For every path that was overwritten: who put something there, lowest first. A single one overwrote something
    /// of an earlier session.
    fn overlaps(&self) -> ServiceResult<IndexMap<&str, Vec<&Staged>>> {
        let mut overlaps: IndexMap<&str, Vec<&Staged>> = IndexMap::new();
        for (at, staged) in self.staged.iter().enumerate() {
            for path in &staged.report.overwritten {
                if !overlaps.contains_key(path.as_str()) {
                    let mut below = Vec::new();
                    for other in &self.staged[..at] {
                        if other.wrote(path)? {
                            below.push(other);
                            break;
                        }
                    }
                    overlaps.insert(path, below);
                }
                if let Some(list) = overlaps.get_mut(path.as_str()) {
                    list.push(staged);
                }
            }
        }
        Ok(overlaps)
    }

    /// Warns of files that are not whitelisted; returns those that overlap with earlier sessions.
    fn warn_of_overlaps<'s>(
        &self,
        session: &Session<'_>,
        job: &Job<'_>,
        overlaps: &IndexMap<&'s str, Vec<&'s Staged>>,
    ) -> BuildResult<Vec<(&'s str, &'s Staged)>> {
        let mut external = Vec::new();
        let mut detail =
            format!("Staged files overwrite existing files in staging area: {}\n", self.location);
        let mut found = false;
        for (&path, list) in overlaps {
            if let [only] = list[..] {
                external.push((path, only));
                continue;
            }
            let mut unlisted = Vec::new();
            for &staged in &list[1..] {
                if !session.public(&staged.piece.cached)?.may_overlap(&absolute(path))? {
                    unlisted.push(staged);
                }
            }
            if !unlisted.is_empty() {
                found = true;
                let _ = writeln!(detail, "{}", self.describe(path, &unlisted, list));
            }
        }
        if found {
            job.warn(Some(OVERLAPS), "Non-whitelisted overlaps detected", Some(&detail))?;
        }
        Ok(external)
    }

    fn describe(&self, path: &str, unlisted: &[&Staged], all: &[&Staged]) -> String {
        let name = |staged: &&Staged| staged.piece.issuer.element.to_string();
        let who: Vec<String> = unlisted.iter().map(name).collect();
        let order: Vec<String> = all.iter().rev().map(name).collect();
        format!(
            "{}: {} {} not permitted to overlap other elements, order {} ",
            self.below(path),
            who.join(" and "),
            if who.len() == 1 { "is" } else { "are" },
            order.join(" above "),
        )
    }

    fn warn_of_ignored(&self, job: &Job<'_>) -> BuildResult<()> {
        let mut detail = format!(
            "Not staging files which would replace non-empty directories in staging area: {}\n",
            self.location
        );
        let mut found = false;
        for staged in self.staged.iter().filter(|staged| !staged.report.ignored.is_empty()) {
            found = true;
            let _ = write!(detail, "\nFrom {}:\n", staged.piece.issuer.element);
            for path in &staged.report.ignored {
                let _ = writeln!(detail, "  {}", self.below(path));
            }
        }
        if !found {
            return Ok(());
        }
        let text = "Not staging files which would have replaced non-empty directories";
        job.warn(Some(UNSTAGED_FILES), text, Some(&detail))
    }

    fn judge_external(
        &self,
        job: &Job<'_>,
        earlier: &[StagingSession],
        external: &[(&str, &Staged)],
        action: Overlaps,
    ) -> BuildResult<()> {
        let mut detail = format!("Detected file overlaps while staging elements into: {}\n", self.location);
        let mut found = false;
        for (path, staged) in external {
            let path = self.below(path);
            let own = &staged.piece.issuer.element;
            // What no artifact brought was an empty directory, which anything may replace.
            if let Some((other, location)) = staged_by(earlier, &path)? {
                found = true;
                let _ = writeln!(
                    detail,
                    "{path}: {own} overlaps files previously staged by {other} in: {location}"
                );
            }
        }
        if !found {
            return Ok(());
        }
        match action {
            Overlaps::Error => {
                let error =
                    BuildError::new(domain::ELEMENT, "Overlaps detected").detail(detail).reason(OVERLAPS);
                Err(error.of_element(None))
            }
            _ => job.warn(Some(OVERLAPS), "Overlaps detected", Some(&detail)),
        }
    }

    /// The absolute path of a path below the place of the session.
    fn below(&self, path: &str) -> String {
        if self.location.ends_with('/') {
            format!("{}{path}", self.location)
        } else {
            format!("{}/{path}", self.location)
        }
    }
}

fn absolute(path: &str) -> String {
    format!("/{path}")
}

/// Which element of the sessions put a file at an absolute path, and where it was staged; the latest session counts.
fn staged_by<'s>(sessions: &'s [StagingSession], path: &str) -> ServiceResult<Option<(&'s str, &'s str)>> {
    for session in sessions.iter().rev() {
        let Some(below) = path.strip_prefix(session.location.trim_end_matches('/')) else { continue };
        let Some(below) = below.strip_prefix('/') else { continue };
        for staged in &session.staged {
            if staged.wrote(below)? {
                return Ok(Some((&staged.piece.issuer.element, &session.location)));
            }
        }
    }
    Ok(None)
}
