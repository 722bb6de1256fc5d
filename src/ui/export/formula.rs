//! Mathematics in figures: typeset as on the screen, and carried as outlines, so that it looks the same in every program.

use super::ink::rgb;
use crate::figure::{Formula, Rgb, Run};
use crate::ui::theme::{Palette, Symbol};
use crate::ui::widgets::math::tex::{self, Segment};
use crate::ui::widgets::math::{EM, Math};
use std::fmt::Write;
use std::sync::Arc;
use ttf_parser::{GlyphId, OutlineBuilder};

/// A piece of mathematics as runs of text and formulas, in the colours of a palette.
pub fn runs(math: &Math, palette: &Palette) -> Vec<Run> {
    let color = |symbol: Symbol| rgb(palette.symbol(symbol));
    let run = |segment| match segment {
        Segment::Prose(text, symbol) => Run::plain(text, color(symbol)),
        Segment::Tex(source) => match formula(&source, &color) {
            Ok(formula) => Run { formula: Some(Arc::new(formula)), ..Run::plain("", color(Symbol::Plain)) },
            Err(error) => {
                log::error!("the equation {source} cannot be set: {error}");
                Run::plain("", color(Symbol::Plain))
            }
        },
    };
    tex::segments(math).into_iter().map(run).collect()
}

/// Sets a line of TeX and takes the outlines of its glyphs and rules, in ems of the text around it.
fn formula(source: &str, color: &impl Fn(Symbol) -> Rgb) -> Result<Formula, String> {
    let line = tex::set(source)?;
    let font = tex::font().ok_or("the face is missing")?;
    let mut outlines: Vec<(Rgb, String)> = Vec::new();
    let mut add = |ink: Rgb, data: &str| match outlines.last_mut() {
        Some((last, path)) if *last == ink => path.push_str(data),
        _ => outlines.push((ink, data.to_owned())),
    };
    for glyph in &line.glyphs {
        let scale = EM * glyph.scale / f32::from(font.units_per_em());
        let mut pen = Pen { x: EM * glyph.at.x, y: EM * glyph.at.y, scale, data: String::new() };
        font.face().outline_glyph(GlyphId(glyph.id), &mut pen);
        add(color(glyph.role.symbol), &pen.data);
    }
    for (rect, role) in &line.rules {
        let (x, y, w, h) = (EM * rect.left(), EM * rect.top(), EM * rect.width(), EM * rect.height());
        add(color(role.symbol), &format!("M{x:.4} {y:.4}h{w:.4}v{h:.4}h{:.4}z", -w));
    }
    Ok(Formula { width: EM * line.width, ascent: EM * line.ascent, descent: EM * line.descent, outlines })
}

/// Writes an outline as the data of an SVG path; the face's y runs upwards, the page's downwards.
struct Pen {
    x: f32,
    y: f32,
    scale: f32,
    data: String,
}

impl Pen {
    fn add(&mut self, command: char, points: &[(f32, f32)]) {
        self.data.push(command);
        for (i, (x, y)) in points.iter().enumerate() {
            let space = if i > 0 { " " } else { "" };
            let _ = write!(self.data, "{space}{:.4} {:.4}", self.x + x * self.scale, self.y - y * self.scale);
        }
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.add('M', &[(x, y)]);
    }
    fn line_to(&mut self, x: f32, y: f32) {
        self.add('L', &[(x, y)]);
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.add('Q', &[(x1, y1), (x, y)]);
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.add('C', &[(x1, y1), (x2, y2), (x, y)]);
    }
    fn close(&mut self) {
        self.data.push('Z');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::ThemeChoice;
    use crate::ui::widgets::math::{op, row, sym, word};

    #[test]
    fn an_equation_becomes_outlines_in_the_colours_of_its_symbols() {
        let palette = Palette::of(ThemeChoice::Light);
        let math = row([sym("x", Symbol::Signal).hat().with_index("0"), op("="), sym("α", Symbol::Noise).bar().sqrt()]);
        let runs = runs(&math, palette);
        let [run] = runs.as_slice() else { panic!("{runs:?}") };
        let formula = run.formula.as_ref().expect("mathematics");
        assert!((2.0..6.0).contains(&formula.width), "{}", formula.width);
        for symbol in [Symbol::Signal, Symbol::Plain, Symbol::Noise] {
            let ink = rgb(palette.symbol(symbol));
            assert!(formula.outlines.iter().any(|(color, path)| *color == ink && path.starts_with('M')), "{symbol:?}");
        }
        let prose = super::runs(&row([word("norm of ", Symbol::Quiet), sym("ε", Symbol::Noise)]), palette);
        assert_eq!((prose[0].text.as_str(), prose[0].formula.is_none(), prose[1].formula.is_some()), ("norm of ", true, true));
    }
}
