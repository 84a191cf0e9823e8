// Value -> colour, for everything that draws a map of values. CPU twin: Scale::starts and ColourMap in src/base/heatmap.
//
// `starts`: the smallest value of each of the 256 colours, ascending; `rgb`: the colours, r | g << 8 | b << 16. Searching for the value instead of
// computing a position gives every scale, logarithmic ones too, one code path, and the same colour as the CPU to the last bit. In uniform memory, by
// fours: a software renderer reads a word of it several times faster than a texel.

struct Colours {
    starts: array<vec4<f32>, 64>,
    rgb: array<vec4<u32>, 64>,
};

@group(0) @binding(1) var<uniform> colours: Colours;

fn colour_of(value: f32) -> u32 {
    // The last four whose first start is not above the value; then how far within.
    var four = 0u;
    for (var step = 32u; step > 0u; step >>= 1u) {
        if (colours.starts[four + step].x <= value) {
            four += step;
        }
    }
    let starts = colours.starts[four];
    let within = u32(starts.y <= value) + u32(starts.z <= value) + u32(starts.w <= value);
    return colours.rgb[four][within];
}
