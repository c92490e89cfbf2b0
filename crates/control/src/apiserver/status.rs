//! What `tombolo apiserver` shows.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use tombolo_k8s::{Kind, Translator};
use tombolo_model::id::ClusterId;

use super::exporter::Exporter;
use crate::{
    Answer, Page, Pages, Troubles,
    writing::{WriterStatus, render_writer},
};

/// Refused objects that a status names one by one.
const REFUSED_NAMED_MAX: usize = 16;

pub struct ExportPages {
    pub exporter: Arc<Exporter>,
    pub cluster: String,
    pub cluster_id: ClusterId,
    pub endpoints: Vec<String>,
    pub objects: String,
    pub troubles: Troubles,
}

#[derive(Serialize)]
struct ExportStatus {
    program: &'static str,
    version: &'static str,
    cluster: String,
    cluster_id: ClusterId,
    /// Where the objects come from.
    source: String,
    /// All objects have been told of once, and what they mean for peers is in the store.
    ready: bool,
    store: WriterStatus,
    /// Objects that are known, by kind.
    objects: BTreeMap<String, usize>,
    /// Kinds that have not been told once.
    missing: Vec<String>,
    /// Records that peers are told of, by kind.
    records: BTreeMap<String, usize>,
    refused: u64,
    /// Some of them, with the reason.
    refused_objects: Vec<String>,
    /// Objects of kinds that nothing is told of.
    ignored: u64,
    /// What is not as it should be, a sentence each.
    warnings: Vec<String>,
}

impl ExportPages {
    fn status(&self) -> ExportStatus {
        let store = WriterStatus::new(self.exporter.writer(), self.endpoints.clone());
        let sources = self.exporter.sources();
        let translator = &sources.translator;
        let ready = translator
            .resources()
            .all(|resource| translator.is_ready(resource));
        let missing = Kind::ALL
            .into_iter()
            .filter(|kind| !translator.is_synced(*kind));
        ExportStatus {
            program: "apiserver",
            version: env!("CARGO_PKG_VERSION"),
            cluster: self.cluster.clone(),
            cluster_id: self.cluster_id,
            source: self.objects.clone(),
            ready: ready && self.exporter.is_written(),
            objects: Kind::ALL
                .into_iter()
                .map(|kind| (kind.to_string(), translator.objects(kind)))
                .collect(),
            missing: missing.map(|kind| kind.to_string()).collect(),
            records: translator
                .resources()
                .map(|resource| (resource.to_string(), translator.records(resource)))
                .collect(),
            refused: sources.refused.len() as u64 + sources.refused_more,
            refused_objects: sources
                .refused
                .values()
                .take(REFUSED_NAMED_MAX)
                .cloned()
                .collect(),
            ignored: sources.ignored,
            warnings: self.warnings(translator),
            store,
        }
    }

    fn warnings(&self, translator: &Translator) -> Vec<String> {
        let troubles = self.troubles.all().into_iter();
        let troubles = troubles.map(|(about, trouble)| format!("{about}: {trouble}"));
        warnings(translator).into_iter().chain(troubles).collect()
    }

    fn metrics(&self) -> String {
        let status = self.status();
        let mut page = Page::default();
        render_writer(&mut page, &status.store);
        let help = "1 when all objects have been told of once and are in the store.";
        page.gauge("tombolo_export_ready", help, status.ready.into());
        let family = |map: BTreeMap<String, usize>| {
            map.into_iter()
                .map(|(kind, count)| (kind, count as u64))
                .collect()
        };
        let help = "Objects that are known.";
        page.family(
            "tombolo_export_objects",
            help,
            "kind",
            &family(status.objects),
        );
        let help = "Records that peers are told of.";
        page.family(
            "tombolo_export_records",
            help,
            "kind",
            &family(status.records),
        );
        let help = "Objects that are refused.";
        page.gauge("tombolo_export_refused_objects", help, status.refused);
        page.text()
    }
}

fn warnings(translator: &Translator) -> Vec<String> {
    let spaced = [Kind::CiliumEndpoint, Kind::Service];
    let some = spaced.iter().any(|kind| translator.objects(*kind) > 0);
    let none = translator.objects(Kind::Namespace) == 0 && translator.is_synced(Kind::Namespace);
    let warning = "there are pods or services and no Namespace: what is in a namespace that is not known is not told of; give their Namespaces too";
    (some && none)
        .then(|| warning.to_owned())
        .into_iter()
        .collect()
}

impl Pages for ExportPages {
    const PATHS: &'static str = "/healthz, /readyz, /metrics and /status";

    async fn page(&self, path: &str) -> Option<Answer> {
        Some(match path {
            "/healthz" => Answer::Text("ok\n".into()),
            "/readyz" => match self.status() {
                status if status.ready => Answer::Text("ok\n".into()),
                status if !status.missing.is_empty() => Answer::Unavailable(format!(
                    "nothing was told yet of {}",
                    status.missing.join(", ")
                )),
                _ => Answer::Unavailable("not all is written yet".into()),
            },
            "/metrics" => Answer::Text(self.metrics()),
            "/status" => Answer::json(&self.status()),
            _ => return None,
        })
    }
}
