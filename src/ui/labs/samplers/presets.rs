//! Races worth seeing, each with the question that it answers.

use super::{LaneChoice, Matching, Settings, View};
use crate::ui::labs::LabContext;
use crate::ui::theme::Weight;
use crate::ui::widgets::controls::tip;
use egui::Ui;

/// A race.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Its name in the menu.
    pub label: &'static str,
    /// What to look for.
    pub hint: &'static str,
    /// What the lanes have in common.
    pub matching: Matching,
    /// How many of it.
    pub budget: usize,
    /// Sampler, own number of steps and step seed of each lane.
    pub lanes: &'static [(&'static str, usize, u64)],
}

/// Every race; the first is how the lab opens.
pub const PRESETS: &[Preset] = &[
    Preset {
        label: "Six samplers, 20 evaluations",
        hint: "All ask the model 20 times. Which comes nearest to the path of the differential equation?",
        matching: Matching::Evaluations,
        budget: 20,
        lanes: &[("ddim", 20, 0), ("euler", 20, 0), ("heun", 10, 0), ("dpmpp_2m", 20, 0), ("unipc", 20, 0), ("euler_ancestral", 20, 0)],
    },
    Preset {
        label: "1000 DDPM steps against 20",
        hint: "DDPM was made for a thousand steps. What do twenty give, with it and with DDIM?",
        matching: Matching::Free,
        budget: 20,
        lanes: &[("ddpm", 1000, 0), ("ddpm", 100, 0), ("ddpm", 20, 0), ("ddim", 20, 0)],
    },
    Preset {
        label: "Why ancestral never settles",
        hint: "With more steps Euler converges to one picture. Euler ancestral adds fresh noise, and another number of steps is another picture.",
        matching: Matching::Free,
        budget: 20,
        lanes: &[
            ("euler", 10, 0),
            ("euler", 20, 0),
            ("euler", 80, 0),
            ("euler_ancestral", 10, 0),
            ("euler_ancestral", 20, 0),
            ("euler_ancestral", 80, 0),
        ],
    },
    Preset {
        label: "Two evaluations per step: is Heun worth it?",
        hint: "Heun looks ahead and corrects itself, for twice the price. Compare it with Euler at the same number of evaluations.",
        matching: Matching::Free,
        budget: 20,
        lanes: &[("euler", 7, 0), ("heun", 4, 0), ("euler", 19, 0), ("heun", 10, 0), ("euler", 49, 0), ("heun", 25, 0)],
    },
    Preset {
        label: "One sampler, six seeds on the way",
        hint: "All start from the same noise; only the fresh noise of the steps differs. How much of the picture was in the start?",
        matching: Matching::Evaluations,
        budget: 30,
        lanes: &[
            ("euler_ancestral", 30, 0),
            ("euler_ancestral", 30, 1),
            ("euler_ancestral", 30, 2),
            ("ddpm", 30, 0),
            ("ddpm", 30, 1),
            ("ddpm", 30, 2),
        ],
    },
];

impl Preset {
    /// The settings that it stands for.
    pub fn settings(&self) -> Settings {
        let lane = |&(sampler, steps, seed): &(&str, usize, u64)| LaneChoice { sampler: sampler.to_owned(), steps, seed };
        Settings {
            lanes: self.lanes.iter().map(lane).collect(),
            matching: self.matching,
            budget: self.budget,
            focus: 0,
            view: View::Paths,
            guidance_scale: None,
        }
    }

    /// Whether the lab shows this race.
    fn is(&self, settings: &Settings) -> bool {
        let own = self.settings();
        own.lanes == settings.lanes && own.matching == settings.matching && own.budget == settings.budget
    }
}

/// The menu of races.
pub(super) fn menu(cx: &mut LabContext<'_>, ui: &mut Ui) {
    let theme = cx.theme;
    let current = PRESETS.iter().find(|preset| preset.is(&cx.work.samplers));
    let font = theme.font(Weight::Medium, 14.0);
    let text = egui::RichText::new(current.map_or("A race of your own", |preset| preset.label)).font(font);
    let response = egui::ComboBox::from_id_salt("race")
        .selected_text(text)
        .width(theme.px(270.0))
        .height(theme.px(420.0))
        .show_ui(ui, |ui| {
            for preset in PRESETS {
                let chosen = current.is_some_and(|current| current.label == preset.label);
                let response = ui.selectable_label(chosen, preset.label);
                if response.on_hover_ui(|ui| tip(ui, theme, preset.label, preset.hint)).clicked() {
                    let own = &cx.work.samplers;
                    cx.work.samplers = Settings { view: own.view, guidance_scale: own.guidance_scale, ..preset.settings() };
                }
            }
        })
        .response;
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, "Race"));
    let hint = current.map_or("Choose a race, or set the lanes as you like.", |preset| preset.hint);
    response.on_hover_text(hint);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_race_can_be_run_as_it_stands() {
        for preset in PRESETS {
            let mut settings = preset.settings();
            assert!(preset.is(&settings));
            settings.tidy();
            assert_eq!(settings, preset.settings(), "{}", preset.label);
        }
    }
}
