//! The formulas of the labs, typeset: in symbols, and with the numbers of this moment. Each stands here once, with its words for
//! a screen reader.
//!
//! Ho et al. 2020 (arXiv 2006.11239), eqs. 2, 4 and 15; Ho and Salimans 2022 (arXiv 2207.12598) for guidance.

use crate::diffusion::Level;
use crate::ui::theme::Symbol;
use crate::ui::widgets::math::{Math, figures, num, op, row, sym, word};
use crate::ui::widgets::meaning::Meaning;

/// An equation and how it is read out.
pub type Spoken = (Math, String);

/// x_t.
pub fn x_t() -> Math {
    sym("x", Symbol::Plain).with_index("t").meaning(Meaning::Xt)
}

/// With a little space before it, as behind a coefficient.
pub fn after(math: Math) -> Math {
    row([sym(" ", Symbol::Plain), math])
}

/// x_0.
pub fn x_0() -> Math {
    sym("x", Symbol::Signal).with_index("0").meaning(Meaning::X0)
}

/// The noise.
pub fn noise() -> Math {
    sym("ε", Symbol::Noise).meaning(Meaning::Noise)
}

/// x_t one step before.
pub fn before() -> Math {
    sym("x", Symbol::Plain).with_index("t−1").meaning(Meaning::Before)
}

/// The noise of one step.
pub fn step_noise() -> Math {
    sym("ε", Symbol::Noise).with_index("t").meaning(Meaning::Noise)
}

/// The predicted x0.
pub fn x0_hat() -> Math {
    sym("x", Symbol::Signal).hat().with_index("0").meaning(Meaning::X0Hat)
}

/// The prediction without the prompt, or against the negative one.
pub fn eps_uncond() -> Math {
    sym("ε", Symbol::Unconditional).with_index("∅").meaning(Meaning::Unconditional)
}

/// The prediction with the prompt.
pub fn eps_cond() -> Math {
    sym("ε", Symbol::Conditional).with_index("c").meaning(Meaning::Conditional)
}

/// The guided combination.
pub fn eps_guided() -> Math {
    sym("ε", Symbol::Guided).tilde().meaning(Meaning::Guided)
}

/// The guidance scale.
pub fn w() -> Math {
    sym("w", Symbol::Guided).meaning(Meaning::Scale)
}

/// The root of the signal's share.
pub fn signal_root() -> Math {
    sym("α", Symbol::Signal).bar().with_index("t").sqrt().meaning(Meaning::AlphaBar)
}

/// The root of the noise's share.
pub fn noise_root() -> Math {
    row([word("1", Symbol::Noise), word(" − ", Symbol::Noise), sym("α", Symbol::Noise).bar().with_index("t")])
        .sqrt()
        .meaning(Meaning::NoiseShare)
}

fn beta_t() -> Math {
    sym("β", Symbol::Noise).with_index("t").meaning(Meaning::Beta)
}

fn signal_share(level: Level) -> Math {
    num(level.alpha, 1, 3, Symbol::Signal).meaning(Meaning::AlphaBar)
}

fn noise_share(level: Level) -> Math {
    num(level.sigma, 1, 3, Symbol::Noise).meaning(Meaning::NoiseShare)
}

/// `x_t = sqrt(abar) x0 + sqrt(1 - abar) eps`.
pub fn noised() -> Spoken {
    let math = row([x_t(), op("="), signal_root(), after(x_0()), op("+"), noise_root(), after(noise())]);
    (math, "x t equals root alpha bar t times x 0 plus root of 1 minus alpha bar t times epsilon".into())
}

/// The same with its numbers.
pub fn noised_at(level: Level) -> Spoken {
    let math = row([x_t(), op("="), signal_share(level), after(x_0()), op("+"), noise_share(level), after(noise())]);
    (math, format!("x t is {:.3} x 0 plus {:.3} epsilon", level.alpha, level.sigma))
}

/// `x_t = sqrt(1 - beta) x_{t-1} + sqrt(beta) eps_t`.
pub fn step() -> Spoken {
    let kept = row([word("1 − ", Symbol::Plain), beta_t()]).sqrt();
    let math = row([x_t(), op("="), kept, after(before()), op("+"), beta_t().sqrt(), after(step_noise())]);
    (math, "x t equals root of 1 minus beta t times x t minus 1 plus root beta t times epsilon t".into())
}

/// The same with its numbers.
pub fn step_at(beta: f64) -> Spoken {
    let (kept, added) = (num((1.0 - beta).sqrt(), 1, 4, Symbol::Plain), num(beta.sqrt(), 1, 4, Symbol::Noise));
    let math = row([x_t(), op("="), kept, after(before()), op("+"), added.meaning(Meaning::Beta), after(step_noise())]);
    (math, format!("beta is {beta:.5}"))
}

/// `x0_hat = (x_t - sqrt(1 - abar) eps_guided) / sqrt(abar)`.
pub fn guess() -> Spoken {
    let math = row([x0_hat(), op("="), row([x_t(), op("−"), noise_root(), after(eps_guided())]).over(signal_root())]);
    (math, "x 0 hat equals x t minus root of 1 minus alpha bar t times guided epsilon, over root alpha bar t".into())
}

/// The same with its numbers.
pub fn guess_at(level: Level) -> Spoken {
    let math = row([x0_hat(), op("="), row([x_t(), op("−"), noise_share(level), after(eps_guided())]).over(signal_share(level))]);
    (math, format!("alpha {:.3}, sigma {:.3}", level.alpha, level.sigma))
}

/// `eps_guided = eps_uncond + scale (eps_cond - eps_uncond)`.
fn guided_by(scale: Math) -> Math {
    let bracket = |text| word(text, Symbol::Plain);
    row([eps_guided(), op("="), eps_uncond(), op("+"), scale, bracket(" ("), eps_cond(), op("−"), eps_uncond(), bracket(")")])
}

/// Classifier-free guidance in the convention of the screen.
pub fn guided() -> Spoken {
    let words = "guided epsilon equals unconditional epsilon plus w times conditional minus unconditional epsilon";
    (guided_by(w()), words.into())
}

/// The same with its number.
pub fn guided_at(scale: f64) -> Spoken {
    (guided_by(figures(scale, Symbol::Guided).meaning(Meaning::Scale)), format!("w is {scale:.1}"))
}
