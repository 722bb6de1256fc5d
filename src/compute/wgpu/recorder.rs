//! Recording of work: one encoder for as much as goes to the device at once, and what is made once and used in every step.

use super::Fault;
use super::compiled::Compiled;
use super::kernels::{Constants, Dialect, Kernel};
use super::pool::Block;
use eframe::egui_wgpu::wgpu;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// Multiply-adds after which what is recorded is handed to the device: a fraction of a second on a slow one, far from the
/// seconds after which a driver takes it for hung.
const WORK_AT_ONCE: u64 = 20_000_000_000;
/// Dispatches after which it is, so that the device begins while the rest is being recorded.
const DISPATCHES_AT_ONCE: usize = 64;
/// Parameters and bind groups that are remembered.
const REMEMBERED: usize = 8192;
/// The most buffers that a kernel reads.
const MOST_INPUTS: usize = 5;

/// The pipelines of a device, compiled once each.
pub(super) struct Pipelines {
    dialect: Dialect,
    /// What was compiled at an earlier start.
    compiled: Option<Compiled>,
    layouts: Vec<(wgpu::BindGroupLayout, wgpu::PipelineLayout)>,
    modules: Mutex<HashMap<Kernel, wgpu::ShaderModule>>,
    ready: Mutex<HashMap<(Kernel, Constants), wgpu::ComputePipeline>>,
}

impl Pipelines {
    pub fn new(device: &wgpu::Device, dialect: Dialect, compiled: Option<Compiled>) -> Self {
        let entry = |binding: usize, ty: wgpu::BufferBindingType| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let layout = |inputs: usize| {
            let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform)];
            entries.extend((1..=inputs).map(|i| entry(i, wgpu::BufferBindingType::Storage { read_only: true })));
            entries.push(entry(inputs + 1, wgpu::BufferBindingType::Storage { read_only: false }));
            let group = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
            let whole = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&group)],
                immediate_size: 0,
            });
            (group, whole)
        };
        let layouts = (0..=MOST_INPUTS).map(layout).collect();
        Self { dialect, compiled, layouts, modules: Mutex::default(), ready: Mutex::default() }
    }

    /// The pipeline of a kernel under these constants.
    pub fn get(&self, device: &wgpu::Device, kernel: Kernel, constants: &Constants) -> wgpu::ComputePipeline {
        let key = (kernel, constants.clone());
        if let Some(pipeline) = self.ready.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return pipeline.clone();
        }
        let module = self
            .modules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(kernel)
            .or_insert_with(|| {
                let source = wgpu::ShaderSource::Wgsl(kernel.source(self.dialect).into());
                device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(kernel.name()), source })
            })
            .clone();
        let values: Vec<(&str, f64)> = constants.iter().map(|&(name, value)| (name, f64::from(value))).collect();
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.name()),
            layout: Some(&self.layouts[kernel.inputs()].1),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &values,
                // Every kernel writes to workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
            },
            cache: self.compiled.as_ref().map(Compiled::cache),
        });
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).insert(key, pipeline.clone());
        pipeline
    }

    /// Keeps what is compiled for the next start.
    pub fn keep(&self) {
        if let Some(compiled) = &self.compiled {
            compiled.keep();
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// A piece of work for the device.
pub(super) struct Dispatch<'a> {
    pub kernel: Kernel,
    pub constants: Constants,
    /// The kernel's parameters, floats by their bits.
    pub parameters: &'a [u32],
    pub inputs: &'a [&'a Block],
    pub output: &'a Block,
    pub workgroups: [u32; 3],
    /// About how many multiply-adds it is.
    pub work: u64,
}

type Buffers = [u64; MOST_INPUTS + 2];

/// What has been recorded and not yet handed over, and what was made for earlier work.
#[derive(Default)]
pub(super) struct Recorder {
    // Before the encoder, which is locked while there is a pass.
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: Option<wgpu::CommandEncoder>,
    work: u64,
    dispatches: usize,
    last_parameters: u64,
    parameters: HashMap<Vec<u32>, (u64, wgpu::Buffer)>,
    groups: HashMap<(usize, Buffers), wgpu::BindGroup>,
}

