//! The card that draws the window, when it is lost: taken out, reset by its driver, or gone with an update of it.
//!
//! A window cannot be drawn by another card than it was opened with. So it closes as by its button, or the libraries that draw
//! give up with a panic; whoever opened it opens it anew with the settings that were kept, and the same seed gives the same
//! pictures. The card that computes is watched elsewhere, and is told of in the window (`compute::wgpu`).

use eframe::egui_wgpu::{RenderState, wgpu};
use egui::{Context, ViewportCommand};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long a device may take to say what has become of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of a loss. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Loss(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The device, and its queue, without which it does not tell that it has nothing more to do.
    drawing: OnceLock<(wgpu::Device, wgpu::Queue)>,
    why: OnceLock<String>,
}

impl Loss {
    /// Watches the device that draws the window of `ctx`. From now on its errors are logged, and do not end the program.
    pub fn watch(&self, drawing: &RenderState, ctx: &Context) {
        // The device holds what it calls, and must not hold itself.
        let (known, ctx) = (Arc::downgrade(&self.0), ctx.clone());
        self.0.drawing.get_or_init(|| (drawing.device.clone(), drawing.queue.clone()));
        drawing.device.on_uncaptured_error(Arc::new(|error| log::error!("the window cannot be drawn: {error}")));
        drawing.device.set_device_lost_callback(move |_, message| {
            if let Some(known) = known.upgrade() {
                Self(known).tell(&message, &ctx);
            }
        });
    }

    fn tell(&self, message: &str, ctx: &Context) {
        let why = if message.is_empty() { "it was given up" } else { message };
        self.0.why.get_or_init(|| why.to_owned());
        ctx.send_viewport_cmd(ViewportCommand::Close);
        ctx.request_repaint();
    }

    /// Why the card was lost, if it was. The device is asked, since those who draw may have given up before it said a word.
    pub fn told(&self) -> Option<&str> {
        if let Some((device, _)) = self.0.drawing.get() {
            let wait = wgpu::PollType::Wait { submission_index: None, timeout: Some(PATIENCE) };
            // A loss that is learned of here is told, and then panics.
            catch_unwind(AssertUnwindSafe(|| device.poll(wait))).ok();
        }
        self.0.why.get().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui_kittest::wgpu::{create_render_state, default_wgpu_setup};

    #[test]
    fn a_lost_card_is_told_of_and_closes_the_window() {
        let (drawing, ctx) = (create_render_state(default_wgpu_setup(), Default::default()), Context::default());
        let loss = Loss::default();
        assert_eq!(loss.told(), None);
        loss.watch(&drawing, &ctx);
        assert_eq!(loss.told(), None);
        drawing.device.destroy();
        // Those who draw give up, and let go of what they hold.
        drop(drawing);
        assert_eq!(loss.told(), Some("it was given up"));
        let output = ctx.run_ui(egui::RawInput::default(), |_| {});
        let commands = &output.viewport_output[&egui::ViewportId::ROOT].commands;
        assert!(commands.contains(&ViewportCommand::Close), "{commands:?}");
    }

    #[test]
    fn what_the_driver_says_first_stays() {
        let (loss, ctx) = (Loss::default(), Context::default());
        loss.tell("device removed", &ctx);
        loss.tell("", &ctx);
        assert_eq!(loss.told(), Some("device removed"));
    }
}
