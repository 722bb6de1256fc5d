//! Branches of the reverse run: from x_t at any step on with another prompt, guidance or seed. Nothing computed is lost by it: the
//! run that a branch leaves stays, and so do the branch's frames for as long as the branch is kept.

use super::{ForwardReverse, Settings};
use crate::diffusion::SamplerInfo;
use crate::host::HostTensor;
use crate::ui::clock::Direction;
use crate::ui::labs::LabContext;
use crate::ui::notices::Tone;
use crate::ui::session::{Run, Session};
use crate::worker::protocol::{Frame, RunRequest, Slot, Start};
use std::sync::Arc;

/// Branches that are kept at most. One more is asked for in vain, with a notice: none goes by itself.
pub const MOST: usize = 24;
/// Deleted branches whose frames are kept, so that undo brings them back as they were.
const MOST_DELETED: usize = 6;
/// Seconds without a change after which a branch is computed.
const REST_SECS: f64 = 0.35;

/// What a person sets of a branch.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Names it for the window.
    pub id: u64,
    /// Its name on screen.
    pub name: String,
    /// The positive prompt from there on.
    pub prompt: String,
    /// Guidance scale w from there on.
    pub guidance_scale: f64,
    /// Seed of the fresh noise from there on.
    pub seed: u64,
}

/// What the window keeps of a branch.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Which.
    pub id: u64,
    /// The branch that it left; none for a run from noise.
    pub parent: Option<u64>,
    /// The request of the run that it left.
    pub origin: RunRequest,
    /// The step at which it left.
    pub index: usize,
    /// The timestep of that step.
    pub timestep: f64,
    x: HostTensor,
    before: Vec<Arc<Frame>>,
    /// All its frames: those of the run that it left, down to that step, and its own.
    pub run: Run<RunRequest>,
}

/// Which run is under the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shown {
    /// The run of the settings.
    #[default]
    Trunk,
    /// A run of earlier settings that has branches.
    Earlier(usize),
    /// A branch.
    Branch(u64),
}

/// The runs beside the one of the settings.
#[derive(Default)]
pub struct Tree {
    kept: Vec<Kept>,
    /// Runs of earlier settings that have branches.
    earlier: Vec<Run<RunRequest>>,
    trunk: Option<Run<RunRequest>>,
    shown: Shown,
    last_id: u64,
    changed_secs: f64,
}

/// A prompt, without the words that a long one shares with the one before at its beginning.
fn what_is_new(prompt: &str, before: &str) -> String {
    const SHORT: usize = 28;
    if prompt.is_empty() {
        return "empty".to_owned();
    }
    let alike = prompt.split_inclusive(' ').zip(before.split_inclusive(' ')).take_while(|(a, b)| a.trim() == b.trim());
    let shared: usize = alike.map(|(word, _)| word.len()).sum();
    match prompt.get(shared..) {
        Some(rest) if prompt.chars().count() > SHORT && shared > 0 && !rest.is_empty() => format!("… {}", rest.trim()),
        _ => prompt.to_owned(),
    }
}

/// The difference of a branch from the run that it left, in words: "prompt: a red boat, from t = 480".
pub fn in_words(branch: &Branch, origin: &RunRequest, timestep: f64) -> String {
    let mut parts = Vec::new();
    if branch.prompt != origin.prompt {
        parts.push(format!("prompt: {}", what_is_new(&branch.prompt, &origin.prompt)));
    }
    if (branch.guidance_scale - origin.guidance_scale).abs() > 1e-9 {
        parts.push(format!("w = {:.1}", branch.guidance_scale));
    }
    if branch.seed != origin.seed {
        parts.push(format!("seed {}", branch.seed));
    }
    let what = if parts.is_empty() { "nothing changed yet".to_owned() } else { parts.join(", ") };
    format!("{what}, from t = {timestep:.0}")
}

impl Kept {
    /// The run that the branch asks for.
    pub fn request(&self, branch: &Branch) -> RunRequest {
        RunRequest {
            prompt: branch.prompt.clone(),
            guidance_scale: branch.guidance_scale,
            seed: branch.seed,
            start: Start::Continue { x: self.x.clone(), index: self.index },
            ..self.origin.clone()
        }
    }

