//! What kinds make of files and public data. Expected texts are what bst's artifacts held.

use crate::bench::{Artifact, Bench, Item, Tree, tree};
use crate::record::{self, Kinds, NoFiles, node};
use bourn_plan::{AssemblyError, Plan, plan};
use bourn_project::ElementId;
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// Records of elements with what all of them share.
fn planned(records: Json) -> Plan {
    let mut records = records.as_array().cloned().unwrap_or_default();
    for record in &mut records {
        record["full"] = record["name"].clone();
        record["project"] = "golden".into();
        record["variables"] = json!({"build-root": "/b", "install-root": "/i", "cwd": "/"});
        for member in ["config", "public", "environment"] {
            if record[member].is_null() {
                record[member] = json!({});
            }
        }
    }
    plan(Arc::new(record::graph(&records)), &Kinds, &NoFiles).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn dependency(element: u32) -> Json {
    json!({"element": element, "type": 3, "path": format!("{element}.bst"), "config": []})
}

fn build_dependency(element: u32) -> Json {
    json!({"element": element, "type": 1, "path": format!("{element}.bst"), "config": []})
}

fn imported(name: &str, public: Json, dependencies: &[u32]) -> Json {
    let dependencies: Vec<Json> = dependencies.iter().map(|id| dependency(*id)).collect();
    json!({
        "name": name, "kind": "import", "public": public, "deps": dependencies,
        "config": {"source": "/", "target": "/"}, "sources": [{"kind": "local", "key": name}],
    })
}

/// Assembles the last element; answers the bench.
fn assembled<'a>(plan: &'a Plan, files: &[(u32, Tree)]) -> Bench<'a> {
    let (bench, result) = tried(plan, files);
    result.unwrap_or_else(|error| panic!("{error}"));
    bench
}

fn tried<'a>(plan: &'a Plan, files: &[(u32, Tree)]) -> (Bench<'a>, Result<(), AssemblyError>) {
    let mut bench = Bench::new(plan, ElementId(plan.elements.len() as u32 - 1));
    for (id, files) in files {
        let artifact = Artifact { files: files.clone(), public: None };
        bench.artifacts.insert(ElementId(*id), artifact);
    }
    let result = bench.assemble();
    (bench, result)
}

fn libs() -> Tree {
    tree(&[
        ("etc/c.conf", "c"),
        ("empty/", ""),
        ("usr/bin/b*", "b"),
        ("usr/include/a.h", "h"),
        ("usr/lib/libx.so", "-> libx.so.1.2"),
        ("usr/lib/libx.so.1.2", "so"),
        ("usr/lib/python3/site-packages/pkg/m.py", "py"),
        ("usr/share/with space/f", "s"),
    ])
}

#[test]
fn bazelize_writes_a_project() {
    let plan = planned(json!([
        imported("libs.bst", json!({"bazelize-data": {"includes": ["usr/include"]}}), &[]),
        {"name": "stack2.bst", "kind": "stack", "deps": [dependency(0)]},
        imported("app.bst", json!({}), &[1]),
        {"name": "t.bst", "kind": "bazelize", "deps": [build_dependency(0), build_dependency(2)],
            "config": {"include": [], "exclude": [], "include-orphans": "true"}},
    ]));
    let app = tree(&[("app/hello.txt", "h"), ("app/sub/world.txt", "w")]);
    let bench = assembled(&plan, &[(0, libs()), (2, app)]);
    assert_eq!(bench.text("i/BUILD.bazel"), include_str!("../golden/BUILD.bazel"));
    assert_eq!(bench.text("i/WORKSPACE"), "");
    assert_eq!(bench.text("i/usr/bin/b"), "b");
}

#[test]
fn bazelize_once_left_targets_without_files_out() {
    let mut records = json!([
        imported("libs.bst", json!({}), &[]),
        imported("app.bst", json!({}), &[0]),
        {"name": "t.bst", "kind": "bazelize", "deps": [build_dependency(0), build_dependency(1)],
            "config": {"include": [], "exclude": [], "include-orphans": "true"}},
    ]);
    let count = |records: &Json| {
        let plan = planned(records.clone());
        let bench = assembled(&plan, &[(0, libs()), (1, tree(&[("x", "x")]))]);
        bench.text("i/BUILD.bazel").matches("name = ").count()
    };
    assert_eq!(count(&records), 6);
    records[2]["plugin-version"] = "2.3.3".into();
    assert_eq!(count(&records), 4);
}

#[test]
fn collect_integration_writes_a_script() {
    let plan = planned(json!([
        imported("base.bst", json!({"bst": {"integration-commands": ["ldconfig"]}}), &[]),
        imported("libs.bst", json!({"bst": {"integration-commands": ["ldconfig -X", "echo é"]}}), &[0]),
        imported("quiet.bst", json!({"bst": {}}), &[1]),
        {"name": "t.bst", "kind": "collect_integration", "deps": [build_dependency(2)],
            "config": {"script-path": "/etc/post.sh", "ignore": ["base.bst"]}},
    ]));
    let bench = assembled(&plan, &[]);
    let expect = "#!/bin/sh\nset -e\n\n# integration commands from libs.bst\nldconfig -X\n\necho é\n\n";
    assert_eq!(bench.text("etc/post.sh"), expect);
    assert!(matches!(bench.root["etc/post.sh"], Item::File { executable: true, .. }));
}

