//! Typeset mathematics: symbols with indices, roots, bars, hats and fractions, each in its colour and with what it stands for.
//!
//! The layout is TeX's ([`tex`]). Numbers are set in tabular figures with a fixed number of decimals and room for a sign, so that a
//! live equation never changes its width.

mod glyphs;
pub mod tex;

use super::meaning::{self, Meaning};
use crate::ui::theme::{Palette, Symbol, Theme, Weight};
use egui::emath::GuiRounding;
use egui::{Color32, Context, Galley, Id, Mesh, Painter, Pos2, Rect, Response, Sense, Shape, Ui, WidgetInfo, vec2};
use glyphs::Glyphs;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tex::{Line, Role, Segment};

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
    /// An operator or a relation, with TeX's space around it.
    Op(String),
    /// A line of TeX.
    Raw(&'static str),
    /// A piece that stands for something.
    Means(Box<Math>, Meaning),
}

/// An italic symbol.
pub fn sym(text: &str, symbol: Symbol) -> Math {
    Math::Text(text.to_owned(), symbol, Weight::Italic)
}

/// An upright word, digit or bracket.
pub fn word(text: &str, symbol: Symbol) -> Math {
    Math::Text(text.to_owned(), symbol, Weight::Regular)
}

/// An operator or a relation.
pub fn op(text: &str) -> Math {
    Math::Op(text.to_owned())
}

/// A line of TeX, for what has no name here.
pub fn raw(tex: &'static str) -> Math {
    Math::Raw(tex)
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

    /// With what it stands for.
    #[must_use]
    pub fn meaning(self, meaning: Meaning) -> Self {
        Self::Means(Box::new(self), meaning)
    }

    fn symbol(&self) -> Symbol {
        match self {
            Self::Text(_, symbol, _) => *symbol,
            Self::Row(pieces) => pieces.iter().map(Self::symbol).find(|s| *s != Symbol::Plain).unwrap_or(Symbol::Plain),
            Self::Sub(inner, _) | Self::Sqrt(inner) | Self::Bar(inner) | Self::Hat(inner) | Self::Tilde(inner) | Self::Means(inner, _) => {
                inner.symbol()
            }
            Self::Frac(a, _) => a.symbol(),
            Self::Op(_) | Self::Raw(_) => Symbol::Plain,
        }
    }

    /// The one symbol of all its pieces, if they have one and stand for nothing of their own.
    fn one_symbol(&self) -> Option<Symbol> {
        match self {
            Self::Text(_, symbol, _) => Some(*symbol),
            Self::Op(_) | Self::Raw(_) => Some(Symbol::Plain),
            Self::Row(pieces) => {
                let first = pieces.first()?.one_symbol()?;
                pieces.iter().all(|piece| piece.one_symbol() == Some(first)).then_some(first)
            }
            Self::Sqrt(inner) | Self::Bar(inner) | Self::Hat(inner) | Self::Tilde(inner) => inner.one_symbol(),
            Self::Sub(base, index) => base.one_symbol().filter(|symbol| index.one_symbol() == Some(*symbol)),
            Self::Frac(a, b) => a.one_symbol().filter(|symbol| b.one_symbol() == Some(*symbol)),
            Self::Means(..) => None,
        }
    }
}

/// A laid-out piece: words and lines one after the other on one baseline, lengths in points.
struct Block {
    width: f32,
    ascent: f32,
    descent: f32,
    parts: Vec<(f32, Part)>,
}

enum Part {
    /// Words, and how deep their baseline lies.
    Words(Arc<Galley>, f32, Color32),
    /// Mathematics, and its em.
    Line(Arc<Line>, f32),
}

/// Lines that were laid out, and the texture of their glyphs.
#[derive(Default)]
struct Press {
    lines: HashMap<String, Arc<Line>>,
    glyphs: Glyphs,
}

impl Press {
    /// Lines that are kept; a live number makes a new one every frame.
    const MOST: usize = 2000;

    fn line(&mut self, source: &str) -> Arc<Line> {
        if let Some(line) = self.lines.get(source) {
            return Arc::clone(line);
        }
        if self.lines.len() >= Self::MOST {
            self.lines.clear();
        }
        let line = Arc::new(tex::set(source).unwrap_or_else(|error| {
            log::error!("the equation {source} cannot be set: {error}");
            Line::default()
        }));
        self.lines.insert(source.to_owned(), Arc::clone(&line));
        line
    }
}

/// The one press of a window.
fn press<R>(ctx: &Context, work: impl FnOnce(&mut Press) -> R) -> R {
    let press: Arc<Mutex<Press>> = ctx.data_mut(|data| Arc::clone(data.get_temp_mut_or_default(Id::unique("press of equations"))));
    let mut press = press.lock().unwrap_or_else(PoisonError::into_inner);
    work(&mut press)
}

/// The face of equations is drawn so much larger that its small letters are as high as those of the window.
pub const EM: f32 = 1.12;