    fn take(&mut self, answer: &Run<RunRequest>) {
        if let Some(request) = answer.request() {
            let frames = self.before.iter().chain(answer.frames()).cloned().collect();
            self.run = Run::kept(request.clone(), frames, answer.end().cloned());
        }
    }
}

impl Tree {
    /// What is kept of a branch.
    pub fn kept(&self, id: u64) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.id == id)
    }

    /// Which run is under the clock.
    pub fn shown(&self) -> Shown {
        self.shown
    }

    /// Puts a run under the clock.
    pub fn show(&mut self, shown: Shown) {
        self.shown = shown;
    }

    /// Runs of earlier settings that have branches.
    pub fn earlier(&self) -> &[Run<RunRequest>] {
        &self.earlier
    }

    /// The branch under the clock.
    pub fn shown_branch(&self) -> Option<u64> {
        if let Shown::Branch(id) = self.shown { Some(id) } else { None }
    }

    /// Notes that a branch's settings changed: it is computed once they rest.
    pub fn touch(&mut self, now_secs: f64) {
        self.changed_secs = now_secs;
    }

    /// The request of the run from noise that a branch goes back to.
    pub fn root(&self, id: u64) -> Option<&RunRequest> {
        let kept = self.kept(id)?;
        kept.parent.map_or(Some(&kept.origin), |parent| self.root(parent))
    }

    /// The run under the clock; the session's where none other is chosen.
    pub fn run<'a>(&'a self, session: &'a Session) -> &'a Run<RunRequest> {
        match self.shown {
            Shown::Trunk => None,
            Shown::Earlier(i) => self.earlier.get(i),
            Shown::Branch(id) => self.kept(id).map(|kept| &kept.run),
        }
        .unwrap_or(&session.reverse)
    }

    /// A new branch from the frame of `run` at `position`; its settings are those of that run.
    fn grow(&mut self, run: &Run<RunRequest>, position: f64, number: usize) -> Option<Branch> {
        let (request, frame) = (run.request()?.clone(), run.at(position)?.clone());
        self.last_id += 1;
        let branch = Branch {
            id: self.last_id,
            name: format!("Branch {number}"),
            prompt: request.prompt.clone(),
            guidance_scale: request.guidance_scale,
            seed: request.seed,
        };
        let before: Vec<_> = run.frames().iter().filter(|f| f.index < frame.index).cloned().collect();
        let frames = run.frames().iter().filter(|f| f.index <= frame.index).cloned().collect();
        let kept = Kept {
            id: branch.id,
            parent: self.shown_branch(),
            run: Run::kept(request.clone(), frames, None),
            origin: request,
            index: frame.index,
            timestep: frame.timestep,
            x: frame.x.clone(),
            before,
        };
        self.kept.push(kept);
        self.shown = Shown::Branch(branch.id);
        Some(branch)
    }

    /// Keeps the run of the settings as it was where a branch of it is kept and the settings made another.
    fn keep_trunk(&mut self, session: &Session, branches: &[Branch]) {
        let run = &session.reverse;
        let (Some(request), Some(_)) = (run.request(), run.end()) else { return };
        let roots = |request: &RunRequest, tree: &Self| branches.iter().any(|b| tree.root(b.id) == Some(request));
        let same = self.trunk.as_ref().is_some_and(|trunk| trunk.request() == Some(request));
        if !same {
            if let Some(old) = self.trunk.take()
                && old.request().is_some_and(|old| roots(old, self))
                && !self.earlier.iter().any(|run| run.request() == old.request())
            {
                self.earlier.push(old);
            }
            // Settings that come back bring their run back with them.
            let back = self.earlier.iter().position(|run| run.request() == Some(request));
            if let Some(back) = back
                && self.shown == Shown::Trunk
            {
                self.earlier.remove(back);
            }
        }
        let unchanged = same && self.trunk.as_ref().is_some_and(|trunk| trunk.frames().len() == run.frames().len());
        if !unchanged {
            self.trunk = Some(run.clone());
        }
    }

    /// Forgets what nobody can see any more, and falls back to the trunk where what was shown is gone.
    fn prune(&mut self, branches: &[Branch]) {
        let listed = |id: u64| branches.iter().any(|b| b.id == id);
        let gone: Vec<u64> = self.kept.iter().filter(|kept| !listed(kept.id)).map(|kept| kept.id).collect();
        let drop: Vec<u64> = gone[..gone.len().saturating_sub(MOST_DELETED)].to_vec();
        self.kept.retain(|kept| !drop.contains(&kept.id));
        let there = match self.shown {
            Shown::Trunk => true,
            Shown::Earlier(i) => i < self.earlier.len(),
            Shown::Branch(id) => listed(id) && self.kept(id).is_some(),
        };
        if !there {
            self.shown = Shown::Trunk;
        }
    }
}

