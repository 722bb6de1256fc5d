//! The top bar: prompts, seed, model and device, and what concerns the whole window.

use super::model_chip;
use crate::ui::session::Session;
use crate::ui::settings::{SEEDS, Work, roll};
use crate::ui::theme::{Palette, Symbol, Theme, ThemeChoice, Weight};
use crate::ui::widgets::controls::{Look, icon_button};
use crate::ui::widgets::icons::Icon;
use crate::worker::protocol::DeviceKind;
use egui::{Align, Layout, Ui, WidgetInfo, vec2};
use std::path::PathBuf;

/// What was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Take back.
    Undo,
    /// Do again.
    Redo,
    /// All settings of the work to their defaults.
    Reset,
    /// Those of the open lab.
    ResetLab,
    /// Ask for a picture.
    Open,
    /// Save a figure.
    Save,
    /// The other theme.
    Theme,
    /// The list of shortcuts.
    Help,
    /// Larger text and pictures.
    Larger,
    /// Smaller ones.
    Smaller,
    /// As they were drawn.
    NormalSize,
    /// Things jump where they glided, or the other way round.
    ReducedMotion,
    /// The whole screen for the lab and its clock, and back.
    Present,
}

/// What the bar needs to know.
pub struct State<'a> {
    /// The settings.
    pub work: &'a mut Work,
    /// What is known of the model and its reading of the prompts.
    pub session: &'a Session,
    /// Whether the negative prompt is shown.
    pub negative: bool,
    /// Whether there is something to take back or do again.
    pub history: (bool, bool),
    /// What belongs to the window.
    pub settings: Looks<'a>,
}

/// How the window looks, and what was opened in it.
#[derive(Debug, Clone, Copy)]
pub struct Looks<'a> {
    /// The theme in use.
    pub choice: ThemeChoice,
    /// How much larger than usual everything is.
    pub zoom: f32,
    /// Whether things jump where they would glide.
    pub reduced_motion: bool,
    /// Pictures opened lately.
    pub recent: &'a [PathBuf],
}

/// What the bar asks of the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Something that has a name.
    Act(Action),
    /// To open this picture again.
    OpenRecent(PathBuf),
    /// What there is to compute on.
    Devices,
    /// To compute on this.
    Device(DeviceKind),
}

