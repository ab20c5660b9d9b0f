//! Small documents of servers that say what there is: indices, listings, answers of an API.

use crate::http::{self, Request, shown};
use bourn_plan::{Auth, Candidate, SourceError, TrackContext};
use std::io::{BufRead, BufReader};
use std::sync::Arc;

/// What a server says at a URL, asked once per run, whoever wants to know.
///
/// # Errors
/// The network, a status other than success.
pub(crate) fn read(
    context: &TrackContext<'_>,
    candidate: &Candidate,
    accept: Option<&str>,
) -> Result<Arc<[u8]>, SourceError> {
    let name = format!("document {} {}", accept.unwrap_or_default(), candidate.url);
    context.urls.remember(&name, &mut || {
        let headers = accept.map(|accept| ("Accept", accept.to_owned())).into_iter().collect();
        let request = Request { url: &candidate.url, auth: candidate.auth, headers, from: 0 };
        context.progress.log(&format!("Reading {}\n", shown(&candidate.url)));
        let (answer, content) = http::get(&request, context.urls, context.cancel).map_err(|failure| {
            let text = format!("Cannot read {}: {}", shown(&candidate.url), failure.message);
            SourceError { temporary: failure.passing, ..SourceError::new(text) }
        })?;
        if answer.status == 401 {
            let text = format!("Cannot read {}: HTTP Error 401: Unauthorized", shown(&candidate.url));
            return Err(SourceError::new(text).hint("give the credentials for this host in ~/.netrc"));
        }
        Ok(content)
    })
}

/// The same for a URL that may have an alias: the first of its places that answers.
///
/// # Errors
/// That of the last place.
pub(crate) fn read_aliased(context: &TrackContext<'_>, url: &str) -> Result<Arc<[u8]>, SourceError> {
    let mut last = SourceError::new(format!("There is no place to read {} from", shown(url)));
    for candidate in context.urls.track(url) {
        match read(context, &candidate, None) {
            Ok(content) => return Ok(content),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The same for a URL without an alias, as JSON.
///
/// # Errors
/// As of [`read`]; an answer that is no JSON.
pub(crate) fn read_json(
    context: &TrackContext<'_>,
    url: &str,
    accept: &str,
) -> Result<serde_json::Value, SourceError> {
    let candidate = Candidate { url: url.to_owned(), auth: Auth::Basic };
    let content = read(context, &candidate, Some(accept))?;
    serde_json::from_slice(&content).map_err(|error| {
        let text = format!("{} did not answer with JSON", shown(url));
        SourceError::new(text).detail(error.to_string()).hint(format!("the server must speak `{accept}`"))
    })
}

/// The lines of a document that gzip compressed, looked at one by one until `look` finds what it wants.
///
/// # Errors
/// Damaged data; more lines than any index has.
pub(crate) fn find_line<T>(
    compressed: &[u8],
    url: &str,
    mut look: impl FnMut(&str) -> Option<T>,
) -> Result<Option<T>, SourceError> {
    use std::io::Read;
    let plain = flate2::read::MultiGzDecoder::new(compressed).take(LARGEST);
    let mut lines = BufReader::new(plain);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = lines.read_until(b'\n', &mut line).map_err(|error| {
            SourceError::new(format!("{} is damaged", shown(url))).detail(error.to_string())
        })?;
        if read == 0 {
            break;
        }
        if let Some(found) = look(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])) {
            return Ok(Some(found));
        }
    }
    match lines.get_ref().limit() {
        0 => Err(SourceError::new(format!("{} unpacks to more than {LARGEST} bytes", shown(url)))),
        _ => Ok(None),
    }
}

/// Bytes that an unpacked index may have.
const LARGEST: u64 = 2 << 30;
