//! Python's `{name}` templates, as far as they occur in configurations: names, and doubled braces.

/// Why a template cannot be filled in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TemplateError {
    /// A name that nothing is known for.
    Unknown(String),
    /// A brace without its counterpart, or a form that is not understood.
    Malformed,
}

/// Fills in a template.
pub(crate) fn fill<'a>(
    template: &str,
    value: impl Fn(&str) -> Option<&'a str>,
) -> Result<String, TemplateError> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            filled.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" {
            return Err(TemplateError::Malformed);
        }
        let (name, after) = rest.split_once('}').ok_or(TemplateError::Malformed)?;
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return Err(TemplateError::Malformed);
        }
        filled.push_str(value(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let value = |name: &str| (name == "alias").then_some("gnome");
        for (template, expect) in [
            ("https://m/{alias}/x", Ok("https://m/gnome/x")),
            ("{{{alias}}}", Ok("{gnome}")),
            ("plain", Ok("plain")),
            ("{other}", Err(TemplateError::Unknown("other".into()))),
            ("{alias", Err(TemplateError::Malformed)),
            ("a}b", Err(TemplateError::Malformed)),
            ("{}", Err(TemplateError::Malformed)),
        ] {
            assert_eq!(fill(template, value), expect.map(str::to_owned), "{template}");
        }
    }
}
