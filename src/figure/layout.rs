//! From rows and panels to marks at their places.

use super::FigureError;
use super::chart::Chart;
use super::measure::{plain_width, wrap};
use super::picture::Picture;
use super::sheet::{Body, Figure, Inks, Line, Panel, Rgb, Rich, Row, Run, Scale, width_of};

/// Where a text is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// At its left end.
    Start,
    /// In its middle.
    Middle,
    /// At its right end.
    End,
}

/// Something to be drawn. Places are in design units from the upper left corner.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A picture in `[x, y, width, height]`.
    Image([f32; 4], Picture),
    /// Text on its baseline.
    Text {
        /// Where its anchor lies.
        at: [f32; 2],
        /// What of it lies there.
        anchor: Anchor,
        /// Height of the type.
        size: f32,
        /// What it says.
        runs: Rich,
    },
    /// A line through points.
    Path {
        /// The points.
        points: Vec<[f32; 2]>,
        /// Its colour.
        color: Rgb,
        /// Its width.
        width: f32,
        /// Its opacity.
        opacity: f32,
    },
    /// A rectangle `[x, y, width, height]`, filled.
    Fill([f32; 4], Rgb),
    /// The outline of a rectangle.
    Frame([f32; 4], Rgb, f32),
    /// A disc: place, radius, colour.
    Dot([f32; 2], f32, Rgb),
    /// Marks of which only what lies in the rectangle is seen.
    Clip([f32; 4], Vec<Mark>),
}

/// Everything at its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// Width in design units.
    pub width: f32,
    /// Height in design units.
    pub height: f32,
    /// Behind everything; none is transparent.
    pub ground: Option<Rgb>,
    /// From back to front.
    pub marks: Vec<Mark>,
}

const GAP: f32 = 20.0;
const GLUED: f32 = 30.0;
const BETWEEN_ROWS: f32 = 20.0;
const HEAD: f32 = 27.0;
const HEAD_SIZE: f32 = 16.0;
const REMARK_SIZE: f32 = 12.5;
const FOOT: f32 = 21.0;
const FOOT_SIZE: f32 = 13.5;
const CAPTION_SIZE: f32 = 14.0;
const CAPTION_LINE: f32 = 20.0;
const TICK_SIZE: f32 = 12.5;
const LEGEND_SIZE: f32 = 13.5;
const LEGEND_LINE: f32 = 20.0;
const CELL_GAP: f32 = 4.0;

/// Places everything.
///
/// # Errors
/// [`FigureError::NotAPicture`] for a picture that is none.
pub fn place(figure: &Figure) -> Result<Drawing, FigureError> {
    let mut marks = Vec::new();
    let (margin, inks) = (figure.margin, &figure.inks);
    let width = figure.width - 2.0 * margin;
    let mut y = margin;
    for (i, row) in figure.rows.iter().enumerate() {
        if i > 0 {
            y += BETWEEN_ROWS;
        }
        y += place_row(row, inks, [margin, y, width], &mut marks)?;
    }
    if !figure.caption.is_empty() {
        y += if figure.rows.is_empty() { 0.0 } else { 14.0 };
        for (i, text) in figure.caption.iter().enumerate() {
            let color = if i == 0 { inks.text } else { inks.dim };
            for line in wrap(text, width, CAPTION_SIZE) {
                y += CAPTION_LINE;
                let runs = vec![Run::plain(line, color)];
                marks.push(Mark::Text { at: [margin, y - 5.0], anchor: Anchor::Start, size: CAPTION_SIZE, runs });
            }
        }
    }
    Ok(Drawing { width: figure.width, height: (y + margin).max(1.0).ceil(), ground: inks.ground, marks })
}

