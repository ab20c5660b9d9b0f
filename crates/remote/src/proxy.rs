//! Through which HTTP proxy a server is reached, as the variables of an environment say it, in the dialect of gRPC's C
//! core (its document `environment_variables.md`), which is what bst's `buildbox-casd` goes by: other programs read some
//! of the same variables by other rules.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::net::IpAddr;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::Authority;

/// Variables that name a proxy, for encrypted and other connections alike. The first that is set is the only one that
/// counts, even if it is empty.
const NAMES: [&str; 3] = ["grpc_proxy", "https_proxy", "http_proxy"];

/// Variables that name hosts that are reached directly. The first that is set is the only one that counts.
const DIRECT: [&str; 2] = ["no_grpc_proxy", "no_proxy"];

/// The port of a proxy whose URL names none.
const PORT: u16 = 443;

/// An HTTP proxy that connections are asked of with `CONNECT`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// The variable that names it.
    variable: &'static str,
    /// Its host and port.
    place: String,
    /// `USER:PASSWORD` as it is in the URL, if it has that.
    credentials: Option<String>,
}

impl Proxy {
    /// Reads the URL of a proxy; `None` if it is none.
    fn parse(variable: &'static str, url: &str) -> Option<Proxy> {
        let uri: Uri = url.parse().ok()?;
        if !uri.scheme_str()?.eq_ignore_ascii_case("http") {
            return None;
        }
        let authority: &Authority = uri.authority()?;
        let (credentials, _) = authority.as_str().rsplit_once('@').unzip();
        let (host, port) = (authority.host(), authority.port_u16().unwrap_or(PORT));
        let place = format!("{host}:{port}");
        (!host.is_empty()).then(|| Proxy { variable, place, credentials: credentials.map(str::to_owned) })
    }

    /// The variable that names it.
    pub fn variable(&self) -> &'static str {
        self.variable
    }

    /// Its host and port.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// What proves to it who asks: the value of `Proxy-Authorization` (RFC 7617).
    pub(crate) fn authorization(&self) -> Option<String> {
        let credentials = self.credentials.as_ref()?;
        let plain: Vec<u8> = percent_decode_str(credentials).collect();
        Some(format!("Basic {}", STANDARD.encode(plain)))
    }
}

/// Its URL, without the password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.credentials {
            Some(credentials) => {
                let user = credentials.split(':').next().unwrap_or_default();
                write!(f, "http://{user}@{}", self.place)
            }
            None => write!(f, "http://{}", self.place),
        }
    }
}

/// The same, so that no password is shown.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// How a server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Route {
    /// Directly.
    #[default]
    Direct,
    /// Through a proxy.
    Through(Proxy),
    /// Directly, because what this variable holds is no URL of an HTTP proxy.
    Unread(&'static str),
    /// Directly, because the variable that would name a proxy has this name in other letters.
    Overlooked(&'static str),
}

/// The proxy of an environment, and who is reached without it.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    route: Route,
    /// Ends of host names, and networks (`ADDRESS/BITS`).
    direct: Vec<String>,
}

