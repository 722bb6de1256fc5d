//! The right panel: the equation that is followed, the sampler in focus, the settings of the race.

use super::lanes::seconds;
use super::{Matching, Samplers};
use crate::diffusion::SamplerInfo;
use crate::ui::labs::LabContext;
use crate::ui::theme::{Symbol, Weight};
use crate::ui::widgets::controls::{paragraph, progress, readout, section, text_button};
use crate::ui::widgets::math::{equation, op, row, sym, word};
use crate::ui::widgets::slider::{self, Spec};
use crate::worker::protocol::Slot;
use egui::Ui;

impl Samplers {
    pub(super) fn explain(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        ui.label(egui::RichText::new("Samplers: one noise, many ways").font(theme.font(Weight::SemiBold, 21.0)));
        ui.add_space(theme.px(6.0));
        let x = || sym("x", Symbol::Plain);
        let sigma = || sym("σ", Symbol::Noise);
        let x0_hat = sym("x", Symbol::Signal).hat().with_index("0");
        let slope = row([word("d", Symbol::Plain), x()]).over(row([word("d", Symbol::Noise), sigma()]));
        let formula = row([slope, op("="), row([x(), op("−"), x0_hat]).over(sigma())]);
        equation(ui, theme, &formula, 23.0, "d x over d sigma equals x minus x 0 hat, over sigma");
        ui.label(
            egui::RichText::new("here x stands for x/α and σ for σ/α (Karras et al. 2022, eq. 1 and 3)")
                .font(theme.small())
                .color(theme.palette().dim),
        );
        ui.add_space(theme.px(8.0));
        self.focus_ui(cx, ui);
        self.settings_ui(cx, ui);
        ui.add_space(theme.px(8.0));
        paragraph(
            ui,
            theme,
            "The model only says where it believes the clean picture is. A sampler decides how to walk there: a straight step, a step \
             with a second look, a step that remembers the last ones, or one that adds fresh noise. All lanes start from the same noise.",
        );
    }

    /// The sampler of the lane in focus.
    fn focus_ui(&self, cx: &LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        let index = self.lit(cx);
        let Some(choice) = cx.work.samplers.lanes.get(index) else { return };
        let Some(info) = SamplerInfo::find(&choice.sampler) else { return };
        let hue = theme.palette().lanes[index];
        ui.label(egui::RichText::new(info.label).font(theme.font(Weight::SemiBold, 16.0)).color(hue));
        ui.label(egui::RichText::new(info.paper).font(theme.small()).color(theme.palette().dim));
        let order = info.order.map_or("none".to_owned(), |order| order.to_string());
        readout(ui, theme, "order of accuracy", &order, Symbol::Plain);
        readout(ui, theme, "evaluations a step", &info.evaluations_per_step.to_string(), Symbol::Plain);
        let looks = if info.history == 0 { "no".to_owned() } else { info.history.to_string() };
        readout(ui, theme, "earlier steps it uses", &looks, Symbol::Plain);
        readout(ui, theme, "fresh noise", if info.stochastic { "every step" } else { "none" }, Symbol::Noise);
        let lane = cx.session.race.lanes().get(index);
        if let Some(end) = lane.and_then(|lane| lane.end.as_ref()) {
            readout(ui, theme, "time, without decoding", &seconds(end.elapsed_ms), Symbol::Plain);
            let each = end.elapsed_ms / end.evaluations.max(1) as f64;
            readout(ui, theme, "time of an evaluation", &format!("{each:.1} ms"), Symbol::Plain);
        }
        let places = cx.session.race.map().and_then(|map| map.lanes.get(index)?.last().copied());
        if let Some(place) = places {
            readout(ui, theme, "distance at the end", &format!("{:.4}", place.distance), Symbol::Plain);
        }
        if !info.supports.any_denoiser {
            let text =
                "Made for consistency models, which jump to the picture from any noise; with this model its pictures are no fair samples.";
            ui.label(egui::RichText::new(text).font(theme.small()).color(theme.palette().dim));
        }
    }

    fn settings_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        section(ui, theme, "Race");
        if cx.work.samplers.matching != Matching::Free {
            let mut budget = cx.work.samplers.budget as f64;
            let evaluations = cx.work.samplers.matching == Matching::Evaluations;
            let spec = Spec {
                name: if evaluations { "Evaluations" } else { "Steps" },
                hint: "The same for every lane.",
                range: 2.0..=200.0,
                logarithmic: true,
                decimals: 0,
                symbol: Symbol::Plain,
            };
            slider::show_with_default(ui, theme, &mut budget, &spec, 20.0);
            cx.work.samplers.budget = budget as usize;
        }
        let own = cx.session.card.as_ref().map_or(5.0, |card| card.default_guidance);
        let mut scale = Self::scale(cx);
        let before = scale;
        let spec = Spec {
            name: "Guidance w",
            hint: "The same for every lane: ε = ε∅ + w (εc − ε∅).",
            range: 0.0..=20.0,
            logarithmic: false,
            decimals: 1,
            symbol: Symbol::Guided,
        };
        slider::show_with_default(ui, theme, &mut scale, &spec, own);
        if scale != before {
            cx.work.samplers.guidance_scale = Some(scale);
        }
        if cx.session.race.is_running()
            && let Some((done, total)) = cx.session.progress(Slot::Race)
            && progress(ui, theme, "Racing", done, total)
        {
            cx.session.cancel(Slot::Race);
        }
        if cx.session.race.is_stopped() && text_button(ui, theme, None, "Race again", "Starts the stopped race anew.").clicked() {
            cx.session.race.retry();
        }
    }
}
