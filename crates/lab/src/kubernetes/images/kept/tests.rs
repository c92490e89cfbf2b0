use super::*;
use std::os::unix::fs::PermissionsExt as _;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("tombolo-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn make(&self, name: &str) -> PathBuf {
        let folder = self.0.join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

#[test]
fn what_is_shared_is_there_once_but_for_databases() {
    let folder = Folder::new("share");
    let (from, to) = (folder.make("from"), folder.make("to"));
    fs::create_dir_all(from.join("tmp")).unwrap();
    fs::set_permissions(from.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    for name in ["tmp/file", "meta.db"] {
        fs::write(from.join(name), name).unwrap();
    }
    symlink("file", from.join("tmp/link")).unwrap();
    share(&from, &to).unwrap();
    let number = |path: PathBuf| fs::metadata(path).unwrap().ino();
    assert_eq!(number(from.join("tmp/file")), number(to.join("tmp/link")));
    assert_ne!(number(from.join("meta.db")), number(to.join("meta.db")));
    assert_eq!(
        fs::metadata(to.join("tmp")).unwrap().mode() & 0o7777,
        0o1777
    );
}

#[test]
fn the_builds_that_were_used_last_are_kept() {
    let folder = Folder::new("kept");
    let (cache, made) = (folder.make("cache"), folder.make("made"));
    fs::write(made.join("blob"), "an image").unwrap();
    let open = |key: &str| Kept::open_in(&cache, key.to_owned()).unwrap();
    // What an earlier one left half-made is no build.
    fs::create_dir(cache.join(DRAFT)).unwrap();
    for (number, key) in ["a", "b", "a", "c"].into_iter().enumerate() {
        let kept = open(key);
        if !kept.is_there() {
            kept.put(&made).unwrap();
        }
        let node = folder.make(&format!("node{number}"));
        let path = cache.join(key);
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        kept.give(&node).unwrap();
        let build = fs::File::open(&path).unwrap();
        assert!(build.metadata().unwrap().modified().unwrap() >= before);
        // The clock of files may stand still meanwhile.
        let used = SystemTime::UNIX_EPOCH + Duration::from_secs(number as u64);
        build.set_modified(used).unwrap();
        assert_eq!(fs::read_to_string(node.join("blob")).unwrap(), "an image");
    }
    assert!(open("a").is_there());
    assert!(!open("b").is_there());
    assert!(open("c").is_there());
    assert!(!cache.join(DRAFT).exists());
}

#[test]
fn a_program_that_is_written_anew_has_other_images() {
    let folder = Folder::new("key");
    let program = folder.0.join("program");
    fs::write(&program, "one").unwrap();
    let files = [program.clone()];
    let first = key(&files).unwrap();
    assert_eq!(key(&files).unwrap(), first);
    fs::write(folder.0.join("draft"), "two").unwrap();
    fs::rename(folder.0.join("draft"), &program).unwrap();
    assert_ne!(key(&files).unwrap(), first);
    assert!(key(&[folder.0.join("nothing")]).is_err());
}
