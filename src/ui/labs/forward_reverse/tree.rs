//! The tree of the reverse runs: one lane for each, on the film's axis. A branch's line leaves its run at its step and ends in its
//! picture; pressing a lane puts that run under the clock.

use super::branches::{Branch, MOST, Shown, in_words, seed_matters};
use super::{ForwardReverse, Settings};
use crate::diffusion::SamplerInfo;
use crate::ui::labs::LabContext;
use crate::ui::session::Run;
use crate::ui::settings::{SEEDS, Work};
use crate::ui::theme::{Palette, Symbol, Theme, Weight};
use crate::ui::widgets::controls::{Look, icon_button, section, text_button};
use crate::ui::widgets::icons::Icon;
use crate::ui::widgets::slider::{self, Spec};
use crate::ui::widgets::textures::Mapping;
use crate::ui::widgets::tile;
use crate::worker::protocol::RunRequest;
use egui::{Rect, Role, ScrollArea, Sense, Stroke, Ui, UiBuilder, WidgetInfo, pos2, vec2};

/// Height of a lane in design units.
const LANE: f32 = 42.0;
/// How far below the middle of a lane its line runs.
const JOINT: f32 = 11.0;
/// Lanes that are seen without scrolling.
const SEEN: usize = 4;

/// One run in the tree.
struct Lane {
    shown: Shown,
    name: String,
    words: String,
    picture: Option<crate::host::HostTensor>,
    /// The lane that it left, and the timestep.
    joint: Option<(usize, f64)>,
    branch: Option<u64>,
}

fn from_noise(shown: Shown, name: &str, run: &Run<RunRequest>) -> Lane {
    let words = run.request().map_or(String::new(), |request| format!("prompt: {}", request.prompt));
    let picture = run.end().map(|end| end.picture.clone());
    Lane { shown, name: name.to_owned(), words, picture, joint: None, branch: None }
}

impl ForwardReverse {
    /// The run of the settings with its branches, then earlier runs with theirs.
    fn lanes(&self, cx: &LabContext<'_>) -> Vec<Lane> {
        let branches = &cx.work.forward_reverse.branches;
        if branches.is_empty() {
            return Vec::new();
        }
        let mut lanes = Vec::new();
        let trunk = std::iter::once((Shown::Trunk, "The run", &cx.session.reverse));
        let earlier = self.tree.earlier().iter().enumerate().map(|(i, run)| (Shown::Earlier(i), "An earlier run", run));
        for (shown, name, run) in trunk.chain(earlier) {
            let root = lanes.len();
            let of_this = |b: &&Branch| run.request().is_some() && self.tree.root(b.id) == run.request();
            if shown != Shown::Trunk && !branches.iter().any(|b| of_this(&b)) {
                continue;
            }
            lanes.push(from_noise(shown, name, run));
            for branch in branches.iter().filter(of_this) {
                let Some(kept) = self.tree.kept(branch.id) else { continue };
                let parent = lanes.iter().position(|lane: &Lane| lane.branch.is_some() && lane.branch == kept.parent).unwrap_or(root);
                let current = kept.run.request() == Some(&kept.request(branch));
                lanes.push(Lane {
                    shown: Shown::Branch(branch.id),
                    name: branch.name.clone(),
                    words: in_words(branch, &kept.origin, kept.timestep),
                    picture: kept.run.end().filter(|_| current).map(|end| end.picture.clone()),
                    joint: Some((parent, kept.timestep)),
                    branch: Some(branch.id),
                });
            }
        }
        lanes
    }

    /// Height of the tree.
    pub(super) fn tree_height(&self, cx: &LabContext<'_>) -> f32 {
        let lanes = self.lanes(cx).len();
        if lanes == 0 { 0.0 } else { lanes.min(SEEN) as f32 * cx.theme.px(LANE) + cx.theme.px(6.0) }
    }

