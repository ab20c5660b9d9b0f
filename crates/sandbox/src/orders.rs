//! What the first process of a sandbox is told, as flat bytes.
//!
//! That process starts as a copy of a process with many threads, where allocating memory may deadlock, or in a
//! process that never saw the plan. So the plan is written down beforehand without a single pointer, and read
//! front to back without allocating, in the order in which it is carried out.

use std::ffi::{CStr, CString};

/// What a layer holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holds {
    /// Files.
    Files,
    /// Files of which some are stubs that refer to the content of the stack.
    Stubs,
    /// Nothing: stubs are made up by whoever is given the device that stands in the place of a directory.
    Answers,
}

impl Holds {
    /// As it was written down.
    pub(crate) fn read(number: u32) -> Option<Holds> {
        [Holds::Files, Holds::Stubs, Holds::Answers].into_iter().find(|holds| *holds as u32 == number)
    }
}

/// The layers that show a tree.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    /// The directories, uppermost first, never none; and what they hold.
    pub(crate) layers: Vec<(CString, Holds)>,
    /// The directory with the content that stubs refer to.
    pub(crate) content: Option<CString>,
    /// An empty directory of the host on which the layers are mounted before they are in their place.
    pub(crate) attach: CString,
    /// Whether the kernel is given the layers in one text.
    pub(crate) joined: bool,
}

/// How `/` comes to be.
#[derive(Clone, Debug)]
pub(crate) enum Base {
    /// A directory, with parts of read-only layers mounted in it.
    Parts {
        /// The directory.
        root: CString,
        /// Where the parts come from.
        stack: Stack,
        /// Relative paths, each mounted from the layers to the same place of the root.
        parts: Vec<CString>,
    },
    /// An overlay with a private upper layer.
    Overlay {
        /// The read-only layers below.
        stack: Stack,
        /// Receives everything that is written.
        upper: CString,
        /// The kernel's scratch space beside `upper`.
        work: CString,
    },
    /// A directory with real files, for hosts without overlay mounts.
    Directory(CString),
}

/// What of the root becomes read-only.
#[derive(Clone, Debug)]
pub(crate) enum Freeze {
    /// Nothing beyond what is so already.
    Nothing,
    /// Everything but these directories, each of which becomes a file system of its own.
    AllBut(Vec<CString>),
}

/// A file or directory of the host that appears in the sandbox.
#[derive(Debug)]
pub(crate) struct Bind {
    /// Where it is on the host.
    pub(crate) host: CString,
    /// Where it appears; exists already.
    pub(crate) path: CString,
    /// Whether it may be written to.
    pub(crate) writable: bool,
}

/// Everything that the first process of a sandbox has to do.
#[derive(Debug)]
pub(crate) struct Orders {
    /// Line for `uid_map`.
    pub(crate) uid_map: CString,
    /// Line for `gid_map`.
    pub(crate) gid_map: CString,
    /// Name of the machine as seen inside.
    pub(crate) hostname: CString,
    /// Whether to do without `mount_setattr`, as kernels before Linux 5.12 do.
    pub(crate) remounts: bool,
    /// Whether the network namespace is new, so that its loopback device has to be switched on.
    pub(crate) loopback: bool,
    /// Whether the command leads a session of its own, without terminal.
    pub(crate) session: bool,
    /// Whether the command takes the foreground of the terminal that is its input.
    pub(crate) foreground: bool,
    /// How `/` comes to be.
    pub(crate) base: Base,
    /// The caller's terminal, shown as `/dev/console`.
    pub(crate) terminal: Option<CString>,
    /// The pipe of the jobserver on the host, shown as `/dev/jobserver`.
    pub(crate) jobserver: Option<CString>,
    /// Whether the command finds that pipe as open descriptors.
    pub(crate) descriptors: bool,
    /// Host files and directories.
    pub(crate) binds: Vec<Bind>,
    /// Paths below `/proc` that become read-only.
    pub(crate) guarded: Vec<CString>,
    /// What of the root becomes read-only.
    pub(crate) freeze: Freeze,
    /// Program files to try in turn.
    pub(crate) programs: Vec<CString>,
    /// Arguments, beginning with the name of the program.
    pub(crate) arguments: Vec<CString>,
    /// `NAME=value` each.
    pub(crate) environment: Vec<CString>,
    /// Where the command starts.
    pub(crate) directory: CString,
}

