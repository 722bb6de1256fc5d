//! A figure as SVG 1.1, by itself: its pictures lie inside as PNG, its type is named with what may stand in for it.

use super::layout::{Anchor, Drawing, Mark, place};
use super::picture::Picture;
use super::sheet::{Figure, Rgb, Run, Script, width_of};
use super::{FigureError, encode_rgb};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;

/// The typeface, and those that resemble it where it is not installed.
const FAMILY: &str = "'Inter Tabular', Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif";

/// The text of an SVG file.
///
/// # Errors
/// [`FigureError::NotAPicture`], [`FigureError::Encode`].
pub fn svg(figure: &Figure) -> Result<String, FigureError> {
    let drawing = place(figure)?;
    let mut out = String::new();
    let (w, h) = (number(drawing.width), number(drawing.height));
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 \
         {w} {h}\" font-family=\"{FAMILY}\" role=\"img\">"
    );
    let _ = writeln!(out, "<title>{}</title>", escape(&figure.label));
    if !figure.caption.is_empty() {
        let _ = writeln!(out, "<desc>{}</desc>", escape(&figure.caption.join(". ")));
    }
    if let Some(ground) = drawing.ground {
        let _ = writeln!(out, "<rect width=\"{w}\" height=\"{h}\" fill=\"{}\"/>", hex(ground));
    }
    let mut clips = 0;
    write_marks(&mut out, &drawing, &drawing.marks, &mut clips)?;
    out.push_str("</svg>\n");
    Ok(out)
}

fn write_marks(out: &mut String, drawing: &Drawing, marks: &[Mark], clips: &mut usize) -> Result<(), FigureError> {
    for mark in marks {
        match mark {
            Mark::Image(rect, picture) => image(out, *rect, picture)?,
            Mark::Text { at, anchor, size, runs } => text(out, *at, *anchor, *size, runs),
            Mark::Path { points, color, width, opacity } => {
                let points: Vec<_> = points.iter().map(|[x, y]| format!("{},{}", number(*x), number(*y))).collect();
                let opacity = if *opacity < 1.0 { format!(" stroke-opacity=\"{}\"", number(*opacity)) } else { String::new() };
                let _ = writeln!(
                    out,
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"{opacity} stroke-linejoin=\"round\" \
                     stroke-linecap=\"round\"/>",
                    points.join(" "),
                    hex(*color),
                    number(*width)
                );
            }
            Mark::Fill(rect, color) => {
                let _ = writeln!(out, "<rect {} fill=\"{}\"/>", sides(*rect), hex(*color));
            }
            Mark::Frame(rect, color, width) => {
                let _ =
                    writeln!(out, "<rect {} fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"/>", sides(*rect), hex(*color), number(*width));
            }
            Mark::Dot([x, y], radius, color) => {
                // A thin edge in the colour of the ground keeps discs apart from the lines that they lie on.
                let edge = drawing.ground.map_or_else(String::new, |ground| format!(" stroke=\"{}\" stroke-width=\"1.5\"", hex(ground)));
                let (x, y) = (number(*x), number(*y));
                let _ = writeln!(out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{}\" fill=\"{}\"{edge}/>", number(*radius), hex(*color));
            }
            Mark::Clip(rect, inside) => {
                *clips += 1;
                let id = format!("clip{clips}");
                let _ = writeln!(out, "<clipPath id=\"{id}\"><rect {}/></clipPath>\n<g clip-path=\"url(#{id})\">", sides(*rect));
                write_marks(out, drawing, inside, clips)?;
                out.push_str("</g>\n");
            }
        }
    }
    Ok(())
}

fn image(out: &mut String, rect: [f32; 4], picture: &Picture) -> Result<(), FigureError> {
    let pixels = picture.rgb8()?;
    let png = encode_rgb(pixels.width, pixels.height, &pixels.bytes)?;
    let look = if picture.smooth { "optimizeQuality" } else { "pixelated" };
    let _ = write!(out, "<image {} preserveAspectRatio=\"none\" style=\"image-rendering:{look}\" ", sides(rect));
    let _ = writeln!(out, "xlink:href=\"data:image/png;base64,{}\"/>", STANDARD.encode(png));
    Ok(())
}

/// Text and mathematics by turns. Where there is mathematics, each part is placed by the widths of our own type.
fn text(out: &mut String, [x, y]: [f32; 2], anchor: Anchor, size: f32, runs: &[Run]) {
    if runs.iter().all(|run| run.formula.is_none()) {
        return words(out, [x, y], anchor, size, runs);
    }
    let share = match anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => 0.5,
        Anchor::End => 1.0,
    };
    let mut x = x - share * width_of(runs, size);
    for part in runs.chunk_by(|a, b| a.formula.is_none() && b.formula.is_none()) {
        match &part[0].formula {
            None => words(out, [x, y], Anchor::Start, size, part),
            Some(formula) => {
                let _ = write!(out, "<g transform=\"translate({} {}) scale({})\">", number(x), number(y), number(size));
                for (color, path) in &formula.outlines {
                    let _ = write!(out, "<path fill=\"{}\" d=\"{path}\"/>", hex(*color));
                }
                out.push_str("</g>\n");
            }
        }
        x += width_of(part, size);
    }
}

fn words(out: &mut String, [x, y]: [f32; 2], anchor: Anchor, size: f32, runs: &[Run]) {
    let anchor = match anchor {
        Anchor::Start => "",
        Anchor::Middle => " text-anchor=\"middle\"",
        Anchor::End => " text-anchor=\"end\"",
    };
    let (x, y) = (number(x), number(y));
    let _ = write!(out, "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\"{anchor} xml:space=\"preserve\">", number(size));
    let mut raised = 0.0;
    for run in runs {
        let (wanted, small) = match run.script {
            Script::Line => (0.0, false),
            Script::Sub => (0.2 * size, true),
            Script::Super => (-0.38 * size, true),
        };
        let mut style = format!(" fill=\"{}\"", hex(run.color));
        if wanted != raised {
            let _ = write!(style, " dy=\"{}\"", number(wanted - raised));
            raised = wanted;
        }
        if small {
            let _ = write!(style, " font-size=\"{}\"", number(Run::SMALL * size));
        }
        if run.weight != 400 {
            let _ = write!(style, " font-weight=\"{}\"", run.weight);
        }
        if run.italic {
            style.push_str(" font-style=\"italic\"");
        }
        let _ = write!(out, "<tspan{style}>{}</tspan>", escape(&run.text));
    }
    out.push_str("</text>\n");
}

fn sides([x, y, w, h]: [f32; 4]) -> String {
    format!("x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"", number(x), number(y), number(w.max(0.0)), number(h.max(0.0)))
}

/// At most two decimals, none that say nothing.
fn number(value: f32) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn hex([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Text between tags: what XML reserves is named, what XML 1.0 cannot hold becomes a space.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{0}'..='\u{1f}' | '\u{7f}' | '\u{fffe}' | '\u{ffff}' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_reserves_is_named_and_numbers_are_short() {
        assert_eq!(escape("a < b & \"c\"\u{0}\u{1b}"), "a &lt; b &amp; &quot;c&quot;  ");
        assert_eq!([number(1.0), number(0.126), number(-0.001), number(f32::NAN)], ["1", "0.13", "0", "0"].map(str::to_owned));
    }
}
