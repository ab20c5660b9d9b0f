//! Refs written back in place: by both the same, and by ours with nothing else changed.

use crate::Both;
use crate::tracking::{Place, meaning};
use std::collections::BTreeMap;
use std::path::Path;

/// All files of a project but what programs keep for themselves.
fn files(project: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![project.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in directory.read_dir().expect("a directory").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(project).expect("below").to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') {
                    todo.push(path);
                }
            } else {
                found.insert(name, std::fs::read_to_string(&path).expect("a text"));
            }
        }
    }
    found
}

/// The files of a fixture, by name.
fn named(fixture: &str) -> BTreeMap<String, String> {
    let parts = fixture.split("=== ").filter(|part| !part.is_empty());
    let named = parts.map(|part| part.split_once('\n').expect("a name"));
    named.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

/// Has both track `element.bst` of a project; what ours wrote. `NEW` in the files stands for the ref that is found, `OLD`
/// for another. The files that `expect` has are to be ours to the letter; all others stay as they are.
#[track_caller]
fn check(fixture: &str, arguments: &[&str], expect: &str) {
    let server = Place::start();
    server.add("file", "text/plain", "content");
    let (new, old) = (bourn_reapi::Digest::of(b"content").hex(), "0".repeat(64));
    let fill = |text: &str| text.replace("NEW", &new).replace("OLD", &old).replace("URL", &server.url(""));
    let conf = "=== project.conf\nname: written\nmin-version: 2.0\naliases:\n  up: URL\n";
    let fixture = match fixture.contains("=== project.conf") {
        true => fill(fixture),
        false => fill(&format!("{conf}{fixture}")),
    };
    let Some(both) = Both::new(&fixture) else { return };
    let before = files(&both.bourn.project());
    let mut words = vec!["source", "track"];
    words.extend(arguments);
    both.bourn(&words).success();
    let ours = files(&both.bourn.project());
    std::fs::remove_dir_all(both.bourn.project()).expect("removed");
    both.bourn.files(&fixture);
    both.bst(&words).success();
    let theirs = files(&both.bourn.project());
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    let expected = named(&fill(expect));
    for (name, text) in &ours {
        if name.ends_with(".lock") {
            continue;
        }
        assert_eq!(
            meaning(text),
            meaning(&theirs[name]),
            "{name} by bourn\n{text}\nand by bst\n{}",
            theirs[name]
        );
        let expected = expected.get(name).or_else(|| before.get(name));
        assert_eq!(Some(text), expected, "{name}");
    }
    assert_ne!(ours, before, "nothing was tracked");
}

#[test]
fn comments_order_and_layout_stay() {
    check(
        "=== element.bst\n# top\nkind:   import # why\n\n\nsources:\n  # the file\n  -   kind: remote\n      ref: OLD   # pinned\n      url: up:file\n\n# end\n",
        &["element.bst"],
        "=== element.bst\n# top\nkind:   import # why\n\n\nsources:\n  # the file\n  -   kind: remote\n      ref: NEW   # pinned\n      url: up:file\n\n# end\n",
    );
}

#[test]
fn a_first_ref_goes_to_the_end_of_its_source() {
    check(
        "=== element.bst\nkind: import\nsources:\n- kind: remote\n  url: up:file # it\n\n- kind: local\n  path: element.bst\n  directory: x\n",
        &["element.bst"],
        "=== element.bst\nkind: import\nsources:\n- kind: remote\n  url: up:file # it\n  ref: NEW\n\n- kind: local\n  path: element.bst\n  directory: x\n",
    );
}

/// The value is written anew, without the quotes that it does not need.
#[test]
fn quotes_and_flow() {
    check(
        "=== element.bst\nkind: import\nsources:\n- {kind: remote, url: 'up:file', ref: \"OLD\", filename: \"x\"}\n",
        &["element.bst"],
        "=== element.bst\nkind: import\nsources:\n- {kind: remote, url: 'up:file', ref: NEW, filename: \"x\"}\n",
    );
}

#[test]
fn refs_in_included_files() {
    check(
        "=== element.bst\nkind: import\n(@): shared.yml\n=== shared.yml\nsources:\n- kind: remote\n  url: up:file\n  ref: OLD # here\n",
        &["element.bst"],
        "=== shared.yml\nsources:\n- kind: remote\n  url: up:file\n  ref: NEW # here\n",
    );
}

#[test]
fn refs_in_conditionals() {
    check(
        "=== element.bst\nkind: import\nsources:\n- kind: remote\n  url: up:file\n  (?):\n  - linux:\n      ref: OLD # of linux\n  - not linux:\n      ref: x\n=== project.conf\nname: written\nmin-version: 2.0\naliases:\n  up: URL\noptions:\n  linux:\n    type: bool\n    description: x\n    default: true\n".replace("  - linux:", "  - linux == True:").replace("  - not linux:", "  - linux == False:").as_str(),
        &["element.bst"],
        "=== element.bst\nkind: import\nsources:\n- kind: remote\n  url: up:file\n  (?):\n  - linux == True:\n      ref: NEW # of linux\n  - linux == False:\n      ref: x\n",
    );
}

const APART: &str =
    "=== project.conf\nname: written\nmin-version: 2.0\nref-storage: project.refs\naliases:\n  up: URL\n";

#[test]
fn refs_kept_apart() {
    let sources = "kind: import\nsources:\n- kind: remote\n  url: up:file\n";
    check(
        &format!(
            "{APART}=== element.bst\n{sources}=== project.refs\n# kept\nprojects:\n  written:\n    other.bst:\n    - ref: x # other\n"
        ),
        &["element.bst"],
        "=== project.refs\n# kept\nprojects:\n  written:\n    other.bst:\n    - ref: x # other\n    element.bst:\n    - ref: NEW\n",
    );
    check(
        &format!("{APART}=== element.bst\n{sources}"),
        &["element.bst"],
        "=== project.refs\nprojects:\n  written:\n    element.bst:\n    - ref: NEW\n",
    );
}

#[test]
fn refs_kept_apart_in_conditionals() {
    let conf = format!(
        "{APART}options:\n  linux:\n    type: bool\n    description: x\n    default: true\n=== element.bst\nkind: import\nsources:\n- kind: remote\n  url: up:file\n"
    );
    let refs = |linux: &str| {
        format!(
            "=== project.refs\nprojects:\n  written:\n    (?):\n    - linux:\n        element.bst:\n        - ref: {linux} # kept\n    - not linux:\n        element.bst:\n        - ref: x\n"
        )
    };
    check(&format!("{conf}{}", refs("OLD")), &["element.bst"], &refs("NEW"));
    check(&format!("{conf}{}", refs("''")), &["element.bst"], &refs("NEW"));
}

#[test]
fn refs_across_junctions() {
    let below = "=== below/project.conf\nname: below\nmin-version: 2.0\naliases:\n  up: URL\n=== below/inner.bst\nkind: import\nsources:\n- kind: remote\n  url: up:file\n";
    check(
        &format!(
            "{APART}=== below.bst\nkind: junction\nsources:\n- kind: local\n  path: below\n=== element.bst\nkind: stack\ndepends:\n- below.bst:inner.bst\n{below}"
        ),
        &["-J", "--deps", "all", "element.bst"],
        "=== project.refs\nprojects:\n  below:\n    inner.bst:\n    - ref: NEW\n",
    );
}

#[test]
fn several_sources_of_one_element() {
    check(
        "=== element.bst\nkind: import\n(@): more.yml\nsources:\n- kind: remote\n  url: up:file\n  ref: OLD # first\n- kind: remote\n  directory: b\n  url: up:file\n  ref: NEW # as it is\n- kind: remote\n  directory: c\n  ref:\n  url: up:file # third\n- kind: remote\n  directory: d\n  url: up:file\n=== more.yml\nvariables: {x: y} # untouched\n",
        &["element.bst"],
        "=== element.bst\nkind: import\n(@): more.yml\nsources:\n- kind: remote\n  url: up:file\n  ref: NEW # first\n- kind: remote\n  directory: b\n  url: up:file\n  ref: NEW # as it is\n- kind: remote\n  directory: c\n  ref: NEW\n  url: up:file # third\n- kind: remote\n  directory: d\n  url: up:file\n  ref: NEW\n",
    );
}

/// Elements whose refs stand in one file are tracked at the same time.
#[test]
fn several_elements_of_one_file() {
    // One list of sources, which all three include.
    let include = |name: &str| format!("=== {name}.bst\n# {name}\nkind: import\n(@): shared.yml\n");
    check(
        &format!(
            "{}=== element.bst\nkind: stack\ndepends: [a.bst, b.bst, c.bst]\n=== shared.yml\n# all\nsources:\n- kind: remote\n  url: up:file\n",
            ["a", "b", "c"].map(include).concat()
        ),
        &["--deps", "all", "element.bst"],
        "=== shared.yml\n# all\nsources:\n- kind: remote\n  url: up:file\n  ref: NEW\n",
    );
    let refs = "=== project.refs\nprojects:\n  written:\n    b.bst:\n    - ref: NEW # b\n    a.bst: # a\n    - ref: NEW\n    c.bst:\n      - ref: NEW\n# end\n";
    let remote =
        |name: &str| format!("=== {name}.bst\nkind: import\nsources:\n- kind: remote\n  url: up:file\n");
    check(
        &format!(
            "{APART}{}=== element.bst\nkind: stack\ndepends: [c.bst, a.bst, b.bst]\n{}",
            ["a", "b", "c"].map(remote).concat(),
            refs.replace("NEW", "OLD")
        ),
        &["--deps", "all", "element.bst"],
        refs,
    );
}

#[test]
fn refs_of_junctions_and_below_them() {
    let conf = |name: &str| format!("project.conf\nname: {name}\nmin-version: 2.0\naliases:\n  up: URL\n");
    let remote = "kind: import\nsources:\n- kind: remote\n  url: up:file\n";
    let local = |path: &str| format!("kind: junction\nsources:\n- kind: local\n  path: {path}\n");
    let tree = format!(
        "{APART}=== element.bst\nkind: stack\ndepends:\n- outer.bst:middle.bst\n- own.bst\n=== own.bst\n{remote}\
         === outer.bst\n{}=== outer/{}=== outer/middle.bst\nkind: stack\ndepends:\n- inner.bst:leaf.bst\n- own.bst\n\
         === outer/own.bst\n{remote}=== outer/inner.bst\n{}=== outer/inner/{}=== outer/inner/leaf.bst\n{remote}",
        local("outer"),
        conf("outer"),
        local("inner"),
        conf("inner"),
    );
    let below = "  outer:\n    own.bst:\n    - ref: NEW\n";
    let kept = format!(
        "{tree}=== project.refs\n# of all\nprojects:\n  inner: # deep\n    leaf.bst:\n    - ref: OLD # leaf\n  outer:\n    own.bst:\n    - ref: OLD\n"
    );
    check(
        &format!("{kept}  written:\n    own.bst:\n    - ref: OLD\n"),
        &["-J", "--deps", "all", "element.bst"],
        &format!(
            "=== project.refs\n# of all\nprojects:\n  inner: # deep\n    leaf.bst:\n    - ref: NEW # leaf\n{below}  written:\n    own.bst:\n    - ref: NEW\n"
        ),
    );
    // Without -J only what is of the project itself.
    check(
        &format!("{kept}  written:\n    own.bst:\n    - ref: OLD\n"),
        &["--deps", "all", "element.bst"],
        "=== project.refs\n# of all\nprojects:\n  inner: # deep\n    leaf.bst:\n    - ref: OLD # leaf\n  outer:\n    own.bst:\n    - ref: OLD\n  written:\n    own.bst:\n    - ref: NEW\n",
    );
    // A junction that is named keeps its ref beside those of elements.
    check(
        &format!(
            "{APART}=== element.bst\nkind: junction\nsources:\n- kind: remote\n  url: up:file\n=== junction.refs\n# of junctions\nprojects:\n  written:\n    element.bst:\n    - ref: OLD # it\n"
        ),
        &["element.bst"],
        "=== junction.refs\n# of junctions\nprojects:\n  written:\n    element.bst:\n    - ref: NEW # it\n",
    );
}

/// A ref that is a list: what stands around it stays.
#[test]
fn refs_that_are_lists() {
    let conf = "=== project.conf\nname: written\nmin-version: 2.0\naliases:\n  up: URL\nplugins:\n- origin: pip\n  package-name: buildstream-plugins\n  sources: [cargo]\n";
    let element = |list: &str| {
        format!(
            "=== element.bst\n# top\nkind: import\nsources:\n- kind: local # the lock\n  path: app\n- kind: cargo\n{list}  url: up:crates # where\n\n# end\n"
        )
    };
    let lock = "=== app/Cargo.lock\nversion = 3\n\n[[package]]\nname = \"new\"\nversion = \"2.0.0\"\nsource = \"registry+https://host/index\"\nchecksum = \"NEW\"\n";
    check(
        &format!(
            "{conf}{}{lock}",
            element("  ref: # all crates\n  - name: old\n    version: 1.0.0\n    sha: OLD # sum\n")
        ),
        &["element.bst"],
        &element("  ref: # all crates\n  - name: new\n    version: 2.0.0\n    sha: NEW # sum\n"),
    );
}
