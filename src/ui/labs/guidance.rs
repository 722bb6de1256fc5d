//! Guidance: two predictions, and how far to go beyond them.
//!
//! Classifier-free guidance, Ho and Salimans 2022 (arXiv 2207.12598). Here `eps~ = eps_uncond + w (eps_cond - eps_uncond)`;
//! the paper writes `(1 + w') eps_cond - w' eps_uncond` with `w' = w - 1`. Both are on the screen.

use super::{Lab, LabContext};
use crate::diffusion::guidance::{Comparison, compare, guide, paper_scale};
use crate::host::HostTensor;
use crate::ui::clock::{Pace, Stops};
use crate::ui::theme::{Symbol, Weight};
use crate::ui::widgets::controls::{paragraph, progress, readout, section, segmented, text_button};
use crate::ui::widgets::math::{Math, equation, inline, num, op, row, sym, word};
use crate::ui::widgets::slider::{self, Spec};
use crate::ui::widgets::textures::Mapping;
use crate::ui::widgets::tile::{self, Badge, HEADER, Tile};
use crate::ui::widgets::track;
use crate::worker::protocol::{Frame, RunRequest, Slot};
use egui::{Rect, Ui, UiBuilder, pos2, vec2};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Steps of the quick run that answers a drag.
pub const COARSE_STEPS: usize = 6;

/// What is remembered of this lab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Guidance scale w; none is the model's own.
    pub guidance_scale: Option<f64>,
    /// Steps of the full run.
    pub steps: usize,
    /// Half the range of the heat maps' scale.
    pub range: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { guidance_scale: None, steps: 20, range: 2.0 }
    }
}

const RANGES: [f32; 4] = [0.5, 1.0, 2.0, 4.0];

impl Settings {
    /// Brings what was read back into range.
    pub fn tidy(&mut self) {
        self.guidance_scale = self.guidance_scale.filter(|w| w.is_finite()).map(|w| w.clamp(0.0, 20.0));
        self.steps = self.steps.clamp(COARSE_STEPS + 1, 100);
        if !RANGES.contains(&self.range) {
            self.range = 2.0;
        }
    }
}

/// The four fields at one timestep.
struct Fields {
    uncond: HostTensor,
    cond: HostTensor,
    scale: f64,
    difference: HostTensor,
    guided: HostTensor,
    comparison: Comparison,
    guided_norm: f64,
}

/// The lab's state that need not be remembered.
#[derive(Default)]
pub struct Guidance {
    wanted: Option<RunRequest>,
    changed_secs: f64,
    held: bool,
    /// The last finished picture and what it was asked with.
    picture: Option<(RunRequest, HostTensor, f64)>,
    /// The frames that the heat maps are taken from: those of the last full run for these prompts and this seed.
    frames: Option<(RunRequest, Vec<Arc<Frame>>)>,
    fields: Option<Fields>,
}

fn same_start(a: &RunRequest, b: &RunRequest) -> bool {
    a.prompt == b.prompt && a.negative == b.negative && a.seed == b.seed
}

impl Guidance {
    fn scale(cx: &LabContext<'_>) -> f64 {
        let own = cx.session.card.as_ref().map_or(7.5, |card| card.default_guidance);
        cx.work.guidance.guidance_scale.unwrap_or(own)
    }

    fn request(cx: &LabContext<'_>, steps: usize) -> RunRequest {
        RunRequest {
            prompt: cx.session.prompt.clone(),
            negative: cx.session.negative.clone(),
            seed: cx.work.seed,
            steps,
            guidance_scale: Self::scale(cx),
            sampler: "ddim".to_owned(),
            restore: None,
            decode_every_step: false,
        }
    }

