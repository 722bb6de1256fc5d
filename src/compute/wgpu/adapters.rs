//! The graphics adapters of this machine.

use eframe::egui_wgpu::wgpu;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

/// What an adapter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AdapterKind {
    /// A card with memory of its own.
    Discrete,
    /// A part of the processor's package.
    Integrated,
    /// A card of the host, seen from a virtual machine.
    Virtual,
    /// The driver does not say.
    Other,
    /// The processor in the place of a card: right, but slower than the processor itself.
    Software,
}

/// An adapter, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterCard {
    /// What its driver calls it.
    pub name: String,
    /// The interface that it is reached by: Vulkan, Metal or DX12.
    pub backend: String,
    /// What it is.
    pub kind: AdapterKind,
    /// Bytes in the largest tensor that it can compute with.
    pub max_tensor_bytes: u64,
    /// Whether it computes with numbers of half precision.
    pub has_f16: bool,
}

impl fmt::Display for AdapterCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let software = if self.kind == AdapterKind::Software { ", in software" } else { "" };
        write!(f, "{} ({}{software})", self.name, self.backend)
    }
}

impl AdapterCard {
    fn new(adapter: &wgpu::Adapter) -> Self {
        let (info, limits) = (adapter.get_info(), adapter.limits());
        Self {
            name: info.name,
            backend: match info.backend {
                wgpu::Backend::Vulkan => "Vulkan".to_owned(),
                wgpu::Backend::Metal => "Metal".to_owned(),
                wgpu::Backend::Dx12 => "DX12".to_owned(),
                other => other.to_string(),
            },
            kind: match info.device_type {
                wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
                wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
                wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
                wgpu::DeviceType::Cpu => AdapterKind::Software,
                wgpu::DeviceType::Other => AdapterKind::Other,
            },
            max_tensor_bytes: limits.max_buffer_size.min(limits.max_storage_buffer_binding_size),
            has_f16: adapter.features().contains(wgpu::Features::SHADER_F16),
        }
    }
}

/// The adapters with what is known of them, the likely fastest first.
pub(super) fn found() -> Vec<(wgpu::Adapter, AdapterCard)> {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    let instance = INSTANCE.get_or_init(|| {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        // OpenGL has no compute kernels worth the name.
        descriptor.backends = wgpu::Backends::from_env().unwrap_or(wgpu::Backends::PRIMARY);
        wgpu::Instance::new(descriptor)
    });
    let adapters = ready(instance.enumerate_adapters(wgpu::Backends::all())).unwrap_or_default();
    let mut all: Vec<_> = adapters.into_iter().map(|adapter| (AdapterCard::new(&adapter), adapter)).map(|(c, a)| (a, c)).collect();
    all.sort_by_key(|(_, card)| card.kind);
    all
}

/// The adapters of this machine, the likely fastest first.
pub fn adapters() -> Vec<AdapterCard> {
    found().into_iter().map(|(_, card)| card).collect()
}

/// The result of a future that is ready at once, as all of wgpu's are outside of a browser.
pub fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
