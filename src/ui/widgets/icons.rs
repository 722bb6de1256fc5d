//! Icons drawn by the painter: sharp at any size, in the colour of the text beside them.

use egui::{Color32, Painter, Pos2, Rect, Shape, Stroke, Vec2, pos2};
use std::f32::consts::TAU;

/// What an icon shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each name says what is drawn")]
pub enum Icon {
    Play,
    Pause,
    StepLeft,
    StepRight,
    ToStart,
    ToEnd,
    Loop,
    Dice,
    Undo,
    Redo,
    Reset,
    Save,
    View,
    Help,
    Close,
    Open,
    ForwardReverse,
    Schedules,
    Guidance,
    Samplers,
    Targets,
    Overview,
    Operation,
    Numbers,
}

fn arc(center: Pos2, radius: f32, from: f32, to: f32) -> Vec<Pos2> {
    (0..=28).map(|i| from + (to - from) * i as f32 / 28.0).map(|a| center + radius * Vec2::angled(a)).collect()
}

/// Paints `icon` into the square in the middle of `rect`.
pub fn paint(painter: &Painter, rect: Rect, icon: Icon, color: Color32) {
    let half = rect.width().min(rect.height()) * 0.5;
    let centre = rect.center();
    let at = |x: f32, y: f32| pos2(centre.x + x * half, centre.y + y * half);
    let stroke = Stroke::new((half * 0.16).max(1.25), color);
    let line = |points: Vec<Pos2>| painter.add(Shape::line(points, stroke));
    let fill = |points: Vec<Pos2>| painter.add(Shape::convex_polygon(points, color, Stroke::NONE));
    let dot = |x: f32, y: f32, r: f32| painter.circle_filled(at(x, y), r * half, color);
    let head = |tip: Pos2, angle: f32| {
        let size = half * 0.42;
        line(vec![tip + size * Vec2::angled(angle + 2.5), tip, tip + size * Vec2::angled(angle - 2.5)]);
    };
    match icon {
        Icon::Play => {
            fill(vec![at(-0.5, -0.72), at(0.75, 0.0), at(-0.5, 0.72)]);
        }
        Icon::Pause => {
            for x in [-0.55, 0.17] {
                painter.rect_filled(Rect::from_two_pos(at(x, -0.68), at(x + 0.38, 0.68)), half * 0.08, color);
            }
        }
        Icon::StepLeft => {
            fill(vec![at(0.55, -0.6), at(0.55, 0.6), at(-0.4, 0.0)]);
            line(vec![at(-0.6, -0.6), at(-0.6, 0.6)]);
        }
        Icon::StepRight => {
            fill(vec![at(-0.55, -0.6), at(0.4, 0.0), at(-0.55, 0.6)]);
            line(vec![at(0.6, -0.6), at(0.6, 0.6)]);
        }
        Icon::ToStart => {
            for x in [-0.55, 0.15] {
                fill(vec![at(x + 0.65, -0.55), at(x + 0.65, 0.55), at(x, 0.0)]);
            }
            line(vec![at(-0.72, -0.58), at(-0.72, 0.58)]);
        }
        Icon::ToEnd => {
            for x in [-0.8, -0.1] {
                fill(vec![at(x, -0.55), at(x + 0.65, 0.0), at(x, 0.55)]);
            }
            line(vec![at(0.72, -0.58), at(0.72, 0.58)]);
        }
        Icon::Loop => {
            line(vec![at(-0.75, 0.05), at(-0.75, -0.15), at(-0.5, -0.42), at(0.7, -0.42)]);
            line(vec![at(0.75, -0.05), at(0.75, 0.15), at(0.5, 0.42), at(-0.7, 0.42)]);
            head(at(0.8, -0.42), 0.0);
            head(at(-0.8, 0.42), TAU / 2.0);
        }
        Icon::Dice => {
            painter.rect_stroke(Rect::from_two_pos(at(-0.72, -0.72), at(0.72, 0.72)), half * 0.25, stroke, egui::StrokeKind::Middle);
            for (x, y) in [(-0.34, -0.34), (0.34, -0.34), (0.0, 0.0), (-0.34, 0.34), (0.34, 0.34)] {
                dot(x, y, 0.13);
            }
        }
        Icon::Undo => {
            let mut points = vec![at(-0.62, -0.3), at(0.15, -0.3)];
            points.extend(arc(at(0.15, 0.17), half * 0.47, -TAU / 4.0, TAU / 4.0));
            points.push(at(-0.35, 0.64));
            line(points);
            head(at(-0.72, -0.3), TAU / 2.0);
        }
        Icon::Redo => {
            let mut points = vec![at(0.62, -0.3), at(-0.15, -0.3)];
            points.extend(arc(at(-0.15, 0.17), half * 0.47, -TAU / 4.0, -TAU * 0.75));
            points.push(at(0.35, 0.64));
            line(points);
            head(at(0.72, -0.3), 0.0);
        }
        Icon::Reset => {
            line(arc(centre, half * 0.66, -TAU * 0.18, TAU * 0.7));
            let end = centre + half * 0.66 * Vec2::angled(-TAU * 0.18);
            head(end + Vec2::new(-0.04, -0.08) * half, -TAU * 0.40);
        }
        Icon::Save => {
            line(vec![at(0.0, -0.8), at(0.0, 0.25)]);
            line(vec![at(-0.4, -0.12), at(0.0, 0.28), at(0.4, -0.12)]);
            line(vec![at(-0.75, 0.3), at(-0.75, 0.72), at(0.75, 0.72), at(0.75, 0.3)]);
        }
        Icon::View => {
            for (y, knob) in [(-0.5, 0.3), (0.0, -0.35), (0.5, 0.1)] {
                line(vec![at(-0.8, y), at(0.8, y)]);
                dot(knob, y, 0.2);
            }
        }
        Icon::Help => {
            let mut points = arc(at(0.0, -0.34), half * 0.38, TAU * 0.52, TAU * 1.08);
            points.extend([at(0.05, 0.08), at(0.0, 0.3)]);
            line(points);
            dot(0.0, 0.66, 0.13);
        }
        Icon::Close => {
            line(vec![at(-0.5, -0.5), at(0.5, 0.5)]);
            line(vec![at(-0.5, 0.5), at(0.5, -0.5)]);
        }
        Icon::Open => {
            line(vec![at(-0.8, 0.6), at(-0.8, -0.6), at(-0.25, -0.6), at(-0.05, -0.35), at(0.8, -0.35), at(0.8, 0.6), at(-0.8, 0.6)]);
        }
        Icon::ForwardReverse => forward_reverse(painter, rect, color),
        Icon::Schedules => {
            line(vec![at(-0.85, -0.8), at(-0.85, 0.8), at(0.85, 0.8)]);
            line((0..=20).map(|i| i as f32 / 20.0).map(|t| at(-0.62 + 1.4 * t, 0.55 - 1.2 * (TAU * 0.25 * t).cos().powi(2))).collect());
        }
        Icon::Guidance => {
            line(vec![at(-0.75, 0.75), at(-0.25, -0.7)]);
            head(at(-0.25, -0.75), -TAU * 0.2);
            line(vec![at(-0.75, 0.75), at(0.7, -0.2)]);
            head(at(0.78, -0.25), -TAU * 0.09);
        }
        Icon::Samplers => {
            // Ways from one point to one side.
            for (bend, end) in [(-0.95, -0.6), (0.0, 0.0), (0.95, 0.6)] {
                let way = (0..=16).map(|i| i as f32 / 16.0).map(|s| at(-0.75 + 1.5 * s, bend * s * (1.0 - s) * 1.2 + end * s * s));
                line(way.collect());
                dot(0.75, end, 0.17);
            }
            dot(-0.75, 0.0, 0.17);
        }
        Icon::Targets => {
            // One thing told in three ways.
            let corners = [at(0.0, -0.72), at(0.75, 0.6), at(-0.75, 0.6)];
            line(vec![corners[0], corners[1], corners[2], corners[0]]);
            for corner in corners {
                painter.circle_filled(corner, 0.2 * half, color);
            }
        }
        Icon::Overview => {
            for (x, y) in [(-0.8, -0.8), (0.12, -0.8), (-0.8, 0.12), (0.12, 0.12)] {
                painter.rect_stroke(Rect::from_two_pos(at(x, y), at(x + 0.68, y + 0.68)), 1.0, stroke, egui::StrokeKind::Middle);
            }
        }
        Icon::Operation => {
            line(vec![at(-0.85, -0.35), at(-0.05, -0.35)]);
            line(vec![at(-0.45, -0.75), at(-0.45, 0.05)]);
            for y in [0.3, 0.7] {
                line(vec![at(0.05, y), at(0.85, y)]);
            }
        }
        Icon::Numbers => {
            line(vec![at(-0.75, -0.45), at(-0.45, -0.7), at(-0.45, 0.7)]);
            painter.rect_stroke(Rect::from_two_pos(at(0.05, -0.7), at(0.7, 0.7)), half * 0.3, stroke, egui::StrokeKind::Middle);
        }
    }
}

/// A disc that dissolves into dots from left to right.
fn forward_reverse(painter: &Painter, rect: Rect, color: Color32) {
    let half = rect.width().min(rect.height()) * 0.5;
    let centre = rect.center();
    for (column, x) in (0..6).map(|i| (i, -0.75 + 0.3 * i as f32)) {
        for (row, y) in (0..6).map(|i| (i, -0.75 + 0.3 * i as f32)) {
            let inside = x * x + y * y < 0.72;
            let scattered = (column * 7 + row * 5 + column * row) % 3 == 0;
            let (show, radius) = if column < 3 { (inside, 0.17) } else { (scattered, 0.10) };
            if show {
                painter.circle_filled(centre + half * Vec2::new(x, y), radius * half, color);
            }
        }
    }
}