    /// Coarse while the hand is on the slider, full once it rests. A coarse run is let finish, so that a picture comes while dragging.
    fn ask(&mut self, cx: &mut LabContext<'_>) {
        if cx.session.card.is_none() {
            return;
        }
        let (coarse, full) = (Self::request(cx, COARSE_STEPS), Self::request(cx, cx.work.guidance.steps));
        if self.wanted.as_ref() != Some(&full) {
            self.wanted = Some(full.clone());
            self.changed_secs = cx.now_secs;
        }
        let run = &cx.session.guidance;
        let busy_coarse = run.is_running() && run.asked().is_some_and(|r| r.steps == COARSE_STEPS && same_start(r, &coarse));
        match run.asked() {
            Some(asked) if *asked == full => {}
            Some(asked) if *asked == coarse => {
                let rested = cx.now_secs - self.changed_secs > 0.2 && !self.held;
                if !run.is_running() && !run.is_stopped() && rested {
                    cx.session.ask_reverse(Slot::Guidance, full);
                }
            }
            _ if busy_coarse => {}
            _ => cx.session.ask_reverse(Slot::Guidance, coarse),
        }
    }

    /// Keeps what has finished.
    fn keep(&mut self, cx: &LabContext<'_>) {
        let run = &cx.session.guidance;
        let Some(request) = run.request() else { return };
        if let Some(end) = run.end()
            && self.picture.as_ref().is_none_or(|(r, p, _)| r != request || !std::ptr::eq(p.data(), end.picture.data()))
        {
            self.picture = Some((request.clone(), end.picture.clone(), end.elapsed_ms));
        }
        let better = match &self.frames {
            None => !run.frames().is_empty(),
            Some((kept, frames)) => {
                let finished_full = run.end().is_some() && request.steps > COARSE_STEPS;
                let other = !same_start(kept, request) && !run.frames().is_empty();
                let growing = kept == request && frames.len() != run.frames().len();
                let first = kept.steps == COARSE_STEPS && run.end().is_some();
                (finished_full && kept != request) || other || growing || (first && kept != request)
            }
        };
        if better {
            self.frames = Some((request.clone(), run.frames().to_vec()));
        }
    }

    fn frame(&self, timestep: f64) -> Option<&Arc<Frame>> {
        let (_, frames) = self.frames.as_ref()?;
        let after = frames.partition_point(|f| f.timestep >= timestep - 0.5);
        frames.get(after.saturating_sub(1))
    }

    fn refresh_fields(&mut self, cx: &LabContext<'_>) {
        let scale = Self::scale(cx);
        let Some(frame) = self.frame(cx.clock.position()).cloned() else {
            self.fields = None;
            return;
        };
        let (uncond, cond) = (&frame.eps_uncond, &frame.eps_cond);
        let kept = self.fields.as_ref().is_some_and(|f| std::ptr::eq(f.uncond.data(), uncond.data()) && f.scale == scale);
        if !kept && uncond.shape() == cond.shape() {
            let guided = guide(uncond, cond, scale);
            self.fields = Some(Fields {
                difference: cond.lincomb(1.0, uncond, -1.0),
                comparison: compare(uncond, cond),
                guided_norm: guided.norm(),
                uncond: uncond.clone(),
                cond: cond.clone(),
                guided,
                scale,
            });
        }
    }
}

impl Lab for Guidance {
    fn logic(&mut self, cx: &mut LabContext<'_>) -> Pace {
        cx.session.want_scene(cx.work.scene_seed);
        self.ask(cx);
        self.keep(cx);
        self.refresh_fields(cx);
        let marks: Vec<(f64, bool)> = self.frames.iter().flat_map(|(_, f)| f.iter()).map(|f| (f.timestep, true)).collect();
        let stops = if marks.is_empty() { Stops::Every(50) } else { Stops::At(marks.iter().map(|m| m.0).collect()) };
        Pace { ready: !marks.is_empty(), floor: 0.0, stops, marks }
    }

