//! A graphics device of our own: opened once, shared by all its tensors.

use super::adapters::{self, AdapterCard};
use super::compiled::Compiled;
use super::kernels::Dialect;
use super::operations;
use super::pool::{Block, Pool};
use super::recorder::{Dispatch, Pipelines, Recorder, filled};
use super::winograd::Convolving;
use crate::compute::{ComputeError, Result};
use crate::host::{f32_to_half, half_to_f32};
use eframe::egui_wgpu::wgpu;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// How tensors are stored; sums and functions are computed in f32 either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Storage {
    /// Single precision.
    #[default]
    F32,
    /// Half precision: half of the memory, and values to about three digits.
    F16,
}

impl Storage {
    /// Bytes of a value.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// Uploads from this size on are weights, which stay.
const LARGE: u64 = 1 << 20;
/// How long to wait for the device before asking whether it is still there.
const ROUND: Duration = Duration::from_secs(2);

/// What went wrong on the device.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// It is gone: taken out, reset by the driver, or asleep.
    Lost(String),
    /// Its memory is full.
    Memory(String),
    /// It refused something.
    Other(String),
}

impl From<Fault> for ComputeError {
    fn from(fault: Fault) -> Self {
        let detail = match fault {
            Fault::Lost(why) => format!("it was lost ({why}); choose it again, or go on with the processor (--device cpu)"),
            Fault::Memory(why) => {
                format!("its memory is full ({why}); close other programs that draw, or go on with the processor (--device cpu)")
            }
            Fault::Other(why) => format!("{why}; go on with the processor (--device cpu)"),
        };
        Self::Device { device: "wgpu", detail }
    }
}

/// The device, and what is shared on it.
pub(super) struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    card: AdapterCard,
    storage: Storage,
    pipelines: Pipelines,
    recorder: Mutex<Recorder>,
    pool: Arc<Pool>,
    fault: Arc<Mutex<Option<Fault>>>,
    /// Whether 3x3 convolutions go by Winograd's minimal filtering.
    winograd: AtomicBool,
    /// Pipelines that were compiled ahead, and the threads that do it.
    ahead: Arc<AtomicUsize>,
    compilers: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Gpu {
    fn drop(&mut self) {
        self.pipelines.keep();
    }
}

/// A graphics device. Cloning shares it.
#[derive(Clone)]
pub struct WgpuDevice(Arc<Gpu>);

impl fmt::Debug for WgpuDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WgpuDevice({}, {:?})", self.0.card, self.0.storage)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable<T>(detail: impl Into<String>) -> Result<T> {
    Err(ComputeError::Device { device: "wgpu", detail: detail.into() })
}

impl WgpuDevice {
    /// Opens the adapter at `index` of [`super::adapters()`]; one that is open already is shared, with all that is compiled.
    ///
    /// # Errors
    /// [`ComputeError::Device`] when there is none, or it refuses.
    pub fn open(index: usize, storage: Storage) -> Result<Self> {
        static OPEN: Mutex<Vec<(usize, Storage, Weak<Gpu>)>> = Mutex::new(Vec::new());
        let mut open = lock(&OPEN);
        let is_lost = |gpu: &Gpu| matches!(*lock(&gpu.fault), Some(Fault::Lost(_)));
        open.retain(|(_, _, gpu)| gpu.upgrade().is_some_and(|gpu| !is_lost(&gpu)));
        let known = open.iter().find(|(i, s, _)| (*i, *s) == (index, storage)).and_then(|(_, _, gpu)| gpu.upgrade());
        if let Some(gpu) = known {
            return Ok(Self(gpu));
        }
        let device = Self::open_anew(index, storage, true)?;
        open.push((index, storage, Arc::downgrade(&device.0)));
        Ok(device)
    }

