//! The panel at the side: the schedule in focus as an equation with live numbers, what is in view, and its parameters.

use super::curves::Curves;
use super::known::{FREE, Known, LEARNED, definition, known, position};
use super::{STEPS, Schedules, View, learning, weights};
use crate::diffusion::objective::{MIN_SNR_GAMMA, eps_weight};
use crate::diffusion::{Level, ScheduleInfo};
use crate::ui::labs::LabContext;
use crate::ui::theme::{Symbol, Weight};
use crate::ui::widgets::controls::{Look, icon_button, math_readout, paragraph, progress, readout, section, segmented, text_button};
use crate::ui::widgets::icons::Icon;
use crate::ui::widgets::math::{self, Math, equation, num, op, row, scientific, sym, word};
use crate::ui::widgets::meaning::Meaning;
use crate::ui::widgets::slider::{self, Spec};
use crate::worker::protocol::Slot;
use egui::Ui;

const TERMINAL: &[(bool, &str, &str)] = &[
    (false, "As it is", "The last timestep still holds a little of the picture."),
    (
        true,
        "Zero terminal SNR",
        "Shifted so that the last timestep holds nothing of the picture at all (Lin et al. 2023, arXiv 2305.08891).",
    ),
];

impl Schedules {
    pub(super) fn explain(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        let index = Self::focus(cx);
        let info = known(index);
        let level = self.curves[index].level(cx.clock.timestep());
        // Each formula stands under its own source.
        let (title, source) = match cx.work.schedules.view {
            View::Curves | View::Sampling => (info.label, info.paper),
            View::Weights => ("Where the effort goes", "Kingma and Gao 2023, arXiv 2303.00848"),
            View::Learning => ("Learned", known(LEARNED).paper),
        };
        ui.label(egui::RichText::new(title).font(theme.font(Weight::SemiBold, 21.0)));
        ui.label(egui::RichText::new(source).font(theme.small()).color(theme.palette().dim));
        ui.add_space(theme.px(6.0));
        match cx.work.schedules.view {
            View::Curves => self.product(cx, ui, level),
            View::Weights => self.effort(cx, ui, info, level),
            View::Sampling => self.sampled(cx, ui, index),
            View::Learning => self.learned_ui(cx, ui, index),
        }
        if cx.work.schedules.view != View::Learning {
            self.parameters(cx, ui, index, info);
        }
    }

