//! Small mathematical layout: symbols with indices, roots, bars, hats and fractions, each in its colour.
//!
//! Sizes are in em of the equation's font. Numbers are set in tabular figures with a fixed number of decimals and room for a
//! sign, so that a live equation never changes its width.

use crate::ui::theme::{Symbol, Theme, Weight};
use egui::{Color32, Galley, Painter, Pos2, Response, Role, Sense, Shape, Stroke, Ui, Vec2, WidgetInfo, vec2};
use std::sync::Arc;

/// A piece of mathematics.
#[derive(Debug, Clone, PartialEq)]
pub enum Math {
    /// A letter (italic) or a word.
    Text(String, Symbol, Weight),
    /// Pieces one after the other.
    Row(Vec<Math>),
    /// A piece with an index at its foot.
    Sub(Box<Math>, Box<Math>),
    /// A square root.
    Sqrt(Box<Math>),
    /// A piece under a bar.
    Bar(Box<Math>),
    /// A piece under a hat.
    Hat(Box<Math>),
    /// A piece under a tilde.
    Tilde(Box<Math>),
    /// A fraction.
    Frac(Box<Math>, Box<Math>),
    /// Empty space, in em.
    Gap(f32),
}

/// An italic symbol.
pub fn sym(text: &str, symbol: Symbol) -> Math {
    Math::Text(text.to_owned(), symbol, Weight::Italic)
}

/// An upright word, digit or bracket.
pub fn word(text: &str, symbol: Symbol) -> Math {
    Math::Text(text.to_owned(), symbol, Weight::Regular)
}

/// An operator with space around it.
pub fn op(text: &str) -> Math {
    Math::Row(vec![Math::Gap(0.22), word(text, Symbol::Plain), Math::Gap(0.22)])
}

/// A number with `decimals` places, never narrower than `digits` before the point; minus is a true minus.
pub fn num(value: f64, digits: usize, decimals: usize, symbol: Symbol) -> Math {
    Math::Text(format_number(value, digits, decimals), symbol, Weight::Medium)
}

/// A number that is followed by figure spaces in place of missing digits before the point: it begins where it stands.
pub fn num_left(value: f64, digits: usize, decimals: usize, symbol: Symbol) -> Math {
    let text = format_number(value, digits, decimals);
    let trimmed = text.trim_start_matches('\u{2007}');
    let missing = text.chars().count() - trimmed.chars().count();
    Math::Text(format!("{trimmed}{}", "\u{2007}".repeat(missing)), symbol, Weight::Medium)
}

/// A number from 0 to below 100 with three figures: 5.00, 12.5. Its width stays.
pub fn figures(value: f64, symbol: Symbol) -> Math {
    num(value, 1, if value.abs() < 9.995 { 2 } else { 1 }, symbol)
}

/// Formats a number at a fixed width: figure spaces stand where digits are missing, and large numbers turn exponential.
pub fn format_number(value: f64, digits: usize, decimals: usize) -> String {
    if !value.is_finite() || value.abs() >= 10_f64.powi(digits as i32 + 2) {
        return scientific(value);
    }
    let text = format!("{:.decimals$}", value.abs());
    let negative = value < 0.0 && text.bytes().any(|b| b.is_ascii_digit() && b != b'0');
    let whole = text.split('.').next().map_or(0, str::len);
    let pad = "\u{2007}".repeat(digits.saturating_sub(whole));
    if negative { format!("{pad}−{text}") } else { format!("{pad}{text}") }
}

/// A number as `1.23·10ⁿ` where it is very large or small, else with three significant decimals.
pub fn scientific(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return if value.is_nan() {
            "undefined"
        } else if value > 0.0 {
            "∞"
        } else {
            "−∞"
        }
        .to_owned();
    }
    if (0.01..1000.0).contains(&value.abs()) {
        let decimals = if value.abs() < 1.0 { 4 } else { 2 };
        return format!("{}{:.decimals$}", if value < 0.0 { "−" } else { "" }, value.abs());
    }
    let exponent = value.abs().log10().floor() as i32;
    let mantissa = value / 10_f64.powi(exponent);
    format!("{}{:.2}·10{}", if value < 0.0 { "−" } else { "" }, mantissa.abs(), raised(exponent))
}

