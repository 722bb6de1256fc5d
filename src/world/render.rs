//! From a scene to pixels.

use super::attributes::Ground;
use super::backdrop;
use super::canvas::{Canvas, Depth, Paint, Pen, ink, plane_depth};
use super::kinds::Habitat;
use super::light::Light;
use super::outline::Affine;
use super::scene::{Scene, SceneObject};
use crate::host::HostTensor;

/// A rendered scene.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// `[3, S, S]`, sRGB-encoded, 0..1.
    pub rgb: HostTensor,
    /// `[S, S]` row-major: 0 where the backdrop shows, `i + 1` where object `i` does.
    pub segmentation: Vec<u8>,
    /// `[S, S]` row-major, 1 minus the inverse distance in units of the nearest ground: 1 in the sky, falling linearly
    /// down the ground to 0 at the lower edge; an object is as deep as where it stands.
    pub depth: Vec<f32>,
}

/// Draws a scene with the object and depth of each pixel.
///
/// # Shapes
/// `rgb: [3, side, side]`, `segmentation: [side, side]`, `depth: [side, side]`.
///
/// # Panics
/// When `side` is 0 or beyond [`super::MAX_SIDE`].
pub fn render(scene: &Scene, side: usize) -> Rendered {
    let (rgb, segmentation, depth) = draw(scene, side, true).into_parts();
    Rendered { rgb: picture(rgb, side), segmentation, depth }
}

/// Draws a scene: `[3, side, side]`, sRGB-encoded, 0..1.
///
/// # Panics
/// When `side` is 0 or beyond [`super::MAX_SIDE`].
pub fn render_rgb(scene: &Scene, side: usize) -> HostTensor {
    picture(draw(scene, side, false).into_parts().0, side)
}

fn picture(rgb: Vec<f32>, side: usize) -> HostTensor {
    match HostTensor::new([3, side, side], rgb) {
        Ok(tensor) => tensor,
        Err(error) => unreachable!("three planes were painted: {error}"),
    }
}