    fn main_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        let mut scale = Self::scale(cx);
        let (changed, held) = track::show(ui, theme, &mut scale);
        if changed {
            cx.work.guidance.guidance_scale = Some(scale);
            self.refresh_fields(cx);
        }
        self.held = held;
        ui.add_space(theme.px(8.0));
        let room = ui.available_rect_before_wrap();
        let (gap, header) = (theme.px(28.0), theme.px(HEADER));
        let legend = theme.px(44.0);
        let between = theme.px(6.0);
        // Two by two groups of two by two cells at the right; the picture takes what is left.
        let cell_by_height = (room.height() - legend - 2.0 * header - theme.px(10.0) - 2.0 * between) / 4.0;
        let cell_by_width = ((room.width() - gap) * 0.52 - theme.px(18.0) - 2.0 * between) / 4.0;
        let cell = cell_by_height.min(cell_by_width).max(16.0).floor();
        let group = 2.0 * cell + between;
        let maps = 2.0 * group + theme.px(18.0);
        let side = (room.width() - gap - maps).min(room.height() - header).max(64.0).floor();
        let spare = (room.width() - gap - maps - side).max(0.0);
        let left = room.left() + (spare * 0.5).floor();
        let maps_height = 2.0 * (header + group) + theme.px(10.0) + legend;
        let top = room.top() + ((room.height() - maps_height.max(side + header)) * 0.3).max(0.0).floor();
        self.picture_tile(cx, ui, Rect::from_min_size(pos2(left, top), vec2(side, side + header)));
        let origin = pos2(left + side + gap, top);
        self.heat_maps(cx, ui, origin, cell, between, maps);
    }

    fn side_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        self.explain(cx, ui);
    }

    fn is_settled(&self, cx: &LabContext<'_>) -> bool {
        let full = Self::request(cx, cx.work.guidance.steps);
        let stopped = cx.session.guidance.is_stopped();
        (self.picture.as_ref().is_some_and(|(r, ..)| *r == full) && self.frames.is_some()) || stopped
    }
}

fn eps_uncond() -> Math {
    sym("ε", Symbol::Unconditional).sub("∅")
}

fn eps_cond() -> Math {
    sym("ε", Symbol::Conditional).sub("c")
}

fn eps_guided() -> Math {
    sym("ε", Symbol::Guided).tilde()
}

impl Guidance {
    fn picture_tile(&self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let waiting = match (&cx.session.model, cx.session.progress(Slot::Guidance)) {
            (crate::ui::session::ModelState::Failed(_), _) => "No model is open.".to_owned(),
            (_, Some((done, total))) => format!("Denoising, step {done} of {total}"),
            _ if cx.session.guidance.is_stopped() => "The run was stopped.".to_owned(),
            _ => "Waiting for the model…".to_owned(),
        };
        let (texture, badge, extra, remark) = match &self.picture {
            Some((request, picture, ms)) => {
                let texture = cx.textures.get(ui.ctx(), theme, "guided picture", picture, Mapping::Rgb, true);
                let badge = if request.steps == COARSE_STEPS { Badge::Coarse } else { Badge::Refined };
                let refining = match cx.session.progress(Slot::Guidance) {
                    Some((done, total)) if total > COARSE_STEPS => format!(", refining {done}/{total}"),
                    _ => String::new(),
                };
                let remark = format!("w = {:.1}, {:.2} s{refining}", request.guidance_scale, ms / 1000.0);
                (Some(texture), badge, format!(", {} steps", request.steps), remark)
            }
            None => (None, Badge::Coarse, String::new(), String::new()),
        };
        let tile = Tile {
            symbol: row([sym("x", Symbol::Signal).sub("0")]),
            title: "the finished picture",
            badge: texture.map(|_| (badge, extra.as_str())),
            texture,
            waiting: &waiting,
            remark: &remark,
        };
        tile::show(ui, theme, rect, &tile);
    }

