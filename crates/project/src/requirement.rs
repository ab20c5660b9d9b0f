//! Demands on Python packages as `package-name:` states them (PEP 508), and their versions (PEP 440).

use std::cmp::Ordering;

/// A package and what is demanded of its version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Requirement {
    /// Name, normalised: lower case, dashes.
    pub(crate) package: String,
    /// The demands as written.
    pub(crate) specifier: String,
    clauses: Vec<(Operator, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operator {
    Compatible,
    Equal,
    NotEqual,
    AtMost,
    AtLeast,
    Below,
    Above,
    Arbitrary,
}

const OPERATORS: [(&str, Operator); 8] = [
    ("===", Operator::Arbitrary),
    ("~=", Operator::Compatible),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("<", Operator::Below),
    (">", Operator::Above),
];

/// What stands between the parts of a demand.
const BLANKS: [char; 2] = [' ', '\t'];

impl Requirement {
    /// Reads `name[extras] >=1.0,<2; marker`. Markers are read and not looked at, as in bst.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn parse(text: &str) -> Result<Requirement, String> {
        // What follows `@` is an address, which may hold anything.
        let (text, marker) = match text.split_once(';').filter(|(before, _)| !before.contains('@')) {
            Some((text, marker)) => (text, Some(marker)),
            None => (text, None),
        };
        marker.map_or(Ok(()), marker::check)?;
        let text = text.trim_matches(BLANKS);
        let (name, rest) = text.split_at(text.find(|c| !fits(c)).unwrap_or(text.len()));
        check_identifier(name)?;
        let mut rest = rest.trim_matches(BLANKS);
        if let Some(extras) = rest.strip_prefix('[') {
            let (extras, after) = extras.split_once(']').ok_or("`[` without `]`")?;
            rest = after.trim_matches(BLANKS);
            if !extras.trim_matches(BLANKS).is_empty() {
                extras.split(',').try_for_each(|extra| check_identifier(extra.trim_matches(BLANKS)))?;
            }
        }
        let specifier = match (rest.strip_prefix('('), rest.strip_prefix('@')) {
            (Some(inner), _) => inner.strip_suffix(')').ok_or("`(` without `)`")?.trim_matches(BLANKS),
            (_, Some(address)) if address.trim_matches(BLANKS).is_empty() => {
                return Err("`@` without an address".to_owned());
            }
            (_, Some(_)) => "",
            _ => rest,
        };
        let clauses = match specifier.strip_suffix(',').unwrap_or(specifier) {
            "" => Vec::new(),
            clauses => clauses.split(',').map(clause).collect::<Result<_, _>>()?,
        };
        Ok(Requirement { package: normalise(name), specifier: specifier.to_owned(), clauses })
    }

    /// Whether a version answers all demands; versions before a release do as well.
    pub(crate) fn admits(&self, version: &str) -> bool {
        self.bounds_admit(version) && !self.excludes(version)
    }

    /// Whether a version answers all demands but those that exclude single ones (`!=`).
    pub(crate) fn bounds_admit(&self, version: &str) -> bool {
        self.admits_by(version, |operator| operator != Operator::NotEqual)
    }

    fn excludes(&self, version: &str) -> bool {
        !self.admits_by(version, |operator| operator == Operator::NotEqual)
    }

    fn admits_by(&self, version: &str, counts: impl Fn(Operator) -> bool) -> bool {
        let mut clauses = self.clauses.iter().filter(|(operator, _)| counts(*operator));
        match Version::parse(version) {
            Some(parsed) => clauses.all(|(operator, wanted)| admits(*operator, wanted, version, &parsed)),
            None => clauses.next().is_none(),
        }
    }
}

