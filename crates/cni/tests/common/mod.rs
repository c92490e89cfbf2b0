//! Calls the plugin as a runtime does.

#![allow(dead_code, reason = "each test binary uses its part")]

use serde_json::Value;
use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

/// What the plugin answered.
pub struct Answer {
    pub success: bool,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {:?}", self.text))
    }

    /// The specification's error object: number and both texts.
    #[track_caller]
    pub fn error(&self) -> (u64, String) {
        assert!(!self.success, "no error: {}", self.text);
        let error = self.json();
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        assert!(!text("cniVersion").is_empty(), "{error}");
        (
            error["code"].as_u64().expect("a code"),
            format!("{}; {}", text("msg"), text("details")),
        )
    }
}

pub fn call(command: &str, variables: &[(&str, &str)], input: &[u8]) -> Answer {
    let mut plugin = Command::new(env!("CARGO_BIN_EXE_tombolo-cni"));
    plugin
        .env_clear()
        .env("CNI_COMMAND", command)
        .envs(variables.iter().copied());
    run(&mut plugin, input)
}

pub fn run(plugin: &mut Command, input: &[u8]) -> Answer {
    let mut child = plugin
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the plugin starts");
    // A plugin that refuses early hangs up on us.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let output = child.wait_with_output().expect("the plugin ends");
    Answer {
        success: output.status.success(),
        text: String::from_utf8(output.stdout).expect("UTF-8"),
    }
}

/// A folder that goes with its owner.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = env::temp_dir().join(format!("tombolo-cni-{name}-{}", process::id()));
        fs::create_dir_all(&path).expect("a folder for the test");
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A configuration of the newest version whose files are all in one folder.
pub fn config(folder: &Path) -> Value {
    serde_json::json!({
        "cniVersion": "1.1.0",
        "name": "pods",
        "type": "tombolo-cni",
        "socket": folder.join("agent.sock"),
        "deleteQueue": folder.join("deletes"),
    })
}
