//! The window as a whole: it holds the settings, the clock and the session, and gives each its place.

use super::chrome::top_bar::{Asked, Looks};
use super::chrome::{clock_bar, help, rail, top_bar};
use super::clock::{Clock, Pace};
use super::dialogs::{Answer, Dialogs};
use super::export::ink::Ink;
use super::export::{Check, Sheet};
use super::labs::zoom::{Level, Zoom};
use super::labs::{LABS, Lab, LabContext, LabInfo, Wish};
use super::notices::{Pressed, Tone};
use super::session::{Backend, ModelState, Session};
use super::settings::{History, Settings};
use super::theme::{self, Theme, ThemeChoice};
use super::widgets::textures::Textures;
use crate::figure::Figure;
use crate::worker::protocol::{DeviceKind, ModelSource, PictureSource};
use egui::containers::scroll_area::{DragScroll, ScrollSource};
use egui::{Context, Frame, Key, Panel, Rect, ScrollArea, Ui};
use std::sync::Arc;

/// Under this key the settings lie in eframe's storage.
pub const SETTINGS_KEY: &str = "diffuscope settings";

/// How the window starts. What is none is remembered or the default.
#[derive(Debug, Clone)]
pub struct Options {
    /// The model to open.
    pub model: ModelSource,
    /// Where it runs.
    pub device: DeviceKind,
    /// Dark or light.
    pub theme: Option<ThemeChoice>,
    /// Id of the lab to open.
    pub lab: Option<String>,
    /// Seed of all noise.
    pub seed: Option<u64>,
    /// The prompt; without one it is the caption of the picture.
    pub prompt: Option<String>,
    /// The negative prompt.
    pub negative: Option<String>,
    /// A picture to open in place of a Littleworld scene.
    pub picture: Option<PictureSource>,
    /// Whether the clock plays at once.
    pub playing: bool,
    /// Whether settings are remembered.
    pub remember: bool,
    /// Files are saved into this folder without asking.
    pub save_into: Option<std::path::PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            model: ModelSource::Embedded,
            device: DeviceKind::Cpu,
            theme: None,
            lab: None,
            seed: None,
            prompt: None,
            negative: None,
            picture: None,
            playing: true,
            remember: true,
            save_into: None,
        }
    }
}

/// How much larger everything is on the whole screen, where it is seen from the back of a room: as much as a lab still fits.
const PRESENTED: f32 = 1.16;
/// The least room that a lab is drawn in, in design units; where larger text leaves less, it scrolls.
const LEAST: [f32; 2] = [812.0, 638.0];

/// The window.
pub struct App {
    pub(super) settings: Settings,
    pub(super) history: History,
    pub(super) clock: Clock,
    pub(super) session: Session,
    labs: Vec<Box<dyn Lab>>,
    /// How near each lab is looked at.
    zooms: Vec<Zoom>,
    textures: Textures,
    pub(super) dialogs: Dialogs,
    theme: Theme,
    styled: Option<(Theme, Arc<egui::Style>)>,
    pub(super) pace: Pace,
    pub(super) help: bool,
    /// Whether the lab and its clock have the whole screen.
    pub(super) presenting: bool,
    pub(super) export: Option<Sheet>,
    pub(super) export_wanted: bool,
    pub(super) check: Option<Check>,
    pub(super) lab_rect: Option<Rect>,
    typed_secs: f64,
    remember: bool,
    settled: bool,
    quiet_frames: usize,
}

impl App {
    /// A window over a worker. Nothing is drawn yet; the model begins to open.
    pub fn new(ctx: &Context, backend: Box<dyn Backend>, options: Options) -> Self {
        Self::with_settings(ctx, backend, options, Ok(Settings::default()))
    }

    /// The same with the settings of last time out of eframe's storage. A damaged store gives a message and the defaults.
    pub fn restored(cc: &eframe::CreationContext<'_>, backend: Box<dyn Backend>, options: Options) -> Self {
        let text = cc.storage.filter(|_| options.remember).and_then(|storage| storage.get_string(SETTINGS_KEY));
        let settings = text.map_or_else(|| Ok(Settings::default()), |text| Settings::read(&text));
        Self::with_settings(&cc.egui_ctx, backend, options, settings)
    }

