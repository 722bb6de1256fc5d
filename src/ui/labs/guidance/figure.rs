//! The lab as a figure: the finished picture, the equation with its numbers, what both predictions look at and the four fields.

use super::{Guidance, Settings};
use crate::figure::{Body, Figure, Line, Paint, Panel, Picture, Row};
use crate::host::HostTensor;
use crate::ui::export::ink::Ink;
use crate::ui::labs::LabContext;
use crate::ui::theme::Symbol;
use crate::ui::widgets::channels::Grid;
use crate::ui::widgets::math::{Math, num, op, row, sym, word};
use crate::ui::widgets::tile::Badge;

/// Width of the picture against what stands beside it, so that both are about as high.
const PICTURE_SHARE: f32 = 1.28;

fn eps_uncond() -> Math {
    sym("ε", Symbol::Unconditional).with_index("∅")
}

fn eps_cond() -> Math {
    sym("ε", Symbol::Conditional).with_index("c")
}

fn eps_guided() -> Math {
    sym("ε", Symbol::Guided).tilde()
}

fn difference() -> Math {
    row([eps_cond(), op("−"), eps_uncond()])
}

fn x_t() -> Math {
    sym("x", Symbol::Plain).with_index("t")
}

impl Guidance {
    pub(super) fn as_figure(&self, cx: &LabContext<'_>, ink: &Ink) -> Option<Figure> {
        let (request, picture, _) = self.picture.as_ref()?;
        let Settings { range, scale, .. } = cx.work.guidance;
        let badge = if request.steps == super::COARSE_STEPS { Badge::Coarse } else { Badge::Refined };
        let heading = ink.titled(&sym("x", Symbol::Signal).with_index("0"), "the finished picture");
        let finished = Picture::new("x_0", picture.clone(), Paint::Rgb);
        let finished =
            Panel::new("the finished picture", Body::Picture(finished)).heading(heading).remark(badge.label()).share(PICTURE_SHARE);
        let mut beside = vec![Panel::new("numbers", Body::Lines(self.lines(cx, ink)))];
        if let Some(frame) = self.frame(cx.clock.position()) {
            let heading = ink.titled(&x_t(), "what both predictions look at");
            let body = ink.channels("x_t", &frame.x, Grid::compact(cx.latent_channels()), range, scale);
            beside.push(Panel::new("what both predictions look at", body).heading(heading));
        }
        let mut rows = vec![Row::of([finished, Panel::new("beside", Body::Stack(beside))])];
        if let Some(fields) = &self.fields {
            let negative = !cx.session.negative.trim().is_empty();
            let columns = Grid::compact(cx.latent_channels());
            let field = |name: &str, symbol: Math, tensor: &HostTensor, norm: f64| {
                let body = ink.channels(name, tensor, columns, range, scale);
                Panel::new(name, body).heading(ink.math(&symbol)).remark(format!("norm {norm:.1}"))
            };
            let c = &fields.comparison;
            rows.push(Row::of([
                field(
                    if negative { "under the negative prompt" } else { "without the prompt" },
                    eps_uncond(),
                    &fields.uncond,
                    c.norm_uncond,
                ),
                field("under the prompt", eps_cond(), &fields.cond, c.norm_cond),
                field("their difference", difference(), &fields.difference, c.norm_difference),
                field("guided", eps_guided(), &fields.guided, fields.guided_norm),
            ]));
            rows.push(Row::of([Panel::new("scale", ink.scale(range, scale))]));
        }
        let timestep = self.frame(cx.clock.position()).map(|frame| frame.timestep);
        Some(Figure::new("Guidance", rows, ink.caption(cx, Some(request), timestep), ink.inks.clone()))
    }

    fn lines(&self, cx: &LabContext<'_>, ink: &Ink) -> Vec<Line> {
        let w = Self::scale(cx);
        let sum = row([eps_uncond(), op("+"), sym("w", Symbol::Guided), word(" (", Symbol::Plain), difference(), word(")", Symbol::Plain)]);
        let formula = ink.math(&row([eps_guided(), op("="), sum]));
        let mut lines = vec![Line { left: formula, right: Vec::new(), size: 21.0 }];
        let mut entry = |left: Math, value: String, symbol| {
            lines.push(Line { left: ink.math(&left), right: vec![ink.number(value, symbol)], size: 15.5 });
        };
        let of = |what: &str, math| row([word(&format!("{what} of "), Symbol::Quiet), math]);
        entry(row([word("guidance scale ", Symbol::Quiet), sym("w", Symbol::Guided)]), format!("{w:.1}"), Symbol::Guided);
        if let Some(fields) = &self.fields {
            let c = &fields.comparison;
            entry(of("norm", eps_uncond()), format!("{:.2}", c.norm_uncond), Symbol::Unconditional);
            entry(of("norm", eps_cond()), format!("{:.2}", c.norm_cond), Symbol::Conditional);
            entry(of("norm", difference()), format!("{:.2}", c.norm_difference), Symbol::Plain);
            entry(of("norm", eps_guided()), format!("{:.2}", fields.guided_norm), Symbol::Guided);
            let angle = row([of("angle", eps_cond()), word(" to ", Symbol::Quiet), eps_uncond()]);
            entry(angle, format!("{:.1}°", c.angle_degrees), Symbol::Plain);
        }
        lines
    }

    /// The run, step by step: what the model sees, and what it looks at.
    pub(super) fn as_film(&self, cx: &LabContext<'_>, ink: &Ink) -> Vec<Figure> {
        let Some((request, frames)) = &self.frames else { return Vec::new() };
        let Settings { range, scale, .. } = cx.work.guidance;
        let columns = Grid::compact(cx.latent_channels());
        let caption = ink.caption(cx, Some(request), None);
        let film = frames.iter().filter_map(|frame| {
            let seen = Picture::new("x̂0", frame.x0_picture.clone()?, Paint::Rgb);
            let heading = ink.titled(&sym("x", Symbol::Signal).hat().with_index("0"), "what the model sees");
            let left = Panel::new("what the model sees", Body::Picture(seen))
                .heading(heading)
                .remark(Badge::Prediction.label())
                .share(PICTURE_SHARE);
            let gap = frame.eps_cond.lincomb(1.0, &frame.eps_uncond, -1.0);
            let body = ink.channels("their difference", &gap, columns, range, scale);
            let gap = Panel::new("their difference", body).heading(ink.math(&difference())).remark(format!("norm {:.1}", gap.norm()));
            let heading = ink.titled(&x_t(), "what both predictions look at");
            let x = Panel::new("what both predictions look at", ink.channels("x_t", &frame.x, columns, range, scale)).heading(heading);
            let right = Panel::new("beside", Body::Stack(vec![x, gap]));
            let now = Line {
                left: ink.math(&row([sym("t", Symbol::Plain), op("="), num(frame.timestep, 1, 0, Symbol::Plain)])),
                right: vec![ink.word(format!("step {} of {}", frame.index + 1, frame.count), Symbol::Quiet)],
                size: 17.0,
            };
            let rows = vec![Row::of([left, right]), Row::of([Panel::new("now", Body::Lines(vec![now]))])];
            Some(Figure::new("Guidance run", rows, caption.clone(), ink.inks.clone()))
        });
        film.collect()
    }
}
