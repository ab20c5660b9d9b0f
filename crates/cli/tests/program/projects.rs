//! Projects of a shape that few have, as BuildStream's own tests and fuzzing found them.

use crate::env;

/// A project that takes parts of its configuration from a subproject.
const INCLUDING: &str = "
=== project.conf
name: outer
min-version: 2.0
elements:
  junction:
    variables: {own: yes}
(@):
- sub.bst:extra.yml
=== sub.bst
kind: junction
sources:
- kind: local
  path: sub
=== sub/project.conf
name: inner
min-version: 2.0
=== sub/extra.yml
elements:
  junction:
    variables: {included: yes}
=== sub/sources.yml
sources:
- kind: remote
  url: file:///dev/null
=== fragment.bst
kind: import
(@): ['sub.bst:sources.yml']
";

#[test]
fn a_junction_that_the_project_includes_from_is_an_element_too() {
    let env = env();
    env.files(INCLUDING);
    let shown = env.run(&["show", "--deps", "none", "--format", "%{vars}", "sub.bst"]).success().stdout;
    assert!(shown.contains("own: yes"), "{shown}");
    // What comes through a junction cannot change the junction.
    assert!(!shown.contains("included:"), "{shown}");
}

#[test]
fn a_ref_in_a_subproject_is_not_written() {
    let env = env();
    let tracked = env.project().join("project.conf");
    env.files(&INCLUDING.replace("/dev/null", &tracked.to_string_lossy()));
    let ran = env.run(&["source", "track", "fragment.bst"]);
    let part = "sub.bst:sources.yml: Cannot track source in a fragment from a junction";
    assert!(ran.stderr.contains(part), "{}", ran.stderr);
    let kept = std::fs::read_to_string(env.project().join("sub/sources.yml")).expect("the fragment");
    assert!(!kept.contains("ref:"), "{kept}");
}

#[test]
fn a_key_is_known_without_strictness_and_without_dependencies() {
    let env = env();
    env.configure("projects:\n  loose:\n    strict: False\n");
    env.files(
        "=== project.conf\nname: loose\nmin-version: 2.0\n=== a.bst\nkind: import\nsources:\n- kind: local\n  \
         path: project.conf\n=== b.bst\nkind: compose\nbuild-depends: [a.bst]\n",
    );
    let show = |deps: &str| {
        let ran = env.run(&["show", "--deps", deps, "--format", "%{name} %{full-key}", "b.bst"]).success();
        ran.stdout.lines().last().unwrap_or_default().to_owned()
    };
    let key = show("none");
    assert_eq!(key, show("all"));
    assert!(!key.contains('?'), "{key}");
}

#[test]
fn a_junction_without_ref_that_the_project_includes_from_is_tracked() {
    let env = env();
    let made = env.path().join("sub.tar");
    env.files(
        "=== sub/project.conf\nname: inner\nmin-version: 2.0\n=== sub/extra.yml\nvariables: {from: inner}\n",
    );
    let sub = env.project().join("sub");
    let tar = std::process::Command::new("tar").arg("-cf").arg(&made).arg("-C").arg(&sub).arg(".").status();
    assert!(tar.expect("tar").success());
    env.files(&format!(
        "=== project.conf\nname: outer\nmin-version: 2.0\n(@): ['sub.bst:extra.yml']\n=== sub.bst\nkind: junction\n\
         sources:\n- kind: tar\n  url: file://{}\n=== a.bst\nkind: stack\n",
        made.display()
    ));
    env.run(&["show", "a.bst"]).failure(255, "no ref for junction: sub.bst");
    env.run(&["source", "track", "a.bst"]).failure(255, "no ref for junction: sub.bst");
    env.run(&["source", "track", "sub.bst"]).success();
    let shown = env.run(&["show", "--format", "%{vars}", "a.bst"]).success().stdout;
    assert!(shown.contains("from: inner"), "{shown}");
}

#[test]
fn the_junction_with_the_plugin_of_a_mirror_is_fetched_by_alias() {
    let env = env();
    let made = env.path().join("repo/sub.tar");
    std::fs::create_dir_all(env.path().join("repo")).expect("a directory");
    env.files(
        "=== sub/project.conf\nname: inner\nmin-version: 2.0\nplugins:\n- origin: local\n  path: .\n  source-mirrors: \
         [odd]\n=== sub/odd.py\nfrom buildstream import SourceMirror\n\n\nclass Odd(SourceMirror):\n    BST_MIN_VERSION \
         = \"2.0\"\n\n    def configure(self, node):\n        pass\n\n    \
         def translate_url(self, **url):\n        return \"file:///\"\n\n\n\
         def setup():\n    return Odd\n",
    );
    let sub = env.project().join("sub");
    let tar = std::process::Command::new("tar").arg("-cf").arg(&made).arg("-C").arg(&sub).arg(".").status();
    assert!(tar.expect("tar").success());
    let content = std::fs::read(&made).expect("the archive");
    let digest = bourn_reapi::Digest::of(&content).to_string();
    let pin = digest.split('/').next().expect("a sum");
    env.files(&format!(
        "=== project.conf\nname: outer\nmin-version: 2.0\naliases:\n  here: file://{}/\nmirrors:\n- name: other\n  \
         kind: odd\n  config: {{}}\nplugins:\n- origin: junction\n  junction: sub.bst\n  source-mirrors: [odd]\n\
         === sub.bst\nkind: junction\nsources:\n- kind: tar\n  url: here:sub.tar\n  ref: {pin}\n=== a.bst\nkind: stack\n",
        made.parent().expect("a directory").display()
    ));
    env.run(&["show", "a.bst"]).success();
    env.configure("fetch:\n  source: mirrors\n");
    std::fs::remove_dir_all(env.cache()).expect("a cache");
    env.run(&["show", "a.bst"]).failure(255, "here");
}
