//! What a worker has before it: partitions that are its own, and in them the reports of each client in
//! their order. No I/O, and time comes in.
//!
//! Of one client at most one report is handed out at a time. What is handed out stays known until Redis has
//! taken it out, also while it waits because it was given back, so that reading a partition again brings
//! nothing twice.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use switchboard_event::SocketId;
use switchboard_hub::Report;
use switchboard_hub::portal::ReportId;
use switchboard_redis::work::{Claim, Entry, EntryId};
use tokio::time::Instant;

/// Most reports of one partition that a worker holds. A client that sends faster than it is served holds
/// up those of its partition, and no others.
pub(crate) const HELD_MAX: usize = 64;

/// How long a report that was given back waits before it is handed out again.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a report stands.
pub(crate) type Spot = (u16, EntryId);

/// A report that is to be worked on.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) spot: Spot,
    pub(crate) id: ReportId,
    pub(crate) report: Report,
    pub(crate) redelivered: bool,
}

#[derive(Default)]
pub(crate) struct Desk {
    partitions: HashMap<u16, Partition>,
    clients: HashMap<SocketId, Client>,
    /// Clients of whom something can be handed out, each once.
    ready: VecDeque<SocketId>,
    /// Clients whose last report was given back, and until when they wait.
    paused: VecDeque<(Instant, SocketId)>,
    /// Handed out, given back, or done and still in Redis.
    known: HashSet<Spot>,
    done: Vec<Spot>,
    /// Given back: begun, not handled, and waiting to be handed out again.
    begun: HashSet<Spot>,
    /// Until when the partitions are surely this worker's.
    lease_ends: Option<Instant>,
    /// How often a partition was taken; tells one time from the next.
    taken: u64,
}

struct Partition {
    /// The last entry that was read.
    cursor: EntryId,
    /// Which time of owning it this is.
    tenure: u64,
    /// What was there up to then may have been worked on by one that died.
    repeats_until_ms: u64,
    /// It is to be given up when nothing of it is at work.
    leaving: bool,
    waiting: usize,
    at_work: usize,
}

#[derive(Default)]
struct Client {
    busy: bool,
    waiting: VecDeque<Task>,
}

/// What is to be read: a partition from an entry on, in one time of owning it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) partition: u16,
    pub(crate) after: EntryId,
    tenure: u64,
}

impl Desk {
    /// The partitions to give up now: nothing of them is at work, and what was done is taken out.
    pub(crate) fn to_give_up(&self) -> Vec<u16> {
        let is_over = |(number, one): &(&u16, &Partition)| one.leaving && self.is_clean(**number, one);
        self.partitions.iter().filter(is_over).map(|(number, _)| *number).collect()
    }

    /// The partitions in which nothing is left undone that was begun.
    pub(crate) fn clean(&self) -> Vec<u16> {
        let is_clean = |(number, one): &(&u16, &Partition)| self.is_clean(**number, one);
        self.partitions.iter().filter(is_clean).map(|(number, _)| *number).collect()
    }

    fn is_clean(&self, number: u16, partition: &Partition) -> bool {
        let is_of = |spot: &Spot| spot.0 == number;
        partition.at_work == 0 && !self.done.iter().any(is_of) && !self.begun.iter().any(is_of)
    }

    /// Takes what Redis said: some partitions come, some go, and of those that are too many some begin to
    /// leave.
    pub(crate) fn claim(&mut self, claim: &Claim, given_up: &[u16], lease_ends: Instant) {
        self.lease_ends = Some(lease_ends);
        let gone: Vec<u16> = self
            .partitions
            .keys()
            .filter(|number| given_up.contains(number) || !claim.owned.iter().any(|(own, _)| own == *number))
            .copied()
            .collect();
        gone.into_iter().for_each(|number| self.lose(number));
        for (number, died) in &claim.owned {
            if !self.partitions.contains_key(number) {
                self.taken += 1;
                let at_work = self.at_work_in(*number);
                let partition = Partition {
                    cursor: EntryId::default(),
                    tenure: self.taken,
                    repeats_until_ms: if *died { claim.now_ms } else { 0 },
                    leaving: false,
                    waiting: 0,
                    at_work,
                };
                self.partitions.insert(*number, partition);
            }
        }
        self.even_out(claim.share);
    }

