//! What labs describe their figures with: symbols, captions and heat maps in the colours of a theme.

use super::formula;
use crate::diffusion::{SAMPLERS, ScheduleInfo};
use crate::figure::{Body, Inks, Paint, Picture, Rgb, Rich, Run, Scale as Bar};
use crate::host::HostTensor;
use crate::ui::labs::LabContext;
use crate::ui::theme::{Palette, Symbol, ThemeChoice};
use crate::ui::widgets::math::Math;
use crate::ui::widgets::textures::Scale;
use crate::worker::protocol::RunRequest;
use egui::Color32;
use std::sync::Arc;

/// Steps of the colour scale that goes with a figure.
const SHADES: usize = 255;

/// The colours of a figure, and how its symbols are set.
pub struct Ink {
    /// The colours of text and ground.
    pub inks: Inks,
    /// The palette that they come from.
    pub palette: &'static Palette,
    captioned: bool,
    shades: Arc<[Rgb]>,
}

/// The bytes of a colour.
pub fn rgb(color: Color32) -> Rgb {
    [color.r(), color.g(), color.b()]
}

impl Ink {
    /// The colours of a theme on a ground; none is transparent.
    pub fn new(choice: ThemeChoice, ground: Option<Color32>, captioned: bool) -> Self {
        let palette = Palette::of(choice);
        let inks = Inks { text: rgb(palette.text), dim: rgb(palette.dim), line: rgb(palette.line), ground: ground.map(rgb) };
        let shade = |i: usize| rgb(palette.diverging(2.0 * i as f32 / (SHADES - 1) as f32 - 1.0));
        Self { inks, palette, captioned, shades: (0..SHADES).map(shade).collect() }
    }

    /// Mathematics, typeset in its colours.
    pub fn math(&self, math: &Math) -> Vec<Run> {
        formula::runs(math, self.palette)
    }

    /// A line that begins with mathematics and goes on with words.
    pub fn titled(&self, math: &Math, text: &str) -> Rich {
        self.math(math).into_iter().chain([self.aside(text)]).collect()
    }

    /// Upright text in the colour of a symbol.
    pub fn word(&self, text: impl Into<String>, symbol: Symbol) -> Run {
        Run::plain(text, rgb(self.palette.symbol(symbol)))
    }

    /// A number in the colour of a symbol.
    pub fn number(&self, text: impl Into<String>, symbol: Symbol) -> Run {
        self.word(text, symbol).weight(500)
    }

    /// Text that stands back, a little apart from what is before it.
    pub fn aside(&self, text: &str) -> Run {
        Run::plain(format!("\u{2002}{text}"), self.inks.dim)
    }

    /// How a tensor becomes colours on the diverging scale.
    pub fn heat(&self, channel: usize, range: f32, scale: Scale) -> Paint {
        let odd = rgb(self.palette.danger);
        Paint::Heat { channel, range, root: scale == Scale::Root, colors: Arc::clone(&self.shades), odd }
    }

    /// The channels of a tensor side by side.
    pub fn channels(&self, name: &str, tensor: &HostTensor, columns: usize, range: f32, scale: Scale) -> Body {
        let count = tensor.shape().iter().rev().nth(2).copied().unwrap_or(0);
        let picture = |channel| Picture::new(name, tensor.clone(), self.heat(channel, range, scale));
        Body::Grid((0..count).map(picture).collect(), columns)
    }

    /// The diverging scale with its numbers.
    pub fn scale(&self, range: f32, scale: Scale) -> Body {
        let parts: &[f32] = if scale == Scale::Root { &[-1.0, -0.25, 0.0, 0.25, 1.0] } else { &[-1.0, -0.5, 0.0, 0.5, 1.0] };
        let marks = parts.iter().map(|part| {
            let value = part * range;
            let sign = if value < 0.0 {
                "−"
            } else if value > 0.0 {
                "+"
            } else {
                ""
            };
            ((scale.place(*part) + 1.0) * 0.5, format!("{sign}{}", value.abs()))
        });
        Body::Scale(Bar { colors: Arc::clone(&self.shades), marks: marks.collect() })
    }

    /// The lines below a figure: the prompt of the run that it shows, and what one needs to make it again. None where no caption is
    /// wanted.
    pub fn caption(&self, cx: &LabContext<'_>, run: Option<&RunRequest>, timestep: Option<f64>) -> Vec<String> {
        if !self.captioned {
            return Vec::new();
        }
        let card = cx.session.card.as_ref();
        let mut facts: Vec<String> = card.map(|card| card.name.clone()).into_iter().collect();
        facts.push(format!("seed {}", run.map_or(cx.work.seed, |run| run.seed)));
        let mut lines = Vec::new();
        if let Some(run) = run {
            let negative = run.negative.trim();
            let against = if negative.is_empty() { String::new() } else { format!(", not “{negative}”") };
            lines.push(format!("“{}”{against}", run.prompt.trim()));
            let sampler = SAMPLERS.iter().find(|s| s.id == run.sampler).map_or(run.sampler.as_str(), |s| s.label);
            facts.extend([format!("{} steps", run.steps), sampler.to_owned(), format!("w {:.1}", run.guidance_scale)]);
        } else if let Some(picture) = &cx.session.picture {
            lines.push(if picture.caption.is_empty() { picture.name.clone() } else { format!("{}, {}", picture.name, picture.caption) });
        }
        facts.extend(card.map(|card| ScheduleInfo::find(&card.schedule_id).map_or(card.schedule_id.clone(), |s| s.label.to_lowercase())));
        facts.extend(timestep.map(|timestep| format!("t = {timestep:.0}")));
        lines.push(facts.join(", "));
        lines
    }
}

/// Pieces of a line joined.
pub fn line(pieces: impl IntoIterator<Item = Run>) -> Rich {
    pieces.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::theme;

    #[test]
    fn colours_keep_their_bytes_and_the_scale_its_ends() {
        assert_eq!(rgb(theme::PAPER), [255; 3]);
        assert_eq!(rgb(theme::pixel(1.0, 0.0, 0.2)), [255, 0, 51]);
        let ink = Ink::new(ThemeChoice::Light, None, true);
        let tensor = HostTensor::new([1, 1, 1, 3], vec![-2.0, 0.0, 2.0]).expect("shape");
        let Body::Grid(pictures, _) = ink.channels("x", &tensor, 1, 2.0, Scale::Root) else { panic!("a grid") };
        let bytes = pictures[0].rgb8().expect("a picture").bytes;
        let expected: Vec<u8> = [-1.0, 0.0, 1.0].iter().flat_map(|v| rgb(ink.palette.diverging(*v))).collect();
        assert_eq!(bytes, expected);
    }
}
