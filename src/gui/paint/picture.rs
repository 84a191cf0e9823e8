//! A picture that the processor made, on the screen of a software renderer (see `shaders/draw/picture.wgsl`).

use super::heatmap::HeatFrame;
use crate::base::heatmap::{
    Pyramid,
    raster::{self, ByteOrder, Canvas},
};
use eframe::egui_wgpu::wgpu::{self, TextureFormat, util::StagingBelt};

const SHADER: &str = include_str!("../../../shaders/draw/picture.wgsl");

/// The screen's own order of bytes nearly everywhere: what is copied needs no turning.
const FORMAT: TextureFormat = TextureFormat::Bgra8Unorm;

/// Of a copy's start.
const ALIGNMENT: wgpu::BufferSize = wgpu::BufferSize::new(256).unwrap();

/// Made once for a device.
pub struct PicturePipeline {
    layout: wgpu::BindGroupLayout,
    pipeline: wgpu::RenderPipeline,
    nearest: wgpu::Sampler,
}

impl PicturePipeline {
    pub fn new(device: &wgpu::Device, target: TextureFormat) -> Self {
        let label = Some("picture");
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source: wgpu::ShaderSource::Wgsl(SHADER.into()) });
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::FRAGMENT, ty, count: None };
        let sampled = wgpu::BindingType::Texture {
            sample_type: wgpu::TextureSampleType::Float { filterable: true },
            view_dimension: wgpu::TextureViewDimension::D2,
            multisampled: false,
        };
        let sampler = wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Filtering);
        let entries = [entry(0, sampled), entry(1, sampler)];
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("corner"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                buffers: &[],
            },
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("copied"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                targets: &[Some(target.into())],
            }),
            primitive: wgpu::PrimitiveState::default(),
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            multiview_mask: None,
            cache: None,
        });
        // Nearest and clamped by default.
        Self { layout, pipeline, nearest: device.create_sampler(&wgpu::SamplerDescriptor { label, ..Default::default() }) }
    }
}

/// What one place on the screen keeps.
#[derive(Default)]
pub struct Screen {
    pixels: Vec<u8>,
    /// Memory that is mapped for as long as the screen lives: fresh memory for every frame costs more than the copy.
    belt: Option<(u64, StagingBelt)>,
    /// Of the picture's size, so that its corners are the texture's.
    texture: Option<wgpu::Texture>,
    group: Option<wgpu::BindGroup>,
}

impl Screen {
    /// Draws the picture and uploads it.
    pub fn prepare(
        &mut self,
        pipeline: &PicturePipeline,
        device: &wgpu::Device,
        encoder: &mut wgpu::CommandEncoder,
        frame: &HeatFrame,
        pyramid: &Pyramid,
    ) {
        let plan = &*frame.plan;
        let (width, height) = (plan.width, plan.height);
        let line = (width * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let canvas = Canvas { bytes: &mut self.pixels, order: ByteOrder::Bgra, pitch: line as usize / 4 };
        raster::draw_on(canvas, plan, pyramid, &frame.scale, frame.map, &frame.style);
        let size = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
        if self.texture.as_ref().is_none_or(|t| t.size() != size) {
            let texture = device.create_texture(&wgpu::TextureDescriptor {
                label: Some("picture"),
                size,
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: FORMAT,
                usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
                view_formats: &[],
            });
            let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
            let entries = [(0, wgpu::BindingResource::TextureView(&view)), (1, wgpu::BindingResource::Sampler(&pipeline.nearest))]
                .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource });
            let descriptor = wgpu::BindGroupDescriptor { label: Some("picture"), layout: &pipeline.layout, entries: &entries };
            self.group = Some(device.create_bind_group(&descriptor));
            self.texture = Some(texture);
        }
        let bytes = self.pixels.len() as u64;
        let (Some(texture), Some(room)) = (&self.texture, wgpu::BufferSize::new(bytes)) else { return };
        if self.belt.as_ref().is_none_or(|(chunk, _)| *chunk != bytes) {
            self.belt = Some((bytes, StagingBelt::new(device.clone(), bytes)));
        }
        if let Some((_, belt)) = &mut self.belt {
            let slice = belt.allocate(room, ALIGNMENT);
            let layout = wgpu::TexelCopyBufferLayout { offset: slice.offset(), bytes_per_row: Some(line), rows_per_image: None };
            let from = wgpu::TexelCopyBufferInfo { buffer: slice.buffer(), layout };
            if let Ok(mut mapped) = slice.get_mapped_range_mut() {
                mapped.copy_from_slice(&self.pixels);
            }
            encoder.copy_buffer_to_texture(from, texture.as_image_copy(), size);
            belt.finish_and_recall_on_submit(encoder);
        }
    }

    /// Into a pass whose viewport is the picture.
    pub fn paint(&self, pipeline: &PicturePipeline, pass: &mut wgpu::RenderPass<'_>) {
        let Some(group) = &self.group else { return };
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.draw(0..6, 0..1);
    }
}
