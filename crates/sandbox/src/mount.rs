//! The file system of a sandbox: the root, `/dev`, `/proc`, `/tmp`, host files. Runs in the sandbox's first process.
//!
//! Everything from the host is opened first and the root is changed second; all the rest is mounted after that, so
//! that no path inside, whatever symbolic links the tree holds, can lead out.

#![allow(clippy::result_large_err, reason = "nothing may be allocated here")]

use crate::child::{self, Failure, Step, at};
use crate::kernel::{self, List};
use crate::orders::{DIRECTORY, Holds, OVERLAY, PARTS, Reader};
use crate::remount::{descriptor_path, set_attributes};
use rustix::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, mkdirat, openat, statat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};
use std::ffi::CStr;

/// The device files that a sandbox sees, all of them harmless.
const DEVICES: [(&CStr, &CStr); 6] = [
    (c"/dev/null", c"null"),
    (c"/dev/zero", c"zero"),
    (c"/dev/full", c"full"),
    (c"/dev/random", c"random"),
    (c"/dev/urandom", c"urandom"),
    (c"/dev/tty", c"tty"),
];

/// The usual links in `/dev`.
const DEVICE_LINKS: [(&CStr, &CStr); 6] = [
    (c"/proc/self/fd", c"fd"),
    (c"/proc/self/fd/0", c"stdin"),
    (c"/proc/self/fd/1", c"stdout"),
    (c"/proc/self/fd/2", c"stderr"),
    (c"/proc/kcore", c"core"),
    (c"pts/ptmx", c"ptmx"),
];

/// Mounts everything that the orders name from `binds` to `frozen`, in that order.
pub(crate) fn mount_all<'a>(orders: &mut Reader<'a>, control: BorrowedFd<'a>) -> Result<(), Failure> {
    let binds = *orders;
    let taken = take_binds(orders)?;
    let (terminal, jobserver) = (take_device(orders)?, take_device(orders)?);
    let mut devices: [Option<OwnedFd>; DEVICES.len()] = [const { None }; DEVICES.len()];
    for ((host, _), device) in DEVICES.iter().zip(&mut devices) {
        *device = Some(take(host, false).map_err(at(Step::Device, host))?);
    }
    let root = base(orders, control)?;
    let no_devices = MountAttrFlags::MOUNT_ATTR_NODEV;
    let proc = fresh(c"proc", &[], no_devices | MountAttrFlags::MOUNT_ATTR_NOEXEC)
        .map_err(at(Step::Proc, c"/proc"))?;
    enter(&root)?;
    put(&proc, c"/proc").map_err(at(Step::Proc, c"/proc"))?;
    withhold_groups().map_err(at(Step::Proc, GROUPS))?;
    guard(orders)?;
    freeze(orders, &root)?;
    let temporary = fresh(c"tmpfs", &[(c"mode", c"0755")], no_devices);
    temporary.and_then(|mount| put(&mount, c"/tmp")).map_err(at(Step::Temporary, c"/tmp"))?;
    devices_directory(&mut devices, [(c"console", terminal), (c"jobserver", jobserver)])?;
    put_binds(&taken, binds)
}

/// A new file system of a kind, mounted nowhere yet, without set-user-id files.
fn fresh(kind: &CStr, options: &[(&CStr, &CStr)], attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, c"source", kind)?;
    for (key, value) in options {
        fsconfig_set_string(&context, *key, *value)?;
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes | MountAttrFlags::MOUNT_ATTR_NOSUID)
}

/// A copy of the mount at `path`, mounted nowhere yet.
fn take(path: &CStr, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    open_tree(CWD, path, flags)
}

