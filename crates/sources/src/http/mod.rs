//! Downloads: HTTP and HTTPS, FTP, and files of this machine.
//!
//! A download goes into a file beside its final place, `.SHA256.part`, and is hashed while it comes. When it is
//! interrupted, by the network or by the end of the program, the next attempt asks for the rest. Only a whole file
//! with the right sum is renamed into place. Another process that wants the same file waits for the first.

mod apart;
mod aside;
mod call;
mod forward;
mod ftp;
mod gate;
mod transfer;

use crate::url::{is_this_machine, split, tail, unquote};
use bourn_plan::{Auth, UrlTable};
use bourn_reapi::services::Cancel;
use std::io::Read;
use std::sync::LazyLock;
use std::time::Duration;
use ureq::config::Config;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

pub(crate) use aside::Beside;
pub(crate) use gate::PER_HOST;
pub(crate) use transfer::{Fetched, Transfer, is_sum, write_whole};

/// One agent for all: it keeps connections open per host.
static AGENT: LazyLock<Agent> = LazyLock::new(|| Agent::new_with_config(configuration()));

fn configuration() -> Config {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    Agent::config_builder()
        .http_status_as_error(false)
        .tls_config(tls)
        .user_agent(concat!("bourn/", env!("CARGO_PKG_VERSION")))
        .accept("*/*")
        // What is stored is what the server has, not what it packs for the way.
        .accept_encoding("identity")
        // Where a server leads, and through which proxy, is decided request by request.
        .max_redirects(0)
        .proxy(None)
        .max_idle_connections(64)
        .max_idle_connections_per_host(PER_HOST)
        .build()
}

/// A request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request<'a> {
    pub(crate) url: &'a str,
    pub(crate) auth: Auth,
    /// Further headers.
    pub(crate) headers: Vec<(&'a str, String)>,
    /// First byte wanted.
    pub(crate) from: u64,
}

/// An answer.
pub(crate) struct Answer {
    /// Where it came from in the end, after redirections.
    pub(crate) url: String,
    /// HTTP status; 200 for what is not HTTP.
    pub(crate) status: u16,
    /// First byte that comes.
    pub(crate) from: u64,
    /// Length of the whole file, where it is known.
    pub(crate) total: Option<u64>,
    /// The server's name for this version of the content.
    pub(crate) etag: Option<String>,
    /// When the server says it was modified.
    pub(crate) modified: Option<String>,
    /// Further headers by name in lower case, the last of each.
    headers: Vec<(String, String)>,
    pub(crate) body: Box<dyn Read + Send>,
}

impl Answer {
    /// A header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    /// HTTP status, if there was one.
    pub(crate) status: Option<u16>,
    /// Whether trying again soon may help.
    pub(crate) passing: bool,
    /// How long the server wants to be left alone.
    pub(crate) after: Option<Duration>,
}

impl Failure {
    pub(crate) fn passing(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), status: None, passing: true, after: None }
    }

    /// Of a request that nobody wants any more.
    fn stopped() -> Failure {
        Failure::lasting("Interrupted")
    }

    pub(crate) fn lasting(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), status: None, passing: false, after: None }
    }
}

/// Sends a request; credentials are sent as the request says.
///
/// # Errors
/// No connection, or a status that is neither success nor 304 nor 416.
pub(crate) fn send(request: &Request<'_>, urls: &dyn UrlTable, cancel: &Cancel) -> Result<Answer, Failure> {
    let scheme = split(request.url).scheme.to_ascii_lowercase();
    match scheme.as_str() {
        "http" | "https" => call::http(request, urls, cancel),
        // A proxy is spoken to in HTTP.
        "ftp" if urls.proxy(request.url).is_some() => call::http(request, urls, cancel),
        "ftp" => ftp::retrieve(request, urls, cancel),
        "file" => file(request),
        "" => Err(Failure::lasting(format!("unknown url type: '{}'", request.url))),
        scheme => Err(Failure::lasting(format!("unknown url type: {scheme}"))),
    }
}

/// Fetches a small document, with retries.
///
/// # Errors
/// As of [`send`], and a body that cannot be read.
pub(crate) fn get(
    request: &Request<'_>,
    urls: &dyn UrlTable,
    cancel: &Cancel,
) -> Result<(Answer, Vec<u8>), Failure> {
    let mut attempt = 0;
    loop {
        let answer = send(request, urls, cancel).and_then(|mut answer| {
            let mut content = Vec::new();
            let body = std::mem::replace(&mut answer.body, Box::new(std::io::empty()));
            let read = body.take(DOCUMENT).read_to_end(&mut content);
            read.map_err(|error| Failure::passing(error.to_string()))?;
            if content.len() as u64 >= DOCUMENT {
                return Err(Failure::lasting("the answer is too large"));
            }
            Ok((answer, content))
        });
        match answer {
            Err(failure) if failure.passing && attempt < RETRIES => {
                let wait = failure.after.unwrap_or_else(|| pause(attempt));
                transfer::sleep(wait, cancel).map_err(|_| Failure::stopped())?;
                attempt += 1;
            }
            answer => return answer,
        }
    }
}

