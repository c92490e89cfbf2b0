use super::*;
use crate::testing::Folder;

#[test]
fn one_holder_at_a_time() {
    let folder = Folder::new();
    let path = folder.join("lock");
    assert_eq!(holder(&path), None);
    let lock = Lock::acquire(&path).unwrap().expect("free");
    assert!(Lock::acquire(&path).unwrap().is_none());
    assert_eq!(holder(&path), Some(std::process::id()));

    drop(lock);
    assert_eq!(holder(&path), None, "the file stays but nobody holds it");
    fs::write(&path, "4194305 and more that an earlier holder wrote").unwrap();
    let _lock = Lock::acquire(&path).unwrap().expect("free again");
    assert_eq!(holder(&path), Some(std::process::id()));
}

#[test]
fn folder_that_is_not_there_is_an_error() {
    let folder = Folder::new();
    assert!(
        Lock::acquire(folder.join("none/lock"))
            .unwrap_err()
            .is_not_found()
    );
}
