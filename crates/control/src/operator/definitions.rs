//! The definitions of the custom resources: installed, brought up to date, and never taken back to an older form.

use std::time::Duration;

use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;
use tombolo_k8s::client::{Api, Client, Error, Item, ObjectName};

use super::Operator;

/// Rises with every change of a definition.
const SCHEMA: u32 = 1;
const LABEL: &str = "tombolo.io/schema";
/// Cilium's own mark on its definitions, of which ours have the names.
const CILIUM_LABEL: &str = "io.cilium.k8s.crd.schema.version";
const ABOUT: &str = "installing the definitions";
const RECHECK: Duration = Duration::from_secs(300);
const RETRY: Duration = Duration::from_secs(2);
/// How long the API server may take to serve a new kind.
const ESTABLISHED_LOOKS: u32 = 400;
const ESTABLISHED_PAUSE: Duration = Duration::from_millis(50);

const DEFINITIONS: [&str; 4] = [
    include_str!("definitions/ciliumnodes.yaml"),
    include_str!("definitions/ciliumidentities.yaml"),
    include_str!("definitions/ciliumendpoints.yaml"),
    include_str!("definitions/clustermeshes.yaml"),
];

#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    #[error(transparent)]
    Client(#[from] Error),
    #[error(
        "{name} is Cilium's own definition: Cilium is or was installed in this cluster; remove it and its definitions first, \
         or leave it and don't install Tombolo here"
    )]
    Cilium { name: String },
    #[error("the API server does not serve {name}: {why}")]
    NotServed { name: String, why: String },
}

/// What is looked at of a definition that is there.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Installed {
    metadata: Meta,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    labels: std::collections::BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
    message: String,
}

/// Tries until they are all there.
pub async fn install(operator: &Operator) {
    loop {
        match install_all(&operator.client).await {
            Ok(()) => break,
            Err(error) => operator.troubles.set(ABOUT, error.to_string()),
        }
        sleep(RETRY).await;
    }
    operator.troubles.clear(ABOUT);
    operator.shown.definitions();
}

/// Mends what is done to them later.
pub async fn keep(operator: &Operator) {
    loop {
        sleep(RECHECK).await;
        install(operator).await;
    }
}

/// Also for whoever needs them before there is an operator. All at once, since the API server takes a while for each; none
/// if one of them is another's.
pub async fn install_all(client: &Client) -> Result<(), DefinitionError> {
    let looks = definitions().map(|definition| look(client, definition));
    let lacking = try_join_all(looks).await?.into_iter().flatten();
    let installs = lacking.map(|(name, definition)| install_one(client, name, definition));
    try_join_all(installs).await.map(drop)
}

/// What is to be installed, unless the one that is there is newer.
async fn look(
    client: &Client,
    definition: Value,
) -> Result<Option<(ObjectName, Value)>, DefinitionError> {
    let name = definition["metadata"]["name"].as_str().unwrap_or_default();
    let name = Api::CUSTOM_RESOURCES.name("", name);
    let found = client.get(Api::CUSTOM_RESOURCES, &name).await?;
    let labels = found.map(|found| read(&found).metadata.labels);
    let labels = labels.unwrap_or_default();
    if labels.contains_key(CILIUM_LABEL) {
        return Err(DefinitionError::Cilium { name: name.name });
    }
    let version = labels.get(LABEL).and_then(|text| text.parse::<u32>().ok());
    let newer = version.is_some_and(|version| version > SCHEMA);
    Ok((!newer).then_some((name, definition)))
}

async fn install_one(
    client: &Client,
    name: ObjectName,
    definition: Value,
) -> Result<(), DefinitionError> {
    let mut looks = 0;
    let mut now = client
        .apply(Api::CUSTOM_RESOURCES, &name, &definition)
        .await?;
    while let Err(why) = is_served(&read(&now)) {
        looks += 1;
        if looks > ESTABLISHED_LOOKS {
            let name = name.name;
            return Err(DefinitionError::NotServed { name, why });
        }
        sleep(ESTABLISHED_PAUSE).await;
        if let Some(found) = client.get(Api::CUSTOM_RESOURCES, &name).await? {
            now = found;
        }
    }
    Ok(())
}

fn definitions() -> impl Iterator<Item = Value> {
    DEFINITIONS.iter().map(|text| {
        let mut definition: Value =
            serde_saphyr::from_str(text).expect("the definitions are tested");
        definition["metadata"]["labels"] = serde_json::json!({
            LABEL: SCHEMA.to_string(),
            "app.kubernetes.io/part-of": "tombolo",
        });
        definition
    })
}

fn read(item: &Item) -> Installed {
    item.read().unwrap_or_default()
}

fn is_served(installed: &Installed) -> Result<(), String> {
    let conditions = &installed.status.conditions;
    let failed = conditions.iter().find(|condition| {
        let bad = ["NonStructuralSchema", "Terminating"];
        let is_bad = bad.contains(&condition.r#type.as_str()) && condition.status == "True";
        is_bad || condition.r#type == "NamesAccepted" && condition.status == "False"
    });
    if let Some(failed) = failed {
        return Err(format!("{}: {}", failed.r#type, failed.message));
    }
    let established = conditions
        .iter()
        .any(|condition| condition.r#type == "Established" && condition.status == "True");
    match established {
        true => Ok(()),
        false => Err("it is not established yet".into()),
    }
}