/// A whole number as superscript digits.
pub fn raised(number: i32) -> String {
    let digit = |c| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        d => char::from_u32('⁰' as u32 + (d as u32 - '0' as u32)).unwrap_or(d),
    };
    number.to_string().chars().map(digit).collect()
}

/// Pieces in a row.
pub fn row(pieces: impl Into<Vec<Math>>) -> Math {
    Math::Row(pieces.into())
}

impl Math {
    /// With a small italic index.
    #[must_use]
    pub fn with_index(self, index: &str) -> Self {
        let symbol = self.symbol();
        let weight = if index.chars().all(|c| c.is_ascii_digit()) { Weight::Regular } else { Weight::Italic };
        Self::Sub(Box::new(self), Box::new(Self::Text(index.to_owned(), symbol, weight)))
    }

    /// Under a root.
    #[must_use]
    pub fn sqrt(self) -> Self {
        Self::Sqrt(Box::new(self))
    }

    /// Under a bar.
    #[must_use]
    pub fn bar(self) -> Self {
        Self::Bar(Box::new(self))
    }

    /// Under a hat.
    #[must_use]
    pub fn hat(self) -> Self {
        Self::Hat(Box::new(self))
    }

    /// Under a tilde.
    #[must_use]
    pub fn tilde(self) -> Self {
        Self::Tilde(Box::new(self))
    }

    /// Over another.
    #[must_use]
    pub fn over(self, denominator: Self) -> Self {
        Self::Frac(Box::new(self), Box::new(denominator))
    }

    fn symbol(&self) -> Symbol {
        match self {
            Self::Text(_, symbol, _) => *symbol,
            Self::Row(pieces) => pieces.iter().map(Self::symbol).find(|s| *s != Symbol::Plain).unwrap_or(Symbol::Plain),
            Self::Sub(inner, _) | Self::Sqrt(inner) | Self::Bar(inner) | Self::Hat(inner) | Self::Tilde(inner) => inner.symbol(),
            Self::Frac(a, _) => a.symbol(),
            Self::Gap(_) => Symbol::Plain,
        }
    }
}

enum Ink {
    Galley(Arc<Galley>, f32, Color32),
    Stroke(Vec<Vec2>, Stroke),
}

/// A laid-out piece: its pieces of ink relative to its left end on the baseline.
struct Block {
    width: f32,
    ascent: f32,
    descent: f32,
    ink: Vec<(Vec2, Ink)>,
}

impl Block {
    fn empty(width: f32) -> Self {
        Self { width, ascent: 0.0, descent: 0.0, ink: Vec::new() }
    }

    fn place(&mut self, at: Vec2, other: Self) {
        self.ascent = self.ascent.max(other.ascent - at.y);
        self.descent = self.descent.max(other.descent + at.y);
        self.width = self.width.max(at.x + other.width);
        self.ink.extend(other.ink.into_iter().map(|(offset, ink)| (offset + at, ink)));
    }

    fn stroke(&mut self, points: Vec<Vec2>, stroke: Stroke) {
        self.ink.push((Vec2::ZERO, Ink::Stroke(points, stroke)));
    }
}

