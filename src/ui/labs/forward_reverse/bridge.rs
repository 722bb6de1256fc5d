//! The bridge: noise the picture to t, and restore it from there with a prompt. What x_t still holds comes back, what was lost is
//! invented (SDEdit: Meng et al. 2021, arXiv 2108.01073).

use super::{ForwardReverse, Process};
use crate::host::HostTensor;
use crate::ui::clock::Direction;
use crate::ui::labs::LabContext;
use crate::ui::settings::Work;
use crate::ui::theme::{Symbol, Theme, Weight};
use crate::ui::widgets::controls::{paragraph, readout, text_button};
use crate::ui::widgets::math::{Math, format_number, row, sym};
use crate::ui::widgets::textures::{Mapping, Scale};
use crate::ui::widgets::tile::{self, Badge, HEADER, Tile};
use crate::worker::protocol::{RunRequest, Slot, Start};
use egui::{Align2, Rect, TextureId, Ui, UiBuilder, WidgetInfo, pos2, vec2};

/// Steps of the restoration that is shown while the clock moves.
pub const COARSE_STEPS: usize = 6;
/// Seconds without a change after which the full restoration begins.
const REST_SECS: f64 = 0.25;
/// A colour is another one where it differs by more than this, of 0..1.
const NOTICED: f32 = 0.1;
/// Differences beyond this have the scale's last colour.
pub(super) const DARKEST: f32 = 0.5;

/// The difference of two pictures, measured.
#[derive(Debug, Clone)]
pub struct Difference {
    of: [HostTensor; 2],
    /// Restored less original, the mean of the colours, `[1, 1, H, W]`.
    pub map: HostTensor,
    /// Peak signal-to-noise ratio in dB, `-10 log10(mean((a - b)^2))`.
    pub psnr_db: f64,
    /// Share of the pixels of which some colour differs by more than a tenth.
    pub changed: f64,
}

impl Difference {
    /// Between `original` and `restored`, both `[3, H, W]` in 0..1; none where they are not alike in shape.
    pub fn of(original: &HostTensor, restored: &HostTensor) -> Option<Self> {
        let &[3, height, width] = original.shape() else { return None };
        if restored.shape() != original.shape() || height * width == 0 {
            return None;
        }
        let plane = height * width;
        let d = restored.lincomb(1.0, original, -1.0);
        let at = |i: usize| [d.data()[i], d.data()[plane + i], d.data()[2 * plane + i]];
        let map = HostTensor::from_fn([1, 1, height, width], |i| at(i).iter().sum::<f32>() / 3.0);
        let changed = (0..plane).filter(|i| at(*i).iter().any(|v| v.abs() > NOTICED)).count() as f64 / plane as f64;
        let psnr_db = -10.0 * (d.dot(&d) / d.len() as f64).log10();
        Some(Self { of: [original.clone(), restored.clone()], map, psnr_db, changed })
    }

    fn is_of(&self, original: &HostTensor, restored: &HostTensor) -> bool {
        std::ptr::eq(self.of[0].data(), original.data()) && std::ptr::eq(self.of[1].data(), restored.data())
    }
}

/// What the bridge has made.
#[derive(Default)]
pub struct Bridge {
    /// The request for the full restoration, and since when it is wanted.
    wanted: Option<(RunRequest, f64)>,
    /// The last finished restoration.
    made: Option<(RunRequest, HostTensor)>,
    difference: Option<Difference>,
}

fn begins_at(request: &RunRequest) -> Option<usize> {
    if let Start::Noised { timestep, .. } = request.start { Some(timestep) } else { None }
}

impl ForwardReverse {
    /// Whether the bridge is open here and now.
    pub(super) fn bridge_is_open(cx: &LabContext<'_>) -> bool {
        let own = &cx.work.forward_reverse;
        own.bridge && own.process == Process::Closed && cx.clock.direction == Direction::Forward
    }

    /// Opens the bridge at the clock's timestep, or closes it.
    pub(super) fn cross_bridge(cx: &mut LabContext<'_>) {
        let open = !Self::bridge_is_open(cx);
        cx.work.forward_reverse.bridge = open;
        if open {
            cx.work.forward_reverse.process = Process::Closed;
            cx.clock.turn(Direction::Forward);
            cx.clock.playing = false;
        }
    }

