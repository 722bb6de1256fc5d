//! A small network that can only rise: `gamma_eta(time)`, the negative log-SNR of a schedule that is learned.
//!
//! Kingma et al. 2021, arXiv 2107.00630 (their monotonic network): `g(time) = l1(time) + l3(sigmoid(l2(l1(time))))` with positive weights, and
//! `gamma(time) = gamma_0 + (gamma_1 - gamma_0) (g(time) - g(0)) / (g(1) - g(0))`. With `l1(time) = a time` and weights `w`, biases `b` of
//! `l2` and weights `c` of `l3`: `g(time) = a time + sum_j c_j sigmoid(w_j a time + b_j)`. The other biases cancel and are left out.
//! Weights are stored as their logarithms, hence positive, and learned by factors: where noise takes over they grow a hundredfold.
//! Derivatives are written out, in f64.

use super::{NoiseSchedule, ScheduleError};

/// The network, with the ends that it keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct MonotoneNetwork {
    ends: [f64; 2],
    /// `a`, then every `w`, every `b` and every `c`; all but `b` as logarithms.
    params: Vec<f64>,
}

/// What the network says at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gamma {
    /// `gamma`.
    pub value: f64,
    /// `d gamma / d time`, positive.
    pub slope: f64,
    /// `d^2 gamma / d time^2`.
    pub curvature: f64,
}

impl MonotoneNetwork {
    /// A network with so many hidden units that rises from `gamma_0` to `gamma_1` in nearly a straight line. A third of its units is spread
    /// evenly over time; the others lie ever closer to either end, where the best schedules bend most.
    ///
    /// # Panics
    /// When there are no hidden units, or `gamma_1` does not lie above `gamma_0`.
    pub fn straight(gamma_0: f64, gamma_1: f64, hidden: usize) -> Self {
        assert!(hidden > 0 && gamma_1 > gamma_0, "{hidden} hidden units between gamma {gamma_0} and {gamma_1}");
        let thirds = hidden.div_ceil(3);
        // Where a unit steps, and within what part of the time: a third of them evenly, the others ever closer to either end.
        let unit = |index: usize| {
            let reach = 0.5_f64.powi((index / 3).min(7) as i32 + 1);
            match index % 3 {
                0 => (((index / 3) as f64 + 0.5) / thirds as f64, (thirds as f64).recip()),
                1 => (reach, reach),
                _ => (1.0 - reach, reach),
            }
        };
        let (centers, reaches): (Vec<f64>, Vec<f64>) = (0..hidden).map(unit).unzip();
        let mut params = vec![0.0];
        params.extend(reaches.iter().map(|reach| (4.0 / reach).ln()));
        params.extend(centers.iter().zip(&reaches).map(|(center, reach)| -4.0 / reach * center));
        params.extend(std::iter::repeat_n((0.1 / hidden as f64).ln(), hidden));
        Self { ends: [gamma_0, gamma_1], params }
    }

    /// The network with these ends and stored parameters, as [`Self::ends`] and [`Self::params`] told them; none where they are those
    /// of no network.
    pub fn from_parts(ends: [f64; 2], params: Vec<f64>) -> Option<Self> {
        let whole = params.len() > 1 && (params.len() - 1).is_multiple_of(3);
        let finite = ends.iter().chain(&params).all(|value| value.is_finite());
        (whole && finite && ends[0] < ends[1]).then_some(Self { ends, params })
    }

    /// `gamma` at time 0 and at time 1, which learning does not move.
    pub fn ends(&self) -> [f64; 2] {
        self.ends
    }

    /// The stored parameters.
    pub fn params(&self) -> &[f64] {
        &self.params
    }

    /// The stored parameters, to be learned; every set of finite values is a schedule.
    pub fn params_mut(&mut self) -> &mut [f64] {
        &mut self.params
    }

    /// The schedule that it is, at whole timesteps.
    ///
    /// # Errors
    /// [`ScheduleError`] when there are no timesteps or too many.
    pub fn schedule(&self, num_train_timesteps: usize) -> Result<NoiseSchedule, ScheduleError> {
        let ready = self.ready();
        NoiseSchedule::from_log_snr(|time| -ready.at(time).value, num_train_timesteps)
    }

