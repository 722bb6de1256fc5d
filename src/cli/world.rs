//! `diffuscope world`: a sheet of Littleworld scenes, or a folder of pictures with captions.

use super::interrupt;
use crate::figure::{self, to_rgb8, write_atomic};
use crate::host::HostTensor;
use crate::world::{MAX_SIDE, Scene, generic_rgb, render_rgb};
use anyhow::{Context, Result, bail, ensure};
use image::{ImageFormat, RgbImage};
use rayon::prelude::*;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Draw scenes of Littleworld as one sheet, or export them with their captions.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  \
    diffuscope world --seed 1 --count 64 -o sheet.png\n  \
    diffuscope world --generic --count 100 -o generic.png\n  \
    diffuscope world --seed 1 --count 1000 --size 256 --export littleworld\n\n\
    An export holds one PNG for each scene and captions.jsonl, one line for each picture:\n  \
    {\"file\": \"000000.png\", \"caption\": \"...\", \"captions\": [\"...\"], \"seed\": 1, \"scene\": {...}}")]
pub struct WorldArgs {
    /// Seed of the first scene; the others follow it
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// How many scenes
    #[arg(long, default_value_t = 64)]
    pub count: usize,
    /// Side of each picture in pixels
    #[arg(long, default_value_t = 128, value_name = "PX")]
    pub size: usize,
    /// Pictures in a row of the sheet; by default about as many as there are rows
    #[arg(long, value_name = "C")]
    pub columns: Option<usize>,
    /// Draw pictures that are not scenes: what the autoencoder also sees in training
    #[arg(long, conflicts_with = "export")]
    pub generic: bool,
    /// Write a sheet of all scenes to this PNG file
    #[arg(short, long, value_name = "FILE", required_unless_present = "export")]
    pub output: Option<PathBuf>,
    /// Write each scene as a PNG, and their captions as JSON lines, into this folder
    #[arg(long, value_name = "DIR")]
    pub export: Option<PathBuf>,
}

/// Captions written beside each exported picture.
const CAPTIONS: usize = 5;
/// The largest sheet, in pixels.
const MAX_SHEET: usize = 1 << 28;
/// Space around the pictures of a sheet, in pixels.
const GAP: usize = 4;

/// Does what `args` ask.
///
/// # Errors
/// A count or size out of range; a file or folder that cannot be written. No partial file is left behind.
pub fn run(args: WorldArgs) -> Result<()> {
    ensure!(args.count > 0, "--count must be at least 1");
    ensure!((16..=MAX_SIDE).contains(&args.size), "--size must be between 16 and {MAX_SIDE} pixels, not {}", args.size);
    ensure!(args.columns != Some(0), "--columns must be at least 1");
    if let Some(path) = &args.output {
        write_sheet(&args, path)?;
    }
    if let Some(folder) = &args.export {
        export(&args, folder)?;
    }
    Ok(())
}

fn seed_of(args: &WorldArgs, index: usize) -> u64 {
    args.seed.wrapping_add(index as u64)
}

fn picture(args: &WorldArgs, index: usize) -> HostTensor {
    let seed = seed_of(args, index);
    if args.generic { generic_rgb(seed, args.size) } else { render_rgb(&Scene::sample(seed), args.size) }
}

fn write_sheet(args: &WorldArgs, path: &Path) -> Result<()> {
    let side = args.size;
    let columns = args.columns.unwrap_or_else(|| (args.count - 1).isqrt() + 1).min(args.count);
    let rows = args.count.div_ceil(columns);
    let extent = |n: usize| n.checked_mul(side + GAP).map(|v| v + GAP);
    let Some((width, height)) = extent(columns).zip(extent(rows)).filter(|(w, h)| w.checked_mul(*h).is_some_and(|n| n <= MAX_SHEET)) else {
        bail!("a sheet of {} pictures of {side} pixels is too large; ask for fewer, or use --export", args.count);
    };
    let mut sheet = RgbImage::from_pixel(width as u32, height as u32, image::Rgb([255; 3]));
    for start in (0..args.count).step_by(256) {
        let end = (start + 256).min(args.count);
        let pictures: Vec<Vec<u8>> = (start..end).into_par_iter().map(|i| to_rgb8(&picture(args, i))).collect::<Result<_, _>>()?;
        for (i, picture) in (start..end).zip(pictures) {
            let (left, top) = (GAP + (i % columns) * (side + GAP), GAP + (i / columns) * (side + GAP));
            for (row, line) in picture.chunks_exact(3 * side).enumerate() {
                let at = 3 * ((top + row) * width + left);
                sheet.as_flat_samples_mut().samples[at..at + 3 * side].copy_from_slice(line);
            }
        }
    }
    write_png(path, &sheet)
}

