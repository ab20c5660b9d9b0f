//! Plugins of installed Python packages, beside the reference; refs in a file of their own.

use crate::Both;

/// A package that is installed, with an element and a source kind.
const PROJECT: &str = r#"
=== project.conf
name: packaged
min-version: 2.0
element-path: elements
ref-storage: project.refs
plugins:
- origin: pip
  package-name: demo-kinds DEMAND
  elements: [greeter, stranger]
  sources: [named]
=== packages/demo_kinds-1.3.dist-info/METADATA
Metadata-Version: 2.1
Name: demo-kinds
Version: 1.3
=== packages/demo_kinds-1.3.dist-info/entry_points.txt
[buildstream.plugins.elements]
greeter = demo_kinds.elements.greeter

[buildstream.plugins.sources]
named = demo_kinds.sources.named
=== packages/demo_kinds/__init__.py
WORD = "good morning"
=== packages/demo_kinds/elements/__init__.py
=== packages/demo_kinds/sources/__init__.py
=== packages/demo_kinds/elements/greeter.yaml
config:
  name: everybody
=== packages/demo_kinds/elements/greeter.py
from buildstream import Element
from demo_kinds import WORD


class Greeter(Element):
    BST_MIN_VERSION = "2.0"
    BST_RUN_COMMANDS = False

    def configure(self, node):
        self.said = "{} {}".format(WORD, node.get_str("name"))

    def preflight(self):
        pass

    def get_unique_key(self):
        return self.said


def setup():
    return Greeter
=== packages/demo_kinds/sources/named.py
from buildstream import Source
import os


class Named(Source):
    BST_MIN_VERSION = "2.0"

    def configure(self, node):
        node.validate_keys(Source.COMMON_CONFIG_KEYS + ["ref"])
        self.load_ref(node)

    def preflight(self):
        pass

    def get_unique_key(self):
        return self.ref

    def load_ref(self, node):
        found = node.get_mapping("ref", None)
        self.ref = None if found is None else (found.get_str("name"), found.get_str_list("of"))

    def get_ref(self):
        return self.ref

    def set_ref(self, ref, node):
        self.ref = ref
        node["ref"] = {"name": ref[0], "of": list(ref[1])}

    def is_cached(self):
        return True

    def track(self):
        return ("found", ["one", "two"])

    def fetch(self):
        pass

    def stage(self, directory):
        with open(os.path.join(directory, self.ref[0]), "w") as file:
            file.write(" ".join(self.ref[1]))


def setup():
    return Named
=== elements/greeter.bst
kind: greeter
config:
  name: you
=== elements/default.bst
kind: greeter
=== elements/stranger.bst
kind: stranger
=== elements/named.bst
kind: import
sources:
- kind: named
"#;

const KEYS: &[&str] = &["show", "--format", "%{name} %{full-key} %{state}"];

fn project(demand: &str) -> Option<Both> {
    let mut both = Both::new(&PROJECT.replace("DEMAND", demand))?;
    let packages = both.bourn.project().join("packages").display().to_string();
    both.bourn.set("PYTHONPATH", &packages);
    Some(both)
}

fn keys(element: &str) -> Vec<&str> {
    [KEYS, &[element]].concat()
}

#[test]
fn an_installed_package_has_kinds() {
    let Some(both) = project(">=1.2,<2") else { return };
    let named = both.same(&keys("greeter.bst"));
    assert_ne!(named.split(' ').nth(1), both.same(&keys("default.bst")).split(' ').nth(1));
    let refs = both.bourn.project().join("project.refs");
    both.bourn(&["source", "track", "named.bst"]).success();
    let ours = std::fs::read_to_string(&refs).expect("refs");
    std::fs::remove_file(&refs).expect("removed");
    both.bst(&["source", "track", "named.bst"]).success();
    assert_eq!(ours, std::fs::read_to_string(&refs).expect("refs"), "bourn (left) and bst (right)");
    both.same(&keys("named.bst"));
    both.bourn(&["build", "named.bst"]).success();
    let state = both.same(&["show", "--format", "%{state} %{artifact-cas-digest}", "named.bst"]);
    assert!(state.starts_with("cached"), "{state}");
}

#[test]
fn versions_are_compared_as_packages_do() {
    for demand in [
        "~=1.2",
        "==1.*",
        "==1.3.0",
        ">1.2.9,!=1.4",
        "<=1.3.0.post1",
        "[extra]>=1",
        "; python_version >= '3'",
    ] {
        let Some(both) = project(demand) else { return };
        both.same(&keys("greeter.bst"));
    }
    for demand in ["~=1.4", "~=1.2.0", "==1.3.1", "!=1.3", "<1.3", ">1.3", ">=1.3,<1.3", "==2.*", ">=1.4rc1"]
    {
        let Some(both) = project(demand) else { return };
        both.both_refuse(&keys("greeter.bst"), "Version conflict encountered");
    }
}

#[test]
fn what_is_not_installed_is_refused() {
    let Some(both) = project("") else { return };
    both.both_refuse(&keys("stranger.bst"), "does not contain a element plugin named 'stranger'");
    let Some(both) = project(">=2") else { return };
    both.both_refuse(
        &keys("greeter.bst"),
        "Version conflict encountered while loading element plugin 'greeter'",
    );
    let Some(mut both) = project("") else { return };
    both.bourn.set("PYTHONPATH", "");
    both.both_refuse(&keys("greeter.bst"), "Failed to load element plugin 'greeter'");
}
