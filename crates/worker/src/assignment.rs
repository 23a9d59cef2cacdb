//! The partitions assigned to a worker, and their reports in per-client order. No I/O; the caller passes the time.
//!
//! A worker reads the streams of its partitions into one queue per client and hands out at most one report
//! of a client at a time. It renews its claim with Redis; a claim may add partitions, take some away, or ask
//! the worker to release some so that another worker gets its share.

use std::collections::HashMap;
use std::time::Duration;

use switchboard_redis::worker::{ClaimReply, EntryId, ReportEntry};
use tokio::time::Instant;

use crate::client_queues::ClientQueues;
use crate::delivery::{Delivery, EntryKey};
use crate::outstanding::Outstanding;

/// Maximum number of reports of one partition that a worker holds. A client that sends faster than its reports are handled
/// delays the other clients of its partition only.
pub(crate) const HELD_MAX: usize = 64;

/// Bytes of the waiting reports of a partition above which it is not read.
const WAITING_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How long a returned report waits before it is handed out again.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Assignment {
    partitions: HashMap<u16, Partition>,
    clients: ClientQueues,
    outstanding: Outstanding,
    /// Until when no other worker can own the partitions.
    lease_ends: Option<Instant>,
    last_tenure: u64,
}

struct Partition {
    /// The last entry that was read.
    cursor: EntryId,
    /// Numbers the times that this worker read the partition from its beginning, so that the result of an
    /// earlier read is recognized.
    tenure: u64,
    /// Entries up to this time may have been handed out by a previous owner that lost its lease.
    redelivered_until_ms: u64,
    /// To be released as soon as no report of it is in progress.
    releasing: bool,
    /// Reports that are queued here.
    waiting: usize,
    in_progress: usize,
}

/// A read to perform: the entries of a partition after one entry, during one tenure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fetch {
    pub(crate) partition: u16,
    pub(crate) after: EntryId,
    tenure: u64,
}

impl Partition {
    fn held(&self) -> usize {
        self.waiting + self.in_progress
    }
}

impl Assignment {
    /// The partitions to release now: none of their reports is in progress, and Redis has removed the
    /// acknowledged ones.
    pub(crate) fn releasable(&self) -> Vec<u16> {
        let releasing = self.partitions.iter().filter(|(_, partition)| partition.releasing);
        releasing.map(|(number, _)| *number).filter(|number| self.is_settled(*number)).collect()
    }

    /// The partitions in which every report that was handed out is acknowledged and removed from Redis.
    pub(crate) fn settled(&self) -> Vec<u16> {
        self.partitions.keys().copied().filter(|number| self.is_settled(*number)).collect()
    }

    fn is_settled(&self, number: u16) -> bool {
        let idle = self.partitions.get(&number).is_none_or(|partition| partition.in_progress == 0);
        idle && self.outstanding.is_settled(number)
    }

    /// Applies the reply to a claim: adds new partitions, forgets lost and released ones, and marks
    /// those beyond the worker's share for release.
    pub(crate) fn apply_claim(&mut self, claim: &ClaimReply, released: &[u16], lease_ends: Instant) {
        self.lease_ends = Some(lease_ends);
        let is_owned = |number: &u16| claim.owned.iter().any(|(owned, _)| owned == number);
        let is_lost = |number: &u16| released.contains(number) || !is_owned(number);
        let lost: Vec<u16> = self.partitions.keys().copied().filter(is_lost).collect();
        lost.into_iter().for_each(|number| self.lose(number));
        for (number, previous_owner_died) in &claim.owned {
            if !self.partitions.contains_key(number) {
                self.gain(*number, if *previous_owner_died { claim.now_ms } else { 0 });
            }
        }
        self.mark_excess(claim.share);
    }

    fn gain(&mut self, number: u16, redelivered_until_ms: u64) {
        self.last_tenure += 1;
        let partition = Partition {
            cursor: EntryId::default(),
            tenure: self.last_tenure,
            redelivered_until_ms,
            releasing: false,
            waiting: 0,
            in_progress: self.outstanding.in_progress_in(number),
        };
        self.partitions.insert(number, partition);
    }

