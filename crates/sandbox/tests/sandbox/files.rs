//! What programs do to files, told line by line: two trees that are the same should lead to the same lines.

use rustix::fs::{CWD, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::path::Path;

fn tell(what: &str, path: &str, found: impl std::fmt::Debug) {
    println!("found {what} of {}: {found:?}", path.rsplit('/').next().unwrap_or(path));
}

/// Reads a file in every way that there is.
pub(crate) fn read(path: &str) {
    let mut file = File::open(path).expect("the file");
    let mut content = Vec::new();
    file.read_to_end(&mut content).expect("it can be read");
    tell(
        "sum",
        path,
        content.iter().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into())),
    );
    tell("end", path, file.seek(SeekFrom::End(-5)).map_err(|error| error.raw_os_error()));
    tell("data", path, rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(0)));
    tell("hole", path, rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(0)));
    tell("mapped", path, mapped(&file, content.len()) == content);
    file.rewind().expect("it can");
    let target = File::create("/tmp/copy").expect("a file");
    tell("sent", path, rustix::fs::sendfile(&target, &file, Some(&mut 0), 20_000));
    tell("copied", path, rustix::fs::copy_file_range(&file, Some(&mut 0), &target, Some(&mut 0), 20_000));
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let flags = rustix::pipe::SpliceFlags::empty();
    tell("spliced", path, rustix::pipe::splice(&file, Some(&mut 0), &writer, None, 4096, flags));
    drop((reader, writer));
    let direct = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECT, Mode::empty());
    tell("directly", path, direct.map(|file| read_aligned(&file)));
    tell("advice", path, rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::WillNeed));
    tell("flock", path, rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive));
    tell("lock", path, rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockShared));
    tell("sync", path, rustix::fs::fsync(&file));
    let mut list = [0_u8; 1000];
    tell("attributes", path, rustix::fs::listxattr(path, &mut list));
    tell("attribute", path, rustix::fs::getxattr(path, "user.overlay.metacopy", &mut list[..]));
    tell(
        "rights",
        path,
        rustix::fs::accessat(CWD, path, rustix::fs::Access::EXEC_OK, rustix::fs::AtFlags::EACCESS),
    );
    tell("size", path, rustix::fs::stat(path).map(|stat| (stat.st_size, stat.st_blocks > 0, stat.st_nlink)));
    tell("number", path, rustix::fs::stat(path).map(|stat| stat.st_ino != 0));
}

#[allow(unsafe_code)]
fn mapped(file: &File, length: usize) -> Vec<u8> {
    if length == 0 {
        return Vec::new();
    }
    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
    // SAFETY: the mapping is private and read within its length only.
    unsafe {
        let start =
            mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, file, 0).expect("mapped");
        let content = std::slice::from_raw_parts(start.cast::<u8>(), length).to_vec();
        munmap(start, length).expect("unmapped");
        content
    }
}

/// How much can be read past all caches.
fn read_aligned(file: impl std::os::fd::AsFd) -> Result<usize, Errno> {
    let mut buffer = vec![0_u8; 3 * 4096];
    let offset = buffer.as_ptr().align_offset(4096);
    rustix::io::read(file, &mut buffer[offset..offset + 4096])
}

/// Lists a large directory, and goes on from places in it that were noted.
#[allow(unsafe_code)]
pub(crate) fn list(path: &str) {
    let name = CString::new(path).expect("no zero byte");
    // SAFETY: the name is terminated; each entry is read before the next is asked for.
    unsafe {
        let directory = libc::opendir(name.as_ptr());
        assert!(!directory.is_null());
        let next = || {
            let entry = libc::readdir(directory);
            (!entry.is_null()).then(|| std::ffi::CStr::from_ptr((*entry).d_name.as_ptr()).to_owned())
        };
        let (mut places, mut names) = (Vec::new(), Vec::new());
        loop {
            places.push(libc::telldir(directory));
            match next() {
                Some(name) => names.push(name),
                None => break,
            }
        }
        let again = (0..names.len()).step_by(497).all(|at| {
            libc::seekdir(directory, places[at]);
            next().as_ref() == Some(&names[at])
        });
        libc::rewinddir(directory);
        let first = next().as_ref() == names.first();
        libc::closedir(directory);
        names.sort();
        names.dedup();
        tell("entries", path, (names.len(), again, first));
    }
}

/// Changes what is in a directory, or tries to.
pub(crate) fn change(directory: &str) {
    let at = |name: &str| format!("{directory}/{name}");
    let long = at(&"n".repeat(255));
    tell("long name", "it", std::fs::read_to_string(&long).map_err(|error| error.raw_os_error()));
    tell("longer name", "it", rustix::fs::stat(at(&"n".repeat(256))).err());
    let renamed = std::fs::rename(at("moved"), at("elsewhere"));
    tell("renaming", "moved", renamed.map_err(|error| error.raw_os_error()));
    let linked = std::fs::hard_link(at("file"), at("linked"));
    tell("linking", "file", linked.map_err(|error| error.raw_os_error()));
    tell("links", "file", rustix::fs::stat(at("file")).map(|stat| stat.st_nlink));
    tell("moving", "empty", rustix::fs::rename(at("empty"), at("file-2")));
    let file = rustix::fs::open(at("file"), OFlags::RDWR, Mode::empty());
    tell(
        "making room",
        "file",
        file.and_then(|file| rustix::fs::fallocate(file, FallocateFlags::empty(), 0, 30_000)),
    );
    tell("size", "file", rustix::fs::stat(at("file")).map(|stat| stat.st_size));
    tell("mode", "file", rustix::fs::chmod(at("file"), Mode::from_raw_mode(0o600)));
    tell("owner", "file", rustix::fs::chown(at("file"), None, None));
    tell("removing", "inner", rustix::fs::unlink(at("moved/inner")));
    tell("removing", "moved", rustix::fs::rmdir(at("moved")));
    tell("making", "moved", rustix::fs::mkdir(at("moved"), Mode::from_raw_mode(0o755)));
    tell("inner", "moved", std::fs::read_dir(at("moved")).map_or(0, Iterator::count));
}

/// Watches a directory for what happens in it.
#[allow(unsafe_code)]
pub(crate) fn watch(directory: &str) {
    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
    let watched = init(CreateFlags::NONBLOCK).expect("inotify");
    tell("watch", directory, add_watch(&watched, directory, WatchFlags::ALL_EVENTS).is_ok());
    drop(std::fs::read_dir(directory));
    let mut buffer = [0_u8; 4096];
    tell("events", directory, rustix::io::read(&watched, &mut buffer[..]).is_ok_and(|length| length > 0));
    assert!(watched.as_raw_fd() > 2 && Path::new(directory).exists());
}