    /// The network made ready to be asked many times with these parameters.
    pub fn ready(&self) -> Ready<'_> {
        let hidden = (self.params.len() - 1) / 3;
        let unit = |j: usize| {
            let (w, b, c) = (self.params[1 + j], self.params[1 + hidden + j], self.params[1 + 2 * hidden + j]);
            Unit { w: w.exp(), b, c: c.exp() }
        };
        let a = self.params[0].exp();
        let mut ready = Ready { network: self, a, units: (0..hidden).map(unit).collect(), start: 0.0, rise: 1.0 };
        ready.start = ready.raw(0.0).value;
        ready.rise = ready.raw(1.0).value - ready.start;
        ready
    }

    /// The network at a time from 0 to 1.
    pub fn at(&self, time: f64) -> Gamma {
        self.ready().at(time)
    }

    /// The time at which the network says `gamma`; beyond its ends 0 and 1.
    pub fn time_of(&self, gamma: f64) -> f64 {
        self.ready().time_of(gamma)
    }
}

/// The weights of a hidden unit.
#[derive(Debug, Clone, Copy)]
struct Unit {
    w: f64,
    b: f64,
    c: f64,
}

/// A network made ready to be asked many times.
#[derive(Debug, Clone)]
pub struct Ready<'a> {
    network: &'a MonotoneNetwork,
    a: f64,
    units: Vec<Unit>,
    /// `g(0)`.
    start: f64,
    /// `g(1) - g(0)`.
    rise: f64,
}

impl Ready<'_> {
    /// The network at a time from 0 to 1.
    pub fn at(&self, time: f64) -> Gamma {
        let (here, [from, to]) = (self.raw(time), self.network.ends);
        let share = (here.value - self.start) / self.rise;
        let scale = (to - from) / self.rise;
        Gamma { value: from + share * (to - from), slope: scale * here.slope, curvature: scale * here.curvature }
    }

    /// `gamma` at a time from 0 to 1 and its slope there, as losses are measured along a schedule.
    pub fn along(&self, time: f64) -> (f64, f64) {
        let here = self.at(time);
        (here.value, here.slope)
    }

    /// The time at which the network says `gamma`, to 1e-12; beyond its ends 0 and 1.
    pub fn time_of(&self, gamma: f64) -> f64 {
        let [from, to] = self.network.ends;
        if gamma <= from || gamma >= to {
            return if gamma <= from { 0.0 } else { 1.0 };
        }
        let (mut low, mut high) = (0.0, 1.0);
        let mut time = (gamma - from) / (to - from);
        // Newton's method, halving the bracket instead where that leads out of it.
        for _ in 0..100 {
            let here = self.at(time);
            let step = (here.value - gamma) / here.slope;
            if step.abs() <= 1e-12 || high - low <= 1e-12 {
                break;
            }
            if step > 0.0 {
                high = time
            } else {
                low = time
            }
            let next = time - step;
            time = if next > low && next < high { next } else { 0.5 * (low + high) };
        }
        time
    }

    /// The gradients of `gamma` and of its slope at each of `times` by the stored parameters, weighted and summed:
    /// `sum over (time, weight, bend) of weight (d slope - bend d value)`.
    ///
    /// With `n = g(time) - g(0)`, `d = g(1) - g(0)` and `r = gamma_1 - gamma_0`: `gamma = gamma_0 + r n / d`, so its gradient is
    /// `r (dn - n / d dd) / d`, and that of the slope `r (dg' - g' / d dd) / d`.
    pub fn gradient(&self, terms: impl IntoIterator<Item = (f64, f64, f64)>) -> Vec<f64> {
        let mut gradient = vec![0.0; self.network.params.len()];
        let scale = (self.network.ends[1] - self.network.ends[0]) / self.rise;
        // How much of the gradients of g(0) and of g(1) - g(0) all terms need together.
        let (mut of_start, mut of_rise) = (0.0, 0.0);
        for (time, weight, bend) in terms {
            let here = self.raw(time);
            let share = (here.value - self.start) / self.rise;
            self.add(&mut gradient, time, -scale * weight * bend, scale * weight);
            of_start += scale * weight * bend;
            of_rise += scale * weight * (bend * share - here.slope / self.rise);
        }
        self.add(&mut gradient, 0.0, of_start - of_rise, 0.0);
        self.add(&mut gradient, 1.0, of_rise, 0.0);
        gradient
    }

    /// The unscaled network `g`.
    fn raw(&self, time: f64) -> Gamma {
        let mut raw = Gamma { value: self.a * time, slope: self.a, curvature: 0.0 };
        for unit in &self.units {
            let [s, s1, s2] = sigmoids(unit.w * self.a * time + unit.b);
            let speed = unit.w * self.a;
            raw.value += unit.c * s;
            raw.slope += unit.c * s1 * speed;
            raw.curvature += unit.c * s2 * speed * speed;
        }
        raw
    }

    /// Adds the gradients of `g` and of `g'` at a time, each times a weight.
    fn add(&self, gradient: &mut [f64], time: f64, value: f64, slope: f64) {
        let (a, hidden) = (self.a, self.units.len());
        gradient[0] += (value * time + slope) * a;
        for (j, unit) in self.units.iter().enumerate() {
            let &Unit { w, b, c } = unit;
            let [s, s1, s2] = sigmoids(w * a * time + b);
            gradient[0] += c * w * (value * s1 * time + slope * (s2 * w * time * a + s1)) * a;
            gradient[1 + j] += c * a * (value * s1 * time + slope * (s2 * a * time * w + s1)) * w;
            gradient[1 + hidden + j] += c * (value * s1 + slope * s2 * w * a);
            gradient[1 + 2 * hidden + j] += (value * s + slope * s1 * w * a) * c;
        }
    }
}

