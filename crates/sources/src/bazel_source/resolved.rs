//! What a resolved file of Bazel names, and bringing it.

use super::literal::{Literal, assigned};
use crate::download::activity;
use crate::http::{Fetched, Transfer, shown};
use crate::url;
use bourn_plan::{FetchContext, SourceError, Upstream, UpstreamContent};
use bourn_reapi::Digest;
use std::path::Path;

/// A file that Bazel would download.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    name: String,
    /// Where it may come from, best first.
    urls: Vec<String>,
    sha256: Option<String>,
}

/// The files that a resolved file names. What has no URL is of the project itself.
///
/// # Errors
/// It cannot be understood.
pub(super) fn wanted(context: &FetchContext<'_>, text: &str) -> Result<Vec<Wanted>, String> {
    let resolved = assigned(text, "resolved")?;
    let resolved = resolved.as_ref().and_then(Literal::list).ok_or("no list is assigned to `resolved`")?;
    let mut found = Vec::new();
    for source in resolved {
        let Some(attributes) = source.get("original_attributes") else {
            let text = "Bazel dependency has no 'original_attributes'";
            context.progress.warn(None, text, None).map_err(|error| error.message)?;
            continue;
        };
        let name = attributes.get("name").and_then(Literal::text);
        let name = name.ok_or("a dependency has no `name`")?.to_owned();
        if attributes.get("url").is_none() && attributes.get("urls").is_none() {
            let text = format!("Bazel dependency '{name}' has no urls, assume local and skip\n");
            context.progress.log(&text);
            continue;
        }
        let sha256 = attributes.get("sha256").and_then(Literal::text).map(str::to_owned);
        found.push(Wanted { urls: urls(attributes), sha256, name });
    }
    Ok(found)
}

fn urls(attributes: &Literal) -> Vec<String> {
    let one = attributes.get("url").and_then(Literal::text).filter(|url| !url.is_empty());
    let more = attributes.get("urls").and_then(Literal::list).unwrap_or_default();
    one.into_iter().chain(more.iter().filter_map(Literal::text)).map(str::to_owned).collect()
}

/// Downloads files into a directory, under the names that they have on their servers. What nobody has any more is only
/// warned of, since Bazel may do without; where nothing at all is to be had, something else is wrong.
///
/// # Errors
/// The disk; nothing could be downloaded.
pub(super) fn download(
    context: &FetchContext<'_>,
    wanted: &[Wanted],
    directory: &Path,
) -> Result<(), SourceError> {
    std::fs::create_dir_all(directory)
        .map_err(|error| bourn_reapi::ServiceError::io(&error, "Creating", directory))?;
    let mut failure = None;
    let mut brought = 0;
    for file in wanted {
        if file.sha256.is_none() {
            let text = format!("Bazel dependency '{}' has no sha256", file.name);
            context.progress.warn(Some("bazel_source:missing-sha256"), &text, None)?;
        }
        let heading = format!("Downloading bazel dependency '{}'", file.name);
        match activity(context.progress, &heading, || Ok(file.bring(context, directory)))? {
            Ok(()) => brought += 1,
            Err(error) if context.cancel.is_cancelled() => return Err(error),
            Err(error) => {
                let detail = [Some(error.message.clone()), error.detail.clone()];
                let detail = detail.into_iter().flatten().collect::<Vec<_>>().join("\n");
                let text = format!("Failed to download bazel dependency {}", file.name);
                context.progress.warn(None, &text, Some(&detail))?;
                failure = Some(error);
            }
        }
    }
    match failure {
        Some(error) if brought == 0 => Err(error),
        _ => Ok(()),
    }
}

impl Wanted {
    /// Where each file comes from that is kept in a directory: by an alias if there is one, since a mirror can only
    /// stand for aliases.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn upstream(&self, directory: &Path) -> Result<Option<Upstream>, SourceError> {
        let there = |url: &&String| directory.join(url::basename(url)).is_file();
        let kept: Vec<&String> = self.urls.iter().filter(there).collect();
        let aliased = kept.iter().find(|url| url::alias(url).is_some());
        let Some(url) = aliased.or(kept.first()) else { return Ok(None) };
        let kept = directory.join(url::basename(url));
        let sha256 = match self.sha256.as_deref().filter(|sum| !sum.is_empty()) {
            Some(sum) => sum.to_owned(),
            None => {
                let content = std::fs::read(&kept).map_err(|error| crate::tree::unreadable(&kept, &error))?;
                Digest::of(&content).hex()
            }
        };
        Ok(Some(Upstream { url: url.to_string(), content: UpstreamContent::File { kept, sha256 } }))
    }

    /// Brings it from the first place that has it.
    fn bring(&self, context: &FetchContext<'_>, directory: &Path) -> Result<(), SourceError> {
        let scratch = tempfile::tempdir_in(directory.parent().unwrap_or(directory)).map_err(|error| {
            bourn_reapi::ServiceError::io(&error, "Creating a directory beside", directory)
        })?;
        let sha256 = self.sha256.as_deref().filter(|sum| !sum.is_empty());
        let mut failure = SourceError::new(format!("'{}' has no URL", self.name));
        for url in &self.urls {
            let name = url::basename(url);
            if matches!(name, "" | "." | "..") {
                failure =
                    SourceError::new(format!("The URL {} does not end with the name of a file", shown(url)));
                continue;
            }
            let transfer = Transfer { context, directory: scratch.path(), sha256, etag: None, beside: None };
            match transfer.run(&context.urls.fetch(url)) {
                Ok(Fetched::File(sum) | Fetched::Seen(sum)) => {
                    let place = directory.join(name);
                    return std::fs::rename(scratch.path().join(sum), &place)
                        .map_err(|error| bourn_reapi::ServiceError::io(&error, "Writing", &place).into());
                }
                Ok(Fetched::Unchanged) => {}
                Err(error) if context.cancel.is_cancelled() => return Err(error),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}
