//! The system calls that have no safe wrapper: all `unsafe` of the project stands in this file.
//!
//! Nothing here allocates: most of it runs in a process that was split off from one with many threads.
#![allow(unsafe_code)]

use crate::jobserver::DESCRIPTORS;
use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

/// The error that the last failed call of the C library left.
fn last_error() -> Errno {
    // SAFETY: reads a variable of the calling thread.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

fn check(result: c_long) -> Result<c_long, Errno> {
    if result < 0 { Err(last_error()) } else { Ok(result) }
}

/// All signals blocked for the calling thread; dropping it restores what was blocked before.
pub(crate) struct SignalsBlocked(libc::sigset_t);

impl SignalsBlocked {
    /// Blocks all signals.
    pub(crate) fn new() -> SignalsBlocked {
        // SAFETY: both sets live on this stack, and every pattern of bits is a valid set.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            SignalsBlocked(before)
        }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: the set was filled by the call that blocked.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }
}

/// Which side of [`split`] this is.
pub(crate) enum Side {
    /// The process that called; it holds a handle of the new one.
    Parent(OwnedFd),
    /// The new process, the only thread in it, with a copy of the memory. It must not allocate, nor return.
    Child,
}

#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// Splits off a process into new namespaces (`CLONE_NEW*` bits). Signal handlers are not inherited. The parent is
/// told of its end with `SIGCHLD` only when `announced`.
///
/// Call with all signals blocked, so that no handler runs in the child.
pub(crate) fn split(namespaces: c_int, announced: bool) -> Result<Side, Errno> {
    const CLEAR_SIGNAL_HANDLERS: u64 = 0x1_0000_0000;
    let mut pidfd: RawFd = -1;
    let arguments = CloneArguments {
        flags: namespaces as u32 as u64 | libc::CLONE_PIDFD as u64 | CLEAR_SIGNAL_HANDLERS,
        pidfd: &raw mut pidfd as u64,
        exit_signal: if announced { libc::SIGCHLD as u64 } else { 0 },
        ..CloneArguments::default()
    };
    // SAFETY: no memory is shared and no stack given, so this behaves like fork; `arguments` and `pidfd` outlive the
    // call. The contract of what the child may do is on the caller and documented above.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArguments>()) };
    match check(result)? {
        0 => Ok(Side::Child),
        // SAFETY: the kernel stored a new descriptor that nobody else owns.
        _ => Ok(Side::Parent(unsafe { OwnedFd::from_raw_fd(pidfd) })),
    }
}

/// Lets every signal do again what it does by default; what a parent ignores would stay ignored in every program.
pub(crate) fn reset_signals() {
    // All zeroes is the kernel's own form of the default, larger than the kernel reads on any machine.
    let default = [0_u64; 8];
    for signal in 1..=64 {
        // SAFETY: the kernel only reads; it refuses the signals that cannot be changed. The C library's own function
        // would leave out the two signals that it keeps for itself.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0usize, 8usize) };
    }
}

/// Has the kernel reap the children of this process.
pub(crate) fn ignore_children() {
    // SAFETY: takes plain values.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

/// Maps `length` bytes of a file for reading, for good.
pub(crate) fn map_file(file: impl AsFd, length: usize) -> Result<&'static [u8], Errno> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    if length == 0 {
        return Ok(&[]);
    }
    // SAFETY: a fresh mapping that is never removed. The file is sealed in memory, and its only other holder has
    // written it before it was passed on.
    unsafe {
        let memory = mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, file, 0)?;
        Ok(std::slice::from_raw_parts(memory.cast::<u8>(), length))
    }
}

/// Addresses of memory, the second one excluded.
type Range = (usize, usize);

