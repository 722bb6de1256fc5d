//! What stands behind the objects: sky, mountains, ground, and what falls through the air.

mod ground;
mod sky;

use super::canvas::{Canvas, Depth, Pen, ink};
use super::dice::Dice;
use super::light::Light;
use super::scene::Scene;

pub(super) use ground::islet;

/// Sky, mountains, ground.
pub(super) fn paint(canvas: &mut Canvas, scene: &Scene, light: &Light) {
    canvas.rows(|y| light.sky_at(y, scene.horizon));
    let mut dice = Dice::new(scene.detail);
    let mut pen = Pen::backdrop(canvas, light, Depth::Keep);
    sky::paint(&mut pen, scene, &mut dice);
    if scene.mountains {
        sky::mountains(&mut pen, scene, &mut dice);
    }
    ground::paint(&mut pen, scene, &mut dice);
}

/// Falling snow, before everything.
pub(super) fn paint_air(canvas: &mut Canvas, scene: &Scene, light: &Light) {
    if !scene.snowfall {
        return;
    }
    let mut dice = Dice::new(scene.detail ^ 0x5eed);
    let mut pen = Pen::backdrop(canvas, light, Depth::Keep);
    // One flake to a cell of a 4 by 4 grid: scattered, yet even.
    for cell in 0..16 {
        let (column, row) = ((cell % 4) as f32, (cell / 4) as f32);
        let (x, y) = (0.25 * (column + dice.range(0.1, 0.9)), 0.25 * (row + dice.range(0.1, 0.9)));
        let r = dice.range(0.009, 0.014);
        pen.glaze(ink([1.0; 3], 0.9), |o| {
            o.circle(x, y, r);
        });
    }
}
