//! What a symbol stands for: pointing at it in an equation lights up what it stands for in the pictures and plots, and pointing at
//! these lights up the symbol.

use crate::ui::theme::{Palette, Theme};
use egui::{Color32, Context, Id, Rect, Stroke, StrokeKind, Ui};

/// What symbols stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// The clean picture x0, or its latents.
    X0,
    /// The noisy x_t.
    Xt,
    /// One step before x_t.
    Before,
    /// The noise.
    Noise,
    /// The prediction of x0.
    X0Hat,
    /// The share of the signal.
    AlphaBar,
    /// The share of the noise.
    NoiseShare,
    /// The noise of one step.
    Beta,
    /// The answer without the prompt.
    Unconditional,
    /// The answer with the prompt.
    Conditional,
    /// The guided combination.
    Guided,
    /// The guidance scale.
    Scale,
}

impl Meaning {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::X0,
        Self::Xt,
        Self::Before,
        Self::Noise,
        Self::X0Hat,
        Self::AlphaBar,
        Self::NoiseShare,
        Self::Beta,
        Self::Unconditional,
        Self::Conditional,
        Self::Guided,
        Self::Scale,
    ];

    /// In words.
    pub const fn label(self) -> &'static str {
        match self {
            Self::X0 => "the clean picture",
            Self::Xt => "the noisy picture at t",
            Self::Before => "the picture one step before",
            Self::Noise => "the noise, unit Gaussian",
            Self::X0Hat => "the model's guess at the clean picture",
            Self::AlphaBar => "the share of the signal in the variance",
            Self::NoiseShare => "the share of the noise in the variance",
            Self::Beta => "the variance of the noise added in this step",
            Self::Unconditional => "what the model says without the prompt",
            Self::Conditional => "what the model says with the prompt",
            Self::Guided => "what the sampler follows",
            Self::Scale => "the guidance scale",
        }
    }
}

/// What is pointed at: in the frame that is being drawn, and in the one before.
#[derive(Debug, Clone, Copy, Default)]
struct Pointed {
    frame: u64,
    now: Option<Meaning>,
    before: Option<Meaning>,
}

fn pointed(ctx: &Context, change: impl FnOnce(&mut Pointed)) -> Pointed {
    let frame = ctx.cumulative_pass_nr();
    ctx.data_mut(|data| {
        let pointed: &mut Pointed = data.get_temp_mut_or_default(Id::unique("what is pointed at"));
        if pointed.frame != frame {
            let before = if pointed.frame + 1 == frame { pointed.now } else { None };
            *pointed = Pointed { frame, now: None, before };
        }
        change(pointed);
        *pointed
    })
}

/// What is lit: what was pointed at in the last frame, wherever.
pub fn lit(ctx: &Context) -> Option<Meaning> {
    pointed(ctx, |_| ()).before
}

/// Says that `meaning` is pointed at.
pub fn point(ctx: &Context, meaning: Meaning) {
    let state = pointed(ctx, |pointed| pointed.now = Some(meaning));
    if state.before != Some(meaning) {
        ctx.request_repaint();
    }
}

/// Marks `rect` as what `meaning` stands for: pointing at it lights its symbol, and it wears a ring while it is lit; what is not meant
/// steps back.
pub fn mark(ui: &Ui, theme: &Theme, rect: Rect, meaning: Meaning) {
    if ui.rect_contains_pointer(rect) {
        point(ui.ctx(), meaning);
    }
    ring(ui, theme, rect, meaning);
    if lit(ui.ctx()).is_some_and(|lit| lit != meaning) {
        ui.painter().rect_filled(rect, theme.px(6.0), Palette::faint(theme.palette().ground, 0.45));
    }
}

/// The same for what is to stay legible while something else is meant.
pub fn mark_gently(ui: &Ui, theme: &Theme, rect: Rect, meaning: Meaning) {
    if ui.rect_contains_pointer(rect) {
        point(ui.ctx(), meaning);
    }
    ring(ui, theme, rect, meaning);
}

/// The ring round what is meant.
pub fn ring(ui: &Ui, theme: &Theme, rect: Rect, meaning: Meaning) {
    if lit(ui.ctx()) == Some(meaning) {
        let ring = Stroke::new(theme.px(2.5), theme.palette().accent);
        ui.painter().rect_stroke(rect, theme.px(6.0), ring, StrokeKind::Outside);
    }
}

/// A colour as it is while its own meaning or none is lit, else stepping back.
pub fn shade(ctx: &Context, theme: &Theme, color: Color32, meaning: Meaning) -> Color32 {
    if lit(ctx).is_none_or(|lit| lit == meaning) { color } else { Palette::mix(color, theme.palette().panel, 0.7) }
}
