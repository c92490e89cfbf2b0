use super::{Api, Connect, Error, ObjectName, Selection, Subject, Verb, pause::Pause};
use crate::Client;
use std::{fs, path::PathBuf, time::Duration};

const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
clusters:
- name: far
  cluster: {server: 'https://127.0.0.1:1'}
users:
- name: somebody
  user: {token: secret-token}
contexts:
- name: cluster1
  context: {cluster: far, user: somebody, namespace: home}
- name: broken
  context: {cluster: nowhere, user: somebody}
";

struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let name = format!("tombolo-kubeconfig-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        File(path)
    }

    async fn connect(&self, context: Option<&str>) -> Result<Client, Error> {
        Client::connect(&Connect {
            kubeconfig: Some(self.0.clone()),
            context: context.map(str::to_owned),
        })
        .await
    }
}

impl Drop for File {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap_or_default();
    }
}

#[tokio::test]
async fn a_kubeconfig_that_does_not_do_says_what_would() {
    let file = File::new("contexts", KUBECONFIG);
    let refusal = |error: Result<Client, Error>| error.err().expect("a refusal").to_string();
    let none = refusal(file.connect(None).await);
    assert!(
        none.contains("choose one with --context, there are cluster1, broken"),
        "{none}"
    );
    let wrong = refusal(file.connect(Some("cluster2")).await);
    assert!(wrong.contains("no context `cluster2`"), "{wrong}");
    assert!(wrong.contains("there are cluster1, broken"), "{wrong}");
    let broken = refusal(file.connect(Some("broken")).await);
    assert!(broken.contains("nowhere"), "{broken}");
    let garbage = File::new("garbage", "clusters: 3");
    let garbage = refusal(garbage.connect(None).await);
    assert!(
        garbage.contains("can't be used as a kubeconfig"),
        "{garbage}"
    );
    let missing = File(std::env::temp_dir().join("tombolo-no-kubeconfig"));
    let missing = refusal(missing.connect(None).await);
    assert!(missing.contains("No such file"), "{missing}");
}

#[tokio::test]
async fn a_server_that_is_away_is_named_and_no_secret_is() {
    let file = File::new("away", KUBECONFIG);
    let client = file.connect(Some("cluster1")).await.unwrap();
    assert_eq!(client.namespace(), "home");
    let error = client.version().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("https://127.0.0.1:1/ of the context cluster1 of"),
        "{text}"
    );
    assert!(text.contains("refused"), "{text}");
    assert!(!format!("{text} {error:?}").contains("secret-token"));
    assert!(error.is_passing());
}

#[test]
fn kinds_are_where_the_server_has_them() {
    let table = [
        (Api::PODS, "home", "/api/v1/namespaces/home/pods", "pods"),
        (Api::PODS, "", "/api/v1/pods", "pods"),
        (
            Api::CILIUM_NODES,
            "home",
            "/apis/cilium.io/v2/ciliumnodes",
            "ciliumnodes.cilium.io",
        ),
        (
            Api::LEASES,
            "home",
            "/apis/coordination.k8s.io/v1/namespaces/home/leases",
            "leases.coordination.k8s.io",
        ),
    ];
    for (api, namespace, path, word) in table {
        assert_eq!(api.path(namespace), path);
        assert_eq!(api.to_string(), word);
    }
}

#[test]
fn a_missing_permission_names_verb_and_kind() {
    let name = ObjectName {
        namespace: "kube-system".into(),
        name: "keys".into(),
    };
    let error = Error::Forbidden {
        whom: "the pod's service account".into(),
        subject: Box::new(Subject {
            verb: Verb::Get,
            api: Api::SECRETS,
            name,
        }),
        message: "User \"u\" cannot".into(),
    };
    assert_eq!(
        error.to_string(),
        "the pod's service account may not get Secret kube-system/keys: a role must allow the verb get on secrets, as the \
         chart's roles do (the server says: User \"u\" cannot)"
    );
}

#[test]
fn pauses_grow_to_a_limit_and_differ() {
    let mut pause = Pause::default();
    let pauses: Vec<Duration> = (0..20).map(|_| pause.next()).collect();
    assert!(pauses[0] <= Duration::from_millis(200));
    assert!(pauses[5] > pauses[0]);
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(15)));
    assert_ne!(pauses[18], pauses[19]);
    pause.reset();
    assert!(pause.next() <= Duration::from_millis(200));
}

#[test]
fn one_object_is_selected_by_its_name() {
    let selection = Selection::one(Api::SECRETS, "kube-system", "keys");
    let list = selection.list(500, None);
    assert_eq!(list.field_selector.as_deref(), Some("metadata.name=keys"));
    assert_eq!(selection.path(), "/api/v1/namespaces/kube-system/secrets");
}
