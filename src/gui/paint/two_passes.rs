//! A map on a graphics card, in two passes (see `shaders/draw/heatmap.wgsl`): one pyramid texture a map, one set of small textures a view.

use super::heatmap::HeatFrame;
use crate::base::heatmap::{ColourMap, Plan, Pyramid, Scale};
use eframe::egui_wgpu::wgpu::{self, TextureFormat};

const SHADER: &str = concat!(include_str!("../../../shaders/common/colour_map.wgsl"), include_str!("../../../shaders/draw/heatmap.wgsl"));

/// The pipelines, made once for a device.
pub struct TwoPasses {
    pool_layout: wgpu::BindGroupLayout,
    spread_layout: wgpu::BindGroupLayout,
    pool: wgpu::RenderPipeline,
    spread: wgpu::RenderPipeline,
    marked: wgpu::RenderPipeline,
}

const fn texture_entry(binding: u32, sample_type: wgpu::TextureSampleType) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::FRAGMENT,
        ty: wgpu::BindingType::Texture { sample_type, view_dimension: wgpu::TextureViewDimension::D2, multisampled: false },
        count: None,
    }
}

const fn uniform_entry(binding: u32) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::VERTEX_FRAGMENT,
        ty: wgpu::BindingType::Buffer { ty: wgpu::BufferBindingType::Uniform, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}

/// A rectangle of the second pass: pixel columns `from | to << 16`, pixel rows `from | to << 16` of the band, the band.
type Patch = [u32; 3];

impl TwoPasses {
    pub fn new(device: &wgpu::Device, target: TextureFormat) -> Self {
        let module = device
            .create_shader_module(wgpu::ShaderModuleDescriptor { label: Some("heatmap"), source: wgpu::ShaderSource::Wgsl(SHADER.into()) });
        let (uint, float) = (wgpu::TextureSampleType::Uint, wgpu::TextureSampleType::Float { filterable: false });
        let layout = |entries: &[wgpu::BindGroupLayoutEntry]| {
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some("heatmap"), entries })
        };
        let pool_layout =
            layout(&[uniform_entry(0), uniform_entry(1), texture_entry(2, float), texture_entry(3, uint), texture_entry(4, uint)]);
        let spread_layout = layout(&[uniform_entry(0), texture_entry(3, uint), texture_entry(5, float)]);
        let pipeline = |vertex: &'static str, entry: &'static str, layout: &wgpu::BindGroupLayout, format: TextureFormat| {
            let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some("heatmap"),
                bind_group_layouts: &[Some(layout)],
                immediate_size: 0,
            });
            let attributes = wgpu::vertex_attr_array![0 => Uint32x3];
            let patches = wgpu::VertexBufferLayout {
                array_stride: size_of::<Patch>() as u64,
                step_mode: wgpu::VertexStepMode::Instance,
                attributes: &attributes,
            };
            let buffers = [Some(patches)];
            device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
                label: Some(entry),
                layout: Some(&layout),
                vertex: wgpu::VertexState {
                    module: &module,
                    entry_point: Some(vertex),
                    compilation_options: wgpu::PipelineCompilationOptions::default(),
                    buffers: if vertex == "rectangle" { &buffers } else { &[] },
                },
                fragment: Some(wgpu::FragmentState {
                    module: &module,
                    entry_point: Some(entry),
                    compilation_options: wgpu::PipelineCompilationOptions::default(),
                    targets: &[Some(format.into())],
                }),
                primitive: wgpu::PrimitiveState::default(),
                depth_stencil: None,
                multisample: wgpu::MultisampleState::default(),
                multiview_mask: None,
                cache: None,
            })
        };
        Self {
            pool: pipeline("triangle", "pool", &pool_layout, POOLED),
            spread: pipeline("rectangle", "spread", &spread_layout, target),
            marked: pipeline("rectangle", "marked", &spread_layout, target),
            pool_layout,
            spread_layout,
        }
    }
}

/// What the first pass draws: red, green, blue, marks.
const POOLED: TextureFormat = TextureFormat::Rgba8Unorm;

/// A map's values in the card's memory.
pub struct CardValues {
    view: wgpu::TextureView,
    wrap: u32,
    rows: u32,
    offsets: Vec<u32>,
    has_nan: bool,
}