fn fits(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn check_identifier(name: &str) -> Result<(), String> {
    let ends = |c: char| c.is_ascii_alphanumeric();
    match name.starts_with(ends) && name.ends_with(ends) && name.chars().all(fits) {
        true => Ok(()),
        false => Err("a name begins and ends with a letter or digit".to_owned()),
    }
}

/// Reads one demand on the version.
fn clause(text: &str) -> Result<(Operator, String), String> {
    let text = text.trim_matches(BLANKS);
    let found = OPERATORS.iter().find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?)));
    let (operator, wanted) = found.ok_or_else(|| format!("`{text}` is no demand on a version"))?;
    let wanted = wanted.trim_matches(BLANKS);
    let wrong = |what: &str| Err(format!("`{text}`: {what}"));
    if operator == Operator::Arbitrary {
        return match wanted.contains(|c: char| c.is_whitespace() || c == ')') {
            true => wrong("that is no version"),
            false => Ok((operator, wanted.to_owned())),
        };
    }
    let stem = wanted.strip_suffix(".*");
    let Some(version) = Version::parse(stem.unwrap_or(wanted)) else { return wrong("that is no version") };
    let equals = matches!(operator, Operator::Equal | Operator::NotEqual);
    let plain = !version.is_early() && version.post.is_none() && version.local.is_empty();
    if stem.is_some() && !(equals && plain) {
        return wrong("`.*` belongs after a release and `==` or `!=`");
    }
    if !equals && !version.local.is_empty() {
        return wrong("only `==` and `!=` take what follows a `+`");
    }
    if operator == Operator::Compatible && version.release.len() < 2 {
        return wrong("`~=` wants a version of two parts at least");
    }
    Ok((operator, wanted.to_owned()))
}

/// Conditions on the environment that follow a demand.
mod marker {
    use super::BLANKS;

    const VARIABLES: [&str; 17] = [
        "python_version",
        "python_full_version",
        "os_name",
        "os.name",
        "sys_platform",
        "sys.platform",
        "platform_release",
        "platform_system",
        "platform_version",
        "platform.version",
        "platform_machine",
        "platform.machine",
        "platform_python_implementation",
        "platform.python_implementation",
        "python_implementation",
        "implementation_name",
        "implementation_version",
    ];

    const MORE_VARIABLES: [&str; 3] = ["extra", "extras", "dependency_groups"];

    const COMPARISONS: [&str; 8] = ["===", "~=", "==", "!=", "<=", ">=", "<", ">"];

    /// How deep parentheses go.
    const DEEPEST: usize = 64;

    /// Checks that conditions are well written.
    pub(super) fn check(text: &str) -> Result<(), String> {
        match several(text, 0) {
            Some(rest) if rest.trim_matches(BLANKS).is_empty() => Ok(()),
            _ => Err(format!("`{}` is no condition", text.trim_matches(BLANKS))),
        }
    }

    /// Conditions that `and` and `or` join; what follows them.
    fn several(text: &str, depth: usize) -> Option<&str> {
        let mut rest = one(text, depth)?;
        loop {
            let ahead = rest.trim_start_matches(BLANKS);
            match word(ahead, "and").or_else(|| word(ahead, "or")) {
                Some(next) => rest = one(next, depth)?,
                None => return Some(rest),
            }
        }
    }

    fn one(text: &str, depth: usize) -> Option<&str> {
        let text = text.trim_start_matches(BLANKS);
        if let Some(inner) = text.strip_prefix('(').filter(|_| depth < DEEPEST) {
            return several(inner, depth + 1)?.trim_start_matches(BLANKS).strip_prefix(')');
        }
        let rest = value(text)?.trim_start_matches(BLANKS);
        let compared = COMPARISONS.iter().find_map(|sign| rest.strip_prefix(sign));
        let is_in = || word(rest, "in");
        let not_in = || word(word(rest, "not")?.trim_start_matches(BLANKS), "in");
        value(compared.or_else(is_in).or_else(not_in)?.trim_start_matches(BLANKS))
    }

    /// A variable or a quoted text; what follows it.
    fn value(text: &str) -> Option<&str> {
        if let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            return text[1..].split_once(quote).map(|(_, rest)| rest);
        }
        VARIABLES.iter().chain(&MORE_VARIABLES).find_map(|name| word(text, name))
    }

    /// What follows a word.
    fn word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
        let goes_on = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        text.strip_prefix(word).filter(|rest| !goes_on(rest))
    }
}

/// The name of a package as the index compares it.
pub(crate) fn normalise(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            _ => normal.push(c.to_ascii_lowercase()),
        }
    }
    normal
}