/// Documents above this are not what was asked for.
const DOCUMENT: u64 = 256 << 20;
/// What is said to a refusal is read as far as this.
const REFUSAL: u64 = 64 << 10;
/// How often something is tried again without any progress.
const RETRIES: u32 = 3;
/// The longest that a server is left alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long to wait before trying again: half a second, then twice as long each time.
fn pause(attempt: u32) -> Duration {
    Duration::from_millis(500) * 2u32.saturating_pow(attempt.min(6))
}

/// Reads what a server says to a refusal, if that is not long: its connection is used again then.
fn finish(response: Response<Body>) {
    let mut rest = response.into_body().into_reader().take(REFUSAL);
    // A connection that cannot be used again is closed.
    let _ = std::io::copy(&mut rest, &mut std::io::sink());
}

/// A URL, or a text with URLs in it, without the passwords that may be in them.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        let end = after.find(|next: char| next == '/' || next.is_whitespace()).unwrap_or(after.len());
        let (authority, after) = after.split_at(end);
        shown.push_str(before);
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                shown.extend([user.split(':').next().unwrap_or_default(), "@", host]);
            }
            None => shown.push_str(authority),
        }
        rest = after;
    }
    shown + rest
}

/// What an answer has, which came from `url` in the end.
fn answer(
    request: &Request<'_>,
    url: String,
    response: Response<Body>,
    turn: gate::Turn,
    cancel: &Cancel,
) -> Result<Answer, Failure> {
    let status = response.status().as_u16();
    let headers: Vec<(String, String)> = response
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect();
    let header =
        |name: &str| headers.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    if !matches!(status, 200..=299 | 304 | 401 | 416) {
        let refusal = refusal(status, response.status().canonical_reason(), header("retry-after"));
        apart::wait(cancel, move || finish(response))?;
        return Err(refusal);
    }
    let length = header("content-length").and_then(|length| length.parse::<u64>().ok());
    let (from, total) = match header("content-range").filter(|_| status == 206) {
        Some(range) => {
            content_range(&range).ok_or_else(|| Failure::lasting(format!("odd range: {range}")))?
        }
        None => (0, length),
    };
    if from > request.from {
        return Err(Failure::lasting("the server answered with another part of the file"));
    }
    let (etag, modified) = (header("etag"), header("last-modified"));
    let body = gate::Body::new(response.into_body().into_reader(), turn);
    let body = Box::new(apart::Body::new(Box::new(body), cancel));
    Ok(Answer { url, status, from, total, etag, modified, headers, body })
}

fn refusal(status: u16, reason: Option<&str>, after: Option<String>) -> Failure {
    let message = format!("HTTP Error {status}: {}", reason.unwrap_or("unknown"));
    let after = after.and_then(|after| pause_until(after.trim()));
    let passing = matches!(status, 408 | 425 | 429 | 500 | 502..=504);
    Failure { message, status: Some(status), passing, after: after.map(|after| after.min(LONGEST_PAUSE)) }
}

/// How long `Retry-After` wants to be waited: seconds, or a date, which may be over.
fn pause_until(after: &str) -> Option<Duration> {
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(after).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(jiff::Timestamp::now())).unwrap_or_default())
}

/// `bytes FIRST-LAST/TOTAL`, the total perhaps a star.
fn content_range(range: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = range.strip_prefix("bytes ")?.split_once('/')?;
    let first = range.split('-').next()?.trim().parse().ok()?;
    Some((first, total.trim().parse().ok()))
}

/// A file of this machine.
fn file(request: &Request<'_>) -> Result<Answer, Failure> {
    use std::io::{Seek, SeekFrom};
    if !is_this_machine(split(request.url).authority) {
        return Err(Failure::lasting("file:// URLs name files of this machine only"));
    }
    let path = std::path::PathBuf::from(std::ffi::OsString::from(unquote(tail(request.url))));
    let failed = |error: std::io::Error| Failure::lasting(format!("{}: {error}", path.display()));
    let mut file = std::fs::File::open(&path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(Failure::lasting(format!("{} is no regular file", path.display())));
    }
    let from = request.from.min(found.len());
    file.seek(SeekFrom::Start(from)).map_err(failed)?;
    Ok(Answer {
        url: request.url.to_owned(),
        status: 200,
        from,
        total: Some(found.len()),
        etag: None,
        modified: None,
        headers: Vec::new(),
        body: Box::new(file),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (text, expect) in [
            ("https://u:p@h:1/x@y", "https://u@h:1/x@y"),
            ("https://h/x:y@z", "https://h/x:y@z"),
            (
                "git -c a.b=1 fetch http://u:p%20@h/ ssh://git@g:2 f",
                "git -c a.b=1 fetch http://u@h/ ssh://git@g:2 f",
            ),
            (
                "fatal: '//u:p@h' and 'http://u:p@q@h'\nhttp://:x@h",
                "fatal: '//u:p@h' and 'http://u@h'\nhttp://@h",
            ),
            ("://", "://"),
            ("git@h:x", "git@h:x"),
        ] {
            assert_eq!(shown(text), expect);
        }
    }
}
