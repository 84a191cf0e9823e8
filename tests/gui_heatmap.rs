//! The shader against its CPU twin: every byte of the picture, on whatever adapter there is (its name is printed).
#![cfg(feature = "gui")]

use brodmann::{
    base::{
        Grid, NeuronSet,
        heatmap::{ColourMap, Marks, Plan, Pyramid, Scale, ScaleKind, Style, Summary, Window, raster},
        rng::Rng,
    },
    gui::paint::heatmap::{HeatFrame, HeatGpu, HeatPipelines, HeatValues},
};
use eframe::egui_wgpu::{RenderState, wgpu};
use std::sync::Arc;

const STYLE: Style = Style { gap: [0x1b, 0x1e, 0x24], selected: [0x6e, 0xa8, 0xfe] };

fn device() -> RenderState {
    let state = egui_kittest::wgpu::create_render_state(egui_kittest::wgpu::default_wgpu_setup(), Default::default());
    println!("adapter: {} ({:?})", state.adapter.get_info().name, state.adapter.get_info().backend);
    state
}

/// Draws a frame with the shader into a texture that is larger than the picture, and cuts the picture out.
fn draw_on_gpu(state: &RenderState, gpu: &HeatGpu, frame: &HeatFrame) -> Vec<u8> {
    let (w, h) = (frame.plan.width, frame.plan.height);
    let (left, top) = (7, 3);
    let size = wgpu::Extent3d { width: (w + left).next_multiple_of(64), height: h + top, depth_or_array_layers: 1 };
    let target = state.device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba8Unorm,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
        view_formats: &[],
    });
    let mut encoder = state.device.create_command_encoder(&Default::default());
    gpu.prepare(&state.device, &state.queue, &mut encoder, frame, [left as i32, top as i32]);
    {
        let view = target.create_view(&Default::default());
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &view,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations::default(),
            })],
            ..Default::default()
        });
        pass.set_viewport(left as f32, top as f32, w as f32, h as f32, 0.0, 1.0);
        gpu.paint(&mut pass);
    }
    let row = size.width * 4;
    let buffer = state.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: u64::from(row * size.height),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    encoder.copy_texture_to_buffer(
        target.as_image_copy(),
        wgpu::TexelCopyBufferInfo {
            buffer: &buffer,
            layout: wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None },
        },
        size,
    );
    state.queue.submit([encoder.finish()]);
    buffer.slice(..).map_async(wgpu::MapMode::Read, |r| r.expect("map"));
    state.device.poll(wgpu::PollType::wait_indefinitely()).expect("poll");
    let all = buffer.slice(..).get_mapped_range().expect("range");
    let mut out = Vec::new();
    for y in top..top + h {
        let at = (y * row + left * 4) as usize;
        out.extend_from_slice(&all[at..at + w as usize * 4]);
    }
    out
}

/// Long-tailed values, some negative, with NaN cells and whole NaN stretches.
fn map(rows: usize, cols: usize, seed: u64) -> Grid {
    let mut rng = Rng::stream(seed, "heatmap test");
    let values: Vec<f32> = (0..rows * cols)
        .map(|i| {
            let u = rng.unit() as f32;
            if rng.unit() < 0.002 || i % cols.max(1) / 64 == 3 { f32::NAN } else { (u - 0.3) * (1.0 / (1.02 - u)).powi(3) * 1e-4 }
        })
        .collect();
    Grid::new(rows, cols, values).expect("grid")
}

#[test]
fn shader_and_cpu_draw_the_same_bytes() {
    let state = device();
    // As on a card, and with the first pass on the processor.
    let compared: usize = [false, true].into_iter().map(|software| compare(&state, software)).sum();
    println!("{compared} pixels compared");
    assert!(compared > 6_000_000);
}

