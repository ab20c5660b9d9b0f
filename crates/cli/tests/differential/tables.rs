//! Tables of projects: each is given to both programs, and both have to say the same about it.
//!
//! A table is a file in `cases`. A case begins with `##### EXPECTED: NAME | ARGUMENTS`, its files follow as a fixture.
//! `EXPECTED` is `accepted`, and then standard output is compared, or the reason for which both refuse it, and then
//! domain and reason are compared, and bourn's place has to be one that the reference names, if it names any. Where
//! the reference ends with a Python exception, or accepts what cannot work, there are two words: how the reference
//! answers (`crashed`, `accepted`, or a reason whose place bourn names better), and the reason for which bourn
//! refuses.

use crate::Both;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs command lines of the reference.
const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/reference.py");

/// What a case that has none of its own has for a project.conf.
const PROJECT: &str = "=== project.conf\nname: test\nmin-version: 2.0\n";

struct Case {
    expected: String,
    name: String,
    words: Vec<String>,
    fixture: String,
}

/// How a command line ended.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Output(String),
    Refusal { domain: String, reason: String, places: Vec<String> },
}

impl Answer {
    /// The word for it in a table.
    fn word(&self) -> &str {
        match self {
            Answer::Output(_) => "accepted",
            Answer::Refusal { reason, .. } => reason,
        }
    }

    /// Whether the reference would agree with what bourn said. Where it names no place, naming one is better.
    fn agrees(&self, bourn: &Answer) -> bool {
        match (self, bourn) {
            (Answer::Output(theirs), Answer::Output(ours)) => ours == theirs,
            (
                Answer::Refusal { domain, reason, places },
                Answer::Refusal { domain: our_domain, reason: our_reason, places: our_places },
            ) => {
                let placed = match our_places.first() {
                    Some(place) => places.is_empty() || places.contains(place),
                    None => places.is_empty(),
                };
                domain == our_domain && reason == our_reason && placed
            }
            _ => false,
        }
    }
}

fn cases(table: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/cases").join(table);
    let text = std::fs::read_to_string(path).expect("a table of cases");
    text.split("##### ").skip(1).map(case).collect()
}

fn case(text: &str) -> Case {
    let (heading, fixture) = text.split_once('\n').expect("files after the heading");
    let (expected, rest) = heading.split_once(": ").expect("what is expected");
    let (name, arguments) = rest.split_once(" | ").expect("arguments");
    Case {
        expected: expected.to_owned(),
        name: name.to_owned(),
        words: words(arguments),
        fixture: escapes(fixture),
    }
}

/// Words of a command line; apostrophes hold together what has blanks in it.
fn words(arguments: &str) -> Vec<String> {
    let parts = arguments.split('\'').enumerate();
    parts
        .flat_map(|(number, part)| match number % 2 {
            0 => part.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
            _ => vec![part.replace("\\n", "\n")],
        })
        .collect()
}

/// What cannot stand in a table: `<TAB>`, and `<NO LINE>` for a line that does not end.
fn escapes(text: &str) -> String {
    text.replace("<TAB>", "\t").replace("<NO LINE>\n", "").replace("<BELL>", "\u{7}")
}

/// The places in a message, as `file [line 1 column 2]`.
fn places(message: &str, project: &Path) -> Vec<String> {
    let prefix = format!("{}/", project.display());
    let mut found = Vec::new();
    for (end, _) in message.match_indices(" [line ") {
        let name = message[..end].rsplit([' ', '\n', '\'', '"', '(']).next().unwrap_or_default();
        let rest = &message[end..];
        let position = &rest[..=rest.find(']').expect("the end of the place")];
        found.push(format!("{}{position}", name.strip_prefix(&prefix).unwrap_or(name)));
    }
    found.extend(marks(message));
    found
}

/// The places that a YAML parser names, in its own way.
fn marks(message: &str) -> Vec<String> {
    let Some(end) =
        ["Malformed YAML:", "Severely malformed YAML:"].iter().find_map(|word| message.find(word))
    else {
        return Vec::new();
    };
    let name = message[..end].trim_end_matches([' ', ':']).rsplit(' ').next().unwrap_or_default();
    let numbers = |text: &str| -> Vec<usize> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).take(2).collect()
    };
    let place = |line: usize, column: usize| format!("{name} [line {line} column {column}]");
    let counted_from_one =
        message.match_indices("line ").filter_map(|(at, _)| match numbers(&message[at..])[..] {
            [line, column] if message[at..].contains(", column ") => {
                Some(place(line, column.saturating_sub(1)))
            }
            _ => None,
        });
    let counted_from_zero =
        message.match_indices("at line ").filter_map(|(at, _)| match numbers(&message[at..])[..] {
            [line, column] => Some(place(line + 1, column)),
            _ => None,
        });
    counted_from_one.chain(counted_from_zero).collect()
}

