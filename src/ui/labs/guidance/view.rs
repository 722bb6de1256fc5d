//! What the lab shows: the picture, what both predictions look at, the four fields, the right panel.

use super::plan::Plan;
use super::{COARSE_STEPS, Guidance, RANGES, Settings};
use crate::diffusion::guidance::paper_scale;
use crate::host::HostTensor;
use crate::ui::labs::LabContext;
use crate::ui::labs::formula::{self, eps_cond, eps_guided, eps_uncond};
use crate::ui::labs::reading::{Kind, Reading};
use crate::ui::labs::zoom::{Level, Operation, Part};
use crate::ui::theme::{Symbol, Theme, Weight};
use crate::ui::widgets::channels::{self, Look};
use crate::ui::widgets::controls::{focus_ring, math_readout, paragraph, progress, section, segmented, text_button};
use crate::ui::widgets::math::{Math, equation, figures, inline, op, row, sym, word};
use crate::ui::widgets::meaning::{self, Meaning};
use crate::ui::widgets::slider::{self, Spec};
use crate::ui::widgets::textures::{Mapping, Scale};
use crate::ui::widgets::tile::{self, Badge, HEADER, Tile};
use crate::worker::protocol::{RunRequest, Slot};
use egui::{Pos2, Rect, Role, Sense, Ui, UiBuilder, WidgetInfo, pos2, vec2};

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
        let (texture, badge, extra, remark) = match self.best_picture(cx) {
            Some((scale, steps, picture, ms)) => {
                let badge = if steps == COARSE_STEPS { Badge::Coarse } else { Badge::Refined };
                let refining = match cx.session.progress(Slot::Guidance) {
                    Some((done, total)) if total > COARSE_STEPS => format!(", refining {done}/{total}"),
                    _ => String::new(),
                };
                let remark = format!("w = {scale:.1}, {:.2} s{refining}", ms / 1000.0);
                let picture = picture.clone();
                let texture = cx.textures.get(ui.ctx(), theme, "guided picture", &picture, Mapping::Rgb, true);
                (Some(texture), badge, format!(", {steps} steps"), remark)
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

    /// The picture to show large, with its scale, its steps and its wall time: the finished run of the slider, or the strip's
    /// picture of the same run, which may be there first.
    fn best_picture<'a>(&'a self, cx: &'a LabContext<'_>) -> Option<(f64, usize, &'a HostTensor, f64)> {
        let full = Self::request(cx, cx.work.guidance.steps);
        let own = self.picture.as_ref().map(|(request, picture, ms)| (request.guidance_scale, request.steps, picture, *ms));
        let is_full = self.picture.as_ref().is_some_and(|(request, ..)| *request == full);
        let is_coarse = self.picture.as_ref().is_some_and(|(request, ..)| *request == RunRequest { steps: COARSE_STEPS, ..full.clone() });
        match self.strip_picture(cx) {
            Some(strip) if !is_full && (strip.1 == full.steps || !is_coarse) => Some(strip),
            _ => own,
        }
    }

    /// What both predictions look at, where there is room for it, and the four fields below.
    pub(super) fn heat_maps(&self, cx: &mut LabContext<'_>, ui: &mut Ui, room: Rect) {
        let theme = cx.theme;
        let plan = &Plan::new(theme, room.size(), cx.latent_channels());
        let origin = room.min + vec2(((room.width() - plan.size(theme).x) * 0.5).max(0.0).floor(), 0.0);
        let Settings { range, scale, .. } = cx.work.guidance;
        let negative = !cx.session.negative.trim().is_empty();
        if let Some((corner, grid)) = plan.input(theme, origin) {
            let frame = self.frame(cx.clock.position()).cloned();
            let x = frame.as_ref().map(|frame| &frame.x);
            let heading = (row([sym("x", Symbol::Plain).with_index("t")]), "what both predictions look at", None);
            field_header(ui, theme, corner, grid.size().x, heading);
            let look = Look { slot: "x_t", range, scale };
            channels::show(ui, theme, cx.textures, corner + vec2(0.0, theme.px(HEADER)), &grid, x, look);
        }
        let fields = self.fields.as_ref();
        let difference = row([eps_cond(), op("−"), eps_uncond()]);
        let shown: [(Math, &str, Option<&HostTensor>, Option<f64>); 4] = [
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
        let meanings = [Meaning::Unconditional, Meaning::Conditional, Meaning::Scale, Meaning::Guided];
        let mut pressed = None;
        for (i, (symbol, title, tensor, norm)) in shown.into_iter().enumerate() {
            let corner = plan.field(theme, origin, i);
            field_header(ui, theme, corner, plan.grid.size().x, (symbol, title, norm));
            let corner = corner + vec2(0.0, theme.px(HEADER));
            let place = Rect::from_min_size(corner, plan.grid.size());
            let response = ui.interact(place, ui.scope_id().with(("field", i)), Sense::click());
            response.widget_info(|| WidgetInfo::labeled(Role::Button, tensor.is_some(), format!("Field, {title}")));
            let look = Look { slot: ("eps", i), range, scale };
            channels::show(ui, theme, cx.textures, corner, &plan.grid, tensor, look);
            focus_ring(ui, theme, &response, place, 6.0);
            meaning::mark(ui, theme, place, meanings[i]);
            if response.clicked() {
                let under = response.interact_pointer_pos().and_then(|at| plan.grid.place_at(corner, at));
                pressed = Some(under.unwrap_or((0, [0.5, 0.5])));
            }
            response.on_hover_cursor(egui::CursorIcon::ZoomIn);
        }
        if let Some((channel, at)) = pressed {
            cx.zoom.look(Level::Operation, channel, at);
        }
        let row = plan.legend(theme, origin);
        let mut child = ui.new_child(UiBuilder::new().max_rect(row).layout(egui::Layout::left_to_right(egui::Align::Center)));
        let options: Vec<(f32, String)> = RANGES.iter().map(|r| (*r, format!("±{r}"))).collect();
        let options: Vec<(f32, &str, &str)> =
            options.iter().map(|(r, l)| (*r, l.as_str(), "Range of the colour scale that all heat maps here share.")).collect();
        segmented(&mut child, theme, &mut cx.work.guidance.range, &options);
        let scales = [
            (Scale::Root, "√", "Colours by the square root of the value: the small difference shows beside the large predictions."),
            (Scale::Linear, "lin", "Colours in proportion to the value."),
        ];
        segmented(&mut child, theme, &mut cx.work.guidance.scale, &scales);
        let rest = child.available_rect_before_wrap();
        let bar = Rect::from_min_max(pos2(rest.left() + theme.px(6.0), row.top()), row.max);
        tile::legend(&mut child, theme, bar, cx.work.guidance.range, cx.work.guidance.scale);
    }

    /// The operation behind the fields.
    pub(super) fn operation(&self, cx: &LabContext<'_>) -> Option<Operation> {
        let fields = self.fields.as_ref()?;
        let negative = if cx.session.negative.trim().is_empty() { "without the prompt" } else { "against the negative prompt" };
        let given = [
            Part::new(eps_cond(), "with the prompt", Meaning::Conditional, fields.cond.clone()),
            Part::new(eps_uncond(), negative, Meaning::Unconditional, fields.uncond.clone()),
        ];
        let reading = Reading::Guided { scale: fields.scale, tensors: [fields.uncond.clone(), fields.cond.clone(), fields.guided.clone()] };
        let timestep = self.frame(cx.clock.position()).map_or(cx.clock.position(), |frame| frame.timestep);
        let Settings { range, scale, .. } = cx.work.guidance;
        Some(Operation {
            title: format!("Beyond the prompt at t = {timestep:.0}"),
            kind: Kind::Latents,
            reading,
            given,
            look: (range, scale),
        })
    }

    pub(super) fn explain(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        ui.label(egui::RichText::new("Guidance: past the prompt").font(theme.font(Weight::SemiBold, 21.0)));
        ui.add_space(theme.px(6.0));
        let scale = self.acting_scale(cx);
        for (math, spoken) in [formula::guided(), formula::guided_at(scale)] {
            equation(ui, theme, &math, 23.0, &spoken);
        }
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
            let whose = if scale == Self::scale(cx) { "for the w of the slider." } else { "for w = 1: this t is outside the interval." };
            let text = format!(
                "At t = {1:.0} of the run with w = {0:.1} and {2} steps. The guided field is {whose}",
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
        slider::show_with_default(ui, theme, &mut steps, &spec, 20.0);
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

/// The line above a field: its symbol, a word about it where there is room, its norm at the right.
fn field_header(ui: &Ui, theme: &Theme, corner: Pos2, width: f32, (symbol, title, norm): (Math, &str, Option<f64>)) {
    let p = theme.palette();
    let baseline = corner.y + theme.px(HEADER) * 0.5 + theme.px(5.0);
    let left = corner.x + inline(ui.painter(), theme, &symbol, 20.0, pos2(corner.x, baseline)) + theme.px(10.0);
    let mut right = corner.x + width;
    if let Some(norm) = norm {
        let galley = ui.painter().layout_no_wrap(format!("norm {norm:.1}"), theme.font(Weight::Medium, 14.0), p.text);
        right -= galley.size().x;
        ui.painter().galley(pos2(right, baseline - galley.size().y * 0.78), galley, p.text);
    }
    let galley = ui.painter().layout_no_wrap(title.to_owned(), theme.font(Weight::Regular, 13.5), p.dim);
    if left + galley.size().x < right - theme.px(6.0) {
        ui.painter().galley(pos2(left, baseline - galley.size().y * 0.78), galley, p.dim);
    }
}
