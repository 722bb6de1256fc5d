//! The film of the whole run: small pictures from t = 0 at the left to noise at the right, as on the clock's track below, with the
//! playhead on them. Pressing one puts the clock there.

use super::{ForwardReverse, Process, Space};
use crate::host::HostTensor;
use crate::ui::clock::Direction;
use crate::ui::labs::LabContext;
use crate::ui::theme::{Symbol, Theme, Weight};
use crate::ui::widgets::math::{self, sym};
use crate::ui::widgets::textures::Mapping;
use crate::ui::widgets::tile;
use crate::worker::protocol::Frame;
use egui::{Rect, Stroke, TextureId, Ui, pos2, vec2};
use std::sync::Arc;

/// Side of a picture in design units.
const EDGE: f32 = 42.0;
/// Between two of them.
const GAP: f32 = 5.0;
/// Room for the symbols at the left.
const HEADS: f32 = 30.0;
/// Pictures of the pixel process computed in one frame of the window.
const PORTION: usize = 4;

/// One place of the film.
#[derive(Debug, Clone)]
struct Place {
    /// Its timestep, where that is known.
    timestep: Option<f64>,
    x: Option<HostTensor>,
    mapping: Mapping,
    /// The model's guess, and the timestep that it was made at.
    guess: Option<(f64, HostTensor)>,
}

/// What the film has computed itself: x_t in pixels at evenly spread timesteps.
#[derive(Default)]
pub struct Film {
    key: Option<(HostTensor, u64, usize)>,
    pictures: Vec<Option<HostTensor>>,
    next: usize,
    knots: Vec<(f64, f32)>,
}

impl Film {
    /// Whether all of it is computed.
    pub fn is_whole(&self) -> bool {
        self.next >= self.pictures.len()
    }

    /// Where a timestep lies, in points: straight between the pictures beside it.
    pub fn x_of(&self, timestep: f64) -> Option<f32> {
        let (first, last) = (self.knots.first()?, self.knots.last()?);
        if self.knots.len() == 1 || timestep <= first.0 {
            return Some(first.1);
        }
        if timestep >= last.0 {
            return Some(last.1);
        }
        let after = self.knots.partition_point(|(t, _)| *t <= timestep).clamp(1, self.knots.len() - 1);
        let ((t0, x0), (t1, x1)) = (self.knots[after - 1], self.knots[after]);
        Some(x0 + (x1 - x0) * ((timestep - t0) / (t1 - t0).max(1e-9)) as f32)
    }
}

/// Evenly spread timesteps from 0 to `last`.
fn spread(places: usize, last: usize) -> impl Iterator<Item = usize> {
    (0..places).map(move |i| (i * last + (places - 1) / 2) / (places - 1).max(1))
}

/// How many pictures lie side by side in `width`.
fn places_in(theme: &Theme, width: f32) -> usize {
    ((width - theme.px(HEADS) + theme.px(GAP)) / (theme.px(EDGE) + theme.px(GAP))).floor().max(2.0) as usize
}

/// Rows of the film: x_t, and the model's guesses below it where there is height to spare.
fn rows(theme: &Theme, room: f32) -> usize {
    if room > 600.0 * theme.scale { 2 } else { 1 }
}

/// Height of the film in a room of that height.
pub(super) fn height(theme: &Theme, room: f32) -> f32 {
    let rows = rows(theme, room) as f32;
    rows * theme.px(EDGE) + (rows - 1.0) * theme.px(GAP) + theme.px(6.0)
}

