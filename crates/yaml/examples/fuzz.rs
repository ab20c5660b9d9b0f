//! Looks for texts that break what holds for all texts: `cargo run --release --example fuzz -- TARGET SECONDS [SEED]`.
//!
//! The seconds are of processor time, so an hour is an hour on a busy machine too. Every five minutes of them a line
//! says how far it is. Targets are `parse`, `compose` and `edit`. Texts are mutated from the corpus of the tests and put together from
//! pieces that mean something to YAML. The first text that breaks a property, or takes long, is printed; then it
//! belongs into `tests/reference/corpus`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

#[path = "../tests/reference/properties.rs"]
mod properties;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What means something to YAML or to bst.
const PIECES: &[&str] = &[
    "a",
    "b: ",
    "- ",
    "? ",
    ": ",
    ":",
    "-",
    "?",
    "[",
    "]",
    "{",
    "}",
    ", ",
    ",",
    "\n",
    "\n",
    "\n",
    "  ",
    " ",
    "\t",
    "#",
    " # c",
    "\"",
    "'",
    "|",
    ">",
    "|-\n",
    ">+\n",
    "|2\n",
    "%YAML 1.1\n",
    "%TAG ! tag:yaml.org,2002:\n",
    "---",
    "---\n",
    "...\n",
    "!",
    "!!str ",
    "!foo ",
    "!<tag:yaml.org,2002:x> ",
    "&a ",
    "*a",
    "\\",
    "\\n",
    "\\x41",
    "\\u00e9",
    "\\\n",
    "\r\n",
    "\r",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "é",
    "日本",
    "\u{a0}",
    "~",
    "null",
    "key: value\n",
    "- item\n",
    "  nested: x\n",
    "k: [a, b]\n",
    "k: {a: b, c}\n",
    "k: |\n  text\n\n   deep\n",
    "k: >\n  fold\n  ed\n",
    "'it''s'",
    "plain\n  multi\n",
    "(>)",
    "(<): [x]\n",
    "(=): []\n",
    "(?)",
    "(>):\n- y\n",
    "=====\n",
    "=====\n",
    "\u{7}",
    "[[[[[[[[",
    "{a: {a: {a: ",
    "- - - - ",
    "\u{1c}",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

/// How often a line is printed, in processor time.
const REPORT: Duration = Duration::from_secs(300);

/// Longer than this for one text is a finding.
const SLOW: Duration = Duration::from_millis(1500);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(target), Some(seconds)) = (arguments.first(), arguments.get(1).and_then(|s| s.parse().ok()))
    else {
        eprintln!("usage: fuzz parse|compose|edit SECONDS [SEED]");
        return ExitCode::from(2);
    };
    let check = match target.as_str() {
        "parse" => properties::parses,
        "compose" => properties::composes,
        "edit" => properties::edits,
        _ => {
            eprintln!("no such target: {target}");
            return ExitCode::from(2);
        }
    };
    let seed = arguments.get(2).and_then(|s| s.parse().ok()).unwrap_or(1);
    hunt(check, Duration::from_secs(seconds), Chance(seed), corpus(target))
}

fn hunt(check: fn(&str), time: Duration, mut chance: Chance, mut pool: Vec<String>) -> ExitCode {
    let (mut count, mut good) = (0_u64, 0_u64);
    let (mut used, mut told) = (processor_time(), Duration::ZERO);
    while used < time {
        if used - told >= REPORT {
            told = used;
            println!("{count} texts, {good} of them good YAML, in {} s so far", used.as_secs());
        }
        // Asking for the time costs as much as trying a text out.
        if count.is_multiple_of(256) {
            used = processor_time();
        }
        let text = invent(&mut chance, &pool);
        count += 1;
        if let Some(verdict) = try_out(check, &text) {
            println!("{verdict} after {count} texts:\n{text:?}");
            return ExitCode::FAILURE;
        }
        let is_good = text.split("=====\n").all(|text| bourn_yaml::parse_text(text, None).is_ok());
        good += u64::from(is_good);
        // Good texts breed: most mutations are refused at once, those that are not lead deeper.
        if is_good && pool.len() < 4000 && text.len() < 2000 {
            pool.push(text);
        } else if pool.len() >= 4000 && chance.below(1000) == 0 {
            pool.truncate(800);
        }
    }
    println!("{count} texts, {good} of them good YAML, in {} s: nothing found", used.as_secs());
    ExitCode::SUCCESS
}

/// How long a processor has been at this program: the first number of `/proc/self/schedstat`, in nanoseconds.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0))
}

/// What is wrong with a text. On a busy machine anything is slow once.
fn try_out(check: fn(&str), text: &str) -> Option<&'static str> {
    for _ in 0..4 {
        let begun = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| check(text))).is_err() {
            return Some("broken");
        }
        if begun.elapsed() < SLOW {
            return None;
        }
    }
    Some("slow")
}

/// The texts to begin with.
fn corpus(target: &str) -> Vec<String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let table = if target == "compose" { "compose.txt" } else { "parse.txt" };
    let table = std::fs::read_to_string(tests.join(table)).unwrap_or_default();
    let mut texts: Vec<String> = table.lines().map(|line| from_table(target, line)).collect();
    for file in std::fs::read_dir(tests.join("corpus")).into_iter().flatten().flatten() {
        if let Ok(bytes) = std::fs::read(file.path()) {
            texts.push(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    texts
}

fn from_table(target: &str, line: &str) -> String {
    let columns: Vec<String> = line
        .split('\t')
        .map(|text| text.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r"))
        .collect();
    let inputs = &columns[..columns.len().saturating_sub(1)];
    let from = usize::from(target == "compose").min(inputs.len());
    inputs[from..].join("=====\n")
}

/// A new text from one of the pool.
fn invent(chance: &mut Chance, pool: &[String]) -> String {
    let mut text: Vec<char> = match chance.below(8) {
        0 => Vec::new(),
        _ => pool.get(chance.below(pool.len().max(1))).map(|text| text.chars().collect()).unwrap_or_default(),
    };
    for _ in 0..=chance.below(6) {
        let at = chance.below(text.len() + 1);
        let end = (at + chance.below(8)).min(text.len());
        match chance.below(8) {
            0..=2 => drop(text.splice(at..at, PIECES[chance.below(PIECES.len())].chars())),
            3 => drop(text.splice(at..end, PIECES[chance.below(PIECES.len())].chars())),
            4 => drop(text.drain(at..end)),
            5 => {
                let from = chance.below(text.len() + 1);
                let to = (from + chance.below(40)).min(text.len());
                let copy = text[from..to].to_vec();
                text.splice(at..at, copy);
            }
            6 => {
                let indent = vec![' '; chance.below(5)];
                let line = text[..at].iter().rposition(|&c| c == '\n').map_or(0, |i| i + 1);
                text.splice(line..line, indent);
            }
            _ => {
                let other: Vec<char> = pool
                    .get(chance.below(pool.len().max(1)))
                    .map(|t| t.chars().collect())
                    .unwrap_or_default();
                let from = chance.below(other.len() + 1);
                text.truncate(at);
                text.extend(&other[from..]);
            }
        }
    }
    text.truncate(6000);
    text.into_iter().collect()
}

/// Numbers that look random and are the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit.max(1) as u64) as usize
    }
}
