//! The two ways of 3x3 convolutions on a graphics card, in turn.

use super::turns::{Summary, rounded};
use crate::cli::{interrupt, tensors};
use crate::compute::{Convolving, DeviceKind, WgpuDevice};
use anyhow::Result;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Turns before the measured ones; the first of each way compiles its kernels and transforms its weights.
const WARM_UP: u32 = 2;

/// How long one thing took by each way, in milliseconds and in the order taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Ways {
    name: &'static str,
    times: [Vec<f64>; 2],
}

/// The way that was chosen before is taken again afterwards, come what may.
struct Restored(WgpuDevice, Convolving);

impl Drop for Restored {
    fn drop(&mut self) {
        self.0.convolve_by(self.1);
    }
}

impl Ways {
    /// Runs `work`, which times itself, by each way in turn; none where the device is not a graphics card.
    ///
    /// # Errors
    /// Those of `work`, such as memory for both kinds of weights that is not there; Ctrl-C.
    pub fn of(device: DeviceKind, name: &'static str, runs: u32, work: &mut dyn FnMut() -> Result<Duration>) -> Result<Option<Self>> {
        let DeviceKind::Wgpu(choice) = device else { return Ok(None) };
        Self::on(&tensors::graphics(choice)?, name, runs, work).map(Some)
    }

    fn on(device: &WgpuDevice, name: &'static str, runs: u32, work: &mut dyn FnMut() -> Result<Duration>) -> Result<Self> {
        let restored = Restored(device.clone(), device.convolving());
        let mut times = [Vec::new(), Vec::new()];
        for run in 0..WARM_UP.min(runs) + runs {
            for (way, times) in Convolving::ALL.into_iter().zip(&mut times) {
                interrupt::check()?;
                restored.0.convolve_by(way);
                let elapsed = work()?;
                interrupt::check()?;
                if run >= WARM_UP.min(runs) {
                    times.push(elapsed.as_secs_f64() * 1e3);
                }
            }
        }
        Ok(Self { name, times })
    }

    /// The time of the first way over that of the second, turn by turn.
    fn ratio(&self) -> Summary {
        let [first, second] = &self.times;
        Summary::of(&first.iter().zip(second).map(|(first, second)| first / second).collect::<Vec<_>>())
    }

    /// A table of all.
    pub fn table(all: &[Self]) -> String {
        let [first, second] = Convolving::ALL.map(Convolving::label);
        let mut text =
            "3x3 convolutions by either way, in turn: median ms and quartiles; a ratio above 1 says that the second is faster\n".to_owned();
        text += &format!("{:16}  {first:28}  {second:28}  ratio", "");
        for ways in all {
            let [first, second] = ways.times.each_ref().map(|times| Summary::of(times).show(2));
            text += &format!("\n{:16}  {first:28}  {second:28}  {}", ways.name, ways.ratio().show(2));
        }
        text
    }

    /// The same as JSON, by name.
    pub fn json(all: &[Self]) -> Value {
        let one = |ways: &Self| {
            let medians = ways.times.each_ref().map(|times| rounded(Summary::of(times).median));
            let about = json!({ "implicit_product_ms": medians[0], "winograd_ms": medians[1], "ratio": ways.ratio().to_json() });
            (ways.name.to_owned(), about)
        };
        Value::Object(all.iter().map(one).collect::<Map<_, _>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::Storage;

    #[test]
    fn a_card_takes_both_ways_in_turn_and_goes_on_by_the_one_before() {
        // Of its own, since whoever shares a device shares the way.
        let device = WgpuDevice::open_anew(0, Storage::F32, true).unwrap();
        let mut taken = Vec::new();
        let ways = Ways::on(&device, "unet_guided", 1, &mut || {
            taken.push(device.convolving());
            Ok(Duration::from_millis(if device.convolving() == Convolving::Winograd { 10 } else { 30 }))
        });
        let all = [ways.unwrap()];
        assert_eq!(taken, [Convolving::ALL, Convolving::ALL].concat());
        assert_eq!(device.convolving(), Convolving::default());
        assert_eq!(Ways::json(&all)["unet_guided"]["ratio"]["median"], 3.0);
        let text = Ways::table(&all);
        assert!(text.contains("Winograd") && text.contains("3.00 (3.00 to 3.00)"), "{text}");

        let failed = Ways::on(&device, "unet_guided", 1, &mut || match device.convolving() {
            Convolving::Winograd => anyhow::bail!("memory is full"),
            Convolving::ImplicitProduct => Ok(Duration::ZERO),
        });
        assert!(failed.is_err());
        assert_eq!(device.convolving(), Convolving::default());
        assert_eq!(Ways::of(DeviceKind::Cpu, "unet_guided", 1, &mut || unreachable!()).unwrap(), None);
    }
}
