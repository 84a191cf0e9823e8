// A map of values, drawn in two passes. CPU twin: src/base/heatmap/raster.rs, byte for byte.
//
// 1. `pool` (one fragment for each pixel column of each band, drawn offscreen and only when something changed): the hottest cell of the
//    fragment's range, from a pyramid of max |x| along the rows, and its colour. A band is one visible row, or several where rows outnumber pixels.
// 2. `spread` (one rectangle a band, one fragment a pixel): the band's colour, and the hairline. It reads one texel and does nothing else: this is
//    what a card spends its time on. Then `marked` over the pixels with hatch or outline, so that the others need not ask for these.
//
// Where the renderer is the processor itself, the twin draws the whole picture (picture.wgsl).
//
// Bindings, group 0: 0 uniform Heat; 1 uniform Colours (common/colour_map.wgsl); 2 pyramid, R32Float, wrapped by linear index; 3 plan, Rg32Uint:
// line 0 cells of each pixel column, line 1 rows of each band; 4 marks, R8Uint, [band][column]; 5 what pass 1 drew, Rgba8Unorm (a = the marks,
// bit 3 where no cell is finite). Pass 1 uses 0 to 4, pass 2 uses 0, 3, 5.

struct Heat {
    // Top left of the picture in the framebuffer.
    origin: vec2<i32>,
    // Width of the pyramid's texture.
    wrap: u32,
    top_level: u32,
    rows: u32,
    outlines: u32,
    // r | g << 8 | b << 16
    gap: u32,
    selected: u32,
    // Of the picture in pixels.
    size: vec2<u32>,
    // Where each level of the pyramid starts.
    offsets: array<vec4<u32>, 8>,
};

@group(0) @binding(0) var<uniform> heat: Heat;
@group(0) @binding(2) var pyramid: texture_2d<f32>;
@group(0) @binding(3) var plan: texture_2d<u32>;
@group(0) @binding(4) var marks: texture_2d<u32>;
@group(0) @binding(5) var pooled: texture_2d<f32>;

// f32::MIN: a cell that is not finite.
const NOT_FINITE: f32 = -0x1.fffffep+127f;
const EDGE: u32 = 0x80000000u;
const GAP_FROM: u32 = 12u;
const HATCH: u32 = 6u;
const HATCH_DARK: u32 = 0x161210u;
const HATCH_LIGHT: u32 = 0xf7f5f4u;
const NAN_GROUND: u32 = 0x808080u;
const NO_NUMBER: u32 = 8u;

@vertex
fn triangle(@builtin(vertex_index) i: u32) -> @builtin(position) vec4<f32> {
    let corner = vec2<f32>(f32((i << 1u) & 2u), f32(i & 2u));
    return vec4<f32>(corner * 2.0 - 1.0, 0.0, 1.0);
}

fn entry(index: u32) -> f32 {
    return textureLoad(pyramid, vec2<u32>(index % heat.wrap, index / heat.wrap), 0).x;
}

fn hotter(a: f32, b: f32) -> f32 {
    if (a == NOT_FINITE || (b != NOT_FINITE && abs(b) > abs(a))) {
        return b;
    }
    return a;
}

@fragment
fn pool(@builtin(position) p: vec4<f32>) -> @location(0) vec4<f32> {
    let at = vec2<u32>(p.xy);
    let cells = textureLoad(plan, vec2<u32>(at.x, 0u), 0).xy;
    let rows = textureLoad(plan, vec2<u32>(at.y, 1u), 0).xy;
    let to = cells.y & ~EDGE;
    var best = NOT_FINITE;
    for (var row = rows.x; row < rows.y; row++) {
        var first = cells.x;
        while (first < to) {
            // The widest entry that starts here and ends inside.
            var level = min(firstLeadingBit(to - first), heat.top_level);
            if (first > 0u) {
                level = min(level, firstTrailingBit(first));
            }
            best = hotter(best, entry(heat.offsets[level / 4u][level % 4u] + (first >> level) * heat.rows + row));
            first += 1u << level;
        }
    }
    let mark = textureLoad(marks, at, 0).x;
    if (best == NOT_FINITE) {
        return vec4<f32>(0.0, 0.0, 0.0, f32(mark | NO_NUMBER) / 255.0);
    }
    return vec4<f32>(vec4<u32>(unpack(colour_of(best)), mark)) / 255.0;
}