    fn bridge_request(cx: &LabContext<'_>, steps: usize) -> Option<RunRequest> {
        let picture = cx.session.picture.as_ref()?;
        let own = &cx.work.forward_reverse;
        Some(RunRequest {
            prompt: own.bridge_prompt.clone().unwrap_or_else(|| picture.caption.clone()),
            seed: cx.work.seed,
            steps,
            guidance_scale: Self::scale(cx),
            sampler: own.sampler.clone(),
            start: Start::Noised { x0: picture.latents.clone(), timestep: cx.clock.timestep() },
            ..RunRequest::default()
        })
    }

    /// Asks for few steps while something changes, and for all of them once it rests. A coarse run is let finish, so that a picture
    /// comes while the clock is dragged.
    pub(super) fn ask_bridge(&mut self, cx: &mut LabContext<'_>) {
        if !Self::bridge_is_open(cx) || cx.session.card.is_none() || cx.session.picture_is_coming() {
            return;
        }
        let steps = cx.work.forward_reverse.steps;
        let Some(full) = Self::bridge_request(cx, steps) else { return };
        let coarse = RunRequest { steps: COARSE_STEPS.min(steps), ..full.clone() };
        if self.bridge.wanted.as_ref().is_none_or(|(request, _)| *request != full) {
            self.bridge.wanted = Some((full.clone(), cx.now_secs));
        }
        let rested = self.bridge.wanted.as_ref().is_some_and(|(_, since)| cx.now_secs - since > REST_SECS) && !cx.clock.playing;
        let here = cx.session.picture.as_ref().map(|picture| picture.latents.clone());
        let of_another = |request: &RunRequest| match (&request.start, &here) {
            (Start::Noised { x0, .. }, Some(latents)) => !std::ptr::eq(x0.data(), latents.data()),
            _ => true,
        };
        if self.bridge.made.as_ref().is_some_and(|(request, _)| of_another(request)) {
            (self.bridge.made, self.bridge.difference) = (None, None);
        }
        let run = &cx.session.bridge;
        if let (Some(request), Some(end)) = (run.request(), run.end())
            && !of_another(request)
            && self.bridge.made.as_ref().is_none_or(|(_, picture)| !std::ptr::eq(picture.data(), end.picture.data()))
        {
            self.bridge.made = Some((request.clone(), end.picture.clone()));
        }
        let coarse_is_running = run.is_running() && run.asked().is_some_and(|asked| asked.steps <= COARSE_STEPS);
        match run.asked() {
            Some(asked) if *asked == full => {}
            Some(asked) if *asked == coarse => {
                if !run.is_running() && !run.is_stopped() && rested {
                    cx.session.ask_reverse(Slot::Bridge, full);
                }
            }
            _ if coarse_is_running => {}
            _ => cx.session.ask_reverse(Slot::Bridge, coarse),
        }
    }

    /// Whether the full restoration of what is asked for is there.
    pub(super) fn bridge_is_settled(&self, cx: &LabContext<'_>) -> bool {
        let wanted = || Self::bridge_request(cx, cx.work.forward_reverse.steps);
        let made = || self.bridge.made.as_ref().is_some_and(|(request, _)| Some(request) == wanted().as_ref());
        !Self::bridge_is_open(cx) || cx.session.bridge.is_stopped() || made()
    }

    /// The button that opens and closes it.
    pub(super) fn bridge_button(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        ui.add_space(theme.px(10.0));
        let (label, hint) = if Self::bridge_is_open(cx) {
            ("Back to the sum", "Closes the bridge. Key B or Esc")
        } else {
            ("Restore from here", "Runs the model backwards from the noisy picture: what comes back, and what is invented? Key B")
        };
        if text_button(ui, theme, None, label, hint).clicked() {
            Self::cross_bridge(cx);
        }
    }

