//! Images of a registry.

use crate::fixture::Fixture;
use crate::registry::{Entry, Registry, layer};
use crate::server::Server;
use bourn_reapi::services::ExportOptions;
use bourn_reapi::{Cas, Digest};
use bourn_testkit::memory::MemoryStore;

/// Fetches and stages an image of a server; the store and the tree, or what went wrong.
fn staged(server: &Server, digest: &str) -> Result<(std::sync::Arc<MemoryStore>, Digest), String> {
    let fixture = Fixture::new(&format!("aliases:\n  up: {}\n", server.url("")));
    let reference = digest.trim_start_matches("sha256:");
    let source =
        fixture.source(&format!("kind: docker\nregistry-url: 'up:'\nimage: a/b\nref: {reference}\n"));
    let source = source.expect("a source");
    let store = MemoryStore::new();
    let tree = fixture.with_context(&*store, None, |context| {
        assert!(!source.is_fetched(context.source_directory).expect("known"));
        source.fetch(context)?;
        assert!(source.is_fetched(context.source_directory).expect("known"));
        source.stage(context)
    });
    tree.map(|tree| (store, tree)).map_err(|error| error.to_string())
}

fn paths(store: &MemoryStore, tree: &Digest) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out");
    store.export_tree(tree, &out, &ExportOptions::default()).expect("exported");
    let mut found = Vec::new();
    let mut todo = vec![out.clone()];
    while let Some(at) = todo.pop() {
        for entry in at.read_dir().expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                todo.push(path.clone());
            }
            found.push(path.strip_prefix(&out).expect("below").display().to_string());
        }
    }
    found.sort();
    found
}

fn two_layers() -> [Vec<u8>; 2] {
    [
        layer(&[
            Entry::Directory("etc/"),
            Entry::File("etc/old", "1"),
            Entry::File("etc/kept", "2"),
            Entry::File("var/log/a", "3"),
            Entry::Device("console"),
            Entry::File("dev/x", "4"),
        ]),
        layer(&[
            Entry::File("etc/.wh.old", ""),
            Entry::File("var/log/.wh..wh..opq", ""),
            Entry::File("var/log/b", "5"),
            Entry::Symlink("run", "/var/run"),
        ]),
    ]
}

#[test]
fn layers_are_put_together() {
    let mut registry = Registry::with_token("secret");
    let digest = registry.image("a/b", &["1"], &two_layers());
    let server = registry.serve();
    let (store, tree) = staged(&server, &digest).expect("staged");
    assert_eq!(paths(&store, &tree), ["etc", "etc/kept", "run", "var", "var/log", "var/log/b"]);
    let without_token = server.asked().iter().filter(|asked| asked.header("Authorization").is_none()).count();
    assert_eq!(without_token, 2, "the first question, and the one for a token");
}

#[test]
fn a_tag_is_tracked_for_a_platform() {
    let mut registry = Registry::with_token("secret");
    let [one, two] = two_layers();
    let images =
        [("amd64", registry.image("a/b", &[], &[one])), ("arm64", registry.image("a/b", &[], &[two]))];
    registry.index("a/b", "latest", &images);
    let server = registry.serve();
    let fixture = Fixture::new(&format!("aliases:\n  up: {}\n", server.url("")));
    let store = MemoryStore::new();
    for (architecture, expect) in
        [("amd64", Some(&images[0].1)), ("arm64", Some(&images[1].1)), ("vax", None)]
    {
        let text =
            format!("kind: docker\nurl: up:a/b\ntrack: latest\narchitecture: {architecture}\nos: linux\n");
        let source = fixture.source(&text).expect("a source");
        match (fixture.with_context(&*store, None, |context| source.track(context)), expect) {
            (Ok(Some(found)), Some(expect)) => {
                assert_eq!(found.get_str("ref").expect("a ref"), expect.trim_start_matches("sha256:"));
            }
            (Err(error), None) => assert!(error.message.contains("No images found"), "{error}"),
            (found, _) => panic!("{architecture}: {found:?}"),
        }
    }
}

/// What fetching and staging say after something was changed.
fn refused(change: impl FnOnce(&mut Registry, &str), layers: &[Vec<u8>], expect: &str) {
    let mut registry = Registry::default();
    let digest = registry.image("a/b", &["1"], layers);
    change(&mut registry, &digest);
    let error = staged(&registry.serve(), &digest).map(drop).expect_err(expect);
    assert!(error.contains(expect), "{error}");
}

#[test]
fn broken_images_are_refused() {
    let layers = two_layers();
    let blob = format!("/v2/a/b/blobs/sha256:{}", Digest::of(&layers[0]).hex());
    refused(|registry, _| registry.replace(&blob, b"other"), &layers, "has sha256sum");
    refused(
        |registry, digest| registry.replace(&format!("/v2/a/b/manifests/{digest}"), b"{}"),
        &layers,
        "whose content is",
    );
    refused(|_, _| {}, &[b"no archive".repeat(100)], "no tar archive");
    refused(|_, _| {}, &[layers[0][..layers[0].len() / 2].to_vec()], "Error staging source");
    for attack in [
        vec![Entry::File("../out", "x")],
        vec![Entry::Symlink("a", "/etc"), Entry::File("a/x", "x")],
        vec![Entry::Link("a", "../../etc/passwd")],
    ] {
        refused(|_, _| {}, &[layer(&attack)], "Error staging source");
    }
}

#[test]
fn an_image_that_is_not_there_is_told() {
    let server = Registry::default().serve();
    let error = staged(&server, &"0".repeat(64)).map(drop).expect_err("an error");
    assert!(error.contains("404"), "{error}");
}