fn admits(operator: Operator, wanted: &str, text: &str, version: &Version) -> bool {
    if operator == Operator::Arbitrary {
        return wanted.eq_ignore_ascii_case(text);
    }
    let stem = wanted.strip_suffix(".*");
    let Some(bound) = Version::parse(stem.unwrap_or(wanted)) else { return false };
    let order = version.public().cmp(&bound.public());
    let exact = if bound.local.is_empty() { order.is_eq() } else { *version == bound };
    let equal = if stem.is_some() { version.starts_with(&bound.release, bound.epoch) } else { exact };
    match operator {
        Operator::Equal => equal,
        Operator::NotEqual => !equal,
        Operator::AtMost => order.is_le(),
        Operator::AtLeast => order.is_ge(),
        Operator::Below => order.is_lt() && !version.is_before(&bound),
        Operator::Above => order.is_gt() && !version.is_after(&bound),
        Operator::Compatible => {
            let prefix = &bound.release[..bound.release.len().saturating_sub(1)];
            order.is_ge() && version.starts_with(prefix, bound.epoch)
        }
        Operator::Arbitrary => false,
    }
}

/// A version of a package.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Version {
    epoch: u64,
    release: Vec<u64>,
    pre: Option<(u8, u64)>,
    post: Option<u64>,
    dev: Option<u64>,
    local: String,
}

impl Version {
    fn parse(text: &str) -> Option<Version> {
        let text = text.trim().to_ascii_lowercase();
        let text = text.strip_prefix('v').unwrap_or(&text);
        let (text, local) = text.split_once('+').unwrap_or((text, ""));
        let (epoch, text) = match text.split_once('!') {
            Some((epoch, rest)) => (epoch.parse().ok()?, rest),
            None => (0, text),
        };
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let release = text[..end].trim_end_matches('.');
        let mut rest = &text[release.len()..];
        let release = release.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>()?;
        let mut version =
            Version { epoch, release, pre: None, post: None, dev: None, local: local.to_owned() };
        while !rest.is_empty() {
            if let Some(number) =
                rest.strip_prefix('-').filter(|r| r.starts_with(|c: char| c.is_ascii_digit()))
            {
                version.post = Some(number.parse().ok()?);
                return Some(version);
            }
            let part = rest.trim_start_matches(['.', '-', '_']);
            let letters = part.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(part.len());
            let (word, after) = part.split_at(letters);
            let after = after.trim_start_matches(['.', '-', '_']);
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            let number = if digits == 0 { 0 } else { after[..digits].parse().ok()? };
            match word {
                "a" | "alpha" => version.pre = Some((0, number)),
                "b" | "beta" => version.pre = Some((1, number)),
                "c" | "rc" | "pre" | "preview" => version.pre = Some((2, number)),
                "post" | "rev" | "r" => version.post = Some(number),
                "dev" => version.dev = Some(number),
                _ => return None,
            }
            rest = &after[digits..];
        }
        Some(version)
    }

    /// Without the local part.
    fn public(&self) -> Version {
        Version { local: String::new(), ..self.clone() }
    }

    /// Whether it comes before its release.
    fn is_early(&self) -> bool {
        self.pre.is_some() || self.dev.is_some()
    }

    fn trimmed(&self) -> &[u64] {
        let end = self.release.iter().rposition(|part| *part != 0).map_or(0, |at| at + 1);
        &self.release[..end]
    }

    /// Whether it comes before the very release that another version is: one of its early versions.
    fn is_before(&self, release: &Version) -> bool {
        let early = match release.post {
            None => self.is_early(),
            Some(_) => self.dev.is_some() && (self.pre, self.post) == (release.pre, release.post),
        };
        early && !release.is_early() && self.same_release(release)
    }

    /// Whether it comes after the very version that another one is, as a later edition of it.
    fn is_after(&self, version: &Version) -> bool {
        let same = self.pre == version.pre && version.dev.is_none() && self.same_release(version);
        self.post.is_some() && version.post.is_none() && same
    }

    fn same_release(&self, other: &Version) -> bool {
        self.epoch == other.epoch && self.trimmed() == other.trimmed()
    }

    fn starts_with(&self, prefix: &[u64], epoch: u64) -> bool {
        let part = |at: usize| self.release.get(at).copied().unwrap_or(0);
        self.epoch == epoch && prefix.iter().enumerate().all(|(at, wanted)| part(at) == *wanted)
    }

