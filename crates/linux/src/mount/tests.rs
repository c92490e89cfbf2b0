use super::*;
use crate::testing::Folder;
use rustix::thread::UnshareFlags;
use std::thread;

/// Runs on a thread with a mount namespace of its own.
fn apart(f: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            // SAFETY: the thread ends with this test, and nothing else relies on its working folder or mounts.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
            make_private("/").unwrap();
            f();
        });
        worker.join().unwrap();
    });
}

fn mounted_below(dir: &Path) -> Vec<PathBuf> {
    mounts()
        .unwrap()
        .into_iter()
        .filter(|point| point.starts_with(dir))
        .collect()
}

#[test]
fn what_is_mounted_apart_is_seen_only_there_and_goes_whole() {
    let folder = Folder::new();
    let [memory, pins, copy] =
        ["memory", "memory/pins of a node", "copy"].map(|name| folder.join(name));
    apart(|| {
        tmpfs(&memory).unwrap();
        bpffs(&pins).unwrap();
        assert!(is_bpffs(&pins) && !is_bpffs(&memory));
        fs::create_dir(pins.join("below")).unwrap();
        assert!(is_bpffs(pins.join("below")));
        bpffs(&pins).unwrap();
        assert!(!pins.join("below").exists(), "a second one hides the first");
        fs::create_dir(&copy).unwrap();
        bind(&pins, &copy).unwrap();
        assert!(is_bpffs(&copy));
        assert_eq!(
            mounted_below(&folder),
            [&memory, &pins, &pins, &copy].map(Clone::clone)
        );

        unmount_all(&memory).unwrap();
        assert_eq!(mounted_below(&folder), [&*copy]);
        unmount_all(&*folder).unwrap();
        unmount_all(&*folder).unwrap();
        assert!(mounted_below(&folder).is_empty());
        tmpfs(&memory).unwrap();
    });
    assert!(mounted_below(&folder).is_empty());
}

#[test]
fn shared_mounts_spread_and_are_taken_back() {
    let folder = Folder::new();
    let inner = folder.join("inner");
    apart(|| {
        tmpfs(&*folder).unwrap();
        make_shared(&*folder).unwrap();
        thread::scope(|scope| {
            let child = scope.spawn(|| {
                // SAFETY: as above.
                unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
                tmpfs(&inner).unwrap();
            });
            child.join().unwrap();
        });
        assert_eq!(mounted_below(&inner), [&*inner]);
        unmount_all(&*folder).unwrap();
        assert!(mounted_below(&folder).is_empty());
    });
}

#[test]
fn what_is_changed_in_an_overlay_stays_out_of_the_folder() {
    let folder = Folder::new();
    let [lower, scratch] = ["lower", "scratch"].map(|name| folder.join(name));
    fs::create_dir(&lower).unwrap();
    fs::write(lower.join("known"), "before").unwrap();
    apart(|| {
        tmpfs(&scratch).unwrap();
        overlay(&lower, scratch.join("of lower")).unwrap();
        assert_eq!(fs::read_to_string(lower.join("known")).unwrap(), "before");
        fs::write(lower.join("known"), "after").unwrap();
        fs::write(lower.join("new"), "").unwrap();
    });
    assert_eq!(fs::read_to_string(lower.join("known")).unwrap(), "before");
    assert!(!lower.join("new").exists());
}

#[test]
fn programs_start_only_where_they_may() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    apart(|| {
        for (mount, starts) in [
            (tmpfs as fn(PathBuf) -> Result<()>, false),
            (tmpfs_for_programs, true),
        ] {
            mount(folder.to_path_buf()).unwrap();
            let program = folder.join("program");
            fs::copy("/bin/true", &program).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            let started = std::process::Command::new(&program).status();
            assert_eq!(started.is_ok_and(|status| status.success()), starts);
            unmount_all(&*folder).unwrap();
        }
    });
}

#[test]
fn siblings_of_like_name_are_left_alone() {
    let folder = Folder::new();
    let [node, node10] = ["node1", "node10"].map(|name| folder.join(name));
    apart(|| {
        tmpfs(&node).unwrap();
        tmpfs(&node10).unwrap();
        unmount_all(&node).unwrap();
        assert_eq!(mounted_below(&folder), [&*node10]);
    });
}

#[test]
fn table_lines_are_unescaped() {
    for (line, expected) in [
        (
            "36 35 98:0 / /a\\040b\\134c rw - ext3 x rw",
            Some("/a b\\c"),
        ),
        ("36 35 98:0 / /\\9\\04 rw", Some("/\\9\\04")),
        ("36 35 98:0 /", None),
        ("", None),
    ] {
        assert_eq!(
            mount_point(line.as_bytes()),
            expected.map(PathBuf::from),
            "{line}"
        );
    }
}

#[test]
fn errors_name_the_folder() {
    let folder = Folder::new();
    let missing = folder.join("missing");
    let error = bind(&*folder, &missing).unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(
        error.to_string(),
        format!("cannot bind mount {}", missing.display())
    );
}