    /// Those with the least before them leave first.
    fn even_out(&mut self, share: usize) {
        let mut numbers: Vec<u16> = self.partitions.keys().copied().collect();
        numbers.sort_by_key(|number| {
            let one = &self.partitions[number];
            (!one.leaving, one.waiting + one.at_work, *number)
        });
        let too_many = numbers.len().saturating_sub(share);
        for (place, number) in numbers.into_iter().enumerate() {
            let leaves = place < too_many;
            let partition = self.partitions.get_mut(&number).expect("it is one of the keys");
            if partition.leaving != leaves {
                partition.leaving = leaves;
                self.read_again(number);
            }
        }
    }

    /// How much of a partition is at work, perhaps since a time before.
    fn at_work_in(&self, number: u16) -> usize {
        let done: HashSet<&Spot> = self.done.iter().collect();
        self.known.iter().filter(|spot| spot.0 == number && !done.contains(spot)).count()
    }

    /// Forgets what waits in a partition and reads it from its beginning. What was given back waits on: it is
    /// known, and must be over before a partition that is not read any more can be given up.
    fn read_again(&mut self, number: u16) {
        self.drop_waiting(number);
        self.taken += 1;
        let waiting = self.begun.iter().filter(|spot| spot.0 == number).count();
        if let Some(partition) = self.partitions.get_mut(&number) {
            (partition.cursor, partition.tenure, partition.waiting) =
                (EntryId::default(), self.taken, waiting);
        }
    }