impl ForwardReverse {
    /// The reverse run under the clock.
    pub(super) fn shown_run<'a>(&'a self, session: &'a Session) -> &'a Run<RunRequest> {
        self.tree.run(session)
    }

    /// A branch from the clock's place in the run that is shown.
    pub(super) fn branch_here(&mut self, cx: &mut LabContext<'_>) {
        if cx.clock.direction != Direction::Reverse {
            return;
        }
        let branches = &mut cx.work.forward_reverse.branches;
        if branches.len() >= MOST {
            cx.session.notices.push(Tone::Failure, format!("{MOST} branches are kept. Delete one to make room for another."));
            return;
        }
        cx.clock.playing = false;
        let number = 1 + branches.iter().filter_map(|b| b.name.strip_prefix("Branch ")?.parse::<usize>().ok()).max().unwrap_or(0);
        let run = self.tree.run(cx.session).clone();
        match self.tree.grow(&run, cx.clock.position(), number) {
            Some(branch) => {
                branches.push(branch);
                self.tree.touch(cx.now_secs);
            }
            None => cx.session.notices.push(Tone::Failure, "There is no step to branch from yet. Wait for the run."),
        }
    }

    /// Takes in what has come of the branches, and asks for the next that is to be computed: the one shown first.
    pub(super) fn ask_branches(&mut self, cx: &mut LabContext<'_>) {
        let Settings { branches, .. } = &cx.work.forward_reverse;
        self.tree.keep_trunk(cx.session, branches);
        self.tree.prune(branches);
        let answer = &cx.session.branch;
        let mut next: Option<RunRequest> = None;
        let shown = self.tree.shown_branch();
        let mut running = None;
        for branch in branches {
            let Some(kept) = self.tree.kept.iter_mut().find(|kept| kept.id == branch.id) else { continue };
            let wanted = kept.request(branch);
            let answered = answer.request() == Some(&wanted);
            let known = kept.run.request() == Some(&wanted) && kept.run.end().is_some();
            if answered && !known {
                kept.take(answer);
            }
            let whole = kept.run.request() == Some(&wanted) && kept.run.end().is_some() && !(answered && answer.is_running());
            if !whole {
                if answer.is_running() && answer.asked() == Some(&wanted) {
                    running = Some(branch.id);
                }
                if next.is_none() || shown == Some(branch.id) {
                    next = Some(wanted);
                }
            }
        }
        let rested = cx.now_secs - self.tree.changed_secs > REST_SECS;
        // One that runs is let finish unless another is being looked at.
        let wait = running.is_some() && (running == shown || shown.is_none());
        if let Some(request) = next.filter(|_| rested && !wait && cx.session.card.is_some()) {
            cx.session.ask_reverse(Slot::Branch, request);
        }
    }

    /// Whether the frames under the clock answer what is asked for.
    pub(super) fn shown_is_current(&self, cx: &LabContext<'_>) -> bool {
        let Some(id) = self.tree.shown_branch() else { return self.shown_run(cx.session).is_current() };
        let branch = cx.work.forward_reverse.branches.iter().find(|branch| branch.id == id);
        branch.zip(self.tree.kept(id)).is_some_and(|(branch, kept)| kept.run.request() == Some(&kept.request(branch)))
    }

