//! From a piece of mathematics to lines of TeX, and from these to glyphs in their places.
//!
//! The layout is that of TeX (Knuth 1986, The TeXbook, appendix G) over the OpenType MATH table of STIX Two Math, by the crate
//! latex-rust. It knows colours but no roles, so a piece's role and meaning travel through it in the red and green of a colour.

use super::Math;
use crate::ui::theme::{Symbol, Weight};
use crate::ui::widgets::meaning::Meaning;
use egui::{Rect, Vec2, pos2, vec2};
use latex_rust::{BoxContent, Dim, MathBox, MathFont, MathStyle};
use std::fmt::Write;
use std::sync::OnceLock;

/// The face of all equations.
pub fn font() -> Option<&'static MathFont> {
    static FONT: OnceLock<Option<MathFont>> = OnceLock::new();
    FONT.get_or_init(|| MathFont::stix_two_math().inspect_err(|error| log::error!("no face for equations: {error}")).ok()).as_ref()
}

/// What a glyph is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Role {
    /// Its colour.
    pub symbol: Symbol,
    /// What it stands for.
    pub meaning: Option<Meaning>,
}

/// A glyph of the face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glyph {
    /// Its number in the face.
    pub id: u16,
    /// Its left end on its baseline.
    pub at: Vec2,
    /// Its size.
    pub scale: f32,
    /// What it is drawn for.
    pub role: Role,
}

/// A laid-out line: lengths in em, to the right and down from its left end on the baseline.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Line {
    /// How wide it is.
    pub width: f32,
    /// How high above the baseline.
    pub ascent: f32,
    /// How deep below it.
    pub descent: f32,
    /// The glyphs.
    pub glyphs: Vec<Glyph>,
    /// The bars of roots and fractions.
    pub rules: Vec<(Rect, Role)>,
    /// Where what stands for something lies.
    pub spans: Vec<(Rect, Meaning)>,
}

/// Lays a line of TeX out.
///
/// # Errors
/// What the parser or the layout says.
pub fn set(source: &str) -> Result<Line, String> {
    let font = font().ok_or("the face is missing")?;
    let parsed = latex_rust::parse(source).map_err(|error| error.to_string())?;
    let whole = latex_rust::layout(&parsed, font, MathStyle::Text).map_err(|error| error.to_string())?;
    let mut line = Line { width: em(&whole.width), ascent: em(&whole.height), descent: em(&whole.depth), ..Line::default() };
    walk(&whole, Vec2::ZERO, Role { symbol: Symbol::Plain, meaning: None }, &mut line);
    Ok(line)
}

fn em(length: &Dim) -> f32 {
    f32::from_bits(length.to_ieee32_bits())
}

fn walk(piece: &MathBox, origin: Vec2, role: Role, line: &mut Line) {
    let at = origin - vec2(0.0, em(&piece.shift));
    match &piece.content {
        BoxContent::Glyph { glyph_id, scale, .. } => line.glyphs.push(Glyph { id: *glyph_id, at, scale: em(scale), role }),
        BoxContent::Rule => {
            let rect = Rect::from_min_max(pos2(at.x, at.y - em(&piece.height)), pos2(at.x + em(&piece.width), at.y + em(&piece.depth)));
            line.rules.push((rect, role));
        }
        BoxContent::HList(pieces) => {
            let mut x = at.x;
            for piece in pieces {
                walk(piece, vec2(x, at.y), role, line);
                x += em(&piece.width);
            }
        }
        BoxContent::VList(pieces) => {
            let mut y = at.y;
            for (i, piece) in pieces.iter().enumerate() {
                if i > 0 {
                    y += em(&pieces[i - 1].depth) + em(&piece.height);
                }
                walk(piece, vec2(at.x, y), role, line);
            }
        }
        BoxContent::Overlap(pieces) => pieces.iter().for_each(|piece| walk(piece, at, role, line)),
        BoxContent::Color(color, inner) => {
            let [symbol, meaning, ..] = color.to_rgba8();
            let named = Meaning::ALL.get(usize::from(meaning).wrapping_sub(1)).copied();
            let symbol = Symbol::ALL.get(usize::from(symbol).wrapping_sub(1)).copied().unwrap_or(role.symbol);
            if let Some(meaning) = named {
                let (up, down) = (em(&inner.height).max(0.45), em(&inner.depth).max(0.05));
                line.spans.push((Rect::from_min_max(pos2(at.x, at.y - up), pos2(at.x + em(&inner.width), at.y + down)), meaning));
            }
            walk(inner, at, Role { symbol, meaning: named.or(role.meaning) }, line);
        }
        BoxContent::BackColor(_, inner) | BoxContent::Frame { inner, .. } => walk(inner, at, role, line),
        BoxContent::Empty | BoxContent::Kern(_) | BoxContent::Line { .. } => {}
    }
}

