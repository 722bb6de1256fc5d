//! The window: labs, one clock, and the widgets they share.
//!
//! The ui thread never waits: it sends a [`Command`](crate::worker::protocol::Command), goes on drawing, and picks up
//! [`Event`](crate::worker::protocol::Event)s when they come. It does no model work and opens no file. A lab is one file in
//! `labs/` and one line in [`labs::LABS`]; colours are made in [`theme`] alone.

mod app;
mod background;
mod chrome;
mod clock;
mod device_choice;
mod dialogs;
pub mod export;
pub mod labs;
mod layout;
mod learning;
mod loss;
mod notices;
mod race;
mod run;
mod session;
mod settings;
mod shortcuts;
pub mod theme;
pub mod widgets;

pub use app::{App, Options, SETTINGS_KEY};
pub use background::{Strip, StripPicture, Sweep};
pub use clock::{Clock, Direction};
pub use learning::Learning;
pub use loss::Loss;
pub use race::{Lane, Race};
pub use session::{Backend, Run, Session};
pub use settings::{Settings, Work};
pub use theme::ThemeChoice;
