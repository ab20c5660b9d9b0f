//! Projects that both refuse, at the same place.

use crate::Both;

#[track_caller]
fn check(element: &str, place: &str) {
    let fixture = format!(
        "=== project.conf\nname: wrong\nmin-version: 2.0\n=== other.bst\nkind: stack\n=== element.bst\n{element}"
    );
    let Some(both) = Both::new(&fixture) else { return };
    both.both_refuse(&["show", "element.bst"], place);
}

#[test]
fn unknown_key() {
    check("kind: manual\nconfi: {}\n", "element.bst [line 2 column 7]");
}

#[test]
fn undefined_variable() {
    check("kind: manual\nconfig:\n  build-commands:\n  - make %{prefx}\n", "element.bst [line 4 column 4]");
}

#[test]
fn circular_variable() {
    check("kind: manual\nvariables:\n  a: '%{b}'\n  b: '%{a}'\n", "element.bst [line");
}

#[test]
fn missing_dependency() {
    check("kind: manual\ndepends:\n- other.bst\n- missing.bst\n", "element.bst [line 4 column 2]");
}

#[test]
fn circular_dependency() {
    check("kind: manual\ndepends:\n- element.bst\n", "element.bst");
}

#[test]
fn duplicate_key() {
    check("kind: manual\nkind: stack\n", "element.bst");
}

#[test]
fn anchor() {
    check("kind: manual\nvariables: &anchor\n  a: b\n", "element.bst");
}

#[test]
fn wrong_type() {
    check("kind: manual\nconfig:\n  build-commands: make\n", "element.bst [line 3 column 18]");
}

#[test]
fn unknown_kind() {
    check("kind: pony\n", "element.bst [line 1 column");
}
