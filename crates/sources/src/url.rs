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

/// A URL that may be relative to the one that was asked.
pub(crate) fn resolve(url: &str, asked: &str) -> String {
    if url.contains("://") {
        return url.to_owned();
    }
    let (scheme, rest) = asked.split_once("://").unwrap_or(("https", asked));
    let host = rest.split('/').next().unwrap_or(rest);
    if url.starts_with('/') {
        return format!("{scheme}://{host}{url}");
    }
    let mut parts: Vec<&str> = rest.split('/').skip(1).collect();
    parts.pop();
    for part in url.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("{scheme}://{host}/{}", parts.join("/"))
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
    }
}