/// Size is in design units.
fn layout(painter: &Painter, theme: &Theme, math: &Math, size: f32) -> Block {
    let em = size * theme.scale;
    let color = theme.palette().symbol(math.symbol());
    let pen = Stroke::new((0.065 * em).max(1.0), color);
    match math {
        Math::Text(text, symbol, weight) => {
            let color = theme.palette().symbol(*symbol);
            let galley = painter.layout_no_wrap(text.clone(), theme.font(*weight, size), color);
            let baseline = galley.rows.first().map_or(0.0, |r| r.pos.y + r.row.glyphs.first().map_or(0.0, |g| g.pos.y));
            let low = text.chars().all(|c| "xεαwσ+−=·→≈ ".contains(c));
            let deep = text.chars().any(|c| "βθ(),gjpqy".contains(c));
            Block {
                width: galley.size().x,
                ascent: if low { 0.56 } else { 0.75 } * em,
                descent: if deep { 0.2 } else { 0.03 } * em,
                ink: vec![(Vec2::ZERO, Ink::Galley(galley, baseline, color))],
            }
        }
        Math::Gap(width) => Block::empty(width * em),
        Math::Row(pieces) => {
            let mut block = Block::empty(0.0);
            for piece in pieces {
                let next = layout(painter, theme, piece, size);
                block.place(vec2(block.width, 0.0), next);
            }
            block
        }
        Math::Sub(base, index) => {
            let mut block = layout(painter, theme, base, size);
            let at = vec2(block.width + 0.02 * em, 0.2 * em);
            block.place(at, layout(painter, theme, index, size * 0.68));
            block.width += 0.04 * em;
            block
        }
        Math::Sqrt(inner) => {
            let inner = layout(painter, theme, inner, size);
            let (top, foot) = (-(inner.ascent + 0.2 * em), inner.descent.min(0.12 * em));
            let right = 0.56 * em + inner.width + 0.08 * em;
            let mut block = Block::empty(right + 0.06 * em);
            block.place(vec2(0.56 * em, 0.0), inner);
            let points = vec![
                vec2(0.04 * em, -0.27 * em),
                vec2(0.15 * em, -0.34 * em),
                vec2(0.30 * em, foot),
                vec2(0.49 * em, top),
                vec2(right, top),
            ];
            block.ascent = block.ascent.max(-top + 0.04 * em);
            block.stroke(points, pen);
            block
        }
        Math::Bar(inner) | Math::Hat(inner) | Math::Tilde(inner) => {
            let mut block = layout(painter, theme, inner, size);
            let wide = if let Math::Sub(base, _) = inner.as_ref() { layout(painter, theme, base, size).width } else { block.width };
            let over = -(if let Math::Sub(base, _) = inner.as_ref() { layout(painter, theme, base, size).ascent } else { block.ascent });
            let y = over - 0.12 * em;
            let middle = wide * 0.5 + 0.04 * em;
            let points = match math {
                Math::Bar(_) => vec![vec2(0.08 * em, y), vec2(wide - 0.01 * em, y)],
                Math::Hat(_) => vec![vec2(middle - 0.17 * em, y), vec2(middle, y - 0.15 * em), vec2(middle + 0.17 * em, y)],
                _ => (0..=12)
                    .map(|i| i as f32 / 12.0)
                    .map(|s| vec2(middle + (s - 0.5) * 0.44 * em, y - 0.02 * em - 0.06 * em * (s * std::f32::consts::TAU).sin()))
                    .collect(),
            };
            block.ascent = block.ascent.max(-y + 0.18 * em);
            block.stroke(points, pen);
            block
        }
        Math::Frac(above, below) => {
            let (above, below) = (layout(painter, theme, above, size * 0.92), layout(painter, theme, below, size * 0.92));
            let wide = above.width.max(below.width) + 0.2 * em;
            let axis = -0.27 * em;
            let mut block = Block::empty(wide + 0.08 * em);
            let (up, down) = (axis - 0.16 * em - above.descent, axis + 0.14 * em + below.ascent);
            block.place(vec2(0.04 * em + (wide - above.width) * 0.5, up), above);
            block.place(vec2(0.04 * em + (wide - below.width) * 0.5, down), below);
            let ink = Stroke::new(pen.width, theme.palette().text);
            block.stroke(vec![vec2(0.04 * em, axis), vec2(0.04 * em + wide, axis)], ink);
            block
        }
    }
}

