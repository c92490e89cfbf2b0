use super::*;

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let folder =
            std::env::temp_dir().join(format!("tombolo-handed-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Place(folder)
    }

    /// What somebody sees who reads the folder as programs do.
    fn seen(&self) -> Data {
        let entries = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.is_file());
        let named = files.map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        });
        named.collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn data(files: &[(&str, &str)]) -> Data {
    let files = files.iter();
    files
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
        .collect()
}

#[test]
fn the_folder_is_what_the_secret_is() {
    let place = Place::new("follow");
    fs::write(place.0.join("own"), "not of the Secret").unwrap();
    let own = |secret: &Data| {
        let mut all = secret.clone();
        all.extend(data(&[("own", "not of the Secret")]));
        all
    };
    for secret in [
        data(&[("a.crt", "1"), ("a.key", "1"), ("cluster2", "endpoints")]),
        data(&[("a.crt", "2"), ("a.key", "2"), ("cluster2", "endpoints")]),
        data(&[("a.crt", "2"), ("a.key", "2")]),
        data(&[]),
        data(&[("b", "1")]),
    ] {
        assert!(hand_out(&place.0, &secret).unwrap());
        assert_eq!(place.seen(), own(&secret));
        assert!(!hand_out(&place.0, &secret).unwrap());
    }
    // Nothing is left of what was: the files, the link, and one folder.
    assert_eq!(fs::read_dir(&place.0).unwrap().count(), 4);
}

/// A certificate and its key belong together, so nobody may see one of them new and the other one old.
#[test]
fn all_files_change_at_one_instant() {
    let place = Place::new("instant");
    hand_out(&place.0, &data(&[("crt", "0"), ("key", "0")])).unwrap();
    let folder = place.0.clone();
    let writer = std::thread::spawn(move || {
        for number in 1..300 {
            let text = number.to_string();
            hand_out(&folder, &data(&[("crt", &text), ("key", &text)])).unwrap();
        }
    });
    let mut seen = 0;
    while !writer.is_finished() {
        let Ok(present) = fs::read_link(place.0.join(PRESENT)) else {
            panic!("there was a moment without files");
        };
        let read = |name| fs::read_to_string(place.0.join(&present).join(name));
        if let (Ok(crt), Ok(key)) = (read("crt"), read("key")) {
            assert_eq!(crt, key);
            seen += 1;
        }
    }
    writer.join().unwrap();
    assert!(seen > 0);
}

#[test]
fn keys_that_lead_elsewhere_are_refused() {
    let place = Place::new("refused");
    for key in ["", ".", "..", "../x", "a/b", "..data", "a\nb"] {
        let refused = hand_out(&place.0, &data(&[(key, "x")]));
        assert!(refused.is_err(), "{key}");
    }
    assert_eq!(place.seen(), Data::new());
}

#[test]
fn only_the_owner_reads() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new("mode");
    hand_out(&place.0, &data(&[("a.key", "x")])).unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(place.0.join("a.key")), 0o600);
    assert_eq!(mode(place.0.join(PRESENT)), 0o700);
}

#[test]
fn secrets_are_named_with_their_namespace() {
    assert!("kube-system/a".parse::<SecretRef>().is_ok());
    for wrong in ["a", "/a", "a/", "a/b/c", ""] {
        assert!(wrong.parse::<SecretRef>().is_err(), "{wrong}");
    }
}
