// A picture that the processor made (src/base/heatmap/raster.rs), one texel a pixel, over the whole viewport.
//
// The fragment is a texture's texel at the vertices' own coordinates and nothing else, no varying is flat, and the coordinates are two of a vector's
// four: of exactly this llvmpipe sees that it may copy lines instead of running a shader for every pixel (3 ms instead of 7 for 1.9 million).
//
// Bindings, group 0: 0 picture, 1 sampler (nearest).

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) at: vec4<f32>,
};

@group(0) @binding(0) var picture: texture_2d<f32>;
@group(0) @binding(1) var nearest: sampler;

@vertex
fn corner(@builtin(vertex_index) i: u32) -> Corner {
    let right = i == 1u || i == 2u || i == 4u;
    let low = i == 2u || i == 4u || i == 5u;
    var out: Corner;
    out.at = vec4<f32>(f32(right), f32(low), 0.0, 1.0);
    out.position = vec4<f32>(2.0 * out.at.x - 1.0, 1.0 - 2.0 * out.at.y, 0.0, 1.0);
    return out;
}

@fragment
fn copied(in: Corner) -> @location(0) vec4<f32> {
    return textureSample(picture, nearest, vec2<f32>(in.at.x, in.at.y));
}