    /// A development version comes first, then those before the release, the release, those after it.
    fn stage(&self) -> (u8, u8, u64) {
        match (self.pre, self.post, self.dev) {
            (Some((letter, number)), _, _) => (1, letter, number),
            (None, None, Some(_)) => (0, 0, 0),
            _ => (2, 0, 0),
        }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        let last = |version: &Version| (version.dev.is_none(), version.dev.unwrap_or(0));
        (self.epoch.cmp(&other.epoch))
            .then_with(|| self.trimmed().cmp(other.trimmed()))
            .then_with(|| self.stage().cmp(&other.stage()))
            .then_with(|| self.post.cmp(&other.post))
            .then_with(|| last(self).cmp(&last(other)))
            .then_with(|| self.local.cmp(&other.local))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers are those of Python's `packaging` 25.
    #[test]
    fn admits_versions() {
        for (text, version, expect) in [
            ("buildstream-plugins", "2.8.0", true),
            ("buildstream_plugins >= 2.3", "2.8.0", true),
            ("x>=2.3,<2.5", "2.5.0", false),
            ("x>=2.3,<2.5", "2.4.9", true),
            ("x ~= 2.3", "2.8.0", true),
            ("x ~= 2.3.1", "2.4.0", false),
            ("x == 2.*", "2.8.0", true),
            ("x != 2.8.*", "2.8.0", false),
            ("x == 2.8", "2.8.0", true),
            ("x (>1)", "1.0.post1", false),
            ("x>1", "1.0.1", true),
            ("x<2", "2.0rc1", false),
            ("x<=2", "2.0rc1", true),
            ("x>=2.0.dev1", "2.0a1", true),
            ("x[extra]==1.0; python_version > '3'", "1.0", true),
            ("x===1.0", "1.0.0", false),
            ("x==1.0", "1.0+local", true),
        ] {
            assert_eq!(Requirement::parse(text).unwrap().admits(version), expect, "{text} {version}");
        }
    }

    #[test]
    fn refuses_what_is_no_requirement() {
        for text in ["", "-x", "x>>1", "x 1", "x[a", "x (1", "x==abc"] {
            assert!(Requirement::parse(text).is_err(), "{text}");
        }
    }

    /// Of these versions, those that a demand admits: answers are those of Python's `packaging` 26.3.
    const VERSIONS: [&str; 19] = [
        "1.0",
        "1.0.post1",
        "1.0+local",
        "1.0.1",
        "1.1a1",
        "2.0.dev1",
        "2.0a1",
        "2.0rc1",
        "2",
        "2.0",
        "2.0.0",
        "2.0.post1",
        "2.0.1",
        "2.1",
        "2.8.0",
        "2.8.1.dev3",
        "3.0",
        "1!2.0",
        "2.0+abc.1",
    ];

    /// Demands, and for each version whether it is admitted.
    const ADMITTED: [(&str, &str); 69] = [
        ("===1.0", "1000000000000000000"),
        ("===2.0", "0000000001000000000"),
        ("===2", "0000000010000000000"),
        ("===2.0rc1", "0000000100000000000"),
        ("===2.0.dev1", "0000010000000000000"),
        ("===2.8.0", "0000000000000010000"),
        ("===1!2.0", "0000000000000000010"),
        ("===2.0.*", "0000000000000000000"),
        ("===1.0+local", "0010000000000000000"),
        ("===2.0-1", "0000000000000000000"),
        ("~=1.0", "1111100000000000000"),
        ("~=2.0", "0000000011111111001"),
        ("~=2.0rc1", "0000000111111111001"),
        ("~=2.0.dev1", "0000011111111111001"),
        ("~=2.8.0", "0000000000000011000"),
        ("~=1!2.0", "0000000000000000010"),
        ("~=2.0-1", "0000000000011111000"),
        ("==1.0", "1010000000000000000"),
        ("==2.0", "0000000011100000001"),
        ("==2", "0000000011100000001"),
        ("==2.0rc1", "0000000100000000000"),
        ("==2.0.dev1", "0000010000000000000"),
        ("==2.8.0", "0000000000000010000"),
        ("==1!2.0", "0000000000000000010"),
        ("==2.0.*", "0000011111111000001"),
        ("==1.0+local", "0010000000000000000"),
        ("==2.0-1", "0000000000010000000"),
        ("!=1.0", "0101111111111111111"),
        ("!=2.0", "1111111100011111110"),
        ("!=2", "1111111100011111110"),
        ("!=2.0rc1", "1111111011111111111"),
        ("!=2.0.dev1", "1111101111111111111"),
        ("!=2.8.0", "1111111111111101111"),
        ("!=1!2.0", "1111111111111111101"),
        ("!=2.0.*", "1111100000000111110"),
        ("!=1.0+local", "1101111111111111111"),
        ("!=2.0-1", "1111111111101111111"),
        ("<=1.0", "1010000000000000000"),
        ("<=2.0", "1111111111100000001"),
        ("<=2", "1111111111100000001"),
        ("<=2.0rc1", "1111111100000000000"),
        ("<=2.0.dev1", "1111110000000000000"),
        ("<=2.8.0", "1111111111111110001"),
        ("<=1!2.0", "1111111111111111111"),
        ("<=2.0-1", "1111111111110000001"),
        (">=1.0", "1111111111111111111"),
        (">=2.0", "0000000011111111111"),
        (">=2", "0000000011111111111"),
        (">=2.0rc1", "0000000111111111111"),
        (">=2.0.dev1", "0000011111111111111"),
        (">=2.8.0", "0000000000000011110"),
        (">=1!2.0", "0000000000000000010"),
        (">=2.0-1", "0000000000011111110"),
        ("<1.0", "0000000000000000000"),
        ("<2.0", "1111100000000000000"),
        ("<2", "1111100000000000000"),
        ("<2.0rc1", "1111111000000000000"),
        ("<2.0.dev1", "1111100000000000000"),
        ("<2.8.0", "1111111111111100001"),
        ("<1!2.0", "1111111111111111101"),
        ("<2.0-1", "1111111111100000001"),
        (">1.0", "0001111111111111111"),
        (">2.0", "0000000000001111110"),
        (">2", "0000000000001111110"),
        (">2.0rc1", "0000000011111111111"),
        (">2.0.dev1", "0000001111111111111"),
        (">2.8.0", "0000000000000001110"),
        (">1!2.0", "0000000000000000000"),
        (">2.0-1", "0000000000001111110"),
    ];

    #[test]
    fn admits_what_python_admits() {
        for (demand, expect) in ADMITTED {
            let demand = Requirement::parse(&format!("x{demand}")).expect(demand);
            let admitted = |version: &&str| if demand.admits(version) { '1' } else { '0' };
            assert_eq!(VERSIONS.iter().map(admitted).collect::<String>(), expect, "{}", demand.specifier);
        }
    }

    /// What `packaging` 26.3 takes and refuses.
    #[test]
    fn takes_what_python_takes() {
        for text in [
            "x",
            "X_y.z >=1",
            "x[a,b] <2",
            "x (>=1,<2)",
            "x ( >=1 )",
            "x @ https://e.x/y",
            "x>=1;python_version>'3'",
            "x >=1 , <2",
            "x>=1,",
            "x>=1;extra=='a'",
            "x[a]>=1",
            "x[]",
            "x>= 1.0 , != 1.1",
            " x >= 1 ",
            "x ;python_version<'3'",
            "x===",
            "x>=1; (python_version in '3' or extra == \"a\") and os_name not in 'b'",
        ] {
            assert!(Requirement::parse(text).is_ok(), "{text}");
        }
        for text in [
            "x~=2",
            "x~=2.0.*",
            "x~=1.0+local",
            "x<=2.0.*",
            "x<=1.0+local",
            "x>=2.0.*",
            "x>=1.0+local",
            "x<2.0.*",
            "x<1.0+local",
            "x>2.0.*",
            "x>1.0+local",
            "x,>=1",
            "x>=1 <2",
            "x[a",
            "x[",
            "x (>=1",
            "x>=1)",
            "x 1",
            "-x",
            "x-",
            "_x",
            "x>>1",
            "x = 1",
            "x =1",
            "x==1;",
            "x; bogus",
            "x@",
            "é>=1",
            "x\n>=1",
            "x.>=1",
            "x>=1,,<2",
            "x>=",
            "x==1.0;python_version",
            "x[a b]",
            "x[a,]",
            "x[-a]",
            "x; a == 'b'",
            "x; python_version == '3' and",
            "x; (python_version == '3'",
            "x; python_version 'in'",
        ] {
            assert!(Requirement::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn exclusions_are_apart_from_bounds() {
        let demand = Requirement::parse("x>=1,!=2.8.0").expect("a demand");
        assert!(demand.bounds_admit("2.8.0") && !demand.admits("2.8.0") && demand.admits("2.7.0"));
    }
}