#[test]
fn check_forbidden_says_the_way() {
    let records = |forbidden: &str| {
        json!([
            imported("base/deep.bst", json!({}), &[]),
            imported("libs.bst", json!({}), &[0]),
            imported("app.bst", json!({}), &[1]),
            {"name": "t.bst", "kind": "check_forbidden", "deps": [build_dependency(2)],
                "config": {"forbidden": [forbidden]}},
        ])
    };
    let plan = planned(records("base/deep.bst"));
    let (bench, result) = tried(&plan, &[]);
    assert_eq!(result.map_err(|error| error.message), Err("Some elements were forbidden".into()));
    assert_eq!(*bench.log.borrow(), ["warn - libs depends on base-deep", "warn - app depends on libs"]);
    let plan = planned(records("elsewhere.bst"));
    assert_eq!(tried(&plan, &[]).1, Ok(()));
}

#[test]
fn flatpak_image_lays_files_out() {
    let image = |metadata: Json| {
        planned(json!([
            imported("libs.bst", json!({}), &[]),
            {"name": "t.bst", "kind": "flatpak_image", "deps": [build_dependency(0)],
                "config": {"directory": "/usr", "include": [], "exclude": [], "component-ids": ["x"],
                    "metadata": metadata}},
        ]))
    };
    let plan = image(json!({
        "Runtime": {"name": "x", "y": "x86_64"},
        "Extension a": {"directory": "lib/ext", "z": "%%(x)s %(name)s", "name": "q"},
    }));
    let bench = assembled(&plan, &[(0, libs())]);
    let expect = "[Runtime]\nname = x\ny = x86_64\n\n[Extension a]\ndirectory = lib/ext\nz = %%(x)s %(name)s\nname = q\n\n";
    assert_eq!(bench.text("buildstream/install/metadata"), expect);
    for path in ["files/bin/b", "files/etc/c.conf", "files/lib/ext"] {
        assert!(bench.root.contains_key(&format!("buildstream/install/{path}")), "{path}");
    }
    assert!(!bench.root.contains_key("buildstream/install/export"));
    assert!(bench.log.borrow()[0].starts_with("run appstreamcli compose --components x --result-root"));

    let plan = image(json!({"Application": {"name": "x"}, "Extension %": {"other": "y"}}));
    let (_, result) = tried(&plan, &[(0, libs())]);
    assert!(result.is_err_and(|error| error.of_element && error.message.contains("has no `directory`")));
}

#[test]
fn tar_element_packs_as_python_does() {
    let plan = planned(json!([
        imported("libs.bst", json!({}), &[]),
        {"name": "t.bst", "kind": "tar_element", "deps": [build_dependency(0)],
            "config": {"filename": "all", "compression": "none"}},
    ]));
    let mut files = libs();
    let long = format!("long/{}", "n".repeat(120));
    files.extend(tree(&[(&long, "l"), ("é", "-> ü"), ("t", &format!("-> {}", "u".repeat(101)))]));
    let bench = assembled(&plan, &[(0, files)]);
    let Item::File { content, .. } = &bench.root["output/all.tar"] else { panic!("no archive") };
    // What tarfile of Python 3.11 made of the same files.
    assert_eq!(content.len(), 20480);
    let digest = bourn_reapi::Digest::of(content);
    assert_eq!(digest.hex(), include_str!("../golden/all.tar.sha256").trim());
}

#[test]
fn dpkg_build_runs_for_the_packages_of_the_control_file() {
    let plan = planned(json!([
        imported("base.bst", json!({}), &[]),
        {"name": "t.bst", "kind": "dpkg_build", "deps": [build_dependency(0)],
            "config": {"build-commands": ["make <PACKAGES>"], "install-commands": [], "strip-commands": []},
            "public": {"bst": {"split-rules": {"old": []}, "kept": "yes"}}},
    ]));
    let mut bench = Bench::new(&plan, ElementId(1));
    bench.root = tree(&[("b/debian/control", "Source: s\n\nPackage: one\nX: y\n\nPackage: two\n")]);
    bench.runs = Some(|root| {
        root.extend(tree(&[
            ("b/debian/one/DEBIAN/control", "Package: one\n"),
            ("b/debian/one/DEBIAN/postinst", "ldconfig\n"),
            ("b/debian/one/usr/bin/x", "x"),
            ("b/debian/two/DEBIAN/control", "Package: two\n"),
        ]));
    });
    bench.assemble().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(*bench.log.borrow(), ["run make one two"]);
    let expect = json!({
        "split-rules": {"one": ["/usr", "/usr/bin", "/usr/bin/x"], "two": []},
        "kept": "yes",
        "dpkg-data": {
            "one": {"name": "one", "control": "Package: one"},
            "two": {"name": "two", "control": "Package: two"},
        },
        "package-scripts": {"one": {"postinst": "ldconfig"}},
    });
    assert_eq!(bench.public.get("bst"), Some(&node(&expect)));

    bench.runs = Some(|root| {
        root.remove("b/debian/two/DEBIAN/control");
    });
    let message = bench.assemble().map_err(|error| error.message);
    assert_eq!(message, Err("t.bst: package two doesn't have a DEBIAN/control in /b/debian/two!".into()));
}