    /// Marks partitions beyond the share for release: first those marked before, then those that hold the
    /// fewest reports.
    fn mark_excess(&mut self, share: usize) {
        let mut numbers: Vec<u16> = self.partitions.keys().copied().collect();
        numbers.sort_by_key(|number| {
            let partition = &self.partitions[number];
            (!partition.releasing, partition.held(), *number)
        });
        let excess = numbers.len().saturating_sub(share);
        for (rank, number) in numbers.into_iter().enumerate() {
            let releasing = rank < excess;
            let partition = self.partitions.get_mut(&number).expect("it is one of the keys");
            if partition.releasing != releasing {
                partition.releasing = releasing;
                self.rewind(number);
            }
        }
    }

    /// Drops the waiting reports of a partition and reads it from its beginning. Returned reports stay queued:
    /// they must be acknowledged before the partition can be released, and a partition that is being released
    /// is not read.
    fn rewind(&mut self, number: u16) {
        self.drop_waiting(number);
        self.last_tenure += 1;
        let waiting = self.outstanding.returned_in(number);
        if let Some(partition) = self.partitions.get_mut(&number) {
            (partition.cursor, partition.tenure, partition.waiting) =
                (EntryId::default(), self.last_tenure, waiting);
        }
    }

    /// Reads every partition again. To be called after a reconnect: Redis may hold different entries now.
    pub(crate) fn rewind_all(&mut self) {
        let numbers: Vec<u16> = self.partitions.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.rewind(number));
    }

    /// Drops the waiting reports of a partition that were never handed out.
    fn drop_waiting(&mut self, number: u16) {
        let outstanding = &self.outstanding;
        self.clients.retain(|delivery| delivery.entry.0 != number || outstanding.is_returned(delivery.entry));
    }

    /// Forgets a partition that another worker owns now. Reports in progress continue, but their entries are not
    /// removed from Redis.
    fn lose(&mut self, number: u16) {
        self.outstanding.forget_partition(number);
        self.drop_waiting(number);
        self.partitions.remove(&number);
    }

    /// Forgets all partitions if the lease has ended.
    pub(crate) fn check_lease(&mut self, now: Instant) {
        if self.lease_ends.is_some_and(|end| end <= now) {
            self.lease_ends = None;
            let numbers: Vec<u16> = self.partitions.keys().copied().collect();
            numbers.into_iter().for_each(|number| self.lose(number));
        }
    }

    /// The reads to perform now, and whether a further partition is to be read as soon as it has space.
    pub(crate) fn fetches(&self) -> (Vec<Fetch>, bool) {
        let staying = self.partitions.iter().filter(|(_, partition)| !partition.releasing);
        let has_space = |number: &u16, partition: &Partition| {
            partition.held() <= HELD_MAX / 2 && self.clients.waiting_bytes(*number) <= WAITING_BYTES_MAX
        };
        let (mut fetches, mut any_full) = (Vec::new(), false);
        for (number, partition) in staying {
            if has_space(number, partition) {
                fetches.push(Fetch { partition: *number, after: partition.cursor, tenure: partition.tenure });
            } else {
                any_full = true;
            }
        }
        (fetches, any_full)
    }

    /// Queues the entries that were read. An entry that is not a valid report is acknowledged at once.
    pub(crate) fn add(&mut self, fetches: &[Fetch], entries: Vec<ReportEntry>) {
        for ReportEntry { partition: number, id: entry_id, report } in entries {
            let Some(partition) = self.partitions.get_mut(&number) else { continue };
            let is_current =
                fetches.iter().any(|fetch| fetch.partition == number && fetch.tenure == partition.tenure);
            // Since the read began, the partition was lost or is read from its beginning again.
            if !is_current || entry_id <= partition.cursor {
                continue;
            }
            partition.cursor = entry_id;
            let entry = (number, entry_id);
            if self.outstanding.contains(entry) {
                continue;
            }
            let Some((id, report)) = report else {
                self.outstanding.acknowledge(entry);
                continue;
            };
            partition.waiting += 1;
            let redelivered = entry_id.ms <= partition.redelivered_until_ms;
            self.clients.push_back(Delivery { entry, id, report, redelivered });
        }
    }

    /// Hands out the next report of a client that has none in progress.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Delivery> {
        self.check_lease(now);
        let delivery = self.clients.pop(now)?;
        Some(self.hand_out(delivery))
    }

    /// Hands out the report that follows one in progress, of the same client.
    pub(crate) fn take_following(&mut self, earlier: &Delivery, now: Instant) -> Option<Delivery> {
        self.check_lease(now);
        let delivery = self.clients.pop_following(earlier.report.socket)?;
        Some(self.hand_out(delivery))
    }

    fn hand_out(&mut self, delivery: Delivery) -> Delivery {
        self.outstanding.hand_out(delivery.entry);
        if let Some(partition) = self.partitions.get_mut(&delivery.entry.0) {
            partition.waiting -= 1;
            partition.in_progress += 1;
        }
        delivery
    }

    /// When [`take`](Self::take) may return a report again because a pause ends.
    pub(crate) fn next_pause_ends(&self) -> Option<Instant> {
        self.clients.next_pause_ends()
    }

    /// The application has handled a report.
    pub(crate) fn acknowledge(&mut self, delivery: &Delivery) {
        match self.end(delivery) {
            Some(_) => self.outstanding.acknowledge(delivery.entry),
            None => self.outstanding.forget(delivery.entry),
        }
        self.clients.release(delivery.report.socket);
    }

    /// The application has dropped a report without acknowledging it: it becomes the next of its client again,
    /// after a pause.
    pub(crate) fn give_back(&mut self, mut delivery: Delivery, now: Instant) {
        let socket = delivery.report.socket;
        match self.end(&delivery) {
            Some(partition) => {
                partition.waiting += 1;
                delivery.redelivered = true;
                self.outstanding.give_back(delivery.entry);
                self.clients.put_back(delivery);
            }
            None => self.outstanding.forget(delivery.entry),
        }
        self.clients.release_at(now + PAUSE, socket);
    }

    /// Ends the work on a report and returns its partition, or `None` if it was lost meanwhile.
    fn end(&mut self, delivery: &Delivery) -> Option<&mut Partition> {
        let partition = self.partitions.get_mut(&delivery.entry.0)?;
        partition.in_progress -= 1;
        Some(partition)
    }

    /// Whether the application is handling a report.
    pub(crate) fn any_in_progress(&self) -> bool {
        self.outstanding.any_in_progress()
    }

    /// The acknowledged entries to remove from Redis.
    pub(crate) fn acknowledged(&self) -> &[EntryKey] {
        self.outstanding.acknowledged()
    }

    /// Redis has removed these entries.
    pub(crate) fn removed(&mut self, entries: &[EntryKey]) {
        self.outstanding.removed(entries);
    }
}

