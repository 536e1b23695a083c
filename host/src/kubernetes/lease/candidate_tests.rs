//! Each decision by itself; and the law of the election over a model of the API server, in which
//! requests are late, answers are lost, and every wall clock is wrong.

use proptest::prelude::*;

use super::*;

const TERM: Duration = Duration::from_secs(15);

fn record(holder: &str, version: &str) -> Record {
    let at = Timestamp::from_second(1_800_000_000).ok();
    Record { holder: holder.into(), duration: TERM, acquired: at, renewed: at, transitions: 3, version: version.into() }
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

#[test]
fn nobody_holds_it_so_it_is_made() {
    let now = Instant::now();
    assert_eq!(decide(None, now, "a", now), Step::Create);
}

#[test]
fn a_holder_is_given_all_the_time_that_it_asked_for() {
    let (since, found) = (Instant::now(), record("b", "1"));
    let at = |seconds| decide(Some(&found), since, "a", since + Duration::from_secs(seconds));
    assert_eq!(at(0), Step::Wait(TERM));
    assert_eq!(at(14), Step::Wait(Duration::from_secs(1)));
    assert_eq!(at(15), Step::TakeOver);
    assert_eq!(at(1_000), Step::TakeOver);
}

#[test]
fn what_was_given_up_is_taken_at_once() {
    let now = Instant::now();
    assert_eq!(decide(Some(&record("", "1")), now, "a", now), Step::TakeOver);
}

#[test]
fn a_wall_clock_is_not_believed() {
    // Renewed in 1970 by its own word, and alive all the same.
    let now = Instant::now();
    let found = Record { renewed: Some(Timestamp::UNIX_EPOCH), ..record("b", "1") };
    assert_eq!(decide(Some(&found), now, "a", now), Step::Wait(TERM));
}

#[test]
fn a_lease_counts_whole_seconds() {
    for (asked, written) in [(0, 1), (1, 1), (500, 1), (1_000, 1), (1_001, 2), (15_000, 15)] {
        let candidate = Candidate::new("a", Duration::from_millis(asked));
        assert_eq!(candidate.duration(), Duration::from_secs(written), "{asked} ms");
    }
}

#[test]
fn taking_over_counts_and_renewing_does_not() {
    let now = Instant::now();
    let mut candidate = Candidate::new("a", TERM);
    assert_eq!(candidate.next(now, later(0)), Action::Read);
    candidate.saw(Some(record("b", "7")), now);
    assert_eq!(candidate.leader(), Some("b"));
    assert_eq!(candidate.next(now, later(0)), Action::Wait(TERM));

    let Action::Write(write) = candidate.next(now + TERM, later(20)) else { panic!("it is not taken over") };
    assert_eq!((write.record.transitions, &*write.record.version), (4, "7"));
    assert_eq!((write.record.acquired, write.record.renewed), (Some(later(20)), Some(later(20))));
    assert_eq!(candidate.leads(), None, "not before the server has said so");
    candidate.wrote(Record { version: "8".into(), ..write.record }, now + TERM);
    assert_eq!(candidate.leads(), Some(4));

    let Action::Write(write) = candidate.next(now + TERM, later(25)) else { panic!("it is not renewed") };
    assert_eq!((write.record.transitions, &*write.record.version), (4, "8"));
    assert_eq!((write.record.acquired, write.record.renewed), (Some(later(20)), Some(later(25))));
}

fn leader(now: Instant) -> Candidate {
    let mut candidate = Candidate::new("a", TERM);
    candidate.saw(None, now);
    let Action::Write(write) = candidate.next(now, later(0)) else { panic!("nothing is written") };
    assert!(write.creates());
    candidate.wrote(Record { version: "1".into(), ..write.record }, now);
    assert_eq!(candidate.leads(), Some(0));
    candidate
}

#[test]
fn each_renewal_differs_though_the_wall_clock_stands_still() {
    let now = Instant::now();
    let Action::Write(write) = leader(now).next(now, later(0)) else { panic!("it is not renewed") };
    assert_eq!(write.record.renewed.unwrap().as_microsecond(), later(0).as_microsecond() + 1);
}

#[test]
fn silence_does_not_end_leadership_and_another_holder_does() {
    let now = Instant::now();
    let mut candidate = leader(now);
    candidate.doubts();
    assert_eq!(candidate.leads(), Some(0));
    assert_eq!(candidate.next(now + 100 * TERM, later(1_500)), Action::Read);
    assert_eq!(candidate.leads(), Some(0));
    candidate.saw(None, now);
    assert_eq!(candidate.leads(), Some(0), "somebody deleted the Lease: it is made anew");
    candidate.saw(Some(record("b", "9")), now);
    assert_eq!((candidate.leads(), candidate.leader()), (None, Some("b")));
}

#[test]
fn who_was_demoted_begins_a_new_term() {
    let now = Instant::now();
    let mut candidate = leader(now);
    candidate.demote(None);
    assert_eq!((candidate.leads(), candidate.leader()), (None, None));
    let held = Record { version: "1".into(), transitions: 0, ..record("a", "1") };
    candidate.saw(Some(held), now);
    assert_eq!(candidate.leads(), None);
    let Action::Write(write) = candidate.next(now, later(5)) else { panic!("it is not renewed") };
    assert_eq!(write.record.transitions, 1);
    candidate.wrote(Record { version: "2".into(), ..write.record }, now);
    assert_eq!(candidate.leads(), Some(1));
}

#[test]
fn a_new_term_has_a_higher_number_than_any_that_is_known_of() {
    let now = Instant::now();
    let number = |candidate: &Candidate| match candidate.clone().next(now + TERM, later(20)) {
        Action::Write(write) => write.record.transitions,
        other => panic!("nothing is written: {other:?}"),
    };
    // The Lease was deleted, and it was seen before.
    let mut candidate = Candidate::new("a", TERM);
    candidate.saw(Some(record("b", "1")), now);
    candidate.saw(None, now);
    assert_eq!(number(&candidate), 4);
    // It was deleted before it was seen, and the database remembers.
    let mut candidate = leader(now);
    candidate.demote(Some(40));
    candidate.saw(None, now);
    assert_eq!(number(&candidate), 41);
}

#[test]
fn only_what_is_held_can_be_given_up() {
    let now = Instant::now();
    let mut candidate = leader(now);
    let write = candidate.give_up(later(5)).unwrap();
    assert_eq!((&*write.record.holder, &*write.record.version), ("", "1"));
    assert_eq!((candidate.leads(), candidate.give_up(later(6))), (None, None));
}

/// An API server with one Lease, and what is under way to it.
#[derive(Default)]
struct Server {
    /// Each term in the order in which it was given.
    terms: Vec<(u32, String)>,
    lease: Option<Record>,
    version: u64,
    /// Who made the Lease, as long as it is as it was made: the fields are still that one's.
    made_by: Option<String>,
}

impl Server {
    /// Server-side apply. `None`: 409.
    fn apply(&mut self, by: &str, write: &Write) -> Option<Record> {
        let found = self.lease.as_ref();
        let allowed = match found {
            // What is not there is made, even where a version was named.
            None => true,
            Some(_) if write.creates() => self.made_by.as_deref() == Some(by),
            Some(found) => found.version == write.record.version,
        };
        if !allowed {
            return None;
        }
        let same = found.is_some_and(|found| {
            Record { version: String::new(), ..found.clone() }
                == Record { version: String::new(), ..write.record.clone() }
        });
        // What is applied without a change is no change.
        if !same {
            self.version += 1;
        }
        self.made_by = write.creates().then(|| by.to_owned());
        let term = |record: &Record| (record.transitions, record.holder.clone());
        if !write.record.holder.is_empty() && found.is_none_or(|found| term(found) != term(&write.record)) {
            self.terms.push(term(&write.record));
        }
        self.lease = Some(Record { version: self.version.to_string(), ..write.record.clone() });
        self.lease.clone()
    }
}

#[derive(Debug, Clone)]
enum Request {
    Read,
    Write(Write),
}

#[derive(Debug, Clone)]
enum Answer {
    Found(Option<Record>),
    Took(Record),
    Conflict,
}

struct Pod {
    candidate: Candidate,
    identity: String,
    restarts: usize,
    /// Sent when, and the answer that is on its way back.
    under_way: Option<(Instant, Request, Option<Answer>)>,
    /// Until when the Lease is ours, counted from when the last renewal that was taken was sent.
    valid_until: Option<Instant>,
    /// Since when the local clock has run, and what the wall clock says.
    booted: Instant,
    wall: i64,
}

impl Pod {
    fn new(number: usize, booted: Instant, term: u64) -> Pod {
        let identity = format!("pod-{number}_0");
        let candidate = Candidate::new(&identity, Duration::from_secs(term));
        Pod { candidate, identity, restarts: 0, under_way: None, valid_until: None, booted, wall: 0 }
    }

    fn restart(&mut self, number: usize) {
        self.restarts += 1;
        self.identity = format!("pod-{number}_{}", self.restarts);
        self.candidate = Candidate::new(&self.identity, self.candidate.duration());
        (self.under_way, self.valid_until) = (None, None);
    }

    fn holds(&self, now: Instant) -> bool {
        self.candidate.leads().is_some() && self.valid_until.is_some_and(|until| now < until)
    }
}

#[derive(Debug, Clone)]
enum Event {
    /// So many milliseconds pass.
    Pass(u64),
    /// The wall clock of a pod is set.
    SetClock(usize, i64),
    /// A pod does what it wants to do next.
    Send(usize),
    /// The server does what a pod has asked for.
    Process(usize),
    /// The answer arrives.
    Deliver(usize),
    /// The pod no longer waits for the answer. What was not processed may still be.
    GiveUp(usize),
    /// Something that nobody waits for any more is processed.
    Straggle(prop::sample::Index),
    /// The database knows another leader.
    Demote(usize),
    /// The Lease is given up on the way out; the request may be late as any other.
    Resign(usize),
    /// SIGKILL, and a new pod in its place.
    Kill(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let pod = || 0..2_usize;
    prop_oneof![
        4 => prop_oneof![0..1_000_u64, 1_000..6_000_u64].prop_map(Event::Pass),
        1 => (pod(), -5_000..5_000_i64).prop_map(|(pod, wall)| Event::SetClock(pod, wall)),
        8 => pod().prop_map(Event::Send),
        8 => pod().prop_map(Event::Process),
        8 => pod().prop_map(Event::Deliver),
        2 => pod().prop_map(Event::GiveUp),
        2 => any::<prop::sample::Index>().prop_map(Event::Straggle),
        1 => pod().prop_map(Event::Demote),
        1 => pod().prop_map(Event::Resign),
        1 => pod().prop_map(Event::Kill),
    ]
}

struct World {
    now: Duration,
    server: Server,
    pods: [Pod; 2],
    stragglers: Vec<(String, Write)>,
    terms: Vec<(u32, String)>,
}

impl World {
    fn new(terms: (u64, u64)) -> World {
        let start = Instant::now();
        // The local clocks have nothing to do with each other but that both go forward.
        let booted = [start, start + Duration::from_secs(100_000)];
        World {
            now: Duration::ZERO,
            server: Server::default(),
            pods: [Pod::new(0, booted[0], terms.0), Pod::new(1, booted[1], terms.1)],
            stragglers: Vec::new(),
            terms: Vec::new(),
        }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Pass(millis) => self.now += Duration::from_millis(*millis),
            Event::SetClock(pod, wall) => self.pods[*pod].wall = *wall,
            Event::Send(number) => self.send(*number),
            Event::Process(number) => {
                let pod = &mut self.pods[*number];
                if let Some((_, request, answer @ None)) = &mut pod.under_way {
                    *answer = Some(match request {
                        Request::Read => Answer::Found(self.server.lease.clone()),
                        Request::Write(write) => match self.server.apply(&pod.identity, write) {
                            Some(record) => Answer::Took(record),
                            None => Answer::Conflict,
                        },
                    });
                }
            }
            Event::Deliver(number) => self.deliver(*number),
            Event::GiveUp(number) => self.give_up(*number),
            Event::Straggle(index) if !self.stragglers.is_empty() => {
                let (identity, write) = self.stragglers.remove(index.index(self.stragglers.len()));
                self.server.apply(&identity, &write);
            }
            Event::Straggle(_) => {}
            Event::Demote(number) => {
                // What was sent before says nothing of afterwards.
                self.give_up(*number);
                self.pods[*number].candidate.demote(None);
            }
            Event::Resign(number) => {
                let pod = &mut self.pods[*number];
                let wall = Timestamp::from_second(pod.wall).unwrap();
                if pod.under_way.is_none()
                    && let Some(write) = pod.candidate.give_up(wall)
                {
                    self.stragglers.push((pod.identity.clone(), write));
                    pod.restart(*number);
                }
            }
            Event::Kill(number) => {
                self.give_up(*number);
                self.pods[*number].restart(*number);
            }
        }
    }

    fn give_up(&mut self, number: usize) {
        let pod = &mut self.pods[number];
        if let Some((_, request, answer)) = pod.under_way.take() {
            if let (Request::Write(write), None) = (request, answer) {
                self.stragglers.push((pod.identity.clone(), write));
            }
            pod.candidate.doubts();
        }
    }

    fn send(&mut self, number: usize) {
        let pod = &mut self.pods[number];
        let local = pod.booted + self.now;
        if pod.under_way.is_some() {
            return;
        }
        pod.under_way = match pod.candidate.next(local, Timestamp::from_second(pod.wall).unwrap()) {
            Action::Read => Some((local, Request::Read, None)),
            Action::Write(write) => Some((local, Request::Write(write), None)),
            Action::Wait(_) => {
                pod.candidate.doubts();
                None
            }
        };
    }

    fn deliver(&mut self, number: usize) {
        let pod = &mut self.pods[number];
        let local = pod.booted + self.now;
        match pod.under_way.take() {
            Some((_, _, Some(Answer::Found(record)))) => pod.candidate.saw(record, local),
            Some((sent, _, Some(Answer::Took(record)))) => {
                let new = pod.candidate.leads().is_none();
                pod.valid_until = Some(sent + record.duration);
                pod.candidate.wrote(record, local);
                if let Some(term) = pod.candidate.leads().filter(|_| new) {
                    self.terms.push((term, pod.identity.clone()));
                }
            }
            Some((_, _, Some(Answer::Conflict))) => pod.candidate.doubts(),
            unanswered => pod.under_way = unanswered,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn there_are_never_two_that_hold_the_lease(
        terms in (1..16_u64, 1..16_u64),
        events in prop::collection::vec(event(), 0..200),
    ) {
        let mut world = World::new(terms);
        for event in &events {
            world.happen(event);
            let holding = world.pods.iter().filter(|pod| pod.holds(pod.booted + world.now)).count();
            prop_assert!(holding <= 1, "both hold the Lease after {event:?}");
        }
        // A term is one candidate's, and later terms have higher numbers: in the order in which the server gave
        // them. (A candidate may hear of its own so late that another's has begun; the ledger tells it then.)
        for pair in world.server.terms.windows(2) {
            prop_assert!(pair[0].0 < pair[1].0, "terms go back: {:?}", world.server.terms);
        }
        for led in &world.terms {
            prop_assert!(world.server.terms.contains(led), "{led:?} was never given: {:?}", world.server.terms);
        }
    }

    #[test]
    fn somebody_leads_before_long(events in prop::collection::vec(event(), 0..100)) {
        let mut world = World::new((15, 15));
        for event in &events {
            world.happen(event);
        }
        for _ in 0..40 {
            for number in 0..2 {
                for event in [Event::Send(number), Event::Process(number), Event::Deliver(number)] {
                    world.happen(&event);
                }
            }
            world.happen(&Event::Pass(1_500));
        }
        let leaders = world.pods.iter().filter(|pod| pod.candidate.leads().is_some()).count();
        prop_assert_eq!(leaders, 1);
    }
}
