//! What a candidate does next, from what it has seen of the Lease: no I/O, and the clocks are
//! arguments. As client-go does it, nobody's wall clock is trusted: a holder is gone when its record
//! did not change for as long as it asked for, by the *local* clock that only goes forward.
//!
//! ```text
//! read ──► record ──► decide ──┬──► Create    nobody ever held it
//!                              ├──► Renew     it is ours
//!                              ├──► TakeOver  given up, or silent for too long
//!                              └──► Wait      somebody else's, and alive
//! ```
//!
//! Every write names the version of the record that it stands on, so of two that are written at once
//! the server takes one. Whoever holds the Lease counts from before it sent its renewal, whoever waits
//! from after it saw that; so the one has run out when the other takes over.
//! Only who deletes the Lease by hand makes room at once.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The Lease as the server holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Identity of the holder; empty where it was given up.
    pub(super) holder: String,
    /// How long it is valid without being renewed.
    pub(super) duration: Duration,
    /// When this holder came to it, by its own clock: for people.
    pub(super) acquired: Option<Timestamp>,
    /// When it was last renewed, by the holder's clock: for people, and to be different each time.
    pub(super) renewed: Option<Timestamp>,
    /// How often it has changed hands.
    pub(super) transitions: u32,
    /// `metadata.resourceVersion`.
    pub(super) version: String,
}

/// A record, and when it was first seen by the local clock.
#[derive(Debug, Clone)]
struct Seen {
    record: Option<Record>,
    since: Instant,
}

/// What follows from what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// There is no Lease.
    Create,
    /// It is ours.
    Renew,
    /// Its holder is gone.
    TakeOver,
    /// Its holder may live: for how long nothing but looking is to be done.
    Wait(Duration),
}

/// Whose turn it is. `since` is when the record was first seen as it is.
pub(super) fn decide(record: Option<&Record>, since: Instant, me: &str, now: Instant) -> Step {
    let Some(record) = record else { return Step::Create };
    if record.holder == me {
        return Step::Renew;
    }
    let silent = now.saturating_duration_since(since);
    match record.duration.checked_sub(silent) {
        _ if record.holder.is_empty() => Step::TakeOver,
        Some(left) if !left.is_zero() => Step::Wait(left),
        _ => Step::TakeOver,
    }
}

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    /// As it is to be; `version` is that of the record that it replaces, empty if there must be none.
    pub(super) record: Record,
}

impl Write {
    /// Whether there must be no Lease yet.
    pub(super) fn creates(&self) -> bool {
        self.record.version.is_empty()
    }
}

/// What a candidate wants to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask the server for the Lease.
    Read,
    /// Write it.
    Write(Write),
    /// Nothing for so long, then read.
    Wait(Duration),
}

/// One that would like to lead.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    me: String,
    duration: Duration,
    seen: Option<Seen>,
    /// What was seen may no longer be so.
    doubtful: bool,
    /// The transitions of the Lease that we lead by.
    leads: Option<u32>,
    /// The highest number of a term that we know of. A Lease that was deleted knows none, but a
    /// later term has a higher number all the same.
    highest: Option<u32>,
    /// The time in the last record that we sent.
    sent: Option<Timestamp>,
}

impl Candidate {
    /// A candidate that has seen nothing yet. A Lease counts whole seconds, so `duration` is rounded
    /// up to them.
    pub(super) fn new(me: &str, duration: Duration) -> Candidate {
        let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
        let duration = Duration::from_secs(seconds.clamp(1, i32::MAX.unsigned_abs().into()));
        Candidate { me: me.to_owned(), duration, seen: None, doubtful: true, leads: None, highest: None, sent: None }
    }

    /// How long the Lease is valid without being renewed.
    pub(super) fn duration(&self) -> Duration {
        self.duration
    }

    /// What to do now. `wall` goes into the record, and nothing is decided by it.
    pub(super) fn next(&mut self, now: Instant, wall: Timestamp) -> Action {
        let Some(seen) = self.seen.as_ref().filter(|_| !self.doubtful) else { return Action::Read };
        match decide(seen.record.as_ref(), seen.since, &self.me, now) {
            Step::Wait(left) => Action::Wait(left),
            Step::Create | Step::Renew | Step::TakeOver => {
                let before = seen.record.clone();
                Action::Write(self.write(before.as_ref(), wall))
            }
        }
    }

