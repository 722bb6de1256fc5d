//! Buffers on the device, recycled by size: a step of a run asks for the same ones as the step before it.
//!
//! A buffer is handed out again as soon as its tensor is gone, even where work that was recorded with it has not been done:
//! what is recorded later is done later. Nothing is therefore ever written to a recycled buffer but by recorded work.

use eframe::egui_wgpu::wgpu;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Readbacks after which an idle buffer is given back to the driver.
const PATIENCE: u64 = 64;

/// A buffer that goes back to where it came from.
pub(super) struct Block {
    pub buffer: wgpu::Buffer,
    /// Tells it from every other buffer that there ever was.
    pub id: u64,
    /// Whether it is for anyone, or was made to hold one thing, such as a weight.
    shared: bool,
    home: Arc<Pool>,
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut shelves = self.home.lock();
        shelves.in_use -= self.buffer.size();
        if self.shared {
            let idle = Idle { buffer: self.buffer.clone(), id: self.id, since: shelves.time };
            shelves.idle.entry(self.buffer.size()).or_default().push(idle);
        } else {
            shelves.gone.push(self.id);
        }
    }
}

struct Idle {
    buffer: wgpu::Buffer,
    id: u64,
    since: u64,
}

#[derive(Default)]
struct Shelves {
    idle: HashMap<u64, Vec<Idle>>,
    /// Buffers that will not be seen again.
    gone: Vec<u64>,
    last_id: u64,
    time: u64,
    in_use: u64,
}

/// The buffers of a device.
#[derive(Default)]
pub(super) struct Pool(Mutex<Shelves>);

/// Sizes that are told apart: eight for each doubling, so that at most an eighth is left unused.
fn shelf(bytes: u64) -> u64 {
    let step = (bytes.max(256).next_power_of_two() / 16).max(64);
    bytes.max(256).next_multiple_of(step)
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of at least `bytes`, with whatever was in it.
    pub fn take(self: &Arc<Self>, device: &wgpu::Device, bytes: u64) -> Block {
        let size = shelf(bytes);
        let mut shelves = self.lock();
        shelves.in_use += size;
        if let Some(Idle { buffer, id, .. }) = shelves.idle.get_mut(&size).and_then(Vec::pop) {
            return Block { buffer, id, shared: true, home: Arc::clone(self) };
        }
        shelves.last_id += 1;
        let id = shelves.last_id;
        drop(shelves);
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let buffer = device.create_buffer(&wgpu::BufferDescriptor { label: Some("tensor"), size, usage, mapped_at_creation: false });
        Block { buffer, id, shared: true, home: Arc::clone(self) }
    }

    /// A buffer of its own for something that stays.
    pub fn keep(self: &Arc<Self>, buffer: wgpu::Buffer) -> Block {
        let mut shelves = self.lock();
        shelves.last_id += 1;
        shelves.in_use += buffer.size();
        Block { buffer, id: shelves.last_id, shared: false, home: Arc::clone(self) }
    }

    /// To be called once for each readback: gives back what has been idle for long, and tells which buffers there are no more.
    pub fn tidy(&self) -> Vec<u64> {
        let mut shelves = self.lock();
        shelves.time += 1;
        let (now, mut gone) = (shelves.time, std::mem::take(&mut shelves.gone));
        for shelf in shelves.idle.values_mut() {
            shelf.retain(|idle| {
                let stays = now - idle.since < PATIENCE;
                if !stays {
                    gone.push(idle.id);
                }
                stays
            });
        }
        gone
    }

    /// Bytes of tensors and bytes that wait to be used again.
    pub fn bytes(&self) -> (u64, u64) {
        let shelves = self.lock();
        (shelves.in_use, shelves.idle.iter().map(|(size, shelf)| size * shelf.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::shelf;

    #[test]
    fn a_shelf_holds_what_it_is_for_and_wastes_little() {
        for bytes in [1, 256, 257, 1000, 4096, 65_537, 1 << 20, (1 << 30) + 1] {
            let size = shelf(bytes);
            assert!(size >= bytes && size.is_multiple_of(4), "{bytes}: {size}");
            assert!(bytes < 1024 || size - bytes <= bytes / 8, "{bytes}: {size}");
            assert_eq!(shelf(size), size);
        }
    }
}