impl Proxies {
    /// By the variables `grpc_proxy`, `https_proxy` and `http_proxy`, and `no_grpc_proxy` and `no_proxy`, all in small
    /// letters.
    pub fn of<'v>(variables: impl IntoIterator<Item = (&'v str, &'v str)>) -> Proxies {
        let (mut named, mut direct) = ([None; NAMES.len()], [None; DIRECT.len()]);
        let mut overlooked = None;
        for (name, value) in variables {
            if let Some(at) = NAMES.iter().position(|known| *known == name) {
                named[at] = Some((NAMES[at], value));
            } else if let Some(at) = DIRECT.iter().position(|known| *known == name) {
                direct[at] = Some(value);
            } else if let Some(other) = NAMES.iter().find(|known| known.eq_ignore_ascii_case(name)) {
                overlooked = Some(*other).filter(|_| !value.is_empty()).or(overlooked);
            }
        }
        let route = match named.into_iter().flatten().next() {
            None => overlooked.map_or(Route::Direct, Route::Overlooked),
            Some((_, "")) => Route::Direct,
            Some((name, url)) => Proxy::parse(name, url).map_or(Route::Unread(name), Route::Through),
        };
        let hosts = direct.into_iter().flatten().next().unwrap_or_default().split(',').map(str::trim);
        Proxies { route, direct: hosts.filter(|host| !host.is_empty()).map(str::to_owned).collect() }
    }

    /// How the server at a URL is reached. Sockets of this machine are never behind a proxy.
    pub fn route(&self, url: &str) -> Route {
        let is_local = url.starts_with("unix:");
        let uri: Option<Uri> = url.parse().ok().filter(|_| !is_local);
        match uri.as_ref().and_then(Uri::host) {
            Some(host) if !self.is_direct(host) => self.route.clone(),
            _ => Route::Direct,
        }
    }

    /// Whether a host is reached without the proxy. Names are compared from their end and letter by letter, so that
    /// `example.com` is also `anexample.com`; ports and stars mean nothing.
    fn is_direct(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        self.direct.iter().any(|known| {
            host.ends_with(&known.to_ascii_lowercase())
                || address.is_some_and(|address| is_within(address, known))
        })
    }
}

