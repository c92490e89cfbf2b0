use super::*;

fn read(annotations: &[(&str, &str)]) -> (Sharing, Vec<String>) {
    let annotations = annotations
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    Sharing::read(&annotations.collect())
}

#[test]
fn both_names_are_read_and_the_new_one_wins() {
    let cases: [(&[(&str, &str)], Sharing); 9] = [
        (
            &[],
            Sharing {
                global: false,
                shared: true,
                affinity: Affinity::None,
            },
        ),
        (
            &[("io.cilium/global-service", "true")],
            global(Affinity::None),
        ),
        (
            &[("service.cilium.io/global", "TRUE")],
            global(Affinity::None),
        ),
        (
            &[
                ("service.cilium.io/global", "false"),
                ("io.cilium/global-service", "true"),
            ],
            Sharing {
                global: false,
                shared: true,
                affinity: Affinity::None,
            },
        ),
        (
            &[
                ("service.cilium.io/global", "true"),
                ("io.cilium/shared-service", "false"),
            ],
            Sharing {
                global: true,
                shared: false,
                affinity: Affinity::None,
            },
        ),
        (
            &[
                ("service.cilium.io/global", "true"),
                ("io.cilium/service-affinity", "Local"),
            ],
            global(Affinity::Local),
        ),
        (
            &[
                ("service.cilium.io/global", "true"),
                ("service.cilium.io/affinity", "remote"),
            ],
            global(Affinity::Remote),
        ),
        (
            &[
                ("service.cilium.io/global", "true"),
                ("service.cilium.io/affinity", ""),
            ],
            global(Affinity::None),
        ),
        // Without effect on a service that is not global.
        (
            &[("service.cilium.io/affinity", "local")],
            Sharing {
                global: false,
                shared: true,
                affinity: Affinity::None,
            },
        ),
    ];
    for (annotations, sharing) in cases {
        assert_eq!(read(annotations), (sharing, Vec::new()), "{annotations:?}");
    }
}

#[test]
fn unknown_values_are_told_of_and_mean_the_default() {
    let (sharing, problems) = read(&[
        ("service.cilium.io/global", "true"),
        ("service.cilium.io/shared", "yes"),
        ("service.cilium.io/affinity", "nearest"),
    ]);
    assert_eq!(
        sharing,
        Sharing {
            global: true,
            shared: false,
            affinity: Affinity::None
        }
    );
    assert_eq!(
        problems,
        [
            "annotation service.cilium.io/shared is `yes`: the service is not shared; use \"true\" or \"false\"",
            "annotation service.cilium.io/affinity is `nearest`: taken for none; use local, remote or none",
        ]
    );
    let weighed =
        |text: &str| weight(&[("service.cilium.io/weight".to_owned(), text.to_owned())].into());
    assert_eq!(weighed("0"), Ok(0));
    assert_eq!(weighed("250"), Ok(250));
    for bad in ["", "-1", "1.5", "70000", "much"] {
        let said = weighed(bad).expect_err(bad);
        assert!(said.contains("taken for 100"), "{said}");
    }
}
