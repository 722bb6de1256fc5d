//! A whole run as safetensors, under the names that a run of the diffusers library is dumped with.
//!
//! `token_ids [2, L]` (negative, positive), `text_embeddings [2, L, D]`, `latents_00 ..` before the first step and after every
//! step, `eps_uncond_00 ..` and `eps_cond_00 ..` as the U-Net gives them, `image [3, H, W]` in 0..1.
//!
//! Here samplers keep x in variance-preserving form, `x = alpha x0 + sigma eps`. Euler's and its kin of diffusers keep it in
//! variance-exploding form, `x0 + (sigma / alpha) eps` (Karras et al. 2022, arXiv 2206.00364), so for those the dump holds `x / alpha`, and
//! for a flow's `x / (alpha + sigma)`.

use crate::diffusion::{Level, SampleSpace};
use crate::host::HostTensor;
use crate::pipeline::{GenerateStep, Generated, Tokens};
use anyhow::{Context, Result, ensure};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::fs;
use std::path::Path;

/// Largest file of latents that is read, in bytes.
const MAX_LATENTS_BYTES: u64 = 1 << 28;

/// What is collected while a run goes on.
pub struct Dump {
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    space: SampleSpace,
}

impl Dump {
    /// An empty dump, whose latents are to be in the form that diffusers keeps them in.
    pub fn new(space: SampleSpace) -> Self {
        Self { tensors: Vec::new(), space }
    }

    /// Adds a step of the run.
    pub fn step(&mut self, step: &GenerateStep) {
        if step.index == 0 {
            self.latents(0, &step.x, step.level);
        }
        self.float(format!("eps_uncond_{:02}", step.index), &step.output_uncond);
        self.float(format!("eps_cond_{:02}", step.index), &step.output_cond);
        self.latents(step.index + 1, &step.x_next, step.next_level);
    }

    /// Adds what is known at the end and gives the file's bytes.
    ///
    /// # Errors
    /// When the tokens of the two prompts differ in number, which no model's do.
    pub fn finish(mut self, generated: &Generated, image: &HostTensor) -> Result<Vec<u8>> {
        let [negative, positive] = &generated.token_ids;
        self.tokens(negative, positive)?;
        self.float("text_embeddings".into(), &generated.text_embeddings);
        self.float("image".into(), image);
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)));
        let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>().context("cannot lay out the dump")?;
        safetensors::serialize(views, None).context("cannot lay out the dump")
    }

    fn latents(&mut self, index: usize, x: &HostTensor, level: Level) {
        let divisor = self.space.divisor(level);
        self.float(format!("latents_{index:02}"), &x.map(|v| (f64::from(v) / divisor) as f32));
    }

    fn float(&mut self, name: String, tensor: &HostTensor) {
        let bytes = tensor.data().iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensors.push((name, Dtype::F32, tensor.shape().to_vec(), bytes));
    }

    fn tokens(&mut self, negative: &Tokens, positive: &Tokens) -> Result<()> {
        let length = negative.ids.len();
        ensure!(positive.ids.len() == length, "the prompts came out as {length} and {} tokens", positive.ids.len());
        let bytes = negative.ids.iter().chain(&positive.ids).flat_map(|&id| i64::from(id).to_le_bytes()).collect();
        self.tensors.push(("token_ids".into(), Dtype::I64, vec![2, length], bytes));
        Ok(())
    }
}

/// Reads the tensor `latents` of a safetensors file: `[1, C, h, w]`, f32, unit Gaussian.
///
/// # Errors
/// A file that cannot be read or is no safetensors, or whose `latents` is missing, of another type or shape; the message names it.
pub fn read_latents(path: &Path, expected: [usize; 4]) -> Result<HostTensor> {
    let file = path.display();
    let about = fs::metadata(path).with_context(|| format!("cannot read the latents {file}"))?;
    ensure!(about.is_file(), "cannot read the latents {file}: it is not a file");
    ensure!(about.len() <= MAX_LATENTS_BYTES, "cannot read the latents {file}: {} bytes are too many", about.len());
    let bytes = fs::read(path).with_context(|| format!("cannot read the latents {file}"))?;
    let tensors = SafeTensors::deserialize(&bytes).with_context(|| format!("{file} is not a sound safetensors file"))?;
    let view = tensors.tensor("latents").ok().with_context(|| {
        let names = tensors.names().iter().take(8).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("{file} holds no tensor \"latents\"; it holds {}", if names.is_empty() { "nothing" } else { &names })
    })?;
    ensure!(view.dtype() == Dtype::F32, "\"latents\" in {file} must be F32, not {:?}", view.dtype());
    ensure!(view.shape() == expected, "\"latents\" in {file} must have the shape {expected:?} for this model, not {:?}", view.shape());
    let values: Vec<f32> = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let latents = HostTensor::new(expected, values)?;
    ensure!(latents.is_finite(), "\"latents\" in {file} holds values that are not finite");
    Ok(latents)
}