    /// The same with settings as they were read.
    pub fn with_settings(ctx: &Context, backend: Box<dyn Backend>, options: Options, settings: Result<Settings, String>) -> Self {
        theme::install_fonts(ctx);
        let (mut settings, problem) = match settings {
            Ok(settings) => (settings, None),
            Err(message) => (Settings::default(), Some(message)),
        };
        let Options { model, device, theme, lab, seed, prompt, negative, picture, playing, remember, save_into } = options;
        settings.theme = theme.unwrap_or(settings.theme);
        if let Some(id) = lab.filter(|id| LABS.iter().any(|l| l.id == id)) {
            settings.lab = id;
        }
        settings.work.seed = seed.unwrap_or(settings.work.seed);
        if let Some(prompt) = prompt {
            settings.work.prompt = prompt;
            settings.work.prompt_follows_picture = false;
        }
        settings.work.negative = negative.unwrap_or(settings.work.negative);
        let mut session = Session::new(backend, model, device);
        (session.prompt, session.negative) = (settings.work.prompt.clone(), settings.work.negative.clone());
        if let Some(message) = problem {
            session.notices.push(Tone::Failure, message);
        }
        session.want_scene(settings.work.scene_seed);
        if let Some(source) = picture {
            session.open_picture(source);
        }
        let mut clock = Clock::new(session.levels.count());
        clock.playing = playing && !settings.reduced_motion;
        let theme = Theme::for_window(settings.theme, ctx.content_rect().size(), settings.zoom);
        ctx.options_mut(|o| o.zoom_with_keyboard = false);
        Self {
            history: History::new(settings.work.clone()),
            clock,
            session,
            labs: LABS.iter().map(|lab| (lab.make)()).collect(),
            zooms: LABS.iter().map(|_| Zoom::default()).collect(),
            textures: Textures::default(),
            dialogs: Dialogs::new(save_into),
            theme,
            styled: None,
            pace: Pace::default(),
            help: false,
            presenting: false,
            export: None,
            export_wanted: false,
            check: None,
            lab_rect: None,
            typed_secs: f64::NEG_INFINITY,
            remember,
            settled: false,
            quiet_frames: 0,
            settings,
        }
    }

    /// The settings as they stand.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The clock, to be set.
    pub fn clock_mut(&mut self) -> &mut Clock {
        &mut self.clock
    }

