//! From the sheet to a command to the worker.

use super::{Ask, Ground, Part, Pressed, Sheet};
use crate::figure::{Carried, ClockMark, Export, Figure, ModelMark, Paint, Picture, State, VERSION, digest_of_bytes};
use crate::ui::app::App;
use crate::ui::clock::Direction;
use crate::ui::labs::{LABS, Lab, LabContext};
use crate::ui::notices::Tone;
use crate::ui::session::Session;
use crate::worker::protocol::Slot;
use egui::{Align2, Context, Id, vec2};

impl App {
    /// Opens the sheet over a clock at rest, where it was asked for. The lab is in its place then, which it is not while it is drawn.
    fn open_sheet(&mut self) {
        if !std::mem::take(&mut self.export_wanted) || self.export.is_some() || self.dialogs.is_open() {
            return;
        }
        self.clock.playing = false;
        let ink = self.settings.export.ink(self.settings.theme);
        let (whole, frames) = self.with_lab(|lab, cx| (lab.figure(cx, &ink), lab.film(cx, &ink).len()));
        self.export = Some(Sheet::new(self.lab().label, whole.as_ref(), frames));
    }

    /// Shows the sheet while it is open, and how far the writing of a file is.
    pub(in crate::ui) fn show_export(&mut self, ctx: &Context) {
        self.open_sheet();
        let theme = *self.theme();
        if let Some(sheet) = &mut self.export {
            match sheet.show(ctx, &theme, &mut self.settings.export) {
                None => {}
                Some(Pressed::Cancel) => self.export = None,
                Some(Pressed::Save(part, format)) => {
                    self.export = None;
                    self.save_part(ctx, &Ask { part, format, settings: self.settings.export.clone() });
                }
            }
        }
        if let Some((done, total)) = self.session.progress(Slot::Save) {
            let p = theme.palette();
            let area = egui::Area::new(Id::unique("saving")).order(egui::Order::Foreground);
            area.anchor(Align2::CENTER_BOTTOM, vec2(0.0, -theme.px(104.0))).show(ctx, |ui| {
                let frame = egui::Frame::new().fill(p.panel).stroke(theme.hairline()).corner_radius(theme.radius());
                frame.inner_margin(theme.margin_xy(16.0, 8.0)).show(ui, |ui| {
                    ui.set_width(theme.px(300.0));
                    if crate::ui::widgets::controls::progress(ui, &theme, "Saving", done, total) {
                        self.session.cancel(Slot::Save);
                    }
                });
            });
        }
    }

    fn save_part(&mut self, ctx: &Context, ask: &Ask) {
        match ask.part {
            Part::LabShot => self.dialogs.ask_save(ctx, self.lab_rect),
            Part::WindowShot => self.dialogs.ask_save(ctx, None),
            _ => match self.export_of(ask) {
                None => self.session.notices.push(Tone::Failure, "There is nothing to save yet. Wait until the lab shows its pictures."),
                Some(export) => {
                    let name = self.file_name(&export);
                    if let Err(message) = self.dialogs.ask_export(ctx, Box::new(export), &name) {
                        self.session.notices.push(Tone::Failure, message);
                    }
                }
            },
        }
    }

    /// What to call a file unless the person has a better name: the lab, the part, the seed.
    fn file_name(&self, export: &Export) -> String {
        let part = export.figures.first().map_or_else(String::new, Figure::file_name);
        let name = format!("{}-{part}-seed-{}", self.lab().id, self.settings.work.seed);
        export.format.extension.map_or_else(|| name.clone(), |extension| format!("{name}.{extension}"))
    }

    /// What is to be written, all but where to; none while the lab has nothing to show.
    pub fn export_of(&mut self, ask: &Ask) -> Option<Export> {
        let settled = self.is_settled();
        let mut settings = ask.settings.clone();
        if settings.ground == Ground::Transparent && !ask.format().alpha {
            settings.ground = Ground::White;
        }
        let ink = settings.ink(self.settings.theme);
        let (whole, film) = self.with_lab(|lab, cx| {
            let film = if ask.part == Part::Film { lab.film(cx, &ink) } else { Vec::new() };
            (lab.figure(cx, &ink), film)
        });
        let whole = whole?;
        let figures = match ask.part {
            Part::Whole => vec![whole.clone()],
            Part::Alone(index) => vec![whole.alone().into_iter().nth(index)?],
            Part::Film if film.len() > 1 => film,
            _ => return None,
        };
        let format = ask.format();
        let state = format.carries_state.then(|| self.state());
        Some(Export {
            target: Default::default(),
            format,
            figures,
            scale: f32::from(ask.settings.scale),
            frames_per_second: f32::from(ask.settings.pace),
            state,
            shown: Some(whole).filter(|whole| settled && whole.repeatable),
        })
    }

    /// What the open lab shows now, as data; none while it shows nothing.
    pub fn figure(&mut self) -> Option<Figure> {
        let ink = self.settings.export.ink(self.settings.theme);
        self.with_lab(|lab, cx| lab.figure(cx, &ink))
    }

    /// What the open lab is set to, to travel in a file.
    fn state(&self) -> State {
        let session = &self.session;
        let own = session.picture.as_ref().filter(|_| session.picture_is_own());
        let picture = own.and_then(|p| Carried::of(&Picture::new(p.name.clone(), p.pixels.clone(), Paint::Rgb)).ok());
        let device = session.card.as_ref().map_or("", |card| card.device.as_str());
        State {
            version: VERSION,
            lab: self.lab().id.to_owned(),
            work: serde_json::to_value(&self.settings.work).unwrap_or_default(),
            clock: ClockMark { timestep: self.clock.position(), forward: self.clock.direction == Direction::Forward },
            look: self.zooms[self.lab_index()].mark(),
            model: model_mark(session),
            machine: format!("{} {}, {device}", std::env::consts::OS, std::env::consts::ARCH),
            picture,
            shown: None,
        }
    }

    fn with_lab<R>(&mut self, look: impl FnOnce(&mut dyn Lab, &mut LabContext<'_>) -> R) -> R {
        let index = LABS.iter().position(|lab| lab.id == self.settings.lab).unwrap_or(0);
        self.look_at_lab(index, look)
    }
}

/// The model in use: its name, and a digest of its facts and noise levels.
pub(super) fn model_mark(session: &Session) -> ModelMark {
    let Some(card) = &session.card else { return ModelMark::default() };
    let mut facts = format!(
        "{} {} {:?} {} {} {:?} {} {} {} {}",
        card.name,
        card.picture_side,
        card.latent_shape,
        card.num_train_timesteps,
        card.schedule_id,
        card.prediction,
        card.scaling_factor,
        card.unet_parameters,
        card.vae_parameters,
        card.text_parameters
    )
    .into_bytes();
    facts.extend((0..session.levels.count()).flat_map(|t| session.levels.level(t).alpha.to_bits().to_le_bytes()));
    ModelMark { name: card.name.clone(), digest: digest_of_bytes(&facts) }
}
