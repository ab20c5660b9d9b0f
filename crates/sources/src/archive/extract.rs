//! What extracting members would leave, by the rules of Python's `tarfile`, which the reference follows.

use super::members::{Kind, Member, Members};
use super::pages::Pages;
use super::scene::{Made, Scene, above, check_path, components, outside};
use super::{ArchiveError, ArchiveResult, shown};
use crate::glob::Glob;
use bourn_reapi::Digest;
use std::borrow::Cow;
use std::collections::HashSet;

/// How members are extracted.
pub(crate) struct Rules<'a> {
    /// What of their names is taken away.
    pub(crate) strip: Strip,
    /// Whether members of unknown types are refused, not taken for files.
    pub(crate) refuse_unknown: bool,
    /// Whether hard links may not be absolute.
    pub(crate) refuse_absolute_links: bool,
    /// Members that are left out, by their name after stripping.
    pub(crate) exclude: &'a [Glob],
}

/// What is taken away from names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Strip {
    Nothing,
    /// A directory; members outside of it are left out. With a slash at the end.
    Base(Vec<u8>),
    /// The first component; members that have but one are left out.
    Top,
}

impl<'a> Rules<'a> {
    /// The rules of the reference's `tar` kind: Python's filter `data`, symbolic links excepted.
    pub(crate) fn data(strip: Strip) -> Rules<'a> {
        Rules { strip, refuse_unknown: true, refuse_absolute_links: true, exclude: &[] }
    }

    /// The rules of kinds that trust archives more: unknown types are files.
    pub(crate) fn trusting(strip: Strip) -> Rules<'a> {
        Rules { strip, refuse_unknown: false, refuse_absolute_links: false, exclude: &[] }
    }
}

/// The directory of an archive that a glob names: the first of all that match. `None` when none does.
pub(crate) fn base_directory(members: &Members, pattern: &str) -> Option<Vec<u8>> {
    let glob = Glob::new(pattern);
    let mut best: Option<&[u8]> = None;
    let mut consider = |path| {
        let fits = std::str::from_utf8(path).is_ok_and(|path| glob.matches(path));
        if fits && best.is_none_or(|best| path < best) {
            best = Some(path);
        }
    };
    // Directories that only the names of what is in them tell of; what is a member is no such directory.
    let mut implied: HashSet<&[u8]> = HashSet::new();
    for member in members.iter() {
        // As the reference does, dots and slashes at the start go, however many.
        let start = member.name.iter().take_while(|byte| matches!(byte, b'.' | b'/')).count();
        let name = &member.name[start..];
        if member.kind == Kind::Directory {
            consider(name);
            continue;
        }
        let slashes = name.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        implied.extend(slashes.map(|(at, _)| &name[..at]));
    }
    for member in members.iter() {
        implied.remove(member.name);
    }
    implied.into_iter().for_each(consider);
    best.map(<[u8]>::to_vec)
}

/// Extracts the members that are wanted, by their place; `digests` has the content of files by number. What is not
/// wanted still counts for links to it.
///
/// # Errors
/// A member that may not be extracted, or cannot.
pub(crate) fn extract(
    mut members: Members,
    digests: Pages<Digest>,
    rules: &Rules<'_>,
    is_wanted: impl Fn(usize) -> bool,
) -> ArchiveResult<Scene> {
    let wanted: Vec<bool> = (0..members.len()).map(|at| rules.strip(&mut members, at)).collect();
    let scene = Scene::with_contents(digests);
    let mut extraction = Extraction { scene, members: &members, rules, named: None };
    for (at, wanted) in wanted.into_iter().enumerate() {
        if wanted && is_wanted(at) && members.at(at).kind != Kind::Device {
            extraction.member(at)?;
        }
    }
    Ok(extraction.scene)
}