fn draw(scene: &Scene, side: usize, labelled: bool) -> Canvas {
    let light = Light::of(scene.time);
    let mut canvas = Canvas::new(side, labelled);
    backdrop::paint(&mut canvas, scene, &light);

    let mut order: Vec<(usize, f32)> = scene.objects.iter().enumerate().map(|(i, o)| (i, depth_of(scene, o))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (i, depth) in order {
        let object = &scene.objects[i];
        let label = u8::try_from(i + 1).unwrap_or(u8::MAX);
        draw_object(&mut canvas, scene, &light, object, label, depth);
    }
    backdrop::paint_air(&mut canvas, scene, &light);
    canvas
}

fn depth_of(scene: &Scene, object: &SceneObject) -> f32 {
    match object.kind.info().habitat {
        Habitat::Sky => 0.6,
        Habitat::Land | Habitat::Sea => plane_depth(object.y, scene.horizon),
    }
}

fn draw_object(canvas: &mut Canvas, scene: &Scene, light: &Light, object: &SceneObject, label: u8, depth: f32) {
    let info = object.kind.info();
    let (half, y) = (object.half_width(), object.y);
    // Positive: the light comes from the right.
    let side = if scene.sun[0] >= object.x { 1.0 } else { -1.0 };
    if info.habitat == Habitat::Land {
        if scene.ground == Ground::Sea {
            backdrop::islet(&mut Pen::backdrop(canvas, light, Depth::At(depth)), object.x, y, half, object.size.scale());
        }
        let long = light.shadow_length;
        let reach = half * if scene.ground == Ground::Sea { long.min(1.25) } else { long };
        let center = [object.x - side * (reach - half) * 0.75, y + 0.004];
        let (rx, ry) = (reach, 0.115 * object.size.scale());
        let (a, b) = (ink(light.shadow, light.shadow_alpha), ink(light.shadow, 0.0));
        Pen::backdrop(canvas, light, Depth::Keep).glaze(Paint::Radial { center, rx, ry, core: 0.35, a, b }, |o| {
            o.ellipse(center[0], center[1], rx, ry);
        });
    }
    let frame = Affine::standing(object.x, y, object.size.scale(), object.flip, object.tilt);
    let sun = if object.flip { -side } else { side };
    let snowy = scene.ground == Ground::Snow;
    let mut pen = Pen::backdrop(canvas, light, Depth::Keep).for_object(frame, label, depth);
    (pen.hue, pen.sun, pen.snowy) = (object.color.rgb(), sun, snowy);
    (info.draw)(&mut pen);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Color, Kind, SceneSpec, Size, Time};

    /// FNV-1a over the bits of a picture.
    fn hash(picture: &HostTensor) -> u64 {
        let bytes = picture.data().iter().flat_map(|v| v.to_bits().to_le_bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
    }

    #[test]
    fn same_seed_same_pixels_on_every_machine() {
        let hashes: Vec<u64> = (0..8).map(|seed| hash(&render_rgb(&Scene::sample(seed), 64))).collect();
        assert_eq!(hashes, PINNED, "{hashes:#018x?}");
    }

    const PINNED: [u64; 8] = [
        0xc194_4ad6_117f_2202,
        0x7e29_f0af_44c8_6caa,
        0xbc98_9fa8_cee5_93a1,
        0xd5f5_64b7_9984_4bdc,
        0x47f3_5a79_bfa9_89b1,
        0x719c_7b4a_d418_95bf,
        0x1f5a_9d3c_c695_c89b,
        0x6ecb_1567_9ffc_fec2,
    ];

    #[test]
    fn the_fast_path_draws_the_same_picture() {
        for seed in 0..40 {
            let scene = Scene::sample(seed);
            assert_eq!(render(&scene, 48).rgb, render_rgb(&scene, 48));
        }
    }

    #[test]
    fn any_side_will_do_and_values_stay_in_range() {
        for (seed, side) in [(0, 1), (1, 2), (2, 7), (3, 100), (4, 333), (5, 700)] {
            let picture = render(&Scene::sample(seed), side);
            assert_eq!(picture.rgb.shape(), [3, side, side]);
            assert_eq!((picture.segmentation.len(), picture.depth.len()), (side * side, side * side));
            assert!(picture.rgb.data().iter().chain(&picture.depth).all(|v| (0.0..=1.0).contains(v)), "side {side}");
        }
    }

    #[test]
    fn sizes_agree() {
        let scene = Scene::sample(12);
        let (small, large) = (render_rgb(&scene, 64), render_rgb(&scene, 256));
        let mut error = 0.0;
        for c in 0..3 {
            for i in 0..64 * 64 {
                let (y, x) = (i / 64, i % 64);
                let block: f32 = (0..16).map(|k| large.data()[c * 65536 + (4 * y + k / 4) * 256 + 4 * x + k % 4]).sum();
                error += (small.data()[c * 4096 + i] - block / 16.0).abs();
            }
        }
        assert!(error / (3.0 * 4096.0) < 0.01, "mean difference {}", error / (3.0 * 4096.0));
    }

    #[test]
    fn segmentation_fills_the_boxes_of_the_objects() {
        let side = 96;
        for seed in 0..600 {
            let scene = Scene::sample(seed);
            let picture = render(&scene, side);
            for (i, o) in scene.objects.iter().enumerate() {
                let [left, top, right, bottom] = o.bounds();
                let lean = 0.03 + o.tilt.abs() * o.height();
                let (mut inside, mut visible) = (0_usize, 0_usize);
                let mut reach = [1.0_f32, 1.0, 0.0, 0.0];
                for (p, _) in picture.segmentation.iter().enumerate().filter(|(_, label)| usize::from(**label) == i + 1) {
                    let (x, y) = (((p % side) as f32 + 0.5) / side as f32, ((p / side) as f32 + 0.5) / side as f32);
                    visible += 1;
                    let fits = x > left - lean && x < right + lean && y > top - 0.03 && y < bottom + 0.03;
                    inside += usize::from(fits);
                    reach = [reach[0].min(x), reach[1].min(y), reach[2].max(x), reach[3].max(y)];
                }
                assert_eq!(inside, visible, "seed {seed}: {:?} {:?} reaches {reach:?}", o.kind, o.bounds());
                let area = (right - left) * (bottom - top) * (side * side) as f32;
                assert!(visible as f32 > 0.22 * area, "seed {seed}: {:?} fills {visible} of {area}", o.kind);
                if scene.objects.len() == 1 {
                    assert!((reach[3] - bottom).abs() < 0.04 && (reach[1] - top).abs() < 0.05, "seed {seed}: {:?} {reach:?}", o.kind);
                }
            }
            assert!(picture.segmentation.iter().all(|&s| usize::from(s) <= scene.objects.len()));
        }
    }

    #[test]
    fn depth_falls_from_the_sky_to_the_lower_edge() {
        for seed in 0..60 {
            let scene = Scene::sample(seed);
            let side = 64;
            let picture = render(&scene, side);
            let free = |row: usize| (0..side).map(move |x| row * side + x).filter(|&p| picture.segmentation[p] == 0);
            assert!(free(0).all(|p| picture.depth[p] > 0.9), "seed {seed}");
            assert!(free(side - 1).all(|p| picture.depth[p] < 0.2), "seed {seed}");
        }
    }

    /// The mean colour of an object's pixels.
    fn body(kind: Kind, color: Color, time: Time) -> [f32; 3] {
        let spec = SceneSpec {
            objects: Some(1),
            kind: Some(kind),
            color: Some(color),
            time: Some(time),
            size: Some(Size::Large),
            ..Default::default()
        };
        let side = 64;
        let picture = render(&Scene::sample_with(1, spec).unwrap(), side);
        let mut sum = [0.0; 3];
        let mut n = 0.0;
        for p in (0..side * side).filter(|&p| picture.segmentation[p] == 1) {
            n += 1.0;
            (0..3).for_each(|c| sum[c] += picture.rgb.data()[c * side * side + p]);
        }
        sum.map(|v| v / n)
    }

    #[test]
    fn colours_stay_apart_at_every_time_for_every_kind() {
        for &time in Time::ALL {
            for &kind in Kind::ALL {
                for (i, &a) in Color::ALL.iter().enumerate() {
                    for &b in &Color::ALL[..i] {
                        let (p, q) = (body(kind, a, time), body(kind, b, time));
                        let d = (0..3).map(|c| (p[c] - q[c]).powi(2)).sum::<f32>().sqrt();
                        assert!(d > 0.08, "{kind:?} {a:?} {b:?} at {time:?}: {d}");
                    }
                }
            }
        }
    }
}
