//! A figure as data: rows of panels, each with its heading, and a caption below.
//!
//! Sizes are design units: one is a pixel at scale 1, 1/96 inch on paper. No colour is made here; whoever describes a figure hands
//! the colours over.

use super::chart::Chart;
use super::measure::em_width;
use super::picture::Picture;
use std::sync::Arc;

/// A colour as red, green and blue, 8-bit sRGB.
pub type Rgb = [u8; 3];

/// Where a run of text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Script {
    /// On the line.
    #[default]
    Line,
    /// A small index at the foot.
    Sub,
    /// A small exponent.
    Super,
}

/// Mathematics as outlines.
#[derive(Debug, Clone, PartialEq)]
pub struct Formula {
    /// How wide it is, in ems of the text around it.
    pub width: f32,
    /// How high it reaches above the baseline.
    pub ascent: f32,
    /// How deep it reaches below it.
    pub descent: f32,
    /// Colours, and the data of SVG paths in ems, to the right and down from its left end on the baseline.
    pub outlines: Vec<(Rgb, String)>,
}

/// A piece of text in one style, or of mathematics.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What it says.
    pub text: String,
    /// In which colour.
    pub color: Rgb,
    /// CSS weight: 400 regular, 500 medium, 600 semibold.
    pub weight: u16,
    /// Whether it is slanted, as symbols are.
    pub italic: bool,
    /// Where it stands.
    pub script: Script,
    /// Mathematics in place of text.
    pub formula: Option<Arc<Formula>>,
}

impl Run {
    /// Upright text of regular weight.
    pub fn plain(text: impl Into<String>, color: Rgb) -> Self {
        Self { text: text.into(), color, weight: 400, italic: false, script: Script::Line, formula: None }
    }

    /// A slanted symbol.
    pub fn symbol(text: impl Into<String>, color: Rgb) -> Self {
        Self { italic: true, ..Self::plain(text, color) }
    }

    /// An index at the foot, in the style of a symbol; upright where it is a number.
    pub fn index(text: impl Into<String>, color: Rgb) -> Self {
        let text = text.into();
        let italic = !text.chars().all(|c| c.is_ascii_digit() || c == '∅');
        Self { italic, script: Script::Sub, ..Self::plain(text, color) }
    }

    /// Width in design units at a size, in the program's own type.
    pub fn width(&self, size: f32) -> f32 {
        match &self.formula {
            Some(formula) => formula.width * size,
            None => em_width(&self.text, self.weight, self.italic) * if self.script == Script::Line { size } else { Self::SMALL * size },
        }
    }

    /// Size of an index against that of its line.
    pub const SMALL: f32 = 0.7;

    /// The same in another weight.
    #[must_use]
    pub fn weight(self, weight: u16) -> Self {
        Self { weight, ..self }
    }
}

/// A line of text in several styles.
pub type Rich = Vec<Run>;

/// Width of a line in design units.
pub fn width_of(line: &[Run], size: f32) -> f32 {
    line.iter().map(|run| run.width(size)).sum()
}

/// What a line of text says, without its styles.
pub fn text_of(line: &[Run]) -> String {
    line.iter().map(|run| run.text.as_str()).collect()
}

/// The colours that are not those of the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Inks {
    /// Text.
    pub text: Rgb,
    /// Captions, ticks.
    pub dim: Rgb,
    /// Hairlines, grids.
    pub line: Rgb,
    /// Behind everything; none is transparent.
    pub ground: Option<Rgb>,
}

/// A line of a table: text at the left and, where it has one, at the right.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// At the left.
    pub left: Rich,
    /// At the right.
    pub right: Rich,
    /// Height of the type in design units.
    pub size: f32,
}

/// A colour scale with its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// From the lowest to the highest value, evenly.
    pub colors: Arc<[Rgb]>,
    /// Marks: place in 0..1 and text.
    pub marks: Vec<(f32, String)>,
}

