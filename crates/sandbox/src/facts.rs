//! What the machine offers to sandboxes, found out by making some.

use crate::attend::{attend, killed};
use crate::child::{Report, Step};
use crate::execute::LocalExecutor;
use crate::layers::{DEVICE, Overlays};
use crate::orders::{Base, Freeze, Holds, Orders, Stack};
use crate::probe;
use crate::root::{self, MOUNT_POINTS, c_path, c_text};
use crate::scratch::Scratch;
use crate::sweeper::Litter;
use bourn_cas::ServedTree;
use bourn_reapi::services::{Cancel, ErrorKind, ServiceResult};
use bourn_reapi::{Cas, Digest, Directory, ServiceError};
use rustix::fd::AsFd;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a machine offers to sandboxes.
#[derive(Debug)]
pub struct Facts {
    /// Release of the kernel.
    pub kernel: String,
    /// Whether there can be sandboxes at all; if not, why, and the cure.
    pub sandboxes: ServiceResult<()>,
    /// Whether there are overlays for them; if not, trees are laid out as real files, which takes longer.
    pub overlays: ServiceResult<()>,
    /// Whether large trees are shown without being laid out; if not, why.
    pub served: ServiceResult<()>,
    /// Whether overlays are mounted as kernels before Linux 6.7 want it, which know no stubs.
    pub joined: bool,
}

impl LocalExecutor {
    /// What this machine offers to sandboxes, tried out.
    pub fn facts(&self) -> Facts {
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let plain = |scratch: &Scratch| Ok(Base::Directory(c_path(&scratch.make("plain", 0o755)?)?));
        let overlay = |scratch: &Scratch| {
            let make = |name: &str| c_path(&scratch.make(name, 0o755)?);
            let layers = vec![(make("lower")?, Holds::Files)];
            let joined = self.overlays == Overlays::Joined;
            let stack = Stack { layers, content: None, attach: make("root")?, joined };
            Ok(Base::Overlay { stack, upper: make("upper")?, work: make("work")? })
        };
        let overlays = match self.overlays {
            Overlays::Never => Err(ServiceError::new(ErrorKind::Sandbox, "overlays are not to be used")),
            _ => self.try_base(overlay, None),
        };
        let joined = self.overlays == Overlays::Joined;
        Facts { kernel, sandboxes: self.try_base(plain, None), overlays, joined, served: self.try_serving() }
    }

    /// Mounts an empty tree that is not laid out.
    fn try_serving(&self) -> ServiceResult<()> {
        let tree = self.store.write_directory(&Directory::default())?;
        let content = c_path(self.store.serve(&tree)?)?;
        let served = |scratch: &Scratch| {
            let make = |name: &str| c_path(&scratch.make(name, 0o755)?);
            let layers = vec![(DEVICE.into(), Holds::Answers)];
            let stack =
                Stack { layers, content: Some(content.clone()), attach: make("root")?, joined: false };
            Ok(Base::Overlay { stack, upper: make("upper")?, work: make("work")? })
        };
        self.try_base(served, Some(tree))
    }

    /// Makes a sandbox that has nothing to execute.
    fn try_base(
        &self,
        base: impl Fn(&Scratch) -> ServiceResult<Base>,
        served: Option<Digest>,
    ) -> ServiceResult<()> {
        let scratch = Scratch::new(&self.directory)?;
        let served = served.map(|tree| ServedTree::new(self.store.clone(), tree, (0, 0)));
        let tried = base(&scratch).and_then(|base| self.try_root(base, served));
        self.sweeper.sweep(None, Litter::Scratch(scratch));
        tried
    }

    fn try_root(&self, base: Base, served: Option<ServedTree>) -> ServiceResult<()> {
        let (Base::Directory(top) | Base::Overlay { upper: top, .. }) = &base else { return Ok(()) };
        for name in MOUNT_POINTS {
            root::make_point(&Path::new(OsStr::from_bytes(top.to_bytes())).join(name), true)?;
        }
        let null = Path::new("/dev/null");
        let null =
            std::fs::File::open(null).map_err(|error| ServiceError::io(&error, "cannot open", null))?;
        let orders = Orders {
            remounts: self.remounts,
            uid_map: c_text(format!("0 {} 1", rustix::process::geteuid().as_raw()).as_bytes())?,
            gid_map: c_text(format!("0 {} 1", rustix::process::getegid().as_raw()).as_bytes())?,
            hostname: c"localhost".into(),
            loopback: true,
            session: true,
            foreground: false,
            base,
            terminal: None,
            jobserver: None,
            descriptors: false,
            binds: Vec::new(),
            guarded: self.guarded.clone(),
            freeze: Freeze::Nothing,
            programs: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: c"/".into(),
        };
        let sandbox =
            self.spawner.spawn(&orders.encode(), [null.as_fd(); 3], false).map_err(probe::not_split)?;
        match attend(&sandbox, None, None, (None, served), &mut std::io::sink(), &Cancel::default())? {
            Some(Report::Failed(failure)) if failure.step != Step::Program => {
                Err(probe::not_prepared(&failure))
            }
            Some(_) => Ok(()),
            None => Err(killed()),
        }
    }
}
