//! Encryption: whose certificate a server may have, and which one is shown to it.
//!
//! `server-cert` is taken as gRPC's own libraries take it, and so bst. They trust every certificate in that file by
//! itself, be it one of a server or one that may sign others (what `openssl req -x509` makes for a server is both), and
//! where a certificate has no alternative names they look at its common name. rustls does neither. Of the certificates of
//! the system they take the same, but for those of servers that may not sign.

use crate::server::Auth;
use bourn_reapi::ServiceError;
use bourn_reapi::services::{ErrorKind, ServiceResult};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use tonic::transport::{ClientTlsConfig, Endpoint, Identity};
use webpki::EndEntityCert;

/// The same way to a server, encrypted.
///
/// # Errors
/// Credentials cannot be read or do not belong together.
pub(crate) fn encrypted(endpoint: Endpoint, auth: &Auth) -> ServiceResult<Endpoint> {
    let mut config = ClientTlsConfig::new();
    if let (Some(key), Some(cert)) = (&auth.client_key, &auth.client_cert) {
        config = config.identity(identity(cert, key)?);
    }
    let trusted = match &auth.server_cert {
        Some(path) => Trusted::read(path)?,
        None => Trusted::of_system()?,
    };
    let made = endpoint.tls_config_with_verifier(config, Arc::new(trusted));
    made.map_err(|error| {
        let mut text = format!("TLS cannot be set up: {error}");
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            if let (Some(Error::InconsistentKeys(_)), Some(key), Some(cert)) =
                (error.downcast_ref(), &auth.client_key, &auth.client_cert)
            {
                let (key, cert) = (key.display(), cert.display());
                return wrong(format!(
                    "the private key in {key} does not belong to the certificate in {cert}"
                ));
            }
            text = format!("{text}: {error}");
            source = error.source();
        }
        wrong(text)
    })
}

fn wrong(text: String) -> ServiceError {
    ServiceError::new(ErrorKind::Invalid, text)
}

/// The certificate of the client and its key.
fn identity(cert: &Path, key: &Path) -> ServiceResult<Identity> {
    let (cert_text, key_text) = (read(cert)?, read(key)?);
    let shown = certificates(cert, &cert_text)?;
    if let Some(Err(webpki::Error::UnsupportedCertVersion)) = shown.first().map(EndEntityCert::try_from) {
        let text =
            format!("the certificate in {} is of version 1 of X.509, which is too old", cert.display());
        return Err(wrong(text).hint("`openssl x509 -req -extfile` makes newer ones"));
    }
    if let Err(error) = PrivateKeyDer::from_pem_slice(&key_text) {
        let has = |word: &[u8]| key_text.windows(word.len()).any(|part| part == word);
        let at = key.display();
        let text = match has(b"ENCRYPTED") {
            true => format!("the private key in {at} is encrypted, and nobody can be asked for its password"),
            false if has(b"PRIVATE KEY-----") => format!("the private key in {at} cannot be read: {error}"),
            false => format!("there is no private key (PEM) in {at}"),
        };
        return Err(wrong(text));
    }
    Ok(Identity::from_pem(cert_text, key_text))
}

fn read(path: &Path) -> ServiceResult<Vec<u8>> {
    std::fs::read(path).map_err(|error| ServiceError::io(&error, "cannot read the credentials in", path))
}

/// The certificates of a file, at least one.
fn certificates(path: &Path, text: &[u8]) -> ServiceResult<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err(wrong(format!("there is no certificate (PEM) in {}", path.display())))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(format!("the certificates in {} cannot be read: {error}", path.display()))),
    }
}

/// The certificates that `server-cert` names, or those of the system.
#[derive(Debug)]
struct Trusted {
    certificates: Vec<CertificateDer<'static>>,
    /// Whether those of servers are among them.
    has_servers: bool,
    /// What rustls makes of them.
    usual: Arc<WebPkiServerVerifier>,
}

impl Trusted {
    fn read(path: &Path) -> ServiceResult<Trusted> {
        let unusable = |error| wrong(format!("no certificate in {} can be used: {error}", path.display()));
        Trusted::new(certificates(path, &read(path)?)?, true).map_err(unusable)
    }

    fn of_system() -> ServiceResult<Trusted> {
        let found = rustls_native_certs::load_native_certs();
        Trusted::new(found.certs, false).map_err(|error| {
            let errors: String = found.errors.iter().map(|error| format!("; {error}")).collect();
            wrong(format!("no certificate of the system can be used: {error}{errors}"))
                .hint("name what the server's certificate is signed by: `auth: server-cert`")
        })
    }

