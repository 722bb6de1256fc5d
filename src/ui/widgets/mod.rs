//! Widgets that the labs share. None of them knows of the worker; each takes plain values and a [`Theme`](super::theme::Theme).

pub mod channels;
pub mod controls;
pub mod icons;
pub mod log_plot;
pub mod math;
pub mod meaning;
pub mod scrubber;
pub mod slider;
pub mod textures;
pub mod tile;
pub mod track;