    /// The same, not shared; whether subgroups are used where there are any.
    pub(crate) fn open_anew(index: usize, storage: Storage, use_subgroups: bool) -> Result<Self> {
        let mut found = adapters::found();
        if found.is_empty() {
            return unavailable(
                "no graphics adapter was found; install its Vulkan driver (one in software will do for a try: Debian, Ubuntu: apt install \
                 mesa-vulkan-drivers; Fedora: dnf install mesa-vulkan-drivers), or use --device cpu",
            );
        }
        if index >= found.len() {
            return unavailable(format!("there is no adapter {index}; there are {}, counted from 0", found.len()));
        }
        let (adapter, card) = found.swap_remove(index);
        if storage == Storage::F16 && !card.has_f16 {
            return unavailable(format!("{card} does not compute with numbers of half precision; store tensors in single precision"));
        }
        let mut wanted = if storage == Storage::F16 { wgpu::Features::SHADER_F16 } else { wgpu::Features::empty() };
        if use_subgroups {
            wanted |= adapter.features() & wgpu::Features::SUBGROUP;
        }
        wanted |= Compiled::features(&adapter);
        let dialect = Dialect { storage, subgroups: wanted.contains(wgpu::Features::SUBGROUP) };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("tensors"),
            required_features: wanted,
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let Some(answer) = adapters::ready(adapter.request_device(&descriptor)) else {
            return unavailable(format!("{card} answers late, as adapters do in a browser only"));
        };
        let (device, queue) = match answer {
            Ok(opened) => opened,
            Err(error) => return unavailable(format!("{card} cannot be opened: {error}; use --device cpu")),
        };
        let fault = Arc::new(Mutex::new(None));
        let (on_error, on_loss) = (Arc::clone(&fault), Arc::clone(&fault));
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            log::error!("wgpu: {error}");
            // The first one is the cause, the others follow from it.
            lock(&on_error).get_or_insert(match error {
                wgpu::Error::OutOfMemory { .. } => Fault::Memory(error.to_string()),
                _ => Fault::Other(error.to_string()),
            });
        }));
        device.set_device_lost_callback(move |reason, message| {
            let given_up = reason == wgpu::DeviceLostReason::Destroyed;
            let told = if given_up { "it was given up".to_owned() } else { message };
            if !given_up {
                log::error!("wgpu: the device was lost: {told}");
            }
            // Whatever else went wrong follows from it.
            *lock(&on_loss) = Some(Fault::Lost(told));
        });
        let pipelines = Pipelines::new(&device, dialect, Compiled::open(&adapter, &device));
        let (recorder, pool, ahead, compilers) = (Mutex::default(), Arc::default(), Arc::default(), Mutex::default());
        let winograd = AtomicBool::default();
        let opened = Self(Arc::new(Gpu { device, queue, card, storage, pipelines, recorder, pool, fault, winograd, ahead, compilers }));
        opened.compile_ahead();
        Ok(opened)
    }

    /// Compiles what the models use on threads of its own, while their weights are being read.
    fn compile_ahead(&self) {
        let next = Arc::new(AtomicUsize::new(0));
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2).min(4));
        for _ in 0..threads {
            let (next, ahead, gpu) = (Arc::clone(&next), Arc::clone(&self.0.ahead), Arc::downgrade(&self.0));
            let compile = move || {
                let usual = operations::usual();
                while let (Some((kernel, constants)), Some(gpu)) = (usual.get(next.fetch_add(1, Ordering::Relaxed)), gpu.upgrade()) {
                    gpu.pipelines.get(&gpu.device, *kernel, constants);
                    if ahead.fetch_add(1, Ordering::Relaxed) + 1 == usual.len() {
                        gpu.pipelines.keep();
                    }
                }
            };
            match std::thread::Builder::new().name("pipelines".into()).spawn(compile) {
                Ok(thread) => lock(&self.0.compilers).push(thread),
                Err(error) => log::warn!("pipelines are compiled when they are needed: {error}"),
            }
        }
    }

    /// How many of the pipelines that models use are compiled, and of how many; none where all that can be done ahead is done.
    pub fn compiling(&self) -> Option<(usize, usize)> {
        let at_work = lock(&self.0.compilers).iter().any(|thread| !thread.is_finished());
        at_work.then(|| (self.0.ahead.load(Ordering::Relaxed), operations::usual().len()))
    }

    /// The adapter that it is on.
    pub fn card(&self) -> &AdapterCard {
        &self.0.card
    }

    /// How tensors are stored.
    pub fn storage(&self) -> Storage {
        self.0.storage
    }

    /// Bytes of tensors on the device, and bytes that wait there to be used again.
    pub fn bytes(&self) -> (u64, u64) {
        self.0.pool.bytes()
    }

    /// How 3x3 convolutions of stride 1 are computed from now on, by everybody who shares the device.
    pub fn convolve_by(&self, how: Convolving) {
        self.0.winograd.store(how == Convolving::Winograd, Ordering::Relaxed);
    }

    /// How 3x3 convolutions of stride 1 are computed.
    pub fn convolving(&self) -> Convolving {
        if self.0.winograd.load(Ordering::Relaxed) { Convolving::Winograd } else { Convolving::ImplicitProduct }
    }

    /// How many pipelines have been compiled.
    pub fn pipelines(&self) -> usize {
        self.0.pipelines.count()
    }

    /// Gives the device up, as if the card had been taken out: what is asked of it from now on is refused as lost, by everybody
    /// who shares it. To be opened anew.
    pub fn give_up(&self) {
        self.0.device.destroy();
        // It is told of once the work in flight is done.
        self.poll(wgpu::PollType::Wait { submission_index: None, timeout: Some(ROUND) }).ok();
    }

    /// Asks the device how far it is.
    ///
    /// # Errors
    /// Its loss: the wrapper around the driver gives up with a panic where it learns of it here.
    fn poll(&self, how: wgpu::PollType) -> std::result::Result<std::result::Result<wgpu::PollStatus, wgpu::PollError>, Fault> {
        or_lost(&self.0.fault, || self.0.device.poll(how))
    }

    /// Refuses what is known to be impossible, and goes on with nothing after an error.
    fn check(&self) -> Result<()> {
        match told(&self.0.fault) {
            None => return Ok(()),
            // There is no way back from a loss.
            Some(lost @ Fault::Lost(_)) => return Err(lost.into()),
            // What looks like another fault may come of a loss that has not been told yet.
            Some(_) => self.poll(wgpu::PollType::Poll)?.ok(),
        };
        match told(&self.0.fault) {
            Some(lost @ Fault::Lost(_)) => Err(lost.into()),
            _ => lock(&self.0.fault).take().map_or(Ok(()), |fault| Err(fault.into())),
        }
    }

    /// What has become of something that failed: a loss of the device, where that is behind it.
    fn blame(&self, fault: Fault) -> ComputeError {
        lock(&self.0.fault).get_or_insert(fault);
        self.check().err().unwrap_or(ComputeError::NoValues)
    }

    /// A buffer for `count` values of `bytes_each`.
    ///
    /// # Errors
    /// When a tensor of that size is more than the device takes.
    pub(super) fn allocate(&self, count: usize, bytes_each: u64) -> Result<Arc<Block>> {
        let (bytes, most) = ((count as u64).saturating_mul(bytes_each), self.0.card.max_tensor_bytes);
        if bytes > most || count >= 1 << 31 {
            return unavailable(format!(
                "a tensor of {:.1} MB is more than the {:.1} MB that {} computes with at once; use --device cpu",
                bytes as f64 / 1e6,
                most as f64 / 1e6,
                self.0.card
            ));
        }
        Ok(Arc::new(self.0.pool.take(&self.0.device, bytes)))
    }

    /// Values in a buffer on the device.
    pub(super) fn upload(&self, values: &[f32]) -> Result<Arc<Block>> {
        let bytes: Vec<u8> = match self.0.storage {
            Storage::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Storage::F16 => values.iter().flat_map(|&value| f32_to_half(value).to_le_bytes()).collect(),
        };
        self.upload_bytes(bytes, values.len(), self.0.storage.bytes())
    }

    /// Indices in a buffer on the device.
    pub(super) fn upload_indices(&self, indices: &[u32]) -> Result<Arc<Block>> {
        self.upload_bytes(indices.iter().flat_map(|value| value.to_le_bytes()).collect(), indices.len(), 4)
    }

    fn upload_bytes(&self, mut bytes: Vec<u8>, count: usize, bytes_each: u64) -> Result<Arc<Block>> {
        self.check()?;
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let Gpu { device, pool, recorder, .. } = &*self.0;
        if (bytes.len() as u64) < LARGE {
            let block = self.allocate(count, bytes_each)?;
            let recorded = lock(recorder).upload(device, &block, &bytes);
            return recorded.map(|()| block).map_err(|fault| self.blame(fault));
        }
        // Checked here too, before the driver is asked.
        if bytes.len() as u64 > self.0.card.max_tensor_bytes {
            self.allocate(count, bytes_each)?;
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let buffer = filled(device, "weights", usage, &bytes).map_err(|fault| self.blame(fault))?;
        Ok(Arc::new(pool.keep(buffer)))
    }

    /// Records work, and whatever it takes to have it done later.
    pub(super) fn dispatch(&self, work: &Dispatch<'_>) -> Result<()> {
        let Gpu { device, queue, pipelines, recorder, .. } = &*self.0;
        let recorded = lock(recorder).dispatch(device, queue, pipelines, work);
        recorded.map_err(|fault| self.blame(fault))
    }

    /// The first `count` values of a buffer, once everything recorded is done.
    pub(super) fn download(&self, block: &Block, count: usize) -> Result<Vec<f32>> {
        self.check()?;
        let Gpu { device, queue, pool, recorder, .. } = &*self.0;
        let bytes = (count as u64 * self.0.storage.bytes()).next_multiple_of(4);
        let staging = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let submitted = {
            let mut recorder = lock(recorder);
            recorder.download(device, block, &staging, bytes);
            let submitted = recorder.submit(device, queue);
            recorder.forget(pool.tidy());
            submitted
        };
        let (done, answer) = mpsc::sync_channel(1);
        staging.slice(..).map_async(wgpu::MapMode::Read, move |result| {
            // Nobody listens any more after an error.
            done.try_send(result).ok();
        });
        let failed = |error: String| self.blame(Fault::Other(format!("the values cannot be read back: {error}")));
        let mapped = loop {
            let round = wgpu::PollType::Wait { submission_index: Some(submitted.clone()), timeout: Some(ROUND) };
            let polled = self.poll(round);
            if let Ok(answer) = answer.try_recv() {
                break answer;
            }
            self.check()?;
            match polled? {
                Ok(_) | Err(wgpu::PollError::Timeout) => {}
                Err(error) => return Err(failed(error.to_string())),
            }
        };
        self.check()?;
        mapped.map_err(|e| failed(e.to_string()))?;
        let view = staging.slice(..).get_mapped_range().map_err(|e| failed(e.to_string()))?;
        Ok(match self.0.storage {
            Storage::F32 => view.as_chunks::<4>().0[..count].iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Storage::F16 => view.as_chunks::<2>().0[..count].iter().map(|b| half_to_f32(u16::from_le_bytes(*b))).collect(),
        })
    }
}

