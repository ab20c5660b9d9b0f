//! One HTTP request: from place to place as servers lead, with the credentials that each of them may see, through the
//! proxy that the user has for it.

use super::forward::FORWARDED;
use super::{AGENT, Answer, Failure, Request, answer, apart, finish, gate, shown};
use crate::url::{self, split, unquote};
use bourn_plan::{Auth, Credentials, Patience, UrlTable};
use bourn_reapi::services::Cancel;
use ureq::http::{Response, Uri};
use ureq::{Agent, Body, Proxy};

/// How many redirections are followed, as many as the reference follows.
const REDIRECTIONS: usize = 10;

/// Sends a request; the first answer that leads nowhere else.
///
/// # Errors
/// As of [`super::send`].
pub(super) fn http(request: &Request<'_>, urls: &dyn UrlTable, cancel: &Cancel) -> Result<Answer, Failure> {
    let turn = gate::enter(split(request.url).authority, cancel)?;
    let mut at = request.url.to_owned();
    for _ in 0..=REDIRECTIONS {
        let response = exchange(request, &at, urls, cancel)?;
        let Some(next) = redirection(&response, &at)? else {
            return answer(request, at, response, turn, cancel);
        };
        apart::wait(cancel, move || finish(response))?;
        at = next;
    }
    Err(Failure::lasting("too many redirects"))
}

/// Where an answer leads.
fn redirection(response: &Response<Body>, at: &str) -> Result<Option<String>, Failure> {
    if !matches!(response.status().as_u16(), 301..=303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get("location") else { return Ok(None) };
    let next = url::resolve(&String::from_utf8_lossy(location.as_bytes()), at);
    // A server must not have files of this machine read.
    match split(&next).scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => Ok(Some(next)),
        _ => Err(Failure::lasting(format!("the server leads to {}, which is no web address", shown(&next)))),
    }
}

/// Asks one place, with credentials where it wants some.
fn exchange(
    request: &Request<'_>,
    at: &str,
    urls: &dyn UrlTable,
    cancel: &Cancel,
) -> Result<Response<Body>, Failure> {
    if request.auth == Auth::Bearer {
        // A token is for who was asked first.
        let known = may_see(at, request.url).then(|| urls.credentials(at)).flatten();
        let token = known.map(|credentials| format!("Bearer {}", credentials.password));
        return call(request, at, token.as_deref(), urls, cancel);
    }
    let response = call(request, at, None, urls, cancel)?;
    if response.status() != 401 || !takes_passwords(&response) {
        return Ok(response);
    }
    let Some(credentials) = urls.credentials(at) else { return Ok(response) };
    apart::wait(cancel, move || finish(response))?;
    call(request, at, Some(&basic(&credentials)), urls, cancel)
}

/// Whether a place may be told what another one is told.
fn may_see(at: &str, other: &str) -> bool {
    let (at, other) = (split(at), split(other));
    let is_secret = |scheme: &str| scheme.eq_ignore_ascii_case("https");
    at.authority.eq_ignore_ascii_case(other.authority)
        && (at.scheme.eq_ignore_ascii_case(other.scheme) || is_secret(at.scheme))
}

/// Whether a server that wants to know who asks takes a name and a password. One that does not say what it takes may.
fn takes_passwords(response: &Response<Body>) -> bool {
    let mut challenges = response.headers().get_all("www-authenticate").iter().peekable();
    challenges.peek().is_none()
        || challenges.any(|challenge| {
            let challenge = String::from_utf8_lossy(challenge.as_bytes()).to_ascii_lowercase();
            challenge.split([',', ' ']).any(|word| word == "basic")
        })
}

fn basic(credentials: &Credentials) -> String {
    let text = format!("{}:{}", credentials.user, credentials.password);
    format!("Basic {}", crate::base64::encode(text.as_bytes()))
}

/// `user:password@` before a host, taken away from an authority.
fn without_user(authority: &str) -> (Option<Credentials>, &str) {
    let Some((user, host)) = authority.rsplit_once('@') else { return (None, authority) };
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    (Some(Credentials { user: unquote(user), password: unquote(password) }), host)
}

