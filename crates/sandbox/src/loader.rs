//! Whether a tree has programs of 32 bits.
//!
//! Most of these ask for the attributes of a file in a form that has 32 bits for its number, and are told of an
//! overflow (`EOVERFLOW`) where the number does not fit. They cannot run without their loader, which is always in the
//! same place.

use bourn_cas::Store;
use bourn_reapi::services::ServiceResult;
use bourn_reapi::{Cas, Digest, Directory};
use std::collections::VecDeque;
use std::sync::Arc;

/// How the loaders of 32 bits begin that are in `/lib`: those of glibc and of musl.
const LOADERS: [&str; 12] = [
    "ld-linux.so.",
    "ld-linux-arm",
    "ld-linux-riscv32",
    "ld-linux-mipsn8.so.",
    "ld.so.",
    "ld-uClibc.so.",
    "ld-musl-i386.",
    "ld-musl-arm.",
    "ld-musl-armhf.",
    "ld-musl-armeb",
    "ld-musl-mips",
    "ld-musl-powerpc.",
];

/// As many links lead to a directory at most; the kernel follows as many.
const LINKS: u32 = 40;

/// Whether such programs could run in a tree.
pub(crate) fn has_small_programs(store: &Store, tree: &Digest) -> ServiceResult<bool> {
    if cfg!(target_pointer_width = "32") {
        return Ok(true);
    }
    let Some(libraries) = find(store, tree, "lib")? else { return Ok(false) };
    let names = libraries.files.iter().map(|node| &node.name);
    let mut all = names.chain(libraries.symlinks.iter().map(|node| &node.name));
    Ok(all.any(|name| LOADERS.iter().any(|loader| name.starts_with(loader))))
}

/// The directory at a path of a tree, wherever links lead.
fn find(store: &Store, tree: &Digest, path: &str) -> ServiceResult<Option<Arc<Directory>>> {
    let root = store.directory(tree)?;
    let mut way = vec![root];
    let mut ahead: VecDeque<String> = path.split('/').map(str::to_owned).collect();
    let mut links = 0;
    while let Some(name) = ahead.pop_front() {
        let Some(here) = way.last().cloned() else { return Ok(None) };
        if matches!(name.as_str(), "" | ".") {
            continue;
        }
        if name == ".." {
            way.truncate(way.len().saturating_sub(1).max(1));
        } else if let Some(node) = here.directory(&name) {
            way.push(store.directory(&node.content()?)?);
        } else if let Some(link) = here.symlink(&name)
            && links < LINKS
        {
            links += 1;
            way.truncate(if link.target.starts_with('/') { 1 } else { way.len() });
            link.target.rsplit('/').for_each(|name| ahead.push_front(name.to_owned()));
        } else {
            return Ok(None);
        }
    }
    Ok(way.pop())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bourn_reapi::services::ImportOptions;

    #[test]
    fn loaders_are_found_wherever_their_directory_is() {
        check("lib/ld-linux.so.2", None, true);
        check("lib/ld-linux-x86-64.so.2", None, false);
        check("lib/ld-linux-aarch64.so.1", None, false);
        check("lib/ld-linux-armhf.so.3", None, true);
        check("lib/ld-musl-x86_64.so.1", None, false);
        check("lib/ld-musl-i386.so.1", None, true);
        check("lib/ld-musl-aarch64.so.1", None, false);
        check("usr/lib/ld-linux.so.2", Some("usr/lib"), true);
        check("usr/lib/ld-linux.so.2", Some("/usr/./lib/"), true);
        check("usr/lib/ld-linux.so.2", Some("../usr/lib/../lib"), true);
        check("usr/lib/ld-linux.so.2", Some("lib"), false);
        check("usr/lib/ld-linux.so.2", Some("nowhere"), false);
        check("usr/lib/ld-linux.so.2", None, false);
    }

    fn check(file: &str, lib: Option<&str>, expect: bool) {
        let directory = tempfile::tempdir().expect("a directory");
        let tree = directory.path().join("tree");
        let path = tree.join(file);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(&path, "").expect("a file");
        if let Some(target) = lib {
            std::os::unix::fs::symlink(target, tree.join("lib")).expect("a link");
        }
        let store = Store::open(&directory.path().join("cache")).expect("a store");
        let digest = store.import_tree(&tree, &ImportOptions::default()).expect("imported");
        assert_eq!(has_small_programs(&store, &digest).expect("a whole tree"), expect, "{file} {lib:?}");
    }
}