/// Size is in design units.
fn layout(painter: &Painter, theme: &Theme, math: &Math, size: f32) -> Block {
    let em = size * theme.scale * EM;
    let mut block = Block { width: 0.0, ascent: 0.0, descent: 0.0, parts: Vec::new() };
    for segment in tex::segments(math) {
        let (width, [ascent, descent], part) = match segment {
            Segment::Prose(text, symbol) => {
                let color = theme.palette().symbol(symbol);
                let galley = painter.layout_no_wrap(text, theme.font(Weight::Regular, size), color);
                let baseline = galley.rows.first().map_or(0.0, |r| r.pos.y + r.row.glyphs.first().map_or(0.0, |g| g.pos.y));
                (galley.size().x, [0.75, 0.2].map(|part| part * size * theme.scale), Part::Words(galley, baseline, color))
            }
            Segment::Tex(source) => {
                let line = press(painter.ctx(), |press| press.line(&source));
                (line.width * em, [line.ascent * em, line.descent * em], Part::Line(line, em))
            }
        };
        block.parts.push((block.width, part));
        block.width += width;
        block.ascent = block.ascent.max(ascent);
        block.descent = block.descent.max(descent);
    }
    block
}

fn paint(painter: &Painter, theme: &Theme, origin: Pos2, block: &Block) {
    for (x, part) in &block.parts {
        let origin = origin + vec2(*x, 0.0);
        match part {
            Part::Words(galley, baseline, color) => {
                painter.galley(origin - vec2(0.0, *baseline), Arc::clone(galley), *color);
            }
            Part::Line(line, em) => paint_line(painter, theme, origin, line, *em),
        }
    }
}

fn paint_line(painter: &Painter, theme: &Theme, origin: Pos2, line: &Line, em: f32) {
    let p = theme.palette();
    // A line that stands for nothing, as the clock's t, has no part in it.
    let lit = meaning::lit(painter.ctx()).filter(|_| !line.spans.is_empty());
    let ink = |role: Role| {
        let color = p.symbol(role.symbol);
        match lit {
            Some(_) if role.meaning == lit => color,
            Some(_) => Palette::mix(color, p.panel, 0.55),
            None => color,
        }
    };
    let mesh = press(painter.ctx(), |press| {
        let mut mesh = Mesh::default();
        for glyph in &line.glyphs {
            if let Some(quad) = press.glyphs.quad(painter.ctx(), glyph.id, origin + glyph.at * em, glyph.scale * em) {
                mesh.add_rect_with_uv(quad.rect, quad.uv, ink(glyph.role));
            }
        }
        mesh.texture_id = press.glyphs.texture().unwrap_or_default();
        mesh
    });
    painter.add(Shape::mesh(mesh));
    for (rect, role) in &line.rules {
        let ppp = painter.pixels_per_point();
        let rect = Rect::from_min_max(origin + rect.min.to_vec2() * em, origin + rect.max.to_vec2() * em);
        let height = (rect.height() * ppp).round().max(1.0) / ppp;
        let top = rect.top().round_to_pixels(ppp);
        painter.rect_filled(Rect::from_x_y_ranges(rect.x_range(), top..=top + height), 0.0, ink(*role));
    }
}

/// Sets an equation on a line of its own, at most `size` design units high and never wider than the space there is. What its symbols
/// stand for is told, and lights up, under the pointer. `spoken` is what a screen reader says.
pub fn equation(ui: &mut Ui, theme: &Theme, math: &Math, size: f32, spoken: &str) -> Response {
    let room = ui.available_width();
    let mut block = layout(ui.painter(), theme, math, size);
    if block.width > room && room > 0.0 {
        block = layout(ui.painter(), theme, math, (size * room / block.width * 0.99).max(8.0));
    }
    let em = size * theme.scale;
    let (above, below) = (block.ascent.max(0.9 * em), block.descent.max(0.3 * em));
    let (rect, response) = ui.allocate_exact_size(vec2(room.max(block.width), above + below), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Label, true, spoken));
    let origin = rect.left_top() + vec2(0.0, above);
    for (number, (place, meaning)) in spans(&block, origin).into_iter().enumerate() {
        let place = ui.interact(place.expand(theme.px(2.0)), response.id.with(("symbol", number)), Sense::hover());
        if place.hovered() {
            meaning::point(ui.ctx(), meaning);
        }
        place.on_hover_text(meaning.label());
    }
    paint(ui.painter(), theme, origin, &block);
    response
}

/// Where the symbols that stand for something lie, the innermost last.
fn spans(block: &Block, origin: Pos2) -> Vec<(Rect, Meaning)> {
    let of = |(x, part): &(f32, Part)| match part {
        Part::Words(..) => Vec::new(),
        Part::Line(line, em) => {
            let origin = origin + vec2(*x, 0.0);
            let place = |rect: &Rect| Rect::from_min_max(origin + rect.min.to_vec2() * *em, origin + rect.max.to_vec2() * *em);
            line.spans.iter().map(|(rect, meaning)| (place(rect), *meaning)).collect()
        }
    };
    block.parts.iter().flat_map(of).collect()
}

/// Paints an equation with its left end on the baseline at `origin`; returns its width.
pub fn inline(painter: &Painter, theme: &Theme, math: &Math, size: f32, origin: Pos2) -> f32 {
    let block = layout(painter, theme, math, size);
    paint(painter, theme, origin, &block);
    block.width
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
