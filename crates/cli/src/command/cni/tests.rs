use super::*;
use crate::command::testing::status;
use std::{
    io::{BufRead as _, BufReader},
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    thread::{self, JoinHandle},
};
use tombolo_model::local::{Failure, FailureCode, Reply};

struct Node(PathBuf);

impl Node {
    fn new(name: &str) -> Node {
        let folder =
            std::env::temp_dir().join(format!("tombolo-cni-{}-{name}", std::process::id()));
        for part in ["bin", "conf"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        fs::write(folder.join("plugin"), "the plugin").unwrap();
        Node(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn files(&self) -> Vec<String> {
        let mut files: Vec<_> = ["bin", "conf"]
            .iter()
            .flat_map(|part| entries(&self.path(part)).unwrap())
            .map(|path| path.strip_prefix(&self.0).unwrap().display().to_string())
            .collect();
        files.sort();
        files
    }

    /// Gives each answer on a connection of its own; what it listens at is there until it is joined.
    fn agent(&self, replies: &[Reply]) -> JoinHandle<UnixListener> {
        let socket = self.path("socket");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let lines: Vec<String> = replies
            .iter()
            .map(|reply| serde_json::to_string(reply).unwrap() + "\n")
            .collect();
        thread::spawn(move || {
            for line in lines {
                let (mut stream, _) = listener.accept().unwrap();
                let mut question = String::new();
                BufReader::new(&stream).read_line(&mut question).unwrap();
                stream.write_all(line.as_bytes()).unwrap();
            }
            listener
        })
    }

    fn install(&self) {
        let install = Install {
            bin_dir: self.path("bin"),
            plugin: Some(self.path("plugin")),
        };
        install.run().unwrap();
    }

    fn enable(&self, patience: u64) -> Result<()> {
        let enable = Enable {
            conf_dir: self.path("conf"),
            exclusive: true,
            patience,
        };
        enable.run(&self.path("socket"))
    }

    fn remove(&self) {
        let remove = Remove {
            bin_dir: self.path("bin"),
            conf_dir: self.path("conf"),
            unless_daemonset: None,
        };
        remove.run().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_node_is_as_before_after_all_is_taken_away() {
    let node = Node::new("round");
    fs::write(node.path("conf/10-other.conflist"), "{}").unwrap();
    fs::write(node.path("conf/README"), "").unwrap();
    let before = node.files();
    let agent = node.agent(&[Reply::Status(Box::new(status()))]);
    for _ in 0..2 {
        node.install();
        node.enable(5).unwrap();
        assert_eq!(
            node.files(),
            [
                "bin/tombolo-cni",
                "conf/05-tombolo.conflist",
                "conf/10-other.conflist.tombolo_bak",
                "conf/README"
            ]
        );
    }
    let mode = fs::metadata(node.path("bin/tombolo-cni"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755);
    agent.join().unwrap();
    node.remove();
    node.remove();
    assert_eq!(node.files(), before);
}

/// Else the node would be called ready, and pods come to it that nobody can serve.
#[test]
fn without_an_agent_there_is_no_configuration() {
    let node = Node::new("early");
    node.install();
    let error = node.enable(0).unwrap_err();
    assert!(
        format!("{error:#}").contains("no agent answers"),
        "{error:#}"
    );
    assert_eq!(node.files(), ["bin/tombolo-cni"]);
}

#[test]
fn an_agent_that_has_no_ranges_yet_is_waited_for() {
    let refusal = || {
        Reply::Error(Failure {
            code: FailureCode::Unavailable,
            message: "node n1 has no ranges yet".into(),
            hint: "see whether the operator runs".into(),
        })
    };
    let node = Node::new("ranges");
    let agent = node.agent(&[refusal()]);
    let error = format!("{:#}", node.enable(0).unwrap_err());
    assert!(error.contains("node n1 has no ranges yet"), "{error}");
    assert_eq!(node.files(), Vec::<String>::new());
    agent.join().unwrap();

    let agent = node.agent(&[refusal(), refusal(), Reply::Status(Box::new(status()))]);
    node.enable(60).unwrap();
    assert_eq!(node.files(), ["conf/05-tombolo.conflist"]);
    agent.join().unwrap();
}

/// Pods that are there need the configuration to be taken away properly.
#[test]
fn a_node_that_has_had_its_network_keeps_it() {
    let node = Node::new("restart");
    fs::write(node.path("conf/05-tombolo.conflist"), CONFIGURATION).unwrap();
    let _silent = UnixListener::bind(node.path("socket")).unwrap();
    node.enable(0).unwrap();
}

#[test]
fn a_plugin_that_is_in_use_is_replaced() {
    let node = Node::new("busy");
    node.install();
    let held = fs::File::open(node.path("bin/tombolo-cni")).unwrap();
    fs::write(node.path("plugin"), "a newer plugin").unwrap();
    node.install();
    assert_eq!(
        fs::read_to_string(node.path("bin/tombolo-cni")).unwrap(),
        "a newer plugin"
    );
    assert_eq!(std::io::read_to_string(held).unwrap(), "the plugin");
}

#[test]
fn the_configuration_is_one_that_runtimes_take() {
    let value: serde_json::Value = serde_json::from_str(CONFIGURATION).unwrap();
    assert_eq!(value["plugins"][0]["type"], PLUGIN);
}