/// Gives back the large pieces of memory that this process has copies of: the heap, the stacks of other threads. Each
/// process that is split off from this one would take over their page tables.
///
/// # Safety
/// Only the calling thread is left in this process, and nothing that it will still use was allocated.
unsafe fn forget_memory() -> Result<(), Errno> {
    let mut text = [0; 16 << 10];
    let mut unneeded = Unneeded { ranges: [(0, 0); 512], count: 0 };
    // The surroundings of the stack's end, and of what this thread knows of itself.
    // SAFETY: has no preconditions.
    let kept = [(&raw const text).addr(), unsafe { libc::pthread_self() } as usize]
        .map(|address| ((address & !0xfffff) - (1 << 20), (address & !0xfffff) + (2 << 20)));
    let maps = rustix::fs::open(c"/proc/self/maps", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let (mut filled, mut last_file_end) = (0, 0);
    loop {
        let read = rustix::io::read(&maps, &mut text[filled..])?;
        filled += read;
        let mut rest = &text[..filled];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            match mapping(&rest[..end]) {
                // What follows the data of a file is that file's zeroed data.
                Some((range, false, true)) if range.0 != last_file_end => unneeded.add(range, &kept),
                Some((range, true, _)) => last_file_end = range.1,
                _ => {}
            }
            rest = &rest[end + 1..];
        }
        let left = rest.len();
        text.copy_within(filled - left..filled, 0);
        filled = left;
        if read == 0 || filled == text.len() {
            break;
        }
    }
    for (start, end) in unneeded.ranges.iter().take(unneeded.count) {
        // SAFETY: by the contract of this function nothing in there is used again.
        unsafe { rustix::mm::munmap(*start as *mut c_void, end - start)? };
    }
    Ok(())
}

/// Memory to be given back.
struct Unneeded {
    ranges: [Range; 512],
    count: usize,
}

impl Unneeded {
    /// Adds a range, but for the parts of it that are kept.
    fn add(&mut self, range: Range, kept: &[Range]) {
        let Some(((start, end), kept)) = kept.split_first() else {
            if range.0 < range.1 && self.count < self.ranges.len() {
                self.ranges[self.count] = range;
                self.count += 1;
            }
            return;
        };
        if range.1 <= *start || *end <= range.0 {
            return self.add(range, kept);
        }
        self.add((range.0, range.0.max(*start)), kept);
        self.add((range.1.min(*end), range.1), kept);
    }
}

/// A line of `/proc/PID/maps`: where, whether it belongs to a file (or to the kernel), whether it is worth forgetting.
fn mapping(line: &[u8]) -> Option<(Range, bool, bool)> {
    const LARGE: usize = 128 << 10;
    let mut fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    let mut ends = fields.next()?.split(|byte| *byte == b'-');
    let range = (hexadecimal(ends.next()?)?, hexadecimal(ends.next()?)?);
    let private = fields.next()?.starts_with(b"rw-p");
    let inode = fields.nth(2)?;
    let name = fields.next().unwrap_or_default();
    let anonymous = inode == b"0" && (name.is_empty() || name == b"[heap]" || name.starts_with(b"[anon"));
    Some((range, !anonymous, private && range.1.saturating_sub(range.0) >= LARGE))
}

fn hexadecimal(digits: &[u8]) -> Option<usize> {
    let digit = |digit: u8| (digit as char).to_digit(16).map(|value| value as usize);
    digits.iter().try_fold(0_usize, |value, byte| value.checked_mul(16)?.checked_add(digit(*byte)?))
}

