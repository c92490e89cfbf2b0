use super::*;
use std::collections::BTreeMap;

type Variables<'a> = &'a [(&'static str, &'a str)];

fn parse(command: Command, variables: Variables<'_>) -> Result<Call, Error> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    Call::parse(command, |name| {
        Ok(variables.get(name).copied().unwrap_or_default().to_owned())
    })
}

#[test]
fn what_is_missing_or_malformed_is_named() {
    let id = ("CNI_CONTAINERID", "c1");
    let ifname = ("CNI_IFNAME", "eth0");
    let netns = ("CNI_NETNS", "/run/netns/c1");
    let long = "x".repeat(201);
    let cases: &[(&str, Command, Variables<'_>)] = &[
        (
            "CNI_CONTAINERID: it is not set",
            Command::Add,
            &[ifname, netns],
        ),
        ("CNI_CONTAINERID: it is not set", Command::Delete, &[ifname]),
        (
            "CNI_CONTAINERID: \"-c\" must start",
            Command::Add,
            &[("CNI_CONTAINERID", "-c"), ifname, netns],
        ),
        (
            "CNI_CONTAINERID: \"a/b\" must start",
            Command::Delete,
            &[("CNI_CONTAINERID", "a/b"), ifname],
        ),
        (
            "CNI_CONTAINERID: it is longer than 200",
            Command::Add,
            &[("CNI_CONTAINERID", &long), ifname, netns],
        ),
        ("CNI_IFNAME: it is not set", Command::Add, &[id, netns]),
        ("CNI_IFNAME: it is not set", Command::Delete, &[id]),
        (
            "CNI_IFNAME: \"sixteen-letters0\" is longer than 15",
            Command::Add,
            &[id, netns, ("CNI_IFNAME", "sixteen-letters0")],
        ),
        (
            "CNI_IFNAME: \"a/b\" must not contain",
            Command::Add,
            &[id, netns, ("CNI_IFNAME", "a/b")],
        ),
        (
            "CNI_IFNAME: \"a b\" must not contain",
            Command::Delete,
            &[id, ("CNI_IFNAME", "a b")],
        ),
        (
            "CNI_IFNAME: \"..\"",
            Command::Add,
            &[id, netns, ("CNI_IFNAME", "..")],
        ),
        ("CNI_NETNS: it is not set", Command::Add, &[id, ifname]),
        ("CNI_NETNS: it is not set", Command::Check, &[id, ifname]),
        (
            "CNI_ARGS: \"x\" is no KEY=VALUE",
            Command::Add,
            &[id, ifname, netns, ("CNI_ARGS", "x")],
        ),
    ];
    for (expected, command, variables) in cases {
        let error = parse(*command, variables).unwrap_err();
        assert_eq!(error.code(), 4, "{variables:?}");
        assert!(
            error.to_string().contains(expected),
            "{error} is not about {expected}"
        );
    }
}

#[test]
fn a_deletion_needs_neither_namespace_nor_good_arguments() {
    let call = parse(
        Command::Delete,
        &[
            ("CNI_CONTAINERID", "c1"),
            ("CNI_IFNAME", "eth0"),
            ("CNI_ARGS", "nonsense"),
        ],
    )
    .unwrap();
    assert_eq!(call.attachment.container, "c1");
    assert_eq!(call.attachment.interface, "eth0");
}

#[test]
fn commands_without_a_container_need_no_variables() {
    for command in [Command::Collect, Command::Status] {
        parse(command, &[]).unwrap();
    }
}

#[test]
fn arguments_name_the_pod_and_its_identity() {
    let pod = PodName {
        namespace: "shop".into(),
        name: "web-0".into(),
    };
    let cases: &[(&str, Args)] = &[
        ("", Args::default()),
        (
            "TOMBOLO_IDENTITY=131329",
            Args {
                identity: Some(Identity(131329)),
                ..Args::default()
            },
        ),
        (
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=c;FOO=bar",
            Args {
                pod: pod.clone(),
                identity: None,
            },
        ),
        (
            "K8S_POD_NAME=web-0;K8S_POD_NAMESPACE=shop;FOO=bar;IgnoreUnknown=true;",
            Args {
                pod,
                identity: None,
            },
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(&Args::parse(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn bad_arguments_are_refused() {
    for text in [
        "FOO=bar",
        "FOO=bar;IgnoreUnknown=0",
        "IgnoreUnknown=perhaps",
        "TOMBOLO_IDENTITY=0",
        "TOMBOLO_IDENTITY=16777216",
        "TOMBOLO_IDENTITY=-1",
        "TOMBOLO_IDENTITY=",
        "TOMBOLO_IDENTITY",
    ] {
        let error = Args::parse(text).unwrap_err();
        assert_eq!(error.code(), 4, "{text}");
        assert!(error.to_string().contains("CNI_ARGS"), "{error}");
    }
}

#[test]
fn unknown_commands_are_refused() {
    for name in ["", "add", "UPDATE", "ADD "] {
        let error = Command::parse(name).unwrap_err();
        assert_eq!(error.code(), 4);
        assert!(error.to_string().contains("CNI_COMMAND"), "{error}");
    }
}

#[test]
fn commands_need_the_version_they_came_with() {
    use Command::{Add, Check, Collect, Delete, Status};
    let cases = [
        (Add, Version::V0_3_0, true),
        (Delete, Version::V0_3_0, true),
        (Check, Version::V0_3_1, false),
        (Check, Version::V0_4_0, true),
        (Collect, Version::V1_0_0, false),
        (Collect, Version::V1_1_0, true),
        (Status, Version::V1_0_0, false),
        (Status, Version::V1_1_0, true),
    ];
    for (command, version, allowed) in cases {
        let answer = command.check_version(version);
        assert_eq!(answer.is_ok(), allowed, "{command} {version}");
        if let Err(error) = answer {
            assert_eq!(error.code(), 1);
        }
    }
}