/// Shows the bar.
pub fn show(ui: &mut Ui, theme: &Theme, state: State<'_>) -> Option<Asked> {
    let State { work, session, negative, history, settings } = state;
    let (mut action, mut recent, mut chosen) = (None, None, None);
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        ui.spacing_mut().item_spacing.x = theme.px(2.0);
        let mut button = |ui: &mut Ui, icon, label: &str, hint: &str, enabled: bool, does: Action| {
            ui.add_enabled_ui(enabled, |ui| {
                if icon_button(ui, theme, icon, 34.0, Look::Plain, false, label, hint).clicked() {
                    action = Some(does);
                }
            });
        };
        button(ui, Icon::Help, "Help", "Shortcuts and what is where. Key ?", true, Action::Help);
        let view = icon_button(ui, theme, Icon::View, 34.0, Look::Plain, false, "View", "Theme, size of text, motion, the whole screen.");
        egui::Popup::menu(&view).show(|ui| action = action.or(view_menu(ui, theme, settings)));
        let hint = "The lab, a picture, a plot or the run, for lecture notes. Key Ctrl+S";
        if icon_button(ui, theme, Icon::Save, 34.0, Look::Plain, false, "Save a figure…", hint).clicked() {
            action = Some(Action::Save);
        }
        let reset = icon_button(ui, theme, Icon::Reset, 34.0, Look::Plain, false, "Reset", "Settings to their defaults. Can be undone.");
        egui::Popup::menu(&reset).show(|ui| {
            for (label, keys, does) in [("This lab", "Shift R", Action::ResetLab), ("All labs, prompt and seed", "", Action::Reset)] {
                if ui.add(egui::Button::new(label).shortcut_text(keys)).clicked() {
                    action = Some(does);
                }
            }
        });
        let mut button = |ui: &mut Ui, icon, label: &str, hint: &str, enabled: bool, does: Action| {
            ui.add_enabled_ui(enabled, |ui| {
                if icon_button(ui, theme, icon, 34.0, Look::Plain, false, label, hint).clicked() {
                    action = Some(does);
                }
            });
        };
        button(ui, Icon::Redo, "Redo", "Ctrl+Shift+Z", history.1, Action::Redo);
        button(ui, Icon::Undo, "Undo", "Ctrl+Z", history.0, Action::Undo);
        let open = icon_button(
            ui,
            theme,
            Icon::Open,
            34.0,
            Look::Plain,
            false,
            "Open",
            "A picture of yours; you can also drop one on the window.",
        );
        egui::Popup::menu(&open).show(|ui| {
            if ui.add(egui::Button::new("Open a picture…").shortcut_text("Ctrl O")).clicked() {
                action = Some(Action::Open);
            }
            if !settings.recent.is_empty() {
                ui.separator();
            }
            for path in settings.recent {
                let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
                if ui.button(name).on_hover_text(path.display().to_string()).clicked() {
                    recent = Some(path.clone());
                }
            }
        });
        ui.add_space(theme.px(6.0));
        chosen = model_chip::show(ui, theme, session);
        ui.add_space(theme.px(12.0));
        seed(ui, theme, work);
        ui.add_space(theme.px(14.0));
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| prompts(ui, theme, work, session, negative));
    });
    chosen.or(recent.map(Asked::OpenRecent)).or(action.map(Asked::Act))
}

/// Everything about how the window looks.
fn view_menu(ui: &mut Ui, theme: &Theme, settings: Looks<'_>) -> Option<Action> {
    let mut action = None;
    let mut item = |ui: &mut Ui, label: &str, keys: &str, does: Action| {
        if ui.add(egui::Button::new(label).shortcut_text(keys)).clicked() {
            action = Some(does);
        }
    };
    item(ui, &format!("{} theme", settings.choice.other().label()), "T", Action::Theme);
    item(ui, "Present on the whole screen", "F11", Action::Present);
    let motion = if settings.reduced_motion { "Glide again" } else { "Reduce motion" };
    item(ui, motion, "", Action::ReducedMotion);
    ui.separator();
    item(ui, "Larger", "Ctrl +", Action::Larger);
    item(ui, "Smaller", "Ctrl −", Action::Smaller);
    item(ui, "Normal size", "Ctrl 0", Action::NormalSize);
    let size = format!("now {:.0} %", settings.zoom * 100.0);
    ui.label(egui::RichText::new(size).font(theme.small()).color(theme.palette().dim));
    action
}

fn seed(ui: &mut Ui, theme: &Theme, work: &mut Work) {
    // Right to left: the dice stands after the number.
    if icon_button(
        ui,
        theme,
        Icon::Dice,
        34.0,
        Look::Raised,
        false,
        "Roll the seed",
        "Another seed for all noise. Nothing else changes it.",
    )
    .clicked()
    {
        work.seed = roll(work.seed);
    }
    ui.add_space(theme.px(4.0));
    ui.scope(|ui| {
        ui.style_mut().drag_value_text_style = egui::TextStyle::Button;
        let value = egui::DragValue::new(&mut work.seed).range(0..=SEEDS - 1).speed(0.2).update_while_editing(false);
        let response = ui.add_sized(vec2(theme.px(68.0), theme.px(34.0)), value);
        let enabled = ui.is_enabled();
        let seed = work.seed as f64;
        response.widget_info(|| WidgetInfo { label: Some("Seed".to_owned()), ..WidgetInfo::drag_value(enabled, seed) });
        response.on_hover_text("Seed of all noise: the same seed gives the same noise on every machine.");
    });
    ui.add_space(theme.px(6.0));
    ui.label(egui::RichText::new("Seed").font(theme.font(Weight::Medium, 13.5)).color(theme.palette().dim));
}