/// `sigmoid(z)` and its first two derivatives.
fn sigmoids(z: f64) -> [f64; 3] {
    let s = sigmoid(z);
    let s1 = s * (1.0 - s);
    [s, s1, s1 * (1.0 - 2.0 * s)]
}

fn sigmoid(z: f64) -> f64 {
    (1.0 + (-z).exp()).recip()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network that is far from straight.
    fn bent() -> MonotoneNetwork {
        let mut network = MonotoneNetwork::straight(-7.0, 5.0, 6);
        for (index, param) in network.params_mut().iter_mut().enumerate() {
            *param += 1.5 * (index as f64 * 1.7).sin();
        }
        network
    }

    #[test]
    fn it_rises_from_end_to_end_and_is_found_again() {
        let network = bent();
        assert_eq!((network.at(0.0).value, network.at(1.0).value), (-7.0, 5.0));
        let mut previous = f64::NEG_INFINITY;
        for step in 0..=1000 {
            let time = f64::from(step) / 1000.0;
            let here = network.at(time);
            assert!(here.value > previous && here.slope > 0.0);
            previous = here.value;
            assert!((network.time_of(here.value) - time).abs() < 1e-9, "{time} came back as {}", network.time_of(here.value));
        }
        assert_eq!((network.time_of(-9.0), network.time_of(9.0)), (0.0, 1.0));
        let straight = MonotoneNetwork::straight(-7.0, 5.0, 32);
        assert!((straight.at(0.3).value - (-7.0 + 12.0 * 0.3)).abs() < 0.2, "{:?}", straight.at(0.3));
    }

    #[test]
    fn a_network_is_made_again_from_its_parts() {
        let network = bent();
        assert_eq!(MonotoneNetwork::from_parts(network.ends(), network.params().to_vec()), Some(network.clone()));
        let with = |ends, params: &[f64]| MonotoneNetwork::from_parts(ends, params.to_vec());
        assert_eq!(with([1.0, -1.0], network.params()), None);
        assert_eq!(with([f64::NAN, 1.0], network.params()), None);
        assert_eq!(with([-1.0, 1.0], &network.params()[1..]), None);
        assert_eq!(with([-1.0, 1.0], &[0.0]), None);
        assert_eq!(with([-1.0, 1.0], &[0.0, f64::INFINITY, 0.0, 0.0]), None);
    }

    #[test]
    fn derivatives_are_those_of_finite_differences() {
        let network = bent();
        let step = 1e-6;
        for time in [0.0, 0.2, 0.55, 0.93, 1.0] {
            let gamma = network.at(time);
            let by_slope = network.ready().gradient([(time, 1.0, 0.0)]);
            // The difference of the two is what the bend weighs.
            let by_value: Vec<f64> =
                by_slope.iter().zip(network.ready().gradient([(time, 1.0, 1.0)])).map(|(slope, both)| slope - both).collect();
            let (before, after) = (network.at(time - step), network.at(time + step));
            assert!(((after.value - before.value) / (2.0 * step) - gamma.slope).abs() < 1e-6);
            assert!(((after.slope - before.slope) / (2.0 * step) - gamma.curvature).abs() < 1e-5 * gamma.curvature.abs().max(1.0));
            for index in 0..network.params().len() {
                let moved = |by: f64| {
                    let mut other = network.clone();
                    other.params_mut()[index] += by;
                    other.at(time)
                };
                let (before, after) = (moved(-step), moved(step));
                let numeric = [(after.value - before.value) / (2.0 * step), (after.slope - before.slope) / (2.0 * step)];
                for (got, expected) in [by_value[index], by_slope[index]].into_iter().zip(numeric) {
                    assert!((got - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{index} at {time}: {got}, not {expected}");
                }
            }
        }
    }
}
