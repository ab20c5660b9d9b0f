//! The name of a blob: its SHA-256 and its size.

use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, encode_key, encode_varint};
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
        hex_text(&self.hash)
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

fn hex_pair(byte: u8) -> [u8; 2] {
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

fn hex_text(hash: &[u8; 32]) -> String {
    let mut text = String::with_capacity(64);
    hash.iter().flat_map(|byte| hex_pair(*byte)).for_each(|digit| text.push(digit as char));
    text
}

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
        let parsed = text.split_once('/').and_then(|(hash, size)| Digest::from_hex(hash, size.parse().ok()?));
        parsed.ok_or_else(|| InvalidDigest(text.to_owned()))
    }
}

/// A text that should have named a blob and does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest (64 hexadecimal digits, a slash, a size)")]
pub struct InvalidDigest(pub String);

/// [`Digest`] as it stands in messages: the hash as hexadecimal text, and a signed size.
///
/// A tree holds hundreds of thousands of these, so a well-formed hash is kept as its 32 bytes and not as text.
/// Whatever else a message holds is kept too, so that encoding gives back the bytes that were decoded.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct DigestMessage {
    hash: HashText,
    size_bytes: i64,
}

/// The `hash` field of a [`DigestMessage`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
enum HashText {
    #[default]
    Absent,
    Sha256([u8; 32]),
    Malformed(Box<str>),
}

impl DigestMessage {
    /// The hash as text; empty when the field is absent.
    pub fn hash(&self) -> String {
        match &self.hash {
            HashText::Absent => String::new(),
            HashText::Sha256(hash) => hex_text(hash),
            HashText::Malformed(text) => text.to_string(),
        }
    }

    /// The size in bytes, as sent.
    pub fn size_bytes(&self) -> i64 {
        self.size_bytes
    }

    fn hash_len(&self) -> usize {
        match &self.hash {
            HashText::Absent => 0,
            HashText::Sha256(_) => 64,
            HashText::Malformed(text) => text.len(),
        }
    }
}

impl HashText {
    fn from_text(text: String) -> HashText {
        match Digest::from_hex(&text, 0) {
            Some(digest) => HashText::Sha256(digest.hash),
            None if text.is_empty() => HashText::Absent,
            None => HashText::Malformed(text.into()),
        }
    }
}

impl prost::Message for DigestMessage {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        if self.hash_len() != 0 {
            encode_key(1, WireType::LengthDelimited, buf);
            encode_varint(self.hash_len() as u64, buf);
        }
        match &self.hash {
            HashText::Absent => {}
            HashText::Sha256(hash) => hash.iter().for_each(|byte| buf.put_slice(&hex_pair(*byte))),
            HashText::Malformed(text) => buf.put_slice(text.as_bytes()),
        }
        if self.size_bytes != 0 {
            prost::encoding::int64::encode(2, &self.size_bytes, buf);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        match tag {
            1 => {
                // Nearly always the whole field lies in one piece: no text needs to be allocated.
                if let (WireType::LengthDelimited, Some((64, text))) = (wire_type, buf.chunk().split_first())
                    && let Some(digest) =
                        text.get(..64).and_then(|text| Digest::from_hex(std::str::from_utf8(text).ok()?, 0))
                {
                    self.hash = HashText::Sha256(digest.hash);
                    buf.advance(65);
                    return Ok(());
                }
                let mut text = String::new();
                prost::encoding::string::merge(wire_type, &mut text, buf, ctx)?;
                self.hash = HashText::from_text(text);
                Ok(())
            }
            2 => prost::encoding::int64::merge(wire_type, &mut self.size_bytes, buf, ctx),
            _ => prost::encoding::skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        let hash = match self.hash_len() {
            0 => 0,
            len => 1 + prost::encoding::encoded_len_varint(len as u64) + len,
        };
        let size = match self.size_bytes {
            0 => 0,
            size => prost::encoding::int64::encoded_len(2, &size),
        };
        hash + size
    }

    fn clear(&mut self) {
        *self = DigestMessage::default();
    }
}

impl From<Digest> for DigestMessage {
    fn from(digest: Digest) -> Self {
        DigestMessage { hash: HashText::Sha256(digest.hash), size_bytes: digest.size as i64 }
    }
}

impl TryFrom<&DigestMessage> for Digest {
    type Error = InvalidDigest;

    fn try_from(message: &DigestMessage) -> Result<Self, InvalidDigest> {
        match (&message.hash, u64::try_from(message.size_bytes)) {
            (HashText::Sha256(hash), Ok(size)) => Ok(Digest { hash: *hash, size }),
            _ => Err(InvalidDigest(format!("{}/{}", message.hash(), message.size_bytes))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn empty_blob_has_the_well_known_hash() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::empty().to_string(), format!("{hex}/0"));
        assert_eq!(format!("{hex}/0").parse(), Ok(Digest::empty()));
    }

    #[test]
    fn malformed_digests_are_refused() {
        for text in
            ["", "abc/1", "e3b0/0", &format!("{}/x", Digest::empty().hex()), &format!("{}/0", "E".repeat(64))]
        {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn messages_keep_what_they_were_given() {
        #[derive(Clone, PartialEq, prost::Message)]
        struct Plain {
            #[prost(string, tag = "1")]
            hash: String,
            #[prost(int64, tag = "2")]
            size_bytes: i64,
        }
        let hex = Digest::of(b"x").hex();
        for (hash, size_bytes) in
            [(hex.as_str(), 1), ("", 0), ("", 7), ("abc", -3), (&"E".repeat(64), 1), (&"a".repeat(200), 0)]
        {
            let plain = Plain { hash: hash.into(), size_bytes }.encode_to_vec();
            let message = DigestMessage::decode(plain.as_slice()).expect("a message");
            assert_eq!((message.hash().as_str(), message.size_bytes()), (hash, size_bytes));
            assert_eq!(message.encode_to_vec(), plain, "{hash}/{size_bytes}");
            assert_eq!(Digest::try_from(&message).is_ok(), hash == hex);
        }
        let message = DigestMessage::from(Digest::of(b"x"));
        assert_eq!(Digest::try_from(&message), Ok(Digest::of(b"x")));
    }
}