impl ForwardReverse {
    /// The film along the lower edge, in `rect`; `room` is the height that the whole lab has.
    pub(super) fn film_strip(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect, room: f32) {
        let theme = cx.theme;
        let p = theme.palette();
        let (edge, heads) = (theme.px(EDGE), theme.px(HEADS));
        let count = places_in(theme, rect.width());
        let places = match (cx.clock.direction, cx.work.forward_reverse.space) {
            (Direction::Reverse, _) => self.reverse_places(cx, count),
            (Direction::Forward, Space::Latents) => latent_places(cx, count),
            // The bridge goes over the latents.
            (Direction::Forward, Space::Pixels) if Self::bridge_is_open(cx) => latent_places(cx, count),
            (Direction::Forward, Space::Pixels) => self.pixel_places(cx, count),
        };
        let step = (rect.width() - heads - edge) / (places.len().max(2) - 1) as f32;
        let top = rect.top() + theme.px(3.0);
        let rows = rows(theme, room);
        for (i, symbol) in [sym("x", Symbol::Plain).with_index("t"), sym("x", Symbol::Signal).hat().with_index("0")].iter().enumerate() {
            if i < rows {
                let y = top + i as f32 * (edge + theme.px(GAP)) + edge * 0.5 + theme.px(5.0);
                math::inline(ui.painter(), theme, symbol, 16.0, pos2(rect.left(), y));
            }
        }
        self.film.knots.clear();
        let now = cx.clock.position();
        let distance = |place: &Place| place.timestep.map_or(f64::INFINITY, |t| (t - now).abs());
        let chosen = places.iter().enumerate().min_by(|a, b| distance(a.1).total_cmp(&distance(b.1))).map(|(i, _)| i);
        for (i, place) in places.iter().enumerate() {
            let left = rect.left() + heads + step * i as f32;
            let cell = Rect::from_min_size(pos2(left.round(), top), vec2(edge, edge));
            let mut get = |slot: &str, tensor: Option<&HostTensor>, mapping| {
                tensor.map(|t| cx.textures.get(ui.ctx(), theme, ("film", slot, i), t, mapping, mapping == Mapping::Rgb))
            };
            let x = get("x", place.x.as_ref(), place.mapping);
            let guess = get("guess", place.guess.as_ref().map(|(_, picture)| picture), Mapping::Rgb);
            let looked = place.guess.as_ref().map_or(timestep_of(place), |(t, _)| *t);
            let name = place.timestep.map_or_else(|| format!("Step not computed yet {i}"), |t| format!("Go to t {t:.0}"));
            let response = tile::thumb(ui, theme, cell, x, false, &name);
            if rows > 1 {
                tile::frame(ui, theme, cell.translate(vec2(0.0, edge + theme.px(GAP))), guess, "");
            }
            let Some(timestep) = place.timestep else { continue };
            self.film.knots.push((timestep, cell.center().x));
            if chosen == Some(i) && x.is_some() {
                let ring = Stroke::new(theme.px(2.0), p.accent);
                ui.painter().rect_stroke(cell.expand(1.0), theme.px(6.0), ring, egui::StrokeKind::Outside);
            }
            if response.clicked() {
                cx.clock.playing = false;
                cx.clock.set(timestep);
            }
            response.on_hover_ui(|ui| tip(ui, theme, [(timestep, x), (looked, guess)]));
        }
        if let Some(x) = self.film.x_of(now) {
            let (upper, lower) = (rect.top() - theme.px(3.0), rect.bottom());
            ui.painter().vline(x, upper..=lower, Stroke::new(theme.px(4.0), p.ground));
            ui.painter().vline(x, upper..=lower, Stroke::new(theme.px(2.0), p.accent));
            ui.painter().circle_filled(pos2(x, upper), theme.px(4.0), p.accent);
        }
    }

    /// x_t in pixels: in closed form computed here, a few in each frame; of the chain the states that it keeps.
    fn pixel_places(&mut self, cx: &LabContext<'_>, count: usize) -> Vec<Place> {
        let Some(picture) = cx.session.picture.clone() else { return Vec::new() };
        let last = cx.session.levels.count() - 1;
        let guess = |t: usize| {
            let near = cx.session.forward.nearest(t as f64)?;
            let close = (near.timestep - t as f64).abs() * (count as f64 - 1.0) <= last as f64;
            near.x0_picture.clone().filter(|_| close).map(|picture| (near.timestep, picture))
        };
        let mapping = Mapping::SignedRgb;
        if cx.work.forward_reverse.process == Process::Chain {
            let states = (last + 1) / super::noising::Chain::EVERY;
            return spread(count, states)
                .map(|state| (state, (state * super::noising::Chain::EVERY).saturating_sub(1)))
                .map(|(state, t)| Place { timestep: Some(t as f64), x: self.chain.kept(state).cloned(), mapping, guess: guess(t) })
                .collect();
        }
        let x0 = self.signed.of(&picture.pixels);
        let eps = self.pixel_noise.of(cx.work.seed, x0.shape());
        let film = &mut self.film;
        let known = matches!(&film.key, Some((x, seed, l)) if std::ptr::eq(x.data(), x0.data()) && *seed == cx.work.seed && *l == last);
        if !known || film.pictures.len() != count {
            film.pictures.resize(count, None);
            (film.key, film.next) = (Some((x0.clone(), cx.work.seed, last)), 0);
        }
        for (i, t) in spread(count, last).enumerate().skip(film.next).take(PORTION) {
            film.pictures[i] = Some(cx.session.levels.level(t).add_noise(&x0, &eps));
            film.next = i + 1;
        }
        let pictures = spread(count, last).zip(film.pictures.iter());
        pictures.map(|(t, x)| Place { timestep: Some(t as f64), x: x.clone(), mapping, guess: guess(t) }).collect()
    }