/// Words and mathematics by turns.
#[derive(Debug, Clone, PartialEq)]
pub enum Segment {
    /// Running text, in the face of the window.
    Prose(String, Symbol),
    /// A line of TeX.
    Tex(String),
}

/// Takes a piece apart into words and mathematics.
pub fn segments(math: &Math) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut run: Vec<&Math> = Vec::new();
    let flush = |run: &mut Vec<&Math>, segments: &mut Vec<Segment>| {
        if !run.is_empty() {
            let mut source = String::new();
            pieces(run, &mut source);
            segments.push(Segment::Tex(source));
            run.clear();
        }
    };
    let mut visit = vec![math];
    while let Some(piece) = visit.pop() {
        match piece {
            Math::Row(inner) => visit.extend(inner.iter().rev()),
            Math::Text(text, symbol, Weight::Regular) if is_prose(text) => {
                flush(&mut run, &mut segments);
                segments.push(Segment::Prose(text.clone(), *symbol));
            }
            other => run.push(other),
        }
    }
    flush(&mut run, &mut segments);
    segments
}

fn is_prose(text: &str) -> bool {
    text.chars().filter(char::is_ascii_alphabetic).count() >= 2
}

/// Pieces one after the other; neighbours of one colour go into one group, so that TeX sees what stands beside what.
fn pieces(run: &[&Math], out: &mut String) {
    let mut at = 0;
    while at < run.len() {
        let symbol = run[at].one_symbol();
        let same = |piece: &&Math| symbol.is_some() && piece.one_symbol() == symbol;
        let end = at + run[at..].iter().take_while(|piece| same(piece)).count().max(1);
        match symbol {
            Some(symbol) if symbol != Symbol::Plain => {
                colored(symbol, None, out, |out| run[at..end].iter().for_each(|piece| piece_tex(piece, out)));
            }
            _ => run[at..end].iter().for_each(|piece| piece_tex(piece, out)),
        }
        at = end;
    }
}

fn colored(symbol: Symbol, meaning: Option<Meaning>, out: &mut String, inner: impl FnOnce(&mut String)) {
    let index = |place: Option<usize>| place.map_or(0, |place| place + 1);
    let symbol = index(Symbol::ALL.iter().position(|s| *s == symbol));
    let meaning = index(meaning.and_then(|meaning| Meaning::ALL.iter().position(|m| *m == meaning)));
    let _ = write!(out, "\\textcolor[HTML]{{{symbol:02X}{meaning:02X}00}}{{");
    inner(out);
    out.push('}');
}

/// A piece without its colour where that is one and the same throughout.
fn piece_tex(math: &Math, out: &mut String) {
    let group = |inner: &Math, out: &mut String| {
        out.push('{');
        piece_tex(inner, out);
        out.push('}');
    };
    let wrapped = |command: &str, inner: &Math, out: &mut String| {
        out.push_str(command);
        group(inner, out);
    };
    match math {
        Math::Text(text, _, weight) => text_tex(text, *weight, out),
        Math::Op(text) => text_tex(text, Weight::Regular, out),
        Math::Raw(tex) => out.push_str(tex),
        Math::Row(inner) => pieces(&inner.iter().collect::<Vec<_>>(), out),
        Math::Sub(base, index) => {
            group(base, out);
            out.push('_');
            group(index, out);
        }
        Math::Sqrt(inner) => wrapped("\\sqrt", inner, out),
        Math::Bar(inner) => wrapped("\\bar", inner, out),
        Math::Hat(inner) => wrapped("\\hat", inner, out),
        Math::Tilde(inner) => wrapped("\\tilde", inner, out),
        Math::Frac(above, below) => {
            out.push_str("\\dfrac");
            for part in [above, below] {
                out.push('{');
                pieces(&[part], out);
                out.push('}');
            }
        }
        Math::Means(inner, meaning) => {
            let symbol = inner.one_symbol().unwrap_or(Symbol::Plain);
            colored(symbol, Some(*meaning), out, |out| pieces(&[inner], out));
        }
    }
}

