//! One that is asked.

use super::{
    ANSWERS_MIN, INTERVAL, INTERVAL_SUSPECT, INTERVAL_UNKNOWN, MISSES_MAX, PATIENCE, PAUSE_MAX,
    RETURN_WITHIN, mix,
};
use std::{net::IpAddr, time::Duration};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has never answered, or not often enough.
    Unknown,
    Well,
    /// Not all questions since its last answer were answered.
    Suspect,
    Down,
    /// It answers, and is well again at this time.
    Returns(Duration),
}

#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub address: IpAddr,
    pub state: State,
    /// Its last answer, or when it was first known.
    pub heard: Duration,
    /// When it was asked the first of the questions that it has not answered, if it is suspect.
    pub lost: Duration,
    /// When it is asked next.
    pub due: Duration,
    /// Asked all the time, and not in its turn.
    pub steady: bool,
    kinship: u64,
    /// So many answers in a row make it well for the first time.
    proof: u32,
    missed: u32,
    /// Somebody else has told that it may be down.
    hearsay: bool,
    answers: u32,
    /// How often it came back, so that no two pauses are alike.
    returns: u64,
}

impl Watch {
    pub fn new(address: IpAddr, kinship: u64, proof: u32, now: Duration) -> Watch {
        let phase = kinship % INTERVAL.as_millis() as u64;
        Watch {
            address,
            state: State::Unknown,
            heard: now,
            lost: now,
            due: now + Duration::from_millis(phase),
            steady: false,
            kinship,
            proof,
            missed: 0,
            hearsay: false,
            answers: 0,
            returns: 0,
        }
    }

    pub fn is_down(&self) -> bool {
        matches!(self.state, State::Down | State::Returns(_))
    }

    /// Whether it was well, and has left this many questions in a row without an answer since.
    pub fn has_missed(&self, count: u32) -> bool {
        self.state == State::Suspect && self.missed >= count
    }

    /// Whether just now so many questions in a row have had no answer, and nobody else was the first to find out.
    pub fn is_own_doubt(&self, count: u32) -> bool {
        self.state == State::Suspect && self.missed == count && !self.hearsay
    }

    /// Whether it has answered so lately that whoever has died since was not yet found out.
    pub fn is_heard(&self, now: Duration) -> bool {
        let is_proven = matches!(self.state, State::Well | State::Suspect);
        is_proven && now.saturating_sub(self.heard) <= INTERVAL + PATIENCE
    }

    /// It is asked at once, unless it has answered just now.
    pub fn suspect(&mut self, now: Duration) {
        if self.state == State::Well && now.saturating_sub(self.heard) >= INTERVAL {
            self.state = State::Suspect;
            self.lost = now;
            self.due = now;
        }
    }

    /// The same, since somebody else has told so.
    pub fn doubt(&mut self, now: Duration) {
        let was_well = self.state == State::Well;
        self.suspect(now);
        self.hearsay |= was_well && self.state == State::Suspect;
    }

    /// Whether it is asked at times of its own.
    pub fn is_watched(&self) -> bool {
        let is_proving = self.state == State::Unknown && self.answers > 0;
        self.steady || self.is_down() || self.state == State::Suspect || is_proving
    }

    /// It is asked now: `interval` is how often usually, `stretch` by how much rarer while it is down.
    pub fn ask(&mut self, interval: Duration, stretch: u32, now: Duration) {
        self.due = now
            + match self.state {
                State::Suspect => INTERVAL_SUSPECT,
                State::Unknown if self.missed >= MISSES_MAX => INTERVAL_UNKNOWN,
                State::Unknown | State::Well => interval,
                State::Down | State::Returns(_) => interval * stretch.max(1),
            };
    }

    pub fn answered(&mut self, now: Duration) {
        let pause = now.saturating_sub(self.heard);
        self.heard = now;
        self.missed = 0;
        self.hearsay = false;
        match self.state {
            State::Unknown => {
                self.answers += 1;
                if self.answers >= self.proof {
                    self.state = State::Well;
                }
            }
            State::Well => {}
            State::Suspect => {
                self.state = State::Well;
                self.due = now + INTERVAL;
            }
            State::Down => {
                self.answers = if pause > PAUSE_MAX.max(self.due.saturating_sub(now) * 3) {
                    1
                } else {
                    self.answers + 1
                };
                if self.answers >= ANSWERS_MIN {
                    self.returns += 1;
                    let within = RETURN_WITHIN.as_millis() as u64;
                    let pause = mix(self.kinship ^ self.returns) % within;
                    self.state = State::Returns(now + Duration::from_millis(pause));
                }
            }
            State::Returns(_) => {}
        }
    }

    pub fn missed(&mut self, now: Duration) {
        self.missed += 1;
        match self.state {
            State::Unknown => self.answers = 0,
            State::Well => {
                self.state = State::Suspect;
                self.lost = now.saturating_sub(PATIENCE);
                self.due = now;
            }
            State::Returns(_) if now.saturating_sub(self.heard) > PAUSE_MAX => self.fall(),
            State::Suspect | State::Down | State::Returns(_) => {}
        }
    }

    pub fn fall(&mut self) {
        self.state = State::Down;
        self.answers = 0;
    }

    /// It is as if it had never answered.
    pub fn forget(&mut self) {
        self.state = State::Unknown;
        self.answers = 0;
        self.missed = 0;
        self.hearsay = false;
    }

    #[cfg(test)]
    pub fn answers(&self) -> u32 {
        self.answers
    }

    /// Its return is due.
    pub fn settle(&mut self, now: Duration) -> bool {
        let is_back = matches!(self.state, State::Returns(at) if now >= at);
        if is_back {
            self.state = State::Well;
        }
        is_back
    }
}
