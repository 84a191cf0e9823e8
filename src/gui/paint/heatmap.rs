//! Maps of values on the screen. A graphics card is given the values and pools them itself (`two_passes`); where the "card" is the processor in
//! disguise, the picture is made by plain code on all cores and put on the screen as it is (`picture`), at a fraction of the price.
//!
//! Each view owns what it draws from: all `prepare`s of a frame run before all `paint`s, so a shared place would show every map
//! with the last one's view.

use super::{
    picture::{PicturePipeline, Screen},
    two_passes::{CardValues, Targets, TwoPasses},
};
use crate::base::heatmap::{ColourMap, Plan, Pyramid, Scale, Style};
use eframe::{
    egui::{self, PaintCallbackInfo, Rect},
    egui_wgpu::{
        self, CallbackResources, CallbackTrait, RenderState, ScreenDescriptor,
        wgpu::{self, TextureFormat},
    },
};
use std::sync::{Arc, Mutex, PoisonError};

/// The pipelines, made once for a device.
pub struct HeatPipelines(Renderer);

enum Renderer {
    Card(TwoPasses),
    Processor(PicturePipeline),
}

impl HeatPipelines {
    /// `software`: the device is the processor.
    pub fn new(device: &wgpu::Device, target: TextureFormat, software: bool) -> Self {
        Self(if software {
            Renderer::Processor(PicturePipeline::new(device, target))
        } else {
            Renderer::Card(TwoPasses::new(device, target))
        })
    }
    /// Those of this window, made at the first call.
    pub fn of(state: &RenderState) -> Arc<Self> {
        let software = state.adapter.get_info().device_type == wgpu::DeviceType::Cpu;
        let resources = &mut state.renderer.write().callback_resources;
        let made = resources.entry().or_insert_with(|| Arc::new(Self::new(&state.device, state.target_format, software)));
        made.clone()
    }
}

/// A map's values where pictures are made from them; views and difference maps share it.
pub struct HeatValues(Values);

enum Values {
    Card(CardValues),
    Processor(Arc<Pyramid>),
}

impl HeatValues {
    /// `None` when the device cannot hold the map in one texture; paint it through the CPU then.
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue, pipelines: &HeatPipelines, pyramid: &Arc<Pyramid>) -> Option<Self> {
        Some(Self(match pipelines.0 {
            Renderer::Card(_) => Values::Card(CardValues::new(device, queue, pyramid)?),
            Renderer::Processor(_) => Values::Processor(pyramid.clone()),
        }))
    }
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
    /// But for the style.
    fn draws_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.values, &other.values)
            && (Arc::ptr_eq(&self.plan, &other.plan) || self.plan == other.plan)
            && (self.scale, self.map) == (other.scale, other.map)
    }
}

/// One place on the screen that shows a map.
pub struct HeatGpu {
    pipelines: Arc<HeatPipelines>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    card: Targets,
    screen: Screen,
    drawn: Option<HeatFrame>,
}

impl HeatGpu {
    pub fn new(state: &RenderState) -> Self {
        Self::with(HeatPipelines::of(state))
    }
    pub fn with(pipelines: Arc<HeatPipelines>) -> Self {
        Self { pipelines, state: Mutex::default() }
    }

    /// Draws or uploads what changed. `origin`: the picture's top left in the framebuffer, in pixels.
    pub fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        encoder: &mut wgpu::CommandEncoder,
        frame: &HeatFrame,
        origin: [i32; 2],
    ) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { card, screen, drawn } = &mut *state;
        let stale = drawn.as_ref().is_none_or(|d| !d.draws_like(frame));
        match (&self.pipelines.0, &frame.values.0) {
            (Renderer::Card(passes), Values::Card(values)) => {
                let other = drawn.as_ref().is_none_or(|d| !Arc::ptr_eq(&d.values, &frame.values));
                card.prepare(passes, (device, queue), encoder, (values, frame), origin, stale, other);
            }
            (Renderer::Processor(pipeline), Values::Processor(pyramid)) => {
                if stale || drawn.as_ref().is_none_or(|d| d.style != frame.style) {
                    screen.prepare(pipeline, device, encoder, frame, pyramid);
                }
            }
            // Values are made for the pipelines that draw them.
            _ => return,
        }
        *drawn = Some(frame.clone());
    }

    /// Into a pass whose viewport is the picture.
    pub fn paint(&self, pass: &mut wgpu::RenderPass<'_>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.pipelines.0 {
            Renderer::Card(passes) => state.card.paint(passes, pass),
            Renderer::Processor(pipeline) => state.screen.paint(pipeline, pass),
        }
    }

    /// A shape that paints `frame` into `rect` (whose size in pixels is the plan's).
    pub fn shape(self: &Arc<Self>, rect: Rect, frame: HeatFrame) -> egui::Shape {
        egui_wgpu::Callback::new_paint_callback(rect, HeatCallback { gpu: self.clone(), rect, frame }).into()
    }
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