fn call(
    request: &Request<'_>,
    at: &str,
    authorization: Option<&str>,
    urls: &dyn UrlTable,
    cancel: &Cancel,
) -> Result<Response<Body>, Failure> {
    let way = Way::to(at, urls.proxy(at).as_deref())?;
    let Patience { connect, silence } = urls.patience();
    let builder =
        way.agent.get(way.uri).config().timeout_connect(Some(connect)).timeout_per_read(Some(silence));
    let mut builder = builder.timeout_per_write(Some(silence)).proxy(way.tunnel).build();
    for (name, value) in &request.headers {
        builder = builder.header(*name, value);
    }
    if request.from > 0 {
        builder = builder.header("Range", format!("bytes={}-", request.from));
    }
    if let Some(authorization) = authorization.map(str::to_owned).or(way.user) {
        builder = builder.header("Authorization", authorization);
    }
    for (name, value) in way.headers {
        builder = builder.header(name, value);
    }
    apart::wait(cancel, move || builder.call())?.map_err(|error| failure(&error))
}

/// How a server is reached.
struct Way {
    agent: &'static Agent,
    /// What is asked for.
    uri: Uri,
    /// A proxy that lets through whatever is said.
    tunnel: Option<Proxy>,
    /// What the URL itself says about who asks.
    user: Option<String>,
    /// Headers for who forwards.
    headers: Vec<(&'static str, String)>,
}

impl Way {
    fn to(url: &str, proxy: Option<&str>) -> Result<Way, Failure> {
        let malformed = || Failure::lasting(format!("malformed URL: {}", shown(url)));
        let parts = split(url);
        let (user, host) = without_user(parts.authority);
        let user = user.as_ref().map(basic);
        let scheme = parts.scheme.to_ascii_lowercase();
        let plain = encoded(&format!("{scheme}://{host}{}", url::tail(url)));
        let direct = || plain.parse::<Uri>().map_err(|_| malformed());
        let Some(proxy) = proxy else {
            return Ok(Way { agent: &AGENT, uri: direct()?, tunnel: None, user, headers: Vec::new() });
        };
        let (kind, place) = proxy.split_once("://").unwrap_or((&scheme, proxy));
        let place = place.split('/').next().unwrap_or(place);
        let unusable = || Failure::lasting(format!("'{}' is no proxy for {scheme}", shown(proxy)));
        if !matches!(kind, "http" | "https") || place.is_empty() {
            return Err(unusable());
        }
        if scheme == "https" {
            // Whatever the proxy is called, it is spoken to in the clear about whom to connect to.
            let tunnel = Proxy::new(&format!("http://{place}")).map_err(|_| unusable())?;
            return Ok(Way {
                agent: &AGENT,
                uri: direct()?,
                tunnel: Some(tunnel),
                user,
                headers: Vec::new(),
            });
        }
        let (own, place) = without_user(place);
        let uri = Uri::builder().scheme(kind).authority(place).path_and_query(format!("/{plain}"));
        let mut headers = vec![("Host", host.to_owned())];
        headers.extend(own.as_ref().map(|own| ("Proxy-Authorization", basic(own))));
        let uri = uri.build().map_err(|_| unusable())?;
        Ok(Way { agent: &FORWARDED, uri, tunnel: None, user, headers })
    }
}

/// Characters that people write and HTTP does not allow.
fn encoded(url: &str) -> String {
    let mut encoded = String::with_capacity(url.len());
    for byte in url.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn failure(error: &ureq::Error) -> Failure {
    let lasting = matches!(
        error,
        ureq::Error::BadUri(_)
            | ureq::Error::Http(_)
            | ureq::Error::Tls(_)
            | ureq::Error::Rustls(_)
            | ureq::Error::InvalidProxyUrl
    ) || matches!(error, ureq::Error::Io(error) if is_certificate_refused(error));
    let message = match error {
        ureq::Error::Timeout(_) => "the server did not answer in time".to_owned(),
        ureq::Error::HostNotFound => "the name of the host is not known".to_owned(),
        error => error.to_string(),
    };
    Failure { message, status: None, passing: !lasting, after: None }
}

/// Whether a handshake ended because of the certificate that the server shows: it will show it again. The handshake is
/// made with the first bytes that are sent, so it fails as sending does.
fn is_certificate_refused(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}
