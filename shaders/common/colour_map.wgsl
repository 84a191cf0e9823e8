// Value -> colour, for everything that draws a map of values. CPU twin: Scale::starts and ColourMap in src/base/heatmap.
//
// `colours` holds 256 texels: x = bits of the smallest value (f32) with this colour, y = r | g << 8 | b << 16. Searching for the value instead of
// computing a position gives every scale, logarithmic ones too, one code path, and the same colour as the CPU to the last bit.

@group(0) @binding(1) var colours: texture_2d<u32>;

fn colour_of(value: f32) -> u32 {
    var index = 0u;
    for (var step = 128u; step > 0u; step >>= 1u) {
        let start = bitcast<f32>(textureLoad(colours, vec2<u32>(index + step, 0u), 0).x);
        if (start <= value) {
            index += step;
        }
    }
    return textureLoad(colours, vec2<u32>(index, 0u), 0).y;
}
