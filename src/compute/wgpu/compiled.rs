//! Compiled kernels that outlive the program, where the driver hands them out (Vulkan): the second start need not compile.

use eframe::egui_wgpu::wgpu;
use std::sync::{Mutex, OnceLock, PoisonError};

/// A place where compiled kernels are kept between two starts. What it hands out has to be what was put there, to the last byte.
pub trait Shelf: Send + Sync {
    /// What was put there under a key.
    fn take(&self, key: &str) -> Option<Vec<u8>>;
    /// Puts something there; what lay there under the key is replaced.
    fn put(&self, key: &str, bytes: &[u8]);
}

static SHELF: OnceLock<Box<dyn Shelf>> = OnceLock::new();

/// Keeps compiled kernels on a shelf from now on. The first shelf stays.
pub fn keep_compiled(shelf: Box<dyn Shelf>) {
    drop(SHELF.set(shelf));
}

/// The driver's cache of a device, and the shelf that it lies on.
pub(super) struct Compiled {
    cache: wgpu::PipelineCache,
    key: String,
    /// What is on the shelf.
    kept: Mutex<Vec<u8>>,
}

impl Compiled {
    /// What a device has to offer for it, where there is a shelf.
    pub fn features(adapter: &wgpu::Adapter) -> wgpu::Features {
        if SHELF.get().is_some() { adapter.features() & wgpu::Features::PIPELINE_CACHE } else { wgpu::Features::empty() }
    }

    /// The cache of a device that was opened with [`Self::features`], as it was left; none where the driver has none.
    pub fn open(adapter: &wgpu::Adapter, device: &wgpu::Device) -> Option<Self> {
        let shelf = SHELF.get()?;
        let key = wgpu::util::pipeline_cache_key(&adapter.get_info())?;
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let kept = shelf.take(&key).unwrap_or_default();
        let descriptor = wgpu::PipelineCacheDescriptor { label: Some(&key), data: (!kept.is_empty()).then_some(&kept), fallback: true };
        #[allow(unsafe_code)] // The data comes from `get_data` below, and the shelf vouches for it; the driver checks that it is its own.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Some(Self { cache, key, kept: Mutex::new(kept) })
    }

    /// The cache, to compile with.
    pub fn cache(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Puts what has been compiled onto the shelf, where that is more than lies there.
    pub fn keep(&self) {
        let (Some(shelf), Some(data)) = (SHELF.get(), self.cache.get_data()) else { return };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if *kept != data {
            shelf.put(&self.key, &data);
            *kept = data;
        }
    }
}
