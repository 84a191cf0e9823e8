//! Opens the window.

use super::{Shell, motion, settings};
use crate::{
    app::{App, Command, GivenProducts, Preferences, Settings},
    base::heatmap::ColourMap,
};
use anyhow::{Result, anyhow};
use eframe::{
    NativeOptions,
    egui::{IconData, ViewportBuilder},
    egui_wgpu::{WgpuSetup, wgpu},
};
use std::sync::Arc;

/// The window is never smaller, in points: a screen of 1280 by 720 at a scale of 125 % holds it.
pub const LEAST_SIZE: [f32; 2] = [1024.0, 576.0];

/// Runs the window until it is closed. `initial` empty: the last project, or the demo. `products` as in [`Settings::given`].
///
/// # Errors
/// When no window can be opened (no display) or no graphics device is found.
pub fn run(initial: Vec<Command>, products: Option<GivenProducts>) -> Result<()> {
    let made = eframe::run_native(
        "Brodmann",
        options(),
        Box::new(|cc| {
            let ctx = cc.egui_ctx.clone();
            let mut settings =
                Settings { autosave: true, predicts: true, auto_index: true, measures_speed: true, ..Settings::from_env().given(products) };
            let file = settings.preferences_path();
            let preferences = Preferences::load(&file);
            settings.preferences = preferences.as_ref().cloned().unwrap_or_default();
            settings.device = settings.preferences.device;
            settings.preferences_file = Some(file);
            settings::apply(&cc.egui_ctx, &settings.preferences);
            motion::follow_system(&cc.egui_ctx);
            let mut app = App::with_settings(Arc::new(move || ctx.request_repaint()), settings);
            if let Err(e) = preferences {
                app.warn("The settings could not be read, so these are the defaults", e.to_string());
            }
            app.warn_of_products();
            app.apply(Command::FindModels);
            if initial.is_empty() {
                app.open_last_or_demo();
            }
            initial.into_iter().for_each(|c| app.apply(c));
            Ok(Box::new(Shell::new(cc, app)))
        }),
    );
    made.map_err(|e| anyhow!("the window could not be opened: {e}"))
}

/// Size, icon, graphics device.
pub fn options() -> NativeOptions {
    let mut options = NativeOptions {
        viewport: ViewportBuilder::default()
            .with_title("Brodmann")
            .with_app_id("brodmann")
            .with_inner_size([1440.0, 900.0])
            .with_min_inner_size(LEAST_SIZE)
            .with_icon(icon())
            .with_drag_and_drop(true),
        ..NativeOptions::default()
    };
    if let WgpuSetup::CreateNew(setup) = &mut options.wgpu_options.wgpu_setup {
        setup.device_descriptor = Arc::new(|adapter| {
            let gl = adapter.get_info().backend == wgpu::Backend::Gl;
            let mut limits = if gl { wgpu::Limits::downlevel_webgl2_defaults() } else { wgpu::Limits::default() };
            let offered = adapter.limits();
            // A whole model's map has to fit one texture.
            limits.max_texture_dimension_2d = offered.max_texture_dimension_2d;
            limits.max_buffer_size = offered.max_buffer_size;
            wgpu::DeviceDescriptor { label: Some("brodmann"), required_limits: limits, ..Default::default() }
        });
        // eframe reads WGPU_BACKEND and WGPU_POWER_PREF itself, but not this one.
        if let Ok(wanted) = std::env::var("WGPU_ADAPTER_NAME") {
            setup.native_adapter_selector = Some(Arc::new(move |adapters, surface| {
                let fits = |a: &&wgpu::Adapter| surface.is_none_or(|s| a.is_surface_supported(s));
                let named = |a: &&wgpu::Adapter| a.get_info().name.to_lowercase().contains(&wanted.to_lowercase());
                adapters.iter().filter(fits).find(named).cloned().ok_or_else(|| {
                    let names: Vec<String> = adapters.iter().map(|a| a.get_info().name).collect();
                    format!("WGPU_ADAPTER_NAME is `{wanted}`, but the graphics devices here are: {}", names.join(", "))
                })
            }));
        }
    }
    options
}

/// A small map with one hot row: what the window is about.
fn icon() -> IconData {
    const SIDE: u32 = 64;
    let mut rgba = Vec::with_capacity((SIDE * SIDE * 4) as usize);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (cx, cy) = ((x / 13).min(4), (y / 13).min(4));
            let border = x % 13 == 12 || y % 13 == 12 || x >= 64 - 1;
            // A fixed pattern, hottest near the middle.
            let heat = 1.0 - (f64::from(cx.abs_diff(2)) + f64::from(cy.abs_diff(1))) / 5.0 + f64::from((cx * 7 + cy * 3) % 4) * 0.06;
            let [r, g, b] = ColourMap::Viridis.at(heat);
            rgba.extend(if border { [20, 22, 26, 255] } else { [r, g, b, 255] });
        }
    }
    IconData { rgba, width: SIDE, height: SIDE }
}
