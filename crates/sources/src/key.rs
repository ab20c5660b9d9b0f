//! Short ways to write the values that enter keys.

use bourn_plan::KeyValue;
use bourn_yaml::Text;

/// A text.
pub(crate) fn text(text: impl Into<Text>) -> KeyValue {
    KeyValue::Text(text.into())
}

/// A text, or null.
pub(crate) fn optional(text: Option<&str>) -> KeyValue {
    text.map_or(KeyValue::Null, KeyValue::from)
}

/// A list of texts.
pub(crate) fn texts<T: AsRef<str>>(items: &[T]) -> KeyValue {
    KeyValue::List(items.iter().map(|item| KeyValue::from(item.as_ref())).collect())
}

/// An object.
pub(crate) fn object<K: Into<Text>>(entries: impl IntoIterator<Item = (K, KeyValue)>) -> KeyValue {
    KeyValue::object(entries)
}
