//! Where plugins come from, as far as the table of projects (`cases/plugins.txt`) cannot say it: what is fetched for
//! them and what is said about them.

use crate::Both;
use crate::sources::serve;
use flate2::Compression;
use flate2::write::GzEncoder;

const KEYS: &[&str] = &["show", "--deps", "all", "--format", "%{name} %{full-key}"];

const PLUGIN: &str = "from buildstream import Element


class Own(Element):
    BST_MIN_VERSION = '2.0'

    def configure(self, node):
        self.words = node.get_str_list('words')

    def preflight(self):
        pass

    def get_unique_key(self):
        return self.words


def setup():
    return Own
";

/// A project with one plugin, as an archive.
fn plugins() -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, text) in [
        (
            "project.conf",
            "name: plugins\nmin-version: 2.0\nplugins:\n- origin: local\n  path: kinds\n  elements: [own]\n",
        ),
        ("kinds/own.py", PLUGIN),
        ("kinds/own.yaml", "config:\n  words: [from, afar]\n"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("plugins-1/{name}"), text.as_bytes()).expect("memory");
    }
    archive.into_inner().and_then(GzEncoder::finish).expect("memory")
}

#[test]
fn a_junction_is_fetched_for_its_plugins() {
    let archive = plugins();
    let server = serve(&[("plugins.tar.gz", &archive)]);
    let sum = bourn_reapi::Digest::of(&archive).hex();
    let project = format!(
        "=== project.conf
name: distant
min-version: 2.0
aliases:
  up: {}
plugins:
- origin: junction
  junction: plugins.bst
  elements: [own]
=== a.bst
kind: own
config:
  words: {{(>): [added]}}
=== plugins.bst
kind: junction
sources:
- kind: tar
  url: up:plugins.tar.gz
  ref: {sum}
",
        server.url("")
    );
    let (Some(ours), Some(theirs)) = (Both::new(&project), Both::new(&project)) else { return };
    let words = [KEYS, &["a.bst"]].concat();
    let key = ours.bourn(&words).success().stdout;
    assert_eq!(key, theirs.bst(&words).success().stdout, "bourn (left) and bst (right)");
    let asked = server.asked().len();
    drop(server);
    // Both have it now.
    assert_eq!(ours.bourn(&words).success().stdout, key);
    assert_eq!(theirs.bst(&words).success().stdout, key);
    assert!(asked >= 2, "{asked}");
}

#[test]
fn a_deprecated_plugin_is_warned_of() {
    let plugin = PLUGIN.replace(
        "    BST_MIN_VERSION",
        "    BST_PLUGIN_DEPRECATED = True\n    BST_PLUGIN_DEPRECATION_MESSAGE = 'take the other one'\n    BST_MIN_VERSION",
    );
    for (listed, warned) in [
        ("elements: [own]", true),
        ("elements: [own]\n  allow-deprecated: true", false),
        ("elements:\n  - kind: own\n    allow-deprecated: true", false),
        ("allow-deprecated: true\n  elements:\n  - kind: own\n    allow-deprecated: false", true),
    ] {
        let project = format!(
            "=== project.conf\nname: old\nmin-version: 2.0\nplugins:\n- origin: local\n  path: plugins\n  {listed}\n\
             === plugins/own.py\n{plugin}=== a.bst\nkind: own\nconfig:\n  words: [a]\n\
             === b.bst\nkind: own\nconfig:\n  words: [b]\ndepends: [a.bst]\n"
        );
        let Some(both) = Both::new(&project) else { return };
        let words = [KEYS, &["b.bst"]].concat();
        both.same(&words);
        let times = |said: String| said.matches("take the other one").count();
        // The second time nothing is loaded; what was said is said again.
        for _ in 0..2 {
            let ours = times(both.bourn(&words).success().stderr);
            assert_eq!(
                ours,
                times(both.bst(&words).success().stderr),
                "bourn (left) and bst (right), {listed}"
            );
            assert_eq!(ours > 0, warned, "{listed}");
        }
    }
}