/// Ends this process at once, running no destructors and no exit handlers.
pub(crate) fn leave(status: c_int) -> ! {
    // SAFETY: has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Splits off a process that does nothing but `serve`, with little memory. It gets the number of a descriptor.
pub(crate) fn split_server(descriptor: RawFd, serve: fn(RawFd) -> !) -> Result<OwnedFd, Errno> {
    let _blocked = SignalsBlocked::new();
    match split(0, false)? {
        Side::Parent(process) => Ok(process),
        Side::Child => {
            // SAFETY: this is the only thread, and all that is used from here on is on its stack. When it fails, the
            // process is just as good, only larger.
            let _ = unsafe { forget_memory() };
            serve(descriptor)
        }
    }
}

/// Waits for the end of a child that was split off unannounced.
pub(crate) fn reap(process: &OwnedFd) {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    // `__WALL`: such a child is not waited for otherwise.
    let options = WaitIdOptions::EXITED | WaitIdOptions::from_bits_retain(libc::__WALL as u32);
    while let Err(Errno::INTR) = waitid(WaitId::PidFd(process.as_fd()), options) {}
}

/// What [`start`] needs to know of the program, as the kernel wants it.
pub(crate) struct Program<'a> {
    /// Files to try in turn.
    pub(crate) files: Pointers<'a>,
    /// Arguments.
    pub(crate) arguments: Pointers<'a>,
    /// Environment.
    pub(crate) environment: Pointers<'a>,
    /// Working directory.
    pub(crate) directory: &'a CStr,
    /// What become standard input, output and error.
    pub(crate) streams: [RawFd; 3],
    /// Whether it leads a session of its own.
    pub(crate) session: bool,
    /// Whether it takes the foreground of the terminal that is its input.
    pub(crate) foreground: bool,
    /// Whether it finds `/dev/jobserver` open.
    pub(crate) jobserver: bool,
}

/// Why a program did not start.
#[derive(Clone, Copy)]
pub(crate) enum Refused {
    /// No process could be made.
    Process(Errno),
    /// The working directory cannot be entered.
    Directory(Errno),
    /// The streams could not be put in place, or another preparation failed.
    Preparation(Errno),
    /// None of the files could be executed.
    Program(Errno),
}

/// Starts a program as a child of this process. Returns when it runs or is refused.
///
/// The calling process must have one thread and all signals blocked.
pub(crate) fn start(program: &Program<'_>) -> Result<Pid, Refused> {
    struct Launch<'a> {
        program: &'a Program<'a>,
        refused: Option<Refused>,
    }
    extern "C" fn launched(launch: *mut c_void) -> c_int {
        // SAFETY: points to `launch` below, whose owner sleeps until this process executes or ends.
        let launch = unsafe { &mut *launch.cast::<Launch<'_>>() };
        launch.refused = Some(become_program(launch.program));
        127
    }
    #[repr(align(16))]
    struct Stack([u8; 32 << 10]);
    let mut stack = Stack([0; 32 << 10]);
    let mut launch = Launch { program, refused: None };
    // SAFETY: CLONE_VFORK keeps this thread asleep while the child uses our memory; the child runs on its own stack,
    // which is as large as its few frames need and ends at the aligned end of the array.
    let pid = unsafe {
        let top = stack.0.as_mut_ptr().add(stack.0.len()).cast();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        libc::clone(launched, top, flags, (&raw mut launch).cast())
    };
    if pid < 0 {
        return Err(Refused::Process(last_error()));
    }
    match (launch.refused, Pid::from_raw(pid)) {
        (None, Some(pid)) => Ok(pid),
        (Some(refused), Some(pid)) => {
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
            Err(refused)
        }
        (_, None) => Err(Refused::Process(Errno::INVAL)),
    }
}

/// Opens both ends of the jobserver's pipe under their numbers. A program that does not find them says so and works
/// alone, so a failure is not one of the command.
fn open_jobserver() {
    for (number, flags) in DESCRIPTORS.into_iter().zip([OFlags::RDONLY, OFlags::WRONLY]) {
        // This process has both ends open on the outside, so that nobody waits here.
        if let Ok(end) = rustix::fs::openat(CWD, c"/dev/jobserver", flags | OFlags::CLOEXEC, Mode::empty()) {
            // SAFETY: plain descriptors.
            unsafe { libc::dup3(end.as_raw_fd(), number, 0) };
        }
    }
}

