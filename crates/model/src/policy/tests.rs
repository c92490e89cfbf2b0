use super::*;
use crate::id::Identity;

fn entry(protocol: u8, port: u16, port_prefix: u8) -> PolicyEntry {
    PolicyEntry {
        protocol,
        port,
        port_prefix,
        ..PolicyEntry::allow_all(Direction::Ingress)
    }
}

#[test]
fn rules_that_match_nothing_the_kernel_knows_are_refused() {
    let cases = [
        (entry(6, 80, 16), true),
        (entry(6, 0, 0), true),
        (entry(17, 0x8000, 1), true),
        (entry(0, 0, 0), true),
        (entry(0, 80, 16), false),
        (entry(0, 0, 16), false),
        (entry(6, 80, 17), false),
        (entry(6, 81, 15), false),
        (entry(6, 80, 0), false),
    ];
    for (entry, allowed) in cases {
        assert_eq!(
            check(std::slice::from_ref(&entry)).is_ok(),
            allowed,
            "{entry:?}"
        );
    }
    assert_eq!(
        check(&vec![entry(6, 0, 0); RULES_MAX + 1]),
        Err(RuleError::TooMany {
            count: RULES_MAX + 1
        })
    );
}

#[test]
fn a_direction_without_rules_allows_everything() {
    let all = [Direction::Ingress, Direction::Egress].map(PolicyEntry::allow_all);
    assert_eq!(normalise(&[]), all);
    assert!(given(&normalise(&[])).is_empty());
    let deny = PolicyEntry {
        verdict: Verdict::Deny,
        ..PolicyEntry::allow_all(Direction::Egress)
    };
    let normal = normalise(std::slice::from_ref(&deny));
    assert_eq!(normal, [all[0].clone(), deny.clone()]);
    assert_eq!(given(&normal), [deny]);
    assert_eq!(normalise(&given(&normal)), normal);
}

#[test]
fn of_two_rules_with_one_match_the_stronger_stays() {
    let allow = PolicyEntry {
        identity: Identity(300),
        ..PolicyEntry::allow_all(Direction::Ingress)
    };
    let deny = PolicyEntry {
        verdict: Verdict::Deny,
        ..allow.clone()
    };
    let strong = PolicyEntry {
        precedence: 7,
        ..allow.clone()
    };
    assert!(!normalise(&[allow.clone(), deny.clone()]).contains(&allow));
    let normal = normalise(&[deny.clone(), allow, strong.clone()]);
    assert!(normal.contains(&strong) && !normal.contains(&deny));
}
