//! Who is at the other end of an encrypted connection: by an authority, by a key of the spec, or by the
//! key that the server had the first time, as SSH does.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tarsops_model::desired::Tls;
use tarsops_model::digest::Digest;
use tarsops_model::framework::Protection;
use tarsops_model::names::Endpoint;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::known::{Known, KnownServers};
use super::{Access, DatabaseError, KeyChange};
use crate::rpc::Route;

/// Servers whose key this process has remembered, with the file, so that all connections of one run
/// report the first use alike.
static MET: Mutex<BTreeSet<(PathBuf, String)>> = Mutex::new(BTreeSet::new());

/// What a connection runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// By what the server is recognised.
pub(super) enum Expected {
    /// An authority, and perhaps a key of the spec besides.
    Authority {
        roots: RootCertStore,
        key: Option<Digest>,
    },
    /// A key of the spec.
    Key(Digest),
    /// The key that it had before.
    Known { file: PathBuf, known: Known },
    /// It was not met before.
    New { servers: KnownServers },
    /// Nothing is known, and nothing can be remembered.
    NoMemory,
}

impl Expected {
    pub(super) async fn of(access: &Access) -> Result<Self, DatabaseError> {
        match (&access.tls, access.fingerprint) {
            (Tls::Off, _) => Ok(Self::NoMemory),
            (Tls::Verify { ca }, key) => {
                let no = |why: String| DatabaseError::NoAuthority {
                    at: access.address.clone(),
                    ca: ca.clone(),
                    why,
                };
                let bytes = tokio::fs::read(ca).await.map_err(|e| no(e.to_string()))?;
                let roots = roots(&bytes).map_err(|e| no(e.to_string()))?;
                Ok(Self::Authority { roots, key })
            }
            (Tls::Prefer | Tls::Require, Some(key)) => Ok(Self::Key(key)),
            (Tls::Prefer | Tls::Require, None) => {
                let Some(servers) = &access.known else {
                    return Ok(Self::NoMemory);
                };
                Ok(match servers.find(&name(access))? {
                    Some(known) => Self::Known {
                        file: servers.file().to_path_buf(),
                        known,
                    },
                    None => Self::New {
                        servers: servers.clone(),
                    },
                })
            }
        }
    }
}

/// As the server stands in the file of known servers.
fn name(access: &Access) -> String {
    let node = match &access.way {
        Route::Direct => "-",
        Route::Through { node, .. } => node.as_str(),
    };
    format!("{} {node}", access.address)
}

/// Certificates as PEM, or a single one as DER.
fn roots(bytes: &[u8]) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bytes) {
        let certificate =
            certificate.map_err(|e| rustls::Error::General(format!("it is no PEM: {e}")))?;
        roots.add(certificate)?;
    }
    if roots.is_empty() {
        roots.add(CertificateDer::from(bytes.to_vec()))?;
    }
    Ok(roots)
}

/// The server's end of a connection, as far as it must prove itself.
pub(super) struct Peer<'a> {
    access: &'a Access,
    expected: Expected,
    check: Arc<Check>,
    config: Arc<ClientConfig>,
}