    /// Whether every branch is computed.
    pub(super) fn branches_are_settled(&self, cx: &LabContext<'_>) -> bool {
        let whole = |branch: &Branch| {
            let kept = self.tree.kept(branch.id);
            kept.is_none_or(|kept| kept.run.request() == Some(&kept.request(branch)) && kept.run.end().is_some())
        };
        cx.session.branch.is_stopped() || cx.work.forward_reverse.branches.iter().all(whole)
    }
}

/// Whether a sampler draws fresh noise, so that the seed matters from a branch on.
pub fn seed_matters(sampler: &str) -> bool {
    SamplerInfo::find(sampler).is_some_and(|info| info.stochastic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(prompt: &str) -> RunRequest {
        RunRequest { prompt: prompt.into(), seed: 7, steps: 4, guidance_scale: 5.0, sampler: "ddim".into(), ..RunRequest::default() }
    }

    fn frames() -> Vec<Arc<Frame>> {
        let t = |v: f32| HostTensor::full([1, 1, 1, 1], v);
        let frame = |i: usize| Frame {
            index: i,
            count: 4,
            timestep: 750.0 - 250.0 * i as f64,
            alpha: 0.5,
            sigma: 0.5,
            x: t(i as f32),
            x0: t(0.0),
            eps_uncond: t(0.0),
            eps_cond: t(0.0),
            eps: t(0.0),
            x_picture: None,
            x0_picture: None,
        };
        (0..4).map(|i| Arc::new(frame(i))).collect()
    }

    #[test]
    fn a_branch_starts_at_the_step_under_the_clock_and_keeps_what_was_before() {
        let mut tree = Tree::default();
        let run = Run::kept(request("a house"), frames(), None);
        let branch = tree.grow(&run, 480.0, 1).expect("a frame is there");
        let kept = tree.kept(branch.id).expect("kept");
        assert_eq!((kept.index, kept.timestep), (1, 500.0));
        let wanted = kept.request(&Branch { prompt: "a boat".into(), ..branch.clone() });
        assert!(matches!(&wanted.start, Start::Continue { x, index: 1 } if x.data() == [1.0]));
        assert_eq!((wanted.prompt.as_str(), wanted.steps), ("a boat", 4));
        assert_eq!(tree.shown(), Shown::Branch(branch.id));
        assert_eq!(kept.before.len(), 1);
        tree.prune(&[]);
        assert_eq!(tree.shown(), Shown::Trunk, "a deleted branch is not shown");
        assert!(tree.kept(branch.id).is_some(), "but kept for undo");
        for _ in 0..20 {
            tree.grow(&run, 480.0, 1);
            tree.prune(&[]);
        }
        assert_eq!(tree.kept.len(), MOST_DELETED, "not without limit");
    }

    #[test]
    fn the_difference_is_said_in_words() {
        let origin = request("a house");
        let same = Branch { id: 1, name: String::new(), prompt: "a house".into(), guidance_scale: 5.0, seed: 7 };
        assert_eq!(in_words(&same, &origin, 480.0), "nothing changed yet, from t = 480");
        let boat = Branch { prompt: "a red boat".into(), ..same.clone() };
        assert_eq!(in_words(&boat, &origin, 480.0), "prompt: a red boat, from t = 480");
        let all = Branch { guidance_scale: 9.0, seed: 8, ..boat };
        assert_eq!(in_words(&all, &origin, 20.0), "prompt: a red boat, w = 9.0, seed 8, from t = 20");
        let long = "a red house on a green hill at sunset";
        assert_eq!(what_is_new("a red house on a green hill at night", long), "… night");
        assert_eq!(what_is_new("a red house on a green hill at sunset in snow", long), "… in snow");
        assert_eq!(what_is_new("a red house on a green hill", long), "a red house on a green hill");
        assert_eq!(what_is_new("", long), "empty");
        assert!(seed_matters("ddpm") && !seed_matters("ddim") && !seed_matters("euler"));
    }
}