    /// What was asked and answered.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The table line of the open lab.
    pub fn lab(&self) -> &'static LabInfo {
        &LABS[self.lab_index()]
    }

    fn lab_index(&self) -> usize {
        LABS.iter().position(|lab| lab.id == self.settings.lab).unwrap_or(0)
    }

    /// Opens the lab with this id; an unknown one changes nothing.
    pub fn show_lab(&mut self, id: &str) {
        if let Some(lab) = LABS.iter().find(|lab| lab.id == id) {
            lab.id.clone_into(&mut self.settings.lab);
            self.settled = false;
        }
    }

    /// How near the open lab is looked at.
    pub fn level(&self) -> Level {
        self.zooms[self.lab_index()].level
    }

    /// Looks at the open lab from so near.
    pub fn set_level(&mut self, level: Level) {
        let index = self.lab_index();
        self.zooms[index].go(level);
        self.settled = false;
    }

    /// Dark or light.
    pub fn set_theme(&mut self, choice: ThemeChoice) {
        self.settings.theme = choice;
    }

    /// Puts the clock at rest where the open lab is at its most telling, for a photograph.
    pub fn pose(&mut self) {
        let (direction, timestep) = self.lab().pose;
        self.clock.playing = false;
        self.clock.turn(direction);
        self.clock.set(timestep);
        self.set_level(Level::Overview);
    }

    /// Whether everything that the open lab shows is computed and drawn.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// Where the lab lies in the window, in points, once it has been drawn.
    pub fn lab_rect(&self) -> Option<Rect> {
        self.lab_rect
    }

    /// The settings, to be kept.
    pub fn saved_settings(&self) -> String {
        self.settings.write()
    }

    /// One frame into `ui`, which is the whole window.
    pub fn ui(&mut self, ui: &mut Ui) {
        let ctx = ui.ctx().clone();
        self.restyle(ui);
        let now = ctx.input(|i| i.time);
        let news = self.session.poll();
        for path in self.session.opened.drain(..) {
            self.settings.opened(&path);
        }
        self.follow_restored(&ctx, now);
        self.follow_picture();
        self.settle_prompts(&ctx, now);
        self.keys(&ctx);
        self.files(&ctx);
        self.clock.set_count(self.session.levels.count());
        let dt = f64::from(ctx.input(|i| i.stable_dt)).min(0.1);
        self.clock.advance(dt, self.settings.speed, self.settings.looping, &self.pace);
        let index = self.lab_index();
        let mut wishes = Vec::new();
        let mut lab = std::mem::replace(&mut self.labs[index], Box::new(Nothing));
        self.pace = lab.logic(&mut self.context(&mut wishes, now));
        self.bars(ui);
        self.lab_ui(ui, lab.as_mut(), &mut wishes, now);
        let settled = self.has_failed() || lab.is_settled(&self.context(&mut wishes, now));
        self.labs[index] = lab;
        for wish in wishes {
            match wish {
                Wish::OpenPicture => self.ask_open(&ctx),
                Wish::SaveRow { name, pictures } if !self.dialogs.is_open() => {
                    if let Err(message) = self.dialogs.ask_save_row(&ctx, &name, pictures) {
                        self.session.notices.push(Tone::Failure, message);
                    }
                }
                Wish::SaveRow { .. } => {}
            }
        }
        let top = self.theme.px(72.0);
        if self.session.notices.show(&ctx, &self.theme, top) == Some(Pressed::Offer) {
            self.session.open_on(DeviceKind::Cpu);
        }
        self.show_export(&ctx);
        if self.help && help::show(&ctx, &self.theme) {
            self.help = false;
        }
        if ctx.input(|i| !i.raw.hovered_files.is_empty()) {
            drop_hint(&ctx, &self.theme);
        }
        let busy = ctx.input(|i| i.pointer.any_down());
        if let Some(secs) = self.history.observe(&self.settings.work, now, busy) {
            ctx.request_repaint_after_secs(secs as f32 + 0.02);
        }
        self.quiet_frames = if settled && !news && !self.session.is_busy() { self.quiet_frames + 1 } else { 0 };
        self.settled = self.quiet_frames >= 2;
        if self.clock.playing && self.pace.ready {
            ctx.request_repaint();
        } else if !self.settled {
            ctx.request_repaint_after_secs(0.03);
        }
    }

    fn restyle(&mut self, ui: &mut Ui) {
        let ctx = ui.ctx().clone();
        let zoom = self.settings.zoom * if self.presenting { PRESENTED } else { 1.0 };
        self.theme = Theme::for_window(self.settings.theme, ctx.content_rect().size(), zoom);
        let motion = if self.settings.reduced_motion { 0.0 } else { theme::FADE_SECS };
        if self.styled.as_ref().is_none_or(|(theme, style)| *theme != self.theme || style.animation_time != motion) {
            let style = Arc::new(egui::Style { animation_time: motion, ..self.theme.style() });
            let (ours, kind) = match self.settings.theme {
                ThemeChoice::Dark => (egui::Theme::Dark, egui::ThemePreference::Dark),
                ThemeChoice::Light => (egui::Theme::Light, egui::ThemePreference::Light),
            };
            ctx.set_theme(kind);
            ctx.set_style_of(ours, Arc::clone(&style));
            self.styled = Some((self.theme, style));
        }
        if let Some((_, style)) = &self.styled {
            ui.set_style(Arc::clone(style));
        }
    }

    /// The caption of a new picture becomes the prompt until the person has written one.
    fn follow_picture(&mut self) {
        let work = &mut self.settings.work;
        if !work.prompt_follows_picture || self.session.picture_is_coming() {
            return;
        }
        let Some(picture) = &self.session.picture else { return };
        if !picture.caption.is_empty() && work.prompt != picture.caption {
            let before = work.clone();
            work.prompt.clone_from(&picture.caption);
            self.session.prompt.clone_from(&picture.caption);
            self.history.adopt(&before, work);
        }
    }

    /// Runs are asked for once typing has paused.
    fn settle_prompts(&mut self, ctx: &Context, now: f64) {
        const REST_SECS: f64 = 0.35;
        let work = &self.settings.work;
        if self.session.prompt == work.prompt && self.session.negative == work.negative {
            self.typed_secs = f64::NEG_INFINITY;
        } else {
            let typing =
                ctx.input(|i| i.events.iter().any(|e| matches!(e, egui::Event::Text(_) | egui::Event::Key { .. } | egui::Event::Paste(_))));
            if typing || self.typed_secs == f64::NEG_INFINITY {
                self.typed_secs = now;
            }
            if now - self.typed_secs >= REST_SECS || ctx.input(|i| i.key_pressed(Key::Enter)) {
                (self.session.prompt, self.session.negative) = (work.prompt.clone(), work.negative.clone());
            } else {
                ctx.request_repaint_after_secs((REST_SECS - (now - self.typed_secs)) as f32 + 0.01);
            }
        }
        let (prompt, negative) = (self.session.prompt.clone(), self.session.negative.clone());
        self.session.ask_tokens(&prompt, &negative);
    }

    fn context<'a>(&'a mut self, wishes: &'a mut Vec<Wish>, now_secs: f64) -> LabContext<'a> {
        let index = self.lab_index();
        LabContext {
            work: &mut self.settings.work,
            session: &mut self.session,
            clock: &mut self.clock,
            theme: &self.theme,
            textures: &mut self.textures,
            zoom: &mut self.zooms[index],
            wishes,
            now_secs,
        }
    }

    /// Lets `look` see a lab outside of drawing.
    pub(super) fn look_at_lab<R>(&mut self, index: usize, look: impl FnOnce(&mut dyn Lab, &mut LabContext<'_>) -> R) -> R {
        let mut lab = std::mem::replace(&mut self.labs[index], Box::new(Nothing));
        let result = look(lab.as_mut(), &mut self.context(&mut Vec::new(), 0.0));
        self.labs[index] = lab;
        result
    }

    /// Colours and measures of the window.
    pub(super) fn theme(&self) -> &Theme {
        &self.theme
    }

    fn bars(&mut self, ui: &mut Ui) {
        let theme = self.theme;
        let p = theme.palette();
        let frame = |x, y| Frame::new().fill(p.panel).inner_margin(theme.margin_xy(x, y));
        if !self.presenting {
            self.upper_bars(ui);
        }
        Panel::bottom("clock").exact_size(theme.px(88.0)).resizable(false).frame(frame(18.0, 8.0)).show(ui, |ui| {
            clock_bar::show(ui, &theme, &mut self.clock, &mut self.settings, &self.pace);
        });
    }

    /// The rail and the top bar, which leave while the lab has the whole screen.
    fn upper_bars(&mut self, ui: &mut Ui) {
        let theme = self.theme;
        let fill = theme.palette().panel;
        let frame = |x, y| Frame::new().fill(fill).inner_margin(theme.margin_xy(x, y));
        Panel::left("rail").exact_size(theme.px(rail::WIDTH)).resizable(false).frame(frame(8.0, 10.0)).show(ui, |ui| {
            match rail::show(ui, &theme, &self.settings.lab.clone(), self.level()) {
                Some(rail::Pressed::Lab(id)) => self.show_lab(id),
                Some(rail::Pressed::Level(level)) => self.set_level(level),
                None => {}
            }
        });
        let mut asked = None;
        Panel::top("top bar").exact_size(theme.px(64.0)).resizable(false).frame(frame(18.0, 6.0)).show(ui, |ui| {
            let state = top_bar::State {
                history: (self.history.can_undo(&self.settings.work), self.history.can_redo()),
                work: &mut self.settings.work,
                session: &self.session,
                negative: LABS.iter().any(|lab| lab.id == self.settings.lab && lab.negative),
                settings: Looks {
                    choice: self.settings.theme,
                    zoom: self.settings.zoom,
                    reduced_motion: self.settings.reduced_motion,
                    recent: &self.settings.recent,
                },
            };
            asked = top_bar::show(ui, &theme, state);
        });
        match asked {
            Some(Asked::Act(action)) => self.act(ui.ctx(), action),
            Some(Asked::OpenRecent(path)) => self.session.open_picture(PictureSource::File(path)),
            Some(Asked::Devices) => self.session.ask_devices(),
            Some(Asked::Device(device)) => self.session.open_on(device),
            None => {}
        }
    }

    fn lab_ui(&mut self, ui: &mut Ui, lab: &mut dyn Lab, wishes: &mut Vec<Wish>, now: f64) {
        let theme = self.theme;
        let p = theme.palette();
        // The bar of the panel that scrolls lies in its margin, not over its numbers.
        let bar = theme.px(14.0);
        let mut side = Frame::new().fill(p.panel).inner_margin(theme.margin_xy(22.0, 20.0));
        side.inner_margin.right -= bar.min(127.0) as i8;
        Panel::right("side").exact_size(theme.px(348.0)).resizable(false).frame(side).show(ui, |ui| {
            ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
                ui.set_max_width(ui.available_width() - bar);
                lab.side_ui(&mut self.context(wishes, now), ui);
            });
        });
        let middle = Frame::new().fill(p.ground).inner_margin(theme.margin_xy(22.0, 16.0));
        let shown = egui::CentralPanel::default().frame(middle).show(ui, |ui| {
            let least = egui::Vec2::from(LEAST.map(|units| theme.px(units)));
            if ui.available_width() >= least.x && ui.available_height() >= least.y {
                return lab.main_ui(&mut self.context(wishes, now), ui);
            }
            // Dragging is for what lies in the lab.
            let source = ScrollSource { drag: DragScroll::Never, ..ScrollSource::ALL };
            ScrollArea::both().auto_shrink(false).scroll_source(source).show(ui, |ui| {
                let room = Rect::from_min_size(ui.max_rect().min, least.max(ui.max_rect().size()));
                ui.scope_builder(egui::UiBuilder::new().max_rect(room), |ui| lab.main_ui(&mut self.context(wishes, now), ui));
                ui.expand_to_include_rect(room);
            });
        });
        self.lab_rect = Some(shown.response.rect);
    }

    pub(super) fn ask_open(&mut self, ctx: &Context) {
        if self.dialogs.is_open() {
            return;
        }
        if let Err(message) = self.dialogs.ask_open(ctx) {
            self.session.notices.push(Tone::Failure, message);
        }
    }

    fn files(&mut self, ctx: &Context) {
        let dropped = ctx.input(|i| i.raw.dropped_files.first().map(|file| file.path().to_owned()));
        if let Some(path) = dropped {
            self.session.open_picture(PictureSource::File(path));
        }
        let pasted = ctx
            .input(|i| i.events.iter().find_map(|e| if let egui::Event::PasteImage(image) = e { Some(Arc::clone(image)) } else { None }));
        if let Some(image) = pasted {
            let (width, height) = (image.width(), image.height());
            self.session.open_picture(PictureSource::Rgba { width, height, bytes: image.as_raw().into() });
        }
        let name = format!("diffuscope-{}-t{}.png", self.settings.lab, self.clock.timestep());
        match self.dialogs.poll(ctx, &name) {
            Ok(Some(Answer::Open(path))) => self.session.open_picture(PictureSource::File(path)),
            Ok(Some(Answer::Save(path, image))) => self.session.save_png(path, &image),
            Ok(Some(Answer::Export(export))) => self.session.export(export),
            Ok(Some(Answer::SaveRow(path, pictures))) => self.session.save_row(path, pictures),
            Ok(None) => {}
            Err(message) => self.session.notices.push(Tone::Failure, message),
        }
    }

    /// Whether the model could not be opened.
    pub fn has_failed(&self) -> bool {
        matches!(self.session.model, ModelState::Failed(_))
    }
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        App::ui(self, ui);
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        if self.remember {
            storage.set_string(SETTINGS_KEY, self.settings.write());
        }
    }

    fn clear_color(&self, _visuals: &egui::Visuals) -> [f32; 4] {
        self.theme.palette().ground.to_normalized_gamma_f32()
    }
}

/// Stands in a lab's place while it is drawn.
struct Nothing;

impl Lab for Nothing {
    fn logic(&mut self, _: &mut LabContext<'_>) -> Pace {
        Pace::default()
    }
    fn main_ui(&mut self, _: &mut LabContext<'_>, _: &mut Ui) {}
    fn side_ui(&mut self, _: &mut LabContext<'_>, _: &mut Ui) {}
    fn is_settled(&self, _: &LabContext<'_>) -> bool {
        false
    }
    fn figure(&mut self, _: &mut LabContext<'_>, _: &Ink) -> Option<Figure> {
        None
    }
    fn film(&mut self, _: &mut LabContext<'_>, _: &Ink) -> Vec<Figure> {
        Vec::new()
    }
}

fn drop_hint(ctx: &Context, theme: &Theme) {
    let p = theme.palette();
    let painter = ctx.layer_painter(egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop")));
    let rect = ctx.content_rect();
    painter.rect_filled(rect, 0.0, theme::Palette::faint(p.ground, 0.85));
    let font = theme.font(theme::Weight::SemiBold, 26.0);
    painter.text(rect.center(), egui::Align2::CENTER_CENTER, "Drop the picture to open it", font, p.text);
}