impl Rules<'_> {
    /// Strips the name of a member. Whether it is extracted.
    fn strip(&self, members: &mut Members, at: usize) -> bool {
        let member = members.at(at);
        let Stripped { name, target, wanted } = match &self.strip {
            Strip::Nothing => Stripped { name: 0, target: 0, wanted: true },
            Strip::Base(base) => strip_base(&member, base),
            Strip::Top => strip_top(&member),
        };
        members.cut(at, name, target);
        let excluded = || {
            let name = std::str::from_utf8(members.at(at).name);
            name.is_ok_and(|name| self.exclude.iter().any(|glob| glob.matches(name)))
        };
        wanted && !excluded()
    }
}

/// What is taken away from a member.
struct Stripped {
    /// How many bytes of its name.
    name: usize,
    /// How many bytes of what it is a hard link to.
    target: usize,
    /// Whether it is extracted.
    wanted: bool,
}

fn strip_base(member: &Member<'_>, base: &[u8]) -> Stripped {
    let after = |text: &[u8], start: usize, prefix: &[u8]| match text[start..].starts_with(prefix) {
        true => start + prefix.len(),
        false => start,
    };
    let name = after(member.name, 0, b"./");
    let wanted = member.name[name..].starts_with(base);
    let target = match member.kind {
        Kind::Link(target) => {
            let start = after(target, 0, b"./");
            if wanted { after(target, start, base) } else { start }
        }
        _ => 0,
    };
    Stripped { name: after(member.name, name, base), target, wanted }
}

fn strip_top(member: &Member<'_>) -> Stripped {
    let top = |text: &[u8]| text.iter().position(|byte| *byte == b'/').map(|at| at + 1);
    let target = if let Kind::Link(target) = member.kind { top(target) } else { None };
    let name = top(member.name);
    Stripped { name: name.unwrap_or(0), target: target.unwrap_or(0), wanted: name.is_some() }
}

struct Extraction<'a> {
    scene: Scene,
    /// With stripped names.
    members: &'a Members,
    rules: &'a Rules<'a>,
    /// The places of all members, sorted by what their names mean and then by place; made when it is needed first.
    named: Option<Vec<u32>>,
}

/// How often a link may stand for another member before that counts as a circle.
const MOST_DETOURS: usize = 64;

