//! Host arithmetic of the forward process, kept until its inputs change: the closed form and the Markov chain.

use crate::diffusion::Level;
use crate::host::HostTensor;
use crate::noise::{self, Stream};
use std::time::{Duration, Instant};

fn same(a: &HostTensor, b: &HostTensor) -> bool {
    std::ptr::eq(a.data(), b.data())
}

/// Pictures in 0..1 as the diffusion sees them, in -1..1, kept for the picture asked for last.
#[derive(Default)]
pub struct Signed(Option<(HostTensor, HostTensor)>);

impl Signed {
    /// `2 p - 1`.
    pub fn of(&mut self, pixels: &HostTensor) -> HostTensor {
        match &self.0 {
            Some((key, value)) if same(key, pixels) => value.clone(),
            _ => {
                let value = pixels.map(|v| 2.0 * v - 1.0);
                self.0 = Some((pixels.clone(), value.clone()));
                value
            }
        }
    }
}

/// Forward noise of a shape, kept for the seed asked for last.
#[derive(Default)]
pub struct ForwardNoise(Option<(u64, HostTensor)>);

impl ForwardNoise {
    /// Unit Gaussian noise from `(seed, Stream::Forward)`.
    pub fn of(&mut self, seed: u64, shape: &[usize]) -> HostTensor {
        match &self.0 {
            Some((key, value)) if *key == seed && value.shape() == shape => value.clone(),
            _ => {
                let value = noise::gaussian(seed, Stream::Forward, shape);
                self.0 = Some((seed, value.clone()));
                value
            }
        }
    }
}

/// `x_t = alpha x0 + sigma eps` and its two parts.
#[derive(Debug, Clone)]
pub struct Parts {
    /// `alpha x0`.
    pub signal: HostTensor,
    /// `sigma eps`.
    pub noise: HostTensor,
    /// Their sum.
    pub x: HostTensor,
}

/// The closed form at the level asked for last.
#[derive(Default)]
pub struct ClosedForm(Option<(HostTensor, HostTensor, Level, Parts)>);

impl ClosedForm {
    /// Computes the parts unless they are kept.
    ///
    /// # Shapes
    /// `x0` and `eps` alike.
    pub fn at(&mut self, x0: &HostTensor, eps: &HostTensor, level: Level) -> &Parts {
        let kept = matches!(&self.0, Some((a, b, l, _)) if same(a, x0) && same(b, eps) && *l == level);
        if !kept {
            let (alpha, sigma) = (level.alpha as f32, level.sigma as f32);
            let parts = Parts { signal: x0.map(|v| alpha * v), noise: eps.map(|v| sigma * v), x: level.add_noise(x0, eps) };
            self.0 = Some((x0.clone(), eps.clone(), level, parts));
        }
        &self.0.as_ref().expect("filled above").3
    }
}

/// The Markov chain `x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) eps_t` (Ho et al. 2020, arXiv 2006.11239, eq. 2).
///
/// Each step draws fresh noise from a seed of its own, so that a step can be taken again after going back. Every
/// [`Chain::EVERY`] steps a state is kept; long ways are walked over several frames.
#[derive(Default)]
pub struct Chain {
    key: Option<(HostTensor, u64, usize)>,
    kept: Vec<HostTensor>,
    here: Option<Standing>,
    parts: Option<(HostTensor, Parts)>,
}

/// Where the chain stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Steps taken: `x` is x_t at `t = taken - 1`; zero steps is the clean picture.
    pub taken: usize,
    /// The state.
    pub x: HostTensor,
    /// The state one step before.
    pub before: HostTensor,
    /// The noise of the last step, unscaled.
    pub eps: HostTensor,
}

impl Chain {
    /// Steps from one kept state to the next.
    pub const EVERY: usize = 25;

