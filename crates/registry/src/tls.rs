//! Whom a TLS connection trusts and as whom it speaks.

use crate::Error;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::sync::Arc;

/// A kind of TLS set-up. Equal ones share their connections.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Tls {
    pub verify: Verify,
    /// More roots: PEM files with any number of certificates each.
    pub roots: Vec<Vec<u8>>,
    pub identity: Option<Identity>,
}

/// What is asked of a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Verify {
    /// A chain to one of the machine's roots or ours, and the right name.
    #[default]
    Chain,
    Nothing,
}

/// A client's certificate chain and its key, as PEM.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    pub chain: Vec<u8>,
    pub key: Vec<u8>,
}

impl Tls {
    /// The same trust without the identity, which is for one host only.
    pub(crate) fn toward_strangers(&self) -> Tls {
        Tls { identity: None, ..self.clone() }
    }

    /// The set-up of connections.
    pub fn config(&self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let wrong = |error: rustls::Error| Error::Invalid(format!("cannot set up TLS: {error}"));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(wrong)?;
        let builder = match self.verify {
            Verify::Chain => builder.with_root_certificates(self.root_store()?),
            Verify::Nothing => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
        };
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some(identity) => {
                let (chain, key) = identity.parse()?;
                builder.with_client_auth_cert(chain, key).map_err(wrong)
            }
        }
    }

    fn root_store(&self) -> Result<RootCertStore, Error> {
        let mut store = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "a root certificate of the machine is left out");
        }
        store.add_parsable_certificates(found.certs);
        for pem in &self.roots {
            for certificate in certificates(pem)? {
                store
                    .add(certificate)
                    .map_err(|error| Error::Invalid(format!("cannot use a CA certificate: {error}")))?;
            }
        }
        Ok(store)
    }
}

impl Identity {
    fn parse(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| Error::Invalid(format!("cannot read the key of a client certificate: {error}")))?;
        Ok((certificates(&self.chain)?, key))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| Error::Invalid(format!("cannot read a certificate: {error}")))
}

/// Accepts every certificate whose owner has its key: for registries that the configuration calls insecure.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
