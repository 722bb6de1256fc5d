//! Tensors as textures: each is uploaded once, when it changes.

use crate::host::HostTensor;
use crate::ui::theme::{self, Theme, ThemeChoice};
use egui::{ColorImage, Context, TextureHandle, TextureId, TextureOptions};
use std::collections::HashMap;

/// How numbers become colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mapping {
    /// `[3, H, W]` in 0..1, as it is.
    Rgb,
    /// `[3, H, W]` around zero: -1 is black, 0 mid grey, 1 white.
    SignedRgb,
    /// One channel of `[1, C, H, W]` on the diverging scale from `-range` to `range`.
    Heat {
        /// Which channel.
        channel: usize,
        /// Largest value shown without clipping.
        range: f32,
        /// How values spread over the scale.
        scale: Scale,
    },
}

/// How values spread over a diverging scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// In proportion.
    #[default]
    Linear,
    /// By the square root, with the sign kept: small values become visible beside large ones.
    Root,
}

impl Scale {
    /// Place on the scale, -1..1, of a value divided by the range.
    pub fn place(self, value: f32) -> f32 {
        match self {
            Self::Linear => value,
            Self::Root => value.signum() * value.abs().sqrt(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Key {
    tensor: HostTensorKey,
    mapping: Mapping,
    theme: Option<ThemeChoice>,
    smooth: bool,
}

/// A tensor held alive and compared by the place of its data, so that equality costs nothing.
#[derive(Debug, Clone)]
struct HostTensorKey(HostTensor);

impl PartialEq for HostTensorKey {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0.data(), other.0.data()) && self.0.shape() == other.0.shape()
    }
}

/// The textures in use, each in a slot with a name.
#[derive(Default)]
pub struct Textures {
    slots: HashMap<egui::Id, (Key, TextureHandle)>,
    uploads: u64,
}

impl Textures {
    /// The texture of `tensor` in `slot`; uploads it if it is another one than last time.
    pub fn get(
        &mut self,
        ctx: &Context,
        theme: &Theme,
        slot: impl std::hash::Hash + std::fmt::Debug,
        tensor: &HostTensor,
        mapping: Mapping,
        smooth: bool,
    ) -> TextureId {
        let theme_key = matches!(mapping, Mapping::Heat { .. }).then_some(theme.choice);
        let key = Key { tensor: HostTensorKey(tensor.clone()), mapping, theme: theme_key, smooth };
        let id = egui::Id::unique(slot);
        if let Some((old, handle)) = self.slots.get_mut(&id) {
            if *old != key {
                handle.set(image_of(tensor, mapping, theme), options(smooth));
                *old = key;
                self.uploads += 1;
            }
            return handle.id();
        }
        let handle = ctx.load_texture(format!("{id:?}"), image_of(tensor, mapping, theme), options(smooth));
        let texture = handle.id();
        self.uploads += 1;
        self.slots.insert(id, (key, handle));
        texture
    }

    /// How many uploads there have been.
    pub fn uploads(&self) -> u64 {
        self.uploads
    }
}

fn options(smooth: bool) -> TextureOptions {
    if smooth { TextureOptions::LINEAR } else { TextureOptions { magnification: egui::TextureFilter::Nearest, ..TextureOptions::LINEAR } }
}

/// The picture of a tensor.
///
/// # Shapes
/// `[3, H, W]` or `[1, 3, H, W]` for colour, `[1, C, H, W]` or `[C, H, W]` for heat maps.
pub fn image_of(tensor: &HostTensor, mapping: Mapping, theme: &Theme) -> ColorImage {
    let shape = tensor.shape();
    let [.., channels, height, width] = *shape else {
        return ColorImage::filled([1, 1], theme.palette().danger);
    };
    let plane = height * width;
    let data = tensor.data();
    let pixels = match mapping {
        Mapping::Rgb | Mapping::SignedRgb => {
            if channels < 3 {
                return ColorImage::filled([1, 1], theme.palette().danger);
            }
            let (scale, shift) = if mapping == Mapping::Rgb { (1.0, 0.0) } else { (0.5, 0.5) };
            (0..plane)
                .map(|i| theme::pixel(data[i] * scale + shift, data[plane + i] * scale + shift, data[2 * plane + i] * scale + shift))
                .collect()
        }
        Mapping::Heat { channel, range, scale } => {
            if channel >= channels || range <= 0.0 {
                return ColorImage::filled([1, 1], theme.palette().danger);
            }
            let palette = theme.palette();
            data[channel * plane..(channel + 1) * plane].iter().map(|v| palette.diverging(scale.place(v / range))).collect()
        }
    };
    ColorImage::new([width, height], pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_only_what_changed() {
        let ctx = Context::default();
        let theme = Theme { choice: ThemeChoice::Dark, scale: 1.0 };
        let mut textures = Textures::default();
        let a = HostTensor::full([3, 4, 4], 0.5);
        let b = HostTensor::full([3, 4, 4], 0.5);
        for _ in 0..3 {
            textures.get(&ctx, &theme, "x", &a.clone(), Mapping::Rgb, false);
        }
        assert_eq!(textures.uploads(), 1);
        textures.get(&ctx, &theme, "x", &b, Mapping::Rgb, false);
        textures.get(&ctx, &theme, "x", &b, Mapping::SignedRgb, false);
        assert_eq!(textures.uploads(), 3);
    }

    #[test]
    fn odd_tensors_become_a_mark_not_a_panic() {
        let theme = Theme { choice: ThemeChoice::Dark, scale: 1.0 };
        for (tensor, mapping) in [
            (HostTensor::full([5], 0.0), Mapping::Rgb),
            (HostTensor::full([1, 4, 4], 0.0), Mapping::Rgb),
            (HostTensor::full([1, 4, 2, 2], 0.0), Mapping::Heat { channel: 4, range: 1.0, scale: Scale::Linear }),
            (HostTensor::full([1, 4, 2, 2], 0.0), Mapping::Heat { channel: 0, range: 0.0, scale: Scale::Root }),
        ] {
            assert_eq!(image_of(&tensor, mapping, &theme).size, [1, 1]);
        }
        let nan = HostTensor::full([1, 4, 2, 2], f32::NAN);
        assert_eq!(image_of(&nan, Mapping::Heat { channel: 0, range: 1.0, scale: Scale::Root }, &theme).pixels[0], theme.palette().danger);
    }

    #[test]
    fn scales_keep_sign_and_ends() {
        for scale in [Scale::Linear, Scale::Root] {
            for value in [-1.0, 0.0, 1.0] {
                assert_eq!(scale.place(value), value);
            }
            assert_eq!(scale.place(-0.25), -scale.place(0.25));
        }
        assert_eq!(Scale::Root.place(0.25), 0.5);
    }
}
