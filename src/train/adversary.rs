//! A critic of small patches, so that a decoder draws edges rather than the mean of all edges that could be there.
//!
//! A loss per pixel is least for the mean of what is possible, and the mean of sharp edges is a blur. A second network is trained
//! to tell patches of pictures from patches of reconstructions (Isola et al. 2017, arXiv 1611.07004, section 3.2.2), with the hinge
//! loss (Lim and Ye 2017, arXiv 1705.02894), and the decoder is drawn a little towards what it takes for pictures: the third part of
//! the loss of autoencoders for latent diffusion (Esser et al. 2021, arXiv 2012.09841, equations 5 to 7).

use super::Result;
use super::losses;
use super::optimizer::Gradients;
use super::runner::Objective;
use super::vars::Leaves;
use crate::compute::{Activation, Conv2d, Differentiable, Tensor};
use crate::host::HostTensor;
use crate::model::ModelError;
use crate::model::layers::{Conv, GroupNorm};
use crate::model::params::Params;

/// Channels at full size, at half and at a quarter.
const CHANNELS: [usize; 3] = [24, 48, 96];
/// Channels of a group of normalisation.
const OF_A_GROUP: usize = 8;
/// Half the size, without looking beyond the left and the upper edge, as the autoencoder's encoder does it.
const HALVE: Conv2d = Conv2d { stride: 2, pad_before: 0, pad_after: 1 };
/// What the critic's own gradient is multiplied by. AdamW is indifferent to it; the cut of the whole gradient's norm is not, and is
/// meant for the decoder.
const OWN_SCALE: f64 = 0.05;

/// The critic: a score for every patch, positive for pictures.
#[derive(Debug, Clone)]
pub struct Critic<T> {
    conv_in: Conv<T>,
    stages: Vec<(Conv<T>, GroupNorm<T>)>,
    conv_out: Conv<T>,
}

impl<T: Tensor> Critic<T> {
    /// The critic on weights from `p`.
    ///
    /// # Errors
    /// When a weight is missing or has another shape.
    pub fn new(p: &Params<'_, T>) -> std::result::Result<Self, ModelError> {
        let [full, half, quarter] = CHANNELS;
        let stage = |index: usize, inputs: usize, outputs: usize, geometry: Conv2d| -> std::result::Result<_, ModelError> {
            let p = p.pp("stages").pp(index);
            let conv = Conv::new(&p.pp("conv"), inputs, outputs, 3, geometry)?;
            Ok((conv, GroupNorm::new(&p.pp("norm"), outputs / OF_A_GROUP, outputs, 1e-5, Activation::Silu)?))
        };
        Ok(Self {
            conv_in: Conv::same(&p.pp("conv_in"), 3, full)?,
            stages: vec![stage(0, full, half, HALVE)?, stage(1, half, quarter, HALVE)?, stage(2, quarter, quarter, Conv2d::SAME_3X3)?],
            conv_out: Conv::same(&p.pp("conv_out"), quarter, 1)?,
        })
    }

    /// `[B, 3, H, W]` in -1..1 -> scores `[B, 1, H / 4, W / 4]`, each of a patch of 25 pixels.
    ///
    /// # Errors
    /// When the picture does not fit.
    pub fn forward(&self, x: &T) -> std::result::Result<T, ModelError> {
        let mut x = self.conv_in.forward(x)?.activate(Activation::Silu)?;
        for (conv, norm) in &self.stages {
            x = norm.forward(&conv.forward(&x)?)?;
        }
        self.conv_out.forward(&x)
    }
}

/// What the critic says of reconstructions, and what follows from it.
#[derive(Debug)]
pub struct Verdict {
    /// The hinge loss of the critic: 2 when it knows nothing, 0 when it is sure.
    pub loss: f64,
    /// Its gradients with respect to all leaves, those of the critic.
    pub own: Gradients,
    /// The gradient of minus the mean score with respect to the reconstructions.
    pub by_output: HostTensor,
}

/// Asks the critic to tell `pictures` from `output`, both `[B, 3, H, W]`.
///
/// # Errors
/// When the network fails.
pub fn criticise<O: Objective>(
    objective: &O,
    leaves: &Leaves<O::Tensor>,
    critic: &Critic<O::Tensor>,
    pictures: &HostTensor,
    output: &HostTensor,
) -> Result<Verdict> {
    let device = objective.device();
    let fake = O::Tensor::variable(output, device)?;
    let score = critic.forward(&fake)?;
    let slope = HostTensor::full(score.shape(), (-1.0 / score.shape().iter().product::<usize>().max(1) as f64) as f32);
    let by_output = O::Tensor::backward(&[(&score, &slope)], &[&fake])?.pop().flatten().unwrap_or_else(|| vec![0.0; output.len()]);
    let by_output = HostTensor::new(output.shape(), by_output).map_err(|error| ModelError::Internal(error.to_string()))?;
    let both = O::Tensor::from_host(&HostTensor::cat_outer(&[pictures, output]), device)?;
    let scores = critic.forward(&both)?;
    let (loss, gradient) = losses::hinge(&scores.to_host()?);
    let own = O::Tensor::backward(&[(&scores, &gradient.map(|g| (OWN_SCALE * f64::from(g)) as f32))], &leaves.tensors())?;
    Ok(Verdict { loss, own, by_output })
}

/// `gradient` and `adversary` added, the second brought to `share` of the first one's norm (Esser et al. 2021, equation 7, taken at
/// the pixels).
pub fn balanced(gradient: &HostTensor, adversary: &HostTensor, share: f64) -> HostTensor {
    gradient.lincomb(1.0, adversary, share * gradient.norm() / adversary.norm().max(1e-12))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Stream, gaussian};

    #[test]
    fn the_pull_is_a_share_of_the_gradient_in_the_direction_of_the_critic() {
        let (gradient, adversary) = (gaussian(1, Stream::Eval, [2, 3, 4, 4]), gaussian(2, Stream::Eval, [2, 3, 4, 4]));
        let pull = balanced(&gradient, &adversary, 0.25).lincomb(1.0, &gradient, -1.0);
        assert!((pull.norm() / gradient.norm() - 0.25).abs() < 1e-5);
        assert!((pull.dot(&adversary) / (pull.norm() * adversary.norm()) - 1.0).abs() < 1e-5);
        assert_eq!(balanced(&gradient, &adversary, 0.0), gradient);
        assert_eq!(balanced(&gradient, &HostTensor::full([2, 3, 4, 4], 0.0), 0.5), gradient);
    }
}
