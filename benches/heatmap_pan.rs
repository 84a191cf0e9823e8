//! Frame time of one neuron map and of four beside each other while they pan, and what an idle window costs. Needs a display (Xvfb will do):
//!
//!     cargo bench --bench heatmap_pan
//!
//! 80 x 28,672 = 2.3 million cells a map, the window 1900 x 1000, every map moving along its neurons in every frame; then eight seconds without
//! input. Prints the adapter and, for each number of maps, the median, fastest and slowest frame (start of one to start of the next, presenting
//! included), what of it the interface's own code took, processor time a frame (all threads, the software renderer's too: the figure to trust on a
//! machine that does other things), and the CPU time of the idle part. Frames of the empty window and of maps that stand still
//! come first: they tell what presenting and the second pass cost without the first.
//! `ROWS`, `COLS`, `FRAMES`, `SHARE` (of the columns that are visible), `MAPS` (default `1,4`) change the task.

use brodmann::{
    base::{
        Grid, NeuronSet,
        heatmap::{ColourMap, Scale, ScaleKind, Window},
        rng::Rng,
    },
    gui::{
        Theme,
        widgets::{
            heatmap_view::{Columns, HeatmapInput, HeatmapView},
            prepared_map::{MapSource, PreparedMap},
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

/// What is measured one after the other.
#[derive(Clone, Copy, PartialEq)]
enum Scene {
    Empty,
    Still(usize),
    Pan(usize),
    Idle,
}

struct Bench {
    maps: Vec<Arc<PreparedMap>>,
    views: Vec<HeatmapView>,
    gpu: Option<RenderState>,
    off: Vec<NeuronSet>,
    frames: usize,
    scenes: Vec<Scene>,
    last: Option<Instant>,
    times: Vec<f64>,
    /// Time in `ui`.
    own: Vec<f64>,
    /// Processor time when the scene was warm.
    warm: f64,
    idle: Option<(Instant, f64)>,
    closing: bool,
}

/// User and system time of this process, in seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15, counted after the name, which may hold spaces.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |i: usize| after.split_whitespace().nth(i).and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn median(times: &[f64]) -> (f64, f64, f64) {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[sorted.len() / 2], sorted[0], sorted[sorted.len() - 1])
}

impl Bench {
    /// Frames that compile pipelines and upload.
    fn warm_up(&self) -> usize {
        10.min(self.frames / 2)
    }

    fn report(&self, ctx: &egui::Context) {
        let warm = self.warm_up();
        let cpu = (cpu_seconds() - self.warm) * 1e3 / (self.times.len() - warm) as f64;
        let (middle, fastest, slowest) = median(&self.times[warm..]);
        let (own, ..) = median(&self.own[warm..]);
        let size = ctx.content_rect().size();
        let what = match self.scenes[0] {
            Scene::Empty => "nothing".to_owned(),
            Scene::Still(n) => format!("{n} still"),
            Scene::Pan(n) => format!("{n} panning"),
            Scene::Idle => String::new(),
        };
        let grid = &self.maps[0].grid;
        println!(
            "{what:>10} of {} x {} cells at {} x {}: frame median {middle:.1} ms, fastest {fastest:.1}, slowest {slowest:.1}; own code {own:.1} ms; processor {cpu:.1} ms a frame",
            grid.rows(),
            grid.cols(),
            size.x,
            size.y,
        );
    }

    fn map_ui(&mut self, ui: &mut Ui, i: usize) {
        let map = &self.maps[i];
        let input = HeatmapInput {
            map,
            scale: Scale::fit(&map.summary(99.9), ScaleKind::Log, false),
            colours: ColourMap::Viridis,
            off: &self.off[i],
            selected: &NeuronSet::new(),
            marks_version: 0,
            what: "the benchmark",
            unit: "",
            columns: Columns::Neurons,
            ordered: "",
            bare: false,
            pinned: &[],
            crosshair: true,
            hovered_layer: None,
            hovered_neuron: None,
            reveal: None,
        };
        self.views[i].ui(ui, Theme::of(ui.ctx()), self.gpu.as_ref(), &input);
    }
}

impl eframe::App for Bench {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        let ctx = ui.ctx().clone();
        let started = Instant::now();
        if let Some(t) = self.last.replace(started) {
            self.times.push((started - t).as_secs_f64() * 1e3);
            if self.times.len() == self.warm_up() {
                self.warm = cpu_seconds();
            }
        }
        if self.times.len() >= self.frames && self.scenes[0] != Scene::Idle {
            self.report(&ctx);
            self.scenes.remove(0);
            (self.times, self.own, self.last) = (Vec::new(), Vec::new(), None);
        }
        let (rows, cols) = (self.maps[0].grid.rows(), self.maps[0].grid.cols());
        let width = cols as f64 * setting("SHARE", 0.9);
        let at = |step: f64| Window { x: step * (cols as f64 - width), y: 0.0, width, height: rows as f64 };
        let shown = match self.scenes[0] {
            Scene::Empty => 0,
            Scene::Still(n) => {
                self.views.iter_mut().for_each(|v| v.show_window(at(0.5)));
                n
            }
            Scene::Pan(n) => {
                let step = self.times.len() as f64 / self.frames as f64;
                self.views.iter_mut().for_each(|v| v.show_window(at(step)));
                n
            }
            Scene::Idle => self.maps.len(),
        };
        match (self.scenes[0], self.idle) {
            (Scene::Idle, None) => {
                self.idle = Some((Instant::now(), cpu_seconds()));
                let ctx = ctx.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_secs(8));
                    ctx.request_repaint();
                });
            }
            (Scene::Idle, Some((since, before))) => {
                if since.elapsed() > Duration::from_secs(8) && !std::mem::replace(&mut self.closing, true) {
                    println!("idle for {:.1} s: {:.2} s of CPU", since.elapsed().as_secs_f64(), cpu_seconds() - before);
                    ctx.send_viewport_cmd(ViewportCommand::Close);
                }
            }
            _ => ctx.request_repaint(),
        }
        CentralPanel::no_frame().show(ui, |ui| {
            let room = ui.max_rect();
            let across = if shown > 1 { 2 } else { 1 };
            let down = shown.div_ceil(across).max(1);
            let size = egui::vec2(room.width() / across as f32, room.height() / down as f32);
            for i in 0..shown {
                let min = room.min + egui::vec2((i % across) as f32 * size.x, (i / across) as f32 * size.y);
                let rect = egui::Rect::from_min_size(min, size - egui::vec2(4.0, 4.0));
                ui.scope_builder(egui::UiBuilder::new().max_rect(rect).id_salt(i), |ui| self.map_ui(ui, i));
            }
        });
        self.own.push(started.elapsed().as_secs_f64() * 1e3);
    }
}