fn export(args: &WorldArgs, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    interrupt::listen();
    let mut captions = temporary(&folder.join("captions.jsonl"))?;
    let broken = || format!("cannot write captions into {}", folder.display());
    let digits = args.count.to_string().len().max(6);
    for start in (0..args.count).step_by(256) {
        let end = (start + 256).min(args.count);
        let lines: Vec<String> = (start..end).into_par_iter().map(|i| export_one(args, folder, i, digits)).collect::<Result<_>>()?;
        for line in lines {
            writeln!(captions, "{line}").with_context(broken)?;
        }
    }
    captions.as_file().sync_all().with_context(broken)?;
    persist(captions, &folder.join("captions.jsonl"))
}

/// Writes the picture of one scene and returns its line of captions.
fn export_one(args: &WorldArgs, folder: &Path, index: usize, digits: usize) -> Result<String> {
    interrupt::check()?;
    let seed = seed_of(args, index);
    let scene = Scene::sample(seed);
    let file = format!("{index:0digits$}.png");
    figure::write_png(&folder.join(&file), &render_rgb(&scene, args.size))?;
    let line = serde_json::json!({
        "file": file,
        "caption": scene.full_caption(),
        "captions": scene.captions(seed, CAPTIONS),
        "seed": seed,
        "scene": scene,
    });
    Ok(line.to_string())
}

fn write_png(path: &Path, picture: &RgbImage) -> Result<()> {
    let mut encoded = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut encoded, ImageFormat::Png).with_context(|| format!("cannot encode {}", path.display()))?;
    // Writes into a device or a pipe; renaming over one would replace it by a file.
    Ok(write_atomic(path, encoded.get_ref())?)
}

/// A file beside `path` that disappears unless it is persisted.
fn temporary(path: &Path) -> Result<NamedTempFile> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".diffuscope-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder).with_context(|| format!("cannot write {}: no file can be created in {}", path.display(), folder.display()))
}

fn persist(file: NamedTempFile, path: &Path) -> Result<()> {
    file.persist(path).map_err(|e| e.error).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(count: usize, output: Option<PathBuf>, export: Option<PathBuf>) -> WorldArgs {
        WorldArgs { seed: 3, count, size: 32, columns: None, generic: false, output, export }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_sheet_has_its_columns_and_the_pictures_of_its_seeds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sheet.png");
        run(WorldArgs { columns: Some(3), ..args(5, Some(path.clone()), None) }).unwrap();
        let sheet = image::open(&path).unwrap().to_rgb8();
        assert_eq!(sheet.dimensions(), (3 * 36 + 4, 2 * 36 + 4));
        let last = to_rgb8(&render_rgb(&Scene::sample(7), 32)).unwrap();
        assert_eq!(sheet.get_pixel(40, 40).0, last[..3]);
        assert_eq!(names(folder.path()), ["sheet.png"]);
        run(WorldArgs { generic: true, ..args(2, Some(path.clone()), None) }).unwrap();
        let first = to_rgb8(&generic_rgb(3, 32)).unwrap();
        assert_eq!(image::open(&path).unwrap().to_rgb8().get_pixel(4, 4).0, first[..3]);
    }

    #[test]
    fn an_export_holds_pictures_captions_and_scenes() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("new/world");
        run(args(3, None, Some(target.clone()))).unwrap();
        assert_eq!(names(&target), ["000000.png", "000001.png", "000002.png", "captions.jsonl"]);
        let lines = fs::read_to_string(target.join("captions.jsonl")).unwrap();
        for (i, line) in lines.lines().enumerate() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let scene: Scene = serde_json::from_value(value["scene"].clone()).unwrap();
            assert_eq!(scene, Scene::sample(3 + i as u64));
            assert_eq!(value["caption"], scene.full_caption());
            assert_eq!(value["captions"].as_array().unwrap().len(), CAPTIONS);
            let picture = image::open(target.join(value["file"].as_str().unwrap())).unwrap().to_rgb8();
            assert_eq!(picture.into_raw(), to_rgb8(&render_rgb(&scene, 32)).unwrap());
        }
        assert_eq!(lines.lines().count(), 3);
    }

    #[test]
    fn what_cannot_be_done_is_said_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("absent/sheet.png");
        let said = format!("{:#}", run(args(2, Some(missing), None)).unwrap_err());
        assert!(said.contains("absent"), "{said}");
        let file = folder.path().join("file");
        fs::write(&file, "kept").unwrap();
        let said = format!("{:#}", run(args(2, None, Some(file.clone()))).unwrap_err());
        assert!(said.contains("cannot create the folder"), "{said}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
        let folder_as_file = run(args(1, Some(folder.path().to_path_buf()), None)).unwrap_err();
        assert!(format!("{folder_as_file:#}").contains("cannot write"));
        assert_eq!(names(folder.path()), ["file"]);

        let refused = |change: fn(&mut WorldArgs)| {
            let mut a = args(1, Some(PathBuf::from("never.png")), None);
            change(&mut a);
            format!("{:#}", run(a).unwrap_err())
        };
        assert!(refused(|a| a.count = 0).contains("--count"));
        assert!(refused(|a| a.size = 0).contains("--size"));
        assert!(refused(|a| a.size = 1 << 40).contains("--size"));
        assert!(refused(|a| a.columns = Some(0)).contains("--columns"));
        assert!(refused(|a| a.count = usize::MAX).contains("too large"));
    }
}