#[cfg(test)]
mod tests {
    use switchboard_backplane::{ClientAction, ClientMessage, Report, ReportId};
    use switchboard_event::{NodeId, Payload, ProjectId, Protocol, SocketId};

    use super::*;

    fn entry(partition: u16, number: u64, socket: SocketId) -> ReportEntry {
        let project = ProjectId::new("p").unwrap();
        let report = Report {
            project,
            socket,
            protocol: Some(Protocol::Emit),
            user: None,
            time_ms: 0,
            action: ClientAction::Connected,
        };
        let id = ReportId { node: NodeId(1), number };
        ReportEntry { partition, id: EntryId { ms: number, number: 0 }, report: Some((id, report)) }
    }

    fn claim(share: usize, owned: &[(u16, bool)]) -> ClaimReply {
        ClaimReply { now_ms: 10, share, owned: owned.to_vec() }
    }

    /// An assignment of some partitions, and a time before the end of its lease.
    fn assignment(owned: &[(u16, bool)]) -> (Assignment, Instant) {
        let (mut assignment, now) = (Assignment::default(), Instant::now());
        assignment.apply_claim(&claim(owned.len(), owned), &[], now + PAUSE * 10);
        (assignment, now)
    }

    fn read(assignment: &mut Assignment, entries: Vec<ReportEntry>) {
        let (fetches, _) = assignment.fetches();
        assignment.add(&fetches, entries);
    }

