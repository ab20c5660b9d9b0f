//! Proxies by scheme, as the variables of an environment name them, in the dialect that Python's `urllib` understands.

use crate::url;
use std::collections::HashMap;
use std::fmt;

/// Which URLs are asked through which proxy.
#[derive(Clone, Default)]
pub struct Proxies {
    /// Proxies by scheme in lower case: a URL, or a host with a port.
    schemes: HashMap<String, String>,
    /// Hosts, with or without a port, that are asked themselves; those below them are, too.
    direct: Vec<String>,
}

/// Shows which schemes have one. A proxy may have a password.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.schemes.keys()).finish()
    }
}

impl Proxies {
    /// By `SCHEME_proxy` and `no_proxy` among the variables. A name in small letters counts before the same in others,
    /// and says that there is no proxy if its value is empty. What a web server calls its scripts with must not name one
    /// (CVE-2016-1000110): where `REQUEST_METHOD` is set, `HTTP_PROXY` is a header of a request.
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Proxies {
        let (mut other, mut small) = (HashMap::new(), HashMap::new());
        let mut is_script = false;
        for (name, value) in variables {
            is_script |= name == "REQUEST_METHOD";
            let lower = name.to_ascii_lowercase();
            let Some(scheme) = lower.strip_suffix("_proxy") else { continue };
            let into = if name.ends_with("_proxy") { &mut small } else { &mut other };
            into.insert(scheme.to_owned(), value.to_owned());
        }
        if is_script {
            other.remove("http");
        }
        other.extend(small);
        other.retain(|_, value: &mut String| !value.is_empty());
        let direct = other.remove("no").unwrap_or_default();
        let direct =
            direct.split(',').map(|host| host.trim().to_ascii_lowercase()).filter(|host| !host.is_empty());
        Proxies { direct: direct.collect(), schemes: other }
    }

    /// The proxy for a URL.
    pub(crate) fn of_url(&self, url: &str) -> Option<&str> {
        let parts = url::split(url);
        let proxy = self.schemes.get(&parts.scheme.to_ascii_lowercase())?;
        (!self.is_direct(parts.authority)).then_some(proxy)
    }

    fn is_direct(&self, authority: &str) -> bool {
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let host = authority
            .rsplit_once(':')
            .filter(|(_, port)| is_port(port))
            .map_or(&*authority, |(host, _)| host);
        let is_below = |name: &str, above: &str| {
            name.strip_suffix(above).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        // A star stands for every host, and only where nothing else is named.
        self.direct == ["*"]
            || self
                .direct
                .iter()
                .map(|known| known.trim_start_matches('.'))
                .any(|known| is_below(host, known) || is_below(&authority, known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)], url: &str, expect: Option<&str>) {
        assert_eq!(Proxies::of(variables.iter().copied()).of_url(url), expect, "{url} with {variables:?}");
    }

    #[test]
    fn by_scheme() {
        let one = ("http_proxy", "http://p:1");
        check(&[one], "http://h/", Some("http://p:1"));
        check(&[one], "HTTP://h/", Some("http://p:1"));
        check(&[one], "https://h/", None);
        check(&[("HTTPS_PROXY", "p:1")], "https://h/", Some("p:1"));
        check(&[("all_proxy", "http://p:1")], "http://h/", None);
        check(&[("HTTP_PROXY", "http://q:1"), one], "http://h/", Some("http://p:1"));
        check(&[("HTTP_PROXY", "http://q:1"), ("http_proxy", "")], "http://h/", None);
        check(&[("HTTP_PROXY", "http://q:1"), ("REQUEST_METHOD", "GET")], "http://h/", None);
        check(&[one, ("REQUEST_METHOD", "GET")], "http://h/", Some("http://p:1"));
    }

    #[test]
    fn not_for_every_host() {
        for (none, url, direct) in [
            ("h", "http://h/x", true),
            ("h", "http://u:p@h:80/x", true),
            ("h:80", "http://h:80/x", true),
            ("h:80", "http://h/x", false),
            ("example.com", "http://a.Example.com/", true),
            (".example.com", "http://example.com/", true),
            ("example.com", "http://anexample.com/", false),
            ("a, h ,b", "http://h/", true),
            ("*", "http://h/", true),
            ("a,*", "http://h/", false),
            ("127.0.0.0/8", "http://127.0.0.1/", false),
            ("[::1]", "http://[::1]:80/", true),
            ("", "http://h/", false),
        ] {
            check(&[("http_proxy", "p:1"), ("no_proxy", none)], url, (!direct).then_some("p:1"));
        }
    }

    #[test]
    fn debugging_tells_no_secret() {
        let proxies = Proxies::of([("http_proxy", "http://u:hush@p")]);
        assert_eq!(format!("{proxies:?}"), "[\"http\"]");
    }
}