impl Extraction<'_> {
    fn member(&mut self, at: usize) -> ArchiveResult<()> {
        let member = self.members.at(at);
        let path = path_of(member.name);
        check_path(path)?;
        self.check(&member)?;
        let upper = above(path);
        if !upper.is_empty() && !self.scene.exists(upper)? {
            self.scene.make_directories(upper)?;
        }
        let placed = self.place(at, member.kind, path, MOST_DETOURS)?;
        match member.kind {
            Kind::File(_) | Kind::Unknown(_) | Kind::Link(_) if placed => {
                self.scene.set_executable(path, member.executable)
            }
            _ => Ok(()),
        }
    }

    /// What Python's filters refuse.
    fn check(&self, member: &Member<'_>) -> ArchiveResult<()> {
        let real = self.scene.real(path_of(member.name))?;
        match member.kind {
            Kind::Unknown(_) if self.rules.refuse_unknown => {
                Err(ArchiveError::malformed(format!("{} is a special file", shown(member.name))))
            }
            Kind::Link(target) => {
                if target.first() == Some(&b'/') && self.rules.refuse_absolute_links {
                    let message = format!("{} is a link to an absolute path", shown(member.name));
                    return Err(ArchiveError::malformed(message));
                }
                if real.is_empty() {
                    return Err(outside(member.name));
                }
                self.scene.real(&normal(target)).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Puts what member `at` is to a path. Whether it was put there: Python passes over some links that it cannot
    /// make.
    fn place(&mut self, at: usize, kind: Kind<'_>, path: &[u8], detours: usize) -> ArchiveResult<bool> {
        match kind {
            Kind::File(number) | Kind::Unknown(number) => {
                self.scene.write(path, number, self.members.at(at).executable)?;
                Ok(true)
            }
            Kind::Directory => match self.scene.make_directory(path)? {
                Made::Exists if self.scene.is_directory(path)? => Ok(true),
                Made::Yes => Ok(true),
                Made::Exists | Made::Nowhere => Err(ArchiveError::malformed(format!(
                    "{} is there already, but is no directory",
                    shown(path)
                ))),
            },
            Kind::Symlink(target) if self.scene.symlink(path, target)? => Ok(true),
            Kind::Symlink(target) => {
                // A directory stands in the way. Whatever the link leads to in the archive is put there, if
                // anything.
                let parts: Vec<&[u8]> =
                    [above(path), target].into_iter().filter(|part| !part.is_empty()).collect();
                let wanted = parts.join(&b'/');
                Ok(self.stand_in(self.members.len(), &normal(&wanted), path, detours)? == Some(true))
            }
            Kind::Link(target) => self.link(at, &normal(target), path, detours),
            Kind::Device => Ok(false),
        }
    }

    fn link(&mut self, at: usize, target: &[u8], path: &[u8], detours: usize) -> ArchiveResult<bool> {
        // A link that stands in for another is never made, only what it leads to in the archive.
        let nested = detours < MOST_DETOURS;
        let there = self.scene.exists(target)?;
        if there && !nested && self.scene.link(target, path)? {
            return Ok(true);
        }
        if let Some(placed) = self.stand_in(at, target, path, detours)? {
            return Ok(placed);
        }
        if there || nested {
            return Ok(false);
        }
        let message = format!("{} is a link to {}, which is not there", shown(path), shown(target));
        Err(ArchiveError::malformed(message))
    }

    /// Puts the last member before `end` that has a name to a path. `None` when there is none, else
    /// whether it was put there.
    fn stand_in(
        &mut self,
        end: usize,
        name: &[u8],
        path: &[u8],
        detours: usize,
    ) -> ArchiveResult<Option<bool>> {
        let members = self.members;
        let meaning = |at: u32| normal(members.at(at as usize).name);
        let named = self.named.get_or_insert_with(|| {
            let mut named: Vec<u32> = (0..members.len() as u32).collect();
            named.sort_by(|a, b| meaning(*a).cmp(&meaning(*b)));
            named
        });
        let after = named.partition_point(|at| (meaning(*at).as_ref(), *at as usize) < (name, end));
        let before = after.checked_sub(1).map(|before| named[before]);
        let Some(found) = before.filter(|at| meaning(*at) == name) else { return Ok(None) };
        let found = found as usize;
        if detours == 0 {
            return Err(ArchiveError::malformed(format!("{} goes through links in a circle", shown(path))));
        }
        let member = members.at(found);
        if member.kind == Kind::Device {
            return Err(ArchiveError::malformed(format!("{} is a special file", shown(member.name))));
        }
        self.check(&member)?;
        self.place(found, member.kind, path, detours - 1).map(Some)
    }
}

/// The path that a name means: absolute ones count from the destination.
fn path_of(name: &[u8]) -> &[u8] {
    let start = name.iter().take_while(|byte| **byte == b'/').count();
    let end = name.iter().rev().take_while(|byte| **byte == b'/').count();
    name.get(start..name.len() - end).unwrap_or_default()
}

/// A path as Python's `normpath` writes it.
fn normal(path: &[u8]) -> Cow<'_, [u8]> {
    let mut parts = path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/');
    if parts.all(|part| !matches!(part, b"" | b"." | b"..")) {
        Cow::Borrowed(path)
    } else {
        normalised(path).into()
    }
}

fn normalised(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    let absolute = path.first() == Some(&b'/');
    for part in components(path).filter(|part| *part != b".") {
        if part == b".." && parts.last().is_some_and(|last| *last != b"..") {
            parts.pop();
        } else if part != b".." || !absolute {
            parts.push(part);
        }
    }
    let joined = parts.join(&b'/');
    match (absolute, joined.is_empty()) {
        (true, _) => [b"/", joined.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}
