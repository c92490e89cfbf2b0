use super::*;
use std::env;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = env::temp_dir().join(format!("tombolo-cni-{}-{name}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn attachment(container: &str) -> Attachment {
    Attachment {
        container: container.into(),
        interface: "eth0".into(),
    }
}

#[test]
fn a_deletion_is_written_once_and_can_be_taken_back() {
    let folder = Folder::new("once");
    let queue = folder.0.join("a/b");
    let file = push(&queue, &attachment("c1")).unwrap();
    assert_eq!(push(&queue, &attachment("c1")).unwrap(), file);
    assert_ne!(push(&queue, &attachment("c2")).unwrap(), file);
    assert_eq!(length(&queue).unwrap(), 2, "no draft is left");
    let read: Attachment = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(read, attachment("c1"));
    remove(&file).unwrap();
    remove(&file).unwrap();
    assert_eq!(length(&queue).unwrap(), 1);
}

#[test]
fn a_full_queue_is_an_error_that_says_what_to_do() {
    let folder = Folder::new("full");
    for number in 0..LENGTH_MAX {
        File::create(folder.0.join(number.to_string())).unwrap();
    }
    let error = push(&folder.0, &attachment("c1")).unwrap_err();
    assert_eq!(error.code(), 5);
    assert!(error.to_string().contains("start the agent"), "{error}");
}

#[test]
fn a_queue_that_cannot_be_is_an_error() {
    let folder = Folder::new("file");
    let blocked = folder.0.join("file");
    File::create(&blocked).unwrap();
    let error = push(&blocked.join("queue"), &attachment("c1")).unwrap_err();
    assert_eq!(error.code(), 5);
    assert!(error.to_string().starts_with("creating"), "{error}");
}