fn unpack(c: u32) -> vec3<u32> {
    return vec3<u32>(c & 255u, (c >> 8u) & 255u, (c >> 16u) & 255u);
}

// a towards b by k of 256.
fn blend(a: vec3<u32>, b: vec3<u32>, k: u32) -> vec3<u32> {
    return (a * (256u - k) + b * k + 128u) >> vec3<u32>(8u);
}

struct Patch {
    @builtin(position) position: vec4<f32>,
    // Band, its first pixel row, and that of the next.
    @location(0) @interpolate(flat) band: vec3<u32>,
};

// A rectangle of one band: two triangles an instance, the viewport is the picture. `at`: pixel columns from | to << 16, pixel rows likewise, band.
@vertex
fn rectangle(@builtin(vertex_index) i: u32, @location(0) at: vec3<u32>) -> Patch {
    let right = i == 1u || i == 2u || i == 4u;
    let low = i == 2u || i == 4u || i == 5u;
    let ends = vec2<u32>(select(at.x & 0xffffu, at.x >> 16u, right), select(at.y & 0xffffu, at.y >> 16u, low));
    let share = vec2<f32>(ends) / vec2<f32>(heat.size);
    var out: Patch;
    out.position = vec4<f32>(2.0 * share.x - 1.0, 1.0 - 2.0 * share.y, 0.0, 1.0);
    out.band = vec3<u32>(at.z, at.y & 0xffffu, at.y >> 16u);
    return out;
}

@fragment
fn spread(in: Patch) -> @location(0) vec4<f32> {
    let at = vec2<i32>(in.position.xy) - heat.origin;
    let colour = textureLoad(pooled, vec2<u32>(u32(at.x), in.band.x), 0).xyz;
    let hairline = u32(at.y) + 1u == in.band.z && in.band.z - in.band.y >= GAP_FROM;
    return vec4<f32>(select(colour, vec3<f32>(unpack(heat.gap)) / 255.0, hairline), 1.0);
}

// Cells that are off, selected, or have no number.
@fragment
fn marked(in: Patch) -> @location(0) vec4<f32> {
    let at = vec2<u32>(vec2<i32>(in.position.xy) - heat.origin);
    let texel = vec4<u32>(round(textureLoad(pooled, vec2<u32>(at.x, in.band.x), 0) * 255.0));
    let above = at.y - in.band.y;
    var below = in.band.z - 1u - at.y;
    let high = in.band.z - in.band.y;
    var out = texel.xyz;
    if ((texel.w & NO_NUMBER) != 0u) {
        // Hatched the other way than "off".
        out = unpack(select(NAN_GROUND, HATCH_DARK, (at.x + (HATCH - at.y % HATCH)) % HATCH == 0u));
    }
    let off = texel.w >> 4u;
    let rising = (at.x + at.y) % HATCH;
    if (off > 0u && rising < 3u) {
        out = blend(out, unpack(select(HATCH_LIGHT, HATCH_DARK, rising < 2u)), 80u + 22u * off);
    }
    let selected = texel.w & 7u;
    let hairline = below == 0u && high >= GAP_FROM;
    if (selected > 0u) {
        // The hairline took the last line of a high row.
        below -= select(0u, 1u, high >= GAP_FROM && !hairline);
        if (heat.outlines != 0u) {
            let side = (textureLoad(plan, vec2<u32>(at.x, 0u), 0).y & EDGE) != 0u;
            if (side || above == 0u || below == 0u) {
                out = unpack(heat.selected);
            } else if (above == 1u || below == 1u) {
                out = unpack(HATCH_DARK);
            }
        } else if (high >= 3u && below < select(1u, 3u, high >= GAP_FROM)) {
            out = blend(out, unpack(heat.selected), 116u + 20u * selected);
        }
    }
    out = select(out, unpack(heat.gap), hairline);
    return vec4<f32>(vec3<f32>(out) / 255.0, 1.0);
}