    fn heat_maps(&self, cx: &mut LabContext<'_>, ui: &mut Ui, origin: egui::Pos2, cell: f32, between: f32, wide: f32) {
        let theme = cx.theme;
        let p = theme.palette();
        let header = theme.px(HEADER);
        let group = 2.0 * cell + between;
        let negative = !cx.session.negative.trim().is_empty();
        let fields = self.fields.as_ref();
        let difference = row([eps_cond(), op("−"), eps_uncond()]);
        let plan: [(Math, &str, Option<&HostTensor>, Option<f64>); 4] = [
            (eps_uncond(), if negative { "negative prompt" } else { "without prompt" }, fields.map(|f| &f.uncond), fields.map(|f| f.comparison.norm_uncond)),
            (eps_cond(), "with prompt", fields.map(|f| &f.cond), fields.map(|f| f.comparison.norm_cond)),
            (difference, "", fields.map(|f| &f.difference), fields.map(|f| f.comparison.norm_difference)),
            (eps_guided(), "guided, this w", fields.map(|f| &f.guided), fields.map(|f| f.guided_norm)),
        ];
        for (i, (symbol, title, tensor, norm)) in plan.into_iter().enumerate() {
            let corner = origin + vec2((i % 2) as f32 * (group + theme.px(18.0)), (i / 2) as f32 * (header + group + theme.px(10.0)));
            let baseline = corner.y + header * 0.5 + theme.px(5.0);
            let left = corner.x + inline(ui.painter(), theme, &symbol, 20.0, pos2(corner.x, baseline)) + theme.px(10.0);
            let mut right = corner.x + group;
            if let Some(norm) = norm {
                let text = format!("‖·‖ {norm:.1}");
                let galley = ui.painter().layout_no_wrap(text, theme.font(Weight::Medium, 14.0), p.text);
                right -= galley.size().x;
                ui.painter().galley(pos2(right, baseline - galley.size().y * 0.78), galley, p.text);
            }
            let galley = ui.painter().layout_no_wrap(title.to_owned(), theme.font(Weight::Regular, 13.5), p.dim);
            if left + galley.size().x < right - theme.px(6.0) {
                ui.painter().galley(pos2(left, baseline - galley.size().y * 0.78), galley, p.dim);
            }
            for channel in 0..4 {
                let offset = vec2((channel % 2) as f32, (channel / 2) as f32) * (cell + between);
                let rect = Rect::from_min_size(corner + vec2(0.0, header) + offset, vec2(cell, cell));
                let mapping = Mapping::Heat { channel, range: cx.work.guidance.range };
                let texture = tensor
                    .filter(|t| t.shape().len() == 4 && t.shape()[1] > channel)
                    .map(|t| cx.textures.get(ui.ctx(), theme, ("eps", i, channel), t, mapping, false));
                tile::frame(ui, theme, rect, texture, "");
                let response = ui.interact(rect, ui.scope_id().with(("eps", i, channel)), egui::Sense::hover());
                if let Some(t) = tensor.filter(|t| t.shape().len() == 4 && t.shape()[1] > channel) {
                    response.on_hover_ui(|ui| cell_tip(ui, rect, t, channel));
                }
            }
        }
        let top = origin.y + 2.0 * (header + group) + theme.px(10.0) + theme.px(6.0);
        let row = Rect::from_min_size(pos2(origin.x, top), vec2(wide, theme.px(36.0)));
        let mut child = ui.new_child(UiBuilder::new().max_rect(row).layout(egui::Layout::left_to_right(egui::Align::Center)));
        let options: Vec<(f32, String)> = RANGES.iter().map(|r| (*r, format!("±{r}"))).collect();
        let options: Vec<(f32, &str, &str)> = options.iter().map(|(r, l)| (*r, l.as_str(), "Range of the colour scale that all four share.")).collect();
        segmented(&mut child, theme, &mut cx.work.guidance.range, &options);
        let rest = child.available_rect_before_wrap();
        tile::legend(&mut child, theme, Rect::from_min_max(pos2(rest.left() + theme.px(6.0), row.top()), row.max), cx.work.guidance.range);
    }

