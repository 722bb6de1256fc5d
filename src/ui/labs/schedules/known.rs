//! The schedules of the lab: those of the table, and behind them the one that is learned.

use crate::diffusion::schedule::{MonotoneNetwork, ParamInfo};
use crate::diffusion::{NoiseSchedule, SCHEDULES};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Place of the learned schedule.
pub const LEARNED: usize = SCHEDULES.len();
/// How many there are.
pub const COUNT: usize = LEARNED + 1;
/// Id of the schedule that is drawn by hand.
pub const FREE: &str = "free";

/// What is said of a schedule.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Stable name.
    pub id: &'static str,
    /// Name on screen.
    pub label: &'static str,
    /// Where it comes from.
    pub paper: &'static str,
    /// Its parameters.
    pub params: &'static [ParamInfo],
}

/// The schedule at a place.
pub fn known(index: usize) -> Known {
    SCHEDULES.get(index).map_or(
        Known { id: "learned", label: "Learned", paper: "Kingma et al. 2021, arXiv 2107.00630, minimum variance", params: &[] },
        |info| Known { id: info.id, label: info.label, paper: info.paper, params: info.params },
    )
}

/// The place of the schedule with an id.
pub fn position(id: &str) -> Option<usize> {
    (0..COUNT).find(|index| known(*index).id == id)
}

/// What a schedule is defined by, in TeX and in words.
pub fn definition(index: usize) -> (&'static str, &'static str) {
    SCHEDULES.get(index).map_or(
        (r"\log\frac{\bar\alpha}{1-\bar\alpha} = -\gamma_\eta(u)", "log SNR is what the learned network says, with its sign turned"),
        |info| (info.tex, info.formula),
    )
}

/// A network that was learned here, as it is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learnt {
    /// `gamma = -log SNR` at time 0 and at time 1.
    pub ends: [f64; 2],
    /// The stored parameters of the network.
    pub params: Vec<f64>,
}

impl Learnt {
    /// What is remembered of a network.
    pub fn of(network: &MonotoneNetwork) -> Self {
        Self { ends: network.ends(), params: network.params().to_vec() }
    }

    /// The network; none where the numbers are those of no network.
    pub fn network(&self) -> Option<MonotoneNetwork> {
        MonotoneNetwork::from_parts(self.ends, self.params.clone())
    }
}

/// What a schedule is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Recipe {
    /// One of the table with its parameters.
    Table(usize, Vec<f64>),
    /// The network that is being learned here or was.
    Network(Learnt),
    /// `alpha_bar` at each timestep, as the open model brings them.
    Given(Arc<[f64]>),
    /// Nothing has been learned.
    Nothing,
}

impl Recipe {
    /// The schedule of so many timesteps, shifted to zero terminal SNR where that is wanted; none where there is nothing to make it of.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn build(&self, count: usize, zero_terminal: bool) -> Result<Option<NoiseSchedule>, String> {
        let built = match self {
            Self::Table(index, params) => SCHEDULES[*index].build(params, count).map(Some),
            Self::Network(learnt) => learnt.network().map(|network| network.schedule(count)).transpose(),
            Self::Given(alphas_cumprod) => NoiseSchedule::from_alphas_cumprod(Arc::clone(alphas_cumprod)).map(Some),
            Self::Nothing => Ok(None),
        };
        let rescaled = |schedule: NoiseSchedule| if zero_terminal { schedule.rescaled_zero_terminal_snr() } else { Ok(schedule) };
        built.and_then(|schedule| schedule.map(rescaled).transpose()).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schedule_is_found_by_its_id_and_built() {
        for index in 0..COUNT {
            assert_eq!(position(known(index).id), Some(index));
        }
        for (index, info) in SCHEDULES.iter().enumerate() {
            let recipe = Recipe::Table(index, info.defaults());
            let plain = recipe.build(1000, false).expect("the defaults are a schedule").expect("of the table");
            // A flow ends in pure noise by itself.
            assert_eq!(plain.alphas_cumprod()[999] > 0.0, known(index).id != "flow", "{}", known(index).id);
            let zero = recipe.build(1000, true).expect("can be rescaled").expect("of the table");
            assert_eq!(zero.alphas_cumprod()[999], 0.0, "{}", known(index).id);
            assert!((zero.alphas_cumprod()[0] - plain.alphas_cumprod()[0]).abs() < 1e-12);
        }
        assert_eq!(Recipe::Nothing.build(1000, true), Ok(None));
        assert!(Recipe::Given([0.2, 0.5].into()).build(2, false).is_err(), "it rises");
    }

    #[test]
    fn what_is_remembered_of_a_network_makes_it_again() {
        let network = MonotoneNetwork::straight(-5.0, 5.0, 6);
        let learnt = Learnt::of(&network);
        assert_eq!(learnt.network(), Some(network));
        let schedule = Recipe::Network(learnt).build(1000, false).expect("a schedule").expect("made");
        assert!((schedule.level(999).log_snr() + 5.0).abs() < 1e-6);
        let damaged = Learnt { ends: [1.0, 0.0], params: vec![0.0; 4] };
        assert_eq!(Recipe::Network(damaged).build(10, false), Ok(None));
    }
}