impl CardValues {
    /// `None` when the device cannot hold the map in one texture.
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue, pyramid: &Pyramid) -> Option<Self> {
        let side = device.limits().max_texture_dimension_2d;
        let count = pyramid.values.len().max(1);
        let wrap = [4096, side].into_iter().find(|w| *w <= side && count.div_ceil(*w as usize) <= side as usize)?;
        let lines = count.div_ceil(wrap as usize) as u32;
        if pyramid.offsets.len() > 32 || count > u32::MAX as usize {
            return None;
        }
        let texture = texture(device, "heatmap pyramid", wrap, lines, TextureFormat::R32Float);
        // Whole lines straight from the pyramid, the rest padded.
        let whole = pyramid.values.len() / wrap as usize;
        let split = whole * wrap as usize;
        if whole > 0 {
            upload(queue, &texture, 0, wrap, whole as u32, bytemuck::cast_slice(&pyramid.values[..split]), 4);
        }
        if split < count {
            let mut rest = pyramid.values[split.min(pyramid.values.len())..].to_vec();
            rest.resize(wrap as usize, 0.0);
            upload(queue, &texture, whole as u32, wrap, 1, bytemuck::cast_slice(&rest), 4);
        }
        let offsets = pyramid.offsets.iter().map(|&o| o as u32).collect();
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        Some(Self { view, wrap, rows: pyramid.rows as u32, offsets, has_nan: pyramid.has_nan() })
    }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Uniforms {
    origin: [i32; 2],
    wrap: u32,
    top_level: u32,
    rows: u32,
    outlines: u32,
    gap: u32,
    selected: u32,
    size: [u32; 2],
    /// The shader's array starts at a multiple of 16 bytes.
    _pad: [u32; 2],
    offsets: [[u32; 4]; 8],
}

/// What one place on the screen keeps.
#[derive(Default)]
pub struct Targets {
    uniforms: Option<wgpu::Buffer>,
    plan: Option<wgpu::Texture>,
    marks: Option<wgpu::Texture>,
    pooled: Option<wgpu::Texture>,
    colours: Option<wgpu::Buffer>,
    coloured: Option<(Scale, ColourMap)>,
    /// Of the first pass and of the second.
    groups: Option<(wgpu::BindGroup, wgpu::BindGroup)>,
    patches: Option<wgpu::Buffer>,
    /// Instances of `patches`: one a band, then those that are marked. `None`: all are.
    bands: u32,
    marked: Option<u32>,
}

