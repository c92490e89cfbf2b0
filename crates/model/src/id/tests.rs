use super::*;

#[test]
fn clusters_share_no_identities() {
    for (shift, clusters) in [(16, 255), (15, 511)] {
        let mut next = 256;
        for id in 0..=clusters {
            let range = ClusterId(id).identities(shift);
            assert_eq!(range.start().0, next);
            assert_eq!(range.end().cluster(shift), ClusterId(id));
            next = range.end().0 + 1;
        }
        assert_eq!(next, 1 << 24);
    }
    assert_eq!(
        ClusterId(3).identities(16),
        Identity(196_608)..=Identity(262_143)
    );
}
