//! The end of a log file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The last `count` lines of a file, without reading all of a long one. Empty if it cannot be read.
pub(crate) fn last_lines(path: &Path, count: usize) -> String {
    read_back(path, count).unwrap_or_default()
}

fn read_back(path: &Path, count: usize) -> std::io::Result<String> {
    const CHUNK: u64 = 16 * 1024;
    let mut file = File::open(path)?;
    let mut begin = file.metadata()?.len();
    let mut bytes = Vec::new();
    while begin > 0 && bytes.iter().filter(|byte| **byte == b'\n').count() <= count {
        let step = CHUNK.min(begin);
        begin -= step;
        file.seek(SeekFrom::Start(begin))?;
        let mut chunk = vec![0; step as usize];
        file.read_exact(&mut chunk)?;
        chunk.append(&mut bytes);
        bytes = chunk;
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(count)..].join("\n").trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content: &str, count: usize, expect: &str) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        std::fs::write(&path, content).expect("written");
        assert_eq!(last_lines(&path, count), expect);
    }

    #[test]
    fn ends_of_files() {
        check("", 3, "");
        check("a\nb\nc\nd\n", 2, "c\nd");
        check("a\nb", 5, "a\nb");
        check(&"x\n".repeat(20_000), 2, "x\nx");
        assert_eq!(last_lines(Path::new("/nonexistent"), 2), "");
    }
}