    /// After a time without connection: what was read may not be what is there.
    pub(crate) fn read_all_again(&mut self) {
        let numbers: Vec<u16> = self.partitions.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.read_again(number));
    }

    /// Drops what waits in a partition and nobody has begun.
    fn drop_waiting(&mut self, number: u16) {
        self.clients.retain(|_, client| {
            client.waiting.retain(|task| task.spot.0 != number || self.begun.contains(&task.spot));
            client.busy || !client.waiting.is_empty()
        });
        self.ready.retain(|socket| self.clients.contains_key(socket));
    }

    /// It is another's. What is at work goes on, and is not taken out.
    fn lose(&mut self, number: u16) {
        let is_of = |spot: &Spot| spot.0 == number;
        let mut lost: HashSet<Spot> = self.begun.extract_if(is_of).collect();
        lost.extend(self.done.extract_if(.., |spot| is_of(spot)));
        self.known.retain(|spot| !lost.contains(spot));
        self.drop_waiting(number);
        self.partitions.remove(&number);
    }

    /// Loses everything if the lease has ended.
    pub(crate) fn check_lease(&mut self, now: Instant) {
        if self.lease_ends.is_some_and(|end| end <= now) {
            self.lease_ends = None;
            let numbers: Vec<u16> = self.partitions.keys().copied().collect();
            numbers.into_iter().for_each(|number| self.lose(number));
        }
    }

    /// What to read now; and whether anything else is to be read as soon as there is room for it.
    pub(crate) fn wanted(&self) -> (Vec<Wanted>, bool) {
        let has_room = |one: &Partition| one.waiting + one.at_work <= HELD_MAX / 2;
        let staying = || self.partitions.iter().filter(|(_, one)| !one.leaving);
        let wanted = staying().filter(|(_, one)| has_room(one));
        let wanted =
            wanted.map(|(number, one)| Wanted { partition: *number, after: one.cursor, tenure: one.tenure });
        (wanted.collect(), staying().any(|(_, one)| !has_room(one)))
    }

    /// Takes what was read. What is no report is done at once.
    pub(crate) fn add(&mut self, wanted: &[Wanted], entries: Vec<Entry>) {
        for Entry { partition: number, id: entry, report } in entries {
            let Some(partition) = self.partitions.get_mut(&number) else { continue };
            let asked = wanted.iter().any(|one| one.partition == number && one.tenure == partition.tenure);
            // It was lost in the meantime, or has been read from its beginning since.
            if !asked || entry <= partition.cursor {
                continue;
            }
            partition.cursor = entry;
            let spot = (number, entry);
            if self.known.contains(&spot) {
                continue;
            }
            let Some((id, report)) = report else {
                self.known.insert(spot);
                self.done.push(spot);
                continue;
            };
            partition.waiting += 1;
            let redelivered = entry.ms <= partition.repeats_until_ms;
            let socket = report.socket;
            let client = self.clients.entry(socket).or_default();
            client.waiting.push_back(Task { spot, id, report, redelivered });
            if !client.busy && client.waiting.len() == 1 {
                self.ready.push_back(socket);
            }
        }
    }

    /// Hands out the next report whose client has none at work.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Task> {
        self.check_lease(now);
        while let Some((_, socket)) = self.paused.pop_front_if(|(until, _)| *until <= now) {
            self.free(socket);
        }
        let socket = self.ready.pop_front()?;
        let client = self.clients.get_mut(&socket)?;
        let task = client.waiting.pop_front()?;
        client.busy = true;
        self.known.insert(task.spot);
        self.begun.remove(&task.spot);
        if let Some(partition) = self.partitions.get_mut(&task.spot.0) {
            partition.waiting -= 1;
            partition.at_work += 1;
        }
        Some(task)
    }

    /// When somebody who waits should look again.
    pub(crate) fn next_pause_ends(&self) -> Option<Instant> {
        self.paused.front().map(|(until, _)| *until)
    }

    /// A report was handled.
    pub(crate) fn finish(&mut self, task: &Task) {
        self.end(task);
        match self.partitions.contains_key(&task.spot.0) {
            true => self.done.push(task.spot),
            false => {
                self.known.remove(&task.spot);
            }
        }
        self.free(task.report.socket);
    }

    /// A report was not handled: it is the next of its client again.
    pub(crate) fn give_back(&mut self, mut task: Task, now: Instant) {
        self.end(&task);
        let socket = task.report.socket;
        match self.partitions.get_mut(&task.spot.0) {
            Some(partition) => {
                partition.waiting += 1;
                task.redelivered = true;
                self.begun.insert(task.spot);
                let client = self.clients.entry(socket).or_default();
                client.waiting.push_front(task);
            }
            None => {
                self.known.remove(&task.spot);
            }
        }
        self.paused.push_back((now + PAUSE, socket));
    }

    fn end(&mut self, task: &Task) {
        if let Some(partition) = self.partitions.get_mut(&task.spot.0) {
            partition.at_work -= 1;
        }
    }

    fn free(&mut self, socket: SocketId) {
        let Some(client) = self.clients.get_mut(&socket) else { return };
        client.busy = false;
        match client.waiting.is_empty() {
            true => {
                self.clients.remove(&socket);
            }
            false => self.ready.push_back(socket),
        }
    }

    /// Whether something was handed out and is not over.
    pub(crate) fn is_at_work(&self) -> bool {
        self.known.len() > self.done.len() + self.begun.len()
    }

    /// What is to be taken out of Redis.
    pub(crate) fn done(&self) -> &[Spot] {
        &self.done
    }

    /// Redis has taken these out.
    pub(crate) fn taken_out(&mut self, spots: &[Spot]) {
        let spots: HashSet<&Spot> = spots.iter().collect();
        self.done.retain(|spot| !spots.contains(spot));
        self.known.retain(|spot| !spots.contains(spot));
    }
}

#[cfg(test)]
mod tests {
    use switchboard_event::{Dialect, Name, NodeId};
    use switchboard_hub::Deed;

    use super::*;

    fn entry(partition: u16, number: u64, socket: SocketId) -> Entry {
        let project = Name::new("p").unwrap();
        let report = Report {
            project,
            socket,
            dialect: Dialect::Emit,
            user: None,
            time_ms: 0,
            deed: Deed::Connection,
        };
        let id = ReportId { node: NodeId(1), number };
        Entry { partition, id: EntryId { ms: number, number: 0 }, report: Some((id, report)) }
    }

    fn claim(share: usize, owned: &[(u16, bool)]) -> Claim {
        Claim { now_ms: 10, share, owned: owned.to_vec() }
    }

    /// A desk with some partitions, and a time before the end of its lease.
    fn desk(owned: &[(u16, bool)]) -> (Desk, Instant) {
        let (mut desk, now) = (Desk::default(), Instant::now());
        desk.claim(&claim(owned.len(), owned), &[], now + PAUSE * 10);
        (desk, now)
    }

    fn read(desk: &mut Desk, entries: Vec<Entry>) {
        let (wanted, _) = desk.wanted();
        desk.add(&wanted, entries);
    }

