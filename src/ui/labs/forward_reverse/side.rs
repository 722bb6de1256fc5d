//! The right panel: what is being seen, as an equation with live numbers and in plain words.

use super::{ForwardReverse, Process, Space};
use crate::diffusion::{Level, SAMPLERS};
use crate::ui::clock::Direction;
use crate::ui::labs::{LabContext, formula};
use crate::ui::theme::{Symbol, Weight};
use crate::ui::widgets::controls::{paragraph, progress, readout, section, share_bar, text_button};
use crate::ui::widgets::math::{equation, scientific};
use crate::ui::widgets::slider::{self, Spec};
use crate::worker::protocol::Slot;
use egui::Ui;

impl ForwardReverse {
    pub(super) fn explain(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let timestep = cx.clock.timestep();
        match cx.clock.direction {
            Direction::Forward if cx.work.forward_reverse.process == Process::Chain => chain(self, cx, ui, timestep),
            Direction::Forward => closed(self, cx, ui, timestep),
            Direction::Reverse => reverse(self, cx, ui),
        }
        if cx.clock.direction == Direction::Forward {
            run_progress(cx, ui);
        }
    }
}

fn heading(cx: &LabContext<'_>, ui: &mut Ui, text: &str) {
    ui.label(egui::RichText::new(text).font(cx.theme.font(Weight::SemiBold, 21.0)));
    ui.add_space(cx.theme.px(6.0));
}

fn readouts(cx: &LabContext<'_>, ui: &mut Ui, level: Level) {
    let theme = cx.theme;
    ui.add_space(theme.px(8.0));
    share_bar(ui, theme, level.alpha_bar());
    readout(ui, theme, "signal ᾱ", &format!("{:.5}", level.alpha_bar()), Symbol::Signal);
    readout(ui, theme, "noise 1 − ᾱ", &format!("{:.5}", 1.0 - level.alpha_bar()), Symbol::Noise);
    readout(ui, theme, "signal to noise ᾱ / (1 − ᾱ)", &scientific(level.snr()), Symbol::Plain);
}

fn closed(lab: &mut ForwardReverse, cx: &mut LabContext<'_>, ui: &mut Ui, timestep: usize) {
    let theme = cx.theme;
    let bridge = ForwardReverse::bridge_is_open(cx);
    heading(cx, ui, if bridge { "The bridge: there and back" } else { "Forward: a picture fades" });
    let level = cx.session.levels.level(timestep);
    for (math, spoken) in [formula::noised(), formula::noised_at(level)] {
        equation(ui, theme, &math, 23.0, &spoken);
    }
    readouts(cx, ui, level);
    lab.bridge_button(cx, ui);
    if bridge {
        run_settings(cx, ui);
    }
    lab.values(cx, ui);
    ui.add_space(theme.px(10.0));
    let text = match cx.work.forward_reverse.space {
        _ if bridge => "The latents are noised to t, and the reverse run begins there instead of at pure noise. The later it begins, the \
                        less it has to go by."
            .to_owned(),
        Space::Pixels => {
            "Every pixel fades to mid grey while noise takes its place, and any timestep can be reached in one stroke. The right \
             picture is the model's guess at what is left, made from the latents noised to the same t: of the looks along the way the nearest, and the exact one once the clock rests."
                .to_owned()
        }
        Space::Latents => format!(
            "The model never sees pixels: noise goes into the {} latent channels of the autoencoder. Decoding the noisy latents \
             shows what they mean as a picture. The right one is the model's guess at the clean latents.",
            cx.latent_channels()
        ),
    };
    paragraph(ui, theme, &text);
}

fn chain(lab: &mut ForwardReverse, cx: &mut LabContext<'_>, ui: &mut Ui, timestep: usize) {
    let theme = cx.theme;
    heading(cx, ui, "Forward: step by step");
    let beta = cx.session.levels.beta(timestep);
    for (math, spoken) in [formula::step(), formula::step_at(beta)] {
        equation(ui, theme, &math, 23.0, &spoken);
    }
    readouts(cx, ui, cx.session.levels.level(timestep));
    lab.values(cx, ui);
    ui.add_space(theme.px(10.0));
    paragraph(
        ui,
        theme,
        "Each step shrinks the picture a little and adds a little fresh noise, until nothing of it is left. The right picture is \
         guessed from latents noised to the same t in one stroke.",
    );
}