    fn new(
        certificates: Vec<CertificateDer<'static>>,
        has_servers: bool,
    ) -> Result<Trusted, VerifierBuilderError> {
        let mut roots = RootCertStore::empty();
        // Bundles have some that rustls does not understand.
        roots.add_parsable_certificates(certificates.iter().cloned());
        let builder = WebPkiServerVerifier::builder_with_provider(roots.into(), default_provider().into());
        Ok(Trusted { certificates, has_servers, usual: builder.build()? })
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.usual.verify_server_cert(shown, others, name, stapled, now);
        let Err(Error::InvalidCertificate(why)) = &verdict else { return verdict };
        match why {
            // Said of one whose time is right, after which who signed it matters no more.
            why if is_ca(why) || (self.has_servers && *why == CertificateError::UnknownIssuer) => {
                if !self.certificates.contains(shown) {
                    return verdict;
                }
                match verify_server_name(&ParsedCertificate::try_from(shown)?, name) {
                    Err(Error::InvalidCertificate(why)) if is_named(shown, &why, name) => {}
                    named => named?,
                }
            }
            // Said of one that is believed otherwise.
            why if is_named(shown, why, name) => {}
            _ => return verdict,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// Whether a server's certificate was refused because it may sign others.
fn is_ca(why: &CertificateError) -> bool {
    let CertificateError::Other(other) = why else { return false };
    other.0.downcast_ref::<webpki::Error>() == Some(&webpki::Error::CaUsedAsEndEntity)
}

/// Whether a certificate that has not the name of a server is that server's nevertheless: its common name counts if it has
/// no other, and an address that is written like a host's name is one.
fn is_named(shown: &CertificateDer<'_>, why: &CertificateError, name: &ServerName<'_>) -> bool {
    let CertificateError::NotValidForNameContext { presented, .. } = why else { return false };
    match name {
        ServerName::DnsName(host) if presented.is_empty() => {
            let certificate = EndEntityCert::try_from(shown);
            certificate.is_ok_and(|certificate| {
                common_names(certificate.subject()).next().is_some_and(|common| covers(common, host.as_ref()))
            })
        }
        // As rustls shows the names that it found.
        ServerName::IpAddress(address) => {
            presented.contains(&format!("DnsName(\"{}\")", std::net::IpAddr::from(*address)))
        }
        _ => false,
    }
}

/// Whether a name in a certificate, which may begin with `*.`, is that of a host.
fn covers(common: &str, host: &str) -> bool {
    match (common.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((_, rest))) => domain.contains('.') && rest.eq_ignore_ascii_case(domain),
        _ => common.eq_ignore_ascii_case(host),
    }
}

/// The common names in a subject: a sequence of sets of pairs (X.501), in DER and without its own tag and length.
fn common_names(subject: &[u8]) -> impl Iterator<Item = &str> {
    const SEQUENCE: u8 = 0x30;
    const SET: u8 = 0x31;
    const IDENTIFIER: u8 = 0x06;
    const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
    const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];
    let of_tag = |wanted| move |(tag, content)| (tag == wanted).then_some(content);
    let pairs = values(subject).filter_map(of_tag(SET)).flat_map(values).filter_map(of_tag(SEQUENCE));
    pairs.filter_map(|pair| {
        let mut parts = values(pair);
        let is_name = parts.next()? == (IDENTIFIER, &COMMON_NAME[..]);
        let (tag, text) = parts.next()?;
        (is_name && TEXTS.contains(&tag)).then(|| std::str::from_utf8(text).ok())?
    })
}

/// The values of DER one after another, as tags and contents, up to what makes no sense.
fn values(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, length, after) = match *rest {
            [tag, length @ 0..=0x7f, ref after @ ..] => (tag, usize::from(length), after),
            [tag, 0x81, length, ref after @ ..] => (tag, usize::from(length), after),
            [tag, 0x82, high, low, ref after @ ..] => {
                (tag, usize::from(u16::from_be_bytes([high, low])), after)
            }
            _ => return None,
        };
        let (content, others) = after.split_at_checked(length)?;
        rest = others;
        Some((tag, content))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_credentials_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let files = [
            ("key", "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"),
            (
                "encrypted",
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n",
            ),
            ("cert", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"),
            ("broken", "-----BEGIN CERTIFICATE-----\nM\n"),
        ];
        for (name, text) in files {
            std::fs::write(at(name), text).unwrap();
        }
        let cases = [
            (Trusted::read(&at("key")).err(), "there is no certificate (PEM) in", "key"),
            (Trusted::read(&at("cert")).err(), "no certificate in", "cert"),
            (Trusted::read(&at("broken")).err(), "the certificates in", "broken"),
            (Trusted::read(&at("nowhere")).err(), "cannot read the credentials in", "nowhere"),
            (identity(&at("cert"), &at("encrypted")).err(), "is encrypted", "encrypted"),
            (identity(&at("cert"), &at("cert")).err(), "there is no private key", "cert"),
            (identity(&at("key"), &at("key")).err(), "there is no certificate", "key"),
        ];
        for (error, part, name) in cases {
            let message = error.unwrap().message;
            assert!(message.contains(part) && message.contains(&at(name).display().to_string()), "{message}");
        }
    }

    #[test]
    fn what_common_names_cover() {
        let cases = [
            ("a.example.com", "a.example.com", true),
            ("A.example.com", "a.Example.com", true),
            ("example.com", "a.example.com", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.com", "example.com", false),
            ("*", "example.com", false),
            ("", "example.com", false),
        ];
        for (common, host, expect) in cases {
            assert_eq!(covers(common, host), expect, "{common} {host}");
        }
    }

    #[test]
    fn common_names_of_subjects() {
        let subject = |parts: &[(u8, u8, &[u8])]| -> Vec<u8> {
            let wrap = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
            let pair = |(last, tag, text): &(u8, u8, &[u8])| {
                wrap(0x31, &wrap(0x30, &[&[6, 3, 0x55, 4, *last], &wrap(*tag, text)[..]].concat()))
            };
            parts.iter().flat_map(pair).collect()
        };
        let check = |subject: &[u8], expect: &[&str]| {
            assert_eq!(common_names(subject).collect::<Vec<_>>(), expect, "{subject:?}");
        };
        let both = subject(&[(10, 0x0c, b"organization"), (3, 0x0c, b"a.example"), (3, 0x13, b"b.example")]);
        check(&both, &["a.example", "b.example"]);
        // Neither another type of text, nor what ends too early.
        check(&subject(&[(3, 0x1e, b"\0a\0b")]), &[]);
        check(&both[..both.len() - 1], &["a.example"]);
        check(&[0x31, 0x80], &[]);
        check(&[], &[]);
    }
}
