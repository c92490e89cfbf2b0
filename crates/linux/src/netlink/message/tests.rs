use super::*;

#[test]
fn written_attributes_are_read_back() {
    let mut request = Request::new(16, libc::NLM_F_ACK, &[1, 2, 3, 4]);
    request
        .u8(1, 7)
        .u32(2, 0x0102_0304)
        .text(3, "eth0")
        .attribute(4, &[9; 6])
        .nest(5, |inner| {
            inner.be32(1, 1).text(2, "");
        });
    let bytes = request.finish(77);
    let messages: Vec<_> = Messages(&bytes).collect();
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].kind, messages[0].sequence), (16, 77));
    assert_eq!(messages[0].flags, libc::NLM_F_ACK | libc::NLM_F_REQUEST);

    let found: Vec<_> = messages[0].attributes(4).collect();
    let kinds: Vec<_> = found.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [1, 2, 3, 4, 5]);
    assert_eq!(found[0].1, [7]);
    assert_eq!(u32_at(found[1].1, 0), Some(0x0102_0304));
    assert_eq!(text(found[2].1), "eth0");
    assert_eq!(found[3].1, [9; 6]);
    let inner: Vec<_> = Attributes(found[4].1).collect();
    assert_eq!(inner, [(1, &[0, 0, 0, 1][..]), (2, &[0])]);
}

#[test]
fn refusal_tells_number_and_words_with_and_without_the_echo() {
    for (capped, echo) in [(true, &[][..]), (false, &[5; 8])] {
        let mut body = (-libc::EINVAL).to_ne_bytes().to_vec();
        body.extend((16 + echo.len() as u32).to_ne_bytes());
        body.extend([0; 12]);
        body.extend(echo);
        let flags = libc::NLM_F_ACK_TLVS | if capped { libc::NLM_F_CAPPED } else { 0 };
        let mut request = Request::new(libc::NLMSG_ERROR as u16, flags, &body);
        request.u32(2, 40).text(ERROR_TEXT, "no such thing");
        let bytes = request.finish(1);
        let refusal = Messages(&bytes).next().unwrap().verdict().unwrap_err();
        assert_eq!(refusal.source.raw_os_error(), Some(libc::EINVAL));
        assert_eq!(refusal.explanation.as_deref(), Some("no such thing"));
    }
}

#[test]
fn cut_and_mangled_input_ends_quietly() {
    let mut request = Request::new(libc::NLMSG_ERROR as u16, libc::NLM_F_ACK_TLVS, &[0xff; 20]);
    request
        .text(1, "words")
        .nest(2, |inner| _ = inner.u32(1, 1));
    let whole = request.finish(1);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..20_000 {
        let mut bytes = whole.clone();
        bytes.truncate(round % (whole.len() + 1));
        for _ in 0..round % 4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if let Some(byte) = bytes.get_mut(state as usize % whole.len()) {
                *byte = (state >> 32) as u8;
            }
        }
        for message in Messages(&bytes) {
            _ = message.verdict();
            message
                .attributes(4)
                .for_each(|(_, value)| _ = (text(value), Attributes(value).count()));
        }
    }
}
