use super::*;
use tokio::io::AsyncReadExt as _;

#[tokio::test]
async fn what_is_not_etcd_is_known_by_how_it_begins() {
    let table: [(&[&[u8]], Option<&str>); 7] = [
        (&[&[0, 0, 18, 4, 0, 0, 0, 0, 0]], None),
        (&[&[0], &[0, 18], &[4, 0]], None),
        (&[b"HTTP/1.1 400 Bad Request\r\n"], Some("older HTTP")),
        (&[b"HT", b"TP/1.0"], Some("older HTTP")),
        (&[&[21, 3, 3, 0, 2, 2, 70]], Some("TLS")),
        (&[b"SSH-2.0-OpenSSH"], Some("something else")),
        (&[b"SSH"], None),
    ];
    for (parts, expected) in table {
        let note = Note::default();
        let mut noting = Noting::new(bringing(parts), Note::clone(&note));
        let mut all = Vec::new();
        noting.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, parts.concat());
        match (note.get(), expected) {
            (Some(Refusal::NotEtcd(problem)), Some(expected)) => {
                assert!(problem.contains(expected), "{problem}");
            }
            (None, None) => {}
            other => panic!("{parts:?}: {other:?}"),
        }
    }
}

/// One part after the other.
fn bringing(parts: &[&[u8]]) -> Box<dyn AsyncRead + Unpin> {
    let empty: Box<dyn AsyncRead + Unpin> = Box::new(tokio::io::empty());
    parts.iter().rev().fold(empty, |rest, part| {
        let part = std::io::Cursor::new(part.to_vec());
        Box::new(part.chain(rest))
    })
}
