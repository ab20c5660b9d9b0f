//! Credentials: which certificates, keys and tokens both programs take, which they refuse, and where they look for them.

use crate::Both;
use crate::remote::{Server, artifact_servers, assert_said};
use std::path::PathBuf;
use std::process::Command;

const PROJECT: &str = "
=== project.conf
name: proven
min-version: 2.0
=== base.bst
kind: import
sources:
- kind: local
  path: files
=== files/greeting
hello
";

/// Makes an authority and what it signed, in the directory where it runs.
const AUTHORITY: &str = r#"
set -e
# NAME KIND-OF-KEY: a key and what asks for a certificate
ask() { openssl req -newkey $2 -nodes -subj "/CN=${3:-localhost}" -keyout $1.key -out $1.csr; }
# NAME SIGNER EXTENSIONS
sign() { openssl x509 -req -in $1.csr -CA $2.crt -CAkey $2.key -CAcreateserial -days 2 -out $1.crt ${3:+-extfile $3}; }
curve='ec -pkeyopt ec_paramgen_curve:prime256v1'
echo 'basicConstraints=critical,CA:TRUE' > signs
echo 'basicConstraints=critical,CA:FALSE' > nameless
(cat nameless; echo 'subjectAltName=DNS:localhost') > leaf
(cat nameless; echo 'subjectAltName=DNS:elsewhere.example') > elsewhere
own() { openssl req -x509 -newkey $curve -nodes -days 2 -subj "/CN=$2" -keyout $1.key -out $1.crt $3 $4; }
own root root
own itself localhost -addext subjectAltName=DNS:localhost
ask middle "$curve" middle; sign middle root signs
for name in server middled other common address old; do ask $name "$curve"; done
ask rsa rsa:2048
sign server root leaf; sign rsa root leaf; sign other root elsewhere; sign common root nameless; sign old root
(cat nameless; echo 'subjectAltName=DNS:127.0.0.1') > number
sign address root number
sign middled middle leaf; cat middle.crt >> middled.crt
# Ended long ago; signed by itself, which may be trusted but for that.
ask ended "$curve"
touch index; echo 01 > serial
printf '[ca]\ndefault_ca=d\n[d]\ndir=.\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' > ca.cnf
(cat signs; echo 'subjectAltName=DNS:localhost') > both
openssl ca -batch -config ca.cnf -selfsign -keyfile ended.key -in ended.csr -out ended.crt -notext -extfile both \
  -startdate 20200101000000Z -enddate 20210101000000Z
# The same in other words.
openssl ec -in server.key -out server.sec1
openssl rsa -in rsa.key -traditional -out rsa.pkcs1
openssl pkcs8 -topk8 -in server.key -passout pass:secret -out server.locked
openssl x509 -in root.crt -outform der -out root.der
(cat itself.crt; openssl x509 -in root.crt -text -noout; sed 's/$/\r/' root.crt) > many.crt
(openssl x509 -in server.crt -text -noout; cat server.crt server.key) > server.all
"#;

/// The project, and a directory with what [`AUTHORITY`] makes. `None`, loudly, where that cannot be.
fn proven() -> Option<(Both, PathBuf)> {
    let both = Both::new(PROJECT)?;
    let at = both.bourn.path().join("authority");
    std::fs::create_dir_all(&at).expect("a directory");
    let made = Command::new("sh").args(["-c", AUTHORITY]).current_dir(&at).output().expect("sh");
    if !made.status.success() {
        let why = String::from_utf8_lossy(&made.stderr).into_owned();
        eprintln!("SKIPPED: openssl could not make certificates: {why}");
        return None;
    }
    Some((both, at))
}

