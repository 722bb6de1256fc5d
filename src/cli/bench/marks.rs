//! What a device can do at most, and what lies on it.

use super::turns::rounded;
use crate::cli::tensors;
use crate::compute::DeviceKind;
use crate::compute::peak::f32_peak_gflops;
use anyhow::Result;
use serde_json::{Value, json};

/// What was measured of a device, where it can be.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Marks {
    /// Operations a second in f32, in 10^9.
    pub gflops: Option<f64>,
    /// Bytes a second that the plainest kernel reads and writes, in 10^9.
    pub gigabytes_per_s: Option<f64>,
    /// Bytes of tensors on a graphics card, and of buffers that wait there to be used again, before it was measured.
    pub bytes: Option<(u64, u64)>,
}

impl Marks {
    /// Measures a device; what lies on it is asked first.
    ///
    /// # Errors
    /// When it fails.
    pub fn of(device: DeviceKind) -> Result<Self> {
        Ok(match device {
            DeviceKind::Cpu => Self { gflops: Some(f32_peak_gflops()), ..Self::default() },
            // candle has no kernel that does nothing but multiply and add.
            DeviceKind::Cuda => Self::default(),
            DeviceKind::Wgpu(choice) => {
                let device = tensors::graphics(choice)?;
                let bytes = device.bytes();
                let peak = device.peak()?;
                Self { gflops: Some(peak.gflops), gigabytes_per_s: Some(peak.gigabytes_per_s), bytes: Some(bytes) }
            }
        })
    }

    /// The marks in words, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.gflops.map(|peak| format!("the peak: {peak:.1} GFLOP/s of f32 multiply-adds in registers, measured")));
        lines.extend(
            self.gigabytes_per_s.map(|peak| format!("the memory: {peak:.1} GB/s read and written by our plainest kernel, measured")),
        );
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        lines.extend(self.bytes.map(|(tensors, idle)| {
            format!("on the device: {:.1} MB of tensors, {:.1} MB kept to be used again", megabytes(tensors), megabytes(idle))
        }));
        lines
    }

    /// The same in a JSON object.
    pub fn add_to(&self, object: &mut Value) {
        object["f32_peak_gflops"] = self.gflops.map(rounded).into();
        object["memory_gb_per_s"] = self.gigabytes_per_s.map(rounded).into();
        object["device_bytes"] = self.bytes.map_or(Value::Null, |(tensors, idle)| json!({ "tensors": tensors, "idle": idle }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_told_and_nothing_else() {
        let marks = Marks { gflops: Some(200.0), gigabytes_per_s: None, bytes: Some((2_000_000, 500_000)) };
        let text = marks.lines().join("\n");
        assert!(text.contains("200.0 GFLOP/s") && text.contains("2.0 MB of tensors") && !text.contains("GB/s"), "{text}");
        let mut object = json!({});
        marks.add_to(&mut object);
        assert_eq!(
            object,
            json!({ "f32_peak_gflops": 200.0, "memory_gb_per_s": null, "device_bytes": { "tensors": 2_000_000, "idle": 500_000 } })
        );
    }
}
