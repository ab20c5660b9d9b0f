//! Registries on loopback: one of container images (the distribution API, version 2, with tokens), and an index of
//! Python packages.

use crate::server::{Asked, Said, Server};
use bourn_reapi::Digest;
use std::collections::HashMap;
use std::io::Write;

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Images being put together.
#[derive(Default)]
pub(crate) struct Registry {
    /// Answers by path, with their media type.
    answers: HashMap<String, (String, Vec<u8>)>,
    /// The token that is wanted.
    token: Option<&'static str>,
}

/// What a layer has: a name and its content, or where a link leads.
pub(crate) enum Entry {
    File(&'static str, &'static str),
    Directory(&'static str),
    Symlink(&'static str, &'static str),
    Link(&'static str, &'static str),
    Device(&'static str),
}

/// An archive of these, compressed.
pub(crate) fn layer(entries: &[Entry]) -> Vec<u8> {
    let mut archive =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(if matches!(entry, Entry::File(name, _) if name.starts_with("bin/")) {
            0o750
        } else {
            0o604
        });
        let (kind, name, target, content) = match entry {
            Entry::File(name, content) => (tar::EntryType::Regular, name, "", *content),
            Entry::Directory(name) => (tar::EntryType::Directory, name, "", ""),
            Entry::Symlink(name, target) => (tar::EntryType::Symlink, name, *target, ""),
            Entry::Link(name, target) => (tar::EntryType::Link, name, *target, ""),
            Entry::Device(name) => (tar::EntryType::Char, name, "", ""),
        };
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        let bytes = header.as_old_mut();
        bytes.name[..name.len()].copy_from_slice(name.as_bytes());
        bytes.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        archive.append(&header, content.as_bytes()).expect("an archive");
    }
    archive
        .into_inner()
        .and_then(|mut packed| packed.flush().and_then(|()| packed.finish()))
        .expect("an archive")
}

impl Registry {
    /// One that wants this token.
    pub(crate) fn with_token(token: &'static str) -> Registry {
        Registry { token: Some(token), ..Registry::default() }
    }

    fn manifest(&mut self, image: &str, names: &[&str], media_type: &str, content: String) -> String {
        let digest = format!("sha256:{}", Digest::of(content.as_bytes()).hex());
        for name in names.iter().copied().chain([digest.as_str()]) {
            let answer = (media_type.to_owned(), content.clone().into_bytes());
            self.answers.insert(format!("/v2/{image}/manifests/{name}"), answer);
        }
        digest
    }

