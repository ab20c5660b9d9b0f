//! Bearer tokens out of files that somebody else renews.

use bourn_reapi::ServiceError;
use bourn_reapi::services::ServiceResult;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tonic::metadata::{Ascii, MetadataValue};

/// The `authorization` of every request.
pub(crate) struct Token {
    path: PathBuf,
    reload: Option<Duration>,
    read: Mutex<Option<(Instant, MetadataValue<Ascii>)>>,
}

impl Token {
    pub(crate) fn new(path: PathBuf, reload: Option<Duration>) -> Token {
        Token { path, reload, read: Mutex::new(None) }
    }

    /// The value to send, out of the file when it was not read yet or too long ago.
    ///
    /// # Errors
    /// The file cannot be read or holds what cannot be sent.
    pub(crate) fn value(&self) -> ServiceResult<MetadataValue<Ascii>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, value)) = &*read
            && self.reload.is_none_or(|reload| at.elapsed() < reload)
        {
            return Ok(value.clone());
        }
        let content = std::fs::read(&self.path)
            .map_err(|error| ServiceError::io(&error, "cannot read the access token", &self.path))?;
        let text = content.trim_ascii();
        let is_plain = text.iter().all(|byte| matches!(byte, b' '..=b'~'));
        let value = std::str::from_utf8(text).ok().filter(|_| is_plain);
        let value = value.and_then(|text| format!("Bearer {text}").parse::<MetadataValue<Ascii>>().ok());
        let value = value.ok_or_else(|| {
            let message =
                format!("the access token in {} is not one line of ASCII text", self.path.display());
            ServiceError::new(bourn_reapi::services::ErrorKind::Invalid, message)
        })?;
        *read = Some((Instant::now(), value.clone()));
        Ok(value)
    }

    /// Reads the file again, unless somebody did since `refused` was sent. Whether there is another value now.
    pub(crate) fn renew(&self, refused: &MetadataValue<Ascii>) -> bool {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.as_ref().is_some_and(|(_, value)| value == refused) {
            read.take();
        }
        drop(read);
        self.value().is_ok_and(|value| value != refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_again_when_asked_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "one\n").unwrap();
        let token = Token::new(path.clone(), None);
        assert_eq!(token.value().unwrap(), "Bearer one");
        std::fs::write(&path, "two\n").unwrap();
        assert_eq!(token.value().unwrap(), "Bearer one");
        let one = MetadataValue::from_static("Bearer one");
        let two = MetadataValue::from_static("Bearer two");
        assert!(token.renew(&one));
        assert_eq!(token.value().unwrap(), two);
        // Another request was refused with the same value, and comes too late to find a difference.
        assert!(token.renew(&one));
        assert!(!token.renew(&two));
        let always = Token::new(path.clone(), Some(Duration::ZERO));
        assert_eq!(always.value().unwrap(), "Bearer two");
        for (content, is_sent) in [
            (&b" two\r\n\n"[..], true),
            (b"\ttwo\t", true),
            (b"two\nlines", false),
            (b"tw\xc3\xb6", false),
            (b"tw\xf6", false),
            (b"\xef\xbb\xbftwo", false),
            (b"two\0", false),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(always.value().is_ok_and(|value| value == two), is_sent, "{content:?}");
        }
        std::fs::remove_file(&path).unwrap();
        let error = always.value().unwrap_err().to_string();
        assert!(error.starts_with("cannot read the access token"), "{error}");
    }
}
