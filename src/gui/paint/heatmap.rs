//! The GPU side of a map of values: one pyramid texture a map, one set of small textures a view, two passes (see `shaders/draw/heatmap.wgsl`).
//!
//! Each view owns its uniforms and its offscreen target: all `prepare`s of a frame run before all `paint`s, so a shared one would show every map
//! with the last one's view. Where the "card" is the processor in disguise, the first pass runs as plain code on all cores, a quarter of the price.

use crate::base::heatmap::{ColourMap, Plan, Pyramid, Scale, Style, raster};
use eframe::{
    egui::{self, PaintCallbackInfo, Rect},
    egui_wgpu::{
        self, CallbackResources, CallbackTrait, RenderState, ScreenDescriptor,
        wgpu::{self, TextureFormat},
    },
};
use std::sync::{Arc, Mutex, PoisonError};

const SHADER: &str = concat!(include_str!("../../../shaders/common/colour_map.wgsl"), include_str!("../../../shaders/draw/heatmap.wgsl"));

/// The pipelines, made once for a device.
pub struct HeatPipelines {
    pool_layout: wgpu::BindGroupLayout,
    spread_layout: wgpu::BindGroupLayout,
    pool: wgpu::RenderPipeline,
    spread: wgpu::RenderPipeline,
    marked: wgpu::RenderPipeline,
    /// The device renders on the processor.
    software: bool,
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

impl HeatPipelines {
    /// `software`: the device is the processor, so the first pass is not given to it.
    pub fn new(device: &wgpu::Device, target: TextureFormat, software: bool) -> Self {
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
            software,
        }
    }
    /// Those of this window, made at the first call.
    pub fn of(state: &RenderState) -> Arc<Self> {
        let software = state.adapter.get_info().device_type == wgpu::DeviceType::Cpu;
        let resources = &mut state.renderer.write().callback_resources;
        let made = resources.entry().or_insert_with(|| Arc::new(Self::new(&state.device, state.target_format, software)));
        made.clone()
    }
}

/// What the first pass draws: red, green, blue, marks.
const POOLED: TextureFormat = TextureFormat::Rgba8Unorm;

/// A map's values where the first pass reads them; views and difference maps share it.
pub struct HeatValues {
    from: Pooled,
    wrap: u32,
    cols: u32,
    offsets: Vec<u32>,
    has_nan: bool,
}

enum Pooled {
    /// By the card, from a texture.
    Gpu(wgpu::TextureView),
    Cpu(Arc<Pyramid>),
}

impl HeatValues {
    /// `None` when the device cannot hold the map in one texture; paint it through the CPU then.
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue, pipelines: &HeatPipelines, pyramid: &Arc<Pyramid>) -> Option<Self> {
        let side = device.limits().max_texture_dimension_2d;
        let count = pyramid.values.len().max(1);
        let wrap = [4096, side].into_iter().find(|w| *w <= side && count.div_ceil(*w as usize) <= side as usize)?;
        let lines = count.div_ceil(wrap as usize) as u32;
        if pyramid.offsets.len() > 32 || count > u32::MAX as usize {
            return None;
        }
        let from = if pipelines.software {
            Pooled::Cpu(pyramid.clone())
        } else {
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
            Pooled::Gpu(texture.create_view(&wgpu::TextureViewDescriptor::default()))
        };
        let offsets = pyramid.offsets.iter().map(|&o| o as u32).collect();
        Some(Self { from, wrap, cols: pyramid.cols as u32, offsets, has_nan: pyramid.has_nan() })
    }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Uniforms {
    origin: [i32; 2],
    wrap: u32,
    top_level: u32,
    cols: u32,
    outlines: u32,
    gap: u32,
    selected: u32,
    size: [u32; 2],
    /// The shader's array starts at a multiple of 16 bytes.
    _pad: [u32; 2],
    offsets: [[u32; 4]; 8],
}

/// Everything a frame of one view shows.
#[derive(Clone)]
pub struct HeatFrame {
    pub values: Arc<HeatValues>,
    pub plan: Arc<Plan>,
    pub scale: Scale,
    pub map: ColourMap,
    pub style: Style,
}

impl HeatFrame {
    fn draws_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.values, &other.values)
            && (Arc::ptr_eq(&self.plan, &other.plan) || self.plan == other.plan)
            && (self.scale, self.map) == (other.scale, other.map)
    }
}

/// One place on the screen that shows a map.
pub struct HeatGpu {
    pipelines: Arc<HeatPipelines>,
    state: Mutex<Targets>,
}

#[derive(Default)]
struct Targets {
    uniforms: Option<wgpu::Buffer>,
    plan: Option<wgpu::Texture>,
    marks: Option<wgpu::Texture>,
    pooled: Option<wgpu::Texture>,
    colours: Option<wgpu::Buffer>,
    coloured: Option<(Scale, ColourMap)>,
    /// Of the first pass (where the card does it) and of the second.
    groups: Option<(Option<wgpu::BindGroup>, wgpu::BindGroup)>,
    patches: Option<wgpu::Buffer>,
    /// Instances of `patches`: one a band, then those that are marked. `None`: all are.
    bands: u32,
    marked: Option<u32>,
    drawn: Option<HeatFrame>,
}