/// Gives every case of a table to both programs.
fn check(table: &str) {
    let Some(both) = Both::new("=== project.conf\nname: none\nmin-version: 2.0\n") else { return };
    let cases = cases(table);
    assert!(!cases.is_empty(), "no cases in {table}");
    let wanted = std::env::var("BOURN_CASE").unwrap_or_default();
    let chosen: Vec<&Case> = cases.iter().filter(|case| case.name.contains(&wanted)).collect();
    let places: Vec<PathBuf> =
        (0..chosen.len()).map(|number| both.bourn.path().join(format!("case{number}"))).collect();
    for (case, at) in chosen.iter().zip(&places) {
        bourn_testkit::fixture::write(&at.join("project"), PROJECT);
        bourn_testkit::fixture::write(&at.join("project"), &case.fixture);
        configure(&at.join("home"));
    }
    let theirs = reference(&both.bst, &chosen, &places);
    let mut wrong = Vec::new();
    for ((case, at), theirs) in chosen.iter().zip(&places).zip(theirs) {
        let ours = bourn(&both, case, at);
        let good = match case.expected.split_once(", ") {
            None => theirs.0.word() == case.expected && theirs.0.agrees(&ours.0),
            Some((word, reason)) => theirs.0.word() == word && ours.0.word() == reason,
        };
        if !good {
            wrong.push(format!(
                "{}: expected {}\nbourn: {:#?}\n{}\nbst: {:#?}\n{}",
                case.name, case.expected, ours.0, ours.1, theirs.0, theirs.1
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ in {table}:\n{}",
        wrong.len(),
        chosen.len(),
        wrong.join("\n\n")
    );
}

fn configure(home: &Path) {
    let config = home.join(".config");
    std::fs::create_dir_all(&config).expect("a home");
    let text = format!(
        "cachedir: {0}/cache\nsourcedir: {0}/sources\nlogdir: {0}/logs\ncache: {{reserved-disk-space: 0}}\n",
        home.display()
    );
    std::fs::write(config.join("buildstream.conf"), text).expect("a configuration");
}

/// How the reference answers, and what it printed.
fn reference(bst: &Path, cases: &[&Case], places: &[PathBuf]) -> Vec<(Answer, String)> {
    let input: Vec<serde_json::Value> = cases
        .iter()
        .zip(places)
        .map(|(case, at)| {
            serde_json::json!({
                "directory": at.join("project"), "home": at.join("home"), "words": case.words,
            })
        })
        .collect();
    let python = bst.with_file_name("python3");
    let mut child = Command::new(python)
        .arg(DRIVER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the reference's Python");
    let text = serde_json::Value::from(input).to_string();
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("cases written");
    let output = child.wait_with_output().expect("the reference's answers");
    let results: Vec<BTreeMap<String, serde_json::Value>> =
        serde_json::from_slice(&output.stdout).expect("the reference's answers as JSON");
    results.iter().zip(places).map(|(result, at)| reference_answer(result, at)).collect()
}

fn reference_answer(result: &BTreeMap<String, serde_json::Value>, at: &Path) -> (Answer, String) {
    let text = |key: &str| result.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    if result["status"] == 0 {
        return (Answer::Output(text("stdout")), text("stderr"));
    }
    let message = text("message");
    let places = places(&message, &at.join("project"));
    (Answer::Refusal { domain: text("domain"), reason: text("reason"), places }, message)
}

/// How bourn answers, and what it printed.
fn bourn(both: &Both, case: &Case, at: &Path) -> (Answer, String) {
    let report = at.join("report.json");
    let words: Vec<&str> = case.words.iter().map(String::as_str).collect();
    let mut command = both.bourn.command(&words);
    command.env("HOME", at.join("home")).env("TMPDIR", at.join("home"));
    command.env("BOURN_ERROR_REPORT", &report).current_dir(at.join("project"));
    let output = command.stdin(Stdio::null()).output().expect("bourn started");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return (Answer::Output(String::from_utf8_lossy(&output.stdout).into_owned()), stderr);
    }
    let report = std::fs::read_to_string(report).unwrap_or_else(|_| panic!("no report: {}", stderr));
    let report: serde_json::Value = serde_json::from_str(&report).expect("a report");
    let text = |key: &str| report["main"][key].as_str().unwrap_or_default().to_owned();
    let message = text("message");
    let places = places(&message, &at.join("project"));
    (Answer::Refusal { domain: text("domain"), reason: text("reason"), places }, stderr)
}

/// Reasons that no command line leads to: nothing in the reference raises the first, and it answers the second itself.
const UNSEEN: [&str; 2] = ["unsupported-plugin", "missing-project-conf"];

/// The reference lists the reasons for which it refuses to load; each has a case on which both agree.
#[test]
fn every_reason_has_a_case() {
    let Some(both) = Both::new(PROJECT) else { return };
    let list = "from buildstream.exceptions import LoadErrorReason\n\
                print(*[reason.name.lower().replace('_', '-') for reason in LoadErrorReason])";
    let answer = Command::new(both.bst.with_file_name("python3")).args(["-c", list]).output();
    let answer = String::from_utf8(answer.expect("the reference's Python").stdout).expect("text");
    let reasons: Vec<&str> = answer.split_whitespace().collect();
    assert!(reasons.len() >= 28, "{answer}");
    let tables = [
        "elements.txt",
        "junctions.txt",
        "options.txt",
        "plugins.txt",
        "reasons.txt",
        "show.txt",
        "users.txt",
    ];
    let known: Vec<String> = tables.iter().flat_map(|table| cases(table)).map(|case| case.expected).collect();
    for reason in reasons {
        let has = known.iter().any(|expected| expected == reason);
        assert_eq!(has, !UNSEEN.contains(&reason), "cases whose outcome is {reason}");
    }
}

/// A test for each table.
macro_rules! tables {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(concat!(stringify!($name), ".txt"));
            }
        )*
    };
}

tables! {
    elements
    junctions
    options
    plugins
    reasons
    show
    users
}
