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