fn compare(state: &RenderState, software: bool) -> usize {
    let pipelines = Arc::new(HeatPipelines::new(&state.device, wgpu::TextureFormat::Rgba8Unorm, software));
    let gpu = HeatGpu::with(pipelines.clone());
    let mut compared = 0;
    for (case, (rows, cols)) in [(1, 1), (3, 7), (6, 512), (12, 3000), (80, 28_672), (700, 90)].into_iter().enumerate() {
        // Every other map without NaN: then only what is marked is drawn as such.
        let grid = if case % 2 == 0 { map(rows, cols, case as u64) } else { finite(&map(rows, cols, case as u64)) };
        let pyramid = Arc::new(Pyramid::new(&grid));
        let values = Arc::new(HeatValues::new(&state.device, &state.queue, &pipelines, &pyramid).expect("fits"));
        let summary = Summary::of(&grid);
        // Few marks leave runs of plain pixels, many do not.
        let share = if case % 3 == 0 { 5.0 } else { 0.05 };
        let off = NeuronSet::top_percent(&grid, share);
        let selected = NeuronSet::random_like(&NeuronSet::top_percent(&grid, 2.0 * share), cols, 3);
        let whole = Window::whole(rows, cols);
        let windows = [
            whole,
            Window { x: cols as f64 * 0.2, y: rows as f64 * 0.3, width: cols as f64 * 0.37, height: rows as f64 * 0.5 },
            Window { x: cols as f64 * 0.61, y: rows as f64 * 0.11, width: 37.3, height: 2.4 },
        ];
        for (k, window) in windows.into_iter().enumerate() {
            let window = window.inside(rows, cols, 8.0);
            for (size, kind, signed) in
                [((611, 230), ScaleKind::Log, false), ((301, 97), ScaleKind::Linear, true), ((640, 64), ScaleKind::Clipped, true)]
            {
                let marks = Marks { off: Some(&off), selected: (k != 1).then_some(&selected) };
                let plan = Arc::new(Plan::new(window, rows, cols, size.0, size.1, &marks));
                let scale = Scale::fit(&summary, kind, signed);
                let map = if signed { ColourMap::BlueRed } else { ColourMap::Viridis };
                let frame = HeatFrame { values: values.clone(), plan: plan.clone(), scale, map, style: STYLE };
                let want = raster::draw(&plan, &pyramid, &scale, map, &STYLE);
                let got = draw_on_gpu(state, &gpu, &frame);
                let wrong = want.chunks(4).zip(got.chunks(4)).filter(|(a, b)| a != b).count();
                let case = format!("{rows} x {cols}, window {k}, {kind:?} signed {signed}, software {software}");
                assert_eq!(wrong, 0, "{case}: {wrong} of {} pixels differ", want.len() / 4);
                compared += want.len() / 4;
            }
        }
    }
    compared
}

fn finite(grid: &Grid) -> Grid {
    let values: Vec<f32> = grid.values().iter().map(|v| if v.is_finite() { *v } else { 0.0 }).collect();
    Grid::new(grid.rows(), grid.cols(), values).expect("grid")
}

#[test]
fn an_unchanged_frame_is_not_pooled_again_and_still_right() {
    let state = device();
    let pipelines = Arc::new(HeatPipelines::new(&state.device, wgpu::TextureFormat::Rgba8Unorm, false));
    let gpu = HeatGpu::with(pipelines.clone());
    let grid = map(4, 300, 9);
    let pyramid = Arc::new(Pyramid::new(&grid));
    let values = Arc::new(HeatValues::new(&state.device, &state.queue, &pipelines, &pyramid).expect("fits"));
    let scale = Scale::fit(&Summary::of(&grid), ScaleKind::Log, false);
    let plan = |width| Arc::new(Plan::new(Window::whole(4, 300), 4, 300, width, 50, &Marks::default()));
    let frame = |width| HeatFrame { values: values.clone(), plan: plan(width), scale, map: ColourMap::Cividis, style: STYLE };
    let small = frame(100);
    let first = draw_on_gpu(&state, &gpu, &small);
    assert_eq!(first, draw_on_gpu(&state, &gpu, &small));
    // Larger, so that the textures grow, then the small one again.
    let large = frame(700);
    assert_eq!(draw_on_gpu(&state, &gpu, &large), raster::draw(&large.plan, &pyramid, &scale, ColourMap::Cividis, &STYLE));
    assert_eq!(first, draw_on_gpu(&state, &gpu, &small));
}