/// Mounts at `path`, which must exist. Attributes are set after that: older kernels can only change those of mounts that
/// are somewhere, and nothing else runs in the sandbox yet.
fn put(mount: &OwnedFd, path: &CStr) -> Result<(), Errno> {
    move_mount(mount, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Makes what stands at `path` read-only, by mounting it upon itself.
fn make_read_only(path: &CStr) -> Result<(), Errno> {
    let mount = take(path, true)?;
    put(&mount, path)?;
    set_attributes(&mount, MountAttrFlags::MOUNT_ATTR_RDONLY, true)
}

/// Flags of every root.
const PLAIN: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// The mount that will be `/`, mounted somewhere on the host's tree, as the kernel asks of it.
fn base<'a>(orders: &mut Reader<'a>, control: BorrowedFd<'a>) -> Result<OwnedFd, Failure> {
    match orders.number() {
        Some(PARTS) => parts(orders, control),
        Some(OVERLAY) => overlay(orders, control),
        Some(DIRECTORY) => {
            let path = orders.text().ok_or(Failure::MALFORMED)?;
            plain(path, PLAIN, path).map_err(at(Step::Root, path))
        }
        _ => Err(Failure::MALFORMED),
    }
}

/// A directory, mounted on `attach` with these flags.
fn plain(path: &CStr, attributes: MountAttrFlags, attach: &CStr) -> Result<OwnedFd, Errno> {
    let mount = take(path, true)?;
    put(&mount, attach)?;
    set_attributes(&mount, attributes, true)?;
    Ok(mount)
}

/// A directory in which parts of the layers are mounted.
fn parts<'a>(orders: &mut Reader<'a>, control: BorrowedFd<'a>) -> Result<OwnedFd, Failure> {
    let stack = Stack::read(orders, control)?;
    let read_only = PLAIN | MountAttrFlags::MOUNT_ATTR_RDONLY;
    let lower = match (stack.count, stack.content) {
        (1, None) => {
            let (_, layer) = stack.first()?;
            plain(layer, read_only, stack.attach).map_err(at(Step::Layer, layer))?
        }
        _ => stack.mount(None, read_only)?,
    };
    stack.skip(orders)?;
    let path = orders.text().ok_or(Failure::MALFORMED)?;
    let root = plain(path, PLAIN, path).map_err(at(Step::Root, path))?;
    let count = orders.number().ok_or(Failure::MALFORMED)?;
    for _ in 0..count {
        let part = orders.text().ok_or(Failure::MALFORMED)?;
        put_part(&lower, &root, part).map_err(at(Step::Part, part))?;
    }
    Ok(root)
}

/// Mounts what is at `part` of `lower` at the same place of `root`.
fn put_part(lower: &OwnedFd, root: &OwnedFd, part: &CStr) -> Result<(), Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let mount = open_tree(lower, part, flags)?;
    move_mount(&mount, c"", root, part, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// An overlay with a private upper layer.
fn overlay<'a>(orders: &mut Reader<'a>, control: BorrowedFd<'a>) -> Result<OwnedFd, Failure> {
    let stack = Stack::read(orders, control)?;
    stack.skip(orders)?;
    let (upper, work) = orders.text().zip(orders.text()).ok_or(Failure::MALFORMED)?;
    stack.mount(Some([upper, work]), PLAIN)
}

/// The layers that show a tree, as the orders name them.
struct Stack<'a> {
    attach: &'a CStr,
    joined: bool,
    content: Option<&'a CStr>,
    count: u32,
    layers: Reader<'a>,
    control: BorrowedFd<'a>,
}

