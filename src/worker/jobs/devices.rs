//! What there is to compute on: the list at once, then how each device does, while nobody waits for anything else.

use super::{Desk, JobError};
use crate::pipeline::{devices, try_device};
use crate::worker::explain;
use crate::worker::protocol::{DeviceRow, Event};

pub(super) fn run(desk: &Desk) -> Result<(), JobError> {
    let mut rows: Vec<DeviceRow> = devices().into_iter().map(|card| DeviceRow { card, tried: None }).collect();
    let tell = |rows: &[DeviceRow], done| desk.answer(Event::Devices { job: desk.job.id, rows: rows.into(), done });
    tell(&rows, false)?;
    for index in 0..rows.len() {
        desk.breathe()?;
        // A card in software takes seconds for what nobody will choose.
        if rows[index].card.software {
            continue;
        }
        desk.progress(index, rows.len());
        rows[index].tried = Some(try_device(rows[index].card.kind).map_err(|error| explain(&error)));
        tell(&rows, false)?;
    }
    tell(&rows, true)
}
