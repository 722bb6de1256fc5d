//! Glyphs of the face of equations as pictures in one texture, each drawn once for its size and its place between two pixels.

use super::tex;
use crate::ui::theme;
use egui::{ColorImage, Context, Pos2, Rect, TextureHandle, TextureId, TextureOptions, pos2, vec2};
use std::collections::HashMap;
use tiny_skia::{FillRule, Mask, Path, PathBuilder, Transform};
use ttf_parser::{GlyphId, OutlineBuilder};

/// Side of the texture, in pixels.
const SIDE: usize = 1024;
/// Places between two pixels that a glyph may begin at.
const BETWEEN: usize = 4;
/// Sizes are kept to this part of a pixel.
const SIZES: f32 = 4.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    id: u16,
    /// Pixels of an em, times [`SIZES`].
    size: u32,
    /// In parts of a pixel.
    between: u8,
}

/// Where a glyph's picture lies in the texture and against its origin, in pixels.
#[derive(Debug, Clone, Copy)]
struct Place {
    corner: [usize; 2],
    size: [usize; 2],
    offset: [f32; 2],
}

/// The texture and what is in it.
#[derive(Default)]
pub struct Glyphs {
    texture: Option<TextureHandle>,
    known: HashMap<Key, Option<Place>>,
    /// The next free corner, and the height of the row that is being filled.
    free: [usize; 2],
    row: usize,
}

/// A glyph to be painted: where, in points, and from which part of the texture.
pub struct Quad {
    /// On the screen.
    pub rect: Rect,
    /// In the texture, 0..1.
    pub uv: Rect,
}

impl Glyphs {
    /// The texture, once a glyph was asked for.
    pub fn texture(&self) -> Option<TextureId> {
        self.texture.as_ref().map(TextureHandle::id)
    }

    /// The glyph with its origin at `at` (points) and an em of `em` points; none where it has no outline.
    pub fn quad(&mut self, ctx: &Context, id: u16, at: Pos2, em: f32) -> Option<Quad> {
        let ppp = ctx.pixels_per_point();
        let (x, y) = (at.x * ppp, (at.y * ppp).round());
        let between = (x.fract().rem_euclid(1.0) * BETWEEN as f32).floor().min(BETWEEN as f32 - 1.0);
        let key = Key { id, size: (em * ppp * SIZES).round().clamp(1.0, 4000.0) as u32, between: between as u8 };
        let place = match self.known.get(&key) {
            Some(place) => *place,
            None => {
                let place = self.draw(ctx, key);
                self.known.insert(key, place);
                place
            }
        }?;
        let corner = pos2(x.floor() + place.offset[0], y + place.offset[1]);
        let rect = Rect::from_min_size(corner / ppp, vec2(place.size[0] as f32, place.size[1] as f32) / ppp);
        let share = |at: [usize; 2]| pos2(at[0] as f32, at[1] as f32) / SIDE as f32;
        let end = [place.corner[0] + place.size[0], place.corner[1] + place.size[1]];
        Some(Quad { rect, uv: Rect::from_min_max(share(place.corner), share(end)) })
    }

    fn draw(&mut self, ctx: &Context, key: Key) -> Option<Place> {
        let font = tex::font()?;
        let scale = key.size as f32 / SIZES / f32::from(font.units_per_em());
        let path =
            outline(key.id)?.transform(Transform::from_row(scale, 0.0, 0.0, -scale, f32::from(key.between) / BETWEEN as f32, 0.0))?;
        let bounds = path.bounds();
        let (left, top) = (bounds.left().floor() - 1.0, bounds.top().floor() - 1.0);
        let size = [(bounds.right().ceil() + 1.0 - left) as usize, (bounds.bottom().ceil() + 1.0 - top) as usize];
        if size.iter().any(|extent| *extent == 0 || *extent > SIDE) {
            return None;
        }
        let mut mask = Mask::new(size[0] as u32, size[1] as u32)?;
        mask.fill_path(&path, FillRule::Winding, true, Transform::from_translate(-left, -top));
        let image = ColorImage::new(size, mask.data().iter().map(|&share| theme::coverage(share)).collect());
        let corner = self.room(ctx, size);
        self.texture.as_mut()?.set_partial(corner, image, TextureOptions::LINEAR);
        Some(Place { corner, size, offset: [left, top] })
    }

    /// A free corner; where the texture is full, everything in it goes.
    fn room(&mut self, ctx: &Context, size: [usize; 2]) -> [usize; 2] {
        if self.free[0] + size[0] > SIDE {
            self.free = [0, self.free[1] + self.row];
            self.row = 0;
        }
        if self.texture.is_none() || self.free[1] + size[1] > SIDE {
            let empty = ColorImage::filled([SIDE, SIDE], theme::NO_INK);
            self.texture = Some(ctx.load_texture("glyphs of equations", empty, TextureOptions::LINEAR));
            self.known.clear();
            (self.free, self.row) = ([0, 0], 0);
        }
        let corner = self.free;
        self.free[0] += size[0];
        self.row = self.row.max(size[1]);
        corner
    }
}

/// A glyph's outline in units of the face, upwards.
fn outline(id: u16) -> Option<Path> {
    struct Pen(PathBuilder);
    impl OutlineBuilder for Pen {
        fn move_to(&mut self, x: f32, y: f32) {
            self.0.move_to(x, y);
        }
        fn line_to(&mut self, x: f32, y: f32) {
            self.0.line_to(x, y);
        }
        fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
            self.0.quad_to(x1, y1, x, y);
        }
        fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
            self.0.cubic_to(x1, y1, x2, y2, x, y);
        }
        fn close(&mut self) {
            self.0.close();
        }
    }
    let mut pen = Pen(PathBuilder::new());
    tex::font()?.face().outline_glyph(GlyphId(id), &mut pen)?;
    pen.0.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_glyph_is_drawn_once_and_a_full_texture_begins_anew() {
        let ctx = Context::default();
        let mut out = ctx.run_ui(egui::RawInput::default(), |ui| {
            let ctx = ui.ctx();
            let mut glyphs = Glyphs::default();
            let id = tex::set("x").expect("sets").glyphs[0].id;
            let first = glyphs.quad(ctx, id, pos2(10.0, 20.0), 24.0).expect("has an outline");
            assert!(first.rect.width() > 5.0 && first.rect.bottom() > 19.0 && first.rect.top() < 12.0, "{:?}", first.rect);
            assert_eq!(glyphs.known.len(), 1);
            let again = glyphs.quad(ctx, id, pos2(30.0, 20.0), 24.0).expect("is known");
            assert_eq!((glyphs.known.len(), again.uv), (1, first.uv));
            for size in 1..400 {
                assert!(glyphs.quad(ctx, id, pos2(0.5, 0.0), size as f32).is_some(), "{size}");
            }
            assert!(glyphs.known.len() < 400, "the texture began anew");
        });
        out.textures_delta.clear();
    }
}