    /// Walks towards `t = timestep` for at most `budget`. Returns whether it is there.
    pub fn walk(
        &mut self,
        x0: &HostTensor,
        seed: u64,
        timestep: usize,
        count: usize,
        beta: impl Fn(usize) -> f64,
        budget: Duration,
    ) -> bool {
        let known = matches!(&self.key, Some((x, s, n)) if same(x, x0) && *s == seed && *n == count);
        if !known {
            self.key = Some((x0.clone(), seed, count));
            self.kept = vec![x0.clone()];
            self.here = None;
        }
        let target = timestep + 1;
        let start = Instant::now();
        let mut here = match self.here.take() {
            Some(here) if here.taken <= target && here.taken + Self::EVERY > target => here,
            other => {
                let nearest = (target / Self::EVERY).min(self.kept.len() - 1);
                // A target on a kept state is reached from the one before, so that its last step is known.
                let nearest = if nearest * Self::EVERY == target && target > 0 { nearest - 1 } else { nearest };
                match other {
                    Some(here) if here.taken <= target && here.taken > nearest * Self::EVERY => here,
                    _ => {
                        let x = self.kept[nearest].clone();
                        Standing { taken: nearest * Self::EVERY, before: x.clone(), eps: HostTensor::full(x.shape(), 0.0), x }
                    }
                }
            }
        };
        while here.taken < target {
            let beta = beta(here.taken).clamp(0.0, 1.0);
            let step_seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(here.taken as u64 + 1);
            let eps = noise::gaussian(step_seed, Stream::Forward, here.x.shape());
            let x = here.x.lincomb((1.0 - beta).sqrt(), &eps, beta.sqrt());
            here = Standing { taken: here.taken + 1, before: here.x, x, eps };
            if here.taken == self.kept.len() * Self::EVERY {
                self.kept.push(here.x.clone());
            }
            if start.elapsed() > budget {
                break;
            }
        }
        let there = here.taken == target;
        self.here = Some(here);
        there
    }

    /// The last step's two parts, `sqrt(1 - beta) x_{t-1}` and `sqrt(beta) eps_t`, and their sum.
    pub fn parts(&mut self, beta: f64) -> Option<Parts> {
        let here = self.here.as_ref()?;
        if let Some((_, parts)) = self.parts.as_ref().filter(|(x, _)| same(x, &here.x)) {
            return Some(parts.clone());
        }
        let (keep, add) = ((1.0 - beta).sqrt() as f32, beta.sqrt() as f32);
        let parts = Parts { signal: here.before.map(|v| keep * v), noise: here.eps.map(|v| add * v), x: here.x.clone() };
        self.parts = Some((here.x.clone(), parts.clone()));
        Some(parts)
    }

    /// The state after `index * EVERY` steps, if the chain has come by.
    pub fn kept(&self, index: usize) -> Option<&HostTensor> {
        self.kept.get(index)
    }

    /// Where it stands.
    pub fn standing(&self) -> Option<&Standing> {
        self.here.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn betas(_: usize) -> f64 {
        0.01
    }

    #[test]
    fn the_chain_takes_the_same_steps_again() {
        let x0 = HostTensor::from_fn([3, 8, 8], |i| (i as f32 * 0.37).sin());
        let long = Duration::from_secs(60);
        let mut chain = Chain::default();
        assert!(chain.walk(&x0, 5, 137, 1000, betas, long));
        let far = chain.standing().expect("stands").x.clone();
        assert!(chain.walk(&x0, 5, 49, 1000, betas, long));
        let near = chain.standing().expect("stands").clone();
        assert_eq!(near.taken, 50);
        assert!(chain.walk(&x0, 5, 137, 1000, betas, long));
        assert_eq!(chain.standing().expect("stands").x, far);
        let mut other = Chain::default();
        assert!(other.walk(&x0, 5, 49, 1000, betas, long));
        assert_eq!(other.standing().expect("stands").x, near.x);
        let again = near.before.lincomb(0.99_f64.sqrt(), &near.eps, 0.1);
        assert_eq!(again, near.x);
    }

    #[test]
    fn the_chain_gets_there_in_small_portions() {
        let x0 = HostTensor::full([3, 8, 8], 0.5);
        let mut chain = Chain::default();
        let mut frames = 0;
        while !chain.walk(&x0, 1, 999, 1000, betas, Duration::ZERO) {
            frames += 1;
        }
        assert_eq!(frames, 999);
    }

    #[test]
    fn the_chain_has_the_marginals_of_the_closed_form() {
        let x0 = HostTensor::full([3, 64, 64], 0.5);
        let mut chain = Chain::default();
        chain.walk(&x0, 3, 99, 1000, betas, Duration::from_secs(60));
        let x = &chain.standing().expect("stands").x;
        let alpha_bar = 0.99_f64.powi(100);
        let n = x.len() as f64;
        let mean = x.data().iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let var = x.norm().powi(2) / n - mean * mean;
        assert!((mean - alpha_bar.sqrt() * 0.5).abs() < 0.02, "mean {mean}");
        assert!((var - (1.0 - alpha_bar)).abs() < 0.03, "variance {var}");
    }

    #[test]
    fn the_closed_form_is_computed_once() {
        let x0 = HostTensor::full([3, 4, 4], 1.0);
        let eps = HostTensor::full([3, 4, 4], 2.0);
        let mut closed = ClosedForm::default();
        let level = Level { alpha: 0.8, sigma: 0.6 };
        let first = closed.at(&x0, &eps, level).x.clone();
        assert!((first.data()[0] - 2.0).abs() < 1e-6);
        assert!(same(&first, &closed.at(&x0, &eps, level).x));
    }
}
