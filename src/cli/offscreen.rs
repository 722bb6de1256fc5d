//! Drawing egui into a picture without a window, on whatever graphics adapter there is, a software one included.

use anyhow::{Context as _, Result, anyhow, ensure};
use eframe::egui::{self, FullOutput};
use eframe::egui_wgpu::{
    RenderState, RendererOptions, ScreenDescriptor, WgpuConfiguration, WgpuError, WgpuSetup, WgpuSetupCreateNew, wgpu,
};
use std::future::Future;
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Largest side of a picture, in pixels: what the device is asked for.
pub const MAX_SIDE: u32 = 8192;
/// How long the adapter may take for one frame.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What to do where no adapter is found; `gallery` alone needs one.
const NO_ADAPTER: &str = "no graphics adapter was found, and the gallery is drawn on one. Install a Vulkan driver; \
    one in software will do (Debian, Ubuntu: apt install mesa-vulkan-drivers; Fedora: dnf install mesa-vulkan-drivers). \
    Without one, `diffuscope generate`, `diffuscope world` and `diffuscope eval` work all the same";

/// Draws frames of one egui context.
pub struct Offscreen {
    state: RenderState,
}

impl Offscreen {
    /// Finds an adapter.
    ///
    /// # Errors
    /// When there is none; the message says what to install.
    pub fn new() -> Result<Self> {
        // OpenGL without a screen complains on standard error even where it is not needed, so it comes last.
        let state = match wgpu::Backends::from_env() {
            Some(backends) => Self::state_on(backends)?,
            None => match Self::state_on(wgpu::Backends::PRIMARY)? {
                Ok(state) => Ok(state),
                Err(_) => Self::state_on(wgpu::Backends::GL)?,
            },
        };
        Ok(Self { state: state.context(NO_ADAPTER)? })
    }

    fn state_on(backends: wgpu::Backends) -> Result<Result<RenderState, WgpuError>> {
        let mut create = WgpuSetupCreateNew::without_display_handle();
        create.instance_descriptor.backends = backends;
        let setup = WgpuSetup::CreateNew(create);
        let instance = now(setup.new_instance())?;
        let config = WgpuConfiguration { wgpu_setup: setup, ..Default::default() };
        // Dithering is random per pixel; without it the same tensors give the same file.
        let options = RendererOptions { dithering: false, ..Default::default() };
        now(RenderState::create(&config, &instance, None, options))
    }

    /// The adapter's name, its kind and its interface.
    pub fn adapter(&self) -> String {
        let info = self.state.adapter.get_info();
        format!("{} ({:?}, {})", info.name, info.device_type, info.backend)
    }

    /// Takes over the textures of a frame; every frame has to come by, drawn or not.
    pub fn take_textures(&self, output: &mut FullOutput) {
        let RenderState { device, queue, renderer, .. } = &self.state;
        let mut renderer = renderer.write();
        for (id, deltas) in output.textures_delta.set.drain() {
            for delta in deltas {
                renderer.update_texture(device, queue, id, &delta);
            }
        }
        for id in output.textures_delta.free.drain() {
            renderer.free_texture(&id);
        }
    }

    /// Draws a frame whose textures have been taken over. `size` in pixels; the result holds `width * height * 4` bytes, opaque.
    ///
    /// # Errors
    /// A size that the device cannot draw, or a device that is lost or does not answer in time.
    pub fn draw(&self, ctx: &egui::Context, output: &FullOutput, size: [u32; 2]) -> Result<Vec<u8>> {
        let [width, height] = size;
        ensure!(
            (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height),
            "a picture of {width} x {height} pixels cannot be drawn; each side is 1 to {MAX_SIDE}"
        );
        let RenderState { device, queue, renderer, target_format, .. } = &self.state;
        let screen = ScreenDescriptor { size_in_pixels: size, pixels_per_point: output.pixels_per_point };
        let primitives = ctx.tessellate(output.shapes.clone(), output.pixels_per_point);
        let mut renderer = renderer.write();
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("gallery frame") });
        let before = renderer.update_buffers(device, queue, &mut encoder, &primitives, &screen);
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("gallery picture"),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: *target_format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        {
            let attachment = wgpu::RenderPassColorAttachment {
                view: &view,
                resolve_target: None,
                ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store },
                depth_slice: None,
            };
            let descriptor =
                wgpu::RenderPassDescriptor { label: Some("gallery"), color_attachments: &[Some(attachment)], ..Default::default() };
            let mut pass = encoder.begin_render_pass(&descriptor).forget_lifetime();
            renderer.render(&mut pass, &primitives, &screen);
        }
        // Rows of a copy begin at multiples of 256 bytes.
        let row = width * 4;
        let padded = row.next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("gallery rows"),
            size: u64::from(padded) * u64::from(height),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        encoder.copy_texture_to_buffer(
            texture.as_image_copy(),
            wgpu::TexelCopyBufferInfo {
                buffer: &buffer,
                layout: wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(padded), rows_per_image: None },
            },
            texture.size(),
        );
        let submitted = queue.submit(before.into_iter().chain([encoder.finish()]));
        let (done, answer) = mpsc::sync_channel(1);
        buffer.slice(..).map_async(wgpu::MapMode::Read, move |result| {
            done.try_send(result).ok();
        });
        device
            .poll(wgpu::PollType::Wait { submission_index: Some(submitted), timeout: Some(TIMEOUT) })
            .context("the graphics adapter did not finish the frame")?;
        answer
            .try_recv()
            .context("the graphics adapter did not give the frame back")?
            .context("the graphics adapter did not give the frame back")?;
        let mapped = buffer.slice(..).get_mapped_range().context("the graphics adapter did not give the frame back")?;
        let mut pixels: Vec<u8> = mapped.chunks_exact(padded as usize).flat_map(|line| &line[..row as usize]).copied().collect();
        for pixel in pixels.chunks_exact_mut(4) {
            pixel[3] = 255;
        }
        Ok(pixels)
    }
}

/// The result of a future that is ready at once, as all of wgpu's are outside of a browser.
fn now<T>(future: impl Future<Output = T>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err(anyhow!("the graphics interface of this platform answers late; the gallery needs one that answers at once")),
    }
}
