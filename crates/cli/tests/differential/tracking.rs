//! Tracking kinds that ask an index: the same refs are found by both.
//!
//! Where the reference has the address of an index in its code, a project's own plugin that derives from the
//! reference's gives it another one.

use crate::Both;
use crate::server::{Said, Server};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

const OWN_PYPI: &str = "from buildstream_plugins_community.sources.pypi import PyPISource


class Own(PyPISource):
    REST_API = 'URLsimple/{name}/'
    STORAGE_ROOT = 'URLpackages/'


def setup():
    return Own
";

/// A server of files, by path.
pub(crate) struct Place {
    server: Server,
    files: Arc<Mutex<HashMap<String, Said>>>,
}

impl Place {
    pub(crate) fn start() -> Place {
        let files = Arc::<Mutex<HashMap<String, Said>>>::default();
        let served = files.clone();
        let server = Server::start(move |_, asked| {
            let found = served.lock().expect("no panic").get(&asked.path).cloned();
            found.unwrap_or_else(|| Said::status(404))
        });
        Place { server, files }
    }

    /// Serves a file from now on.
    pub(crate) fn add(&self, path: &str, kind: &str, content: impl Into<Vec<u8>>) {
        let said = Said::ok(content).header("Content-Type", kind);
        self.files.lock().expect("no panic").insert(format!("/{path}"), said);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.server.url(path)
    }
}

/// What a file says, whatever its layout.
pub(crate) fn meaning(text: &str) -> String {
    fn plain(node: &bourn_yaml::Node) -> String {
        use bourn_yaml::Value;
        match &node.value {
            Value::Null => "null".to_owned(),
            Value::Scalar(text) => format!("{:?}", text.as_str()),
            Value::Sequence(items) => format!("{:?}", items.iter().map(plain).collect::<Vec<_>>()),
            Value::Mapping(entries) => {
                let entries = entries.iter().map(|(name, node)| (name.to_string(), plain(node)));
                format!("{:?}", entries.collect::<std::collections::BTreeMap<_, _>>())
            }
        }
    }
    let files = bourn_yaml::Files::default();
    let id = files.add(std::path::Path::new("element.bst"), "element.bst", None, Arc::from(text));
    plain(&bourn_yaml::parse(&files, id).unwrap_or_else(|error| panic!("{text}\n{error}")))
}

pub(crate) fn compressed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory");
    encoder.finish().expect("memory")
}

