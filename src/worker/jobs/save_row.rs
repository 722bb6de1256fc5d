//! Writing pictures side by side, at their own size, on white.

use super::{Desk, JobError};
use crate::figure;
use crate::host::HostTensor;
use crate::worker::protocol::Event;
use std::path::Path;

pub(super) fn run(desk: &Desk, path: &Path, pictures: &[HostTensor]) -> Result<(), JobError> {
    figure::write_png(path, &row(pictures)?)?;
    desk.answer(Event::Saved { job: desk.job.id, path: path.to_owned() })
}

/// Pictures of one height in a row, a sixteenth of the height between them.
fn row(pictures: &[HostTensor]) -> Result<HostTensor, JobError> {
    let wrong = |what: String| JobError::Request(format!("a row takes pictures [3, H, W] of one height, but {what}"));
    let Some(&[3, height, _]) = pictures.first().map(HostTensor::shape) else {
        return Err(wrong(pictures.first().map_or("there are none".into(), |first| format!("{:?} came", first.shape()))));
    };
    if let Some(other) = pictures.iter().find(|picture| !matches!(*picture.shape(), [3, other, _] if other == height)) {
        return Err(wrong(format!("{:?} came beside a height of {height}", other.shape())));
    }
    let gap = height / 16;
    let starts: Vec<usize> = pictures
        .iter()
        .scan(0, |left, picture| {
            let start = *left;
            *left += picture.shape()[2] + gap;
            Some(start)
        })
        .collect();
    let width = pictures.last().zip(starts.last()).map_or(0, |(picture, start)| start + picture.shape()[2]);
    let mut joined = HostTensor::full([3, height, width], 1.0);
    let data = joined.data_mut();
    for (picture, start) in pictures.iter().zip(starts) {
        let own = picture.shape()[2];
        for (line, values) in picture.data().chunks(own.max(1)).enumerate() {
            data[line * width + start..line * width + start + own].copy_from_slice(values);
        }
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_side_by_side_on_white() {
        let (a, b) = (HostTensor::full([3, 16, 2], 0.25), HostTensor::full([3, 16, 3], 0.5));
        let joined = row(&[a, b]).unwrap();
        assert_eq!(joined.shape(), [3, 16, 6]);
        for line in joined.data().chunks(6) {
            assert_eq!(line, [0.25, 0.25, 1.0, 0.5, 0.5, 0.5]);
        }
    }

    #[test]
    fn what_makes_no_row_is_refused() {
        assert!(row(&[]).unwrap_err().to_string().contains("there are none"));
        let (a, b) = (HostTensor::full([3, 16, 2], 0.0), HostTensor::full([3, 8, 2], 0.0));
        assert!(row(&[a, b]).unwrap_err().to_string().contains("[3, 8, 2]"));
    }
}