/// Turns this process into `program`; returns only if that fails.
fn become_program(program: &Program<'_>) -> Refused {
    if program.session
        && let Err(error) = rustix::process::setsid()
    {
        return Refused::Preparation(error);
    }
    for (target, source) in program.streams.into_iter().enumerate() {
        let target = target as c_int;
        // SAFETY: plain descriptors; `dup3` refuses equal ones, which then only have to survive the execution.
        let result = unsafe {
            if source == target {
                libc::fcntl(target, libc::F_SETFD, 0)
            } else {
                libc::dup3(source, target, 0)
            }
        };
        if result < 0 {
            return Refused::Preparation(last_error());
        }
    }
    if program.jobserver {
        open_jobserver();
    }
    if program.foreground
        && let Err(error) =
            rustix::process::setpgid(None, None).and_then(|()| take_foreground(program.streams[0], None))
    {
        return Refused::Preparation(error);
    }
    if let Err(error) = rustix::process::chdir(program.directory) {
        return Refused::Directory(error);
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    if !program.session
        && let Err(error) = forbid_typing()
    {
        return Refused::Preparation(error);
    }
    // SAFETY: an empty set is valid; this thread is the only one of its process.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
    Refused::Program(execute(program))
}

/// Puts a process group, or that of this process, into the foreground of a terminal. `SIGTTOU` must be blocked.
pub(crate) fn take_foreground(terminal: RawFd, group: Option<Pid>) -> Result<(), Errno> {
    let group = group.unwrap_or_else(rustix::process::getpgrp);
    // SAFETY: the descriptor is open for as long as this process lives.
    let terminal = unsafe { rustix::fd::BorrowedFd::borrow_raw(terminal) };
    rustix::termios::tcsetpgrp(terminal, group)
}

/// Stops this process with all its threads; returns when it was continued.
pub(crate) fn stop_this_process() {
    // SAFETY: has no preconditions. The signal goes to this thread, so that it cannot run on while another one is
    // about to stop the process.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Executes the first of the files that can be, as `execvp` does: a file without a known format is handed to the
/// shell, a missing one is passed over, and a forbidden one is only reported if no other works.
fn execute(program: &Program<'_>) -> Errno {
    let mut worst = Errno::NOENT;
    for file in program.files.list.iter() {
        // SAFETY: all three are arrays of terminated strings that end with a null pointer.
        unsafe { libc::execve(file, program.arguments.raw(), program.environment.raw()) };
        match last_error() {
            Errno::NOEXEC => return execute_by_shell(program, file),
            Errno::ACCESS => worst = Errno::ACCESS,
            Errno::NOENT | Errno::NOTDIR => {}
            other => return other,
        }
    }
    worst
}

fn execute_by_shell(program: &Program<'_>, file: *const c_char) -> Errno {
    // The shell and the file take the place of the first argument.
    let Ok(mut arguments) = Pointers::reserve(program.arguments.list.length + 1) else { return Errno::NOMEM };
    arguments.push(c"/bin/sh");
    arguments.list.push(file);
    program.arguments.list.iter().skip(1).for_each(|argument| arguments.list.push(argument));
    // SAFETY: as above.
    unsafe { libc::execve(c"/bin/sh".as_ptr(), arguments.raw(), program.environment.raw()) };
    last_error()
}

/// A list in memory that comes from the kernel, not from the allocator. The memory is zeroed and never given back: its
/// owner is about to execute a program or to end.
pub(crate) struct List<T: Copy> {
    memory: *mut T,
    length: usize,
    room: usize,
}

impl<T: Copy> List<T> {
    /// Room for `count` items and one zeroed one behind them.
    pub(crate) fn reserve(count: usize) -> Result<List<T>, Errno> {
        use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
        let bytes =
            count.checked_add(1).and_then(|count| count.checked_mul(size_of::<T>())).ok_or(Errno::NOMEM)?;
        // SAFETY: a fresh private mapping, which no other memory overlaps.
        let memory = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )?
        };
        Ok(List { memory: memory.cast(), length: 0, room: count })
    }

    /// Appends; what exceeds the reserved room is dropped.
    pub(crate) fn push(&mut self, item: T) {
        if self.length < self.room {
            // SAFETY: within the mapping, as just checked.
            unsafe { self.memory.add(self.length).write(item) };
            self.length += 1;
        }
    }

    /// Whether there is no room for another one.
    pub(crate) fn is_full(&self) -> bool {
        self.length == self.room
    }

    /// The items.
    pub(crate) fn iter(&self) -> impl Iterator<Item = T> {
        // SAFETY: `length` items were written.
        (0..self.length).map(|index| unsafe { self.memory.add(index).read() })
    }
}

