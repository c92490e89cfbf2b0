//! Who this cluster is: its authority, its secret, and its introduction, made once and kept up to date.

use anyhow::{Context as _, Result};
use serde_json::json;
use tombolo_k8s::client::{Api, Error};

use super::{
    Operator, in_namespace,
    seen::{Seen, encode},
};
use crate::{
    certificates::Authority,
    trust::{Data, ID_KEY, Introduction, OLD_SECRET_KEY, Own, SECRET_KEY, Secret, SecretName},
};

pub const AUTHORITY: &str = "tombolo-ca";
const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";

/// The one that is there, or a new one. One that is damaged is for people to mend: peers know it.
pub async fn authority(operator: &Operator, seen: &Seen) -> Result<Authority> {
    let name = in_namespace(&operator.options.namespace, AUTHORITY);
    if let Some(data) = seen.secrets.get(&name) {
        let read = |key: &str| {
            let text = data.get(key).with_context(|| format!("it has no {key}"))?;
            String::from_utf8(text.clone()).with_context(|| format!("{key} is no text"))
        };
        let read = || Authority::read(read(CERTIFICATE)?, read(KEY)?);
        return read().with_context(|| {
            format!("Secret {name}: mend it, or delete it for a new authority, and give all peers the new cluster.id")
        });
    }
    let made = Authority::make(&operator.options.cluster_name)?;
    let data = [(CERTIFICATE, &made.certificate), (KEY, &made.key)];
    let data = data.map(|(key, text)| (key.to_owned(), text.clone().into_bytes()));
    create(operator, &name, &data.into()).await?;
    tracing::info!(secret = %name, "an authority of this cluster's own was made");
    Ok(made)
}

/// Writes the introduction where it is not what it should be.
pub async fn introduce(
    operator: &Operator,
    seen: &Seen,
    authorities: String,
    endpoints: &[String],
) -> Result<Own> {
    let name = in_namespace(&operator.options.namespace, SecretName::OWN);
    let present = seen.secrets.get(&name);
    let secrets = match present {
        Some(data) => secrets(data).with_context(|| {
            format!(
                "Secret {name}: mend it, or delete it for a new secret, and give it to all peers"
            )
        })?,
        None => vec![Secret::make()?],
    };
    let introduction = Introduction {
        name: operator.options.cluster_name.clone(),
        id: operator.options.id(),
        endpoints: endpoints.to_vec(),
        ca: authorities,
    };
    let text = introduction.write(&secrets[0])?.into_bytes();
    match present {
        None => {
            let secret = secrets[0].bytes().to_vec();
            let data = [(ID_KEY.to_owned(), text), (SECRET_KEY.to_owned(), secret)];
            create(operator, &name, &data.into()).await?;
            tracing::info!(secret = %name, "this cluster's introduction and secret were made");
        }
        Some(data) if data.get(ID_KEY) != Some(&text) => {
            let object = Api::SECRETS.name(&name.namespace, &name.name);
            let patch = json!({"data": encode(&[(ID_KEY.to_owned(), text)].into())});
            operator.client.patch(Api::SECRETS, &object, &patch).await?;
            tracing::info!(secret = %name, ?endpoints, "this cluster's introduction was brought up to date");
        }
        Some(_) => {}
    }
    Ok(Own {
        introduction,
        secrets,
    })
}

fn secrets(data: &Data) -> Result<Vec<Secret>> {
    let present = data.get(SECRET_KEY);
    let present = present.with_context(|| format!("it has no {SECRET_KEY}"))?;
    let mut secrets = vec![Secret::read(present)?];
    if let Some(old) = data.get(OLD_SECRET_KEY) {
        secrets.push(Secret::read(old)?);
    }
    Ok(secrets)
}

/// One that was made meanwhile is not overwritten: the next look finds it.
async fn create(operator: &Operator, name: &SecretName, data: &Data) -> Result<(), Error> {
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name.name,
            "namespace": name.namespace,
            "labels": {"app.kubernetes.io/part-of": "tombolo"},
        },
        "data": encode(data),
    });
    operator
        .client
        .create(Api::SECRETS, &name.namespace, &object)
        .await
        .map(|_| ())
}
