mod golden;

use tombolo_model::{
    event::Event,
    id::ClusterId,
    record::{ExportMode, Name, Record, Resource},
};

use super::{Options, Translator};

fn options() -> Options {
    Options {
        cluster: "cluster1".to_owned(),
        cluster_id: ClusterId(1),
        default_global_namespace: true,
        export: ExportMode::Both,
        service_exports: true,
    }
}

fn drain(translator: &mut Translator) -> Vec<(Resource, Event<Name, Record>)> {
    std::iter::from_fn(|| translator.poll()).collect()
}
