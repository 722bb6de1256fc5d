//! `diffuscope bench large`: a U-Net as large as Stable Diffusion 1.5's, which no machine has to have downloaded.

use super::guest::Guest;
use super::marks::Marks;
use super::report::{Speed, rival_json, rival_tables, speed_json, speed_table};
use super::turns::{Summary, Times, measure, timed};
use super::ways::Ways;
use crate::cli::options::device_parser;
use crate::cli::tensors::{self, OnCpu, OnCuda, OnGraphics};
use crate::cli::{interrupt, output};
use crate::compute::{DeviceKind, Tensor};
use crate::host::HostTensor;
use crate::model::ModelError;
use crate::model::params::{Init, ParamSource, Params};
use crate::model::taps::Taps;
use crate::model::unet::{UNet2DConditionConfig, UNet2DConditionModel};
use crate::noise::{Stream, gaussian, rng};
use crate::pipeline::{Load, unet_load};
use anyhow::Result;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// Measure one evaluation of a U-Net of Stable Diffusion 1.5's size, with random weights
///
/// For two prompts of 77 tokens. 860 million weights: 1.7 GB in half precision, 3.4 GB in single, on the processor twice that.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  diffuscope bench large --device wgpu-f16\n  \
    diffuscope bench large --device cuda --peer .venv/bin/python\n  diffuscope bench large --side 16 --runs 2\n\n\
    --peer PYTHON runs the network that diffusers builds from the same configuration, with random weights of its own: in half\n\
    precision on an NVIDIA card (beside it give --device wgpu-f16; on cuda we compute in single precision), in single precision on the processor. A\n\
    ratio above 1 says that we are faster.")]
pub struct LargeArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Runs behind each median
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    /// A Python with torch and diffusers, to be measured beside us in turn
    #[arg(long, value_name = "PYTHON")]
    peer: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_parser = device_parser(), default_value = DeviceKind::default().label())]
    device: DeviceKind,
    /// Rows and columns of the latents, a multiple of 8; pictures have eight times as many
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = sides())]
    side: u32,
}

fn sides() -> impl clap::builder::TypedValueParser<Value = u32> {
    use clap::builder::TypedValueParser as _;
    clap::value_parser!(u32)
        .range(8..=128)
        .try_map(|side| if side.is_multiple_of(8) { Ok(side) } else { Err(format!("{side} is no multiple of 8")) })
}

/// The configuration of Stable Diffusion 1.5's U-Net (Rombach et al. 2022, arXiv 2112.10752), as its `unet/config.json` has it.
const CONFIG: &str = r#"{
    "_class_name": "UNet2DConditionModel", "act_fn": "silu", "attention_head_dim": 8, "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": false, "cross_attention_dim": 768, "downsample_padding": 1, "flip_sin_to_cos": true, "freq_shift": 0,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "in_channels": 4, "layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-5, "norm_num_groups": 32, "out_channels": 4,
    "sample_size": 64
}"#;
/// As many tokens as its text encoder has.
const TOKENS: usize = 77;
const NAME: &str = "unet_large";

/// Weights drawn where they are asked for, and not kept anywhere else.
struct Drawn<T: Tensor> {
    device: T::Device,
    rng: ChaCha8Rng,
    weights: usize,
}

impl<T: Tensor> ParamSource<T> for Drawn<T> {
    fn param(&mut self, _: &str, shape: &[usize], init: Init) -> Result<T, ModelError> {
        // Ctrl-C does not wait for all of them.
        interrupt::check().map_err(|_| ModelError::Internal("interrupted".into()))?;
        let mut within = |bound: f32| (self.rng.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0) * bound;
        let values = HostTensor::from_fn(shape.to_vec(), |_| match init {
            Init::Zeros => 0.0,
            Init::Ones => 1.0,
            Init::FanIn(fan_in) => within((fan_in.max(1) as f32).sqrt().recip()),
            // Of the same deviation; the distribution does not matter for what takes how long.
            Init::Normal(deviation) => within(deviation as f32 * 3_f32.sqrt()),
        });
        self.weights += values.len();
        Ok(T::from_host(&values, &self.device)?)
    }

    fn has(&self, _: &str) -> bool {
        true
    }
}

/// The network at work.
struct Open {
    weights: usize,
    evaluate: Box<dyn FnMut() -> Result<Duration>>,
}

fn open<T: Tensor + 'static>(config: &UNet2DConditionConfig, side: usize, device: T::Device) -> Result<Open>
where
    T::Device: Clone,
{
    let source = Mutex::new(Drawn::<T> { device: device.clone(), rng: rng(0, Stream::Init), weights: 0 });
    let model = UNet2DConditionModel::<T>::new(config, &Params::root(&source))?;
    let weights = source.into_inner().map_or(0, |drawn| drawn.weights);
    let x = T::from_host(&gaussian(0, Stream::Start, [2, config.in_channels, side, side]), &device)?;
    let text = T::from_host(&gaussian(1, Stream::Start, [2, TOKENS, config.cross_attention_dim]), &device)?;
    let evaluate = move || {
        timed(|| -> Result<()> {
            let y = model.forward(&x, &[400.0; 2], &text, &device, &mut Taps::none())?.to_host()?;
            anyhow::ensure!(y.is_finite(), "the network gave values that are not finite numbers");
            Ok(())
        })
    };
    Ok(Open { weights, evaluate: Box::new(evaluate) })
}