impl Targets {
    /// Uploads what changed and runs the first pass where that is due. `stale`: other than what was drawn last; `other_values`: of another map.
    #[expect(clippy::too_many_arguments, reason = "a frame on a card needs these")]
    pub fn prepare(
        &mut self,
        passes: &TwoPasses,
        (device, queue): (&wgpu::Device, &wgpu::Queue),
        encoder: &mut wgpu::CommandEncoder,
        (values, frame): (&CardValues, &HeatFrame),
        origin: [i32; 2],
        stale: bool,
        other_values: bool,
    ) {
        let t = self;
        let plan = &*frame.plan;
        let rgb = |c: [u8; 3]| u32::from(c[0]) | u32::from(c[1]) << 8 | u32::from(c[2]) << 16;
        let mut offsets = [[0; 4]; 8];
        for (i, &o) in values.offsets.iter().enumerate() {
            offsets[i / 4][i % 4] = o;
        }
        let uniforms = Uniforms {
            origin,
            wrap: values.wrap,
            top_level: values.offsets.len() as u32 - 1,
            rows: values.rows,
            outlines: u32::from(plan.outlines),
            gap: rgb(frame.style.gap),
            selected: rgb(frame.style.selected),
            size: [plan.width, plan.height],
            _pad: [0; 2],
            offsets,
        };
        let buffer = |label, size: usize, usage| {
            let usage = usage | wgpu::BufferUsages::COPY_DST;
            device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size: size as u64, usage, mapped_at_creation: false })
        };
        let into = t.uniforms.get_or_insert_with(|| buffer("heatmap", size_of::<Uniforms>(), wgpu::BufferUsages::UNIFORM));
        queue.write_buffer(into, 0, bytemuck::bytes_of(&uniforms));
        if !stale {
            return;
        }

        if other_values {
            t.groups = None;
        }
        let (patches, marked) = patches(plan, values.has_nan);
        (t.bands, t.marked) = (plan.bands.len() as u32, marked);
        let bytes: &[u8] = bytemuck::cast_slice(&patches);
        if t.patches.as_ref().is_none_or(|b| b.size() < bytes.len() as u64) {
            let room = bytes.len().next_power_of_two().max(4_096);
            t.patches = Some(buffer("heatmap patches", room, wgpu::BufferUsages::VERTEX));
        }
        if let Some(into) = &t.patches {
            queue.write_buffer(into, 0, bytes);
        }
        let bands = plan.bands.len() as u32;
        let longest = plan.width.max(bands);
        let mut grown = grow(&mut t.plan, device, "heatmap plan", longest, 2, TextureFormat::Rg32Uint);
        grown |= grow(&mut t.pooled, device, "heatmap pooled", plan.width, bands, POOLED);
        if let Some(texture) = &t.plan {
            for (line, texels) in [&plan.columns, &plan.bands].into_iter().enumerate() {
                upload(queue, texture, line as u32, texels.len() as u32, 1, bytemuck::cast_slice(texels), 8);
            }
        }
        if t.coloured != Some((frame.scale, frame.map)) {
            // 256 starts, then 256 colours.
            let starts = frame.scale.starts().into_iter().map(f32::to_bits);
            let words: Vec<u32> = starts.chain((0..=255).map(|i| rgb(frame.map.colour(i)))).collect();
            grown |= t.colours.is_none();
            let into = t.colours.get_or_insert_with(|| buffer("heatmap colours", words.len() * 4, wgpu::BufferUsages::UNIFORM));
            queue.write_buffer(into, 0, bytemuck::cast_slice(&words));
            t.coloured = Some((frame.scale, frame.map));
        }
        grown |= grow(&mut t.marks, device, "heatmap marks", plan.width, bands, TextureFormat::R8Uint);
        if let Some(texture) = &t.marks {
            upload(queue, texture, 0, plan.width, bands, &plan.marks, 1);
        }
        if grown || t.groups.is_none() {
            t.groups = t.bind(passes, device, values);
        }
        if let (Some(texture), Some((first, _))) = (&t.pooled, &t.groups) {
            let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("heatmap pool"),
                color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                    view: &view,
                    depth_slice: None,
                    resolve_target: None,
                    ops: wgpu::Operations { load: wgpu::LoadOp::Load, store: wgpu::StoreOp::Store },
                })],
                depth_stencil_attachment: None,
                timestamp_writes: None,
                occlusion_query_set: None,
                multiview_mask: None,
            });
            pass.set_viewport(0.0, 0.0, plan.width as f32, bands as f32, 0.0, 1.0);
            pass.set_scissor_rect(0, 0, plan.width, bands);
            pass.set_pipeline(&passes.pool);
            pass.set_bind_group(0, first, &[]);
            pass.draw(0..3, 0..1);
        }
    }

    fn bind(&self, passes: &TwoPasses, device: &wgpu::Device, values: &CardValues) -> Option<(wgpu::BindGroup, wgpu::BindGroup)> {
        let view = |t: &wgpu::Texture| t.create_view(&wgpu::TextureViewDescriptor::default());
        let (plan, pooled, marks) = (view(self.plan.as_ref()?), view(self.pooled.as_ref()?), view(self.marks.as_ref()?));
        let uniforms = self.uniforms.as_ref()?;
        let group = |layout: &wgpu::BindGroupLayout, colours: Option<&wgpu::Buffer>, textures: &[(u32, &wgpu::TextureView)]| {
            let uniforms = [(0, Some(uniforms)), (1, colours)];
            let uniforms = uniforms.into_iter().filter_map(|(binding, b)| Some((binding, b?)));
            let mut entries: Vec<wgpu::BindGroupEntry<'_>> =
                uniforms.map(|(binding, b)| wgpu::BindGroupEntry { binding, resource: b.as_entire_binding() }).collect();
            entries.extend(
                textures
                    .iter()
                    .map(|(binding, v)| wgpu::BindGroupEntry { binding: *binding, resource: wgpu::BindingResource::TextureView(v) }),
            );
            device.create_bind_group(&wgpu::BindGroupDescriptor { label: Some("heatmap"), layout, entries: &entries })
        };
        let first = group(&passes.pool_layout, Some(self.colours.as_ref()?), &[(2, &values.view), (3, &plan), (4, &marks)]);
        Some((first, group(&passes.spread_layout, None, &[(3, &plan), (5, &pooled)])))
    }

    /// The second pass, into a pass whose viewport is the picture.
    pub fn paint(&self, passes: &TwoPasses, pass: &mut wgpu::RenderPass<'_>) {
        let (Some((_, second)), Some(patches)) = (&self.groups, &self.patches) else { return };
        pass.set_bind_group(0, second, &[]);
        pass.set_vertex_buffer(0, patches.slice(..));
        match self.marked {
            None => {
                pass.set_pipeline(&passes.marked);
                pass.draw(0..6, 0..self.bands);
            }
            Some(marked) => {
                pass.set_pipeline(&passes.spread);
                pass.draw(0..6, 0..self.bands);
                if marked > 0 {
                    pass.set_pipeline(&passes.marked);
                    pass.draw(0..6, self.bands..self.bands + marked);
                }
            }
        }
    }
}

