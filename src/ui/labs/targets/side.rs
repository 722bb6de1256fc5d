//! The right panel: the three answers as equations with live numbers, and what an error becomes.

use super::{ANSWERS, DELTAS, Targets, hat, symbol, word_of};
use crate::ui::labs::LabContext;
use crate::ui::theme::{Symbol, Weight};
use crate::ui::widgets::controls::{math_readout, paragraph, progress, section, text_button};
use crate::ui::widgets::math::{equation, num, op, raw, row, scientific, sym, word};
use crate::ui::widgets::slider::{self, Spec};
use crate::worker::protocol::Slot;
use egui::Ui;

impl Targets {
    pub(super) fn explain(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        ui.label(egui::RichText::new("Targets: one answer, three ways").font(theme.font(Weight::SemiBold, 21.0)));
        ui.add_space(theme.px(6.0));
        let x_t = || sym("x", Symbol::Plain).with_index("t");
        let alpha = || sym("α", Symbol::Signal).with_index("t");
        let sigma = || sym("σ", Symbol::Noise).with_index("t");
        let [eps, x0, v] = ANSWERS.map(hat);
        let clean = row([x0.clone(), op("="), row([x_t(), op("−"), sigma(), eps.clone()]).over(alpha())]);
        equation(ui, theme, &clean, 22.0, "x 0 hat equals x t minus sigma t epsilon hat, over alpha t");
        ui.add_space(theme.px(6.0));
        let velocity = row([v, op("="), alpha(), eps, op("−"), sigma(), x0]);
        equation(ui, theme, &velocity, 22.0, "v hat equals alpha t epsilon hat minus sigma t x 0 hat");
        let level = self.now(cx).map(|answers| answers.level);
        if let Some(level) = level {
            let live = row([
                alpha(),
                op("="),
                num(level.alpha, 1, 3, Symbol::Signal),
                raw(r"\qquad "),
                sigma(),
                op("="),
                num(level.sigma, 1, 3, Symbol::Noise),
            ]);
            equation(ui, theme, &live, 19.0, &format!("alpha {:.3}, sigma {:.3}", level.alpha, level.sigma));
            section(ui, theme, "An error of 1 becomes");
            let source = cx.work.targets.source();
            for target in ANSWERS.into_iter().filter(|target| *target != source) {
                let gain = source.sensitivity(target, level);
                let name = row([word("in ", Symbol::Quiet), hat(target)]);
                let value = if (0.01..1000.0).contains(&gain) { format!("{gain:.3}") } else { scientific(gain) };
                math_readout(ui, theme, &name, &format!("in the {}", word_of(target)), &value, symbol(target));
            }
        }
        section(ui, theme, "Error");
        let mut delta = cx.work.targets.delta;
        let spec = Spec {
            name: "Size δ of the error",
            hint: "Root mean square of what is added to the answer in focus: a fixed noise of this size.",
            range: DELTAS.0..=DELTAS.1,
            logarithmic: true,
            decimals: 2,
            symbol: Symbol::Plain,
        };
        slider::show_with_default(ui, theme, &mut delta, &spec, 0.2);
        cx.work.targets.delta = delta;
        if let Some((done, total)) = cx.session.progress(Slot::Forward)
            && progress(ui, theme, "Looking along the forward run", done, total)
        {
            cx.session.cancel(Slot::Forward);
        }
        if cx.session.forward.is_stopped() && text_button(ui, theme, None, "Look again", "Starts the stopped looks anew.").clicked() {
            cx.session.forward.retry();
        }
        ui.add_space(theme.px(8.0));
        paragraph(
            ui,
            theme,
            "At a given noise level each of the three follows from any other, so a network may be trained to give whichever. But errors \
             are not alike: near pure noise a small error in ε is a huge one in the picture, and near the clean picture a small error in \
             the picture is a huge one in ε. An error in v never grows in either.",
        );
    }
}