    fn numbers(desk: &mut Desk, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| desk.take(now)).map(|task| task.id.number).collect()
    }

    #[test]
    fn of_a_client_one_is_handed_out_and_what_is_done_brings_the_next() {
        let (mut desk, now) = desk(&[(0, false)]);
        let (ann, bob) = (SocketId::random(), SocketId::random());
        read(&mut desk, vec![entry(0, 1, ann), entry(0, 2, ann), entry(0, 3, bob)]);
        let first = desk.take(now).unwrap();
        assert_eq!(numbers(&mut desk, now), [3]);
        desk.finish(&first);
        assert_eq!(desk.done(), [first.spot]);
        assert_eq!(numbers(&mut desk, now), [2]);
        // As after a time without connection, before Redis has taken it out.
        desk.read_all_again();
        read(&mut desk, vec![entry(0, 1, ann), entry(0, 2, ann), entry(0, 3, bob), entry(0, 4, bob)]);
        assert_eq!(numbers(&mut desk, now), [] as [u64; 0], "bob's third is at work");
        desk.taken_out(&[first.spot]);
        assert_eq!(desk.done(), []);
    }

    #[test]
    fn a_lost_partition_is_forgotten_and_what_was_at_work_is_not_taken_out() {
        let (mut desk, now) = desk(&[(0, false), (1, false)]);
        let (ann, bob) = (SocketId::random(), SocketId::random());
        read(&mut desk, vec![entry(0, 1, ann), entry(0, 2, ann), entry(1, 3, bob)]);
        let tasks = [desk.take(now).unwrap(), desk.take(now).unwrap()];
        desk.claim(&claim(1, &[(1, false)]), &[], now + PAUSE);
        tasks.iter().for_each(|task| desk.finish(task));
        assert_eq!(desk.done(), [tasks[1].spot]);
        assert_eq!(numbers(&mut desk, now), [] as [u64; 0]);
        assert!(!desk.is_at_work());
    }

    #[test]
    fn a_partition_that_comes_back_brings_nothing_that_is_still_at_work() {
        let (mut desk, now) = desk(&[(0, false)]);
        let ann = SocketId::random();
        let entries = || vec![entry(0, 1, ann), entry(0, 2, ann)];
        read(&mut desk, entries());
        let (stale, _) = desk.wanted();
        let first = desk.take(now).unwrap();
        desk.claim(&claim(0, &[]), &[], now + PAUSE);
        desk.claim(&claim(1, &[(0, true)]), &[], now + PAUSE);
        desk.add(&stale, entries());
        assert!(desk.take(now).is_none());
        read(&mut desk, entries());
        assert!(desk.take(now).is_none(), "ann's first is at work");
        desk.finish(&first);
        let second = desk.take(now).unwrap();
        assert_eq!((second.id.number, second.redelivered), (2, true));
        assert_eq!(desk.done(), [first.spot]);
    }

    #[test]
    fn what_is_too_many_leaves_when_nothing_of_it_is_at_work() {
        let (mut desk, now) = desk(&[(0, false), (1, false)]);
        read(&mut desk, vec![entry(0, 1, SocketId::random()), entry(1, 2, SocketId::random())]);
        let task = desk.take(now).unwrap();
        desk.claim(&claim(0, &[(0, false), (1, false)]), &[], now + PAUSE);
        assert_eq!(desk.to_give_up(), [1 - task.spot.0]);
        assert!(desk.take(now).is_none() && desk.wanted().0.is_empty());
        desk.finish(&task);
        assert_eq!(desk.to_give_up().len(), 1, "it is not taken out yet");
        desk.taken_out(&[task.spot]);
        assert_eq!(desk.to_give_up().len(), 2);
        desk.claim(&claim(1, &[(0, false)]), &[1], now + PAUSE);
        assert_eq!(desk.wanted().0.len(), 1, "what need not leave is read again");
    }

    #[test]
    fn nothing_is_handed_out_behind_the_end_of_the_lease() {
        let (mut desk, now) = desk(&[(0, false)]);
        read(&mut desk, vec![entry(0, 1, SocketId::random())]);
        assert!(desk.take(now + PAUSE * 10).is_none());
        assert!(desk.wanted().0.is_empty());
    }

    #[test]
    fn what_is_given_back_waits_and_is_not_left_as_if_untouched() {
        let (mut desk, now) = desk(&[(0, false)]);
        let ann = SocketId::random();
        read(&mut desk, vec![entry(0, 1, ann), entry(0, 2, ann)]);
        let first = desk.take(now).unwrap();
        desk.give_back(first, now);
        assert!(desk.take(now).is_none());
        assert_eq!(desk.clean(), [] as [u16; 0]);
        let again = desk.take(desk.next_pause_ends().unwrap()).unwrap();
        assert_eq!((again.id.number, again.redelivered), (1, true));
    }

    #[test]
    fn what_is_given_back_and_read_again_is_handed_out_once() {
        let (mut desk, now) = desk(&[(0, false)]);
        let (ann, bob) = (SocketId::random(), SocketId::random());
        let entries = || vec![entry(0, 1, ann), entry(0, 2, ann), entry(0, 3, bob)];
        read(&mut desk, entries());
        let first = desk.take(now).unwrap();
        desk.read_all_again();
        desk.give_back(first, now);
        assert!(!desk.is_at_work(), "nobody waits for what was given back");
        read(&mut desk, entries());
        assert_eq!(numbers(&mut desk, now), [3]);
        let again = desk.take(now + PAUSE).unwrap();
        assert_eq!((again.id.number, again.redelivered), (1, true));
        desk.finish(&again);
        assert_eq!(numbers(&mut desk, now + PAUSE), [2]);
        assert_eq!(desk.done(), [again.spot]);
        assert!(desk.is_at_work(), "ann's second and bob's are");
    }

    #[test]
    fn what_waits_since_it_was_given_back_stays_the_next_of_its_client_whatever_is_read() {
        let (mut desk, now) = desk(&[(0, false)]);
        let ann = SocketId::random();
        let entries = || vec![entry(0, 1, ann), entry(0, 2, ann)];
        read(&mut desk, entries());
        let first = desk.take(now).unwrap();
        desk.give_back(first, now);
        for _ in 0..2 {
            desk.read_all_again();
            read(&mut desk, entries());
        }
        for number in [1, 2] {
            let task = desk.take(now + PAUSE).unwrap();
            assert_eq!((task.id.number, task.redelivered), (number, number == 1));
            desk.finish(&task);
        }
        assert!(desk.take(now + PAUSE).is_none() && !desk.is_at_work());
    }

    #[test]
    fn a_partition_leaves_though_reports_of_it_were_given_back() {
        let (mut desk, now) = desk(&[(0, false)]);
        let (ann, bob) = (SocketId::random(), SocketId::random());
        read(&mut desk, vec![entry(0, 1, ann), entry(0, 2, ann), entry(0, 3, bob)]);
        let (first, other) = (desk.take(now).unwrap(), desk.take(now).unwrap());
        desk.give_back(first, now);
        desk.claim(&claim(0, &[(0, false)]), &[], now + PAUSE * 10);
        desk.give_back(other, now);
        desk.read_all_again();
        assert_eq!(desk.to_give_up(), [] as [u16; 0], "the next owner would not know that it was begun");
        let begun = [desk.take(now + PAUSE).unwrap(), desk.take(now + PAUSE).unwrap()];
        assert_eq!(begun.each_ref().map(|task| task.id.number), [1, 3]);
        begun.iter().for_each(|task| desk.finish(task));
        assert!(desk.take(now + PAUSE).is_none(), "ann's second is for the next owner");
        desk.taken_out(&begun.map(|task| task.spot));
        assert_eq!(desk.to_give_up(), [0]);
    }

    #[test]
    fn what_was_given_back_is_forgotten_with_its_partition() {
        let (mut desk, now) = desk(&[(0, false)]);
        let ann = SocketId::random();
        read(&mut desk, vec![entry(0, 1, ann), entry(0, 2, ann)]);
        let first = desk.take(now).unwrap();
        desk.give_back(first, now);
        desk.claim(&claim(0, &[]), &[], now + PAUSE * 10);
        assert!(desk.take(now + PAUSE).is_none() && !desk.is_at_work());
        desk.claim(&claim(1, &[(0, true)]), &[], now + PAUSE * 10);
        assert_eq!(desk.clean(), [0]);
        read(&mut desk, vec![entry(0, 1, ann)]);
        assert_eq!(numbers(&mut desk, now + PAUSE), [1], "nobody has handled it meanwhile");
    }
}