fn text_tex(text: &str, weight: Weight, out: &mut String) {
    let number = weight == Weight::Medium;
    for c in text.chars() {
        match c {
            'α' => out.push_str("\\alpha "),
            'β' => out.push_str("\\beta "),
            'γ' => out.push_str("\\gamma "),
            'ε' => out.push_str("\\varepsilon "),
            'θ' => out.push_str("\\theta "),
            'σ' => out.push_str("\\sigma "),
            'η' => out.push_str("\\eta "),
            'π' => out.push_str("\\pi "),
            'Δ' => out.push_str("\\Delta "),
            '∅' => out.push_str("\\varnothing "),
            '∞' => out.push_str("\\infty "),
            '·' => out.push_str("\\cdot "),
            '→' => out.push_str("\\to "),
            '≈' => out.push_str("\\approx "),
            '≤' => out.push_str("\\leq "),
            '≥' => out.push_str("\\geq "),
            '×' => out.push_str("\\times "),
            '‖' => out.push_str("\\Vert "),
            '√' => out.push_str("\\surd "),
            '∏' => out.push_str("\\prod "),
            '∑' => out.push_str("\\sum "),
            '′' => out.push('\''),
            '−' if number => out.push_str("{-}"),
            '−' => out.push('-'),
            '\u{2007}' => out.push_str("\\phantom{0}"),
            ' ' if weight == Weight::Italic => out.push_str("\\,"),
            ' ' => {}
            '⁻' | '⁰' | '¹' | '²' | '³' | '⁴'..='⁹' => {
                let plain = "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|raised| raised == c).and_then(|digit| char::from_digit(digit as u32, 10));
                let _ = write!(out, "{{}}^{{{}}}", plain.unwrap_or('-'));
            }
            c if c.is_ascii_alphanumeric() || "+-=().,/<>:'|[]".contains(c) => out.push(c),
            c => {
                let _ = write!(out, "\\text{{{c}}}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{num, op, row, sym, word};
    use super::*;

    fn tex(math: &Math) -> String {
        match segments(math).as_slice() {
            [Segment::Tex(source)] => source.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn neighbours_of_one_colour_are_one_group_and_meanings_leave_their_place() {
        fn noise(text: &str) -> Math {
            word(text, Symbol::Noise)
        }
        let root = row([noise("1"), noise(" − "), sym("α", Symbol::Noise).bar().with_index("t")]).sqrt();
        let line = set(&tex(&root)).expect("sets");
        assert!(line.glyphs.iter().all(|glyph| glyph.role.symbol == Symbol::Noise), "{line:?}");
        assert_eq!(line.rules.len(), 1);
        let apart = |a: &str, b: &str| set(&tex(&row([noise(a), noise(b)]))).map(|line| line.width).expect("sets");
        assert!(apart("1−", "α") - apart("1", "α") > 0.9, "the minus is a binary operator with space around it");
        let math = row([sym("x", Symbol::Plain).with_index("t").meaning(Meaning::Xt), op("="), sym("x", Symbol::Signal)]);
        let line = set(&tex(&math)).expect("sets");
        assert_eq!(line.spans.len(), 1);
        assert_eq!(line.spans[0].1, Meaning::Xt);
        assert!(line.spans[0].0.right() < line.width * 0.5);
    }

    #[test]
    fn every_character_that_equations_use_is_set() {
        for text in ["x", "t−1", "∅", "c", "w′", "αβγεθσηπΔ", "1 − ", "(", ")", "·", "=", "≈≤≥×→‖"] {
            for weight in [Weight::Italic, Weight::Regular] {
                let line = set(&tex(&Math::Text(text.into(), Symbol::Plain, weight))).unwrap_or_else(|e| panic!("{text}: {e}"));
                assert!(!line.glyphs.is_empty(), "{text}");
            }
        }
        for value in [0.5, -0.5, 12.25, f64::INFINITY, 1e-7, -3e9] {
            let line = set(&tex(&num(value, 2, 3, Symbol::Noise))).unwrap_or_else(|e| panic!("{value}: {e}"));
            assert!(line.width > 0.5);
        }
    }

    #[test]
    fn words_are_set_in_the_face_of_the_window() {
        let math = row([word("norm of ", Symbol::Quiet), sym("ε", Symbol::Noise), word("(", Symbol::Plain)]);
        let parts = segments(&math);
        assert!(matches!(&parts[0], Segment::Prose(text, Symbol::Quiet) if text == "norm of "));
        assert!(matches!(&parts[1..], [Segment::Tex(_)]));
    }
}