impl Recorder {
    fn encoder(&mut self, device: &wgpu::Device) -> &mut wgpu::CommandEncoder {
        self.pass = None;
        self.encoder.get_or_insert_with(|| device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default()))
    }

    /// Parameters in a buffer that is written once, when it is made; equal ones share it.
    fn parameters(&mut self, device: &wgpu::Device, values: &[u32]) -> Result<(u64, wgpu::Buffer), Fault> {
        if let Some(known) = self.parameters.get(values) {
            return Ok(known.clone());
        }
        if self.parameters.len() >= REMEMBERED {
            self.parameters.clear();
            self.groups.clear();
        }
        let mut bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        bytes.resize(bytes.len().next_multiple_of(16), 0);
        let buffer = filled(device, "parameters", wgpu::BufferUsages::UNIFORM, &bytes)?;
        self.last_parameters += 1;
        let made = (self.last_parameters, buffer);
        self.parameters.insert(values.to_vec(), made.clone());
        Ok(made)
    }

    /// Records a piece of work.
    pub fn dispatch(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        pipelines: &Pipelines,
        work: &Dispatch<'_>,
    ) -> Result<(), Fault> {
        let pipeline = pipelines.get(device, work.kernel, &work.constants);
        let (id, parameters) = self.parameters(device, work.parameters)?;
        let inputs = work.kernel.inputs();
        assert_eq!(inputs, work.inputs.len(), "the kernel {} reads another number of buffers", work.kernel.name());
        let mut buffers = Buffers::default();
        buffers[0] = id;
        buffers.iter_mut().skip(1).zip(work.inputs).for_each(|(slot, block)| *slot = block.id);
        buffers[inputs + 1] = work.output.id;
        if self.groups.len() >= REMEMBERED {
            self.groups.clear();
        }
        let group = self.groups.entry((inputs, buffers)).or_insert_with(|| {
            let bound = std::iter::once(&parameters).chain(work.inputs.iter().map(|block| &block.buffer)).chain([&work.output.buffer]);
            let entries: Vec<_> = bound
                .enumerate()
                .map(|(i, buffer)| wgpu::BindGroupEntry { binding: i as u32, resource: buffer.as_entire_binding() })
                .collect();
            let layout = &pipelines.layouts[inputs].0;
            device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
        });
        let group = group.clone();
        if self.pass.is_none() {
            let pass = self.encoder(device).begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime();
            self.pass = Some(pass);
        }
        if let Some(pass) = &mut self.pass {
            let [x, y, z] = work.workgroups;
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups(x, y, z);
        }
        self.work += work.work;
        self.dispatches += 1;
        if self.work >= WORK_AT_ONCE || self.dispatches >= DISPATCHES_AT_ONCE {
            self.submit(device, queue);
        }
        Ok(())
    }

    /// Records a copy of `bytes` to the begin of `target`, in turn with the work around it.
    pub fn upload(&mut self, device: &wgpu::Device, target: &Block, bytes: &[u8]) -> Result<(), Fault> {
        let staging = filled(device, "upload", wgpu::BufferUsages::COPY_SRC, bytes)?;
        self.encoder(device).copy_buffer_to_buffer(&staging, 0, &target.buffer, 0, staging.size());
        Ok(())
    }

    /// Records a copy of the first `bytes` of `source` to `target`.
    pub fn download(&mut self, device: &wgpu::Device, source: &Block, target: &wgpu::Buffer, bytes: u64) {
        self.encoder(device).copy_buffer_to_buffer(&source.buffer, 0, target, 0, bytes);
    }

    /// Hands everything recorded over to the device.
    pub fn submit(&mut self, device: &wgpu::Device, queue: &wgpu::Queue) -> wgpu::SubmissionIndex {
        self.encoder(device);
        (self.work, self.dispatches) = (0, 0);
        queue.submit(self.encoder.take().map(wgpu::CommandEncoder::finish))
    }

    /// Forgets what was made for buffers that there are no more.
    pub fn forget(&mut self, gone: Vec<u64>) {
        if !gone.is_empty() {
            let gone: HashSet<u64> = gone.into_iter().collect();
            self.groups.retain(|(_, buffers), _| !buffers[1..].iter().any(|id| gone.contains(id)));
        }
    }
}

/// A buffer that is made with its content; its length is a multiple of four.
pub(super) fn filled(device: &wgpu::Device, label: &str, usage: wgpu::BufferUsages, bytes: &[u8]) -> Result<wgpu::Buffer, Fault> {
    let size = bytes.len() as u64;
    let buffer = device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: true });
    let mut view = buffer.get_mapped_range_mut(..).map_err(|e| Fault::Other(format!("the buffer for {label} cannot be written: {e}")))?;
    view.copy_from_slice(bytes);
    drop(view);
    buffer.unmap();
    Ok(buffer)
}
