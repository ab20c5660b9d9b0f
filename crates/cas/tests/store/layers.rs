//! Layers show exactly their tree, whatever they lie upon.

use crate::overlay::look;
use crate::scene::{Scene, lines};
use bourn_cas::{LayerKind, LayerStack};
use bourn_reapi::{Cas, Digest};
use std::fmt::Write;

/// What [`look`] should show for a tree written down as for `write_tree`.
fn expected(text: &str) -> String {
    const TIME: &str = "1321009871.0000000000";
    let (mut listing, mut contents) = (Vec::new(), Vec::new());
    let mut directories = std::collections::BTreeSet::new();
    for line in lines(text).lines() {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let bare = name.trim_end_matches(['*', '/']);
        let above = std::path::Path::new(bare).ancestors().skip(1);
        directories.extend(above.map(|path| path.display().to_string()).filter(|path| !path.is_empty()));
        if name.ends_with('/') {
            directories.insert(bare.to_owned());
        } else if let Some(target) = rest.strip_prefix("-> ") {
            listing.push(format!("{bare} -> {target} {TIME}"));
        } else {
            let mode = if name.ends_with('*') { 755 } else { 644 };
            listing.push(format!("{bare} {mode} {TIME} {}", rest.len()));
            contents.push(format!("./{bare}={}", &rest[..rest.len().min(100)]));
        }
    }
    listing.extend(directories.iter().map(|path| format!("{path}/ 755 {TIME}")));
    // As `sort` sorts in the C locale.
    listing.sort();
    contents.sort();
    listing.iter().chain(&contents).fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "{line}");
        all
    })
}

fn kinds(scene: &Scene) -> Vec<LayerKind> {
    let best = scene.store.layer_support().expect("an answer").kind;
    if best == LayerKind::Copy { vec![LayerKind::Copy] } else { vec![best, LayerKind::Copy] }
}

/// Lays out one tree after the other and looks at each; `heights` says upon how many layers each should lie.
#[track_caller]
fn check(trees: &[&str], heights: &[usize]) {
    for kind in kinds(&Scene::new()) {
        let scene = Scene::new();
        for (text, height) in trees.iter().zip(heights) {
            let tree = scene.tree(text);
            let stack = scene.store.layer_of(kind, true, &tree, &[]).expect("layers");
            assert_eq!(stack.layers.len(), height + 1, "{kind}: {text}");
            if let Some(shown) = look(&stack) {
                assert_eq!(sorted(&shown), sorted(&expected(text)), "{kind}: {text}");
            }
            let again = scene.store.layer_of(kind, true, &tree, &[]).expect("layers");
            assert_eq!(again.layers, stack.layers);
        }
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort();
    lines
}

/// Enough files that lying upon another tree is worthwhile.
fn bulk(name: &str) -> String {
    (0..20).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "{name}/{number} content of {number}");
        text
    })
}

#[test]
fn one_tree() {
    check(&["a one\nb* two\nsub/deep/c three\nsub/empty/\nlink -> sub/deep\nnothing\nnothing2*"], &[0]);
}

#[test]
fn new_and_different_files() {
    let base = bulk("usr/share");
    check(
        &[
            &base,
            &format!("{base}usr/bin/new* new\nusr/link -> share\n"),
            &base.replace("usr/share/7 content of 7", "usr/share/7* content of 7"),
            &base.replace("usr/share/7 content of 7", "usr/share/7 other"),
        ],
        &[0, 1, 1, 1],
    );
}

#[test]
fn what_is_gone_does_not_show_through() {
    let base = format!("{}usr/bin/x* x\nusr/lib/y y\netc/z z\nlink -> etc\n", bulk("usr/share"));
    let without = |names: &[&str]| {
        base.lines()
            .filter(|line| !names.iter().any(|name| line.starts_with(name)))
            .fold(String::new(), |text, line| text + line + "\n")
    };
    check(
        &[&base, &without(&["usr/bin"]), &without(&["usr/lib", "link"]), &without(&["etc", "usr/share/3"])],
        &[0, 1, 1, 1],
    );
}

#[test]
fn what_changes_its_nature() {
    let base = format!("{}a/in in\nb file\nc -> b\nd/sub/x x\n", bulk("usr/share"));
    let swapped = format!("{}a file\nb/in/deep in\nc c\nd -> a\n", bulk("usr/share"));
    check(
        &[&base, &swapped, &format!("{}a -> b\nb file\nc/in in\nd/sub/y y\n", bulk("usr/share"))],
        &[0, 1, 1],
    );
}