impl<'a> Stack<'a> {
    /// Reads up to the layers.
    fn read(orders: &mut Reader<'a>, control: BorrowedFd<'a>) -> Result<Stack<'a>, Failure> {
        let attach = orders.text().ok_or(Failure::MALFORMED)?;
        let joined = orders.number().ok_or(Failure::MALFORMED)? != 0;
        let content = match orders.number() {
            Some(0) => None,
            Some(_) => Some(orders.text().ok_or(Failure::MALFORMED)?),
            None => return Err(Failure::MALFORMED),
        };
        let count = orders.number().ok_or(Failure::MALFORMED)?;
        Ok(Stack { attach, joined, content, count, layers: *orders, control })
    }

    /// Reads the layers without looking at them.
    fn skip(&self, orders: &mut Reader<'a>) -> Result<(), Failure> {
        for _ in 0..self.count {
            next_layer(orders)?;
        }
        Ok(())
    }

    fn first(&self) -> Result<(Holds, &'a CStr), Failure> {
        next_layer(&mut self.layers.clone())
    }

    /// Mounts all layers as one overlay, with the two private directories upon them if there are any.
    fn mount(&self, private: Option<[&CStr; 2]>, attributes: MountAttrFlags) -> Result<OwnedFd, Failure> {
        let context = self.new_overlay()?;
        let opened = match self.joined {
            true => Some(self.join(&context)?),
            false => self.append(&context, private.is_some()).map(|()| None)?,
        };
        if let Some(private) = private {
            for (key, path) in [c"upperdir", c"workdir"].into_iter().zip(private) {
                set_directory(&context, key, path).map_err(at(Step::Layer, path))?;
            }
            // Nobody waits for what a build writes to reach the disk: this spares flushing all of it at the end.
            fsconfig_set_flag(&context, c"volatile").map_err(at(Step::Overlay, self.attach))?;
        }
        let mounted = self.finish(&context, attributes);
        opened.iter().flat_map(List::iter).for_each(|layer| drop(kernel::own(layer)));
        mounted
    }

    /// Names the layers one by one; `written` says whether there is a private one upon them.
    fn append(&self, context: &OwnedFd, written: bool) -> Result<(), Failure> {
        let mut layers = self.layers;
        for number in 1..=self.count {
            let (holds, layer) = next_layer(&mut layers)?;
            let refers = holds != Holds::Files;
            match self.content {
                _ if holds == Holds::Answers => {
                    let tree = self.serve(layer).map_err(at(Step::Serve, layer))?;
                    // Both trees as one disk, though they are not. The kernel complains where there is but one.
                    if written {
                        fsconfig_set_string(context, c"xino", c"on").map_err(at(Step::Serve, layer))?;
                    }
                    set_mount(context, c"lowerdir+", &tree).map_err(at(Step::Serve, layer))?;
                }
                // Only the lowest layer of an overlay may have stubs, so this one becomes an overlay of its own.
                Some(content) if refers && number < self.count => {
                    let own = self.mount_alone(layer, content)?;
                    set_mount(context, c"lowerdir+", &own).map_err(at(Step::Layer, layer))?;
                }
                _ => set_directory(context, c"lowerdir+", layer).map_err(at(Step::Layer, layer))?,
            }
            if refers
                && number == self.count
                && let Some(content) = self.content
            {
                set_directory(context, c"datadir+", content).map_err(at(Step::Layer, content))?;
            }
        }
        Ok(())
    }

    /// Names the layers in one text: as the numbers of descriptors, which is why this process goes to where they are.
    /// The kernel takes no text of more than 255 bytes, and in paths some characters would be interpreted.
    fn join(&self, context: &OwnedFd) -> Result<List<RawFd>, Failure> {
        use std::io::Write;
        let mut opened = List::reserve(self.count as usize).map_err(at(Step::Overlay, self.attach))?;
        let mut layers = self.layers;
        let mut buffer = [0; 256];
        let mut rest = &mut buffer[..255];
        for number in 0..self.count {
            let (_, layer) = next_layer(&mut layers)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = openat(CWD, layer, flags, Mode::empty()).map_err(at(Step::Layer, layer))?;
            let separator = if number > 0 { ":" } else { "" };
            write!(rest, "{separator}{}", directory.as_raw_fd())
                .map_err(|_| at(Step::Layer, layer)(Errno::NAMETOOLONG))?;
            opened.push(directory.into_raw_fd());
        }
        let joined = CStr::from_bytes_until_nul(&buffer).unwrap_or(c"");
        rustix::process::chdir(c"/proc/self/fd")
            .and_then(|()| fsconfig_set_string(context, c"lowerdir", joined))
            .map_err(at(Step::Overlay, self.attach))?;
        Ok(opened)
    }

    fn mount_alone(&self, layer: &CStr, content: &CStr) -> Result<OwnedFd, Failure> {
        let context = self.new_overlay()?;
        set_directory(&context, c"lowerdir+", layer).map_err(at(Step::Layer, layer))?;
        set_directory(&context, c"datadir+", content).map_err(at(Step::Layer, content))?;
        self.finish(&context, PLAIN | MountAttrFlags::MOUNT_ATTR_RDONLY)
    }

    /// Mounts a tree of which the kernel asks whoever made this sandbox. The device has to be opened in here: it belongs
    /// to the user namespace in which that is done, and so has the mount.
    fn serve(&self, device: &CStr) -> Result<OwnedFd, Errno> {
        let asked = openat(CWD, device, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let mut buffers = [[0; 32]; 3];
        let [number, user, group] = &mut buffers;
        let context = fsopen(c"fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, c"source", c"bourn")?;
        fsconfig_set_string(&context, c"fd", decimal(asked.as_raw_fd().cast_unsigned(), number))?;
        fsconfig_set_string(&context, c"rootmode", c"40000")?;
        fsconfig_set_string(&context, c"user_id", decimal(rustix::process::getuid().as_raw(), user))?;
        fsconfig_set_string(&context, c"group_id", decimal(rustix::process::getgid().as_raw(), group))?;
        fsconfig_set_flag(&context, c"default_permissions")?;
        fsconfig_create(&context)?;
        let read_only = PLAIN | MountAttrFlags::MOUNT_ATTR_RDONLY;
        let tree = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, read_only)?;
        child::hand_over(&asked, self.control)?;
        // With the last copy elsewhere, whoever waits for an answer is let go when nobody is left to give it.
        drop((context, asked));
        // The overlay copies owner and permissions of the root as the kernel knows them, so it has to ask for them.
        fstat(&tree)?;
        put(&tree, self.attach).map(|()| tree)
    }

    fn new_overlay(&self) -> Result<OwnedFd, Failure> {
        let context =
            fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(at(Step::Overlay, self.attach))?;
        // The only kind of attributes that an unprivileged overlay may use.
        fsconfig_set_flag(&context, c"userxattr")
            .and_then(|()| fsconfig_set_string(&context, c"source", c"overlay"))
            .map_err(at(Step::Overlay, self.attach))?;
        Ok(context)
    }

    fn finish(&self, context: &OwnedFd, attributes: MountAttrFlags) -> Result<OwnedFd, Failure> {
        let created = fsconfig_create(context);
        created.map_err(|error| at(Step::Overlay, self.attach)(error).with_note_from(context))?;
        fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .and_then(|mount| put(&mount, self.attach).map(|()| mount))
            .map_err(at(Step::Overlay, self.attach))
    }
}

