//! What the lab shows: the picture, the four fields, the right panel.

use super::{COARSE_STEPS, Guidance, RANGES};
use crate::diffusion::guidance::paper_scale;
use crate::host::HostTensor;
use crate::ui::labs::LabContext;
use crate::ui::theme::{Symbol, Weight};
use crate::ui::widgets::controls::{math_readout, paragraph, progress, section, segmented, text_button};
use crate::ui::widgets::math::{Math, equation, figures, inline, op, row, sym, word};
use crate::ui::widgets::slider::{self, Spec};
use crate::ui::widgets::textures::{Mapping, Scale};
use crate::ui::widgets::tile::{self, Badge, HEADER, Tile};
use crate::worker::protocol::Slot;
use egui::{Rect, Ui, UiBuilder, pos2, vec2};

fn eps_uncond() -> Math {
    sym("ε", Symbol::Unconditional).with_index("∅")
}

fn eps_cond() -> Math {
    sym("ε", Symbol::Conditional).with_index("c")
}

fn eps_guided() -> Math {
    sym("ε", Symbol::Guided).tilde()
}

impl Guidance {
    pub(super) fn picture_tile(&self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let waiting = match (&cx.session.model, cx.session.progress(Slot::Guidance)) {
            (crate::ui::session::ModelState::Failed(_), _) => "No model is open.".to_owned(),
            (_, Some((done, total))) => format!("Denoising, step {done} of {total}"),
            _ if cx.session.guidance.is_stopped() => "The run was stopped.".to_owned(),
            (crate::ui::session::ModelState::Opening, _) => "Opening the model…".to_owned(),
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
            symbol: row([sym("x", Symbol::Signal).with_index("0")]),
            title: "the finished picture",
            badge: texture.map(|_| (badge, extra.as_str())),
            texture,
            waiting: &waiting,
            remark: &remark,
        };
        tile::show(ui, theme, rect, &tile);
    }

    /// The four channels of x_t, which both predictions look at, where there is room for them.
    pub(super) fn input_strip(&self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let gap = theme.px(6.0);
        let words = theme.px(130.0);
        let edge = rect.height().min((rect.width() - words - 3.0 * gap) / 4.0).floor();
        let Some(frame) = self.frame(cx.clock.position()).cloned().filter(|_| edge >= theme.px(40.0)) else { return };
        let symbol = row([sym("x", Symbol::Plain).with_index("t")]);
        inline(ui.painter(), theme, &symbol, 20.0, pos2(rect.left(), rect.top() + theme.px(18.0)));
        let text =
            ui.painter().layout("what both predictions look at".to_owned(), theme.small(), theme.palette().dim, words - theme.px(20.0));
        ui.painter().galley(pos2(rect.left(), rect.top() + theme.px(28.0)), text, theme.palette().dim);
        for channel in 0..4.min(frame.x.shape().get(1).copied().unwrap_or(0)) {
            let left = rect.right() - (4 - channel) as f32 * edge - (3 - channel) as f32 * gap;
            let cell = Rect::from_min_size(pos2(left, rect.top()), vec2(edge, edge));
            let mapping = Mapping::Heat { channel, range: cx.work.guidance.range, scale: cx.work.guidance.scale };
            let texture = cx.textures.get(ui.ctx(), theme, ("x_t", channel), &frame.x, mapping, false);
            tile::frame(ui, theme, cell, Some(texture), "");
            ui.interact(cell, ui.scope_id().with(("x_t", channel)), egui::Sense::hover())
                .on_hover_ui(|ui| cell_tip(ui, cell, &frame.x, channel));
        }
    }

