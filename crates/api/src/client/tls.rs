//! A connection with TLS, handed out as one end of a pair of sockets.
//!
//! A thread of its own encrypts and decrypts between the other end and the network. So everything else, also who takes a
//! connection over as a plain blocking socket, need not know of TLS.

use std::io;
use std::os::unix::net::UnixStream as StdUnix;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Tls, Verify};

/// Connects, shakes hands, and gives the end that speaks plainly.
pub(super) async fn connect(tls: Tls) -> io::Result<UnixStream> {
    let (ours, theirs) = StdUnix::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let (tell, told) = oneshot::channel();
    std::thread::Builder::new().name("tls".into()).spawn(move || carry(&tls, theirs, tell))?;
    told.await.map_err(io::Error::other)??;
    UnixStream::from_std(ours)
}

fn carry(tls: &Tls, inner: StdUnix, tell: oneshot::Sender<io::Result<()>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
        Ok(runtime) => runtime,
        Err(cause) => return drop(tell.send(Err(cause))),
    };
    runtime.block_on(async {
        let opened = async { Ok((shake(tls).await?, UnixStream::from_std(inner)?)) };
        match opened.await {
            Err(cause) => drop(tell.send(Err(cause))),
            Ok((mut outer, mut inner)) => {
                let _ = tell.send(Ok(()));
                // What goes wrong shows as the end of the connection.
                let _ = tokio::io::copy_bidirectional(&mut inner, &mut outer).await;
            }
        }
    });
}

async fn shake(tls: &Tls) -> io::Result<TlsStream<TcpStream>> {
    let config = config(tls)?;
    let name = ServerName::try_from(tls.name.clone()).map_err(io::Error::other)?;
    let stream = TcpStream::connect(tls.address).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn config(tls: &Tls) -> io::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let builder = match &tls.verify {
        Verify::Authority(path) => builder.with_root_certificates(roots(path)?),
        Verify::Nothing => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
    };
    let Some((chain, key)) = &tls.identity else { return Ok(builder.with_no_client_auth()) };
    let own = PrivateKeyDer::from_pem_file(key).map_err(|cause| unreadable(key, &cause))?;
    builder.with_client_auth_cert(certificates(chain)?, own).map_err(io::Error::other)
}

fn roots(path: &Path) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(certificates(path)?);
    if store.is_empty() {
        let text = format!("{} holds no certificate of an authority", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(store)
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(|cause| unreadable(path, &cause))
}

/// Another kind than "not found": nobody is to start an engine because a certificate is missing.
fn unreadable(path: &Path, cause: &rustls_pki_types::pem::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("cannot read {}: {cause}", path.display()))
}

/// Takes every certificate (`--tls` without `--tlsverify`), and still checks that the engine has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
