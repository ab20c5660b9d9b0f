//! Remotes named on the command line: an URL, or `key=value` pairs separated by commas.

use crate::settings::remote::{Auth, Connection, RemoteKind, RemoteSpec};
use std::path::PathBuf;

/// For `--artifact-remote` and `--source-remote` of commands that pull and push.
pub(crate) fn both(text: &str) -> Result<RemoteSpec, String> {
    parse(text, Purpose::Both)
}

/// For commands that only pull.
pub(crate) fn pull(text: &str) -> Result<RemoteSpec, String> {
    parse(text, Purpose::Pull)
}

/// For commands that only push.
pub(crate) fn push(text: &str) -> Result<RemoteSpec, String> {
    parse(text, Purpose::Push)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Both,
    Pull,
    Push,
}

fn parse(text: &str, purpose: Purpose) -> Result<RemoteSpec, String> {
    let mut spec = RemoteSpec {
        kind: RemoteKind::All,
        url: String::new(),
        push: purpose != Purpose::Pull,
        instance_name: None,
        auth: Auth::default(),
        connection: Connection::default(),
        origin: "command line".to_owned(),
    };
    if text.contains(',') {
        for pair in text.split(',') {
            read_pair(&mut spec, pair, text, purpose)?;
        }
    } else {
        spec.url = text.to_owned();
    }
    if spec.url.is_empty() {
        return Err("Failed to interpret remote: No URL specified in remote".to_owned());
    }
    Ok(spec)
}

fn read_pair(spec: &mut RemoteSpec, pair: &str, whole: &str, purpose: Purpose) -> Result<(), String> {
    let fail = |text: String| Err(format!("Failed to interpret remote: {text}"));
    let (key, value) = match pair.split_once('=') {
        Some((key, value)) if !value.contains('=') => (key, value),
        _ => return fail(format!("Invalid format '{pair}' found in remote specification: {whole}")),
    };
    match key {
        "url" => spec.url = value.to_owned(),
        "instance-name" => spec.instance_name = Some(value.to_owned()),
        "type" => match RemoteKind::from_name(value) {
            Some(kind) if kind != RemoteKind::Endpoint => spec.kind = kind,
            _ => return fail("Value for remote 'type' must be one of: index, storage, all".to_owned()),
        },
        "push" if purpose != Purpose::Both => {
            let fixed = if spec.push { "True" } else { "False" };
            return fail(format!("The 'push' key is invalid and assumed to be {fixed}"));
        }
        "push" => match value {
            "True" | "true" => spec.push = true,
            "False" | "false" => spec.push = false,
            _ => return fail("Value for 'push' must be 'True' or 'False'".to_owned()),
        },
        "server-cert" => spec.auth.server_cert = Some(PathBuf::from(value)),
        "client-key" => spec.auth.client_key = Some(PathBuf::from(value)),
        "client-cert" => spec.auth.client_cert = Some(PathBuf::from(value)),
        "access-token" => spec.auth.access_token = Some(PathBuf::from(value)),
        _ => return fail(format!("Unexpected key '{key}' encountered")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, purpose: Purpose, expect: Result<(&str, RemoteKind, bool), &str>) {
        match (parse(text, purpose), expect) {
            (Ok(spec), Ok((url, kind, push))) => {
                assert_eq!((spec.url.as_str(), spec.kind, spec.push), (url, kind, push), "{text}");
            }
            (Err(message), Err(part)) => assert!(message.contains(part), "{text}: {message}"),
            (got, expect) => panic!("{text}: {got:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn remotes_of_the_command_line() {
        check(
            "https://a.example:50052",
            Purpose::Both,
            Ok(("https://a.example:50052", RemoteKind::All, true)),
        );
        check("https://a.example", Purpose::Pull, Ok(("https://a.example", RemoteKind::All, false)));
        check("url=http://a,type=index", Purpose::Pull, Ok(("http://a", RemoteKind::Index, false)));
        check("url=http://a,push=false", Purpose::Both, Ok(("http://a", RemoteKind::All, false)));
        check("url=http://a,push=false", Purpose::Push, Err("assumed to be True"));
        check("url=http://a,pony=1", Purpose::Both, Err("Unexpected key 'pony'"));
        check("url=http://a,push", Purpose::Both, Err("Invalid format 'push'"));
        check("url=http://a,type=endpoint", Purpose::Both, Err("must be one of"));
        check("type=index,push=true", Purpose::Both, Err("No URL"));
    }
}