/// What a panel shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// One picture.
    Picture(Picture),
    /// Pictures side by side in so many columns: the channels of a tensor.
    Grid(Vec<Picture>, usize),
    /// Curves over axes.
    Chart(Chart),
    /// Lines of text: an equation and its numbers.
    Lines(Vec<Line>),
    /// A colour scale.
    Scale(Scale),
    /// Panels one below the other.
    Stack(Vec<Panel>),
}

impl Body {
    /// The pictures in it.
    pub fn pictures(&self) -> &[Picture] {
        match self {
            Self::Picture(picture) => std::slice::from_ref(picture),
            Self::Grid(pictures, _) => pictures,
            _ => &[],
        }
    }
}

/// A part of a figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Names it in menus; in file names without what these cannot hold.
    pub label: String,
    /// Its part of the row's width, against those of the others.
    pub share: f32,
    /// Above, at the left.
    pub heading: Rich,
    /// Above, at the right, small: what kind of picture it is.
    pub remark: String,
    /// What it shows.
    pub body: Body,
    /// Below, centred.
    pub foot: Rich,
}

impl Panel {
    /// A panel without heading.
    pub fn new(label: impl Into<String>, body: Body) -> Self {
        Self { label: label.into(), share: 1.0, heading: Rich::new(), remark: String::new(), body, foot: Rich::new() }
    }

    /// With a heading.
    #[must_use]
    pub fn heading(self, heading: Rich) -> Self {
        Self { heading, ..self }
    }

    /// With a remark.
    #[must_use]
    pub fn remark(self, remark: impl Into<String>) -> Self {
        Self { remark: remark.into(), ..self }
    }

    /// With a line below.
    #[must_use]
    pub fn foot(self, foot: Rich) -> Self {
        Self { foot, ..self }
    }

    /// With another part of the width.
    #[must_use]
    pub fn share(self, share: f32) -> Self {
        Self { share, ..self }
    }

    /// Whether it can stand alone as a picture or a plot.
    pub fn stands_alone(&self) -> bool {
        matches!(self.body, Body::Picture(_) | Body::Grid(..) | Body::Chart(_))
    }
}

/// Panels side by side.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    /// From left to right.
    pub panels: Vec<Panel>,
    /// What stands between each and the next, as the + of a sum; fewer than gaps leaves the rest empty.
    pub glue: Vec<String>,
}

impl Row {
    /// Panels with nothing between them.
    pub fn of(panels: impl Into<Vec<Panel>>) -> Self {
        Self { panels: panels.into(), glue: Vec::new() }
    }
}

/// A figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Names it in menus and, without what these cannot hold, in file names.
    pub label: String,
    /// Width in design units, with the margins.
    pub width: f32,
    /// Margin all round.
    pub margin: f32,
    /// From top to bottom.
    pub rows: Vec<Row>,
    /// Below everything: the first line says what is seen, those after it how it was made.
    pub caption: Vec<String>,
    /// The colours of text and ground.
    pub inks: Inks,
    /// Whether the settings of its lab are enough to make it again.
    pub repeatable: bool,
}

impl Figure {
    /// Width of a figure with several panels.
    pub const WIDE: f32 = 760.0;
    /// Width of a plot that stands alone.
    pub const PLOT: f32 = 640.0;
    /// Width of a picture that stands alone.
    pub const PICTURE: f32 = 512.0;

    /// A figure of the usual width.
    pub fn new(label: impl Into<String>, rows: Vec<Row>, caption: Vec<String>, inks: Inks) -> Self {
        Self { label: label.into(), width: Self::WIDE, margin: 24.0, rows, caption, inks, repeatable: true }
    }