/// A server with those certificates, and more options, and an URL for each.
fn server(both: &Both, at: &std::path::Path, names: &[&str], more: &[String]) -> (Server, Vec<String>) {
    let file = |name: &str, kind: &str| at.join(format!("{name}.{kind}")).to_string_lossy().into_owned();
    let pairs = names.iter().flat_map(|name| {
        ["--certificate".to_owned(), file(name, "crt"), "--key".to_owned(), file(name, "key")]
    });
    let options: Vec<String> = pairs.chain(more.iter().cloned()).collect();
    artifact_servers(both, &options.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Who is asked.
#[derive(Clone, Copy, PartialEq)]
enum Asked {
    /// Both: this is where they differ from other programs, or differed from each other.
    Both,
    /// bourn alone; bst, which takes its time, was asked once.
    Bourn,
}

/// A server as it is declared, and what is said of it: nothing where it is used.
type Case = (Asked, String, &'static str);

/// Declares one server after another in the user's configuration.
fn check(both: &Both, cases: &[Case]) {
    for some in cases.chunks(4) {
        std::thread::scope(|scope| {
            for (asked, declared, refusal) in some {
                scope.spawn(move || check_one(both, *asked, declared, refusal));
            }
        });
    }
}

#[track_caller]
fn check_one(both: &Both, asked: Asked, declared: &str, refusal: &str) {
    let place = both.elsewhere();
    // Nobody waits for a server that is not there any longer than bourn does for a busy machine.
    let configure = |connection: &str| {
        place.bourn.configure(&format!("artifacts: {{servers: [{{{declared}{connection}}}]}}\n"));
    };
    let is_used = refusal.is_empty();
    configure(if is_used { "" } else { ", connection-config: {retry-limit: 0}" });
    let pull = ["artifact", "pull", "base.bst"];
    let ours = place.bourn(&pull);
    let refused = |text: &str| text.contains("Failed to initialize remote");
    assert_eq!(!refused(&ours.stderr), is_used, "{declared}\n{}", ours.stderr);
    assert_said(&ours, &[refusal]);
    if asked == Asked::Both {
        configure(if is_used { "" } else { ", connection-config: {retry-limit: 0, request-timeout: 1}" });
        let theirs = place.bst(&pull);
        assert_eq!(!refused(&theirs.stderr), is_used, "bst: {declared}\n{}", theirs.stderr);
        assert_eq!(ours.status, theirs.status, "{declared}\n{}\n{}", ours.stderr, theirs.stderr);
    }
}

#[test]
fn certificates_of_servers() {
    let Some((both, at)) = proven() else { return };
    let names = ["server", "middled", "itself", "common", "other", "ended", "address", "old"];
    let (_server, urls) = server(&both, &at, &names, &[]);
    let case = |asked, name: &str, trusted: &str, refusal| -> Case {
        let url = &urls[names.iter().position(|known| *known == name).expect("a certificate")];
        (asked, format!("url: '{url}', auth: {{server-cert: '{}'}}", at.join(trusted).display()), refusal)
    };
    let (asked, declared, _) = case(Asked::Both, "address", "root.crt", "");
    let by_address = (asked, declared.replace("//localhost:", "//127.0.0.1:"), "");
    let plain = artifact_servers(&both, &[]);
    let unencrypted =
        format!("url: '{}', auth: {{server-cert: '{}'}}", plain.0.url, at.join("root.crt").display());
    check(
        &both,
        &[
            case(Asked::Bourn, "server", "root.crt", ""),
            case(Asked::Bourn, "server", "many.crt", ""),
            case(Asked::Bourn, "middled", "root.crt", ""),
            case(Asked::Bourn, "middled", "middle.crt", ""),
            // The certificate itself: of a server alone, and of one that may sign others.
            case(Asked::Both, "server", "server.crt", ""),
            case(Asked::Both, "itself", "itself.crt", ""),
            // For a name that is its subject's alone.
            case(Asked::Both, "common", "root.crt", ""),
            // An address like a name.
            by_address,
            case(Asked::Bourn, "address", "root.crt", "is for other names than that in the URL"),
            case(Asked::Bourn, "other", "root.crt", "is for other names than that in the URL"),
            case(Asked::Bourn, "other", "other.crt", "is for other names than that in the URL"),
            case(Asked::Both, "ended", "ended.crt", "certificate expired"),
            case(Asked::Bourn, "server", "itself.crt", "what the server's certificate is signed by"),
            case(Asked::Bourn, "itself", "root.crt", "name the server's certificate"),
            case(Asked::Bourn, "server", "root.der", "there is no certificate (PEM) in"),
            case(Asked::Bourn, "server", "server.key", "there is no certificate (PEM) in"),
            case(Asked::Bourn, "server", "nowhere", "cannot read the credentials in"),
            // bst takes these.
            case(Asked::Bourn, "old", "root.crt", "version 1 is too old"),
            (Asked::Both, unencrypted, "begin with https://"),
        ],
    );
}

/// bst has no such variable; beside it these were compared where the file was the system's.
#[test]
fn certificates_of_the_system() {
    let Some((both, at)) = proven() else { return };
    let names = ["server", "itself", "common"];
    let (_server, urls) = server(&both, &at, &names, &[]);
    let cases = [
        ("server", "root", ""),
        ("itself", "itself", ""),
        ("common", "root", ""),
        ("server", "server", "UnknownIssuer"),
        ("server", "nowhere", "no certificate of the system can be used"),
    ];
    for (name, trusted, refusal) in cases {
        let mut place = both.elsewhere();
        place.bourn.set("SSL_CERT_FILE", &at.join(format!("{trusted}.crt")).to_string_lossy());
        let url = names.iter().zip(&urls).find(|(known, _)| **known == name).expect("a server").1;
        place.bourn.configure(&format!(
            "artifacts: {{servers: [{{url: '{url}', connection-config: {{retry-limit: 0}}}}]}}\n"
        ));
        let pulled = place.bourn(&["artifact", "pull", "base.bst"]);
        let refused = pulled.stderr.contains("Failed to initialize remote");
        assert_eq!(refused, !refusal.is_empty(), "{name} {trusted}: {}", pulled.stderr);
        assert_said(&pulled, &[refusal]);
    }
}

#[test]
fn certificates_of_clients() {
    let Some((both, at)) = proven() else { return };
    let file = |name: &str| at.join(name).to_string_lossy().into_owned();
    let (server, _) = server(&both, &at, &["server"], &["--clients".to_owned(), file("root.crt")]);
    let trusted = format!("url: '{}', auth: {{server-cert: '{}'", server.url, file("root.crt"));
    let case = |asked, cert: &str, key: &str, refusal| -> Case {
        (asked, format!("{trusted}, client-cert: '{}', client-key: '{}'}}", file(cert), file(key)), refusal)
    };
    check(
        &both,
        &[
            case(Asked::Bourn, "server.crt", "server.key", ""),
            case(Asked::Bourn, "server.crt", "server.sec1", ""),
            case(Asked::Bourn, "rsa.crt", "rsa.key", ""),
            case(Asked::Both, "rsa.crt", "rsa.pkcs1", ""),
            case(Asked::Both, "server.all", "server.all", ""),
            case(Asked::Bourn, "middled.crt", "middled.key", ""),
            case(Asked::Bourn, "itself.crt", "itself.key", "Remote initialisation failed"),
            case(Asked::Both, "server.crt", "rsa.key", "rsa.key does not belong to the certificate in"),
            case(Asked::Bourn, "server.crt", "server.locked", "server.locked is encrypted"),
            case(Asked::Bourn, "server.crt", "nowhere", "cannot read the credentials in"),
            case(Asked::Bourn, "root.der", "server.key", "there is no certificate (PEM) in"),
            case(Asked::Bourn, "server.crt", "server.crt", "there is no private key (PEM) in"),
            case(Asked::Bourn, "old.crt", "old.key", "is of version 1 of X.509"),
            (Asked::Bourn, format!("{trusted}}}"), "Remote initialisation failed"),
        ],
    );
}

#[test]
fn tokens() {
    let Some((both, at)) = proven() else { return };
    let (server, _) = server(&both, &at, &["server"], &["--token".to_owned(), "open sesame".to_owned()]);
    let trusted = format!("url: '{}', auth: {{server-cert: '{}'", server.url, at.join("root.crt").display());
    let written = |name: &str, content: &[u8]| {
        let path = at.join(name);
        std::fs::write(&path, content).expect("a file");
        path.to_string_lossy().into_owned()
    };
    let plain = written("plain", b"open sesame");
    let case = |asked, path: &str, more: &str, refusal| -> Case {
        (asked, format!("{trusted}, access-token: '{path}'{more}}}"), refusal)
    };
    check(
        &both,
        &[
            case(Asked::Bourn, &plain, "", ""),
            case(Asked::Both, &written("wide", b"\t open sesame \r\n\n"), "", ""),
            case(Asked::Bourn, &plain, ", access-token-reload-interval: 0", ""),
            case(Asked::Both, &plain, ", access-token-reload-interval: -1", ""),
            case(Asked::Bourn, &plain, ", access-token-reload-interval: ' 1_000 '", ""),
            case(Asked::Bourn, &written("wrong", b"open wheat\n"), "", "UNAUTHENTICATED"),
            case(Asked::Both, &written("empty", b""), "", "UNAUTHENTICATED"),
            case(
                Asked::Both,
                &written("accented", "open s\u{e9}same\n".as_bytes()),
                "",
                "accented is not one line of ASCII",
            ),
            case(Asked::Bourn, &written("lines", b"open\nsesame\n"), "", "is not one line of ASCII"),
            case(Asked::Bourn, &at.to_string_lossy(), "", "cannot read the access token"),
            case(Asked::Bourn, &at.join("nowhere").to_string_lossy(), "", "cannot read the access token"),
        ],
    );
}

/// `~` is a home everywhere, variables are nothing, and paths of a project are its own.
#[test]
fn where_credentials_are() {
    let Some((both, at)) = proven() else { return };
    let (server, _) = server(&both, &at, &["server"], &["--token".to_owned(), "open sesame".to_owned()]);
    both.bourn.files(
        "
=== below.bst
kind: junction
sources:
- kind: local
  path: below
=== below/project.conf
name: below
min-version: 2.0
=== below/base.bst
kind: import
sources:
- kind: local
  path: files
=== below/files/greeting
hello
",
    );
    let project = both.bourn.project();
    let certificate = std::fs::read(at.join("root.crt")).expect("a certificate");
    let give = |directory: PathBuf| {
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(directory.join("root.crt"), &certificate).expect("a file");
        std::fs::write(directory.join("token"), "open sesame\n").expect("a file");
    };
    give(project.join("mine"));
    give(project.join("below/theirs"));
    let declare = |directory: PathBuf, name: &str, within: &str| {
        let text = format!(
            "name: {name}\nmin-version: 2.0\nartifacts:\n- url: '{}'\n  \
             auth: {{server-cert: {within}/root.crt, access-token: {within}/token}}\n",
            server.url
        );
        std::fs::write(directory.join("project.conf"), text).expect("a file");
    };
    let pull = |words: &[&str], is_used: bool| {
        let place = both.elsewhere();
        give(place.bourn.home());
        for (who, ran) in [("bourn", place.bourn(words)), ("bst", place.bst(words))] {
            let refused = ran.stderr.contains("Failed to initialize remote");
            assert_eq!(!refused, is_used, "{who} {words:?}\n{}", ran.stderr);
        }
    };
    let named = |within: &str| {
        format!("url={},server-cert={within}/root.crt,access-token={within}/token", server.url)
    };
    let remote = |within: &str, is_used| {
        pull(&["artifact", "pull", "--artifact-remote", &named(within), "base.bst"], is_used);
    };
    remote("~", true);
    remote("mine", true);
    remote("$HOME", false);
    declare(project.join("below"), "below", "theirs");
    pull(&["artifact", "pull", "below.bst:base.bst"], true);
    declare(project.clone(), "proven", "mine");
    pull(&["artifact", "pull", "base.bst", "below.bst:base.bst"], true);
}
