use rcgen::{CertificateParams, DnType, KeyPair};

use super::common_name;

fn certificate(attributes: &[(DnType, &str)]) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in attributes {
        params.distinguished_name.push(kind.clone(), *value);
    }
    params.self_signed(&key).unwrap().der().to_vec()
}

#[test]
fn the_name_is_found_among_other_attributes() {
    let table = [
        (vec![(DnType::CommonName, "remote-c2")], Some("remote-c2")),
        (
            vec![
                (DnType::OrganizationName, "an organization"),
                (DnType::CommonName, "admin"),
                (DnType::CountryName, "DE"),
            ],
            Some("admin"),
        ),
        (vec![(DnType::OrganizationName, "nobody")], None),
        (vec![], None),
    ];
    for (attributes, expected) in table {
        let found = common_name(&certificate(&attributes));
        assert_eq!(found.as_deref(), expected);
    }
}

#[test]
fn a_long_name_is_read_whole() {
    let name = "n".repeat(300);
    let found = common_name(&certificate(&[(DnType::CommonName, &name)]));
    assert_eq!(found, Some(name));
}

#[test]
fn what_is_no_certificate_has_no_name() {
    let whole = certificate(&[(DnType::CommonName, "a")]);
    for length in 0..whole.len() {
        // Cut anywhere, also within lengths.
        let cut = common_name(&whole[..length]);
        assert!(cut.is_none(), "{length}");
    }
    for position in 0..whole.len() {
        let mut broken = whole.clone();
        broken[position] ^= 0xff;
        // Only that nothing panics: a broken name is a name.
        let _: Option<String> = common_name(&broken);
    }
}