    /// Original, noised at t and restored side by side; below them the difference and its numbers.
    pub(super) fn bridge_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, room: Rect) {
        let theme = cx.theme;
        let Some(picture) = cx.session.picture.clone() else { return };
        let timestep = cx.clock.timestep();
        let (gap, header, between) = (theme.px(18.0), theme.px(HEADER), theme.px(14.0));
        let least = theme.px(186.0);
        let side = ((room.width() - 2.0 * gap) / 3.0).min(room.height() - header - between - least).max(64.0).floor();
        let lower = (room.height() - header - side - between).min(theme.px(300.0));
        let left = (room.center().x - 1.5 * side - gap).round();
        let place = |i: f32| Rect::from_min_size(pos2(left + i * (side + gap), room.top()), vec2(side, side + header));
        let (noisy, remark) = self.noisy_decoded(cx, timestep);
        let (restored, badge, made_at) = self.restored(cx);
        let stale = made_at.filter(|t| *t != timestep).map_or(String::new(), |t| format!("from t = {t}"));
        let mut get = |slot: &str, tensor: Option<&HostTensor>| -> Option<TextureId> {
            tensor.map(|t| cx.textures.get(ui.ctx(), theme, ("bridge", slot), t, Mapping::Rgb, true))
        };
        let textures = [get("original", Some(&picture.pixels)), get("noisy", noisy.as_ref()), get("restored", restored.as_ref())];
        let title = format!("at t = {timestep}");
        let x = |index: &str, symbol| -> Math { row([sym("x", symbol).with_index(index)]) };
        let symbols = [x("0", Symbol::Signal), x("t", Symbol::Plain), row([sym("x", Symbol::Signal).tilde().with_index("0")])];
        let titles = ["the original", &title, "restored"];
        let badges = [Some(Badge::Original), Some(Badge::Decoded), badge];
        let waiting = match cx.session.progress(Slot::Bridge) {
            Some((done, total)) => format!("Restoring, step {done} of {total}"),
            None => "Waiting for the model…".to_owned(),
        };
        let remarks = ["", &remark, &stale];
        for (i, symbol) in symbols.into_iter().enumerate() {
            let badge = badges[i].map(|b| (b, "")).filter(|_| textures[i].is_some());
            let tile = Tile { symbol, title: titles[i], badge, texture: textures[i], waiting: &waiting, remark: remarks[i] };
            tile::show(ui, theme, place(i as f32), &tile);
        }
        let below = Rect::from_min_size(pos2(left, room.top() + header + side + between), vec2(3.0 * side + 2.0 * gap, lower));
        let edge = (lower - theme.px(26.0)).min(side);
        self.difference_ui(cx, ui, Rect::from_min_size(below.min, vec2(edge, lower)), &picture.pixels, restored.as_ref());
        let words = Rect::from_min_max(pos2(below.left() + edge + gap, below.top()), below.max);
        let mut child = ui.new_child(UiBuilder::new().max_rect(words).id_salt("bridge words"));
        self.bridge_words(cx, &mut child, &picture.caption, picture.reconstruction_psnr_db);
    }

    /// The picture that the bridge has come to, what kind it is, and the timestep that it was restored from.
    pub(super) fn restored(&self, cx: &LabContext<'_>) -> (Option<HostTensor>, Option<Badge>, Option<usize>) {
        let run = &cx.session.bridge;
        if let Some((request, picture)) = &self.bridge.made {
            let coarse = request.steps < cx.work.forward_reverse.steps;
            let badge = if coarse { Badge::Coarse } else { Badge::Refined };
            return (Some(picture.clone()), Some(badge), begins_at(request));
        }
        let last = run.frames().last().and_then(|frame| frame.x0_picture.clone());
        (last, Some(Badge::Prediction), run.request().and_then(begins_at))
    }

    fn difference_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect, original: &HostTensor, restored: Option<&HostTensor>) {
        let theme = cx.theme;
        if let Some(restored) = restored
            && self.bridge.difference.as_ref().is_none_or(|d| !d.is_of(original, restored))
        {
            self.bridge.difference = Difference::of(original, restored);
        }
        let cell = Rect::from_min_size(rect.min, vec2(rect.width(), rect.width()));
        let map = self.bridge.difference.as_ref().filter(|_| restored.is_some()).map(|d| d.map.clone());
        let mapping = Mapping::Heat { channel: 0, range: DARKEST, scale: Scale::Linear };
        let texture = map.map(|m| cx.textures.get(ui.ctx(), theme, "bridge difference", &m, mapping, false));
        tile::frame(ui, theme, cell, texture, "");
        let response = ui.interact(cell, ui.scope_id().with("difference"), egui::Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, "Difference, restored less original"));
        response.on_hover_text("Restored less original, the mean of the colours. Blue became darker, orange lighter.");
        let y = cell.bottom() + theme.px(14.0);
        let font = theme.font(Weight::Regular, 12.5);
        let label = ui.painter().text(pos2(cell.left(), y), Align2::LEFT_CENTER, "restored − original", font, theme.palette().dim);
        let legend = Rect::from_min_max(pos2(label.right() + theme.px(14.0), y - theme.px(9.0)), pos2(cell.right(), y + theme.px(9.0)));
        if legend.width() > theme.px(90.0) {
            tile::legend(ui, theme, legend, DARKEST, Scale::Linear);
        }
    }

    fn bridge_words(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, caption: &str, autoencoder_db: f64) {
        let theme = cx.theme;
        ui.spacing_mut().item_spacing.y = theme.px(3.0);
        prompt_field(cx, ui, caption);
        ui.add_space(theme.px(4.0));
        if let Some(difference) = &self.bridge.difference {
            let db = |value: f64| format!("{} dB", format_number(value, 2, 1));
            readout(ui, theme, "restored against the original", &db(difference.psnr_db), Symbol::Plain);
            readout(ui, theme, "the autoencoder alone, without any noise", &db(autoencoder_db), Symbol::Quiet);
            let changed = format!("{:.0} %", 100.0 * difference.changed);
            readout(ui, theme, "pixels that differ by more than a tenth", &changed, Symbol::Plain);
            ui.add_space(theme.px(4.0));
        }
        let level = cx.session.levels.level(cx.clock.timestep());
        let text = format!(
            "{:.0} % of the variance at this t is still signal. What is held there comes back; what was lost is invented to fit the prompt.",
            100.0 * level.alpha_bar()
        );
        if ui.available_height() > theme.px(44.0) {
            paragraph(ui, theme, &text.replace("x_t", "xₜ"));
        }
    }

    /// The noisy latents decoded: exactly these where that has been asked for, else those of the nearest look.
    pub(super) fn noisy_decoded(&mut self, cx: &LabContext<'_>, timestep: usize) -> (Option<HostTensor>, String) {
        let exact = self.latents_at(cx).and_then(|l| cx.session.decoded(&l).cloned());
        if exact.is_some() {
            return (exact, String::new());
        }
        let look = cx.session.forward.nearest(timestep as f64).filter(|_| cx.work.forward_reverse.process == Process::Closed);
        (look.and_then(|f| f.x_picture.clone()), look.map_or(String::new(), |f| super::main::at_remark("decoded at", f, timestep)))
    }
}