impl<'a> Peer<'a> {
    pub(super) fn new(access: &'a Access, expected: Expected) -> Result<Self, DatabaseError> {
        let fail = |why: String| DatabaseError::NoProof {
            at: access.address.clone(),
            why,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (key, authority) = match &expected {
            Expected::Authority { roots, key } => {
                let roots = Arc::new(roots.clone());
                let built =
                    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                        .build()
                        .map_err(|e| fail(e.to_string()))?;
                (*key, Some(built))
            }
            Expected::Key(key) => (Some(*key), None),
            Expected::Known { known, .. } => (Some(known.key), None),
            Expected::New { .. } | Expected::NoMemory => (None, None),
        };
        let check = Arc::new(Check {
            key,
            authority,
            offered: Mutex::default(),
            provider: Arc::clone(&provider),
        });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| fail(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&check) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        Ok(Self {
            access,
            expected,
            check,
            config: Arc::new(config),
        })
    }

    /// Encrypts `stream`, and has the server prove that it is the expected one. A server that is met
    /// for the first time is remembered before this returns.
    pub(super) async fn prove(
        self,
        stream: Box<dyn Stream>,
    ) -> Result<(Box<dyn Stream>, Protection), DatabaseError> {
        let at = || self.access.address.clone();
        let host = self.access.address.host.to_string();
        let server = ServerName::try_from(host).map_err(|e| DatabaseError::NoProof {
            at: at(),
            why: format!("its name: {e}"),
        })?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let connected = connector.connect(server, stream).await;
        let offered = *self
            .check
            .offered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match (connected, offered) {
            (Ok(stream), Some(offered)) => {
                let by = self.remember(offered).await?;
                Ok((Box::new(stream), by))
            }
            (Ok(_), None) => Err(DatabaseError::NoProof {
                at: at(),
                why: "it shows no certificate".to_owned(),
            }),
            (Err(error), offered) => Err(self.failure(&error, offered)),
        }
    }

    /// Why there is no connection: a key that is not the expected one, or what TLS says.
    fn failure(&self, error: &io::Error, offered: Option<Digest>) -> DatabaseError {
        let at = self.access.address.clone();
        match (&self.expected, offered) {
            (Expected::Known { file, known }, Some(offered)) if known.key != offered => {
                DatabaseError::KeyChanged {
                    at,
                    change: Box::new(KeyChange {
                        known: known.key,
                        offered,
                        file: file.clone(),
                        line: known.line,
                    }),
                }
            }
            (Expected::Key(key) | Expected::Authority { key: Some(key), .. }, Some(offered))
                if *key != offered =>
            {
                DatabaseError::WrongKey {
                    at,
                    wanted: *key,
                    offered,
                }
            }
            (_, offered) => tls_failure(at, error, offered),
        }
    }

    /// Remembers a key that the spec vouches for, so that a later spec which does not finds it. Where nothing
    /// can be remembered, the spec protects this connection all the same.
    async fn replace(&self, offered: Digest) -> Result<(), DatabaseError> {
        let Some(servers) = self.access.known.clone() else {
            return Ok(());
        };
        let server = name(self.access);
        tokio::task::spawn_blocking(move || servers.replace(&server, &offered))
            .await
            .map_err(|e| DatabaseError::NoProof {
                at: self.access.address.clone(),
                why: e.to_string(),
            })??;
        Ok(())
    }

    /// What protects a connection to a server that has proven its key.
    async fn remember(&self, offered: Digest) -> Result<Protection, DatabaseError> {
        let at = || self.access.address.clone();
        let server = name(self.access);
        let met = |file: &PathBuf| (file.clone(), server.clone());
        match &self.expected {
            Expected::Authority { .. } => {
                self.replace(offered).await?;
                Ok(Protection::Authority)
            }
            Expected::Key(_) => {
                self.replace(offered).await?;
                Ok(Protection::Fingerprint)
            }
            Expected::NoMemory => Err(DatabaseError::NoMemory { at: at(), offered }),
            Expected::Known { file, .. } => {
                let first = MET.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(if first.contains(&met(file)) {
                    Protection::FirstUse
                } else {
                    Protection::Known
                })
            }
            Expected::New { servers } => {
                let (file, entry) = (servers.file().to_path_buf(), server.clone());
                let servers = servers.clone();
                let added =
                    tokio::task::spawn_blocking(move || servers.add(&entry, &offered)).await;
                let added = added.map_err(|e| DatabaseError::NoProof {
                    at: at(),
                    why: format!("its key could not be remembered: {e}"),
                })?;
                match added? {
                    // Another run was first, and met another server.
                    Some(known) if known.key != offered => Err(DatabaseError::KeyChanged {
                        at: at(),
                        change: Box::new(KeyChange {
                            known: known.key,
                            offered,
                            file,
                            line: known.line,
                        }),
                    }),
                    Some(_) => Ok(Protection::FirstUse),
                    None => {
                        let mut first = MET.lock().unwrap_or_else(PoisonError::into_inner);
                        first.insert(met(&file));
                        Ok(Protection::FirstUse)
                    }
                }
            }
        }
    }
}

/// What TLS says of a server that shows the expected key, or none.
fn tls_failure(at: Endpoint, error: &io::Error, offered: Option<Digest>) -> DatabaseError {
    let why = error.to_string();
    let cause = error.get_ref().and_then(|e| e.downcast_ref());
    match (cause, offered) {
        (Some(rustls::Error::InvalidCertificate(bad)), Some(offered)) => match bad {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => DatabaseError::Expired {
                at,
                why: bad.to_string(),
                offered,
            },
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                DatabaseError::ForeignAuthority { at, offered }
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                DatabaseError::OtherName {
                    at,
                    why: bad.to_string(),
                    offered,
                }
            }
            _ => DatabaseError::NoProof { at, why },
        },
        // Before it shows a certificate, a server that cannot continue says so, or just leaves.
        (Some(rustls::Error::AlertReceived(_) | rustls::Error::PeerIncompatible(_)), None) => {
            DatabaseError::NoCommonTls { at, why }
        }
        (Some(rustls::Error::InvalidMessage(_)), None) => DatabaseError::NoCommonTls { at, why },
        // It has greeted us just before, so there is a way to it.
        (None, None)
            if matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
            ) =>
        {
            let why = format!("it ended the connection as TLS began ({why})");
            DatabaseError::NoCommonTls { at, why }
        }
        (None, None) => DatabaseError::Unreachable { at, why },
        _ => DatabaseError::NoProof { at, why },
    }
}

/// Compares the server's key, and its certificate where there is an authority. That the server holds the
/// key is proven by its signature, which is verified in any case.
#[derive(Debug)]
struct Check {
    key: Option<Digest>,
    authority: Option<Arc<WebPkiServerVerifier>>,
    /// The key that the server showed.
    offered: Mutex<Option<Digest>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Check {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        let key = Digest::of(&key);
        *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        if self.key.is_some_and(|wanted| wanted != key) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        match &self.authority {
            Some(authority) => {
                authority.verify_server_cert(certificate, between, server, ocsp, now)
            }
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
