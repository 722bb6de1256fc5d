//! The window as a whole: it holds the settings, the clock and the session, and gives each its place.

use super::chrome::help;
use super::clock::{Clock, Direction, Pace};
use super::device_choice::DeviceChoice;
use super::dialogs::{Answer, Dialogs};
use super::export::ink::Ink;
use super::export::{Check, Sheet};
use super::labs::zoom::{Level, Zoom};
use super::labs::{LABS, Lab, LabContext, LabInfo, Wish};
use super::layout;
use super::notices::{Pressed, Tone};
use super::session::{Backend, ModelState, Session};
use super::settings::{History, Settings};
use super::theme::{self, Theme, ThemeChoice};
use super::widgets::textures::Textures;
use crate::figure::Figure;
use crate::worker::protocol::{DeviceKind, ModelSource, PictureSource};
use egui::{Context, Key, Rect, Ui};
use std::sync::Arc;

/// Under this key the settings lie in eframe's storage.
pub const SETTINGS_KEY: &str = "diffuscope settings";

/// How the window starts. What is none is remembered or the default.
#[derive(Debug, Clone)]
pub struct Options {
    /// The model to open.
    pub model: ModelSource,
    /// Where it runs; without one where it ran last.
    pub device: Option<DeviceKind>,
    /// Whether the fastest device is found and used, where neither says which.
    pub find_device: bool,
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
            device: None,
            find_device: false,
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

/// The window.
pub struct App {
    pub(super) settings: Settings,
    pub(super) history: History,
    pub(super) clock: Clock,
    pub(super) session: Session,
    labs: Vec<Box<dyn Lab>>,
    /// How near each lab is looked at.
    pub(super) zooms: Vec<Zoom>,
    /// Which way the clock was turned in each lab when it was left.
    directions: Vec<Option<Direction>>,
    textures: Textures,
    pub(super) dialogs: Dialogs,
    pub(super) theme: Theme,
    pub(super) styled: Option<(Theme, Arc<egui::Style>)>,
    pub(super) pace: Pace,
    pub(super) help: bool,
    /// Whether the lab and its clock have the whole screen.
    pub(super) presenting: bool,
    pub(super) export: Option<Sheet>,
    pub(super) export_wanted: bool,
    pub(super) check: Option<Check>,
    pub(super) devices: DeviceChoice,
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
        let Options { model, device, find_device, theme, lab, seed, prompt, negative, picture, playing, remember, save_into } = options;
        let devices = DeviceChoice::new(device, &settings, find_device);
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
        let mut session = Session::new(backend, model, devices.first());
        session.may_fall_back = devices.is_remembered();
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
        if let Some(direction) = LABS.iter().find(|lab| lab.id == settings.lab).and_then(|lab| lab.turns) {
            clock.turn(direction);
        }
        let theme = Theme::for_window(settings.theme, ctx.content_rect().size(), settings.zoom);
        ctx.options_mut(|o| o.zoom_with_keyboard = false);
        Self {
            history: History::new(settings.work.clone()),
            clock,
            session,
            labs: LABS.iter().map(|lab| (lab.make)()).collect(),
            zooms: LABS.iter().map(|_| Zoom::default()).collect(),
            directions: LABS.iter().map(|lab| lab.turns).collect(),
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
            devices,
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

    pub(super) fn lab_index(&self) -> usize {
        LABS.iter().position(|lab| lab.id == self.settings.lab).unwrap_or(0)
    }

    /// Opens the lab with this id; an unknown one changes nothing.
    pub fn show_lab(&mut self, id: &str) {
        if let Some(lab) = LABS.iter().find(|lab| lab.id == id) {
            // Each lab finds the clock turned as it was left there.
            let (from, to) = (self.lab_index(), LABS.iter().position(|other| other.id == lab.id).unwrap_or(0));
            if from != to {
                self.directions[from] = Some(self.clock.direction);
                if let Some(direction) = self.directions[to] {
                    self.clock.turn(direction);
                }
            }
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
        self.follow_devices();
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
            self.use_device(DeviceKind::Cpu);
        }
        self.show_export(&ctx);
        if self.help && help::show(&ctx, &self.theme) {
            self.help = false;
        }
        if ctx.input(|i| !i.raw.hovered_files.is_empty()) {
            layout::drop_hint(&ctx, &self.theme);
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

    pub(super) fn context<'a>(&'a mut self, wishes: &'a mut Vec<Wish>, now_secs: f64) -> LabContext<'a> {
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

    fn auto_save_interval(&self) -> std::time::Duration {
        // Not much is lost where the window cannot be closed in good order.
        std::time::Duration::from_secs(5)
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
