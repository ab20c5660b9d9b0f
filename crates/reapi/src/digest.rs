//! The name of a blob: its SHA-256 and its size.

use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// Names a blob by SHA-256 and size in bytes. Small, `Copy`, and never a cache key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Digest {
    /// The SHA-256 of the content.
    pub hash: [u8; 32],
    /// Length of the content in bytes.
    pub size: u64,
}

impl Digest {
    /// The digest of `content`.
    pub fn of(content: &[u8]) -> Digest {
        Digest { hash: Sha256::digest(content).into(), size: content.len() as u64 }
    }

    /// The digest of the empty blob, which is also that of the empty directory.
    pub fn empty() -> Digest {
        Digest::of(&[])
    }

    /// The hash as 64 lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.hash {
            text.push(HEX[usize::from(byte >> 4)] as char);
            text.push(HEX[usize::from(byte & 15)] as char);
        }
        text
    }

    /// Reads 64 hexadecimal digits and a size. `None` when `hex` is anything else.
    pub fn from_hex(hex: &str, size: u64) -> Option<Digest> {
        let bytes = hex.as_bytes();
        if bytes.len() != 64 {
            return None;
        }
        let mut hash = [0; 32];
        for (out, pair) in hash.iter_mut().zip(bytes.chunks_exact(2)) {
            *out = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Digest { hash, size })
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    /// `HASH/SIZE`, as the Remote Execution API writes digests in resource names and `bst show` prints them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hex(), self.size)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let parsed = text
            .split_once('/')
            .and_then(|(hash, size)| Digest::from_hex(hash, size.parse().ok()?));
        parsed.ok_or_else(|| InvalidDigest(text.to_owned()))
    }
}

/// A text that should have named a blob and does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest (64 hexadecimal digits, a slash, a size)")]
pub struct InvalidDigest(pub String);

/// `Digest` as it stands in messages: hexadecimal text and a signed size.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct DigestMessage {
    /// Lower-case hexadecimal SHA-256.
    #[prost(string, tag = "1")]
    pub hash: String,
    /// Size in bytes.
    #[prost(int64, tag = "2")]
    pub size_bytes: i64,
}

impl From<Digest> for DigestMessage {
    fn from(digest: Digest) -> Self {
        DigestMessage { hash: digest.hex(), size_bytes: digest.size as i64 }
    }
}

impl TryFrom<&DigestMessage> for Digest {
    type Error = InvalidDigest;

    fn try_from(message: &DigestMessage) -> Result<Self, InvalidDigest> {
        u64::try_from(message.size_bytes)
            .ok()
            .and_then(|size| Digest::from_hex(&message.hash, size))
            .ok_or_else(|| InvalidDigest(format!("{}/{}", message.hash, message.size_bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_blob_has_the_well_known_hash() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::empty().to_string(), format!("{hex}/0"));
        assert_eq!(format!("{hex}/0").parse(), Ok(Digest::empty()));
    }

    #[test]
    fn malformed_digests_are_refused() {
        for text in ["", "abc/1", "e3b0/0", &format!("{}/x", Digest::empty().hex()), &format!("{}/0", "E".repeat(64))] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