    fn reverse_places(&self, cx: &LabContext<'_>, count: usize) -> Vec<Place> {
        let run = self.shown_run(cx.session);
        let steps = run.count().max(if run.frames().is_empty() { cx.work.forward_reverse.steps } else { 1 });
        let count = count.min(steps).max(1);
        // From the last step, which is the cleanest, to the first.
        let indices = (0..count).map(|i| steps - 1 - (i * (steps - 1) + (count - 1) / 2) / (count - 1).max(1));
        indices.map(|index| of_frame(run.frames().iter().find(|f| f.index == index))).collect()
    }
}

fn of_frame(frame: Option<&Arc<Frame>>) -> Place {
    Place {
        timestep: frame.map(|f| f.timestep),
        x: frame.and_then(|f| f.x_picture.clone()),
        mapping: Mapping::Rgb,
        guess: frame.and_then(|f| f.x0_picture.clone().map(|picture| (f.timestep, picture))),
    }
}

fn timestep_of(place: &Place) -> f64 {
    place.timestep.unwrap_or(0.0)
}

/// The noisy latents decoded, where the forward run has looked.
fn latent_places(cx: &LabContext<'_>, count: usize) -> Vec<Place> {
    // Looks taken where the clock rested are no part of it.
    let own = cx.session.forward.request().map_or(&[][..], |request| &request.timesteps);
    let frames: Vec<_> = cx.session.forward.frames().iter().filter(|frame| own.contains(&(frame.timestep.round() as usize))).collect();
    let count = count.min(frames.len());
    // By rising timestep, which is from the end.
    let indices = (0..count).map(|i| frames.len() - 1 - (i * (frames.len() - 1) + (count - 1) / 2) / (count - 1).max(1));
    indices.map(|index| of_frame(frames.get(index).copied())).collect()
}

/// Both pictures of a place, larger.
fn tip(ui: &mut Ui, theme: &Theme, pictures: [(f64, Option<TextureId>); 2]) {
    ui.horizontal(|ui| {
        for ((timestep, texture), word) in pictures.into_iter().zip(["the noisy picture", "what the model sees in it"]) {
            let Some(texture) = texture else { continue };
            ui.vertical(|ui| {
                ui.label(egui::RichText::new(format!("t = {timestep:.0}")).font(theme.font(Weight::Medium, 14.0)));
                ui.image((texture, vec2(theme.px(140.0), theme.px(140.0))));
                ui.label(egui::RichText::new(word).font(theme.small()).color(theme.palette().dim));
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timesteps_are_spread_from_end_to_end() {
        let t: Vec<usize> = spread(14, 999).collect();
        assert_eq!((t[0], t[13]), (0, 999));
        assert!(t.windows(2).all(|w| (76..=78).contains(&(w[1] - w[0]))), "{t:?}");
        assert_eq!(spread(2, 999).collect::<Vec<_>>(), [0, 999]);
    }

    #[test]
    fn the_playhead_lies_between_the_pictures_beside_it() {
        let film = Film { knots: vec![(0.0, 10.0), (500.0, 20.0), (999.0, 60.0)], ..Film::default() };
        assert_eq!([-5.0, 0.0, 250.0, 500.0, 749.5, 2000.0].map(|t| film.x_of(t).expect("knots")), [10.0, 10.0, 15.0, 20.0, 40.0, 60.0]);
        assert_eq!(Film::default().x_of(3.0), None);
    }
}
