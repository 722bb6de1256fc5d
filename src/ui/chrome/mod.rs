//! What surrounds a lab: the rail, the top bar, the clock, the help.

pub mod clock_bar;
pub mod help;
mod model_chip;
pub mod rail;
pub mod top_bar;
