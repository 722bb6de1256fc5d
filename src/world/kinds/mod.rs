//! The kinds of objects: one file each, one line each in the table below.

use super::canvas::Pen;
use serde::{Deserialize, Serialize};

/// Where a kind occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Habitat {
    /// On land; at sea on an islet.
    Land,
    /// On the water.
    Sea,
    /// In the air.
    Sky,
}

/// What is known of a kind.
pub struct KindInfo {
    /// Its canonical name.
    pub label: &'static str,
    /// Other names, each of which is true of every one of the kind.
    pub synonyms: &'static [&'static str],
    /// Where it occurs.
    pub habitat: Habitat,
    /// Half of its width, in units of its size.
    pub half_width: f32,
    /// Its height, in units of its size.
    pub height: f32,
    /// Whether it may lean a little.
    pub tilts: bool,
    /// Draws it with its base at the origin, y up, in units of its size.
    pub(super) draw: fn(&mut Pen),
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident in $module:ident;)*) => {
        $(mod $module;)*

        /// What an object is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind { $($(#[$doc])* $name,)* }

        impl Kind {
            /// Every kind, in the order of the labels used by classifiers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What is known of the kind.
            pub fn info(self) -> &'static KindInfo {
                match self { $(Self::$name => &$module::INFO,)* }
            }
        }
    };
}

kinds! {
    /// A house.
    House in house;
    /// A castle.
    Castle in castle;
    /// A lighthouse.
    Lighthouse in lighthouse;
    /// A windmill.
    Windmill in windmill;
    /// A tent.
    Tent in tent;
    /// A pine.
    Pine in pine;
    /// A round tree.
    Tree in tree;
    /// A mushroom.
    Mushroom in mushroom;
    /// A sailing boat.
    Boat in boat;
    /// A whale.
    Whale in whale;
    /// A hot-air balloon.
    Balloon in balloon;
    /// A rocket.
    Rocket in rocket;
}

impl Kind {
    /// The canonical name.
    pub fn label(self) -> &'static str {
        self.info().label
    }

    /// Position in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The kinds that occur in a habitat.
    pub fn of(habitat: Habitat) -> impl Iterator<Item = Self> + Clone {
        Self::ALL.iter().copied().filter(move |kind| kind.info().habitat == habitat)
    }
}
