//! What the model computes on: what the person chose or what was found at first use, the fastest that agrees with the processor.

use super::app::App;
use super::settings::Settings;
use crate::worker::protocol::{DeviceKind, DeviceRow};

/// How much faster than the processor a device has to be to be taken in its place unasked.
const WORTH: f64 = 1.25;

/// Where the choice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// It was asked for at this start.
    Asked(DeviceKind),
    /// It was chosen or found at an earlier one.
    Remembered(DeviceKind),
    /// The processor, until the fastest is found.
    Finding,
    /// The processor, and nothing is to be found.
    Usual,
}

impl DeviceChoice {
    /// The choice at the start.
    pub fn new(asked: Option<DeviceKind>, settings: &Settings, find: bool) -> Self {
        let remembered = || DeviceKind::ALL.into_iter().find(|kind| Some(kind.label()) == settings.device.as_deref());
        match (asked, remembered()) {
            (Some(kind), _) => Self::Asked(kind),
            (None, Some(kind)) => Self::Remembered(kind),
            (None, None) if find => Self::Finding,
            (None, None) => Self::Usual,
        }
    }

    /// What the model is opened on first.
    pub fn first(self) -> DeviceKind {
        match self {
            Self::Asked(kind) | Self::Remembered(kind) => kind,
            Self::Finding | Self::Usual => DeviceKind::Cpu,
        }
    }

    /// Whether it comes from an earlier start, so that the device may be gone.
    pub fn is_remembered(self) -> bool {
        matches!(self, Self::Remembered(_))
    }
}

/// What a device took for a step, where it was tried, agrees with the processor, and is not the processor by a detour.
fn step_ms(row: &DeviceRow) -> Option<f64> {
    row.tried.as_ref()?.as_ref().ok().filter(|trial| trial.passes() && !row.card.software).map(|trial| trial.step_ms)
}

/// Of such devices the one that took the least.
pub fn fastest(rows: &[DeviceRow]) -> Option<&DeviceRow> {
    let timed = rows.iter().filter_map(|row| Some((row, step_ms(row)?)));
    timed.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(row, _)| row)
}

/// The device to take in the processor's place unasked, with its time and that of the processor: the fastest in full precision, where
/// it is fast enough to be worth it.
fn worth_taking(rows: &[DeviceRow]) -> Option<(&DeviceRow, f64, f64)> {
    let processor = rows.iter().find(|row| row.card.kind == DeviceKind::Cpu).and_then(step_ms)?;
    let whole: Vec<DeviceRow> = rows.iter().filter(|row| !row.card.kind.is_half()).cloned().collect();
    let kind = fastest(&whole)?.card.kind;
    let row = rows.iter().find(|row| row.card.kind == kind)?;
    let own = step_ms(row)?;
    (kind != DeviceKind::Cpu && processor > WORTH * own).then_some((row, own, processor))
}

impl App {
    /// Opens the model on a device that the person chose, and remembers it.
    pub(super) fn use_device(&mut self, device: DeviceKind) {
        self.devices = DeviceChoice::Asked(device);
        self.settings.device = Some(device.label().to_owned());
        self.session.open_on(device);
    }

    /// Finds the fastest device once nothing else is to be done, at the first start, and remembers what was found.
    pub(super) fn follow_devices(&mut self) {
        if self.session.may_fall_back && self.session.device != self.devices.first() {
            // What was remembered could not be opened: it is not tried again at the next start.
            self.settings.device = None;
        }
        if self.devices != DeviceChoice::Finding {
            return;
        }
        if self.session.devices.is_none() && self.session.card.is_some() && self.is_settled() {
            self.session.ask_devices();
        }
        let Some(rows) = self.session.devices.clone().filter(|_| self.session.devices_tried) else { return };
        self.devices = DeviceChoice::Usual;
        self.settings.device = Some(DeviceKind::Cpu.label().to_owned());
        if let Some((row, own, processor)) = worth_taking(&rows) {
            let (name, kind) = (row.card.name.clone(), row.card.kind);
            self.use_device(kind);
            let text =
                format!("Now computing on {name}: {own:.1} ms a step, where the processor takes {processor:.1}, and the same pictures.");
            self.session.notices.done_but(text, "Use the processor");
        }
    }
}

#[cfg(test)]
pub(in crate::ui) mod tests {
    use super::*;
    use crate::worker::protocol::{DeviceCard, Trial};

    /// A device that was tried, held to 1e-3.
    pub(in crate::ui) fn row(kind: DeviceKind, software: bool, step_ms: f64, error: f64) -> DeviceRow {
        let card = DeviceCard { kind, name: kind.label().into(), software };
        DeviceRow { card, tried: Some(Ok(Trial { step_ms, error, tolerance: 1e-3 })) }
    }

    #[test]
    fn software_and_what_differs_are_never_the_fastest() {
        let [cpu, cuda, card, half] = [DeviceKind::ALL[0], DeviceKind::ALL[1], DeviceKind::ALL[2], DeviceKind::ALL[3]];
        let rows = [row(cpu, false, 20.0, 0.0), row(cuda, false, 1.0, 0.5), row(card, true, 2.0, 0.0), row(half, false, 9.0, 1e-4)];
        assert_eq!(fastest(&rows).map(|row| row.card.kind), Some(half));
        assert_eq!(fastest(&rows[..3]).map(|row| row.card.kind), Some(cpu));
    }

    #[test]
    fn a_device_is_taken_unasked_only_where_it_is_whole_right_and_worth_it() {
        let [cpu, cuda, card, half] = [DeviceKind::ALL[0], DeviceKind::ALL[1], DeviceKind::ALL[2], DeviceKind::ALL[3]];
        let taken = |rows: &[DeviceRow]| worth_taking(rows).map(|(row, ..)| row.card.kind);
        let processor = row(cpu, false, 20.0, 0.0);
        assert_eq!(taken(&[processor.clone(), row(card, false, 5.0, 1e-5), row(half, false, 3.0, 1e-4)]), Some(card), "not half precision");
        assert_eq!(taken(&[processor.clone(), row(cuda, false, 2.0, 1e-5), row(card, false, 5.0, 1e-5)]), Some(cuda));
        assert_eq!(taken(&[processor.clone(), row(card, false, 18.0, 1e-5)]), None, "hardly faster");
        assert_eq!(taken(&[processor.clone(), row(card, false, 2.0, 0.1)]), None, "not the same answers");
        assert_eq!(taken(&[processor, row(card, true, 2.0, 0.0)]), None, "software");
        assert_eq!(taken(&[row(card, false, 2.0, 0.0)]), None, "nothing to hold it against");
    }

    #[test]
    fn what_was_asked_for_goes_before_what_is_remembered() {
        let remembering = |device: &str| Settings { device: Some(device.into()), ..Settings::default() };
        let card = DeviceKind::ALL[2];
        assert_eq!(DeviceChoice::new(Some(card), &remembering("cpu"), true), DeviceChoice::Asked(card));
        assert_eq!(DeviceChoice::new(None, &remembering(card.label()), true), DeviceChoice::Remembered(card));
        assert_eq!(DeviceChoice::new(None, &remembering("abacus"), true), DeviceChoice::Finding);
        assert_eq!(DeviceChoice::new(None, &Settings::default(), false), DeviceChoice::Usual);
    }
}