    pub(super) fn heat_maps(&self, cx: &mut LabContext<'_>, ui: &mut Ui, origin: egui::Pos2, cell: f32, between: f32, wide: f32) {
        let theme = cx.theme;
        let p = theme.palette();
        let header = theme.px(HEADER);
        let group = 2.0 * cell + between;
        let negative = !cx.session.negative.trim().is_empty();
        let fields = self.fields.as_ref();
        let difference = row([eps_cond(), op("−"), eps_uncond()]);
        let plan: [(Math, &str, Option<&HostTensor>, Option<f64>); 4] = [
            (
                eps_uncond(),
                if negative { "negative prompt" } else { "no prompt" },
                fields.map(|f| &f.uncond),
                fields.map(|f| f.comparison.norm_uncond),
            ),
            (eps_cond(), "prompt", fields.map(|f| &f.cond), fields.map(|f| f.comparison.norm_cond)),
            (difference, "difference", fields.map(|f| &f.difference), fields.map(|f| f.comparison.norm_difference)),
            (eps_guided(), "guided", fields.map(|f| &f.guided), fields.map(|f| f.guided_norm)),
        ];
        for (i, (symbol, title, tensor, norm)) in plan.into_iter().enumerate() {
            let corner = origin + vec2((i % 2) as f32 * (group + theme.px(18.0)), (i / 2) as f32 * (header + group + theme.px(10.0)));
            let baseline = corner.y + header * 0.5 + theme.px(5.0);
            let left = corner.x + inline(ui.painter(), theme, &symbol, 20.0, pos2(corner.x, baseline)) + theme.px(10.0);
            let mut right = corner.x + group;
            if let Some(norm) = norm {
                let text = format!("norm {norm:.1}");
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
                let mapping = Mapping::Heat { channel, range: cx.work.guidance.range, scale: cx.work.guidance.scale };
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
        let options: Vec<(f32, &str, &str)> =
            options.iter().map(|(r, l)| (*r, l.as_str(), "Range of the colour scale that all four share.")).collect();
        segmented(&mut child, theme, &mut cx.work.guidance.range, &options);
        let scales = [
            (Scale::Root, "√", "Colours by the square root of the value: the small difference shows beside the large predictions."),
            (Scale::Linear, "lin", "Colours in proportion to the value."),
        ];
        segmented(&mut child, theme, &mut cx.work.guidance.scale, &scales);
        let rest = child.available_rect_before_wrap();
        tile::legend(
            &mut child,
            theme,
            Rect::from_min_max(pos2(rest.left() + theme.px(6.0), row.top()), row.max),
            cx.work.guidance.range,
            cx.work.guidance.scale,
        );
    }

    pub(super) fn explain(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
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
        equation(
            ui,
            theme,
            &formula,
            23.0,
            "guided epsilon equals unconditional epsilon plus w times conditional minus unconditional epsilon",
        );
        let live = row([
            eps_guided(),
            op("="),
            eps_uncond(),
            op("+"),
            figures(scale, Symbol::Guided),
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
            figures(prime, Symbol::Guided),
            word(") ", Symbol::Plain),
            eps_cond(),
            op("−"),
            figures(prime, Symbol::Guided),
            word(" ", Symbol::Plain),
            eps_uncond(),
        ]);
        equation(ui, theme, &other, 17.0, &format!("in the paper's convention w prime is {prime:.1}"));
        ui.add_space(theme.px(6.0));
        let frame = self.frame(cx.clock.position()).cloned();
        if let (Some(fields), Some(frame), Some((request, _))) = (&self.fields, frame, &self.frames) {
            let c = &fields.comparison;
            let difference = row([eps_cond(), op("−"), eps_uncond()]);
            for (name, spoken, value, symbol) in [
                (eps_uncond(), "norm of unconditional epsilon", c.norm_uncond, Symbol::Unconditional),
                (eps_cond(), "norm of conditional epsilon", c.norm_cond, Symbol::Conditional),
                (difference, "norm of the difference", c.norm_difference, Symbol::Plain),
                (eps_guided(), "norm of guided epsilon", fields.guided_norm, Symbol::Guided),
            ] {
                let name = row([word("norm of ", Symbol::Quiet), name]);
                math_readout(ui, theme, &name, spoken, &format!("{value:.2}"), symbol);
            }
            let name = row([word("angle of ", Symbol::Quiet), eps_cond(), word(" to ", Symbol::Quiet), eps_uncond()]);
            math_readout(ui, theme, &name, "angle between them", &format!("{:.1}°", c.angle_degrees), Symbol::Plain);
            let text = format!(
                "At t = {1:.0} of the run with w = {0:.1} and {2} steps. The guided field is for the w of the slider.",
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
