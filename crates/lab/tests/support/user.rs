//! What people have who use the clusters of a lab, and what they type.

use super::{
    Lab,
    kubernetes::{Cluster, binary},
    program,
};
use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

/// A lab, and what people have who use its clusters.
pub struct User {
    pub lab: Lab,
    pub configuration: String,
    pub folder: PathBuf,
}

impl User {
    pub fn with(name: &str, words: &str) -> User {
        let lab = Lab::planned(name);
        lab.run(&format!("up {words}"));
        let configuration = lab.run("kubeconfig").trim().to_owned();
        let folder = std::env::temp_dir().join(format!("tombolo-{}", lab.name));
        fs::create_dir_all(&folder).unwrap();
        User {
            lab,
            configuration,
            folder,
        }
    }

    pub fn output(&self, command: &mut Command) -> Output {
        let kubectl = binary("kubectl");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = program("tombolo");
        let folders = [&kubectl, &own].map(|program| program.parent().unwrap().to_owned());
        let folders = folders.into_iter().chain(std::env::split_paths(&path));
        command
            .env("KUBECONFIG", &self.configuration)
            .env("PATH", std::env::join_paths(folders).unwrap())
            .current_dir(&self.folder)
            .output()
            .unwrap()
    }

    /// What is typed in a shell.
    #[track_caller]
    pub fn types(&self, line: &str) -> String {
        let output = self.output(Command::new("sh").args(["-e", "-c", line]));
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn tombolo(&self, words: &str) -> Output {
        self.output(Command::new(program("tombolo")).args(words.split_whitespace()))
    }

    #[track_caller]
    pub fn does(&self, words: &str) -> String {
        let output = self.tombolo(words);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "tombolo {words}: {said}{complaint}"
        );
        said
    }

    pub fn status(&self, context: &str) -> (bool, Value) {
        let output = self.tombolo(&format!("clustermesh status --context {context} -o json"));
        let status = serde_json::from_slice(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        (
            output.status.success(),
            status.unwrap_or_else(|error| panic!("{error}: {complaint}")),
        )
    }

    /// Meshes two clusters as anyone does.
    pub fn connects(&self, contexts: [&str; 2]) {
        for context in contexts {
            self.does(&format!("clustermesh enable --context {context}"));
        }
        self.is_well(contexts);
        let [here, there] = contexts;
        self.does(&format!(
            "clustermesh connect --context {here} --destination-context {there}"
        ));
        self.is_well(contexts);
    }

    /// Waits until both say so.
    pub fn is_well(&self, contexts: [&str; 2]) {
        for context in contexts {
            self.does(&format!(
                "clustermesh status --context {context} --wait --wait-duration 90"
            ));
        }
    }

    /// Every pod of each cluster is answered by every pod of the other one, which sees its own address.
    pub fn pods_answer(&self, contexts: [&str; 2]) {
        let clusters = contexts.map(|context| Cluster::of(&self.lab, context));
        for cluster in &clusters {
            cluster.deploy_echo(2);
        }
        for (here, there) in [(0, 1), (1, 0)] {
            for from in clusters[here].pods() {
                for to in clusters[there].pods() {
                    for url in ["http://ADDRESS:8080/", "tcp://ADDRESS", "udp://ADDRESS"] {
                        let url = url.replace("ADDRESS", &to.address);
                        let answer = clusters[here].ask(&from, &url);
                        assert_eq!(answer["pod"], to.name, "{url}: {answer}");
                        assert_eq!(answer["cluster"], contexts[there], "{url}: {answer}");
                        assert_eq!(answer["from"], from.address, "{url}: {answer}");
                    }
                }
            }
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).unwrap_or_default();
    }
}