    /// Pictures with a line under each, in so many columns: a sweep.
    pub fn sweep(label: impl Into<String>, pictures: Vec<(Rich, Picture)>, columns: usize, caption: Vec<String>, inks: Inks) -> Self {
        let columns = columns.max(1);
        let mut panels = pictures.into_iter().map(|(foot, picture)| Panel::new(text_of(&foot), Body::Picture(picture)).foot(foot));
        let mut rows = Vec::new();
        loop {
            let row: Vec<_> = panels.by_ref().take(columns).collect();
            if row.is_empty() {
                break;
            }
            rows.push(Row::of(row));
        }
        Self::new(label, rows, caption, inks)
    }

    /// All panels, row by row; those of a stack in its place.
    pub fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.rows.iter().flat_map(|row| &row.panels).flat_map(|panel| match &panel.body {
            Body::Stack(panels) => panels.as_slice(),
            _ => std::slice::from_ref(panel),
        })
    }

    /// All charts.
    pub fn charts(&self) -> impl Iterator<Item = (&Panel, &Chart)> {
        self.panels().filter_map(|panel| if let Body::Chart(chart) = &panel.body { Some((panel, chart)) } else { None })
    }

    /// The panels that make sense by themselves, each as a figure of its own. Without a caption a picture fills its file to the edge.
    pub fn alone(&self) -> Vec<Self> {
        let alone = self.panels().filter(|panel| panel.stands_alone()).map(|panel| {
            let mut panel = Panel { share: 1.0, ..panel.clone() };
            let (mut width, mut margin) = (Self::PICTURE, self.margin);
            match &mut panel.body {
                Body::Chart(chart) => {
                    width = Self::PLOT;
                    chart.aspect = 0.62;
                    chart.legend = true;
                }
                Body::Picture(_) if self.caption.is_empty() => {
                    margin = 0.0;
                    (panel.heading, panel.remark, panel.foot) = (Rich::new(), String::new(), Rich::new());
                }
                _ => {}
            }
            let label = panel.label.clone();
            Self { label, width: width + 2.0 * margin, margin, rows: vec![Row::of([panel])], ..self.clone() }
        });
        alone.collect()
    }

    /// A name for its file: the label in lower case, with hyphens for everything but letters and digits.
    pub fn file_name(&self) -> String {
        let mut name = String::new();
        for c in self.label.chars() {
            let plain = match c {
                'ᾱ' => 'a',
                'ε' => 'e',
                'β' => 'b',
                c => c,
            };
            if plain.is_ascii_alphanumeric() {
                name.push(plain.to_ascii_lowercase());
            } else if !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
        }
        let name = name.trim_end_matches('-').chars().take(60).collect::<String>();
        if name.is_empty() { "figure".to_owned() } else { name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::picture::Paint;
    use crate::host::HostTensor;

    fn inks() -> Inks {
        Inks { text: [0; 3], dim: [90; 3], line: [200; 3], ground: None }
    }

    #[test]
    fn a_sweep_fills_its_rows_and_each_picture_stands_alone() {
        let picture = |i: usize| {
            let tensor = HostTensor::full([3, 4, 4], i as f32 / 8.0);
            (vec![Run::plain(format!("w = {i}"), [0; 3])], Picture::new(format!("w {i}"), tensor, Paint::Rgb))
        };
        let sweep = Figure::sweep("Sweep of w", (0..7).map(picture).collect(), 3, Vec::new(), inks());
        assert_eq!(sweep.rows.iter().map(|row| row.panels.len()).collect::<Vec<_>>(), [3, 3, 1]);
        let alone = sweep.alone();
        assert_eq!(alone.len(), 7);
        assert_eq!((alone[2].label.as_str(), alone[2].margin, alone[2].width), ("w = 2", 0.0, Figure::PICTURE));
    }

    #[test]
    fn file_names_hold_letters_digits_and_hyphens() {
        let mut figure = Figure::new("Plot of ᾱ / SNR: \"x\"", Vec::new(), Vec::new(), inks());
        assert_eq!(figure.file_name(), "plot-of-a-snr-x");
        figure.label = "../..".into();
        assert_eq!(figure.file_name(), "figure");
    }
}