    fn numbers(assignment: &mut Assignment, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| assignment.take(now)).map(|delivery| delivery.id.number).collect()
    }

    #[test]
    fn an_acknowledgement_releases_the_next_report_of_its_client() {
        let (mut assignment, now) = assignment(&[(0, false)]);
        let (ann, bob) = (SocketId::random(), SocketId::random());
        read(&mut assignment, vec![entry(0, 1, ann), entry(0, 2, ann), entry(0, 3, bob)]);
        let first = assignment.take(now).unwrap();
        assert_eq!(numbers(&mut assignment, now), [3]);
        assignment.acknowledge(&first);
        assert_eq!(assignment.acknowledged(), [first.entry]);
        assert_eq!(numbers(&mut assignment, now), [2]);
        // As after a reconnect, before Redis has removed the entry.
        assignment.rewind_all();
        read(&mut assignment, vec![entry(0, 1, ann), entry(0, 2, ann), entry(0, 3, bob), entry(0, 4, bob)]);
        assert_eq!(numbers(&mut assignment, now), [] as [u64; 0], "bob's first report is in progress");
        assignment.removed(&[first.entry]);
        assert_eq!(assignment.acknowledged(), []);
    }

    #[test]
    fn following_reports_of_a_client_are_in_progress_together_and_return_in_order() {
        let (mut assignment, now) = assignment(&[(0, false)]);
        let (ann, bob) = (SocketId::random(), SocketId::random());
        let entries = [(1, ann), (2, bob), (3, ann), (4, ann), (5, ann)];
        read(&mut assignment, entries.map(|(number, socket)| entry(0, number, socket)).into());
        let first = assignment.take(now).unwrap();
        let second = assignment.take_following(&first, now).unwrap();
        let third = assignment.take_following(&second, now).unwrap();
        assert_eq!([&first, &second, &third].map(|delivery| delivery.id.number), [1, 3, 4]);
        assignment.acknowledge(&first);
        assert_eq!(numbers(&mut assignment, now), [2], "ann's other reports are still in progress");
        // In any order.
        assignment.give_back(second, now);
        assert!(assignment.take(now).is_none());
        assignment.give_back(third, now);
        let again = assignment.take(now + PAUSE).unwrap();
        let following = assignment.take_following(&again, now + PAUSE).unwrap();
        let last = assignment.take_following(&following, now + PAUSE).unwrap();
        let taken = [&again, &following, &last].map(|delivery| (delivery.id.number, delivery.redelivered));
        assert_eq!(taken, [(3, true), (4, true), (5, false)]);
        assert!(assignment.take_following(&last, now + PAUSE).is_none());
    }

    #[test]
    fn a_partition_with_many_waiting_bytes_is_not_read() {
        let (mut assignment, now) = assignment(&[(0, false), (1, false)]);
        let ann = SocketId::random();
        let large = |number| {
            let mut entry = entry(0, number, ann);
            let data = Payload::of(&"x".repeat(WAITING_BYTES_MAX * 2 / 3)).unwrap();
            if let Some((_, report)) = &mut entry.report {
                report.action =
                    ClientAction::Message(ClientMessage { op: 0, kind: None, data, reply_to: None });
            }
            entry
        };
        let partitions = |assignment: &Assignment| {
            let (fetches, any_full) = assignment.fetches();
            let mut numbers: Vec<u16> = fetches.iter().map(|fetch| fetch.partition).collect();
            numbers.sort_unstable();
            (numbers, any_full)
        };
        read(&mut assignment, vec![large(1)]);
        assert_eq!(partitions(&assignment), (vec![0, 1], false));
        read(&mut assignment, vec![large(2)]);
        assert_eq!(partitions(&assignment), (vec![1], true));
        let first = assignment.take(now).unwrap();
        assert_eq!(partitions(&assignment), (vec![0, 1], false), "one is handed out, one waits");
        assignment.give_back(first, now);
        assert_eq!(partitions(&assignment), (vec![1], true));
    }

    #[test]
    fn a_report_in_progress_is_not_removed_from_redis_after_its_partition_is_lost() {
        let (mut assignment, now) = assignment(&[(0, false), (1, false)]);
        let (ann, bob) = (SocketId::random(), SocketId::random());
        read(&mut assignment, vec![entry(0, 1, ann), entry(0, 2, ann), entry(1, 3, bob)]);
        let deliveries = [assignment.take(now).unwrap(), assignment.take(now).unwrap()];
        assignment.apply_claim(&claim(1, &[(1, false)]), &[], now + PAUSE);
        deliveries.iter().for_each(|delivery| assignment.acknowledge(delivery));
        assert_eq!(assignment.acknowledged(), [deliveries[1].entry]);
        assert_eq!(numbers(&mut assignment, now), [] as [u64; 0]);
        assert!(!assignment.any_in_progress());
    }

    #[test]
    fn a_regained_partition_does_not_redeliver_reports_in_progress() {
        let (mut assignment, now) = assignment(&[(0, false)]);
        let ann = SocketId::random();
        let entries = || vec![entry(0, 1, ann), entry(0, 2, ann)];
        read(&mut assignment, entries());
        let (stale, _) = assignment.fetches();
        let first = assignment.take(now).unwrap();
        assignment.apply_claim(&claim(0, &[]), &[], now + PAUSE);
        assignment.apply_claim(&claim(1, &[(0, true)]), &[], now + PAUSE);
        assignment.add(&stale, entries());
        assert!(assignment.take(now).is_none());
        read(&mut assignment, entries());
        assert!(assignment.take(now).is_none(), "ann's first report is in progress");
        assignment.acknowledge(&first);
        let second = assignment.take(now).unwrap();
        assert_eq!((second.id.number, second.redelivered), (2, true));
        assert_eq!(assignment.acknowledged(), [first.entry]);
    }

    #[test]
    fn an_excess_partition_is_released_once_it_has_no_report_in_progress() {
        let (mut assignment, now) = assignment(&[(0, false), (1, false)]);
        read(&mut assignment, vec![entry(0, 1, SocketId::random()), entry(1, 2, SocketId::random())]);
        let delivery = assignment.take(now).unwrap();
        assignment.apply_claim(&claim(0, &[(0, false), (1, false)]), &[], now + PAUSE);
        assert_eq!(assignment.releasable(), [1 - delivery.entry.0]);
        assert!(assignment.take(now).is_none() && assignment.fetches().0.is_empty());
        assignment.acknowledge(&delivery);
        assert_eq!(assignment.releasable().len(), 1, "its entry is not removed yet");
        assignment.removed(&[delivery.entry]);
        assert_eq!(assignment.releasable().len(), 2);
        assignment.apply_claim(&claim(1, &[(0, false)]), &[1], now + PAUSE);
        assert_eq!(assignment.fetches().0.len(), 1, "a partition that stays after all is read again");
    }

    #[test]
    fn nothing_is_handed_out_after_the_lease_has_ended() {
        let (mut assignment, now) = assignment(&[(0, false)]);
        read(&mut assignment, vec![entry(0, 1, SocketId::random())]);
        assert!(assignment.take(now + PAUSE * 10).is_none());
        assert!(assignment.fetches().0.is_empty());
    }

    #[test]
    fn a_returned_report_waits_for_its_pause_and_keeps_its_partition_unsettled() {
        let (mut assignment, now) = assignment(&[(0, false)]);
        let ann = SocketId::random();
        read(&mut assignment, vec![entry(0, 1, ann), entry(0, 2, ann)]);
        let first = assignment.take(now).unwrap();
        assignment.give_back(first, now);
        assert!(assignment.take(now).is_none());
        assert_eq!(assignment.settled(), [] as [u16; 0]);
        let again = assignment.take(assignment.next_pause_ends().unwrap()).unwrap();
        assert_eq!((again.id.number, again.redelivered), (1, true));
    }

    #[test]
    fn a_returned_report_that_is_read_again_is_handed_out_once() {
        let (mut assignment, now) = assignment(&[(0, false)]);
        let (ann, bob) = (SocketId::random(), SocketId::random());
        let entries = || vec![entry(0, 1, ann), entry(0, 2, ann), entry(0, 3, bob)];
        read(&mut assignment, entries());
        let first = assignment.take(now).unwrap();
        assignment.rewind_all();
        assignment.give_back(first, now);
        assert!(!assignment.any_in_progress(), "a returned report is not in progress");
        read(&mut assignment, entries());
        assert_eq!(numbers(&mut assignment, now), [3]);
        let again = assignment.take(now + PAUSE).unwrap();
        assert_eq!((again.id.number, again.redelivered), (1, true));
        assignment.acknowledge(&again);
        assert_eq!(numbers(&mut assignment, now + PAUSE), [2]);
        assert_eq!(assignment.acknowledged(), [again.entry]);
        assert!(assignment.any_in_progress(), "ann's second and bob's report are in progress");
    }

    #[test]
    fn a_returned_report_stays_the_next_of_its_client_after_repeated_reads() {
        let (mut assignment, now) = assignment(&[(0, false)]);
        let ann = SocketId::random();
        let entries = || vec![entry(0, 1, ann), entry(0, 2, ann)];
        read(&mut assignment, entries());
        let first = assignment.take(now).unwrap();
        assignment.give_back(first, now);
        for _ in 0..2 {
            assignment.rewind_all();
            read(&mut assignment, entries());
        }
        for number in [1, 2] {
            let delivery = assignment.take(now + PAUSE).unwrap();
            assert_eq!((delivery.id.number, delivery.redelivered), (number, number == 1));
            assignment.acknowledge(&delivery);
        }
        assert!(assignment.take(now + PAUSE).is_none() && !assignment.any_in_progress());
    }

    #[test]
    fn an_excess_partition_with_returned_reports_is_released_after_they_are_acknowledged() {
        let (mut assignment, now) = assignment(&[(0, false)]);
        let (ann, bob) = (SocketId::random(), SocketId::random());
        read(&mut assignment, vec![entry(0, 1, ann), entry(0, 2, ann), entry(0, 3, bob)]);
        let (first, other) = (assignment.take(now).unwrap(), assignment.take(now).unwrap());
        assignment.give_back(first, now);
        assignment.apply_claim(&claim(0, &[(0, false)]), &[], now + PAUSE * 10);
        assignment.give_back(other, now);
        assignment.rewind_all();
        assert_eq!(
            assignment.releasable(),
            [] as [u16; 0],
            "the next owner would not mark them as redelivered"
        );
        let begun = [assignment.take(now + PAUSE).unwrap(), assignment.take(now + PAUSE).unwrap()];
        assert_eq!(begun.each_ref().map(|delivery| delivery.id.number), [1, 3]);
        begun.iter().for_each(|delivery| assignment.acknowledge(delivery));
        assert!(assignment.take(now + PAUSE).is_none(), "ann's second report is left for the next owner");
        assignment.removed(&begun.map(|delivery| delivery.entry));
        assert_eq!(assignment.releasable(), [0]);
    }

    #[test]
    fn a_returned_report_is_forgotten_with_its_partition() {
        let (mut assignment, now) = assignment(&[(0, false)]);
        let ann = SocketId::random();
        read(&mut assignment, vec![entry(0, 1, ann), entry(0, 2, ann)]);
        let first = assignment.take(now).unwrap();
        assignment.give_back(first, now);
        assignment.apply_claim(&claim(0, &[]), &[], now + PAUSE * 10);
        assert!(assignment.take(now + PAUSE).is_none() && !assignment.any_in_progress());
        assignment.apply_claim(&claim(1, &[(0, true)]), &[], now + PAUSE * 10);
        assert_eq!(assignment.settled(), [0]);
        read(&mut assignment, vec![entry(0, 1, ann)]);
        assert_eq!(numbers(&mut assignment, now + PAUSE), [1], "no worker has handled it in the meantime");
    }
}
