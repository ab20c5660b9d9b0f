//! What `show` prints, keys above all: they cover everything that loading does.

use crate::Both;

const FORMAT: &str = "%{name} %{kind} %{full-key} %{state} %{description} %{deps} %{build-deps} %{runtime-deps}\n\
                      %{config}%{vars}%{env}%{public}";

/// Loads `targets` of a project with both, in every mode that enters the answer.
#[track_caller]
fn check(fixture: &str, targets: &[&str]) {
    let Some(both) = Both::new(fixture) else { return };
    let mut words = vec!["show", "--deps", "all", "--format", FORMAT];
    words.extend(targets);
    let strict = both.same(&words);
    assert!(strict.contains(' '), "something is shown");
    words.insert(0, "--no-strict");
    both.same(&words);
}

#[test]
fn core_kinds() {
    check(
        "
=== project.conf
name: kinds
min-version: 2.0
element-path: elements
=== elements/files.bst
kind: import
description: Some files
sources:
- kind: local
  path: files
  directory: deep/down
config:
  source: deep
  target: /opt
=== files/tool (executable)
#!/bin/sh
=== files/sub/text
Grüße
=== files/link -> sub/text
=== elements/lib.bst
kind: manual
depends:
- files.bst
variables:
  flags: -O2 %{prefix} \"quoted\" / \\\\ <&>
  notparallel: true
environment:
  LANG: ü
  FLAGS: '%{flags}'
environment-nocache:
- LANG
config:
  build-commands:
  - make %{flags}
  strip-commands:
    (>):
    - echo done
public:
  bst:
    split-rules:
      devel:
        (>):
        - /extra/**
    integration-commands:
    - ldconfig
    overlap-whitelist:
    - /etc/*
  custom:
    list: [a, b]
    number: 5
=== elements/script.bst
kind: script
build-depends:
- filename: lib.bst
  config:
    location: /lib
- files.bst
variables:
  cwd: /work
config:
  root-read-only: true
  commands:
  - echo %{install-root}
=== elements/compose.bst
kind: compose
build-depends:
- lib.bst
config:
  include: [runtime]
  exclude: [doc]
  integrate: false
=== elements/filter.bst
kind: filter
build-depends:
- lib.bst
config:
  include: [devel]
  pass-integration: true
=== elements/stack.bst
kind: stack
depends:
- lib.bst
- files.bst
=== elements/link.bst
kind: link
config:
  target: stack.bst
=== elements/all.bst
kind: stack
depends:
- link.bst
- filter.bst
- compose.bst
- script.bst
",
        &["all.bst"],
    );
}

#[test]
fn packaged_kinds() {
    check(
        "
=== project.conf
name: packaged
min-version: 2.0
element-path: elements
plugins:
- origin: pip
  package-name: buildstream-plugins
  elements: [autotools, cmake, make, meson, pip, setuptools]
  sources: [patch]
elements:
  autotools:
    variables:
      conf-global: --disable-static
  cmake:
    environment:
      CC: gcc
    config:
      install-commands:
        (>):
        - echo installed
sources:
  patch:
    config:
      strip-level: 2
=== elements/a.bst
kind: autotools
sources:
- kind: local
  path: src
- kind: patch
  path: fix.patch
variables:
  conf-local: --with-x
=== src/configure (executable)
true
=== fix.patch
--- a/x
+++ b/x
=== elements/b.bst
kind: cmake
build-depends: [a.bst]
=== elements/c.bst
kind: make
depends:
- filename: [a.bst, b.bst]
  type: build
  strict: true
=== elements/d.bst
kind: meson
runtime-depends: [c.bst]
variables:
  command-subdir: sub
=== elements/e.bst
kind: pip
depends: [d.bst]
=== elements/f.bst
kind: setuptools
depends: [e.bst]
",
        &["f.bst"],
    );
}

#[test]
fn options_and_includes() {
    check(
        "
=== project.conf
name: options
min-version: 2.0
element-path: elements
fatal-warnings: [overlaps]
options:
  debug:
    type: bool
    description: Debugging
    default: true
    variable: debug
  level:
    type: enum
    description: A level
    values: [low, high]
    default: high
  parts:
    type: flags
    description: Parts
    values: [one, two, three]
    default: [one, three]
    variable: parts
  machine:
    type: arch
    description: The machine
    values: [x86_64, aarch64]
  wanted:
    type: element-mask
    description: Elements
variables:
  (?):
  - debug:
      mode: debug
  - level == 'high' and 'two' not in parts:
      amount: many
(@):
- include/more.yml
environment:
  MODE: '%{mode}'
sandbox:
  build-uid: 1000
  build-gid: 1000
=== include/more.yml
variables:
  more: '%{amount} of %{mode}'
  (?):
  - debug and (level == 'low' or 'one' in parts):
      chosen: yes
  - not debug:
      chosen: no
=== include/element.yml
config:
  install-commands:
  - echo %{more} %{chosen}
=== elements/a.bst
kind: manual
(@): include/element.yml
config:
  install-commands:
    (<):
    - first
    (>):
    - last
  (?):
  - machine == 'x86_64':
      build-commands: [native]
  - machine != 'x86_64':
      build-commands: [foreign]
",
        &["a.bst"],
    );
}

#[test]
fn junctions() {
    check(
        "
=== project.conf
name: top
min-version: 2.0
element-path: elements
=== elements/sub.bst
kind: junction
sources:
- kind: local
  path: sub
config:
  options:
    flavour: sweet
  overrides:
    replaced.bst: mine.bst
=== elements/mine.bst
kind: manual
config:
  install-commands: [mine]
=== elements/all.bst
kind: stack
depends:
- sub.bst:user.bst
- sub.bst:inner.bst:deep.bst
- mine.bst
(@): sub.bst:include/public.yml
=== sub/project.conf
name: sub
min-version: 2.0
options:
  flavour:
    type: enum
    description: What it tastes of
    values: [sweet, sour]
    default: sour
    variable: flavour
=== sub/include/public.yml
public:
  from: sub
=== sub/replaced.bst
kind: manual
config:
  install-commands: [theirs]
=== sub/user.bst
kind: manual
build-depends: [replaced.bst]
config:
  install-commands: ['%{flavour}']
=== sub/inner.bst
kind: junction
sources:
- kind: local
  path: inner
=== sub/inner/project.conf
name: inner
min-version: 2.0
=== sub/inner/deep.bst
kind: import
sources:
- kind: local
  path: files
=== sub/inner/files/a
a
",
        &["all.bst"],
    );
}

#[test]
fn pinned_sources() {
    check(
        "
=== project.conf
name: pinned
min-version: 2.0
element-path: elements
ref-storage: project.refs
aliases:
  up: https://example.org/
=== elements/a.bst
kind: import
sources:
- kind: tar
  url: up:a.tar.gz
- kind: remote
  url: up:b
  filename: c
  directory: d
- kind: tar
  url: up:e-%{version}.tar.gz
  base-dir: ''
variables:
  version: 1.2
=== elements/unpinned.bst
kind: import
sources:
- kind: tar
  url: up:none.tar.gz
=== elements/all.bst
kind: stack
depends: [a.bst, unpinned.bst]
=== project.refs
projects:
  pinned:
    a.bst:
    - ref: 85c2bae9d3a1eb3121c9674f68ef6e87211fddb9c930f3e5057b9a1e66eb41d9
    - ref: 489e7915f93d3e6b233463552b6b33e47919a7e1be2afdf9efebece7d336c201
    - ref: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
",
        &["all.bst"],
    );
}

/// Empty lines at the end of the format are not printed, those at the end of a symbol are, loaded or answered from what was
/// kept.
#[test]
fn empty_lines_at_the_end() {
    let fixture = "\n=== project.conf\nname: lines\nmin-version: 2.0\n=== it.bst\nkind: stack\n";
    let Some(both) = Both::new(fixture) else { return };
    for format in
        ["%{name}\n\n", "%{name}\n%{vars}", "%{vars}\n\n", "%{name}\n\n%{description}\n", "\n\n", "x\n"]
    {
        let words = ["show", "--format", format, "it.bst"];
        let printed = both.same(&words);
        assert_eq!(both.bourn(&words).success().stdout, printed);
    }
}

/// Files that include each other in a long chain are not as many levels deep as they are files.
#[test]
fn long_chains_of_includes() {
    let mut fixture = String::from("\n=== project.conf\nname: chain\nmin-version: 2.0\n");
    for number in 0..420 {
        let next = if number < 419 { format!("(@): inc/{}.yml\n", number + 1) } else { String::new() };
        fixture.push_str(&format!("=== inc/{number}.yml\n{next}variables: {{v{number}: x}}\n"));
    }
    fixture.push_str("=== it.bst\nkind: manual\n(@): inc/0.yml\n");
    let Some(both) = Both::new(&fixture) else { return };
    both.same(&["show", "--format", "%{name} %{full-key}\n%{vars}", "it.bst"]);
}

/// Without targets and without `defaults:` all elements are shown, in the order in which the system lists their files.
#[test]
fn every_element_in_the_order_of_the_directory() {
    let Some(both) = Both::new("=== project.conf\nname: all\nmin-version: 2.0\nelement-path: elements\n")
    else {
        return;
    };
    let elements = both.bourn.project().join("elements");
    for number in 0..60 {
        let directory = elements.join(["", "b", "a", "a/deep", "c", ".bst"][number % 6]);
        std::fs::create_dir_all(&directory).expect("a directory");
        let name = format!("{}.bst", number * 7919 % 1000);
        std::fs::write(directory.join(name), "kind: manual\n").expect("an element");
    }
    for words in [&["show", "--format", "%{name} %{full-key}"][..], &["show", "--order", "alpha"]] {
        let shown = both.same(words);
        assert_eq!(shown.lines().count(), 50, "{shown}");
    }
}