    /// What `alpha_bar` is made of, and the numbers at the clock's timestep.
    fn product(&self, cx: &LabContext<'_>, ui: &mut Ui, level: Option<Level>) {
        let theme = cx.theme;
        let timestep = cx.clock.timestep();
        let (definition, spoken) = definition(Self::focus(cx));
        equation(ui, theme, &math::raw(definition), 17.0, spoken);
        let alpha = || sym("α", Symbol::Signal).bar().with_index("t").meaning(Meaning::AlphaBar);
        let product = row([
            alpha(),
            op("="),
            math::raw(r"\prod_{i=0}^{t}"),
            word(" (1 − ", Symbol::Plain),
            sym("β", Symbol::Plain).with_index("i").meaning(Meaning::Beta),
            word(")", Symbol::Plain),
        ]);
        equation(ui, theme, &product, 22.0, "alpha bar t is the product of 1 minus beta i for all i up to t");
        if let Some(level) = level {
            let live = row([alpha(), op("="), num(level.alpha_bar(), 1, 4, Symbol::Signal)]);
            equation(ui, theme, &live, 22.0, &format!("alpha bar at t {timestep} is {:.4}", level.alpha_bar()));
            let bar = |symbol| sym("α", symbol).bar().with_index("t");
            let beta = sym("β", Symbol::Plain).with_index("t");
            let signal = row([bar(Symbol::Signal).sqrt(), word(" times the picture", Symbol::Quiet)]);
            let noise = row([word("1 − ", Symbol::Noise), bar(Symbol::Noise)]).sqrt();
            let noise = row([noise, word(" times the noise", Symbol::Quiet)]);
            let snr = row([bar(Symbol::Plain), word("/(1 − ", Symbol::Plain), bar(Symbol::Plain), word(")", Symbol::Plain)]);
            let snr = row([word("SNR ", Symbol::Quiet), snr]);
            let beta_now = self.curves[Self::focus(cx)].beta_at(timestep).unwrap_or(0.0);
            for (name, spoken, value, symbol) in [
                (beta, "beta", scientific(beta_now), Symbol::Plain),
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
            "A schedule decides at which t the picture drowns. All pictures below carry the very same noise; only its share differs. A \
             schedule that fades too early spends most of its steps on pure noise, where there is little to learn.",
        );
    }

    /// What training does with the schedule in focus.
    fn effort(&self, cx: &LabContext<'_>, ui: &mut Ui, info: Known, level: Option<Level>) {
        let theme = cx.theme;
        let own = &cx.work.schedules;
        let looks = level.and_then(|level| weights::density_at(&self.curves[Self::focus(cx)].density, level));
        let of_lambda =
            |name: &str, symbol| row([sym(name, symbol), word("(", Symbol::Plain), sym("λ", Symbol::Plain), word(")", Symbol::Plain)]);
        let formula = row([
            sym("L", Symbol::Plain),
            op("="),
            math::raw(r"\int "),
            of_lambda("w", Symbol::Guided),
            math::raw(r"\,\|\varepsilon-\hat\varepsilon\|^2\,"),
            word("d", Symbol::Plain),
            sym("λ", Symbol::Plain),
        ]);
        equation(ui, theme, &formula, 20.0, "the loss is the integral of a weight times the squared error of the noise over lambda");
        let parts = row([of_lambda("w", Symbol::Guided), op("="), of_lambda("p", Symbol::Plain), of_lambda("c", Symbol::Plain)]);
        equation(ui, theme, &parts, 20.0, "the weight is how often training looks times what an error counts");
        let names = row([sym("λ", Symbol::Plain), op("="), math::raw(r"\log_{10}\mathrm{SNR}")]);
        equation(ui, theme, &names, 17.0, "lambda is the logarithm of the signal-to-noise ratio to the base of ten");
        ui.label(egui::RichText::new(format!("{}, at the clock", info.label)).font(theme.small()).color(theme.palette().dim));
        if let Some(level) = level {
            let counts = eps_weight(own.compared.prediction(), level, own.min_snr.then_some(MIN_SNR_GAMMA));
            readout(ui, theme, "SNR", &scientific(level.snr()), Symbol::Plain);
            if let Some(looks) = looks {
                readout(ui, theme, "how often it looks, p", &scientific(looks), Symbol::Plain);
                readout(ui, theme, "what an error of ε counts, c", &scientific(counts), Symbol::Plain);
                readout(ui, theme, "weight w", &scientific(looks * counts), Symbol::Guided);
            }
        }
        ui.add_space(theme.px(8.0));
        paragraph(
            ui,
            theme,
            "Every loss on noise, picture or velocity is the same integral with another weight (Kingma and Gao 2023). The schedule \
             decides how often training looks at each λ, and what is compared decides how much an error counts there. The product is \
             where the effort goes.",
        );
    }

    fn sampled(&self, cx: &mut LabContext<'_>, ui: &mut Ui, index: usize) {
        let theme = cx.theme;
        let own = cx.session.card.as_ref().and_then(|card| ScheduleInfo::find(&card.schedule_id)).map(|info| info.label);
        readout(ui, theme, "the model was trained with", own.unwrap_or("its own"), Symbol::Plain);
        let position = cx.clock.position();
        if let Some(lane) = self.lane_of(cx, index)
            && let Some(step) = lane.at(position)
        {
            let level = Level { alpha: step.alpha, sigma: step.sigma };
            readout(ui, theme, "step", &format!("{} of {}", step.index + 1, step.count), Symbol::Plain);
            readout(ui, theme, "timestep told", &format!("{:.1}", step.timestep), Symbol::Plain);
            readout(ui, theme, "SNR of the latents", &scientific(level.snr()), Symbol::Plain);
        }
        if let Some(off) = self.off(cx, index, position).filter(|off| off.is_finite()) {
            readout(ui, theme, "off the reference", &format!("{off:.4}"), Symbol::Plain);
        }
        section(ui, theme, "Run");
        let mut steps = cx.work.schedules.steps as f64;
        let spec = Spec {
            name: "Steps",
            hint: "The same for every schedule.",
            range: STEPS.0 as f64..=STEPS.1 as f64,
            logarithmic: true,
            decimals: 0,
            symbol: Symbol::Plain,
        };
        slider::show_with_default(ui, theme, &mut steps, &spec, 20.0);
        cx.work.schedules.steps = steps as usize;
        if cx.session.crossing.is_running()
            && let Some((done, total)) = cx.session.progress(Slot::Levels)
            && progress(ui, theme, "Sampling", done, total)
        {
            cx.session.cancel(Slot::Levels);
        }
        if cx.session.crossing.is_stopped() && text_button(ui, theme, None, "Sample again", "Goes on where it was stopped.").clicked() {
            cx.session.crossing.retry();
        }
        ui.add_space(theme.px(8.0));
        let text = if cx.work.schedules.mistaken {
            "The model is told the timestep of a schedule that it was not trained with. It believes that there is more or less noise \
             than there is, removes too much or too little, and the picture pays for it."
        } else {
            "A schedule also decides where a sampler's steps lie. The model knows every noise level between its ends, so it can follow \
             the levels of any schedule: all from the same noise, all towards the same picture, each with its steps spent elsewhere."
        };
        paragraph(ui, theme, text);
    }

    fn learned_ui(&self, cx: &LabContext<'_>, ui: &mut Ui, index: usize) {
        let theme = cx.theme;
        let gamma = |at: &str| row([sym("γ", Symbol::Plain), word(at, Symbol::Plain)]);
        let g = |at: &str| row([sym("g", Symbol::Guided).with_index("η"), word(at, Symbol::Plain)]);
        let share: Math = row([g("(t)"), op("−"), g("(0)")]).over(row([g("(1)"), op("−"), g("(0)")]));
        let formula = row([
            gamma("(t)"),
            op("="),
            gamma("₀"),
            op("+"),
            word("(", Symbol::Plain),
            gamma("₁"),
            op("−"),
            gamma("₀"),
            word(")", Symbol::Plain),
        ]);
        equation(ui, theme, &row([formula, share]), 17.0, "gamma of t rises from gamma 0 to gamma 1 as a monotone network g eta says");
        let text = "γ = −log SNR; g is a network that can only rise";
        ui.label(egui::RichText::new(text).font(theme.small()).color(theme.palette().dim));
        if let Some(step) = cx.session.learning.newest() {
            section(ui, theme, "Variance of the loss, measured");
            for (index, [_, variance, error]) in learning::errors(step) {
                let digits = |v: f64| if v >= 100.0 { format!("{v:.0}") } else { format!("{v:.2}") };
                readout(ui, theme, &known(index).label.to_lowercase(), &format!("{} ± {}", digits(variance), digits(error)), Symbol::Plain);
            }
            readout(ui, theme, "the loss itself", &format!("{:.3}", step.learned.estimate.mean), Symbol::Plain);
        }
        ui.add_space(theme.px(8.0));
        paragraph(
            ui,
            theme,
            "This loss, the bound on the likelihood (every λ weighs the same), is an integral over γ: the schedule does not change it. But \
             training looks at one random time only, and how far that look is from the whole does depend on it. The learned curve makes \
             every look worth the same: best for knowing this loss from few looks, not for how pictures look. The model stays as it is.",
        );
        section(ui, theme, "Another thing that can be learned");
        paragraph(
            ui,
            theme,
            "How much fresh noise a step back adds lies between two bounds. Improved DDPM lets the network choose between them, in the \
             logarithm. They part only in the first timesteps: there it matters.",
        );
        if let Some(schedule) = &self.curves[index].schedule {
            let [small, large] = learning::step_back_at(schedule, cx.clock.timestep());
            math_readout(ui, theme, &sym("β", Symbol::Plain).tilde().with_index("t"), "beta tilde", &scientific(small), Symbol::Plain);
            math_readout(ui, theme, &sym("β", Symbol::Plain).with_index("t"), "beta", &scientific(large), Symbol::Plain);
        }
    }

    fn parameters(&self, cx: &mut LabContext<'_>, ui: &mut Ui, index: usize, info: Known) {
        let theme = cx.theme;
        let curves: &Curves = &self.curves[index];
        section(ui, theme, "Parameters");
        let own = &mut cx.work.schedules;
        let learned = position(info.id) == Some(LEARNED);
        let changed = own.params.contains_key(info.id) || own.zero_terminal.contains(info.id) || (learned && own.learned.is_some());
        ui.add_space(theme.px(4.0));
        // Above the sliders, so that it is in reach however many these are.
        ui.horizontal(|ui| {
            let mut zero = own.zero_terminal.contains(info.id);
            if curves.schedule.is_some() && segmented(ui, theme, &mut zero, TERMINAL) {
                if zero {
                    own.zero_terminal.insert(info.id.to_owned());
                } else {
                    own.zero_terminal.remove(info.id);
                }
            }
            ui.add_enabled_ui(changed, |ui| {
                let hint = if learned { "Back to the curve that the model brings." } else { "Puts the parameters of this schedule back." };
                if icon_button(ui, theme, Icon::Reset, 32.0, Look::Plain, false, "Defaults", hint).clicked() {
                    own.params.remove(info.id);
                    own.zero_terminal.remove(info.id);
                    if learned {
                        own.learned = None;
                    }
                }
            });
        });
        ui.add_space(theme.px(4.0));
        let mut params = cx.work.schedules.params_of(index);
        if info.params.is_empty() {
            let text = if curves.schedule.is_some() {
                "This schedule has none: it was learned."
            } else {
                "Nothing has been learned yet: see Learning."
            };
            ui.label(egui::RichText::new(text).font(theme.small()).color(theme.palette().dim));
        }
        for (value, param) in params.iter_mut().zip(info.params) {
            let log = param.min > 0.0 && param.max / param.min > 50.0 && info.id != FREE;
            let decimals = if info.id == FREE {
                4
            } else if param.max < 0.1 || log {
                5
            } else {
                3
            };
            let hint = format!("Default {}", param.default);
            let spec =
                Spec { name: param.label, hint: &hint, range: param.min..=param.max, logarithmic: log, decimals, symbol: Symbol::Plain };
            slider::show_with_default(ui, theme, value, &spec, param.default);
        }
        let own = &mut cx.work.schedules;
        if params != own.params_of(index) {
            own.params.insert(info.id.to_owned(), params);
        }
        if let Some(problem) = &curves.problem {
            let text = format!("These parameters give no schedule: {problem}. The curves of the last that did are shown.");
            ui.label(egui::RichText::new(text).font(theme.small()).color(theme.palette().danger));
        }
    }
}
