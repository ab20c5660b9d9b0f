//! The text that keys are the hash of: JSON as bst 2.8 writes it.
//!
//! bst hashes `ujson.dumps(value, sort_keys=True, escape_forward_slashes=False)`. What that writes, by experiment with
//! ujson 6.1: no white space; the keys of an object in order of their code points; `"` and `\` escaped by `\`; `\b`
//! `\t` `\n` `\f` `\r` by these names; the other characters below U+0020 and all from U+0080 on as `\u` and four
//! lower-case hexadecimal digits, those above U+FFFF as two surrogates; U+007F, `/`, `<`, `>` and `&` as they are.

use crate::key::KeyValue;
use bourn_yaml::{Node, Value};

/// Takes text of a key. Written to in small pieces.
pub trait Out {
    /// Takes a piece.
    fn put(&mut self, bytes: &[u8]);
}

impl Out for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Writes a string with its quotes.
pub fn text(out: &mut impl Out, text: &str) {
    out.put(b"\"");
    let mut plain = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at += plain_length(&bytes[at..]);
        if at == bytes.len() {
            break;
        }
        out.put(&bytes[plain..at]);
        at += escape(out, text, at);
        plain = at;
    }
    out.put(&bytes[plain..]);
    out.put(b"\"");
}

/// How many bytes at the start stand for themselves: ASCII but control characters, `"` and `\`.
fn plain_length(bytes: &[u8]) -> usize {
    let mut chunks = bytes.chunks_exact(8);
    let mut length = 0;
    for chunk in &mut chunks {
        let special = special(u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
        if special != 0 {
            return length + special.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let plain = |byte: &&u8| (0x20..0x80).contains(*byte) && **byte != b'"' && **byte != b'\\';
    length + chunks.remainder().iter().take_while(plain).count()
}

/// The top bit of the first byte that does not stand for itself, and maybe of later ones.
fn special(bytes: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = ONES << 7;
    let below = |bytes: u64, limit: u64| bytes.wrapping_sub(ONES * limit) & !bytes & TOPS;
    let equal = |byte: u8| below(bytes ^ (ONES * u64::from(byte)), 1);
    (bytes & TOPS) | below(bytes, 0x20) | equal(b'"') | equal(b'\\')
}

/// Writes the character at `at` escaped; answers its length in bytes.
fn escape(out: &mut impl Out, text: &str, at: usize) -> usize {
    let named: &[u8] = match text.as_bytes()[at] {
        b'"' => b"\\\"",
        b'\\' => b"\\\\",
        0x08 => b"\\b",
        b'\t' => b"\\t",
        b'\n' => b"\\n",
        0x0c => b"\\f",
        b'\r' => b"\\r",
        _ => b"",
    };
    if !named.is_empty() {
        out.put(named);
        return 1;
    }
    let character = text[at..].chars().next().unwrap_or_default();
    for unit in character.encode_utf16(&mut [0; 2]) {
        let digit = |shift: u32| b"0123456789abcdef"[(*unit >> shift) as usize & 15];
        out.put(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
    }
    character.len_utf8()
}

/// Writes a whole number.
pub fn integer(out: &mut impl Out, number: i64) {
    out.put(number.to_string().as_bytes());
}

/// Writes a truth value.
pub fn boolean(out: &mut impl Out, truth: bool) {
    out.put(if truth { b"true" } else { b"false" });
}

/// Writes the items with commas between and brackets around them.
pub fn list<O: Out, T>(out: &mut O, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut O, T)) {
    out.put(b"[");
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.put(b",");
        }
        write(out, item);
    }
    out.put(b"]");
}

/// Writes the entries, sorted by key.
pub fn object<'k, O: Out, T>(
    out: &mut O,
    entries: impl IntoIterator<Item = (&'k str, T)>,
    mut write: impl FnMut(&mut O, T),
) {
    let mut entries: Vec<(&str, T)> = entries.into_iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    out.put(b"{");
    for (at, (key, value)) in entries.into_iter().enumerate() {
        if at > 0 {
            out.put(b",");
        }
        text(out, key);
        out.put(b":");
        write(out, value);
    }
    out.put(b"}");
}

/// Writes a node without its places.
pub fn node(out: &mut impl Out, from: &Node) {
    match &from.value {
        Value::Null => out.put(b"null"),
        Value::Scalar(scalar) => text(out, scalar),
        Value::Sequence(items) => list(out, items.iter(), |out, item| node(out, item)),
        Value::Mapping(entries) => {
            object(out, entries.iter().map(|(key, value)| (key.as_str(), value)), |out, value| {
                node(out, value)
            });
        }
    }
}

/// Writes a value.
pub fn value(out: &mut impl Out, from: &KeyValue) {
    match from {
        KeyValue::Null => out.put(b"null"),
        KeyValue::Bool(truth) => boolean(out, *truth),
        KeyValue::Integer(number) => integer(out, *number),
        KeyValue::Text(string) => text(out, string),
        KeyValue::Node(from) => node(out, from),
        KeyValue::List(items) => list(out, items, |out, item| value(out, item)),
        KeyValue::Object(entries) => {
            object(out, entries.iter().map(|(key, entry)| (key.as_str(), entry)), |out, entry| {
                value(out, entry)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: impl Into<KeyValue>, expect: &str) {
        let mut out = Vec::new();
        value(&mut out, &input.into());
        assert_eq!(String::from_utf8_lossy(&out), expect);
    }

    /// What ujson 6.1 printed.
    #[test]
    fn as_ujson_writes() {
        check("plain", r#""plain""#);
        check("", r#""""#);
        check("a\"b\\c/d", r#""a\"b\\c/d""#);
        check("\u{0}\u{1}\u{8}\t\n\u{b}\u{c}\r\u{e}\u{1f}", r#""\u0000\u0001\b\t\n\u000b\f\r\u000e\u001f""#);
        check("<&>'\u{7f}", "\"<&>'\u{7f}\"");
        check("\u{80}é\u{2028}\u{ffff}", r#""\u0080\u00e9\u2028\uffff""#);
        check("0123456789 \" 0123456789 é 0123456\\", r#""0123456789 \" 0123456789 \u00e9 0123456\\""#);
        check("x😀y", r#""x\ud83d\ude00y""#);
        check(KeyValue::Null, "null");
        check(true, "true");
        check(false, "false");
        check(-9223372036854775808, "-9223372036854775808");
        check(KeyValue::List(vec![]), "[]");
        check(vec![KeyValue::from(1), KeyValue::Null], "[1,null]");
        let keys = ["b", "a", "B", "é", "_", "a-b", "😀", "\u{ffff}", ""];
        let object = KeyValue::object(keys.map(|key| (key, KeyValue::from(1))));
        check(object, r#"{"":1,"B":1,"_":1,"a":1,"a-b":1,"b":1,"\u00e9":1,"\uffff":1,"\ud83d\ude00":1}"#);
    }

    #[test]
    fn of_equal_keys_the_last_counts() {
        for count in [2, 40] {
            let object = KeyValue::object((0..count).map(|at| (format!("{}", at % 2), KeyValue::from(at))));
            check(object, &format!(r#"{{"0":{},"1":{}}}"#, count - 2, count - 1));
        }
    }

    #[test]
    fn nodes() {
        let inner = Node::sequence(vec![Node::scalar("x"), Node::null()]);
        let mapping = [("z", inner), ("a", Node::scalar("1"))].into_iter().collect();
        check(KeyValue::Node(Node::mapping(mapping)), r#"{"a":"1","z":["x",null]}"#);
    }
}
