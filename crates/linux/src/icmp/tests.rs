use super::*;
use crate::testing::Scratch;
use std::time::{Duration, Instant};

fn answer(pinger: &Pinger) -> Option<(IpAddr, u64)> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let answer = pinger.receive();
        if answer.is_some() || Instant::now() > deadline {
            return answer;
        }
        std::thread::yield_now();
    }
}

fn in_scratch(test: impl FnOnce() + Send) {
    Scratch::new().run(test).unwrap();
}

#[test]
fn hosts_answer_in_both_families_and_only_to_who_asked() {
    in_scratch(|| {
        let (pinger, other) = (Pinger::open(7).unwrap(), Pinger::open(8).unwrap());
        for (index, to) in ["127.0.0.1", "127.0.0.2", "::1"].iter().enumerate() {
            let to: IpAddr = to.parse().unwrap();
            let number = u64::MAX - index as u64;
            pinger.send(to, number).unwrap();
            assert_eq!(answer(&pinger), Some((to, number)));
            assert_eq!(other.receive(), None);
        }
        assert_eq!(pinger.receive(), None);
    });
}

#[test]
fn what_can_not_be_sent_is_told() {
    in_scratch(|| {
        let pinger = Pinger::open(7).unwrap();
        let error = pinger.send([192, 0, 2, 1].into(), 1).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENETUNREACH));
        assert_eq!(pinger.receive(), None);
    });
}