fn main() -> eframe::Result {
    // `cargo test` runs benches too; there it only has to build.
    if !std::env::args().any(|a| a == "--bench") {
        return Ok(());
    }
    let (rows, cols) = (setting("ROWS", 80.0) as usize, setting("COLS", 28_672.0) as usize);
    let counts = std::env::var("MAPS").unwrap_or_else(|_| "1,4".into());
    let counts: Vec<usize> = counts.split(',').filter_map(|n| n.trim().parse().ok()).filter(|n| *n > 0).collect();
    let most = counts.iter().copied().max().unwrap_or(1);
    let started = Instant::now();
    let maps: Vec<Arc<PreparedMap>> = (0..most)
        .map(|i| {
            let mut rng = Rng::stream(i as u64, "heatmap bench");
            let values: Vec<f32> = (0..rows * cols).map(|_| (-(1.0 - rng.unit()).ln()) as f32 * 1e-3).collect();
            let grid = Grid::new(rows, cols, values).unwrap_or_else(|_| Grid::zeros(1, 1));
            Arc::new(PreparedMap::new(MapSource::plain(&grid)))
        })
        .collect();
    println!("{most} maps with pyramid and magnitudes: {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
    let off = maps.iter().map(|m| NeuronSet::top_percent(&m.grid, 0.1)).collect();
    let mut scenes = vec![Scene::Empty];
    scenes.extend(counts.iter().flat_map(|n| [Scene::Still(*n), Scene::Pan(*n)]));
    scenes.push(Scene::Idle);
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
            let views = maps.iter().map(|_| HeatmapView::default()).collect();
            let (last, times, own, warm, idle, closing) = (None, Vec::new(), Vec::new(), 0.0, None, false);
            Ok(Box::new(Bench { maps, views, gpu, off, frames, scenes, last, times, own, warm, idle, closing }))
        }),
    )
}