/// A null-terminated array of pointers to texts, as the kernel takes them.
pub(crate) struct Pointers<'a> {
    list: List<*const c_char>,
    texts: std::marker::PhantomData<&'a CStr>,
}

impl<'a> Pointers<'a> {
    /// Room for `count` pointers.
    pub(crate) fn reserve(count: usize) -> Result<Pointers<'a>, Errno> {
        Ok(Pointers { list: List::reserve(count)?, texts: std::marker::PhantomData })
    }

    /// Appends; what exceeds the reserved room is dropped.
    pub(crate) fn push(&mut self, text: &'a CStr) {
        self.list.push(text.as_ptr());
    }

    fn raw(&self) -> *const *const c_char {
        self.list.memory
    }
}

/// Whether `mount_setattr` is to be done without.
static WITHOUT_SETATTR: AtomicBool = AtomicBool::new(false);

/// Lets this process do without `mount_setattr`, as kernels before Linux 5.12 do.
pub(crate) fn do_without_setattr() {
    WITHOUT_SETATTR.store(true, Ordering::Relaxed);
}

/// `mount_setattr` on the mount behind a descriptor, and on those below it if `recursive`.
pub(crate) fn set_mount_attributes(mount: impl AsFd, attributes: u64, recursive: bool) -> Result<(), Errno> {
    if WITHOUT_SETATTR.load(Ordering::Relaxed) {
        return Err(Errno::NOSYS);
    }
    #[repr(C)]
    struct MountAttributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let wanted = MountAttributes { set: attributes, clear: 0, propagation: 0, user_namespace: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a terminated text and `wanted` has the layout and size that the kernel documents.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const wanted,
            size_of::<MountAttributes>(),
        )
    };
    check(result).map(drop)
}

/// Gives this process a keyring of its own, so that it does not see the keys of the session that started it.
/// Kernels without keyrings, and users whose quota of keys is used up, are left as they are.
pub(crate) fn leave_session_keyring() {
    const JOIN_SESSION_KEYRING: c_int = 1;
    // SAFETY: asks for a new unnamed keyring; no memory is involved.
    unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, 0usize) };
}

/// Switches on the loopback device of this network namespace.
pub(crate) fn switch_on_loopback() -> Result<(), Errno> {
    // SAFETY: the request is zeroed plain data, large enough for what the kernel reads and writes, and names a device
    // shorter than its field.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(last_error());
        }
        let socket = OwnedFd::from_raw_fd(socket);
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as c_char;
        request.ifr_name[1] = b'o' as c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
        let result = libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request);
        check(c_long::from(result)).map(drop)
    }
}