impl Orders {
    /// The flat form; [`Reader`] gives the pieces back in the order in which they stand here.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4096);
        number(&mut out, u32::from(self.remounts));
        text(&mut out, &self.uid_map);
        text(&mut out, &self.gid_map);
        text(&mut out, &self.hostname);
        number(&mut out, u32::from(self.loopback));
        binds(&mut out, &self.binds);
        texts(&mut out, self.terminal.as_slice());
        texts(&mut out, self.jobserver.as_slice());
        match &self.base {
            Base::Parts { root, stack: layers, parts } => {
                number(&mut out, PARTS);
                stack(&mut out, layers);
                text(&mut out, root);
                texts(&mut out, parts);
            }
            Base::Overlay { stack: layers, upper, work } => {
                number(&mut out, OVERLAY);
                stack(&mut out, layers);
                text(&mut out, upper);
                text(&mut out, work);
            }
            Base::Directory(path) => {
                number(&mut out, DIRECTORY);
                text(&mut out, path);
            }
        }
        texts(&mut out, &self.guarded);
        match &self.freeze {
            Freeze::Nothing => number(&mut out, 0),
            Freeze::AllBut(spared) => {
                number(&mut out, 1);
                texts(&mut out, spared);
            }
        }
        number(&mut out, u32::from(self.session));
        number(&mut out, u32::from(self.foreground));
        number(&mut out, u32::from(self.descriptors));
        text(&mut out, &self.directory);
        texts(&mut out, &self.arguments);
        texts(&mut out, &self.environment);
        texts(&mut out, &self.programs);
        out
    }
}

/// Marks an overlay as the base.
pub(crate) const OVERLAY: u32 = 1;
/// Marks a plain directory as the base.
pub(crate) const DIRECTORY: u32 = 2;
/// Marks parts of layers as the base.
pub(crate) const PARTS: u32 = 3;

fn number(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn text(out: &mut Vec<u8>, value: &CStr) {
    out.extend_from_slice(value.to_bytes_with_nul());
}

fn texts(out: &mut Vec<u8>, values: &[CString]) {
    number(out, values.len() as u32);
    values.iter().for_each(|value| text(out, value));
}

fn stack(out: &mut Vec<u8>, stack: &Stack) {
    text(out, &stack.attach);
    number(out, u32::from(stack.joined));
    texts(out, stack.content.as_slice());
    number(out, stack.layers.len() as u32);
    for (layer, holds) in &stack.layers {
        number(out, *holds as u32);
        text(out, layer);
    }
}

fn binds(out: &mut Vec<u8>, binds: &[Bind]) {
    number(out, binds.len() as u32);
    for bind in binds {
        text(out, &bind.host);
        text(out, &bind.path);
        number(out, u32::from(bind.writable));
    }
}

/// Reads [`Orders::encode`]d bytes front to back, without allocating. `None` where the bytes end too early.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Starts at the front.
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// The next number.
    pub(crate) fn number(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*first))
    }

    /// The next text.
    pub(crate) fn text(&mut self) -> Option<&'a CStr> {
        let text = CStr::from_bytes_until_nul(self.0).ok()?;
        self.0 = self.0.get(text.count_bytes() + 1..)?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_in_order_and_a_cut_is_noticed() {
        let mut out = Vec::new();
        number(&mut out, 7);
        texts(&mut out, &[c"a".into(), c"".into()]);
        let mut reader = Reader::new(&out);
        assert_eq!((reader.number(), reader.number()), (Some(7), Some(2)));
        assert_eq!((reader.text(), reader.text()), (Some(c"a"), Some(c"")));
        assert_eq!((reader.text(), reader.number()), (None, None));
    }
}