#[test]
fn dpkg_deploy_makes_packages_of_public_data() {
    let public = json!({"bst": {
        "split-rules": {"foo": ["/usr/bin/x"]},
        "dpkg-data": {"foo": {"control": "Package: old\nSection: x"}},
    }});
    let input = json!({"element": 0, "type": 1, "path": "in.bst", "config": [{"input": "True"}]});
    let deploy = |public: Json| {
        planned(json!([
            imported("dir/in.bst", public, &[]),
            {"name": "t.bst", "kind": "dpkg_deploy", "deps": [input],
                "config": {"build-commands": ["deb <PACKAGES>"]}},
        ]))
    };
    let plan = deploy(public);
    let bench = assembled(&plan, &[(0, tree(&[("usr/bin/x", "x")]))]);
    assert_eq!(bench.text("b/foo/DEBIAN/control"), "Package: dir-in-foo\nSection: x\n");
    assert_eq!(bench.text("b/foo/DEBIAN/md5sums"), "9dd4e461268c8034f5c8564e155c67a6  usr/bin/x\n");
    assert_eq!(bench.text("b/foo/usr/bin/x"), "x");
    assert_eq!(bench.log.borrow().last().map(String::as_str), Some("run deb foo"));

    let plan = deploy(json!({"bst": {}}));
    let message = tried(&plan, &[]).1.map_err(|error| error.message);
    let expect = "t.bst: input element dir/in.bst does not have any bst.dpkg-data public data";
    assert_eq!(message, Err(expect.into()));
}

#[test]
fn collect_manifest_tells_where_sources_come_from() {
    let git = json!({
        "kind": "git_repo", "url": "https://example.com/lib.git", "medium": "git", "version-type": "commit",
        "version": "abc", "version-guess": "1.2", "extra-data": {"tag-name": "v1.2", "commit-offset": "3"},
    });
    let tar = json!({
        "kind": "tar", "url": "https://example.com/tool-3.4.tar.xz", "medium": "remote-file",
        "version-type": "sha256", "version": "def",
    });
    let odd = json!({"kind": "docker", "url": "u", "medium": "oci-image", "version-type": "oci-digest", "version": "o"});
    let source =
        |kind: &str, info: &Json| json!({"kind": kind, "key": 1, "ref": "v1.2-3-gabc", "info": [info]});
    let element = |name: &str, sources: Json, public: Json| json!({"name": name, "kind": "manual", "sources": sources, "public": public});
    let plan = planned(json!([
        element("dir/lib.bst", json!([source("git_repo", &git)]), json!({"cpe": {"vendor": "v"}})),
        element("tool.bst", json!([source("tar", &tar), source("docker", &odd)]),
            json!({"cpe": {"product": "p", "version-match": "(\\d)\\.(\\d)"}})),
        element("bare.bst", json!([]), json!({})),
        element("unknown.bst", json!([source("local", &json!({"kind": "local", "url": "files/x", "medium": "local",
            "version-type": "cas-digest", "version": "d"}))]), json!({})),
        {"name": "t.bst", "kind": "collect_manifest", "config": {"path": "/m.json"},
            "deps": [build_dependency(0), build_dependency(1), build_dependency(2), build_dependency(3)]},
    ]));
    let bench = assembled(&plan, &[]);
    let manifest: Json = serde_json::from_str(&bench.text("m.json")).expect("JSON");
    let expect = json!([
        {"name": "dir/lib.bst", "x-cpe": {"vendor": "v", "product": "lib", "version": "1.2"}, "sources": [
            {"type": "git", "url": "https://example.com/lib.git", "commit": "v1.2-3-gabc",
                "x-cpe": {"product": "lib", "version": "1.2"}}]},
        {"name": "tool.bst", "x-cpe": {"product": "p", "version": "3.4"}, "sources": [
            {"type": "archive", "url": "https://example.com/tool-3.4.tar.xz", "sha256": "def",
                "x-cpe": {"product": "tool"}}, null]},
        {"name": "bare.bst", "x-cpe": {"product": "bare"}, "sources": []},
        {"name": "unknown.bst", "x-cpe": {"product": "unknown"}, "sources": [
            {"type": "dir", "path": "files/x", "x-cpe": {"product": "x"}}]},
    ]);
    assert_eq!(manifest["modules"], expect);
    assert_eq!(
        *bench.log.borrow(),
        [
            "warn collect_manifest:unsupported-source-info Unsupported source info medium oci-image",
            "warn - Missing version to unknown.bst.",
        ]
    );
    let infos = bench.public.get("source-info-manifest").expect("public data");
    assert_eq!(infos.get_sequence("element-infos").map(<[_]>::len).ok(), Some(4));
}