/// Measures and prints.
///
/// # Errors
/// A device that is not there or too small, Ctrl-C; after the numbers, what went wrong beside us.
pub fn run(args: &LargeArgs) -> Result<()> {
    let config = UNet2DConditionConfig::from_json(CONFIG.as_bytes())?;
    let side = args.side as usize;
    let bar = output::progress(3, "bench");
    bar.set_message("the other side");
    let mut guest = args.peer.as_deref().map(|python| Guest::start(python, args.device)).transpose()?;
    bar.inc(1);
    bar.set_message("drawing weights");
    let Open { weights, mut evaluate } = match args.device {
        DeviceKind::Cpu => open::<OnCpu>(&config, side, ())?,
        DeviceKind::Cuda => open::<OnCuda>(&config, side, tensors::cuda()?)?,
        DeviceKind::Wgpu(choice) => open::<OnGraphics>(&config, side, tensors::graphics(choice)?)?,
    };
    let mut rivals = Vec::new();
    if let Some(guest) = guest.as_mut() {
        let given = json!({ "name": NAME, "config": serde_json::from_str::<Value>(CONFIG)?, "side": side, "tokens": TOKENS });
        if guest.open_network("large", &given)? {
            rivals = guest.rivals(NAME);
        }
    }
    bar.inc(1);
    bar.set_message("evaluating");
    let times = measure(NAME, args.runs, guest.as_mut(), &rivals, &mut evaluate)?;
    if let Some(guest) = &mut guest {
        guest.leave();
    }
    let marks = Marks::of(args.device)?;
    bar.set_message("the ways of convolutions");
    // It takes weights of both kinds at once; what has been measured stays where there is no memory for that.
    let ways: Vec<Ways> = match Ways::of(args.device, NAME, args.runs, &mut evaluate) {
        Ok(ways) => ways.into_iter().collect(),
        Err(error) => {
            interrupt::check()?;
            log::warn!("either way of convolutions could not be measured: {error:#}");
            Vec::new()
        }
    };
    bar.finish_and_clear();
    let load = unet_load(&config, 2, TOKENS, side)?;
    if args.json {
        output::print(&json(args, weights, load, &times, marks, &ways, guest.as_ref()).to_string())?;
    } else {
        print(args, weights, load, &times, marks, &ways, guest.as_ref())?;
    }
    guest.map_or(Ok(()), |guest| guest.verdict())
}

fn speed(args: &LargeArgs, load: Load, times: &Times) -> Speed {
    Speed::new(NAME, load, args.device, Summary::of(&times.ours).median)
}

fn json(args: &LargeArgs, weights: usize, load: Load, times: &Times, marks: Marks, ways: &[Ways], guest: Option<&Guest>) -> Value {
    let mut object = json!({
        "device": args.device.label(), "threads": rayon::current_num_threads(), "runs": args.runs, "side": args.side,
        "weights": weights, "unet_large_ms": Summary::of(&times.ours).to_json(),
        "operations": speed_json(&[speed(args, load, times)], &marks),
    });
    marks.add_to(&mut object);
    if !ways.is_empty() {
        object["convolutions"] = Ways::json(ways);
    }
    if let Some(guest) = guest {
        object["peers"] = rival_json(std::iter::once(times), guest);
    }
    object
}

fn print(args: &LargeArgs, weights: usize, load: Load, times: &Times, marks: Marks, ways: &[Ways], guest: Option<&Guest>) -> Result<()> {
    let side = args.side;
    output::print(&format!(
        "a U-Net of {:.1} M random weights on {}, latents of {side} x {side}, two prompts",
        weights as f64 / 1e6,
        args.device.label()
    ))?;
    output::print(&format!("{NAME:16}  {} ms\n", Summary::of(&times.ours).show(2)))?;
    output::print(&speed_table(&[speed(args, load, times)], &marks))?;
    if !ways.is_empty() {
        output::print(&format!("\n{}", Ways::table(ways)))?;
    }
    let Some(guest) = guest else { return Ok(()) };
    rival_tables(std::iter::once(times), guest).iter().try_for_each(|table| output::print(&format!("\n{table}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_is_of_the_size_that_it_is_said_to_be() {
        let config = UNet2DConditionConfig::from_json(CONFIG.as_bytes()).unwrap();
        let source = Mutex::new(crate::model::params::ShapeSource::default());
        UNet2DConditionModel::new(&config, &Params::root(&source)).unwrap();
        // As the library that the configuration comes from counts them.
        assert_eq!(source.into_inner().unwrap().count(), 859_520_964);
        let load = unet_load(&config, 2, TOKENS, 64).unwrap();
        // About 340 multiply-adds in 10^9 for one prompt.
        assert!((1.2e12..1.8e12).contains(&(load.flops as f64)), "{load:?}");
    }
}