/// Returns the row's height.
fn place_row(row: &Row, inks: &Inks, [left, top, width]: [f32; 3], marks: &mut Vec<Mark>) -> Result<f32, FigureError> {
    let gap = if row.glue.is_empty() { GAP } else { GLUED };
    let room = (width - gap * row.panels.len().saturating_sub(1) as f32).max(1.0);
    let shares: f32 = row.panels.iter().map(|panel| panel.share).sum::<f32>().max(1e-6);
    let headed = row.panels.iter().any(|panel| !panel.heading.is_empty() || !panel.remark.is_empty());
    let head = if headed { HEAD } else { 0.0 };
    let (mut x, mut tallest) = (left, 0.0_f32);
    for (i, panel) in row.panels.iter().enumerate() {
        let wide = room * panel.share / shares;
        heading(panel, inks, [x, top, wide], marks);
        // Stacked panels have headings of their own, which stand beside those of the row.
        let head = if matches!(panel.body, Body::Stack(_)) { 0.0 } else { head };
        let high = body(&panel.body, inks, [x, top + head, wide], marks)?;
        let mut bottom = head + high;
        if !panel.foot.is_empty() {
            let at = [x + wide * 0.5, top + bottom + FOOT_SIZE + 3.0];
            marks.push(Mark::Text { at, anchor: Anchor::Middle, size: FOOT_SIZE, runs: panel.foot.clone() });
            bottom += FOOT;
        }
        if let Some(glue) = row.glue.get(i).filter(|glue| !glue.is_empty()) {
            let at = [x + wide + gap * 0.5, top + head + high * 0.5 + 7.0];
            let runs = vec![Run::plain(glue, inks.text).weight(500)];
            marks.push(Mark::Text { at, anchor: Anchor::Middle, size: 21.0, runs });
        }
        tallest = tallest.max(bottom);
        x += wide + gap;
    }
    Ok(tallest)
}

fn heading(panel: &Panel, inks: &Inks, [x, y, width]: [f32; 3], marks: &mut Vec<Mark>) {
    if !panel.heading.is_empty() {
        marks.push(Mark::Text { at: [x, y + 15.0], anchor: Anchor::Start, size: HEAD_SIZE, runs: panel.heading.clone() });
    }
    let free = width - width_of(&panel.heading, HEAD_SIZE);
    if !panel.remark.is_empty() && plain_width(&panel.remark, REMARK_SIZE) < free - 8.0 {
        let runs = vec![Run::plain(&panel.remark, inks.dim)];
        marks.push(Mark::Text { at: [x + width, y + 15.0], anchor: Anchor::End, size: REMARK_SIZE, runs });
    }
}

/// Returns the body's height.
fn body(body: &Body, inks: &Inks, [x, y, width]: [f32; 3], marks: &mut Vec<Mark>) -> Result<f32, FigureError> {
    Ok(match body {
        Body::Picture(picture) => image(picture, inks, [x, y, width], marks)?,
        Body::Grid(pictures, columns) => {
            let columns = (*columns).clamp(1, pictures.len().max(1));
            let cell = (width - CELL_GAP * (columns - 1) as f32) / columns as f32;
            let mut bottom = 0.0_f32;
            for (i, picture) in pictures.iter().enumerate() {
                let corner = [x + (i % columns) as f32 * (cell + CELL_GAP), y + (i / columns) as f32 * (cell + CELL_GAP), cell];
                bottom = bottom.max(corner[1] - y + image(picture, inks, corner, marks)?);
            }
            bottom
        }
        Body::Chart(chart) => self::chart(chart, inks, [x, y, width], marks),
        Body::Lines(lines) => self::lines(lines, [x, y, width], marks),
        Body::Scale(scale) => self::scale(scale, inks, [x, y, width], marks),
        Body::Stack(panels) => {
            let mut bottom = 0.0;
            for panel in panels {
                bottom += if bottom > 0.0 { BETWEEN_ROWS } else { 0.0 };
                bottom += place_row(&Row::of([panel.clone()]), inks, [x, y + bottom, width], marks)?;
            }
            bottom
        }
    })
}

fn image(picture: &Picture, inks: &Inks, [x, y, width]: [f32; 3], marks: &mut Vec<Mark>) -> Result<f32, FigureError> {
    let (w, h) = picture.size()?;
    let height = width * h as f32 / w as f32;
    let rect = [x, y, width, height];
    marks.push(Mark::Image(rect, picture.clone()));
    marks.push(Mark::Frame(rect, inks.line, 0.75));
    Ok(height)
}

fn lines(lines: &[Line], [x, y, width]: [f32; 3], marks: &mut Vec<Mark>) -> f32 {
    let mut bottom = 0.0;
    for Line { left, right, size } in lines {
        let formulas = || left.iter().chain(right).filter_map(|run| run.formula.as_deref());
        let ascent = formulas().map(|formula| formula.ascent * size + 5.0).fold(size * 1.12, f32::max);
        let descent = formulas().map(|formula| formula.descent * size + 3.0).fold(size * 0.5, f32::max);
        let at = y + bottom + ascent;
        bottom += ascent + descent;
        marks.push(Mark::Text { at: [x, at], anchor: Anchor::Start, size: *size, runs: left.clone() });
        if !right.is_empty() {
            marks.push(Mark::Text { at: [x + width, at], anchor: Anchor::End, size: *size, runs: right.clone() });
        }
    }
    bottom
}

