//! Values as they go over the pipe.

use bourn_plan::{KeyValue, Weight};
use bourn_yaml::{Files, Mapping, Node, Provenance, Value};
use serde_json::{Value as Json, json};

/// A node with the places of its parts, as `python/buildstream/node.py` reads it.
pub fn node(node: &Node, files: &Files) -> Json {
    let place = place(node.at, files);
    match &node.value {
        Value::Null => json!(["s", null, place]),
        Value::Scalar(text) => json!(["s", text.as_str(), place]),
        Value::Sequence(items) => {
            let items: Vec<Json> = items.iter().map(|item| self::node(item, files)).collect();
            json!(["l", items, place])
        }
        Value::Mapping(entries) => {
            let entries: Vec<Json> =
                entries.iter().map(|(key, value)| json!([key.as_str(), self::node(value, files)])).collect();
            json!(["m", entries, place])
        }
    }
}

/// `[file, line, column]`, or null.
pub fn place(at: Provenance, files: &Files) -> Json {
    match files.position(at) {
        Some(position) => json!([position.file, position.line, position.column]),
        None => Json::Null,
    }
}

/// A place as plugins print it, or null.
pub fn position(at: Provenance, files: &Files) -> Json {
    let text =
        |at: bourn_yaml::file::Position| format!("{} [line {} column {}]", at.file, at.line, at.column);
    files.position(at).map_or(Json::Null, |at| text(at).into())
}

/// What a plugin blames: where its message begins with the place of a node, that node's place and the rest of the
/// message, as diagnostics print places themselves. A plugin that names itself, as `KIND source at PLACE`, or names no
/// place that is in the nodes, blames its own.
pub fn blamed<'m>(
    mut message: &'m str,
    own: Provenance,
    nodes: &[&Node],
    files: &Files,
) -> (Provenance, &'m str) {
    while let Some((place, rest)) = message.split_once("]: ") {
        let place =
            place.split_once(" element at ").or(place.split_once(" source at ")).map_or(place, |(_, at)| at);
        let place = format!("{place}]");
        if position(own, files).as_str() == Some(&place) {
            message = rest;
        } else if let Some(found) = nodes.iter().find_map(|node| placed(node, &place, files)) {
            return (found, rest);
        } else {
            break;
        }
    }
    (own, message)
}

/// Where in a node something is that plugins place there.
fn placed(node: &Node, place: &str, files: &Files) -> Option<Provenance> {
    if position(node.at, files).as_str() == Some(place) {
        return Some(node.at);
    }
    match &node.value {
        Value::Sequence(items) => items.iter().find_map(|item| placed(item, place, files)),
        Value::Mapping(entries) => entries.iter().find_map(|(_, value)| placed(value, place, files)),
        Value::Null | Value::Scalar(_) => None,
    }
}

/// What a plugin says enters its key. Floating-point numbers have no place in keys and are kept as text.
pub fn key(value: &Json) -> KeyValue {
    match value {
        Json::Null => KeyValue::Null,
        Json::Bool(truth) => KeyValue::Bool(*truth),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => KeyValue::Integer(integer),
            None => number.to_string().into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => KeyValue::List(items.iter().map(key).collect()),
        Json::Object(entries) => {
            KeyValue::object(entries.iter().map(|(name, value)| (name.as_str(), key(value))))
        }
    }
}

/// A node made of plain values, as Python's `strip_node_info()` gives them.
pub fn plain(value: &Json) -> Node {
    match value {
        Json::Null => Node::null(),
        Json::Bool(truth) => Node::from(*truth),
        Json::Number(number) => Node::scalar(number.to_string()),
        Json::String(text) => Node::scalar(text.as_str()),
        Json::Array(items) => Node::sequence(items.iter().map(plain).collect()),
        Json::Object(entries) => {
            let mut mapping = Mapping::new();
            for (name, value) in entries {
                mapping.insert(name.as_str(), plain(value));
            }
            Node::mapping(mapping)
        }
    }
}

/// A value as plain JSON.
pub fn json(value: &KeyValue) -> Json {
    match value {
        KeyValue::Null => Json::Null,
        KeyValue::Bool(truth) => (*truth).into(),
        KeyValue::Integer(number) => (*number).into(),
        KeyValue::Text(text) => text.as_str().into(),
        KeyValue::Node(node) => stripped(node),
        KeyValue::List(items) => items.iter().map(json).collect(),
        KeyValue::Object(entries) => {
            Json::Object(entries.iter().map(|(name, value)| (name.to_string(), json(value))).collect())
        }
    }
}

/// A node without its places.
fn stripped(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Scalar(text) => text.as_str().into(),
        Value::Sequence(items) => items.iter().map(stripped).collect(),
        Value::Mapping(entries) => {
            Json::Object(entries.iter().map(|(key, value)| (key.to_string(), stripped(value))).collect())
        }
    }
}

/// How much a message of a plugin matters while the project is loaded, where nothing but warnings and infos is told.
pub fn weight(kind: &str) -> Option<Weight> {
    match kind {
        "warn" => Some(Weight::Warning),
        "info" => Some(Weight::Info),
        _ => None,
    }
}