    /// The tree in `rect`, below the film.
    pub(super) fn tree_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let lanes = self.lanes(cx);
        if lanes.is_empty() {
            return;
        }
        let mut child = ui.new_child(UiBuilder::new().max_rect(rect).id_salt("tree"));
        let mut asked = Asked::default();
        ScrollArea::vertical().auto_shrink([false, false]).show(&mut child, |ui| {
            let height = lanes.len() as f32 * cx.theme.px(LANE);
            let (whole, _) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
            asked = self.paint(cx, ui, whole, &lanes);
        });
        if let Some(shown) = asked.show {
            self.tree.show(shown);
        }
        if let Some(id) = asked.delete {
            cx.work.forward_reverse.branches.retain(|branch| branch.id != id);
        }
    }

    fn paint(&self, cx: &mut LabContext<'_>, ui: &mut Ui, whole: Rect, lanes: &[Lane]) -> Asked {
        let theme = cx.theme;
        let p = theme.palette();
        let lane_height = theme.px(LANE);
        let edge = lane_height - theme.px(6.0);
        let lane_rect = |i: usize| Rect::from_min_size(whole.min + vec2(0.0, i as f32 * lane_height), vec2(whole.width(), lane_height));
        let left = whole.left() + theme.px(30.0);
        let x_of = |t: f64| self.film.x_of(t).unwrap_or(left + (t / cx.clock.last()) as f32 * (whole.width() - theme.px(30.0)));
        let mut asked = Asked::default();
        // The joints first, so that lanes and their words lie over them.
        for (i, lane) in lanes.iter().enumerate() {
            let Some((parent, timestep)) = lane.joint else { continue };
            let chosen = lane.shown == self.tree.shown();
            let stroke = Stroke::new(theme.px(if chosen { 2.5 } else { 1.5 }), if chosen { p.text } else { p.dim });
            let (x, joint) = (x_of(timestep), theme.px(JOINT));
            ui.painter().vline(x, lane_rect(parent).center().y + joint..=lane_rect(i).center().y + joint, stroke);
        }
        for (i, lane) in lanes.iter().enumerate() {
            let rect = lane_rect(i);
            let chosen = lane.shown == self.tree.shown();
            let response = ui.interact(rect, ui.scope_id().with(("lane", i)), Sense::click());
            let spoken = format!("{}, {}", lane.name, lane.words);
            response.widget_info(|| WidgetInfo::selected(Role::Button, true, chosen, &spoken));
            let ink = if chosen || response.hovered() { p.text } else { p.dim };
            let thumb = Rect::from_min_size(pos2(left, rect.center().y - edge * 0.5), vec2(edge, edge));
            let texture = lane.picture.as_ref().map(|t| cx.textures.get(ui.ctx(), theme, ("leaf", i), t, Mapping::Rgb, true));
            // The words stand over the line, which runs from the picture to the joint.
            let begin = thumb.right() + theme.px(10.0);
            let (y, line) = (rect.center().y - theme.px(5.0), rect.center().y + theme.px(JOINT));
            let joint = lane.joint.map_or(whole.right(), |(_, t)| x_of(t));
            let close = whole.right() - theme.px(34.0);
            let name = ui.painter().layout_no_wrap(lane.name.clone(), theme.font(Weight::Medium, 13.5), ink);
            let mut job = egui::text::LayoutJob::simple_singleline(lane.words.clone(), theme.font(Weight::Regular, 13.0), p.dim);
            job.wrap = egui::text::TextWrapping::truncate_at_width((close - begin - name.size().x - theme.px(16.0)).max(theme.px(20.0)));
            let words = ui.painter().layout_job(job);
            let stroke = Stroke::new(theme.px(if chosen { 2.5 } else { 1.5 }), if chosen { p.text } else { Palette::faint(p.dim, 0.8) });
            if joint > thumb.right() {
                ui.painter().hline(thumb.right()..=joint, line, stroke);
            }
            let right = begin + name.size().x + theme.px(12.0) + words.size().x;
            let plate = Rect::from_min_max(pos2(begin - theme.px(4.0), y - theme.px(10.0)), pos2(right, y + theme.px(9.0)));
            ui.painter().rect_filled(plate, 2.0, p.ground);
            let words_at = pos2(begin + name.size().x + theme.px(9.0), y - words.size().y * 0.5);
            ui.painter().galley(pos2(begin, y - name.size().y * 0.5), name, ink);
            ui.painter().galley_with_override_text_color(words_at, words, ink);
            tile::frame(ui, theme, thumb, texture, "");
            if chosen {
                let ring = Stroke::new(theme.px(2.0), p.accent);
                ui.painter().rect_stroke(thumb.expand(1.0), theme.px(6.0), ring, egui::StrokeKind::Outside);
            }
            crate::ui::widgets::controls::focus_ring(ui, theme, &response, rect.shrink(3.0), 4.0);
            if response.clicked() {
                asked.show = Some(lane.shown);
            }
            response.on_hover_text(&spoken);
            if let Some(id) = lane.branch {
                let place = Rect::from_min_size(pos2(close + theme.px(4.0), y - theme.px(14.0)), vec2(theme.px(28.0), theme.px(28.0)));
                let mut button = ui.new_child(UiBuilder::new().max_rect(place).id_salt(("delete", id)));
                let label = format!("Delete {}", lane.name);
                if icon_button(&mut button, theme, Icon::Close, 28.0, Look::Plain, false, &label, "Can be undone.").clicked() {
                    asked.delete = Some(id);
                }
            }
        }
        // The joints' dots last: every branch is seen to leave.
        for lane in lanes {
            if let Some((parent, timestep)) = lane.joint {
                let color = if lane.shown == self.tree.shown() { p.text } else { p.dim };
                let at = pos2(x_of(timestep), lane_rect(parent).center().y + theme.px(JOINT));
                ui.painter().circle_filled(at, theme.px(4.0), color);
            }
        }
        asked
    }

    /// The settings of the branch under the clock; none while another run is shown.
    pub(super) fn branch_settings(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) -> bool {
        let theme = cx.theme;
        let Some(id) = self.tree.shown_branch() else { return false };
        let Settings { branches, .. } = &mut cx.work.forward_reverse;
        let Some(branch) = branches.iter_mut().find(|branch| branch.id == id) else { return false };
        let kept = self.tree.kept(id).map(|kept| (kept.origin.sampler.clone(), kept.origin.guidance_scale, kept.timestep));
        let Some((sampler, own_scale, t)) = kept else { return false };
        let before = branch.clone();
        section(ui, theme, &format!("From t = {t:.0} on"));
        text_field(ui, theme, &mut branch.name, "Name of the branch", "What it is called in the tree.", Symbol::Quiet);
        text_field(ui, theme, &mut branch.prompt, "Prompt of the branch", "What the run goes on towards.", Symbol::Conditional);
        let spec = Spec {
            name: "Guidance of the branch w",
            hint: "ε̃ = ε∅ + w (εc − ε∅), from this step on.",
            range: 0.0..=20.0,
            logarithmic: false,
            decimals: 1,
            symbol: Symbol::Guided,
        };
        slider::show_with_default(ui, theme, &mut branch.guidance_scale, &spec, own_scale);
        let matters = seed_matters(&sampler);
        ui.add_enabled_ui(matters, |ui| {
            ui.horizontal(|ui| {
                let label = ui.label(egui::RichText::new("Seed of the branch").font(theme.font(Weight::Regular, 14.0)));
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    let value = egui::DragValue::new(&mut branch.seed).range(0..=SEEDS - 1).speed(0.2).update_while_editing(false);
                    ui.add_sized(vec2(theme.px(72.0), theme.px(28.0)), value).labelled_by(label.id);
                });
            });
        });
        let label = SamplerInfo::find(&sampler).map_or("The sampler", |info| info.label);
        let text = if matters {
            format!("{label} draws fresh noise in every step, so another seed makes another picture from here on.")
        } else {
            format!("{label} draws no noise on its way: from here on the seed changes nothing. With DDPM it would.")
        };
        ui.label(egui::RichText::new(text).font(theme.small()).color(theme.palette().dim));
        let settled = Branch { name: before.name.clone(), ..branch.clone() } == before;
        if !settled {
            self.tree.touch(cx.now_secs);
        }
        true
    }

    /// The button that branches, and what there is to know about it.
    pub(super) fn branch_button(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        ui.add_space(theme.px(10.0));
        let hint =
            format!("Keeps this run, and goes on from this step with another prompt, guidance or seed. Up to {MOST} branches. Key N");
        let hint = hint.replace("x_t", "xₜ");
        let ready = self.shown_run(cx.session).at(cx.clock.position()).is_some();
        ui.horizontal(|ui| {
            ui.add_enabled_ui(ready, |ui| {
                if text_button(ui, theme, None, "Branch here", &hint).clicked() {
                    self.branch_here(cx);
                }
            });
            if self.tree.shown() != Shown::Trunk
                && text_button(ui, theme, None, "Back to the run", "Puts the run of the settings under the clock again.").clicked()
            {
                self.tree.show(Shown::Trunk);
            }
        });
    }
}

/// What was pressed in the tree.
#[derive(Default)]
struct Asked {
    show: Option<Shown>,
    delete: Option<u64>,
}

fn text_field(ui: &mut Ui, theme: &Theme, text: &mut String, name: &str, hint: &str, symbol: Symbol) {
    let edit = egui::TextEdit::singleline(text)
        .hint_text(egui::RichText::new(name.to_owned()).color(theme.palette().dim))
        .font(theme.font(Weight::Regular, 14.5))
        .char_limit(Work::LONGEST_PROMPT)
        .desired_width(f32::INFINITY)
        .margin(theme.margin_xy(11.0, 6.0))
        .id_salt(name);
    let response = ui.add_sized(vec2(ui.available_width(), theme.px(32.0)), edit);
    let shown = text.clone();
    response.widget_info(|| WidgetInfo { label: Some(name.to_owned()), ..WidgetInfo::text_edit(true, &shown, &shown, hint) });
    let mark = theme.px(3.0);
    let rect = response.rect;
    let bar = Rect::from_min_size(rect.min + vec2(0.0, mark * 2.0), vec2(mark, rect.height() - mark * 4.0));
    ui.painter().rect_filled(bar, mark, theme.palette().symbol(symbol));
    response.on_hover_text(hint);
}
