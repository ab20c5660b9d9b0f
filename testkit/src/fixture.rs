//! Files from one string, so that a test shows what it is about.
//!
//! ```text
//! === project.conf
//! name: demo
//! === elements/hello.bst
//! kind: stack
//! === files/tool (executable)
//! #!/bin/sh
//! === files/link -> tool
//! ```

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes every file that the text describes below `directory`, over what is there.
///
/// # Panics
/// Something stands before the first heading, or a file cannot be written.
pub fn write(directory: &Path, text: &str) {
    std::fs::create_dir_all(directory).expect("a directory");
    let text = text.strip_prefix('\n').unwrap_or(text);
    let mut parts = text.split("=== ");
    let before = parts.next().unwrap_or_default();
    assert!(before.trim().is_empty(), "text before the first file: {before}");
    for part in parts {
        let (heading, content) = part.split_once('\n').unwrap_or((part, ""));
        write_one(directory, heading.trim(), content);
    }
}

fn write_one(directory: &Path, heading: &str, content: &str) {
    let (heading, target) = match heading.split_once(" -> ") {
        Some((path, target)) => (path, Some(target)),
        None => (heading, None),
    };
    let (name, executable) = match heading.strip_suffix(" (executable)") {
        Some(name) => (name, true),
        None => (heading, false),
    };
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().unwrap_or(directory)).expect("a directory");
    match target {
        Some(target) => std::os::unix::fs::symlink(target, &path).expect("a link"),
        None if executable => program(&path, content),
        None => std::fs::write(&path, content).expect("a file"),
    }
}

/// Writes a script that can be run at once.
///
/// It is written by another process: one that another test splits off while this one has the file open for writing
/// would have it open as well, until it executes its own program, and the kernel runs no such file.
///
/// # Panics
/// It cannot be written.
pub fn program(path: &Path, text: &str) {
    let mut writer = Command::new("sh")
        .args(["-ec", "cat > \"$0\"; chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell");
    writer.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("the script");
    assert!(writer.wait().expect("an end").success(), "{} was not written", path.display());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_of_all_sorts() {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path(), "\n=== a/b\none\ntwo\n=== tool (executable)\n#!\n=== link -> tool\n");
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect("a file");
        assert_eq!(read("a/b"), "one\ntwo\n");
        assert_eq!(read("link"), "#!\n");
        let mode = directory.path().join("tool").metadata().expect("a file").permissions().mode();
        assert_eq!(mode & 0o111, 0o111);
    }
}