fn reverse(lab: &mut ForwardReverse, cx: &mut LabContext<'_>, ui: &mut Ui) {
    let theme = cx.theme;
    heading(cx, ui, "Reverse: a picture comes out");
    let frame = lab.shown_run(cx.session).at(cx.clock.position()).cloned();
    if let Some(frame) = &frame {
        // What follows is of the step, which begins above the clock's timestep as a rule.
        let text = format!("step {} of {}, at t = {:.0}", frame.index + 1, frame.count, frame.timestep);
        ui.label(egui::RichText::new(text).font(theme.small()).color(theme.palette().dim));
    }
    let level = frame.as_ref().map_or_else(|| cx.session.levels.level(cx.clock.timestep()), |f| Level { alpha: f.alpha, sigma: f.sigma });
    for (math, spoken) in [formula::guess(), formula::guess_at(level)] {
        equation(ui, theme, &math, 23.0, &spoken);
        ui.add_space(theme.px(4.0));
    }
    readouts(cx, ui, level);
    if !lab.branch_settings(cx, ui) {
        run_settings(cx, ui);
    }
    lab.branch_button(cx, ui);
    run_progress(cx, ui);
    lab.values(cx, ui);
    ui.add_space(theme.px(10.0));
    paragraph(
        ui,
        theme,
        "From pure noise the model predicts which part is noise. Taking that part away gives a guess at the clean picture, \
         vague at first. The sampler goes a small step towards it, and the model looks again.",
    );
}

fn run_settings(cx: &mut LabContext<'_>, ui: &mut Ui) {
    let theme = cx.theme;
    section(ui, theme, "Reverse run");
    let own_scale = cx.session.card.as_ref().map_or(5.0, |card| card.default_guidance);
    let own = &mut cx.work.forward_reverse;
    ui.horizontal(|ui| {
        let label = ui.label(egui::RichText::new("Sampler").font(theme.font(Weight::Regular, 14.0)).color(theme.palette().dim));
        let current = SAMPLERS.iter().find(|s| s.id == own.sampler).map_or("", |s| s.label);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            egui::ComboBox::from_id_salt("sampler")
                .selected_text(current)
                .height(theme.px(460.0))
                .show_ui(ui, |ui| {
                    for sampler in SAMPLERS {
                        ui.selectable_value(&mut own.sampler, sampler.id.to_owned(), sampler.label).on_hover_text(sampler.paper);
                    }
                })
                .response
                .labelled_by(label.id);
        });
    });
    let mut steps = own.steps as f64;
    let spec = Spec {
        name: "Steps",
        hint: "Steps of the run; nearly every sampler asks the model once in each. More steps, smaller strides.",
        range: 2.0..=100.0,
        logarithmic: true,
        decimals: 0,
        symbol: Symbol::Plain,
    };
    slider::show_with_default(ui, theme, &mut steps, &spec, 20.0);
    own.steps = steps as usize;
    let mut scale = own.guidance_scale.unwrap_or(own_scale);
    let spec = Spec {
        name: "Guidance scale w",
        hint: "ε̃ = ε∅ + w (εc − ε∅). 1 is no guidance. See the third lab.",
        range: 0.0..=20.0,
        logarithmic: false,
        decimals: 1,
        symbol: Symbol::Guided,
    };
    if slider::show_with_default(ui, theme, &mut scale, &spec, own_scale) {
        own.guidance_scale = Some(scale);
    }
}

/// Which part of a run it is in: its steps, or the decoding of the noisy latents after them.
fn phase(cx: &LabContext<'_>, slot: Slot, what: &'static str, done: usize, total: usize) -> (&'static str, usize, usize) {
    let twofold = matches!(slot, Slot::Reverse | Slot::Branch | Slot::Bridge) && total > cx.work.forward_reverse.steps;
    match total / 2 {
        half if twofold && done > half => ("Decoding the noisy latents", done - half, half),
        half if twofold => (what, done, half),
        _ => (what, done, total),
    }
}

/// What is being computed, and the way to stop it or to begin it again.
fn run_progress(cx: &mut LabContext<'_>, ui: &mut Ui) {
    let theme = cx.theme;
    ui.add_space(theme.px(8.0));
    // Above the progress, so that it keeps its place when that goes.
    let session = &cx.session;
    let stopped = [&session.reverse, &session.bridge, &session.branch].iter().any(|run| run.is_stopped());
    if (stopped || session.forward.is_stopped()) && text_button(ui, theme, None, "Run again", "Starts the stopped run anew.").clicked() {
        cx.session.reverse.retry();
        cx.session.bridge.retry();
        cx.session.branch.retry();
        cx.session.forward.retry();
    }
    for (slot, what) in [
        (Slot::Bridge, "Restoring"),
        (Slot::Branch, "Denoising the branch"),
        (Slot::Reverse, "Denoising"),
        (Slot::Forward, "Looking along the forward run"),
    ] {
        let now = cx.session.progress(slot).map(|(done, total)| phase(cx, slot, what, done, total));
        if let Some((what, done, total)) = now
            && progress(ui, theme, what, done, total)
        {
            cx.session.cancel(slot);
        }
    }
}