    /// What we lead is renewed. What is ours without our leading, since we stepped down or never heard
    /// that we came to it, begins anew like what was another's.
    fn write(&mut self, before: Option<&Record>, wall: Timestamp) -> Write {
        let wall = Timestamp::from_microsecond(wall.as_microsecond()).unwrap_or(wall);
        let last = before.and_then(|record| record.renewed);
        // A record that is written as it was does not change, and who does not change is taken for gone. That of
        // before may be one that we sent ourselves, gave up, and never heard of again.
        let renewed = self.sent.map_or(wall, |sent| wall.max(next_microsecond(sent)));
        let renewed = if last == Some(renewed) { next_microsecond(renewed) } else { renewed };
        self.sent = Some(renewed);
        let acquired = before.and_then(|record| record.acquired).filter(|_| self.leads.is_some()).unwrap_or(renewed);
        let transitions = match self.leads {
            Some(ours) => ours,
            None => self.highest.map_or(0, |highest| highest.saturating_add(1)),
        };
        Write {
            record: Record {
                holder: self.me.clone(),
                duration: self.duration,
                acquired: Some(acquired),
                renewed: Some(renewed),
                transitions,
                version: before.map(|record| record.version.clone()).unwrap_or_default(),
            },
        }
    }

    /// What gives the Lease up, if it is ours: another may take it at once. We no longer lead from
    /// here on, whatever becomes of it.
    pub(super) fn give_up(&mut self, wall: Timestamp) -> Option<Write> {
        let before = self.record().filter(|record| self.leads.is_some() && record.holder == self.me).cloned();
        let mut write = before.map(|before| self.write(Some(&before), wall));
        if let Some(write) = &mut write {
            write.record.holder.clear();
        }
        self.leads = None;
        write
    }

    /// The server's answer to a read.
    pub(super) fn saw(&mut self, record: Option<Record>, now: Instant) {
        if let Some(record) = &record {
            self.highest = self.highest.max(Some(record.transitions));
            if record.holder != self.me {
                self.leads = None;
            }
        }
        self.doubtful = false;
        if self.seen.as_ref().is_none_or(|seen| seen.record != record) {
            self.seen = Some(Seen { record, since: now });
        }
    }

    /// The server's answer to a write that it took: the Lease is ours.
    pub(super) fn wrote(&mut self, record: Record, now: Instant) {
        let leads = (record.holder == self.me).then_some(record.transitions);
        self.saw(Some(record), now);
        self.leads = leads;
    }

    /// What was seen may have changed: a write met another, or has no answer, or time has passed.
    pub(super) fn doubts(&mut self) {
        self.doubtful = true;
    }

    /// Somebody knows better that we do not lead, and which term came after ours.
    pub(super) fn demote(&mut self, by: Option<u32>) {
        self.highest = self.highest.max(by);
        self.leads = None;
        self.doubtful = true;
    }

    /// Whether we lead: by the Lease with how many transitions. Not hearing from the server does not
    /// end it, nor does a Lease that was deleted; another holder does.
    pub(super) fn leads(&self) -> Option<u32> {
        self.leads
    }

    /// Who holds the Lease, as far as known; nobody, if it is ours without our leading.
    pub(super) fn leader(&self) -> Option<&str> {
        self.record().map(|record| record.holder.as_str()).filter(|holder| !holder.is_empty() && *holder != self.me)
    }

    /// Whether the server has answered at all.
    pub(super) fn knows(&self) -> bool {
        self.seen.is_some()
    }

    fn record(&self) -> Option<&Record> {
        self.seen.as_ref()?.record.as_ref()
    }
}

fn next_microsecond(wall: Timestamp) -> Timestamp {
    wall.as_microsecond().checked_add(1).and_then(|next| Timestamp::from_microsecond(next).ok()).unwrap_or(wall)
}

#[cfg(test)]
#[path = "candidate_tests.rs"]
mod tests;
