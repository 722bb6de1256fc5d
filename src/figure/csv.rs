//! The curves of a figure as one table: RFC 4180 (Shafranovich 2005), UTF-8, a point as decimal sign.

use super::sheet::{Figure, text_of};
use std::fmt::Write;

/// The curves as a table: a column for x and one for each curve, `plot: curve` where there are several plots. Where the curves do
/// not stand over the same x, a cell is empty. Where the axes themselves differ, there is a line for each point: plot, curve, x, y.
/// Numbers are written so that they read back as they were.
///
/// None when the figure holds no curve.
pub fn csv(figure: &Figure) -> Option<String> {
    let charts: Vec<_> = figure.charts().filter(|(_, chart)| !chart.series.is_empty()).collect();
    let (_, first) = charts.first()?;
    let axis = text_of(&first.x.label);
    let mut out = String::new();
    if charts.iter().any(|(_, chart)| text_of(&chart.x.label) != axis) {
        line(&mut out, ["plot", "curve", "x", "y"].map(str::to_owned));
        for (panel, chart) in &charts {
            for series in &chart.series {
                for [x, y] in series.points.iter() {
                    line(&mut out, [panel.label.clone(), series.name.clone(), number(*x), number(*y)]);
                }
            }
        }
        return Some(out);
    }
    let columns: Vec<_> = charts
        .iter()
        .flat_map(|(panel, chart)| {
            let several = charts.len() > 1;
            chart.series.iter().map(move |s| {
                (if several { format!("{}: {}", panel.label.trim_start_matches("Plot of "), s.name) } else { s.name.clone() }, &s.points)
            })
        })
        .collect();
    let mut places: Vec<f64> = columns.iter().flat_map(|(_, points)| points.iter().map(|[x, _]| *x)).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let axis = if axis.is_empty() { "x".to_owned() } else { axis };
    line(&mut out, std::iter::once(axis).chain(columns.iter().map(|(name, _)| name.clone())));
    // Points come sorted, as curves over an axis do; what does not is searched.
    let sorted: Vec<bool> = columns.iter().map(|(_, points)| points.windows(2).all(|w| w[0][0] <= w[1][0])).collect();
    for x in places {
        let cells = columns.iter().zip(&sorted).map(|((_, points), sorted)| {
            let found = if *sorted {
                points.binary_search_by(|[at, _]| at.total_cmp(&x)).ok()
            } else {
                points.iter().position(|[at, _]| at.total_cmp(&x).is_eq())
            };
            found.map_or_else(String::new, |i| number(points[i][1]))
        });
        line(&mut out, std::iter::once(number(x)).chain(cells));
    }
    Some(out)
}

fn line(out: &mut String, cells: impl IntoIterator<Item = String>) {
    for (i, cell) in cells.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        if cell.contains(['"', ',', '\r', '\n']) {
            let _ = write!(out, "\"{}\"", cell.replace('"', "\"\""));
        } else {
            out.push_str(&cell);
        }
    }
    out.push_str("\r\n");
}

/// The shortest text that reads back as the same number.
fn number(value: f64) -> String {
    if value != 0.0 && (value.abs() < 1e-4 || value.abs() >= 1e15) { format!("{value:e}") } else { format!("{value}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::{Axis, Body, Chart, Inks, Panel, Row, Run, Series};

    fn chart(label: &str, axis: &str, series: &[(&str, &[[f64; 2]])]) -> Panel {
        let ends = |label: &str| Axis { label: vec![Run::plain(label, [0; 3])], range: (0.0, 1.0), log: false };
        let series = series
            .iter()
            .map(|(name, points)| Series { name: (*name).into(), color: [0; 3], width: 1.0, opacity: 1.0, points: (*points).into() })
            .collect();
        let chart = Chart { x: ends(axis), y: ends(""), series, playhead: None, dots: Vec::new(), legend: false, aspect: 0.6 };
        Panel::new(label, Body::Chart(chart))
    }

    fn table(panels: Vec<Panel>) -> Option<Vec<Vec<String>>> {
        let inks = Inks { text: [0; 3], dim: [0; 3], line: [0; 3], ground: None };
        let text = csv(&Figure::new("f", vec![Row::of(panels)], Vec::new(), inks))?;
        Some(text.split_terminator("\r\n").map(|line| line.split(',').map(str::to_owned).collect()).collect())
    }

    #[test]
    fn numbers_read_back_as_they_were() {
        let points: Vec<[f64; 2]> = (0..50).map(|i| [f64::from(i) / 3.0, (f64::from(i) * 0.7).exp() * 1e-9]).collect();
        let table = table(vec![chart("p", "timestep", &[("a", &points), ("b", &points[7..9])])]).expect("curves");
        assert_eq!(table[0], ["timestep", "a", "b"]);
        for (row, [x, y]) in table[1..].iter().zip(&points) {
            assert_eq!((row[0].parse(), row[1].parse()), (Ok(*x), Ok(*y)));
        }
        assert_eq!((table[1][2].as_str(), table.len()), ("", 51));
        assert_eq!(table[8][2].parse(), Ok(points[7][1]));
    }

    #[test]
    fn several_plots_share_a_table_and_other_axes_make_a_long_one() {
        let ab = [[0.0, 1.0], [1.0, 2.0]];
        let wide = table(vec![chart("p", "t", &[("a", &ab)]), chart("q", "t", &[("a", &ab)])]).expect("curves");
        assert_eq!(wide, [["t", "p: a", "q: a"], ["0", "1", "1"], ["1", "2", "2"]]);
        let long = table(vec![chart("p", "t", &[("a", &ab)]), chart("q", "w", &[("b", &ab[..1])])]).expect("curves");
        assert_eq!(long[1..], [["p", "a", "0", "1"], ["p", "a", "1", "2"], ["q", "b", "0", "1"]]);
        assert!(table(Vec::new()).is_none());
    }

    #[test]
    fn commas_and_quotes_are_quoted() {
        let mut out = String::new();
        line(&mut out, ["a,b".to_owned(), "say \"x\"".to_owned(), "c".to_owned()]);
        assert_eq!(out, "\"a,b\",\"say \"\"x\"\"\",c\r\n");
    }
}
