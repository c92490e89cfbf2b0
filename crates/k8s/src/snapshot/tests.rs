use tombolo_model::{
    id::ClusterId,
    record::{ExportMode, Resource},
};

use super::*;
use crate::{Options, manifest};

fn translator() -> Translator {
    Translator::new(Options {
        cluster: "cluster1".to_owned(),
        cluster_id: ClusterId(1),
        default_global_namespace: true,
        export: ExportMode::Both,
        service_exports: false,
    })
}

fn endpoint(name: &str, ip: &str) -> String {
    format!(
        "---\napiVersion: cilium.io/v2\nkind: CiliumEndpoint\nmetadata: {{name: {name}, namespace: shop}}\n\
        status: {{identity: {{id: 70001}}, networking: {{node: 192.0.2.1, addressing: [{{ipv4: {ip}}}]}}}}\n"
    )
}

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";

/// Tells of a folder with these files, and gives the number of addresses that are told of then.
fn tell(translator: &mut Translator, files: &[(&str, String)]) -> (usize, Vec<Reject>) {
    let mut snapshot = Snapshot::default();
    for (name, content) in files {
        snapshot.add(name, manifest::parse(name, content.as_bytes()));
    }
    let rejects = snapshot.tell(translator);
    while translator.poll().is_some() {}
    (translator.records(Resource::Addresses), rejects)
}

fn two() -> Vec<(&'static str, String)> {
    vec![
        ("a.yaml", NAMESPACE.to_owned()),
        (
            "b.yaml",
            endpoint("a", "10.0.0.1") + &endpoint("b", "10.0.0.2"),
        ),
    ]
}

#[test]
fn what_is_not_in_the_folder_any_more_is_gone() {
    let mut translator = translator();
    assert_eq!(tell(&mut translator, &two()), (2, vec![]));
    let mut files = two();
    files[1].1 = endpoint("b", "10.0.0.2");
    assert_eq!(tell(&mut translator, &files), (1, vec![]));
    assert_eq!(tell(&mut translator, &[]), (0, vec![]));
}

#[test]
fn an_object_that_is_refused_stays_as_it_was() {
    let mut translator = translator();
    tell(&mut translator, &two());
    let mut files = two();
    files[1].1 = endpoint("a", "10.0.0.x");
    let (addresses, rejects) = tell(&mut translator, &files);
    assert_eq!(addresses, 1, "the other one is gone");
    let expected = "b.yaml, document 1 (from line 1): CiliumEndpoint shop/a: status.networking.addressing[0].ipv4: `10.0.0.x` is not an address";
    let rejects: Vec<_> = rejects.iter().map(Reject::to_string).collect();
    assert_eq!(rejects, [expected]);
    assert_eq!(tell(&mut translator, &two()).0, 2);
}

#[test]
fn as_long_as_something_cannot_be_read_nothing_is_gone() {
    let mut translator = translator();
    let broken = ("b.yaml", "metadata: [".to_owned());
    let files = [two()[0].clone(), broken.clone()];
    assert_eq!(tell(&mut translator, &files).0, 0);
    assert!(
        !translator.is_ready(Resource::Addresses),
        "it is not known what there is"
    );
    assert_eq!(tell(&mut translator, &two()).0, 2);
    assert_eq!(tell(&mut translator, &files).0, 2);
    let mut snapshot = Snapshot::default();
    snapshot.unreadable("b.yaml", "permission denied");
    assert!(!snapshot.is_complete());
    snapshot.tell(&mut translator);
    while translator.poll().is_some() {}
    assert_eq!(translator.records(Resource::Addresses), 2);
    assert_eq!(tell(&mut translator, &two()[..1]).0, 0);
}

#[test]
fn of_two_the_first_is_taken() {
    let mut translator = translator();
    let mut files = two();
    files.push(("c.yaml", endpoint("a", "10.0.0.9")));
    let (addresses, rejects) = tell(&mut translator, &files);
    assert_eq!(addresses, 2);
    let rejects: Vec<_> = rejects.iter().map(Reject::to_string).collect();
    assert_eq!(
        rejects,
        ["c.yaml: CiliumEndpoint shop/a: it stands in another place already"]
    );
}