/// The fault that is known of.
fn told(fault: &Mutex<Option<Fault>>) -> Option<Fault> {
    lock(fault).clone()
}

/// What `work` gives. A panic in it, which is how a loss is told of there, becomes one, unless the driver has said more.
fn or_lost<T>(fault: &Mutex<Option<Fault>>, work: impl FnOnce() -> T) -> std::result::Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
        let mut fault = lock(fault);
        let lost = match fault.take() {
            Some(lost @ Fault::Lost(_)) => lost,
            _ => Fault::Lost("its driver gave up".into()),
        };
        fault.insert(lost).clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_wrapper_is_a_loss_that_stays() {
        let fault = Mutex::new(Some(Fault::Other("a buffer is invalid".into())));
        assert_eq!(or_lost(&fault, || 5).ok(), Some(5));
        let Err(lost) = or_lost(&fault, || -> u8 { panic!("Error in Device::poll: device is lost") }) else { panic!("no loss") };
        let text = ComputeError::from(lost).to_string();
        assert!(text.contains("it was lost (its driver gave up)") && text.contains("--device cpu"), "{text}");
        assert!(matches!(told(&fault), Some(Fault::Lost(_))));
    }

    #[test]
    fn what_the_driver_says_of_a_loss_is_kept() {
        let fault = Mutex::new(None);
        let lost = or_lost(&fault, || -> u8 {
            *lock(&fault) = Some(Fault::Lost("the card was reset".into()));
            panic!("Error in Device::poll: device is lost")
        });
        let text = ComputeError::from(lost.unwrap_err()).to_string();
        assert!(text.contains("the card was reset"), "{text}");
    }
}