impl HeatGpu {
    pub fn new(state: &RenderState) -> Self {
        Self::with(HeatPipelines::of(state))
    }
    pub fn with(pipelines: Arc<HeatPipelines>) -> Self {
        Self { pipelines, state: Mutex::default() }
    }

    /// Uploads what changed and runs the first pass where that is due. `origin`: the picture's top left in the framebuffer, in pixels.
    pub fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        encoder: &mut wgpu::CommandEncoder,
        frame: &HeatFrame,
        origin: [i32; 2],
    ) {
        let mut t = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = &*frame.plan;
        let rgb = |c: [u8; 3]| u32::from(c[0]) | u32::from(c[1]) << 8 | u32::from(c[2]) << 16;
        let mut offsets = [[0; 4]; 8];
        for (i, &o) in frame.values.offsets.iter().enumerate() {
            offsets[i / 4][i % 4] = o;
        }
        let uniforms = Uniforms {
            origin,
            wrap: frame.values.wrap,
            top_level: frame.values.offsets.len() as u32 - 1,
            cols: frame.values.cols,
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
        if t.drawn.as_ref().is_some_and(|d| d.draws_like(frame)) {
            return;
        }

        if t.drawn.as_ref().is_none_or(|d| !Arc::ptr_eq(&d.values, &frame.values)) {
            t.groups = None;
        }
        let (patches, marked) = patches(plan, frame.values.has_nan);
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
        match &frame.values.from {
            Pooled::Cpu(pyramid) => {
                if let Some(texture) = &t.pooled {
                    let pooled = raster::pool(plan, pyramid, &frame.scale, frame.map);
                    upload(queue, texture, 0, plan.width, bands, bytemuck::cast_slice(&pooled), 4);
                }
            }
            Pooled::Gpu(_) => {
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
            }
        }
        if grown || t.groups.is_none() {
            t.groups = self.bind(device, &t, frame);
        }
        if let (Some(texture), Some((Some(first), _))) = (&t.pooled, &t.groups) {
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
            pass.set_pipeline(&self.pipelines.pool);
            pass.set_bind_group(0, first, &[]);
            pass.draw(0..3, 0..1);
        }
        t.drawn = Some(frame.clone());
    }

    fn bind(&self, device: &wgpu::Device, t: &Targets, frame: &HeatFrame) -> Option<(Option<wgpu::BindGroup>, wgpu::BindGroup)> {
        let view = |t: &wgpu::Texture| t.create_view(&wgpu::TextureViewDescriptor::default());
        let (plan, pooled) = (view(t.plan.as_ref()?), view(t.pooled.as_ref()?));
        let uniforms = t.uniforms.as_ref()?;
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
        let first = match &frame.values.from {
            Pooled::Cpu(_) => None,
            Pooled::Gpu(values) => {
                let marks = view(t.marks.as_ref()?);
                Some(group(&self.pipelines.pool_layout, Some(t.colours.as_ref()?), &[(2, values), (3, &plan), (4, &marks)]))
            }
        };
        Some((first, group(&self.pipelines.spread_layout, None, &[(3, &plan), (5, &pooled)])))
    }

    /// The second pass, into a pass whose viewport is the picture.
    pub fn paint(&self, pass: &mut wgpu::RenderPass<'_>) {
        let t = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some((_, second)), Some(patches)) = (&t.groups, &t.patches) else { return };
        pass.set_bind_group(0, second, &[]);
        pass.set_vertex_buffer(0, patches.slice(..));
        match t.marked {
            None => {
                pass.set_pipeline(&self.pipelines.marked);
                pass.draw(0..6, 0..t.bands);
            }
            Some(marked) => {
                pass.set_pipeline(&self.pipelines.spread);
                pass.draw(0..6, 0..t.bands);
                if marked > 0 {
                    pass.set_pipeline(&self.pipelines.marked);
                    pass.draw(0..6, t.bands..t.bands + marked);
                }
            }
        }
    }

    /// A shape that paints `frame` into `rect` (whose size in pixels is the plan's).
    pub fn shape(self: &Arc<Self>, rect: Rect, frame: HeatFrame) -> egui::Shape {
        egui_wgpu::Callback::new_paint_callback(rect, HeatCallback { gpu: self.clone(), rect, frame }).into()
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

struct HeatCallback {
    gpu: Arc<HeatGpu>,
    rect: Rect,
    frame: HeatFrame,
}

impl CallbackTrait for HeatCallback {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        screen: &ScreenDescriptor,
        encoder: &mut wgpu::CommandEncoder,
        _: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        let px = |v: f32| (v * screen.pixels_per_point).round() as i32;
        self.gpu.prepare(device, queue, encoder, &self.frame, [px(self.rect.min.x), px(self.rect.min.y)]);
        Vec::new()
    }
    fn paint(&self, _: PaintCallbackInfo, pass: &mut wgpu::RenderPass<'static>, _: &CallbackResources) {
        self.gpu.paint(pass);
    }
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
