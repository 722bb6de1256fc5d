//! What lies between the window and the worker's thread: places for jobs, where the newest wins, and a bounded queue of answers.
//!
//! There is one place per slot and one for tokenizing, so what waits is bounded by construction and sending never blocks. The
//! queue of answers blocks the worker when the window falls behind, until there is room, the job is stale, or all is closed.

use super::protocol::{Command, Event, JobId, Slot};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Places: one per slot and one for tokenizing.
const PLACES: usize = Slot::ALL.len() + 1;
/// Where tokenizing waits.
const TOKENIZE: usize = Slot::ALL.len();
/// Answers that may lie unread before the worker waits for the window.
const MAX_UNREAD: usize = 64;

/// The places in the order in which they are served: what is quick or what others wait for goes first.
const ORDER: [usize; PLACES] = [
    Slot::Model as usize,
    TOKENIZE,
    Slot::Picture as usize,
    Slot::Probe as usize,
    Slot::Look as usize,
    Slot::Save as usize,
    Slot::Guidance as usize,
    Slot::Bridge as usize,
    Slot::Branch as usize,
    Slot::Reverse as usize,
    Slot::Forward as usize,
    Slot::Race as usize,
    Slot::Levels as usize,
    Slot::Learn as usize,
    Slot::Strip as usize,
    Slot::Sweep as usize,
    Slot::Ladder as usize,
    Slot::Devices as usize,
];
/// The places whose jobs are short enough to be served between two steps of a long one.
const SHORT: [usize; 4] = [TOKENIZE, Slot::Probe as usize, Slot::Save as usize, Slot::Look as usize];
/// The places whose jobs fill the time in which nobody waits: whatever else stands before them in [`ORDER`] is served between two
/// of their steps. Opening a model is not, since it ends them.
const BACKGROUND: [usize; 7] = [
    Slot::Race as usize,
    Slot::Levels as usize,
    Slot::Learn as usize,
    Slot::Strip as usize,
    Slot::Sweep as usize,
    Slot::Ladder as usize,
    Slot::Devices as usize,
];

/// The places that are served between two steps of a job in `place`.
fn served_within(place: usize) -> impl Iterator<Item = usize> {
    let background = BACKGROUND.contains(&place);
    let before = ORDER.into_iter().take_while(move |&other| background && other != place).filter(|&other| other != Slot::Model as usize);
    let short = SHORT.into_iter().filter(move |_| !background);
    short.chain(before)
}

/// A job: what is asked, under which id.
#[derive(Debug)]
pub(super) struct Job {
    pub id: JobId,
    pub command: Command,
}

impl Job {
    fn place(&self) -> usize {
        self.command.slot().map_or(TOKENIZE, |slot| slot as usize)
    }
}

#[derive(Default)]
struct State {
    waiting: [Option<Job>; PLACES],
    unread: VecDeque<Event>,
    /// Jobs that the thread has taken and not finished: one, and those that are served inside of it.
    at_work: usize,
    closed: bool,
}

/// The state shared by the window's handle and the worker's thread.
pub(super) struct Mailbox {
    state: Mutex<State>,
    /// A job came, or all is closed.
    came: Condvar,
    /// An answer was fetched, a job became stale, or all is closed.
    moved: Condvar,
    /// Id of the job that is wanted in each place: waiting or running. 0 is none.
    wanted: [AtomicU64; PLACES],
    /// Done in the upper half, total in the lower: the newest state alone matters.
    progress: [AtomicU64; PLACES],
}

