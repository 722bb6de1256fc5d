//! The panel at the side: the schedule in focus as an equation with live numbers, and its parameters.

use super::Schedules;
use crate::diffusion::SCHEDULES;
use crate::ui::labs::LabContext;
use crate::ui::theme::{Symbol, Weight};
use crate::ui::widgets::controls::{math_readout, paragraph, section, text_button};
use crate::ui::widgets::math::{self, equation, num, op, row, scientific, sym, word};
use crate::ui::widgets::meaning::Meaning;
use crate::ui::widgets::slider::{self, Spec};
use egui::Ui;

impl Schedules {
    pub(super) fn explain(&self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        let index = SCHEDULES.iter().position(|s| s.id == cx.work.schedules.focus).unwrap_or(0);
        let info = &SCHEDULES[index];
        let curves = &self.curves[index];
        let timestep = cx.clock.timestep();
        ui.label(egui::RichText::new(info.label).font(theme.font(Weight::SemiBold, 21.0)));
        ui.label(egui::RichText::new(info.paper).font(theme.small()).color(theme.palette().dim));
        ui.add_space(theme.px(6.0));
        let alpha = || sym("α", Symbol::Signal).bar().with_index("t").meaning(Meaning::AlphaBar);
        let product = row([
            alpha(),
            op("="),
            math::raw(r"\prod_{s=0}^{t}"),
            word(" (1 − ", Symbol::Plain),
            sym("β", Symbol::Plain).with_index("s").meaning(Meaning::Beta),
            word(")", Symbol::Plain),
        ]);
        equation(ui, theme, &product, 22.0, "alpha bar t is the product of 1 minus beta s for all s up to t");
        if let Some(level) = curves.level(timestep) {
            let live = row([alpha(), op("="), num(level.alpha_bar(), 1, 4, Symbol::Signal)]);
            equation(ui, theme, &live, 22.0, &format!("alpha bar at t {timestep} is {:.4}", level.alpha_bar()));
            let bar = |symbol| sym("α", symbol).bar().with_index("t");
            let beta = sym("β", Symbol::Plain).with_index("t");
            let signal = row([bar(Symbol::Signal).sqrt(), word(" times the picture", Symbol::Quiet)]);
            let noise = row([word("1 − ", Symbol::Noise), bar(Symbol::Noise)]).sqrt();
            let noise = row([noise, word(" times the noise", Symbol::Quiet)]);
            let snr = row([bar(Symbol::Plain), word("/(1 − ", Symbol::Plain), bar(Symbol::Plain), word(")", Symbol::Plain)]);
            let snr = row([word("SNR ", Symbol::Quiet), snr]);
            for (name, spoken, value, symbol) in [
                (beta, "beta", scientific(curves.beta_at(timestep).unwrap_or(0.0)), Symbol::Plain),
                (signal, "root alpha bar, times the picture", format!("{:.4}", level.alpha), Symbol::Signal),
                (noise, "root of 1 minus alpha bar, times the noise", format!("{:.4}", level.sigma), Symbol::Noise),
                (snr, "signal-to-noise ratio", scientific(level.snr()), Symbol::Plain),
            ] {
                math_readout(ui, theme, &name, spoken, &value, symbol);
            }
        }
        ui.add_space(theme.px(8.0));
        paragraph(
            ui,
            theme,
            "A schedule decides at which t the picture drowns. All four pictures below carry the very same noise; only its share \
             differs. A schedule that fades too early spends most of its steps on pure noise, where there is little to learn.",
        );
        section(ui, theme, "Parameters");
        let mut params = cx.work.schedules.params_of(index);
        if info.params.is_empty() {
            ui.label(egui::RichText::new("This schedule has none.").color(theme.palette().dim));
        }
        for (value, param) in params.iter_mut().zip(info.params) {
            let log = param.min > 0.0 && param.max / param.min > 50.0;
            let decimals = if param.max < 0.1 || log { 5 } else { 3 };
            let hint = format!("Default {}", param.default);
            let spec =
                Spec { name: param.label, hint: &hint, range: param.min..=param.max, logarithmic: log, decimals, symbol: Symbol::Plain };
            slider::show_with_default(ui, theme, value, &spec, param.default);
        }
        if params != cx.work.schedules.params_of(index) {
            cx.work.schedules.params.insert(info.id.to_owned(), params);
        }
        if let Some(problem) = &curves.problem {
            let text = format!("These parameters give no schedule: {problem}. The curves of the last that did are shown.");
            ui.label(egui::RichText::new(text).font(theme.small()).color(theme.palette().danger));
        }
        ui.add_enabled_ui(cx.work.schedules.params.contains_key(info.id), |ui| {
            if text_button(ui, theme, None, "Defaults", "Puts the parameters of this schedule back.").clicked() {
                cx.work.schedules.params.remove(info.id);
            }
        });
    }
}