/// What a layer holds, and where it is.
fn next_layer<'a>(orders: &mut Reader<'a>) -> Result<(Holds, &'a CStr), Failure> {
    let holds = orders.number().and_then(Holds::read).ok_or(Failure::MALFORMED)?;
    let layer = orders.text().ok_or(Failure::MALFORMED)?;
    Ok((holds, layer))
}

/// Names a directory to the overlay by way of a descriptor: paths given as text are cut at 255 bytes and have some of
/// their characters interpreted.
fn set_directory(context: &OwnedFd, key: &CStr, path: &CStr) -> Result<(), Errno> {
    let directory = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    set_mount(context, key, &directory)
}

/// Names to an overlay what is behind a descriptor.
fn set_mount(context: &OwnedFd, key: &CStr, directory: &OwnedFd) -> Result<(), Errno> {
    let mut buffer = [0; 32];
    fsconfig_set_string(context, key, descriptor_path(directory, &mut buffer))
}

/// A number in digits, written without allocating.
fn decimal(number: u32, buffer: &mut [u8; 32]) -> &CStr {
    use std::io::Write;
    let written = write!(&mut buffer[..31], "{number}");
    debug_assert!(written.is_ok(), "ten digits suffice");
    CStr::from_bytes_until_nul(buffer).unwrap_or(c"")
}