fn scale(scale: &Scale, inks: &Inks, [x, y, width]: [f32; 3], marks: &mut Vec<Mark>) -> f32 {
    let count = scale.colors.len().max(1);
    let step = width / count as f32;
    // Each cell reaches a little under the next, so that no seam shows between them.
    for (i, color) in scale.colors.iter().enumerate() {
        let wide = if i + 1 < count { step * 1.5 } else { step };
        marks.push(Mark::Fill([x + i as f32 * step, y, wide, 10.0], *color));
    }
    marks.push(Mark::Frame([x, y, width, 10.0], inks.line, 0.75));
    for (place, text) in &scale.marks {
        let at = x + place * width;
        marks.push(Mark::Path { points: vec![[at, y + 10.0], [at, y + 14.0]], color: inks.dim, width: 1.0, opacity: 1.0 });
        let anchor = match place {
            p if *p <= 0.01 => Anchor::Start,
            p if *p >= 0.99 => Anchor::End,
            _ => Anchor::Middle,
        };
        let runs = vec![Run::plain(text, inks.dim).weight(500)];
        marks.push(Mark::Text { at: [at, y + 27.0], anchor, size: TICK_SIZE, runs });
    }
    30.0
}

fn chart(chart: &Chart, inks: &Inks, [x, y, width]: [f32; 3], marks: &mut Vec<Mark>) -> f32 {
    let height = width * chart.aspect;
    let named = if chart.legend { legend(chart, inks, width - 50.0) } else { Vec::new() };
    let legend = if named.is_empty() { 0.0 } else { 6.0 + LEGEND_LINE * named.len() as f32 };
    let below = if chart.x.label.is_empty() { 22.0 } else { 40.0 };
    let plot = [x + 42.0, y + legend + 4.0, width - 50.0, height - legend - below - 4.0];
    let [left, top, wide, high] = plot;
    for (i, runs) in named.into_iter().enumerate() {
        let at = [left, y + 14.0 + LEGEND_LINE * i as f32];
        marks.push(Mark::Text { at, anchor: Anchor::Start, size: LEGEND_SIZE, runs });
    }
    let at_x = |v: f64| left + wide * chart.x.place(v) as f32;
    let at_y = |v: f64| top + high * (1.0 - chart.y.place(v) as f32);
    let thin = |points: Vec<[f32; 2]>, color| Mark::Path { points, color, width: 0.75, opacity: 1.0 };
    let label = |text: String, at, anchor| Mark::Text { at, anchor, size: TICK_SIZE, runs: vec![Run::plain(text, inks.dim)] };
    for (value, text) in chart.x.ticks((wide / 60.0) as usize) {
        let at = at_x(value);
        marks.push(thin(vec![[at, top], [at, top + high]], inks.line));
        marks.push(label(text, [at, top + high + 17.0], Anchor::Middle));
    }
    for (value, text) in chart.y.ticks((high / 30.0) as usize) {
        let at = at_y(value);
        marks.push(thin(vec![[left, at], [left + wide, at]], inks.line));
        marks.push(label(text, [left - 7.0, at + TICK_SIZE * 0.36], Anchor::End));
    }
    if !chart.x.label.is_empty() {
        let at = [left + wide * 0.5, top + high + 35.0];
        marks.push(Mark::Text { at, anchor: Anchor::Middle, size: 13.0, runs: chart.x.label.clone() });
    }
    let mut inside = Vec::new();
    for series in &chart.series {
        // A point that has no place (zero on an axis of powers of ten) parts the line.
        let places: Vec<[f32; 2]> = series.points.iter().map(|&[a, b]| [at_x(a), at_y(b)]).collect();
        for piece in places.split(|[a, b]| !a.is_finite() || !b.is_finite()).filter(|piece| piece.len() > 1) {
            // What lies far outside is brought near, so that no reader meets a number that it cannot hold.
            let points: Vec<_> = piece.iter().map(|[a, b]| [*a, b.clamp(top - 1e4, top + high + 1e4)]).collect();
            inside.push(Mark::Path { points: simplify(&points), color: series.color, width: series.width, opacity: series.opacity });
        }
    }
    if let Some(value) = chart.playhead {
        let at = at_x(value);
        inside.push(Mark::Path { points: vec![[at, top], [at, top + high]], color: inks.text, width: 1.5, opacity: 1.0 });
    }
    marks.push(Mark::Clip([left, top - 2.0, wide, high + 4.0], inside));
    for &(a, b, color) in &chart.dots {
        let at = [at_x(a), at_y(b)];
        if at.iter().all(|v| v.is_finite()) && (top - 1.0..=top + high + 1.0).contains(&at[1]) {
            marks.push(Mark::Dot(at, 3.6, color));
        }
    }
    height
}

