//! Taking URLs apart as bst does.

/// Schemes that bst never takes for an alias.
const SCHEMES: [&str; 7] = ["http", "https", "ftp", "file", "git", "sftp", "ssh"];

/// The alias before the first colon; `None` when there is no colon or a known scheme stands there.
pub(crate) fn alias(url: &str) -> Option<&str> {
    let (alias, _) = url.split_once(':')?;
    let scheme = SCHEMES.iter().any(|scheme| alias.eq_ignore_ascii_case(scheme));
    (!scheme && !alias.is_empty()).then_some(alias)
}

/// The name of the directory that holds what was downloaded from `url`: every character but ASCII letters and
/// digits, `%` and `_` becomes an underscore.
pub(crate) fn directory_name(url: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || c == '%' || c == '_' { c } else { '_' };
    url.chars().map(keep).collect()
}

/// What follows the last slash.
pub(crate) fn basename(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Joins as POSIX paths are joined: an absolute `path` wins, one slash stands between.
pub(crate) fn join(base: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let slash = if base.is_empty() || base.ends_with('/') { "" } else { "/" };
    format!("{base}{slash}{path}")
}

/// Percent-encodes everything but ASCII letters, digits and `_.-~`.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) {
            quoted.push(char::from(byte));
        } else {
            quoted.push_str(&format!("%{byte:02X}"));
        }
    }
    quoted
}

/// Takes percent-encoding away; what is not UTF-8 then is replaced.
pub(crate) fn unquote(text: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high << 4 | low) as u8);
                at += 3;
            }
            (byte, ..) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Scheme, authority and path of a URL. Parts that are not there are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) fragment: &'a str,
}

/// Splits a URL.
pub(crate) fn split(url: &str) -> Parts<'_> {
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_scheme = |text: &&str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let (scheme, rest) = match rest.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) {
        Some((scheme, rest)) => (scheme, rest),
        None => ("", rest),
    };
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    Parts { scheme, authority, path, query, fragment }
}

/// What follows the authority, without the fragment.
pub(crate) fn tail(url: &str) -> &str {
    let url = url.split('#').next().unwrap_or(url);
    let rest = url.split_once(':').map_or(url, |(_, rest)| rest);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    &rest[split(url).authority.len()..]
}

/// Whether the authority of a `file:` URL names the machine that this runs on.
pub(crate) fn is_this_machine(authority: &str) -> bool {
    use std::net::ToSocketAddrs;
    let found =
        || (authority, 0).to_socket_addrs().is_ok_and(|mut all| all.all(|one| one.ip().is_loopback()));
    authority.is_empty() || authority.eq_ignore_ascii_case("localhost") || found()
}

/// A URL that may be relative to the one that was asked (RFC 3986, 5.2).
pub(crate) fn resolve(url: &str, asked: &str) -> String {
    let (parts, base) = (split(url), split(asked));
    if !parts.scheme.is_empty() {
        return url.to_owned();
    }
    if url.starts_with("//") {
        return format!("{}:{url}", base.scheme);
    }
    let root = format!("{}://{}", base.scheme, base.authority);
    let plain = asked.split(['#', '?']).next().unwrap_or(asked);
    match url.chars().next() {
        None => asked.split('#').next().unwrap_or(asked).to_owned(),
        Some('#') => format!("{}{url}", asked.split('#').next().unwrap_or(asked)),
        Some('?') => format!("{plain}{url}"),
        Some(_) => {
            let path = match parts.path.starts_with('/') {
                true => parts.path.to_owned(),
                false => {
                    format!("{}/{}", base.path.rsplit_once('/').map_or("", |(above, _)| above), parts.path)
                }
            };
            format!("{root}{}{}", without_dots(&path), &url[parts.path.len()..])
        }
    }
}

/// An absolute path without `.` and `..`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    let slash = if path.ends_with("/.") || path.ends_with("/..") { "/" } else { "" };
    let slash = if kept.is_empty() && !slash.is_empty() { "" } else { slash };
    format!("/{}{slash}", kept.join("/"))
}

/// The host of a URL, without user and port, in lower case.
pub(crate) fn host(url: &str) -> Option<String> {
    let authority = split(url).authority;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?.0,
        None => host.split(':').next()?,
    };
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases() {
        for (url, expect) in [
            ("upstream:foo.tar", Some("upstream")),
            ("https://example.com/x", None),
            ("HTTP://example.com/x", None),
            ("foo.tar", None),
            (":foo", None),
            ("cvs:host:path", Some("cvs")),
        ] {
            assert_eq!(alias(url), expect, "{url}");
        }
    }

    #[test]
    fn directory_names() {
        assert_eq!(directory_name("https://a-b.c/d%20_e"), "https___a_b_c_d%20_e");
        assert_eq!(directory_name("é"), "_");
    }

    #[test]
    fn joins() {
        assert_eq!(join("a", "b"), "a/b");
        assert_eq!(join("a/", "b"), "a/b");
        assert_eq!(join("", "b"), "b");
        assert_eq!(join("a", "/b"), "/b");
    }

    #[test]
    fn quoting() {
        assert_eq!(quote("a b/c~é"), "a%20b%2Fc~%C3%A9");
        assert_eq!(unquote("a%20b%2Fc%zz%"), "a b/c%zz%");
    }

    #[test]
    fn splits() {
        let parts = split("https://user:pw@host:1/p/q?x=1#f");
        assert_eq!(
            parts,
            Parts { scheme: "https", authority: "user:pw@host:1", path: "/p/q", query: "x=1", fragment: "f" }
        );
        assert_eq!(split("/a/b").path, "/a/b");
        assert_eq!(host("https://u:p@Example.com:8080/x").as_deref(), Some("example.com"));
        assert_eq!(host("http://[::1]:80/").as_deref(), Some("::1"));
        assert_eq!(host("file:///x"), None);
        assert_eq!(tail("https://u@h:1/p?q=1?2#f"), "/p?q=1?2");
        assert_eq!(tail("http://h?q"), "?q");
        assert_eq!(tail("file:/a?b"), "/a?b");
        assert_eq!(tail("file:///a%3Fb#c"), "/a%3Fb");
    }

    /// The examples of RFC 3986, 5.4, but those that say nothing of what servers answer.
    #[test]
    fn resolves() {
        for (url, expect) in [
            ("g:h", "g:h"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q#s"),
            ("g?y#s", "http://a/b/c/g?y#s"),
            (";x", "http://a/b/c/;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/../h", "http://a/b/c/h"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("g?u=http://x/y", "http://a/b/c/g?u=http://x/y"),
        ] {
            assert_eq!(resolve(url, "http://a/b/c/d;p?q"), expect, "{url}");
        }
        assert_eq!(resolve("g", "http://a"), "http://a/g");
    }

    #[test]
    fn machines() {
        for (authority, expect) in
            [("", true), ("LOCALHOST", true), ("127.0.0.1", true), ("192.0.2.1", false)]
        {
            assert_eq!(is_this_machine(authority), expect, "{authority}");
        }
    }
}