/// Makes `root` the root of this process, with nothing of the host left behind it.
fn enter(root: &OwnedFd) -> Result<(), Failure> {
    let entered = rustix::process::fchdir(root)
        .and_then(|()| rustix::process::pivot_root(c".", c"."))
        .and_then(|()| unmount(c".", UnmountFlags::DETACH))
        .and_then(|()| rustix::process::chdir(c"/"));
    entered.map_err(at(Step::Enter, c""))
}

/// How many namespaces for groups of processes there may be in this user namespace and those within it.
const GROUPS: &CStr = c"/proc/sys/user/max_cgroup_namespaces";

/// Lets nobody in here have a further namespace for groups of processes. Whoever has one, and a user namespace to go with
/// it, can mount the group that the sandbox is in, which is that of the host; and the superuser of the host owns its
/// files, as do users of what they were given.
///
/// So tools that make sandboxes of their own in here have to do without that namespace.
fn withhold_groups() -> Result<(), Errno> {
    let opened = openat(CWD, GROUPS, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    match opened {
        // No groups or no limits in this kernel, or somebody else who does not want them changed.
        Err(Errno::NOENT | Errno::ACCESS | Errno::PERM) => Ok(()),
        opened => rustix::io::write(&opened?, b"0").map(drop),
    }
}

/// Makes parts of `/proc` read-only. What the kernel lacks is passed over.
fn guard(orders: &mut Reader<'_>) -> Result<(), Failure> {
    let count = orders.number().ok_or(Failure::MALFORMED)?;
    for _ in 0..count {
        let path = orders.text().ok_or(Failure::MALFORMED)?;
        match make_read_only(path) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(at(Step::Proc, path)(error)),
        }
    }
    Ok(())
}

/// Makes read-only what is not to be written to.
fn freeze(orders: &mut Reader<'_>, root: &OwnedFd) -> Result<(), Failure> {
    if orders.number().ok_or(Failure::MALFORMED)? == 0 {
        return Ok(());
    }
    let count = orders.number().ok_or(Failure::MALFORMED)?;
    for _ in 0..count {
        let path = orders.text().ok_or(Failure::MALFORMED)?;
        take(path, true).and_then(|mount| put(&mount, path)).map_err(at(Step::Freeze, path))?;
    }
    set_attributes(root, MountAttrFlags::MOUNT_ATTR_RDONLY, false).map_err(at(Step::Freeze, c"/"))
}

fn devices_directory(
    devices: &mut [Option<OwnedFd>],
    more: [(&CStr, Option<OwnedFd>); 2],
) -> Result<(), Failure> {
    let no_exec = MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let no_devices = MountAttrFlags::MOUNT_ATTR_NODEV;
    let dev = fresh(c"tmpfs", &[(c"mode", c"0755")], no_devices).map_err(at(Step::Device, c"/dev"))?;
    put(&dev, c"/dev").map_err(at(Step::Device, c"/dev"))?;
    for (target, name) in DEVICE_LINKS {
        symlinkat(target, &dev, name).map_err(at(Step::Device, name))?;
    }
    for name in [c"pts", c"shm"] {
        mkdirat(&dev, name, Mode::from_raw_mode(0o755)).map_err(at(Step::Device, name))?;
    }
    for ((_, name), device) in DEVICES.iter().zip(devices) {
        if let Some(device) = device.take() {
            put_upon_new_file(&device, &dev, name).map_err(at(Step::Device, name))?;
        }
    }
    for (name, device) in more {
        if let Some(device) = device {
            put_upon_new_file(&device, &dev, name).map_err(at(Step::Device, name))?;
        }
    }
    let terminals = fresh(c"devpts", &[(c"ptmxmode", c"0666"), (c"mode", c"0620")], no_exec);
    let mounted = terminals
        .and_then(|mount| move_mount(&mount, c"", &dev, c"pts", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH));
    mounted.map_err(at(Step::Device, c"/dev/pts"))
}