    /// Adds an image; the digest of its manifest.
    pub(crate) fn image(&mut self, image: &str, tags: &[&str], layers: &[Vec<u8>]) -> String {
        let layers = layers.iter().map(|layer| {
            let digest = format!("sha256:{}", Digest::of(layer).hex());
            let answer = ("application/octet-stream".to_owned(), layer.clone());
            self.answers.insert(format!("/v2/{image}/blobs/{digest}"), answer);
            let media_type = "application/vnd.docker.image.rootfs.diff.tar.gzip";
            format!(r#"{{"mediaType":"{media_type}","size":{},"digest":"{digest}"}}"#, layer.len())
        });
        let layers: Vec<String> = layers.collect();
        let content =
            format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","layers":[{}]}}"#, layers.join(","));
        self.manifest(image, tags, MANIFEST, content)
    }

    /// Adds a list of images for several architectures.
    pub(crate) fn index(&mut self, image: &str, tag: &str, architectures: &[(&str, String)]) {
        let one = |(architecture, digest): &(&str, String)| {
            format!(r#"{{"digest":"{digest}","platform":{{"architecture":"{architecture}","os":"linux"}}}}"#)
        };
        let listed: Vec<String> = architectures.iter().map(one).collect();
        let content =
            format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, listed.join(","));
        self.manifest(image, &[tag], INDEX, content);
    }

    /// Replaces what is answered at a path.
    pub(crate) fn replace(&mut self, path: &str, content: &[u8]) {
        let known = self.answers.get_mut(path).expect("something to replace");
        known.1 = content.to_vec();
    }

    /// Starts to serve.
    pub(crate) fn serve(self) -> Server {
        Server::start(move |_, asked| self.answer(asked))
    }

    /// What it answers.
    pub(crate) fn answer(&self, asked: &Asked) -> Said {
        let path = asked.path.replace("%3A", ":");
        if let Some(query) = path.strip_prefix("/token?") {
            assert!(query.contains("service=test") && query.contains("scope=repository"), "{query}");
            return Said::ok(format!(r#"{{"token":"{}"}}"#, self.token.unwrap_or_default()));
        }
        let wanted = self.token.map(|token| format!("Bearer {token}"));
        if wanted.is_some() && asked.header("Authorization") != wanted.as_deref() {
            let host = asked.header("Host").unwrap_or_default();
            let challenge =
                format!(r#"Bearer realm="http://{host}/token",service="test",scope="repository:x:pull""#);
            return Said::status(401).header("Www-Authenticate", challenge);
        }
        match self.answers.get(&path) {
            Some((media_type, content)) => {
                let digest = format!("sha256:{}", Digest::of(content).hex());
                let said = if path.contains("/blobs/") {
                    Said::range(asked, content)
                } else {
                    Said::ok(content.clone())
                };
                said.header("Content-Type", media_type).header("Docker-Content-Digest", digest)
            }
            None => Said::status(404),
        }
    }
}

/// A source distribution that needs nothing but itself to be looked into.
pub(crate) fn distribution(name: &str, built_with: &str, requires: &str) -> Vec<u8> {
    let backend = format!(
        "import os, shutil, zipfile
def prepare_metadata_for_build_wheel(directory, settings=None):
    made = os.path.join(directory, '{name}-1.0.dist-info')
    os.makedirs(made)
    shutil.copy('PKG-INFO', os.path.join(made, 'METADATA'))
    return '{name}-1.0.dist-info'
def build_wheel(directory, *args, **options):
    made = '{name}-1.0-py3-none-any.whl'
    with zipfile.ZipFile(os.path.join(directory, made), 'w') as wheel:
        wheel.writestr('{name}-1.0.dist-info/METADATA', open('PKG-INFO').read())
        wheel.writestr('{name}-1.0.dist-info/RECORD', '')
        wheel.writestr('{name}-1.0.dist-info/WHEEL',
                       'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    return made
"
    );
    let project = format!(
        "[build-system]\nrequires = [{built_with}]\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    );
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}");
    let packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(packed);
    for (file, content) in
        [("backend.py", &*backend), ("pyproject.toml", &*project), ("PKG-INFO", &*metadata)]
    {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let path = format!("{name}-1.0/{file}");
        archive.append_data(&mut header, path, content.as_bytes()).expect("an archive");
    }
    archive.into_inner().and_then(flate2::write::GzEncoder::finish).expect("an archive")
}

/// An index of Python packages with `one` and `two`, which the first requires.
pub(crate) fn index() -> Server {
    serve_packages(vec![
        ("one", distribution("one", "", "Requires-Dist: two\n")),
        ("two", distribution("two", "", "")),
    ])
}

/// The same where `one` is built with `tool`, and `other` is not needed.
pub(crate) fn index_with_tool() -> Server {
    serve_packages(vec![
        ("one", distribution("one", "'tool'", "Requires-Dist: two\n")),
        ("two", distribution("two", "", "")),
        ("tool", distribution("tool", "", "")),
        ("other", distribution("other", "", "")),
    ])
}

fn serve_packages(packages: Vec<(&'static str, Vec<u8>)>) -> Server {
    Server::start(move |_, asked| {
        for (name, content) in &packages {
            if asked.path == format!("/simple/{name}/") {
                let page = format!("<a href=\"/files/{name}-1.0.tar.gz\">{name}-1.0.tar.gz</a>");
                return Said::ok(page).header("Content-Type", "text/html");
            }
            if asked.path == format!("/files/{name}-1.0.tar.gz") {
                return Said::ok(content.clone());
            }
        }
        Said::status(404)
    })
}