/// The names of the curves with their colours, in as many lines as it takes.
fn legend(chart: &Chart, inks: &Inks, width: f32) -> Vec<Rich> {
    const APART: &str = "\u{a0}\u{a0}\u{a0}\u{a0}";
    let mut lines: Vec<(Rich, f32)> = Vec::new();
    for series in &chart.series {
        let wide = plain_width(&format!("—\u{a0}{}", series.name), LEGEND_SIZE);
        let entry = [Run::plain("—\u{a0}", series.color).weight(600), Run::plain(&series.name, inks.text)];
        match lines.last_mut() {
            Some((line, taken)) if *taken + wide + plain_width(APART, LEGEND_SIZE) <= width => {
                *taken += wide + plain_width(APART, LEGEND_SIZE);
                line.push(Run::plain(APART, inks.dim));
                line.extend(entry);
            }
            _ => lines.push((entry.into(), wide)),
        }
    }
    lines.into_iter().map(|(line, _)| line).collect()
}

/// Leaves out the points that nobody sees: no point left out is farther than 0.04 units from the line through those kept (Ramer
/// 1972; Douglas and Peucker 1973).
fn simplify(points: &[[f32; 2]]) -> Vec<[f32; 2]> {
    const NEAR: f32 = 0.04;
    let mut kept = vec![false; points.len()];
    let mut pieces = vec![(0, points.len() - 1)];
    while let Some((first, last)) = pieces.pop() {
        (kept[first], kept[last]) = (true, true);
        let ([ax, ay], [bx, by]) = (points[first], points[last]);
        let (dx, dy) = (bx - ax, by - ay);
        let length = dx.hypot(dy);
        let distance = |[x, y]: [f32; 2]| {
            if length > 0.0 { ((x - ax) * dy - (y - ay) * dx).abs() / length } else { (x - ax).hypot(y - ay) }
        };
        let far = (first + 1..last).map(|i| (i, distance(points[i]))).max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((i, far)) = far
            && far > NEAR
        {
            pieces.extend([(first, i), (i, last)]);
        }
    }
    points.iter().zip(kept).filter(|(_, kept)| *kept).map(|(point, _)| *point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_left_out_and_corners_stay() {
        let line: Vec<_> = (0..100).map(|i| [i as f32, if i < 50 { 0.5 * i as f32 } else { 25.0 }]).collect();
        assert_eq!(simplify(&line), [[0.0, 0.0], [50.0, 25.0], [99.0, 25.0]]);
        let arc: Vec<_> = (0..1000).map(|i| i as f32 / 1000.0).map(|s| [300.0 * s, 150.0 * (6.0 * s).sin()]).collect();
        assert!((20..200).contains(&simplify(&arc).len()), "{}", simplify(&arc).len());
    }

    #[test]
    fn a_legend_takes_as_many_lines_as_it_needs() {
        use super::super::chart::{Axis, Series};
        let axis = Axis { label: Vec::new(), range: (0.0, 1.0), log: false };
        let named = |i| Series { name: format!("curve number {i}"), color: [i; 3], width: 1.0, opacity: 1.0, points: [].into() };
        let series = (0..8).map(named).collect();
        let chart = Chart { x: axis.clone(), y: axis, series, playhead: None, dots: Vec::new(), legend: true, aspect: 0.6 };
        let inks = Inks { text: [0; 3], dim: [0; 3], line: [0; 3], ground: None };
        let lines = legend(&chart, &inks, 300.0);
        assert_eq!((lines.len(), legend(&chart, &inks, 10.0).len()), (4, 8));
        assert!(lines.iter().all(|line| width_of(line, LEGEND_SIZE) <= 303.0));
    }
}
