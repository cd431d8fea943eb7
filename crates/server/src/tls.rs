//! TLS of `tcp://`: the engine's certificate, and whose clients are let in.

use crate::options::Settings;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// What is asked of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: the connection is encrypted, whoever it is.
    Encrypt,
    /// A certificate that the authority signed.
    Verify,
}

/// How TLS is spoken, if it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    pub mode: Option<Mode>,
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("invalid TLS configuration: cannot read the certificates {path}: expected PEM")]
    Certificate { path: PathBuf, source: pem::Error },
    #[error("invalid TLS configuration: cannot read the key {path}: expected PEM")]
    Key { path: PathBuf, source: pem::Error },
    #[error("invalid TLS configuration: {path} holds no certificate of an authority")]
    Authority { path: PathBuf },
    #[error("invalid TLS configuration: cannot use the authority's certificate")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    #[error("invalid TLS configuration: cannot use the certificate with this key")]
    Pair(#[source] rustls::Error),
}

impl TlsOptions {
    /// Reads the settings. `tlsverify` in either form asks for TLS, and `tls` alone verifies, as with dockerd since 23.
    pub fn read(told: &Settings<'_>) -> TlsOptions {
        let mode = match (told.switch("tls"), told.switch("tlsverify")) {
            (_, Some(true)) | (Some(true), None) => Some(Mode::Verify),
            (_, Some(false)) => Some(Mode::Encrypt),
            _ => None,
        };
        let folder = certificates();
        let file = |key, name| told.path(key).unwrap_or_else(|| folder.join(name));
        TlsOptions {
            mode,
            authority: file("tlscacert", "ca.pem"),
            certificate: file("tlscert", "cert.pem"),
            key: file("tlskey", "key.pem"),
        }
    }

    /// Whether somebody said in so many words that nobody is to be asked who he is.
    pub fn is_declined(&self, told: &Settings<'_>) -> bool {
        told.switch("tlsverify") == Some(false) || (told.switch("tls") == Some(false) && self.mode.is_none())
    }

    /// Whether clients show a certificate.
    pub fn asks_clients(&self) -> bool {
        self.mode == Some(Mode::Verify)
    }

    /// What turns a connection into an encrypted one; `None` without TLS.
    pub fn acceptor(&self) -> Result<Option<TlsAcceptor>, TlsError> {
        let Some(mode) = self.mode else { return Ok(None) };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates_in(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|source| TlsError::Key { path: self.key.clone(), source })?;
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(TlsError::Pair)?;
        let builder = match mode {
            Mode::Encrypt => builder.with_no_client_auth(),
            Mode::Verify => {
                let verifier = WebPkiClientVerifier::builder_with_provider(self.roots()?.into(), provider);
                builder.with_client_cert_verifier(verifier.build().map_err(TlsError::Verifier)?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Pair)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Arc::new(config).into()))
    }

    /// Only the authority that was named counts, none of the system's.
    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates_in(&self.authority)?);
        if roots.is_empty() { Err(TlsError::Authority { path: self.authority.clone() }) } else { Ok(roots) }
    }
}

fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |source| TlsError::Certificate { path: path.to_owned(), source };
    CertificateDer::pem_file_iter(path).map_err(fail)?.collect::<Result<Vec<_>, _>>().map_err(fail)
}

/// Where docker keeps certificates.
fn certificates() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let usual =
        || set("DOCKER_CONFIG").unwrap_or_else(|| set("HOME").unwrap_or_else(|| "/root".into()).join(".docker"));
    set("DOCKER_CERT_PATH").unwrap_or_else(usual)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn modes_are_those_of_dockerd() {
        let mode = |settings: serde_json::Value| {
            let told = settings.as_object().expect("an object").clone();
            let options = TlsOptions::read(&Settings(&told));
            (options.mode, options.is_declined(&Settings(&told)))
        };
        assert_eq!(mode(json!({})), (None, false));
        assert_eq!(mode(json!({"tls": true})), (Some(Mode::Verify), false));
        assert_eq!(mode(json!({"tlsverify": true})), (Some(Mode::Verify), false));
        assert_eq!(mode(json!({"tls": true, "tlsverify": false})), (Some(Mode::Encrypt), true));
        assert_eq!(mode(json!({"tls": false})), (None, true));
    }

    #[test]
    fn files_that_are_missing_are_named() {
        let options = TlsOptions {
            mode: Some(Mode::Verify),
            authority: "/nowhere/ca.pem".into(),
            certificate: "/nowhere/cert.pem".into(),
            key: "/nowhere/key.pem".into(),
        };
        let error = options.acceptor().err().expect("no files");
        assert!(base::chain(&error).contains("/nowhere/cert.pem"), "{}", base::chain(&error));
    }
}
