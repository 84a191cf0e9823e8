//! Frame time of the neuron map while it pans, and what an idle window costs. Needs a display (Xvfb will do):
//!
//!     cargo bench --bench heatmap_pan
//!
//! 80 x 28,672 = 2.3 million cells at 1900 x 1000, the window moving along the neurons every frame; then eight seconds without input. Prints the
//! adapter, the median, fastest and slowest frame (start of one to start of the next, presenting included), and the CPU time of the idle part.
//! `ROWS`, `COLS`, `FRAMES`, `SHARE` (of the columns that are visible) change the task.

use brodmann::{
    base::{
        Grid, NeuronSet,
        heatmap::{ColourMap, Scale, ScaleKind, Window},
        rng::Rng,
    },
    gui::{
        Theme,
        widgets::{
            heatmap_view::{HeatmapInput, HeatmapView},
            prepared_map::PreparedMap,
        },
    },
};
use eframe::{
    NativeOptions,
    egui::{self, CentralPanel, Ui, ViewportBuilder, ViewportCommand},
    egui_wgpu::{RenderState, wgpu},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

fn setting(name: &str, default: f64) -> f64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

struct Bench {
    map: Arc<PreparedMap>,
    view: HeatmapView,
    gpu: Option<RenderState>,
    off: NeuronSet,
    frames: usize,
    last: Option<Instant>,
    times: Vec<f64>,
    idle: Option<(Instant, f64)>,
}

/// User and system time of this process, in seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15, counted after the name, which may hold spaces.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |i: usize| after.split_whitespace().nth(i).and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

impl eframe::App for Bench {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        let ctx = ui.ctx().clone();
        if self.times.len() < self.frames {
            if let Some(t) = self.last.replace(Instant::now()) {
                self.times.push(t.elapsed().as_secs_f64() * 1e3);
            }
            let (rows, cols) = (self.map.grid.rows(), self.map.grid.cols());
            let width = cols as f64 * setting("SHARE", 0.9);
            let step = self.times.len() as f64 / self.frames as f64;
            self.view.show_window(Window { x: step * (cols as f64 - width), y: 0.0, width, height: rows as f64 });
            ctx.request_repaint();
        } else if self.idle.is_none() {
            let mut sorted = self.times[10.min(self.frames / 2)..].to_vec();
            sorted.sort_by(f64::total_cmp);
            let size = ctx.content_rect().size();
            println!(
                "{} x {} cells at {} x {}: frame median {:.1} ms, fastest {:.1}, slowest {:.1} ({} frames)",
                self.map.grid.rows(),
                self.map.grid.cols(),
                size.x,
                size.y,
                sorted[sorted.len() / 2],
                sorted[0],
                sorted[sorted.len() - 1],
                sorted.len()
            );
            self.idle = Some((Instant::now(), cpu_seconds()));
            let ctx = ctx.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(8));
                ctx.request_repaint();
            });
        } else if let Some((since, before)) = self.idle
            && since.elapsed() > Duration::from_secs(8)
        {
            println!("idle for {:.1} s: {:.2} s of CPU", since.elapsed().as_secs_f64(), cpu_seconds() - before);
            ctx.send_viewport_cmd(ViewportCommand::Close);
        }
        CentralPanel::no_frame().show(ui, |ui| {
            let scale = Scale::fit(&self.map.summary, ScaleKind::Log, false);
            let input = HeatmapInput {
                map: &self.map,
                scale,
                colours: ColourMap::Viridis,
                off: &self.off,
                selected: &NeuronSet::new(),
                marks_version: 0,
                what: "the benchmark",
                unit: "",
                hovered_layer: None,
                hovered_neuron: None,
                reveal: None,
            };
            self.view.ui(ui, Theme::of(&ctx), self.gpu.as_ref(), &input);
        });
    }
}

fn main() -> eframe::Result {
    // `cargo test` runs benches too; there it only has to build.
    if !std::env::args().any(|a| a == "--bench") {
        return Ok(());
    }
    let (rows, cols) = (setting("ROWS", 80.0) as usize, setting("COLS", 28_672.0) as usize);
    let mut rng = Rng::stream(0, "heatmap bench");
    let values: Vec<f32> = (0..rows * cols).map(|_| (-(1.0 - rng.unit()).ln()) as f32 * 1e-3).collect();
    let grid = Grid::new(rows, cols, values).unwrap_or_else(|_| Grid::zeros(1, 1));
    let started = Instant::now();
    let map = Arc::new(PreparedMap::new(grid, None));
    println!("pyramid and summary: {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    let off = NeuronSet::top_percent(&map.grid, 0.1);
    let mut options = NativeOptions {
        viewport: ViewportBuilder::default().with_inner_size([1900.0, 1000.0]),
        persist_window: false,
        ..NativeOptions::default()
    };
    options.wgpu_options.surface.present_mode = wgpu::PresentMode::AutoNoVsync;
    eframe::run_native(
        "heatmap_pan",
        options,
        Box::new(move |cc| {
            Theme::install(&cc.egui_ctx);
            cc.egui_ctx.set_theme(egui::Theme::Dark);
            if let Some(state) = &cc.wgpu_render_state {
                let info = state.adapter.get_info();
                println!("adapter: {} ({:?})", info.name, info.backend);
            }
            let gpu = cc.wgpu_render_state.clone();
            let frames = setting("FRAMES", 120.0) as usize;
            Ok(Box::new(Bench { map, view: HeatmapView::default(), gpu, off, frames, last: None, times: Vec::new(), idle: None }))
        }),
    )
}