    fn explain(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        ui.label(egui::RichText::new("Guidance: past the prompt").font(theme.font(Weight::SemiBold, 21.0)));
        ui.add_space(theme.px(6.0));
        let scale = Self::scale(cx);
        let formula = row([
            eps_guided(),
            op("="),
            eps_uncond(),
            op("+"),
            sym("w", Symbol::Guided),
            word(" (", Symbol::Plain),
            eps_cond(),
            op("−"),
            eps_uncond(),
            word(")", Symbol::Plain),
        ]);
        equation(ui, theme, &formula, 23.0, "guided epsilon equals unconditional epsilon plus w times conditional minus unconditional epsilon");
        let live = row([
            eps_guided(),
            op("="),
            eps_uncond(),
            op("+"),
            num(scale, 2, 1, Symbol::Guided),
            word(" (", Symbol::Plain),
            eps_cond(),
            op("−"),
            eps_uncond(),
            word(")", Symbol::Plain),
        ]);
        equation(ui, theme, &live, 23.0, &format!("w is {scale:.1}"));
        let prime = paper_scale(scale);
        let other = row([
            word("the same as  ", Symbol::Quiet),
            word("(1", Symbol::Plain),
            op("+"),
            num(prime, 2, 1, Symbol::Guided),
            word(") ", Symbol::Plain),
            eps_cond(),
            op("−"),
            num(prime, 2, 1, Symbol::Guided),
            word(" ", Symbol::Plain),
            eps_uncond(),
        ]);
        equation(ui, theme, &other, 17.0, &format!("in the paper's convention w prime is {prime:.1}"));
        ui.add_space(theme.px(6.0));
        let frame = self.frame(cx.clock.position()).cloned();
        if let (Some(fields), Some(frame), Some((request, _))) = (&self.fields, frame, &self.frames) {
            let c = &fields.comparison;
            readout(ui, theme, "‖ε∅‖", &format!("{:.2}", c.norm_uncond), Symbol::Unconditional);
            readout(ui, theme, "‖εc‖", &format!("{:.2}", c.norm_cond), Symbol::Conditional);
            readout(ui, theme, "‖εc − ε∅‖", &format!("{:.2}", c.norm_difference), Symbol::Plain);
            readout(ui, theme, "‖ε̃‖", &format!("{:.2}", fields.guided_norm), Symbol::Guided);
            readout(ui, theme, "angle between εc and ε∅", &format!("{:.1}°", c.angle_degrees), Symbol::Plain);
            let text = format!(
                "At x_t of the run with w = {:.1}, t = {:.0} ({} steps). The guided field is for the w of the slider.",
                request.guidance_scale, frame.timestep, request.steps
            );
            ui.add_space(theme.px(4.0));
            ui.label(egui::RichText::new(text).font(theme.small()).color(theme.palette().dim));
        }
        ui.add_space(theme.px(8.0));
        paragraph(
            ui,
            theme,
            "The model answers twice: once knowing the prompt, once not. The difference points to what the prompt adds. Guidance \
             walks further that way than the model would. Too little ignores the prompt, too much burns the picture.",
        );
        section(ui, theme, "Full run");
        let mut steps = cx.work.guidance.steps as f64;
        let spec = Spec {
            name: "Steps",
            hint: "Steps of the refined run. A drag is answered with 6 steps first.",
            range: (COARSE_STEPS + 1) as f64..=100.0,
            logarithmic: true,
            decimals: 0,
            symbol: Symbol::Plain,
        };
        slider::show(ui, theme, &mut steps, &spec);
        cx.work.guidance.steps = steps as usize;
        if let Some((done, total)) = cx.session.progress(Slot::Guidance)
            && progress(ui, theme, if total > COARSE_STEPS { "Refining" } else { "Coarse" }, done, total)
        {
            cx.session.cancel(Slot::Guidance);
        }
        if cx.session.guidance.is_stopped() && text_button(ui, theme, None, "Run again", "Starts the stopped run anew.").clicked() {
            cx.session.guidance.retry();
        }
    }
}

/// The value under the pointer.
fn cell_tip(ui: &mut Ui, rect: Rect, tensor: &HostTensor, channel: usize) {
    let (height, width) = (tensor.shape()[2], tensor.shape()[3]);
    let Some(pointer) = ui.ctx().pointer_latest_pos() else { return };
    let at = |v: f32, from: f32, size: f32, count: usize| (((v - from) / size * count as f32).max(0.0) as usize).min(count - 1);
    let (x, y) = (at(pointer.x, rect.left(), rect.width(), width), at(pointer.y, rect.top(), rect.height(), height));
    let value = tensor.data()[channel * height * width + y * width + x];
    ui.label(format!("[0, {channel}, {y}, {x}]  {}", crate::ui::widgets::math::format_number(f64::from(value), 1, 4)));
}