/// One patch a band, then the runs of marked pixel columns, and their number; `None` where so much is marked that all is drawn as marked.
fn patches(plan: &Plan, has_nan: bool) -> (Vec<Patch>, Option<u32>) {
    let rows = |[from, to]: [u32; 2]| from | to << 16;
    let mut out: Vec<Patch> = plan.edges.iter().zip(0..).map(|(&e, band)| [plan.width << 16, rows(e), band]).collect();
    if has_nan {
        return (out, None);
    }
    let width = plan.width as usize;
    let mut marked = 0;
    for (band, line) in plan.marks.chunks_exact(width).enumerate() {
        let mut x = 0;
        while let Some(from) = line[x..].iter().position(|m| *m != 0).map(|i| x + i) {
            x = line[from..].iter().position(|m| *m == 0).map_or(width, |i| from + i);
            out.push([from as u32 | (x as u32) << 16, rows(plan.edges[band]), band as u32]);
            marked += x - from;
            if x == width {
                break;
            }
        }
    }
    let runs = out.len() - plan.edges.len();
    if marked > plan.marks.len() / 3 { (out, None) } else { (out, Some(runs as u32)) }
}

fn texture(device: &wgpu::Device, label: &str, width: u32, height: u32, format: TextureFormat) -> wgpu::Texture {
    device.create_texture(&wgpu::TextureDescriptor {
        label: Some(label),
        size: wgpu::Extent3d { width: width.max(1), height: height.max(1), depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::TEXTURE_BINDING
            | wgpu::TextureUsages::COPY_DST
            | if format == POOLED { wgpu::TextureUsages::RENDER_ATTACHMENT } else { wgpu::TextureUsages::empty() },
        view_formats: &[],
    })
}

/// Replaces the texture where it is too small, with room to spare; true when it did.
fn grow(slot: &mut Option<wgpu::Texture>, device: &wgpu::Device, label: &str, width: u32, height: u32, format: TextureFormat) -> bool {
    if slot.as_ref().is_some_and(|t| t.width() >= width && t.height() >= height) {
        return false;
    }
    let side = device.limits().max_texture_dimension_2d;
    let room = |n: u32| n.next_multiple_of(256).min(side).max(n);
    *slot = Some(texture(device, label, room(width), if height > 3 { room(height) } else { height }, format));
    true
}

fn upload(queue: &wgpu::Queue, texture: &wgpu::Texture, line: u32, width: u32, height: u32, bytes: &[u8], bytes_per_texel: u32) {
    queue.write_texture(
        wgpu::TexelCopyTextureInfo { origin: wgpu::Origin3d { x: 0, y: line, z: 0 }, ..texture.as_image_copy() },
        bytes,
        wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(width * bytes_per_texel), rows_per_image: None },
        wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
    );
}
