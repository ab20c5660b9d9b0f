//! What an archive is compressed with is told by its first bytes, never by its name.

use super::{ArchiveError, ArchiveResult};
use std::io::{self, BufReader, Chain, Cursor, Read};

/// A bomb unpacks to more than this …
pub(super) const BOMB_SIZE: u64 = 8 << 30;
/// … and to more than this many times what it is packed to.
pub(super) const BOMB_RATIO: u64 = 2000;

type Input<R> = Chain<Cursor<Vec<u8>>, Counted<BufReader<R>>>;

/// What was possibly compressed, being read.
pub(crate) struct Unpacked {
    stream: Box<dyn Read + Send>,
    packed: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Unpacked {
    /// Refuses a bomb: `unpacked` bytes that came, or are to come, out of what was read of the file so far.
    ///
    /// # Errors
    /// It is one.
    pub(crate) fn check(&self, unpacked: u64) -> io::Result<()> {
        check_ratio(self.packed.load(std::sync::atomic::Ordering::Relaxed), unpacked.into())
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

/// Refuses what unpacks to absurdly much.
///
/// # Errors
/// `packed` bytes that unpack to `unpacked` bytes are a bomb.
pub(super) fn check_ratio(packed: u64, unpacked: u128) -> io::Result<()> {
    if unpacked > BOMB_SIZE.into() && unpacked / u128::from(BOMB_RATIO) > packed.into() {
        let message = format!("{packed} bytes unpack to {unpacked} bytes or more: this is a bomb");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(())
}

/// Opens what is possibly compressed for reading.
///
/// # Errors
/// It cannot be read.
pub(crate) fn open(file: impl Read + Send + 'static) -> ArchiveResult<Unpacked> {
    let mut counted = Counted::new(BufReader::with_capacity(1 << 16, file));
    let packed = counted.count.clone();
    let mut head = Vec::with_capacity(6);
    (&mut counted).take(6).read_to_end(&mut head)?;
    let format = Format::of(&head);
    let input = Cursor::new(head).chain(counted);
    let unpacked = decoder(format, input).map_err(ArchiveError::Read)?;
    if format == Format::None {
        return Ok(Unpacked { stream: unpacked, packed });
    }
    let guard = Guard { unpacked, packed: packed.clone(), count: 0 };
    Ok(Unpacked { stream: Box::new(guard), packed })
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Gzip,
    Bzip2,
    Xz,
    Zstd,
    Lzip,
    /// What `.xz` replaced; it has no signature but its usual parameters.
    Lzma,
    None,
}

impl Format {
    fn of(head: &[u8]) -> Format {
        match head {
            [0x1f, 0x8b, ..] => Format::Gzip,
            [b'B', b'Z', b'h', ..] => Format::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Format::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Format::Zstd,
            [b'L', b'Z', b'I', b'P', ..] => Format::Lzip,
            [0x5d, 0, 0, ..] => Format::Lzma,
            _ => Format::None,
        }
    }
}

fn decoder<R: Read + Send + 'static>(format: Format, input: Input<R>) -> io::Result<Box<dyn Read + Send>> {
    let buffered = BufReader::with_capacity(1 << 16, input);
    Ok(match format {
        Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered)),
        Format::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(buffered)),
        Format::Xz | Format::Lzma => {
            let stream = liblzma::stream::Stream::new_auto_decoder(u64::MAX, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(buffered, stream))
        }
        Format::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(buffered)?;
            // Archives made with `--long` need the whole window; the guard is against bombs, this would not be.
            decoder.window_log_max(31)?;
            Box::new(decoder)
        }
        Format::Lzip => Box::new(lzma_rust2::LzipReader::new(buffered)),
        Format::None => Box::new(buffered),
    })
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    count: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl<R> Counted<R> {
    fn new(inner: R) -> Counted<R> {
        Counted { inner, count: std::sync::Arc::default() }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(read)
    }
}

/// Stops bombs.
struct Guard {
    unpacked: Box<dyn Read + Send>,
    packed: std::sync::Arc<std::sync::atomic::AtomicU64>,
    count: u64,
}

impl Read for Guard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.unpacked.read(buffer)?;
        self.count += read as u64;
        check_ratio(self.packed.load(std::sync::atomic::Ordering::Relaxed), self.count.into())?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bombs() {
        for (packed, unpacked, is_bomb) in [
            (0, 0, false),
            (0, BOMB_SIZE.into(), false),
            (1, u128::from(BOMB_SIZE) + 1, true),
            (BOMB_SIZE / BOMB_RATIO + 1, u128::from(BOMB_SIZE) + 1, false),
            (1 << 30, u128::from(u64::MAX), true),
            (u64::MAX, u128::from(u64::MAX) * 3000, true),
        ] {
            assert_eq!(check_ratio(packed, unpacked).is_err(), is_bomb, "{packed} to {unpacked}");
        }
    }

    #[test]
    fn a_stream_that_turns_out_to_be_a_bomb_ends() {
        let packed = std::sync::Arc::<std::sync::atomic::AtomicU64>::default();
        packed.store(1000, std::sync::atomic::Ordering::Relaxed);
        let unpacked = Box::new(io::repeat(0));
        let mut guard = Guard { unpacked, packed: packed.clone(), count: BOMB_SIZE - 100 };
        let mut buffer = [0; 101];
        guard.read_exact(&mut buffer[..100]).expect("as much as may come");
        let error = guard.read(&mut buffer).expect_err("a bomb");
        assert!(error.to_string().contains("1000 bytes unpack to"), "{error}");
        // The same from a file that is large itself is none.
        packed.store(BOMB_SIZE / 1000, std::sync::atomic::Ordering::Relaxed);
        let mut guard = Guard { unpacked: Box::new(io::repeat(0)), packed, count: BOMB_SIZE };
        guard.read_exact(&mut buffer).expect("what is large");
    }
}