fn put_upon_new_file(mount: &OwnedFd, directory: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    drop(openat(directory, name, flags, Mode::from_raw_mode(0o644))?);
    move_mount(mount, c"", directory, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    set_attributes(mount, MountAttrFlags::MOUNT_ATTR_NOSUID, false)
}

/// Opens the host file that is next, if there is one.
fn take_device(orders: &mut Reader<'_>) -> Result<Option<OwnedFd>, Failure> {
    match orders.number() {
        Some(0) => Ok(None),
        Some(_) => {
            let path = orders.text().ok_or(Failure::MALFORMED)?;
            take(path, false).map(Some).map_err(at(Step::Device, path))
        }
        None => Err(Failure::MALFORMED),
    }
}

/// Opens the host's files, to be mounted when the root has changed.
fn take_binds(orders: &mut Reader<'_>) -> Result<List<RawFd>, Failure> {
    let count = orders.number().ok_or(Failure::MALFORMED)?;
    let mut taken = List::reserve(count as usize).map_err(at(Step::Bind, c""))?;
    for _ in 0..count {
        let host = orders.text().ok_or(Failure::MALFORMED)?;
        let _path = orders.text().ok_or(Failure::MALFORMED)?;
        let _writable = orders.number().ok_or(Failure::MALFORMED)?;
        let mount = take(host, true).map_err(at(Step::Bind, host))?;
        taken.push(mount.into_raw_fd());
    }
    Ok(taken)
}

/// Mounts what [`take_binds`] took; `orders` is at the same place as it was then.
fn put_binds(taken: &List<RawFd>, mut orders: Reader<'_>) -> Result<(), Failure> {
    orders.number();
    for mount in taken.iter() {
        let _host = orders.text().ok_or(Failure::MALFORMED)?;
        let path = orders.text().ok_or(Failure::MALFORMED)?;
        let writable = orders.number().ok_or(Failure::MALFORMED)? != 0;
        let mount = kernel::own(mount);
        let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID;
        attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, !writable);
        make_place(&mount, path)
            .and_then(|()| put(&mount, path))
            .and_then(|()| set_attributes(&mount, attributes, true))
            .map_err(at(Step::Bind, path))?;
    }
    Ok(())
}

/// Makes the place where something is mounted below `/tmp` or `/dev`, which have nothing of the tree in them.
fn make_place(mount: &OwnedFd, path: &CStr) -> Result<(), Errno> {
    let bytes = path.to_bytes();
    if !bytes.starts_with(b"/tmp/") && !bytes.starts_with(b"/dev/") {
        return Ok(());
    }
    let mut buffer = [0_u8; 4096];
    let copy = buffer.get_mut(..bytes.len()).filter(|copy| copy.len() < 4096).ok_or(Errno::NAMETOOLONG)?;
    copy.copy_from_slice(bytes);
    for end in bytes.iter().enumerate().skip(5).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at) {
        buffer[end] = 0;
        make_directory(text_of(&buffer)?)?;
        buffer[end] = b'/';
    }
    let path = text_of(&buffer)?;
    if FileType::from_raw_mode(fstat(mount)?.st_mode) == FileType::Directory {
        return make_directory(path);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    there(openat(CWD, path, flags, Mode::from_raw_mode(0o644)).map(drop))
}

/// Makes a directory that may be there already. A link is none: those in `/dev` lead to files that are open here.
fn make_directory(path: &CStr) -> Result<(), Errno> {
    there(mkdirat(CWD, path, Mode::from_raw_mode(0o755)))?;
    let found = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => Ok(()),
        _ => Err(Errno::NOTDIR),
    }
}

fn text_of(buffer: &[u8]) -> Result<&CStr, Errno> {
    CStr::from_bytes_until_nul(buffer).map_err(|_| Errno::NAMETOOLONG)
}

/// What is there already need not be made.
fn there(made: Result<(), Errno>) -> Result<(), Errno> {
    match made {
        Err(Errno::EXIST) => Ok(()),
        made => made,
    }
}