#[test]
fn a_directory_of_which_little_is_left() {
    let rest = format!("{}{}{}", bulk("usr/share"), bulk("usr/libexec"), bulk("usr/include"));
    check(&[&format!("{rest}{}", bulk("usr/lib")), &format!("{rest}usr/lib/only this\n")], &[0, 1]);
}

#[test]
fn a_gone_directory_that_comes_back() {
    let base = format!("{}d/one one\n", bulk("usr/share"));
    let gone = bulk("usr/share");
    let back = format!("{}d/two two\nlast l\n", bulk("usr/share"));
    let scene = Scene::new();
    let [base, gone, back] =
        [base.as_str(), gone.as_str(), back.as_str()].map(|text| (scene.tree(text), text));
    for (tree, text) in [base, gone, back] {
        let stack = scene.store.layer(&tree, &[]).expect("layers");
        if let Some(shown) = look(&stack) {
            assert_eq!(sorted(&shown), sorted(&expected(text)));
        }
    }
}

#[test]
fn stacks_stay_low() {
    let scene = Scene::new();
    let mut text = bulk("usr/share");
    let mut last: Option<(LayerStack, String)> = None;
    for number in 0..40 {
        let _ = writeln!(text, "usr/lib/{number} {number}");
        let tree = scene.tree(&text);
        let stack = scene.store.layer(&tree, &[]).expect("layers");
        assert!(stack.layers.len() <= 13, "{}", stack.layers.len());
        last = Some((stack, text.clone()));
    }
    let (stack, text) = last.expect("a stack");
    if let Some(shown) = look(&stack) {
        assert_eq!(sorted(&shown), sorted(&expected(&text)));
    }
}

#[test]
fn a_prefix_gets_a_layer_that_others_share() {
    let scene = Scene::new();
    let base = (0..120).fold(String::new(), |text, number| text + &bulk(&format!("usr/{number}")));
    let prefix = scene.tree(&base);
    let first = scene.tree(&format!("{base}one one\n"));
    let small = scene.tree("usr/0/0 content of 0\n");
    let prefixes = [small, prefix];
    let stack = scene.store.layer(&first, &prefixes).expect("layers");
    assert_eq!(stack.layers.len(), 2);
    let other = scene.tree(&format!("{base}two two\n"));
    let others = scene.store.layer(&other, &prefixes).expect("layers");
    assert_eq!(others.layers.len(), 2);
    assert_eq!(others.layers[1], stack.layers[1]);
}

#[test]
fn without_an_overlay_there_is_one_layer() {
    let scene = Scene::new();
    let base = bulk("usr/share");
    for text in [base.clone(), format!("{base}more m\n")] {
        let tree = scene.tree(&text);
        let stack = scene.store.layer_of(LayerKind::Copy, false, &tree, &[]).expect("layers");
        assert_eq!((stack.layers.len(), stack.content.is_some()), (1, false));
        assert_eq!(crate::scene::read_tree(&stack.layers[0].path), lines(&text));
    }
}

#[test]
fn objects_that_disappear_do_not_matter_to_layers() {
    let scene = Scene::new();
    let tree = scene.tree("a one\n");
    let stack = scene.store.layer(&tree, &[]).expect("layers");
    std::fs::remove_file(scene.store.object_path(&Digest::of(b"one"))).expect("a removal");
    if let Some(shown) = look(&stack) {
        assert_eq!(sorted(&shown), sorted(&expected("a one\n")));
    }
}

#[test]
fn a_blob_that_is_missing_leaves_no_layer() {
    let scene = Scene::new();
    let tree = scene.tree("a one\nb two\n");
    std::fs::remove_file(scene.store.object_path(&Digest::of(b"one"))).expect("a removal");
    let error = scene.store.layer(&tree, &[]).expect_err("an error");
    assert_eq!(error.kind, bourn_reapi::services::ErrorKind::Missing);
    let left =
        |name: &str| std::fs::read_dir(scene.path("cache/bourn").join(name)).expect("a directory").count();
    assert_eq!(left("layers/stub"), 0);
    scene.store.write(b"one").expect("a digest");
    scene.store.layer(&tree, &[]).expect("layers");
}

