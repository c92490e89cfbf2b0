//! Why two sides do not come together, in words, and what to do about it.

use std::{error::Error as _, io, iter};

use tokio_rustls::rustls::{self, AlertDescription, CertificateError};
use tonic::{Code, Status};

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
        rustls::Error::InvalidMessage(_) => ("what answers does not speak TLS".to_owned(), NOT_TLS),
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

/// How an exchange ended without an answer of etcd's.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Broken(String),
    /// The answer is of another service.
    NotEtcd(String),
}

/// Whether the request has not left, and its connection had ended already: hyper cancels only what it has not sent.
pub fn is_unsent(status: &Status) -> bool {
    causes(status).any(|cause| {
        let cause: Option<&hyper::Error> = cause.downcast_ref();
        cause.is_some_and(hyper::Error::is_canceled)
    })
}

/// Nothing if the status is an answer.
pub fn of_status(status: &Status) -> Option<End> {
    if status.code() == Code::Unimplemented {
        return Some(End::NotEtcd(status.message().to_owned()));
    }
    causes(status).find(|cause| cause.is::<hyper::Error>())?;
    let problem = causes(status).last()?.to_string();
    // What rustls says of an end that was not announced is a lecture.
    let ended = problem.contains("close_notify");
    Some(End::Broken(if ended {
        "it ended the connection".to_owned()
    } else {
        problem
    }))
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    iter::successors(status.source(), |error| (*error).source())
}