/// The prompt of the restoration: the picture's caption until another is written.
fn prompt_field(cx: &mut LabContext<'_>, ui: &mut Ui, caption: &str) {
    let theme: &Theme = cx.theme;
    let p = theme.palette();
    let own = &mut cx.work.forward_reverse.bridge_prompt;
    let mut text = own.clone().unwrap_or_else(|| caption.to_owned());
    let edit = egui::TextEdit::singleline(&mut text)
        .hint_text(egui::RichText::new("Prompt of the restoration").color(p.dim))
        .font(theme.font(Weight::Regular, 15.0))
        .char_limit(Work::LONGEST_PROMPT)
        .desired_width(f32::INFINITY)
        .margin(theme.margin_xy(12.0, 7.0))
        .id_salt("bridge prompt");
    let response = ui
        .horizontal(|ui| {
            ui.label(egui::RichText::new("Towards").font(theme.font(Weight::Regular, 14.0)).color(p.dim));
            ui.add_sized(vec2(ui.available_width(), theme.px(34.0)), edit)
        })
        .inner;
    let shown = text.clone();
    let hint = "Prompt of the restoration";
    response.widget_info(|| WidgetInfo { label: Some(hint.to_owned()), ..WidgetInfo::text_edit(true, &shown, &shown, hint) });
    let rect = response.rect;
    let mark = theme.px(3.0);
    let bar = Rect::from_min_size(rect.min + vec2(0.0, mark * 2.0), vec2(mark, rect.height() - mark * 4.0));
    ui.painter().rect_filled(bar, mark, p.symbol(Symbol::Conditional));
    if response.changed() {
        *own = (text != caption).then_some(text);
    }
    response.on_hover_text("What the picture is restored towards. Write something else than it shows, and see from which t on it obeys.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_is_measured_and_has_its_sign() {
        let original = HostTensor::full([3, 2, 4], 0.5);
        let restored = HostTensor::from_fn([3, 2, 4], |i| if i % 8 == 0 { 0.8 } else { 0.5 });
        let d = Difference::of(&original, &restored).expect("alike");
        assert!((d.map.data()[0] - 0.3).abs() < 1e-6 && d.map.data()[1] == 0.0);
        assert!((d.changed - 0.125).abs() < 1e-9);
        assert!((d.psnr_db - -10.0 * (0.09_f64 / 8.0).log10()).abs() < 1e-3);
        assert_eq!(Difference::of(&original, &original).expect("alike").psnr_db, f64::INFINITY);
        assert!(Difference::of(&original, &HostTensor::full([3, 4, 2], 0.5)).is_none());
    }
}
