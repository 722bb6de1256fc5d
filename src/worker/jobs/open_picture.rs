//! Making a picture ready: read or drawn, encoded, and decoded again to see what the autoencoder keeps.

use super::{Desk, JobError};
use crate::figure::{State, StateError};
use crate::host::HostTensor;
use crate::worker::picture::{self, Opened};
use crate::worker::protocol::{Event, Picture, PictureSource};
use std::sync::Arc;

pub(super) fn run(desk: &Desk, source: &PictureSource) -> Result<(), JobError> {
    const PARTS: usize = 3;
    // A figure of our own brings its lab back. What cannot be looked at is told as a picture that cannot be opened.
    if let PictureSource::File(path) = source
        && let Some(state) = State::of_file(path).or_else(unreadable)?
    {
        return desk.answer(Event::StateRead { job: desk.job.id, state: Arc::new(state) });
    }
    let pipeline = desk.room.pipeline()?;
    desk.progress(0, PARTS);
    let Opened { name, caption, pixels } = picture::open(source, pipeline.card().picture_side)?;
    desk.progress(1, PARTS);
    desk.breathe()?;
    let latents = pipeline.encode_picture(&pixels)?;
    desk.progress(2, PARTS);
    desk.breathe()?;
    let reconstruction = pipeline.decode(&latents)?;
    let reconstruction_psnr_db = psnr_db(&pixels, &reconstruction);
    let picture = Arc::new(Picture { name, caption, pixels, latents, reconstruction, reconstruction_psnr_db });
    desk.answer(Event::PictureReady { job: desk.job.id, picture })
}

/// A file that cannot be read at all is no matter of its state.
fn unreadable(error: StateError) -> Result<Option<State>, StateError> {
    if let StateError::Read { .. } = error { Ok(None) } else { Err(error) }
}

/// Peak signal-to-noise ratio `-10 log10(mean((a - b)^2))` in dB of values in 0..1; infinite for equal pictures.
fn psnr_db(a: &HostTensor, b: &HostTensor) -> f64 {
    let difference = a.lincomb(1.0, b, -1.0);
    -10.0 * (difference.dot(&difference) / difference.len().max(1) as f64).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn psnr_of_a_tenth_everywhere_is_20_db() {
        let psnr = psnr_db(&HostTensor::full([3, 2, 2], 0.5), &HostTensor::full([3, 2, 2], 0.6));
        assert!((psnr - 20.0).abs() < 1e-4, "{psnr}");
        assert_eq!(psnr_db(&HostTensor::full([3], 0.5), &HostTensor::full([3], 0.5)), f64::INFINITY);
    }
}