/// A descriptor that becomes readable when a child has ended or stopped. `SIGCHLD` must be blocked.
pub(crate) fn child_events() -> Result<OwnedFd, Errno> {
    // SAFETY: the set lives on this stack; the new descriptor is owned by nobody else.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        check(c_long::from(fd)).map(|fd| OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Sends a signal to every process of this pid namespace but the sender, which is its first.
pub(crate) fn signal_all(signal: c_int) {
    // SAFETY: has no preconditions.
    unsafe { libc::kill(-1, signal) };
}

/// Whether some more processes could be made here. Leaves children behind that have ended.
pub(crate) fn processes_can_be_made() -> bool {
    extern "C" fn nothing(_: *mut c_void) -> c_int {
        0
    }
    #[repr(align(16))]
    struct Stack([u8; 4096]);
    let mut stack = Stack([0; 4096]);
    // More than one: the one that has just failed for want of room has left its own.
    (0..8).all(|_| {
        // SAFETY: as in `start`; the child returns at once.
        let pid = unsafe {
            let top = stack.0.as_mut_ptr().add(stack.0.len()).cast();
            libc::clone(
                nothing,
                top,
                libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
                std::ptr::null_mut(),
            )
        };
        pid > 0 || last_error() != Errno::AGAIN
    })
}

/// Takes back the ownership of a descriptor that was given up with `into_raw_fd`.
pub(crate) fn own(descriptor: RawFd) -> OwnedFd {
    // SAFETY: callers pass each number that they gave up once.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Closes every descriptor from `first` to `last`, both included.
pub(crate) fn close_range(first: u32, last: u32) {
    if first <= last {
        // SAFETY: only called in a process of one thread that keeps no owner of what is closed.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}

/// Gives up every capability, for good: none is left to this process, none comes back with a program.
pub(crate) fn drop_capabilities() -> Result<(), Errno> {
    // SAFETY: these take plain numbers.
    unsafe {
        for capability in 0..64 {
            if libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 {
                match last_error() {
                    Errno::INVAL => break, // beyond the last one that this kernel knows
                    error => return Err(error),
                }
            }
        }
        check(c_long::from(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))?;
    }
    let none = rustix::thread::CapabilitySet::empty();
    let sets = rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets)
}

/// Hides this process from tracing, and its files in `/proc` from reading.
pub(crate) fn hide_from_tracing() -> Result<(), Errno> {
    // SAFETY: takes plain numbers.
    check(c_long::from(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })).map(drop)
}

/// How the kernel names the machine's own table of system calls (`AUDIT_ARCH_*`).
const NATIVE: u32 = match () {
    _ if cfg!(target_arch = "x86_64") => 0xc000_003e,
    _ if cfg!(target_arch = "aarch64") => 0xc000_00b7,
    _ if cfg!(target_arch = "riscv64") => 0xc000_00f3,
    _ if cfg!(target_arch = "loongarch64") => 0xc000_0102,
    _ if cfg!(target_arch = "powerpc64") && cfg!(target_endian = "little") => 0xc000_0015,
    _ if cfg!(target_arch = "s390x") => 0x8000_0016,
    _ => 0,
};

/// Installs a filter under which no process can push characters into the terminal (`TIOCSTI`), or paste into the
/// console (`TIOCLINUX`): whoever reads that terminal after the sandbox would execute them.
fn forbid_typing() -> Result<(), Errno> {
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const NUMBER: u32 = 0; // offsets into `struct seccomp_data`
    const TABLE: u32 = 4;
    const REQUEST: u32 = if cfg!(target_endian = "big") { 28 } else { 24 };
    const X32_IOCTL: u32 = 0x4000_0000 | 514;
    const COMPATIBLE_IOCTL: u32 = 54; // of the 32-bit tables of x86, Arm, PowerPC and s390
    const fn step(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code, jt, jf, k }
    }
    let filter = [
        step(LOAD, 0, 0, TABLE),
        step(EQUAL, 0, 3, NATIVE),
        step(LOAD, 0, 0, NUMBER),
        step(EQUAL, 4, 0, libc::SYS_ioctl as u32),
        step(EQUAL, 3, 2, X32_IOCTL),
        step(LOAD, 0, 0, NUMBER),
        step(EQUAL, 1, 0, COMPATIBLE_IOCTL),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(LOAD, 0, 0, REQUEST),
        step(EQUAL, 2, 0, libc::TIOCSTI as u32),
        step(EQUAL, 1, 0, libc::TIOCLINUX as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel only reads the program, which outlives the call.
    let result = unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program as usize, 0, 0)
    };
    check(c_long::from(result)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read() {
        let check = |line: &str, expect| assert_eq!(mapping(line.as_bytes()), expect, "{line}");
        check("7f00-20100 rw-p 00000000 00:00 0 ", Some(((0x7f00, 0x20100), false, false)));
        check("10000-80000 rw-p 00000000 00:00 0    [heap]", Some(((0x10000, 0x80000), false, true)));
        check("10000-80000 r--p 00000000 00:00 0", Some(((0x10000, 0x80000), false, false)));
        check("10000-80000 rw-p 00001000 fe:00 1234   /bin/x y", Some(((0x10000, 0x80000), true, true)));
        check("10000-80000 rw-p 00000000 00:00 0    [stack]", Some(((0x10000, 0x80000), true, true)));
        check("nonsense", None);
    }
}
