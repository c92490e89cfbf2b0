use super::*;

#[test]
fn namespaces_are_entered_before_mounts_are_copied() {
    let namespaces = Namespaces {
        net: Some("/run/netns/lab-c1-n1".into()),
        new_mounts: true,
        ..Namespaces::default()
    };
    assert_eq!(
        namespaces.words().join(" "),
        "nsenter --net=/run/netns/lab-c1-n1 -- unshare --mount --uts --propagation private --"
    );
}

#[test]
fn last_words_are_the_last_lines_only() {
    let log = env::temp_dir().join(format!("tombolo-lab-test-{}.log", std::process::id()));
    let lines: Vec<String> = (0..100).map(|line| format!("line {line}")).collect();
    std::fs::write(&log, lines.join("\n")).unwrap();
    let words = last_words(&log);
    std::fs::remove_file(&log).unwrap();
    assert_eq!(words.lines().count(), LAST_WORDS_LINES);
    assert!(
        words.starts_with("  line 88") && words.ends_with("  line 99"),
        "{words}"
    );
    assert_eq!(last_words(&log), "  (nothing)");
}

#[test]
fn a_missing_tool_names_its_package() {
    let error = run_tool("tc", &mut Command::new("/nonexistent/tc")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot run tc; install the Debian package iproute2"
    );
}
