//! A map's cells on the screen: painted by the window's renderer, or without one as a texture that the processor makes.

use super::{HeatmapInput, place::Place};
use crate::{
    base::{
        NeuronSet,
        heatmap::{ColourMap, Marks, Plan, Scale, Style, Window, raster},
    },
    gui::{
        Theme,
        paint::heatmap::{HeatFrame, HeatGpu, HeatValues},
        widgets::prepared_map::PreparedMap,
    },
};
use eframe::{
    egui::{Color32, ColorImage, Pos2, Rect, TextureHandle, TextureOptions, Ui, pos2},
    egui_wgpu::RenderState,
};
use std::sync::{Arc, Weak};

/// What is off and what is selected, by place.
pub type Placed = (NeuronSet, NeuronSet);

/// One picture on the screen: the map, or a pinned layer.
#[derive(Default)]
pub struct Picture {
    gpu: Option<Arc<HeatGpu>>,
    plan: Option<(PlanKey, Arc<Plan>)>,
    /// Without a GPU.
    texture: Option<(TextureKey, Weak<PreparedMap>, TextureHandle)>,
}

#[derive(PartialEq)]
struct PlanKey {
    window: Window,
    shape: (usize, usize),
    size: (u32, u32),
    marks: u64,
    order: usize,
}

#[derive(PartialEq)]
struct TextureKey {
    plan: usize,
    map: usize,
    scale: Scale,
    colours: ColourMap,
    style: Style,
}

/// What all pictures of a view share in a frame.
pub struct Canvas<'a> {
    pub ui: &'a Ui,
    pub theme: &'a Theme,
    pub gpu: Option<&'a RenderState>,
    pub values: Option<Arc<HeatValues>>,
    pub input: &'a HeatmapInput<'a>,
    /// Off and selected by place; `None` where places are indices.
    pub marks: &'a Option<Arc<Placed>>,
}

impl Picture {
    pub fn paint(&mut self, c: &Canvas<'_>, place: &Place<'_>) {
        let (ui, input) = (c.ui, c.input);
        let ppp = ui.ctx().pixels_per_point();
        // A picture that the processor paints is a texture, and those have a largest side.
        let most = if c.gpu.is_some() { f32::INFINITY } else { ui.input(|i| i.max_texture_side) as f32 };
        let pixels = |points: f32| (points * ppp).round().clamp(1.0, most.max(1.0)) as u32;
        let size = (pixels(place.rect.width()), pixels(place.rect.height()));
        let order = place.order.map_or(0, |o| std::ptr::from_ref(o) as usize);
        let key = PlanKey { window: place.window, shape: place.shape, size, marks: input.marks_version, order };
        let plan = match &self.plan {
            Some((k, plan)) if *k == key => plan.clone(),
            _ => {
                let (off, selected) = c.marks.as_ref().map_or((input.off, input.selected), |m| (&m.0, &m.1));
                let marks = Marks { off: Some(off), selected: Some(selected) };
                let plan = Arc::new(Plan::new(place.window, place.shape.0, place.shape.1, size.0, size.1, &marks));
                self.plan = Some((key, plan.clone()));
                plan
            }
        };
        let rgb = |c: Color32| [c.r(), c.g(), c.b()];
        let style = Style { gap: rgb(c.theme.panel), selected: if input.colours.is_signed() { [0x1b, 0x1f, 0x24] } else { [0xff; 3] } };
        if let (Some(state), Some(values)) = (c.gpu, &c.values) {
            let gpu = self.gpu.get_or_insert_with(|| Arc::new(HeatGpu::new(state))).clone();
            let frame = HeatFrame { values: values.clone(), plan, scale: input.scale, map: input.colours, style };
            ui.painter().add(gpu.shape(place.rect, frame));
            return;
        }
        let key = TextureKey {
            plan: Arc::as_ptr(&plan) as usize,
            map: Arc::as_ptr(input.map) as usize,
            scale: input.scale,
            colours: input.colours,
            style,
        };
        if self.texture.as_ref().is_none_or(|(k, ..)| *k != key) {
            let pixels = raster::draw(&plan, &input.map.pyramid, &input.scale, input.colours, &style);
            let image = ColorImage::from_rgba_unmultiplied([plan.width as usize, plan.height as usize], &pixels);
            let texture = ui.ctx().load_texture("heatmap", image, TextureOptions::NEAREST);
            self.texture = Some((key, Arc::downgrade(input.map), texture));
        }
        if let Some((.., texture)) = &self.texture {
            ui.painter().image(texture.id(), place.rect, Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0)), Color32::WHITE);
        }
    }
}

impl Picture {
    /// What the renderer keeps for this place, without what it shows.
    pub fn renewed(&mut self) -> Self {
        Self { gpu: self.gpu.take(), ..Self::default() }
    }
}
