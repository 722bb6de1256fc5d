//! Littleworld: small picture-book scenes with captions that are true, sampled from a seed.
//!
//! ```text
//! seed -> Scene (plain data) -> render    -> picture [3, S, S], object of each pixel, depth of each pixel
//!                            -> captions  -> sentences that name only what is there, with the Facts they state
//! ```
//!
//! Same seed, same scene, same caption, same pixels on every machine: draws come from ChaCha8 and never depend on the
//! width of `usize`; shapes are laid out with additions, multiplications, divisions and square roots alone (angles are
//! rational, no sine or exponential); tiny-skia is asked for coverage only, which it computes in fixed point.
//!
//! Pictures that are no scenes at all (leaves, textures, strokes, marks), also by seed, are painted in `generic/`: an
//! autoencoder that sees them keeps other people's pictures too.
//!
//! A new kind of object is one file in `kinds/` and one line of its table.

mod attributes;
mod backdrop;
mod canvas;
mod caption;
mod dice;
mod generic;
mod held_out;
mod kinds;
mod light;
mod outline;
mod place;
mod reading;
mod render;
mod scene;
mod twin;

pub use attributes::{Color, Ground, Relation, Size, Time};
pub use caption::{Caption, Facts, MAX_WORDS, ObjectFacts};
pub use generic::{Family, generic_rgb};
pub use held_out::HELD_OUT_PAIRS;
pub use kinds::{Habitat, Kind, KindInfo};
pub use render::{Rendered, render, render_rgb};
pub use scene::{Scene, SceneObject, SceneSpec};
pub use twin::Twin;

/// Largest side of a rendered picture, in pixels.
pub const MAX_SIDE: usize = 8192;

/// The most objects of a scene.
pub const MAX_OBJECTS: usize = 3;

/// A scene that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// More objects than a scene holds, or none.
    #[error("a scene holds 1 to {MAX_OBJECTS} objects, but {0} were asked for")]
    Objects(usize),
    /// An object that does not occur on that ground.
    #[error("a {} does not occur in scenes on the {}", .kind.label(), .ground.label())]
    Habitat {
        /// The object asked for.
        kind: Kind,
        /// The ground asked for.
        ground: Ground,
    },
}
