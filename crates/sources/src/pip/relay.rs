//! A static index of Python packages (PEP 503), made of what pip takes.
//!
//! To look into a source distribution pip needs what that is built with, which it does not keep. So it is given an
//! index on this machine that passes on what another one has, and whatever it takes is put into the mirror.

use super::{pip, python};
use crate::copies::{read_through, write_public};
use crate::host::Tool;
use crate::http::{self, Fetched, Request, Transfer, shown};
use crate::scratch::workspace;
use crate::url;
use bourn_plan::{Candidate, FetchContext, SourceError};
use bourn_reapi::Digest;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A link of a page: what stands before and after its address, and its text. Addresses of metadata are no use without
/// the files beside them.
static LINK: LazyLock<Result<Regex, regex::Error>> =
    LazyLock::new(|| Regex::new(r#"(?is)<a\b([^>]*?)\bhref\s*=\s*(?:"([^"]*)"|'([^']*)')([^>]*)>"#));
static METADATA: LazyLock<Result<Regex, regex::Error>> = LazyLock::new(|| {
    Regex::new(r#"(?i)\bdata-(?:core|dist-info)-metadata(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>]+))?"#)
});

/// Brings packages, and all that pip takes with them, from the index that a URL leads to. Whether anything came.
///
/// # Errors
/// No index has all of them; the disk.
pub(crate) fn bring(
    context: &FetchContext<'_>,
    url: &str,
    wanted: &[String],
    directory: &Path,
) -> Result<bool, SourceError> {
    // What a run brought that came to its end.
    let sum = Digest::of(wanted.join("\n").as_bytes()).hex();
    let note = directory.join(format!(".{sum}"));
    if let Ok(text) = std::fs::read_to_string(&note)
        && text.lines().all(|line| directory.join(line).is_file())
    {
        return Ok(false);
    }
    let mut failure = SourceError::new("There is no index to ask");
    for candidate in context.urls.fetch(url) {
        match Relay::new(context, candidate, directory).run(wanted) {
            Ok(taken) => {
                let taken: Vec<String> = taken.iter().map(|path| path.display().to_string()).collect();
                write_public(&note, taken.join("\n").as_bytes()).map_err(|error| disk(&error, &note))?;
                return Ok(true);
            }
            Err(error) if context.cancel.is_cancelled() => return Err(error),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// A file of a project, as its page has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    /// Where it is.
    url: String,
    /// What its page says of its content: `#sha256=…`, or nothing.
    fragment: String,
    /// The other attributes: which versions of Python it is for.
    attributes: String,
}

impl Link {
    fn sha256(&self) -> Option<&str> {
        self.fragment.strip_prefix("#sha256=").filter(|sum| sum.len() == 64)
    }

    /// The link, to the file beside its page.
    fn line(&self, name: &str) -> String {
        let (name, address) = (escaped(name), url::quote(name));
        format!("<a href=\"{address}{}\"{}>{name}</a><br>\n", self.fragment, self.attributes)
    }
}

/// The files that a page names, by name.
fn links(page: &str, asked: &str) -> BTreeMap<String, Link> {
    let (Ok(link), Ok(metadata)) = (&*LINK, &*METADATA) else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for parts in link.captures_iter(page) {
        let part = |at: usize| parts.get(at).map_or("", |part| part.as_str());
        let address = plain(if part(2).is_empty() { part(3) } else { part(2) });
        let (address, fragment) = address.split_at(address.find('#').unwrap_or(address.len()));
        let name = url::unquote(url::basename(address.split('?').next().unwrap_or(address)));
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0', '\n']) {
            continue;
        }
        let attributes = [part(1), part(4)].map(|text| metadata.replace_all(text, "").trim().to_owned());
        let attributes = attributes.iter().filter(|text| !text.is_empty()).map(|text| format!(" {text}"));
        let link = Link {
            url: url::resolve(address, asked),
            fragment: escaped(fragment),
            attributes: attributes.collect(),
        };
        found.insert(name, link);
    }
    found
}

/// Takes away what HTML needs in attributes.
fn plain(text: &str) -> String {
    text.trim()
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn page(lines: impl Iterator<Item = String>) -> String {
    let lines: String = lines.collect();
    format!("<!DOCTYPE html>\n<html><body>\n{lines}</body></html>\n")
}

/// An index that passes on another one.
struct Relay<'a> {
    context: &'a FetchContext<'a>,
    /// The index that is asked.
    index: Candidate,
    /// The static one.
    directory: &'a Path,
    found: Mutex<Found>,
    stopped: AtomicBool,
}

#[derive(Default)]
struct Found {
    /// Files that may be asked for, by project and name.
    known: BTreeMap<String, BTreeMap<String, Link>>,
    /// Files that were, below the directory.
    taken: BTreeSet<PathBuf>,
    /// What went wrong last.
    failure: Option<SourceError>,
}

impl<'a> Relay<'a> {
    fn new(context: &'a FetchContext<'a>, index: Candidate, directory: &'a Path) -> Relay<'a> {
        Relay { context, index, directory, found: Mutex::default(), stopped: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets pip download packages; the files that it took, which have their pages then.
    fn run(self, wanted: &[String]) -> Result<BTreeSet<PathBuf>, SourceError> {
        let python = python()?;
        std::fs::create_dir_all(self.directory).map_err(|error| disk(&error, self.directory))?;
        let scratch = workspace(self.context, "pip")?;
        let failed = |error| SourceError::new(format!("Cannot listen on this machine: {error}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
        let place = listener.local_addr().map_err(failed)?;
        let ran = std::thread::scope(|scope| {
            scope.spawn(|| self.serve(&listener));
            let tool = alone(Tool::new(python, self.context));
            let tool = pip(tool, &format!("http://{place}/"), scratch.path()).args(wanted);
            let shown = shown(&self.index.url);
            let ran = tool.run(|| format!("Failed to download Python packages from {shown}"));
            self.stopped.store(true, Ordering::SeqCst);
            // It waits for somebody to come.
            let _ = TcpStream::connect(place);
            ran
        });
        let found = self.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = ran {
            return Err(match found.failure {
                Some(failure) if !self.context.cancel.is_cancelled() => failure,
                _ => error,
            });
        }
        let _ = std::fs::remove_dir(self.directory.join(LANDING));
        publish(self.directory, &found)?;
        Ok(found.taken)
    }

    fn serve(&self, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            // Who hangs up asks again, or says so.
            let _ = stream.and_then(|stream| self.answer(&stream));
        }
    }

    fn answer(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut lines = BufReader::new(stream.take(1 << 16)).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        let path = first.split(' ').nth(1).unwrap_or_default().trim_matches('/').to_owned();
        let answered = match path.split_once('/') {
            None => self.page(&path).map(|page| page.map(Said::Page)),
            Some((project, name)) => self.file(project, &url::unquote(name)).map(|file| file.map(Said::File)),
        };
        match answered {
            Ok(Some(said)) => said.write(stream),
            Ok(None) => head(stream, "404 Not Found", "text/plain", 0),
            Err(error) => {
                self.lock().failure = Some(error);
                head(stream, "502 Bad Gateway", "text/plain", 0)
            }
        }
    }

    /// The page of a project, the links on it leading here.
    fn page(&self, project: &str) -> Result<Option<String>, SourceError> {
        if project.is_empty() || project.starts_with('.') || project.contains(['%', '\\']) {
            return Ok(None);
        }
        let asked = format!("{}/{project}/", self.index.url.trim_end_matches('/'));
        // A directory has its page in a file.
        let file = if url::split(&asked).scheme == "file" { "index.html" } else { "" };
        let asked = format!("{asked}{file}");
        let headers = vec![("Accept", "application/vnd.pypi.simple.v1+html, text/html".to_owned())];
        let request = Request { url: &asked, headers, auth: self.index.auth, ..Request::default() };
        let (answer, content) = match http::get(&request, self.context.urls, self.context.cancel) {
            Ok((answer, _)) if answer.status == 401 => {
                return Err(refused(&asked, "HTTP Error 401: Unauthorized"));
            }
            Ok(answer) => answer,
            Err(failure) if failure.status == Some(404) => return Ok(None),
            Err(failure) => return Err(refused(&asked, &failure.message)),
        };
        let found = links(&String::from_utf8_lossy(&content), &answer.url);
        let made = page(found.iter().map(|(name, link)| link.line(name)));
        self.lock().known.insert(project.to_owned(), found);
        Ok(Some(made))
    }

    /// A file, brought into the mirror.
    fn file(&self, project: &str, name: &str) -> Result<Option<PathBuf>, SourceError> {
        let known = self.lock().known.get(project).and_then(|files| files.get(name)).cloned();
        let Some(link) = known else { return Ok(None) };
        let below = Path::new(project).join(name);
        let path = self.directory.join(&below);
        let sum = match (sum_of(self.context, &path)?, link.sha256()) {
            (Some(sum), Some(wanted)) if sum.eq_ignore_ascii_case(wanted) => sum,
            _ => self.download(&link, &path)?,
        };
        let mut found = self.lock();
        if let Some(link) = found.known.get_mut(project).and_then(|files| files.get_mut(name)) {
            link.fragment = format!("#sha256={sum}");
        }
        found.taken.insert(below);
        Ok(Some(path))
    }

    fn download(&self, link: &Link, path: &Path) -> Result<String, SourceError> {
        let landing = self.directory.join(LANDING);
        let transfer = Transfer {
            context: self.context,
            directory: &landing,
            sha256: link.sha256(),
            etag: None,
            beside: None,
        };
        let from = Candidate { url: link.url.clone(), auth: self.index.auth };
        let Fetched::File(sum) = transfer.run(&[from])? else {
            return Err(refused(&link.url, "there is no file"));
        };
        let parent = path.parent().unwrap_or(self.directory);
        std::fs::create_dir_all(parent).map_err(|error| disk(&error, parent))?;
        let content = landing.join(&sum);
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&content, std::fs::Permissions::from_mode(0o644))
            .and_then(|()| std::fs::rename(&content, path))
            .map_err(|error| disk(&error, path))?;
        Ok(sum)
    }
}

/// Where files are until they are whole.
const LANDING: &str = ".downloads";

/// `pip` knowing no other index than the one that it is told, and keeping nothing.
fn alone(python: Tool<'_>) -> Tool<'_> {
    let python = python.env("PIP_CONFIG_FILE", "/dev/null").env("PIP_NO_CACHE_DIR", "1");
    let python = python.env("no_proxy", "127.0.0.1").env("NO_PROXY", "127.0.0.1");
    let settings = ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_PROXY"];
    settings.into_iter().fold(python, |python, name| python.without_env(name))
}

/// Writes the pages of the projects that something was taken of, and the page of all.
fn publish(directory: &Path, found: &Found) -> Result<(), SourceError> {
    let projects: BTreeSet<&Path> = found.taken.iter().filter_map(|path| path.parent()).collect();
    for project in projects {
        let place = directory.join(project).join("index.html");
        // What earlier runs took stays.
        let known = std::fs::read_to_string(&place).unwrap_or_default();
        let mut files = links(&known, "");
        files.retain(|name, _| directory.join(project).join(name).is_file());
        let name = project.to_string_lossy();
        let links = found.known.get(&*name).into_iter().flatten();
        let taken = links.filter(|(name, _)| found.taken.contains(&project.join(name)));
        files.extend(taken.map(|(name, link)| (name.clone(), link.clone())));
        let page = page(files.iter().map(|(name, link)| link.line(name)));
        write_public(&place, page.as_bytes()).map_err(|error| disk(&error, &place))?;
    }
    let mut projects = BTreeSet::new();
    for entry in directory.read_dir().map_err(|error| disk(&error, directory))?.flatten() {
        if entry.path().join("index.html").is_file() {
            projects.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    let line = |name: &String| format!("<a href=\"{}/\">{}</a><br>\n", url::quote(name), escaped(name));
    let place = directory.join("index.html");
    write_public(&place, page(projects.iter().map(line)).as_bytes()).map_err(|error| disk(&error, &place))
}

/// The SHA-256 of a file, if it is there.
fn sum_of(context: &FetchContext<'_>, path: &Path) -> Result<Option<String>, SourceError> {
    match File::open(path) {
        Ok(mut file) => read_through(&mut file, path, context, |_| Ok(())).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(crate::tree::unreadable(path, &error)),
    }
}

fn disk(error: &io::Error, path: &Path) -> SourceError {
    bourn_reapi::ServiceError::io(error, "Writing", path).into()
}

fn refused(url: &str, why: &str) -> SourceError {
    SourceError::new(format!("Cannot read {}: {why}", shown(url)))
}

/// An answer to pip.
enum Said {
    Page(String),
    File(PathBuf),
}

impl Said {
    fn write(self, mut stream: &TcpStream) -> io::Result<()> {
        match self {
            Said::Page(page) => {
                head(stream, "200 OK", "text/html", page.len() as u64)?;
                stream.write_all(page.as_bytes())
            }
            Said::File(path) => {
                let mut file = File::open(path)?;
                head(stream, "200 OK", "application/octet-stream", file.metadata()?.len())?;
                io::copy(&mut file, &mut stream).map(drop)
            }
        }
    }
}

fn head(mut stream: &TcpStream, status: &str, medium: &str, length: u64) -> io::Result<()> {
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {medium}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_pages() {
        let page = "<a href=\"../../files/a%20b-1.tar.gz#sha256=x\" data-requires-python=\"&gt;=3\">a</a>
            <A class='x' HREF = '/c-2.zip?q&amp;r' data-core-metadata=\"sha256=1\" data-yanked>c</A>
            <a name='none'>n</a><a href='https://h/up/'>up</a><a href='.hidden'>h</a>";
        let found = links(page, "http://i/simple/p/");
        let all: Vec<(&str, &str, String)> =
            found.iter().map(|(name, link)| (name.as_str(), link.url.as_str(), link.line(name))).collect();
        let first =
            "<a href=\"a%20b-1.tar.gz#sha256=x\" data-requires-python=\"&gt;=3\">a b-1.tar.gz</a><br>\n"
                .to_owned();
        let second = "<a href=\"c-2.zip\" class='x' data-yanked>c-2.zip</a><br>\n".to_owned();
        assert_eq!(
            all,
            [
                ("a b-1.tar.gz", "http://i/files/a%20b-1.tar.gz", first),
                ("c-2.zip", "http://i/c-2.zip?q&r", second),
            ]
        );
        // What is written is read as it was.
        let again = links(&super::page(found.iter().map(|(name, link)| link.line(name))), "http://i/");
        let same = |link: &Link| (link.fragment.clone(), link.attributes.clone());
        assert!(again.values().map(same).eq(found.values().map(same)), "{again:?}");
    }
}