/// Has both track an element of one source, the reference with `plugins` of its own; what they write.
#[track_caller]
fn check(server: &Place, source: &str, own: Option<&str>, index: &str) -> Option<String> {
    let element = format!("kind: import\n\nsources:\n{source}");
    let element = element.replace("URL", &server.url(""));
    let mut both = Both::new(&format!("=== element.bst\n{element}"))?;
    both.bourn.set("PIP_INDEX_URL", &server.url(index));
    let community = "- origin: pip\n  package-name: buildstream-plugins-community\n  sources: [KINDS]\n";
    let plugins = "- origin: pip\n  package-name: buildstream-plugins\n  sources: [cargo]\n";
    let conf = |plugins: &str| {
        let aliases = server.url("");
        format!("name: tracked\nmin-version: 2.0\naliases:\n  up: {aliases}\nplugins:\n{plugins}")
    };
    let write = |name: &str, text: &str| {
        let path = both.bourn.project().join(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    };
    let tracked = |ran: bourn_testkit::Ran| {
        ran.success();
        std::fs::read_to_string(both.bourn.project().join("element.bst")).expect("an element")
    };
    let kinds = community.replace("KINDS", "pypi, cpan, anitya");
    write("project.conf", &conf(&format!("{plugins}{kinds}")));
    let ours = tracked(both.bourn(&["source", "track", "element.bst"]));
    write("element.bst", &element);
    if let Some(own) = own {
        write("plugins/pypi.py", &own.replace("URL", &server.url("")));
        write("project.conf", &conf("- origin: local\n  path: plugins\n  sources: [pypi]\n"));
    }
    let theirs = tracked(both.bst(&["source", "track", "element.bst"]));
    assert_eq!(meaning(&ours), meaning(&theirs), "bourn\n{ours}\nbst\n{theirs}");
    assert_ne!(ours, element, "nothing was tracked");
    Some(ours)
}

#[test]
fn pypi() {
    let server = Place::start();
    let names = ["foo-1.9.tar.gz", "foo-1.10.tar.gz", "foo-2.0rc1.tar.gz", "foo-1.11-py3-none-any.whl"];
    let file = |name: &&str| {
        let url = server.url(&format!("packages/aa/{name}"));
        format!(r#"{{"filename":"{name}","url":"{url}","hashes":{{"sha256":"{name}"}},"yanked":false}}"#)
    };
    let yanked = server.url("packages/aa/foo-9.tar.gz");
    let yanked =
        format!(r#"{{"filename":"foo-9.tar.gz","url":"{yanked}","hashes":{{"sha256":"9"}},"yanked":"why"}}"#);
    let files: Vec<String> = names.iter().map(file).chain([yanked]).collect();
    let answer = format!(r#"{{"name":"foo","files":[{}]}}"#, files.join(","));
    server.add("simple/foo/", "application/vnd.pypi.simple.v1+json", answer);
    let source = "- kind: pypi\n  url: up:packages/\n  name: foo # the package\n";
    for (more, expect) in [
        ("", "aa/foo-1.10.tar.gz"),
        ("  prereleases: true\n", "aa/foo-2.0rc1.tar.gz"),
        ("  exclude: ['1.1*']\n", "aa/foo-1.9.tar.gz"),
    ] {
        let Some(found) = check(&server, &format!("{source}{more}"), Some(OWN_PYPI), "simple/") else {
            return;
        };
        assert!(found.contains(&format!("suffix: {expect}")), "{found}");
        assert!(found.contains("name: foo # the package"), "{found}");
    }
}

#[test]
fn cpan() {
    let server = Place::start();
    let index = "File: 02packages.details.txt\nColumns: package name, version, path\n\n\
                 Foo::Bar 1.0 F/FO/FOO/Foo-Bar-1.0.tar.gz\nFoo 2.1 F/FO/FOO/Foo-2.1.tar.gz\n";
    server.add("modules/02packages.details.txt.gz", "application/gzip", compressed(index));
    server.add("authors/id/F/FO/FOO/Foo-2.1.tar.gz", "application/gzip", "the archive");
    let Some(found) = check(&server, "- kind: cpan\n  index: 'up:'\n  name: Foo\n", None, "") else { return };
    assert!(found.contains("authors/id/F/FO/FOO/Foo-2.1.tar.gz"), "{found}");
}

#[test]
fn anitya() {
    let server = Place::start();
    let answer = r#"{"latest_version":"3.0rc1","stable_versions":["2.4.1","2.4.0"],"versions":["3.0rc1"]}"#;
    server.add("api/versions/?project_id=17", "application/json", answer);
    server.add("x/2.4/x-2.4.1.tar.gz", "application/gzip", "the archive");
    let source = "- kind: anitya\n  api-url: URLapi/\n  project-id: 17\n  url: up:x/{major}.{minor}/x-{version}.tar.gz\n";
    let Some(found) = check(&server, source, None, "") else { return };
    assert!(found.contains("version: 2.4.1"), "{found}");
}

#[test]
fn cargo() {
    let server = Place::start();
    server.add("crates/b/b-2.0.0.crate", "application/gzip", "a crate without a sum");
    let lock = "version = 3\n\n[[package]]\nname = \"b\"\nversion = \"2.0.0\"\nsource = \"git+https://host/b#1\"\n\n\
                [[package]]\nname = \"a\"\nversion = \"0.1.0\"\nsource = \"registry+https://host/index\"\n\
                checksum = \"12ab\"\n\n[[package]]\nname = \"own\"\nversion = \"1.0.0\"\n";
    server.add("lock", "text/plain", lock);
    let sum = bourn_reapi::Digest::of(lock.as_bytes()).hex();
    let source = format!(
        "- kind: remote\n  url: up:lock\n  filename: Cargo.lock\n  ref: {sum}\n\
         - kind: cargo\n  url: up:crates\n  ref:\n  - name: a\n    version: 0.0.9\n    sha: old\n"
    );
    let Some(found) = check(&server, &source, None, "") else { return };
    assert!(found.contains("12ab") && found.contains("version: 2.0.0"), "{found}");
}
