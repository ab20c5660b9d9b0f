//! Sizes and shares as the configuration writes them.

/// Reads a size: bytes, `K`, `M`, `G`, `T`, a share of `volume` bytes in percent, or `infinity` (`None`).
///
/// # Errors
/// A sentence about what is wrong.
pub(crate) fn parse_size(text: &str, volume: impl FnOnce() -> u64) -> Result<Option<u64>, String> {
    if text == "infinity" {
        return Ok(None);
    }
    let bad = || format!("{text} is not a valid data size.");
    if let Some(share) = text.strip_suffix('%') {
        let share = decimal(share).ok_or_else(bad)?;
        if share > 100.0 {
            return Err(format!("{text} is not a valid percentage value."));
        }
        return Ok(Some((volume() as f64 * share / 100.0) as u64));
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if digits == 0 {
        return Err(bad());
    }
    // More than any disk holds is as good as more than that.
    let number: u64 = text[..digits].parse().unwrap_or(u64::MAX);
    let power = match &text[digits..] {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return Err(bad()),
    };
    Ok(Some(number.saturating_mul(1 << (10 * power))))
}

/// A number of digits and at most one point.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    if plain { text.parse().ok() } else { None }
}

/// Reads `80%` as 0.8. The number is one as Python writes it: with blanks around it, and underscores between digits.
///
/// # Errors
/// A sentence about what is wrong.
pub(crate) fn parse_percentage(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(number);
    match number {
        None => Err(format!("{text} is not a valid percentage.")),
        Some(share) if (0.0..=100.0).contains(&share) => Ok(share / 100.0),
        Some(_) => Err(format!("{text} is not between 0% and 100%.")),
    }
}

fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let bytes = text.as_bytes();
    let misplaced = |at: usize| {
        bytes[at] == b'_'
            && !(is_digit(at.checked_sub(1).map(|at| &bytes[at])) && is_digit(bytes.get(at + 1)))
    };
    if (0..bytes.len()).any(misplaced) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// Writes a size as people read it (`1.5G`).
pub(crate) fn pretty(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "K", "M", "G", "T"] {
        if value < 1024.0 || unit == "T" {
            return if unit == "B" { format!("{bytes}B") } else { format!("{value:.1}{unit}") };
        }
        value /= 1024.0;
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<Option<u64>, ()>) {
        assert_eq!(parse_size(text, || 1000).map_err(|_| ()), expect, "{text}");
    }

    #[test]
    fn sizes() {
        check("infinity", Ok(None));
        check("100", Ok(Some(100)));
        check("10K", Ok(Some(10_240)));
        check("2G", Ok(Some(2 << 30)));
        check("1T", Ok(Some(1 << 40)));
        check("5%", Ok(Some(50)));
        check("100%", Ok(Some(1000)));
        check("0.5%", Ok(Some(5)));
        check("101%", Err(()));
        check("1.5G", Err(()));
        check(".5%", Err(()));
        check("-1", Err(()));
        check("pony", Err(()));
        check("", Err(()));
        check("99999999T", Ok(Some(u64::MAX)));
        check("99999999999999999999", Ok(Some(u64::MAX)));
        check("K", Err(()));
    }

    #[test]
    fn percentages() {
        assert_eq!(parse_percentage("80%"), Ok(0.8));
        assert_eq!(parse_percentage("80 %"), Ok(0.8));
        assert_eq!(parse_percentage("8_0%"), Ok(0.8));
        for bad in ["80", "%", "_8%", "8_%", "8__0%", "nan%", "-1%"] {
            assert!(parse_percentage(bad).is_err(), "{bad}");
        }
        assert!(parse_percentage("180%").is_err());
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(pretty(12), "12B");
        assert_eq!(pretty(1536), "1.5K");
        assert_eq!(pretty(3 << 30), "3.0G");
    }
}
