use super::*;

#[test]
fn versions_are_told_in_the_version_of_the_question() {
    let cases = [
        ("", "1.1.0"),
        ("{}", "1.1.0"),
        (r#"{"cniVersion": "1.0.0"}"#, "1.0.0"),
        (r#"{"cniVersion": "0.1.0"}"#, "0.1.0"),
    ];
    for (input, version) in cases {
        let answer = versions(input.as_bytes()).unwrap();
        assert_eq!(
            answer,
            json!({"cniVersion": version, "supportedVersions": ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]}),
        );
    }
    assert_eq!(versions(b"nonsense").unwrap_err().code(), 6);
}

#[test]
fn versions_read_as_they_are_written() {
    for version in Version::ALL {
        assert_eq!(version.to_string().parse::<Version>().unwrap(), version);
    }
    assert!(Version::V0_4_0 < Version::V1_0_0);
}
