//! `diffuscope gallery`: every lab as a picture, drawn off screen with the tensors of the real model.

use super::offscreen::Offscreen;
use super::options::{Level, ModelArgs, Theme, WindowArgs};
use super::stage::{Player, Window};
use super::{interrupt, output};
use crate::figure;
use crate::pipeline::Pipeline;
use anyhow::{Context, Result, bail, ensure};
use std::path::PathBuf;
use std::time::Duration;

/// Render every lab to a PNG file
///
/// Draws the program's labs off screen, with real tensors of the model, and writes one file per lab, named by the lab's id.
/// The paths are printed. A graphics adapter is needed; one in software will do.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  \
    diffuscope gallery --out gallery\n  \
    diffuscope gallery --out gallery --size 1100x700 --theme light --lab guidance\n  \
    diffuscope gallery --out gallery --level operation")]
pub struct GalleryArgs {
    /// Folder for the files; it is made where it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Size of the window in points
    #[arg(long, value_name = "WxH", default_value = "1600x1000", value_parser = parse_size)]
    size: [u32; 2],
    /// Pixels per point
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    scale: f32,
    /// Colours
    #[arg(long, value_enum, default_value_t = Theme::Dark)]
    theme: Theme,
    /// How near each lab is looked at
    #[arg(long, value_enum, default_value_t = Level::Overview)]
    level: Level,
    /// This lab alone
    #[arg(long, value_name = "ID")]
    lab: Option<String>,
    /// Seed of the starting noise
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Longest wait for the pictures of one lab, in seconds
    #[arg(long, value_name = "SECS", default_value_t = 120)]
    wait: u64,
    #[command(flatten)]
    model: ModelArgs,
}

/// Width and height, each between 100 and 8192.
fn parse_size(text: &str) -> Result<[u32; 2], String> {
    let side = |text: &str| text.trim().parse::<u32>().ok().filter(|side| (100..=super::offscreen::MAX_SIDE).contains(side));
    let size = text.split_once(['x', 'X']).and_then(|(width, height)| Some([side(width)?, side(height)?]));
    size.ok_or_else(|| format!("expected WIDTHxHEIGHT with 100 to {} a side, as 1600x1000", super::offscreen::MAX_SIDE))
}

/// Renders the labs.
///
/// # Errors
/// No adapter, no such lab, a model that cannot be opened, a folder that cannot be written.
pub fn run(args: &GalleryArgs, window: &Window) -> Result<()> {
    ensure!((0.5..=4.0).contains(&args.scale), "--scale must be between 0.5 and 4, not {}", args.scale);
    let labs: Vec<_> = window.labs.iter().filter(|lab| args.lab.as_deref().is_none_or(|id| id == lab.id)).collect();
    if labs.is_empty() {
        let known: Vec<_> = window.labs.iter().map(|lab| lab.id).collect();
        bail!("there is no lab \"{}\"; there are {}", args.lab.as_deref().unwrap_or_default(), known.join(", "));
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    interrupt::listen();
    // A model that cannot be opened is told here, with its reasons, rather than found missing in the window.
    drop(Pipeline::load(&args.model.source(), args.model.device())?);
    let offscreen = Offscreen::new()?;
    log::info!("drawing on {}", offscreen.adapter());

    let pixels = args.size.map(|side| (side as f32 * args.scale).round() as u32);
    let points = eframe::egui::vec2(args.size[0] as f32, args.size[1] as f32);
    let options = WindowArgs { model: args.model.clone(), lab: Some(labs[0].id.to_owned()), theme: Some(args.theme), seed: args.seed };
    let mut player = Player::open(window, &options, points, args.scale);
    let bar = output::progress(labs.len() as u64, "labs");
    for lab in labs {
        bar.set_message(lab.label);
        player.show_lab(lab.id);
        player.pose();
        player.look(args.level);
        player
            .settle(Duration::from_secs(args.wait), |mut output| offscreen.take_textures(&mut output))
            .with_context(|| format!("cannot draw the lab \"{}\"", lab.label))?;
        let mut output = player.frame();
        offscreen.take_textures(&mut output);
        let rgba = offscreen.draw(&player.ctx, &output, pixels)?;
        let path = args.out.join(format!("{}.png", lab.id));
        figure::write_rgba(&path, pixels[0], pixels[1], &rgba)?;
        bar.suspend(|| output::print(&path.display().to_string()))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_nonsense_is_refused() {
        assert_eq!(parse_size("1600x1000"), Ok([1600, 1000]));
        for nonsense in ["1600", "x", "0x0", "99x700", "9000x700", "-1x5", "1600x1000x3", ""] {
            assert!(parse_size(nonsense).is_err(), "{nonsense}");
        }
    }
}
