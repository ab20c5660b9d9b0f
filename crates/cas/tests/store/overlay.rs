//! Looks at layers through an overlay in a user namespace, as a sandbox does.

use bourn_cas::LayerStack;
use std::process::{Command, Stdio};

/// Mounts the overlays that are given as pairs of options and directory, and shows the last: every path with mode,
/// time, size of files and target of links, then the content of all files.
const LOOK: &str = r#"
set -e
while [ $# -gt 0 ]; do
    mount -t overlay overlay -o "userxattr,$1" "$2"
    top=$2
    shift 2
done
cd "$top"
find . -mindepth 1 \( -type d -printf '%P/ %m %T@\n' -o -type l -printf '%P -> %l %T@\n' -o -printf '%P %m %T@ %s\n' \) | sort
find . -type f | sort | while read -r file; do printf '%s=' "$file"; head -c 100 "$file"; echo; done
"#;

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
/// What an overlay of these layers shows; `None`, said loudly, where there are no user namespaces.
pub(crate) fn look(stack: &LayerStack) -> Option<String> {
    let place = tempfile::tempdir().expect("a directory");
    let directory = |name: String| {
        let path = place.path().join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        path.display().to_string()
    };
    let content = stack.content.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let mut mounts: Vec<String> = Vec::new();
    let mut lowers: Vec<String> = Vec::new();
    let mut last = String::new();
    for (number, layer) in stack.layers.iter().enumerate() {
        let path = layer.path.display().to_string();
        match (layer.refers, number + 1 == stack.layers.len()) {
            (true, false) => {
                let own = directory(format!("own{number}"));
                mounts.extend([format!("lowerdir={path}::{content}"), own.clone()]);
                lowers.push(own);
            }
            (true, true) => {
                lowers.push(path);
                last = format!("::{content}");
            }
            (false, _) => lowers.push(path),
        }
    }
    if lowers.len() == 1 && last.is_empty() {
        // An overlay wants two layers at least, unless it has an upper one.
        lowers.push(directory("empty".into()));
    }
    mounts.extend([format!("lowerdir={}{last}", lowers.join(":")), directory("top".into())]);
    let output = Command::new("unshare")
        .args(["-Urm", "sh", "-c", LOOK, "look"])
        .args(&mounts)
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output)
            if Command::new("unshare")
                .args(["-Urm", "true"])
                .status()
                .is_ok_and(|status| status.success()) =>
        {
            panic!("{mounts:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        _ => {
            eprintln!("SKIPPED: there are no user namespaces here, so nothing can look through an overlay");
            None
        }
    }
}
