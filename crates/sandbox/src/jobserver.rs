//! One jobserver for all commands at a time, so that builders times jobs is never more than the machine can do.
//!
//! The protocol is that of GNU make: whoever wants to run one more process takes a byte out of a pipe, and puts it back
//! when the process has ended; one process needs none. Here the pipe has a name on the host, and appears in every
//! sandbox as `/dev/jobserver`. It is announced in the variable `MAKEFLAGS`, which is no part of any key, in the form
//! that the `make` of the sandbox understands: since 4.4 by its name (ninja since 1.13 and cargo know that form too),
//! since 4.2 as two open descriptors.
//!
//! The one process that needs no byte is one more for every sandbox. So each sandbox owes a byte for as long as it
//! lives, and takes it as soon as there is one. What a killed process took is lost; when nothing runs, all bytes are
//! put back.

use crate::scratch::{Scratch, trouble};
use bourn_cas::Store;
use bourn_reapi::command::EnvironmentVariable;
use bourn_reapi::services::{Execution, ServiceResult, Streams};
use bourn_reapi::tree::{Entry, Tree};
use bourn_reapi::{Cas, Digest};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, openat};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The descriptors under which a command finds both ends of the pipe. Scripts use those of one digit, and shells those
/// from 10 on.
pub(crate) const DESCRIPTORS: [i32; 2] = [200, 201];

/// Most processes at a time: a pipe holds more bytes on every machine.
const MOST: u32 = 4096;

/// The pipe, and who uses it.
pub(crate) struct Jobserver {
    /// Both ends, never waiting.
    pipe: OwnedFd,
    path: PathBuf,
    scratch: Scratch,
    jobs: u32,
    /// How many commands run.
    running: Mutex<u32>,
    /// What was found out about programs named `make`.
    makes: Mutex<HashMap<Digest, Option<Style>>>,
}

/// How the pipe is announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Style {
    /// By its name.
    Name,
    /// As open descriptors.
    Descriptors,
}

impl Jobserver {
    /// A pipe for so many processes at a time, in a private directory below `directory`.
    pub(crate) fn new(directory: &Path, jobs: u32) -> ServiceResult<Jobserver> {
        let scratch = Scratch::new(directory)?;
        let path = scratch.path.join("jobs");
        let mode = Mode::from_raw_mode(0o600);
        mknodat(CWD, &path, FileType::Fifo, mode, 0)
            .map_err(|error| trouble(error, "cannot create", &path))?;
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let pipe =
            openat(CWD, &path, flags, Mode::empty()).map_err(|error| trouble(error, "cannot open", &path))?;
        Ok(Jobserver {
            pipe,
            path,
            scratch,
            jobs: jobs.clamp(1, MOST),
            running: Mutex::default(),
            makes: Mutex::default(),
        })
    }

    /// The pipe on the host.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets a command take part; it owes a byte until the result is dropped. If there is one it is taken now, before
    /// the command can: else that would take all there are and owe one for ever.
    pub(crate) fn begin(&self) -> Turn<'_> {
        let mut running = locked(&self.running);
        if *running == 0 {
            self.refill();
        }
        *running += 1;
        let mut turn = Turn { jobserver: self, paid: false };
        turn.pay();
        turn
    }

    /// Puts as many bytes into the pipe as there are jobs.
    fn refill(&self) {
        let mut bytes = [0; 512];
        while rustix::io::read(&self.pipe, &mut bytes).is_ok_and(|count| count > 0) {}
        let _ = rustix::io::write(&self.pipe, &vec![b'+'; self.jobs as usize]);
    }

    /// How a command is told, if it builds in parallel and its tools understand.
    pub(crate) fn style(&self, store: &Arc<Store>, execution: &Execution) -> ServiceResult<Option<Style>> {
        let environment = &execution.command.environment_variables;
        if execution.streams != Streams::Log || !is_parallel(environment) {
            return Ok(None);
        }
        let cas: Arc<dyn Cas> = store.clone();
        let root = Tree::open(&cas, execution.input_root);
        let path = variable(environment, "PATH").unwrap_or("/usr/bin:/bin");
        for directory in path.split(':').filter(|directory| directory.starts_with('/')) {
            let Some(found) = root.resolve(&format!("{directory}/make"))? else { continue };
            if let Some(Entry::File(make)) = root.entry(&found)?.as_deref() {
                return self.style_of(store, make.digest);
            }
        }
        Ok(Some(Style::Name))
    }

    fn style_of(&self, store: &Store, make: Digest) -> ServiceResult<Option<Style>> {
        if let Some(style) = locked(&self.makes).get(&make) {
            return Ok(*style);
        }
        let style = understood(&store.read(&make)?);
        locked(&self.makes).insert(make, style);
        Ok(style)
    }
}

impl Drop for Jobserver {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next start.
        drop(crate::scratch::remove(&self.scratch.path));
    }
}

/// A command that takes part.
pub(crate) struct Turn<'a> {
    jobserver: &'a Jobserver,
    paid: bool,
}

impl Turn<'_> {
    /// Takes the byte that is owed, if there is one.
    pub(crate) fn pay(&mut self) {
        if !self.paid {
            self.paid = rustix::io::read(&self.jobserver.pipe, &mut [0; 1]) == Ok(1);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut running = locked(&self.jobserver.running);
        *running -= 1;
        if self.paid {
            let _ = rustix::io::write(&self.jobserver.pipe, b"+");
        }
    }
}