#[test]
fn after_another_boot_layers_are_compared_with_their_trees() {
    for kind in kinds(&Scene::new()) {
        let scene = Scene::new();
        let tree = scene.tree("a one\nsub/b two\n");
        let stack = scene.store.layer_of(kind, true, &tree, &[]).expect("layers");
        let layer = stack.layers[0].path.parent().expect("a parent").to_owned();
        drop(stack);
        let earlier_boot = || {
            let text = std::fs::read_to_string(layer.join("layer")).expect("a description");
            let (before, _) = text.split_once("standing ").expect("a standing");
            std::fs::write(layer.join("layer"), format!("{before}standing another\n"))
                .expect("a description");
        };
        earlier_boot();
        let inode =
            |path: &std::path::Path| std::os::unix::fs::MetadataExt::ino(&path.metadata().expect("a status"));
        let before = inode(&layer);
        scene.store.layer_of(kind, true, &tree, &[]).expect("layers");
        assert_eq!(inode(&layer), before);
        assert!(!std::fs::read_to_string(layer.join("layer")).expect("a description").contains("another"));
        // As a crash may leave it.
        earlier_boot();
        std::fs::write(layer.join("tree/sub/b"), "").expect("a file");
        let stack = scene.store.layer_of(kind, true, &tree, &[]).expect("layers");
        if let Some(shown) = look(&stack) {
            assert_eq!(sorted(&shown), sorted(&expected("a one\nsub/b two\n")));
        }
    }
}

#[test]
fn many_at_once_make_one() {
    let scene = Scene::new();
    let tree = scene.tree(&bulk("usr/share"));
    let stacks: Vec<LayerStack> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| scene.store.layer(&tree, &[]).expect("layers"))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a stack")).collect()
    });
    assert!(stacks.iter().all(|stack| stack.layers == stacks[0].layers));
}

#[test]
fn many_at_once_compare_one() {
    let scene = Scene::new();
    let tree = scene.tree("a one\nsub/b two\n");
    let layer = scene.store.layer(&tree, &[]).expect("layers").layers[0].path.clone();
    let description = layer.with_file_name("layer");
    let text = std::fs::read_to_string(&description).expect("a description");
    let (before, _) = text.split_once("standing ").expect("a standing");
    for round in 0..50 {
        std::fs::write(&description, format!("{before}standing another {round}\n")).expect("a description");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| scene.store.layer(&tree, &[]).expect("layers"));
            }
        });
        assert_eq!(std::fs::read_to_string(&description).expect("a description"), text);
    }
}

/// Two files that are too large to be copied into a layer upon another.
fn large(name: &str) -> String {
    ["a", "b"]
        .iter()
        .fold(String::new(), |text, letter| text + &format!("{name}/{letter} {}\n", letter.repeat(3 << 20)))
}

#[test]
fn large_files_are_stubs_in_every_layer() {
    let base = bulk("usr/share");
    let scene = Scene::new();
    if scene.store.layer_support().expect("an answer").reflinks {
        return;
    }
    let trees = [
        format!("{base}usr/lib/small s\n"),
        format!("{base}usr/lib/small s\n{}", large("usr/lib")),
        format!("{base}{}", large("usr/lib/new")),
        // In the place of a directory, of a file, and of a directory of which nothing is left.
        format!("{base}usr/lib/new n\n{}", large("usr/lib/small")),
    ];
    for text in &trees {
        let tree = scene.tree(text);
        let stack = scene.store.layer(&tree, &[]).expect("layers");
        if let Some(shown) = look(&stack) {
            assert_eq!(sorted(&shown), sorted(&expected(text)));
        }
        for layer in stack.layers.iter().filter(|layer| layer.refers) {
            let blocks = bytes_on_disk(&layer.path);
            assert!(blocks < 1 << 20, "{}: {blocks}", layer.path.display());
        }
    }
}

/// What the files below a directory take on the disk.
fn bytes_on_disk(path: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let status = path.symlink_metadata().expect("a status");
    if !status.is_dir() {
        return status.blocks() * 512;
    }
    std::fs::read_dir(path)
        .expect("a directory")
        .map(|entry| bytes_on_disk(&entry.expect("an entry").path()))
        .sum()
}

#[test]
fn an_object_that_turns_out_to_be_damaged_is_not_shown_any_longer() {
    let scene = Scene::new();
    let tree = scene.tree("a one\nb two\n");
    drop(scene.store.layer(&tree, &[]).expect("layers"));
    let object = scene.store.object_path(&Digest::of(b"one"));
    std::fs::set_permissions(&object, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("a mode");
    // The same inode, so stubs show it too.
    std::fs::write(&object, "eno").expect("a file");
    scene.store.read(&Digest::of(b"one")).expect_err("an error");
    scene.store.layer(&tree, &[]).expect_err("an error");
    scene.store.write(b"one").expect("a digest");
    let stack = scene.store.layer(&tree, &[]).expect("layers");
    if let Some(shown) = look(&stack) {
        assert_eq!(sorted(&shown), sorted(&expected("a one\nb two\n")));
    }
}