fn prompts(ui: &mut Ui, theme: &Theme, work: &mut Work, session: &Session, negative: bool) {
    let gap = theme.px(12.0);
    let room = ui.available_width();
    let first = if negative { (room - gap) * 0.56 } else { room };
    let before = work.prompt.clone();
    field(
        ui,
        theme,
        &mut work.prompt,
        first,
        Symbol::Conditional,
        "Prompt",
        "Prompt, what the picture should show",
        session.tokens.as_ref().map(|t| &t.0),
    );
    if work.prompt != before {
        work.prompt_follows_picture = false;
    }
    if negative {
        ui.add_space(gap);
        let rest = ui.available_width();
        field(
            ui,
            theme,
            &mut work.negative,
            rest,
            Symbol::Unconditional,
            "Negative prompt",
            "Negative prompt, empty for none",
            session.tokens.as_ref().map(|t| &t.1),
        );
    }
}

#[allow(clippy::too_many_arguments, reason = "one field, drawn twice")]
fn field(
    ui: &mut Ui,
    theme: &Theme,
    text: &mut String,
    width: f32,
    symbol: Symbol,
    name: &str,
    hint: &str,
    tokens: Option<&crate::worker::protocol::Tokens>,
) {
    let p = theme.palette();
    let mark = theme.px(3.0);
    let font = theme.font(Weight::Regular, 15.0);
    let edit = egui::TextEdit::singleline(text)
        .hint_text(egui::RichText::new(hint.to_owned()).color(p.dim))
        .font(font)
        .char_limit(Work::LONGEST_PROMPT)
        .desired_width(f32::INFINITY)
        .margin(theme.margin_xy(12.0, 9.0))
        .id_salt(name);
    let response = ui.add_sized(vec2(width, theme.px(38.0)), edit);
    let enabled = ui.is_enabled();
    let shown = text.clone();
    response.widget_info(|| WidgetInfo { label: Some(name.to_owned()), ..WidgetInfo::text_edit(enabled, &shown, &shown, hint) });
    let rect = response.rect;
    let bar = egui::Rect::from_min_size(rect.min + vec2(0.0, mark * 2.0), vec2(mark, rect.height() - mark * 4.0));
    ui.painter().rect_filled(bar, mark, p.symbol(symbol));
    let dropped = tokens.map_or(0, |t| t.dropped);
    if dropped > 0 {
        let text = format!("{dropped} tokens too many");
        let galley = ui.painter().layout_no_wrap(text, theme.font(Weight::Medium, 12.5), p.danger);
        let size = galley.size() + vec2(theme.px(12.0), theme.px(6.0));
        let place = egui::Rect::from_min_size(egui::pos2(rect.right() - size.x - theme.px(6.0), rect.center().y - size.y * 0.5), size);
        ui.painter().rect_filled(place, place.height() * 0.5, p.panel);
        ui.painter().galley(place.center() - galley.size() * 0.5, galley, p.danger);
    }
    if let Some(tokens) = tokens {
        response.on_hover_ui(|ui| {
            ui.label(egui::RichText::new(name).font(theme.font(Weight::Medium, 14.0)));
            ui.label(egui::RichText::new("As the model reads it").font(theme.small()).color(p.dim));
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing = egui::Vec2::splat(theme.px(4.0));
                for piece in &tokens.pieces {
                    egui::Frame::new()
                        .fill(Palette::mix(p.raised, p.symbol(symbol), 0.18))
                        .corner_radius(4.0)
                        .inner_margin(theme.margin_xy(5.0, 2.0))
                        .show(ui, |ui| ui.label(egui::RichText::new(piece).font(theme.small())));
                }
            });
        });
    }
}