/// The environment with the pipe announced.
pub(crate) fn announce(environment: &mut Vec<EnvironmentVariable>, style: Style) {
    let auth = match style {
        Style::Name => "fifo:/dev/jobserver".to_owned(),
        Style::Descriptors => format!("{},{}", DESCRIPTORS[0], DESCRIPTORS[1]),
    };
    match environment.iter_mut().find(|variable| variable.name == "MAKEFLAGS") {
        Some(flags) => flags.value = format!("{} --jobserver-auth={auth}", flags.value),
        None => environment.push(EnvironmentVariable {
            name: "MAKEFLAGS".to_owned(),
            value: format!("--jobserver-auth={auth}"),
        }),
    }
}

fn variable<'a>(environment: &'a [EnvironmentVariable], name: &str) -> Option<&'a str> {
    environment.iter().find(|variable| variable.name == name).map(|variable| variable.value.as_str())
}

/// Whether the element lets its tools run several processes at a time: as `MAKEFLAGS` says, or where there is none,
/// `JOBS`, which the kinds `cmake` and `meson` set.
fn is_parallel(environment: &[EnvironmentVariable]) -> bool {
    let several = |count: &str| count.is_empty() || count.parse::<u32>().is_ok_and(|count| count != 1);
    let Some(flags) = variable(environment, "MAKEFLAGS") else {
        let jobs = variable(environment, "JOBS").map(str::trim);
        return jobs.is_some_and(|jobs| several(jobs.strip_prefix("-j").unwrap_or(jobs)) && !jobs.is_empty());
    };
    let mut words = flags.split_whitespace().take_while(|word| *word != "--").peekable();
    let mut parallel = false;
    while let Some(word) = words.next() {
        let Some(count) = word.strip_prefix("-j").or_else(|| word.strip_prefix("--jobs")) else { continue };
        let count = count.trim_start_matches('=');
        parallel = match (count, words.peek()) {
            ("", Some(next)) if next.starts_with(|c: char| c.is_ascii_digit()) => several(next),
            _ => several(count),
        };
    }
    parallel
}

/// What a program named `make` understands, as the names of its options tell. An older one would refuse to work.
fn understood(program: &[u8]) -> Option<Style> {
    let has = |text: &[u8]| program.windows(text.len()).any(|window| window == text);
    if has(b"jobserver-style") {
        Some(Style::Name)
    } else if has(b"jobserver-auth") {
        Some(Style::Descriptors)
    } else {
        None
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Vec<EnvironmentVariable> {
        let variable = |(name, value): &(&str, &str)| EnvironmentVariable {
            name: (*name).into(),
            value: (*value).into(),
        };
        variables.iter().map(variable).collect()
    }

    #[test]
    fn only_parallel_builds_are_told() {
        let check = |variables: &[(&str, &str)], expect| {
            assert_eq!(is_parallel(&environment(variables)), expect, "{variables:?}");
        };
        check(&[], false);
        check(&[("MAKEFLAGS", "")], false);
        check(&[("MAKEFLAGS", "-j1")], false);
        check(&[("MAKEFLAGS", "-k -j 1")], false);
        check(&[("MAKEFLAGS", "-j4")], true);
        check(&[("MAKEFLAGS", "-k --jobs=4")], true);
        check(&[("MAKEFLAGS", "-j")], true);
        check(&[("MAKEFLAGS", "-j4 -j1")], false);
        check(&[("MAKEFLAGS", "-k -- X=-j4")], false);
        check(&[("MAKEFLAGS", "-j1"), ("JOBS", "-j4")], false);
        check(&[("JOBS", "-j4")], true);
        check(&[("JOBS", "4\n")], true);
        check(&[("JOBS", "1\n")], false);
        check(&[("JOBS", "")], false);
    }

    #[test]
    fn it_is_announced_in_the_flags_of_make() {
        let mut told = environment(&[("MAKEFLAGS", "-j4")]);
        announce(&mut told, Style::Name);
        assert_eq!(told[0].value, "-j4 --jobserver-auth=fifo:/dev/jobserver");
        let mut told = environment(&[("JOBS", "4")]);
        announce(&mut told, Style::Descriptors);
        assert_eq!(
            (told[1].name.as_str(), told[1].value.as_str()),
            ("MAKEFLAGS", "--jobserver-auth=200,201")
        );
    }

    #[test]
    fn make_is_asked_what_it_understands() {
        assert_eq!(understood(b"..jobserver-auth.jobserver-style.."), Some(Style::Name));
        assert_eq!(understood(b"..jobserver-auth.."), Some(Style::Descriptors));
        assert_eq!(understood(b"#!/bin/sh"), None);
    }

    #[test]
    fn bytes_are_owed_and_given_back() {
        let place = tempfile::tempdir().expect("a directory");
        let jobserver = Jobserver::new(place.path(), 2).expect("a jobserver");
        let left = || rustix::io::ioctl_fionread(&jobserver.pipe).expect("a count");
        // Whoever begins first pays first, whenever its command gets to run.
        let first = jobserver.begin();
        assert_eq!((left(), first.paid), (1, true));
        let [second, mut third] = [jobserver.begin(), jobserver.begin()];
        third.pay();
        assert_eq!((left(), second.paid, third.paid), (0, true, false));
        drop(first);
        third.pay();
        assert_eq!((left(), third.paid), (0, true));
        drop(second);
        assert_eq!(left(), 1);
        // What a command that was killed has taken comes back when nothing runs.
        assert_eq!(rustix::io::read(&jobserver.pipe, &mut [0; 8]), Ok(1));
        drop(third);
        drop(jobserver.begin());
        assert_eq!(left(), 2);
    }
}