impl Mailbox {
    pub fn new() -> Self {
        Self {
            state: Mutex::default(),
            came: Condvar::new(),
            moved: Condvar::new(),
            wanted: Default::default(),
            progress: Default::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No invariant spans two statements under this lock, so what a panic left behind is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job into its place. What waited there is dropped, what runs there becomes stale.
    pub fn put(&self, job: Job) {
        let mut state = self.lock();
        let place = job.place();
        self.wanted[place].store(job.id.0, Ordering::Release);
        state.waiting[place] = Some(job);
        drop(state);
        self.came.notify_one();
        self.moved.notify_all();
    }

    /// Empties a slot. A job that waited there is given back; one that runs there becomes stale and ends by itself.
    pub fn cancel(&self, slot: Slot) -> Option<JobId> {
        let mut state = self.lock();
        self.wanted[slot as usize].store(0, Ordering::Release);
        let waited = state.waiting[slot as usize].take();
        drop(state);
        self.moved.notify_all();
        waited.map(|job| job.id)
    }

    /// Makes what runs in a slot stale; what waits there stays.
    pub fn interrupt(&self, slot: Slot) {
        let state = self.lock();
        if state.waiting[slot as usize].is_none() {
            self.wanted[slot as usize].store(0, Ordering::Release);
        }
        drop(state);
        self.moved.notify_all();
    }

    /// Makes every job stale and lets the thread end.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting = Default::default();
        state.unread.clear();
        for wanted in &self.wanted {
            wanted.store(0, Ordering::Release);
        }
        drop(state);
        self.came.notify_all();
        self.moved.notify_all();
    }

    /// Waits for the next job; `None` when all is closed.
    pub fn take(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = ORDER.iter().find_map(|&place| state.waiting[place].take()) {
                state.at_work += 1;
                return Some(job);
            }
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A job that is served between two steps of `running`, where one waits: a short one, or before background work any other.
    pub fn take_within(&self, running: &Job) -> Option<Job> {
        let mut state = self.lock();
        let job = served_within(running.place()).find_map(|place| state.waiting[place].take())?;
        state.at_work += 1;
        Some(job)
    }

    /// Whether the job is still the one that is wanted.
    pub fn is_wanted(&self, job: &Job) -> bool {
        self.wanted[job.place()].load(Ordering::Acquire) == job.id.0
    }

    /// Marks a job as ended, unless a newer one has taken its place already.
    pub fn finish(&self, job: &Job) {
        let place = job.place();
        self.progress[place].store(0, Ordering::Release);
        self.wanted[place].compare_exchange(job.id.0, 0, Ordering::AcqRel, Ordering::Acquire).ok();
        self.lock().at_work -= 1;
    }

    /// Hands an answer to the window; waits while too many lie unread. `false` when it was dropped: the job is stale or all is
    /// closed.
    pub fn answer(&self, job: &Job, event: Event) -> bool {
        self.push(event, || self.is_wanted(job))
    }

    /// As [`Self::answer`], for the last word of a stopped job, which is not wanted any more.
    pub fn last_word(&self, event: Event) -> bool {
        self.push(event, || true)
    }

    fn push(&self, event: Event, wanted: impl Fn() -> bool) -> bool {
        let mut state = self.lock();
        while !state.closed && wanted() && state.unread.len() >= MAX_UNREAD {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let deliver = !state.closed && wanted();
        if deliver {
            state.unread.push_back(event);
        }
        deliver
    }

    /// The oldest unread answer.
    pub fn next_answer(&self) -> Option<Event> {
        let event = self.lock().unread.pop_front();
        if event.is_some() {
            self.moved.notify_all();
        }
        event
    }

    /// Notes how far a job is.
    pub fn set_progress(&self, job: &Job, done: usize, total: usize) {
        let half = |v: usize| u64::from(u32::try_from(v).unwrap_or(u32::MAX));
        self.progress[job.place()].store(half(done) << 32 | half(total), Ordering::Release);
    }

    /// How far the job in a slot is: done and total.
    pub fn progress(&self, slot: Slot) -> Option<(usize, usize)> {
        let both = self.progress[slot as usize].load(Ordering::Acquire);
        (both != 0).then_some(((both >> 32) as usize, (both & u64::from(u32::MAX)) as usize))
    }

    /// Whether a job waits or is being worked on (one that was cancelled has its last word to say), or an answer lies unread.
    pub fn is_busy(&self) -> bool {
        let state = self.lock();
        state.at_work > 0 || !state.unread.is_empty() || state.waiting.iter().any(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use super::super::protocol::{RunRequest, StripRequest};
    use super::*;
    use crate::host::HostTensor;
    use std::sync::Arc;

    fn job(id: u64, slot: Slot) -> Job {
        let command = match slot {
            Slot::Probe => Command::Decode(HostTensor::full([1], 0.0)),
            Slot::Save => Command::SavePng { path: "x".into(), width: 1, height: 1, rgba: Arc::from([0; 4]) },
            _ => Command::OpenPicture(super::super::protocol::PictureSource::Scene { seed: id }),
        };
        Job { id: JobId(id), command }
    }

    fn started(id: u64) -> Event {
        Event::Started { job: JobId(id), slot: Slot::Picture }
    }

    #[test]
    fn the_newest_job_of_a_slot_wins_and_the_quick_go_first() {
        let mailbox = Mailbox::new();
        mailbox.put(job(1, Slot::Save));
        mailbox.put(job(2, Slot::Picture));
        mailbox.put(job(3, Slot::Picture));
        mailbox.put(Job { id: JobId(4), command: Command::Tokenize { prompt: String::new(), negative: String::new() } });
        let taken: Vec<_> = (0..3).map(|_| mailbox.take().unwrap().id.0).collect();
        assert_eq!(taken, [4, 3, 1]);
        mailbox.close();
        assert!(mailbox.take().is_none());
    }

    #[test]
    fn work_in_the_background_lets_everything_else_go_first() {
        let mailbox = Mailbox::new();
        let places = |slot: Slot| served_within(slot as usize).collect::<Vec<_>>();
        assert_eq!(places(Slot::Guidance), SHORT);
        for slot in [Slot::Guidance, Slot::Reverse, Slot::Forward, Slot::Picture, Slot::Probe, Slot::Save] {
            for background in [Slot::Race, Slot::Levels, Slot::Learn, Slot::Strip, Slot::Sweep, Slot::Ladder] {
                assert!(places(background).contains(&(slot as usize)) && !places(slot).contains(&(background as usize)));
            }
        }
        assert!(places(Slot::Sweep).contains(&(Slot::Strip as usize)) && !places(Slot::Strip).contains(&(Slot::Sweep as usize)));
        assert!(!places(Slot::Sweep).contains(&(Slot::Model as usize)), "a new model ends what runs on the old one");
        let run = RunRequest { steps: 1, ..RunRequest::default() };
        let strip = Job { id: JobId(1), command: Command::Strip(StripRequest { run: run.clone(), scales: vec![1.0], coarse_steps: 1 }) };
        mailbox.put(strip);
        let running = mailbox.take().unwrap();
        mailbox.put(Job { id: JobId(2), command: Command::Reverse(Slot::Guidance, run) });
        let within = mailbox.take_within(&running).expect("the slider's run");
        assert_eq!(within.id, JobId(2));
        mailbox.put(job(3, Slot::Picture));
        assert!(mailbox.take_within(&within).is_none(), "a run that is waited for is not put off");
        assert_eq!(mailbox.take_within(&running).map(|job| job.id), Some(JobId(3)));
    }

    #[test]
    fn a_stale_job_can_neither_answer_nor_clear_its_successor() {
        let mailbox = Mailbox::new();
        mailbox.put(job(1, Slot::Picture));
        let first = mailbox.take().unwrap();
        mailbox.put(job(2, Slot::Picture));
        assert!(!mailbox.is_wanted(&first));
        assert!(!mailbox.answer(&first, started(1)));
        mailbox.finish(&first);
        let second = mailbox.take().unwrap();
        assert!(mailbox.is_wanted(&second) && mailbox.answer(&second, started(2)));
        mailbox.finish(&second);
        assert!(mailbox.is_busy(), "an answer lies unread");
        assert!(matches!(mailbox.next_answer(), Some(Event::Started { job: JobId(2), .. })));
        assert!(!mailbox.is_busy());
    }

    #[test]
    fn cancelling_gives_back_what_waits_and_stops_what_runs() {
        let mailbox = Mailbox::new();
        mailbox.put(job(1, Slot::Picture));
        assert_eq!(mailbox.cancel(Slot::Picture), Some(JobId(1)));
        mailbox.put(job(2, Slot::Picture));
        let running = mailbox.take().unwrap();
        assert_eq!(mailbox.cancel(Slot::Picture), None);
        assert!(!mailbox.is_wanted(&running));
    }

    #[test]
    fn a_full_queue_waits_and_closing_frees_the_waiting() {
        let mailbox = Arc::new(Mailbox::new());
        mailbox.put(job(1, Slot::Picture));
        let (running, worker) = (mailbox.take().unwrap(), Arc::clone(&mailbox));
        let thread = std::thread::spawn(move || (0..).take_while(|_| worker.answer(&running, started(1))).count());
        let mut read = 0;
        while read < 2 * MAX_UNREAD {
            match mailbox.next_answer() {
                Some(_) => read += 1,
                None => std::thread::yield_now(),
            }
        }
        mailbox.close();
        let sent = thread.join().unwrap();
        assert!((read..=read + MAX_UNREAD + 1).contains(&sent), "{sent} sent, {read} read");
    }

    #[test]
    fn progress_is_the_newest_and_goes_with_its_job() {
        let mailbox = Mailbox::new();
        mailbox.put(job(1, Slot::Picture));
        let running = mailbox.take().unwrap();
        assert_eq!(mailbox.progress(Slot::Picture), None);
        mailbox.set_progress(&running, 3, 10);
        assert_eq!(mailbox.progress(Slot::Picture), Some((3, 10)));
        mailbox.finish(&running);
        assert_eq!(mailbox.progress(Slot::Picture), None);
    }
}
