//! What can be said of a scene: time, ground, colour, size, relation.

use serde::{Deserialize, Serialize};

macro_rules! attribute {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every value, in the order of the labels used by classifiers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The canonical word.
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }

            /// Position in [`Self::ALL`].
            pub fn index(self) -> usize {
                self as usize
            }
        }
    };
}

attribute! {
    /// Time of day: decides the sky and the light on everything.
    Time {
        /// Blue sky, sun high.
        Day = "day",
        /// Violet to gold sky, sun at the horizon, long warm light.
        Sunset = "sunset",
        /// Dark blue sky, moon and stars, lit windows.
        Night = "night",
    }
}

attribute! {
    /// What the land is.
    Ground {
        /// Green hills with flowers.
        Meadow = "meadow",
        /// Water with waves; what stands on land stands on an islet.
        Sea = "sea",
        /// Dunes with cacti.
        Desert = "desert",
        /// Snowy hills, often with snow falling.
        Snow = "snow",
    }
}

attribute! {
    /// Colour of an object's main body.
    Color {
        /// Red.
        Red = "red",
        /// Orange.
        Orange = "orange",
        /// Yellow.
        Yellow = "yellow",
        /// Green.
        Green = "green",
        /// Blue.
        Blue = "blue",
        /// Purple.
        Purple = "purple",
        /// Pink.
        Pink = "pink",
        /// White.
        White = "white",
    }
}

attribute! {
    /// Size of an object.
    Size {
        /// About 0.29 of the picture's height.
        Small = "small",
        /// About 0.44 of the picture's height.
        Large = "big",
    }
}

attribute! {
    /// Where one object is, seen from another.
    Relation {
        /// The first is left of the second.
        Left = "left of",
        /// The first is right of the second.
        Right = "right of",
        /// The first is above the second.
        Above = "above",
        /// The first is below the second.
        Below = "below",
    }
}

impl Size {
    /// Nominal height of an object as a fraction of the picture's height.
    pub fn scale(self) -> f32 {
        match self {
            Self::Small => 0.29,
            Self::Large => 0.44,
        }
    }
}

impl Relation {
    /// The same fact told from the other object.
    pub fn inverse(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
            Self::Above => Self::Below,
            Self::Below => Self::Above,
        }
    }
}

impl Color {
    /// The paint under white light, sRGB in 0..1.
    pub fn rgb(self) -> [f32; 3] {
        match self {
            Self::Red => [0.89, 0.17, 0.19],
            Self::Orange => [0.98, 0.53, 0.08],
            Self::Yellow => [1.0, 0.84, 0.17],
            Self::Green => [0.20, 0.67, 0.28],
            Self::Blue => [0.14, 0.42, 0.90],
            Self::Purple => [0.51, 0.23, 0.74],
            Self::Pink => [1.0, 0.54, 0.75],
            Self::White => [0.98, 0.97, 0.95],
        }
    }
}
