use super::*;
use std::{env, fs, process::Command};

struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = env::temp_dir().join(format!("tombolo-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn tar(words: &[&str], archive: &Path) -> String {
    let output = Command::new("tar")
        .args(words)
        .arg(archive)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn others_read_our_archives() {
    let folder = Folder::new("archive");
    let archive = folder.0.join("layer.tar");
    let layer = Layer::default()
        .text("etc/motd", "hello\n")
        .folder("/tmp", 0o1777)
        .link("bin/sh", "busybox")
        .program("bin/true", Path::new("/bin/true"));
    layer.write(&mut File::create(&archive).unwrap()).unwrap();
    let listed = tar(&["--numeric-owner", "-tvf"], &archive);
    let lines: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let size = fs::metadata("/bin/true").unwrap().len().to_string();
    let expected = [
        ("drwxr-xr-x", "0", "bin/"),
        ("lrwxrwxrwx", "0", "busybox"),
        ("-rwxr-xr-x", &size, "bin/true"),
        ("drwxr-xr-x", "0", "etc/"),
        ("-rw-r--r--", "6", "etc/motd"),
        ("drwxrwxrwt", "0", "tmp/"),
    ];
    let found: Vec<_> = lines
        .iter()
        .map(|words| (words[0], words[2], words[words.len() - 1]))
        .collect();
    assert_eq!(found, expected);
    assert!(lines.iter().all(|words| words[1] == "0/0"), "{listed}");
    let out = folder.0.join("out");
    fs::create_dir(&out).unwrap();
    tar(&["-C", out.to_str().unwrap(), "-xf"], &archive);
    assert_eq!(
        fs::read(out.join("bin/true")).unwrap(),
        fs::read("/bin/true").unwrap()
    );
}

#[test]
fn digests_are_of_what_is_there_and_shared_layers_are_there_once() {
    let folder = Folder::new("images");
    let archive = folder.0.join("images.tar");
    let layer = Layer::default().text("a", "a");
    let image = |name: &str| Image {
        name: name.to_owned(),
        layers: vec![&layer],
        entrypoint: vec![name.to_owned()],
        path: "/bin",
    };
    write(&[image("x"), image("y")], &archive).unwrap();
    tar(&["-C", folder.0.to_str().unwrap(), "-xf"], &archive);
    let blobs: Vec<_> = fs::read_dir(folder.0.join("blobs/sha256"))
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(
        blobs.len(),
        5,
        "two manifests, two configurations, one layer"
    );
    for blob in blobs {
        let sum = Command::new("sha256sum").arg(blob.path()).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        assert!(sum.starts_with(blob.file_name().to_str().unwrap()), "{sum}");
    }
    let index: Value =
        serde_json::from_slice(&fs::read(folder.0.join("index.json")).unwrap()).unwrap();
    assert_eq!(
        index["manifests"][1]["annotations"]["io.containerd.image.name"],
        "y"
    );
}

#[test]
fn what_archives_have_no_room_for_is_refused() {
    let mut sum = Sum::new();
    let long = "a".repeat(101);
    assert!(Layer::default().text(&long, "").write(&mut sum).is_err());
    let missing = Layer::default().program("x", Path::new("/there/is/none"));
    let error = missing.write(&mut sum).unwrap_err();
    assert!(error.to_string().contains("/there/is/none"), "{error}");
}
