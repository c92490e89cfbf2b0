//! Why two sides do not trust each other, in words, and what to do about it.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};

const RENEW_THEIRS: &str = "renew the certificate of that cluster's store, and compare the clocks";
const RENEW_OURS: &str =
    "have that cluster issue a new certificate for us: `tombolo certificates issue`";
const WRONG_CA: &str =
    "trusted-ca-file must be the ca.crt of that very cluster: every cluster has its own";
const WRONG_NAME: &str = "use a name that the server's certificate has, with cilium-host-aliases for its address, or add it there by --server-name";
const NOT_TLS: &str = "see that its address and port are those of the store, which speaks TLS 1.3";
const NOT_KNOWN: &str = "our certificate must be issued by that very cluster, for us: `tombolo certificates issue remote-OUR-NAME` there";

/// What ended a handshake, as the client sees it.
pub fn of_handshake(error: &io::Error) -> (String, &'static str) {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let Some(problem): Option<&rustls::Error> = inner else {
        let cut = error.kind() == io::ErrorKind::UnexpectedEof;
        let problem = if cut {
            "it ended the connection amid the handshake".to_owned()
        } else {
            error.to_string()
        };
        return (problem, NOT_TLS);
    };
    match problem {
        rustls::Error::InvalidCertificate(problem) => of_certificate(problem),
        rustls::Error::AlertReceived(alert) => of_alert(*alert),
        other => (other.to_string(), NOT_TLS),
    }
}

fn of_certificate(problem: &CertificateError) -> (String, &'static str) {
    let (problem, hint) = match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("its certificate has expired", RENEW_THEIRS)
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("its certificate is not valid yet", RENEW_THEIRS)
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => (
            "its certificate is not issued by the authority that we are told to trust",
            WRONG_CA,
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            "its certificate is for other names than that of the endpoint",
            WRONG_NAME,
        ),
        other => return (other.to_string(), RENEW_THEIRS),
    };
    (problem.to_owned(), hint)
}

fn of_alert(alert: AlertDescription) -> (String, &'static str) {
    let (problem, hint) = match alert {
        AlertDescription::CertificateExpired => {
            ("it says that our certificate has expired", RENEW_OURS)
        }
        AlertDescription::UnknownCA
        | AlertDescription::DecryptError
        | AlertDescription::BadCertificate => {
            ("it does not trust the issuer of our certificate", NOT_KNOWN)
        }
        AlertDescription::CertificateRequired => ("it wants a certificate of us", NOT_KNOWN),
        other => return (format!("it ended the handshake: {other:?}"), NOT_KNOWN),
    };
    (problem.to_owned(), hint)
}

/// Notes what ends a connection: what lies above it knows only that it has ended.
#[derive(Debug)]
pub struct Noting<S> {
    pub stream: S,
    pub refusal: Refusal,
}

/// Empty as long as the connection is as it should be.
pub type Refusal = Arc<OnceLock<(String, &'static str)>>;

impl<S: AsyncRead + Unpin> AsyncRead for Noting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Poll::Ready(Err(error)) = &read
            && is_judgement(error)
        {
            // The first one is the cause of what follows.
            let _ = self.refusal.set(of_handshake(error));
        }
        read
    }
}

/// With TLS 1.3 a server judges our certificate only after we took the connection for made.
fn is_judgement(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(rustls::Error::AlertReceived(_)))
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noting<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