fn paint(painter: &Painter, origin: Pos2, block: Block) {
    for (offset, ink) in block.ink {
        match ink {
            Ink::Galley(galley, baseline, color) => {
                painter.galley(origin + offset - vec2(0.0, baseline), galley, color);
            }
            Ink::Stroke(points, stroke) => {
                painter.add(Shape::line(points.into_iter().map(|p| origin + offset + p).collect(), stroke));
            }
        }
    }
}

/// Sets an equation on a line of its own, at most `size` design units high and never wider than the space there is.
/// `spoken` is what a screen reader says.
pub fn equation(ui: &mut Ui, theme: &Theme, math: &Math, size: f32, spoken: &str) -> Response {
    let room = ui.available_width();
    let mut block = layout(ui.painter(), theme, math, size);
    if block.width > room && room > 0.0 {
        block = layout(ui.painter(), theme, math, (size * room / block.width * 0.99).max(8.0));
    }
    let em = size * theme.scale;
    let (above, below) = (block.ascent.max(0.9 * em), block.descent.max(0.3 * em));
    let (rect, response) = ui.allocate_exact_size(vec2(room.max(block.width), above + below), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, spoken));
    paint(ui.painter(), rect.left_top() + vec2(0.0, above), block);
    response
}

/// Paints an equation with its left end on the baseline at `origin`; returns its width.
pub fn inline(painter: &Painter, theme: &Theme, math: &Math, size: f32, origin: Pos2) -> f32 {
    let block = layout(painter, theme, math, size);
    let width = block.width;
    paint(painter, origin, block);
    width
}

/// The width of an equation.
pub fn width(painter: &Painter, theme: &Theme, math: &Math, size: f32) -> f32 {
    layout(painter, theme, math, size).width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_width() {
        assert_eq!(format_number(0.5, 1, 3), "0.500");
        assert_eq!(format_number(-0.5, 2, 3), "\u{2007}−0.500");
        assert_eq!(format_number(-0.0001, 1, 2), "0.00");
        assert_eq!(format_number(7.0, 3, 1), "\u{2007}\u{2007}7.0");
        assert_eq!(format_number(f64::INFINITY, 1, 1), "∞");
        assert_eq!(scientific(0.000_012_3), "1.23·10⁻⁵");
        assert_eq!(scientific(45_600.0), "4.56·10⁴");
        assert_eq!(scientific(0.0), "0");
        for value in [123.4, -999.0, 1e300, -1e-300, f64::MIN_POSITIVE, f64::NAN, f64::NEG_INFINITY] {
            for digits in 0..4 {
                assert!(!format_number(value, digits, 2).is_empty() && !scientific(value).is_empty());
            }
        }
    }

    #[test]
    fn a_live_equation_does_not_move() {
        let ctx = egui::Context::default();
        crate::ui::theme::install_fonts(&ctx);
        let theme = Theme { choice: crate::ui::ThemeChoice::Dark, scale: 1.0 };
        let mut out = ctx.run_ui(egui::RawInput::default(), |ui| {
            let painter = ui.painter().clone();
            let widths: Vec<f32> = [0.111, 0.444, 0.987]
                .map(|v| width(&painter, &theme, &row([num(v, 1, 3, Symbol::Signal), sym("x", Symbol::Signal).with_index("0")]), 20.0))
                .into();
            assert!(widths.iter().all(|w| (w - widths[0]).abs() < 1e-3), "{widths:?}");
            let plain = layout(&painter, &theme, &sym("α", Symbol::Signal), 20.0);
            let root = layout(&painter, &theme, &sym("α", Symbol::Signal).bar().with_index("t").sqrt(), 20.0);
            assert!(root.ascent > plain.ascent && root.width > plain.width);
        });
        out.textures_delta.clear();
    }
}