/// Whether an address is one of a network, written as `ADDRESS/BITS`.
fn is_within(address: IpAddr, network: &str) -> bool {
    let Some((base, bits)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let differ = match (address, base) {
        (IpAddr::V4(one), IpAddr::V4(two)) => (one.to_bits() ^ two.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(two)) => (one.to_bits() ^ two.to_bits()).leading_zeros(),
        _ => return false,
    };
    let all = if base.is_ipv4() { 32 } else { 128 };
    bits <= all && differ >= bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)], url: &str, expect: &str) {
        let shown = match Proxies::of(variables.iter().copied()).route(url) {
            Route::Direct => "direct".to_owned(),
            Route::Through(proxy) => format!("{proxy} ({})", proxy.variable()),
            Route::Unread(name) => format!("{name} is none"),
            Route::Overlooked(name) => format!("{name} is in other letters"),
        };
        assert_eq!(shown, expect, "{url} with {variables:?}");
    }

    #[test]
    fn the_first_variable_that_is_set_counts() {
        let (grpc, https, http) =
            (("grpc_proxy", "http://a:1"), ("https_proxy", "http://b:2"), ("http_proxy", "http://c:3"));
        for url in ["http://h:1", "https://h", "grpc://h:1", "grpcs://h:1"] {
            check(&[http], url, "http://c:3 (http_proxy)");
            check(&[http, https], url, "http://b:2 (https_proxy)");
            check(&[http, https, grpc], url, "http://a:1 (grpc_proxy)");
            check(&[http, ("grpc_proxy", "")], url, "direct");
            check(&[http, ("grpc_proxy", "https://a:1")], url, "grpc_proxy is none");
            check(&[("ALL_PROXY", "http://c:3"), ("all_proxy", "http://c:3")], url, "direct");
            check(&[("HTTP_PROXY", "http://c:3")], url, "http_proxy is in other letters");
            check(&[("HTTP_PROXY", "http://c:3"), ("no_proxy", "h")], url, "direct");
            check(&[("HTTP_PROXY", "http://c:3"), ("http_proxy", "")], url, "direct");
            check(&[("HTTP_PROXY", "")], url, "direct");
        }
        check(&[http], "unix:/run/h.sock", "direct");
        check(&[http], "h:1", "http://c:3 (http_proxy)");
    }

    #[test]
    fn urls_of_proxies() {
        for (url, expect) in [
            ("http://p:3128/", "http://p:3128 (http_proxy)"),
            ("HTTP://p:3128/path?query", "http://p:3128 (http_proxy)"),
            ("http://p", "http://p:443 (http_proxy)"),
            ("http://[::1]:3128", "http://[::1]:3128 (http_proxy)"),
            ("http://bob:hush@p:3128", "http://bob@p:3128 (http_proxy)"),
            ("https://p:3128", "http_proxy is none"),
            ("socks5://p:3128", "http_proxy is none"),
            ("p:3128", "http_proxy is none"),
            ("bob:hush@p:3128", "http_proxy is none"),
            (" http://p:3128", "http_proxy is none"),
            ("http://", "http_proxy is none"),
            ("http://:3128", "http_proxy is none"),
            ("x y", "http_proxy is none"),
        ] {
            check(&[("http_proxy", url)], "http://h:1", expect);
        }
    }

    #[test]
    fn who_asks_is_told_as_bst_tells_it() {
        for (user, expect) in [
            ("bob:se%40c@", Some("Basic Ym9iOnNlQGM=")),
            ("bob@", Some("Basic Ym9i")),
            ("bob:@", Some("Basic Ym9iOg==")),
            (":pw@", Some("Basic OnB3")),
            ("a:b:c@", Some("Basic YTpiOmM=")),
            ("bob%zz:pw@", Some("Basic Ym9iJXp6OnB3")),
            ("", None),
        ] {
            let proxy = Proxy::parse("http_proxy", &format!("http://{user}p:1")).unwrap();
            assert_eq!(proxy.authorization().as_deref(), expect, "{user}");
        }
    }

    #[test]
    fn not_for_every_host() {
        for (none, host, direct) in [
            ("localhost", "localhost", true),
            ("LOCALHOST", "localhost", true),
            ("localhost", "LOCALHOST", true),
            ("ocalhost", "localhost", true),
            (".localhost", "localhost", false),
            (".example.com", "cache.example.com", true),
            ("x ,localhost , y", "localhost", true),
            ("x,,y", "localhost", false),
            ("*", "localhost", false),
            ("*.example.com", "cache.example.com", false),
            ("localhost:1", "localhost", false),
            ("localhost.", "localhost", false),
            ("", "localhost", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "localhost", false),
            (".0.0.1", "127.0.0.1", true),
            ("127.", "127.0.0.1", false),
            ("10.0.0.0/8, 127.0.0.0/8", "127.0.0.1", true),
            ("127.0.0.2/8", "127.0.0.1", true),
            ("0.0.0.0/0", "127.0.0.1", true),
            ("127.0.0.0/33", "127.0.0.1", false),
            ("127.0.0.0/", "127.0.0.1", false),
            ("127.0.0.0/8x", "127.0.0.1", false),
            ("127.0.0.1:1", "127.0.0.1", false),
            ("::1", "[::1]", true),
            ("[::1]", "[::1]", false),
            ("::/0", "[::1]", true),
            ("::1/128", "[::1]", true),
            ("::2/127", "[::1]", false),
            ("127.0.0.0/8", "[::1]", false),
        ] {
            let expect = if direct { "direct" } else { "http://p:3 (http_proxy)" };
            let url = format!("http://{host}:1");
            check(&[("http_proxy", "http://p:3"), ("no_proxy", none)], &url, expect);
        }
        let proxy = ("http_proxy", "http://p:3");
        let both = |grpc| [proxy, ("no_proxy", "h"), ("no_grpc_proxy", grpc)];
        check(&both("h"), "http://h:1", "direct");
        check(&both("x"), "http://h:1", "http://p:3 (http_proxy)");
        check(&both(""), "http://h:1", "http://p:3 (http_proxy)");
        check(&[proxy, ("NO_PROXY", "h")], "http://h:1", "http://p:3 (http_proxy)");
    }

    #[test]
    fn debugging_tells_no_secret() {
        let proxies = Proxies::of([("http_proxy", "http://bob:hush@p:1")]);
        let shown = format!("{proxies:?} {:?}", proxies.route("http://h:1"));
        assert!(!shown.contains("hush") && shown.contains("http://bob@p:1"), "{shown}");
    }
}
