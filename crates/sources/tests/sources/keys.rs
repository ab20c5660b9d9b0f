//! Keys and provenance of every kind, against what the reference answered to the same declarations.

use crate::fixture::Fixture;
use bourn_plan::{KeyValue, ProvenanceContext};
use serde_json::Value;

const PROJECT: &str = "
aliases:
  up: https://up.example.com/
  git: https://git.example.com/
  crates: https://crates.example.com/
source-provenance-attributes:
  homepage: x
  issue-tracker: y
  by: z
";

fn fixture() -> Fixture {
    let fixture = Fixture::new(PROJECT);
    fixture.write("files/a.txt", "hello\n");
    let run = fixture.write("files/dir/run", "#!/bin/sh\n");
    std::fs::set_permissions(run, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    fixture.write("files/dir/sub/x", "x");
    std::os::unix::fs::symlink("run", fixture.path("files/dir/link")).expect("a link");
    fixture.write("patches/1.patch", "one\n");
    fixture.write("patches/2.patch", "two\n");
    fixture
}

fn json(value: &KeyValue) -> Value {
    serde_json::from_str(&value.to_json()).expect("JSON")
}

/// JSON with entries in the order in which they come.
fn in_order(value: &KeyValue) -> Value {
    match value {
        KeyValue::Object(entries) => {
            entries.iter().map(|(name, value)| (name.to_string(), in_order(value))).collect()
        }
        other => json(other),
    }
}

/// `ErrorDomain.LOAD LoadErrorReason.MISSING_FILE …` or `ErrorDomain.SOURCE missing-track-and-ref …`.
fn reason(line: &str) -> String {
    let reason = line.split(' ').nth(2).unwrap_or_default();
    match reason.strip_prefix("LoadErrorReason.") {
        Some(reason) => reason.to_lowercase().replace('_', "-"),
        None if reason == "None" => String::new(),
        None => reason.to_owned(),
    }
}

fn check(fixture: &mut Fixture, case: &str) -> Result<(), String> {
    let (head, rest) = case.split_once('\n').ok_or("no head")?;
    let mut releases = head.trim_start_matches("#@ ").split(' ').map(str::to_owned);
    fixture.releases = (releases.next().ok_or("no release")?, releases.next().ok_or("no release")?);
    let expected = |name: &str| rest.lines().find_map(|line| line.strip_prefix(&format!("# {name}: ")));
    let source = match (fixture.source(rest), expected("error")) {
        (Ok(source), None) => source,
        (Ok(_), Some(error)) => return Err(format!("accepted, not {error}")),
        (Err(found), Some(error)) if found.0[0].code == reason(error) => return Ok(()),
        (Err(found), expect) => {
            return Err(format!("refused with {:?} {found}, not {expect:?}", found.0[0].code));
        }
    };
    let key = json(&source.unique_key(&fixture.local).map_err(|error| error.message)?);
    let expect: Value =
        serde_json::from_str(expected("key").ok_or("no key")?).map_err(|error| error.to_string())?;
    if key != expect || !source.is_resolved() {
        return Err(format!("key\n{key}\nnot\n{expect}"));
    }
    let context = ProvenanceContext {
        project: &fixture.project,
        local: &fixture.local,
        source_directory: &fixture.path("s"),
    };
    let told = source.provenance(&context).map_err(|error| error.message)?.map(|told| {
        told.into_iter().map(|one| in_order(&KeyValue::object(one.entries)).to_string()).collect()
    });
    let told: Vec<String> = told.unwrap_or_default();
    let expect: Vec<Value> =
        serde_json::from_str(expected("info").unwrap_or("[]")).map_err(|error| error.to_string())?;
    let expect: Vec<String> = expect.iter().map(Value::to_string).collect();
    if told != expect {
        return Err(format!("provenance\n{told:#?}\nnot\n{expect:#?}"));
    }
    let again = match source.reference() {
        Some(reference) => source.with_reference(&reference).map_err(|error| error.to_string())?,
        None => return Ok(()),
    };
    if json(&again.unique_key(&fixture.local).map_err(|error| error.message)?) != key {
        return Err("another key once its own ref is set".to_owned());
    }
    Ok(())
}

#[test]
fn keys_and_provenance_are_the_reference_s() {
    let mut fixture = fixture();
    let cases: Vec<&str> = include_str!("keys.golden").split("\n---\n").collect();
    let mut wrong = Vec::new();
    for case in &cases {
        if let Err(why) = check(&mut fixture, case.trim()) {
            wrong.push(format!("{case}\n>>> {why}\n"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Which URL of a crate has to have an alias: before 2.0.3 of the community's plugins the one that `git-mirrors` gives.
#[test]
fn aliases_of_crates_depend_on_the_release() {
    let mut fixture = Fixture::new(
        "fatal-warnings: [unaliased-url]\naliases: {crates: 'https://crates.example.com/', up: 'https://up.example.com/'}",
    );
    let commit = "0123456789012345678901234567890123456789";
    let of = |repo: &str| {
        format!(
            "kind: cargo2\nurl: 'crates:'\ngit-mirrors: {{'https://github.com/': 'up:', 'up:own/': \
             'https://own.example.com/'}}\nref:\n- {{kind: git, name: a, version: 1.0.0, commit: '{commit}', repo: '{repo}'}}\n"
        )
    };
    let (mirrored, aliased) = (of("https://github.com/a/a"), of("up:own/a"));
    for (release, refused) in [("2.0.2", &aliased), ("2.0.3", &mirrored), ("2.4.0", &mirrored)] {
        fixture.releases.1 = release.to_owned();
        for text in [&mirrored, &aliased] {
            let code = fixture.source(text).err().map(|found| found.0[0].code);
            assert_eq!(code, (text == refused).then_some("unaliased-url"), "{release}: {text}");
        }
    }
}
