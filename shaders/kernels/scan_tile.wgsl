// Parameter activations of one region of a weight matrix: A(s) = |W o (delta_s^T x_s)|, sample after sample (METHODS 1).
//
// A workgroup makes one tile of 16 ROWS x 64 COLS entries for one chunk, a few samples of one domain. A sample's gradient is formed in registers,
// 16 tokens at a time from workgroup memory, multiplied with the weights and reduced: the gradient itself is never stored. What is stored: the
// sum of A over the chunk, A of those samples that take part in pairs, and each sample's sum of squares over the tile.
//
// grid (tiles across, tiles down, chunks), workgroup 256 threads as 16 x 16; a thread holds ROWS rows (four neighbours, and four more 64 rows
// further down) and COLS times four columns (64 apart).
// Template, expanded by src/compute/wgpu/shaders.rs: lines between `//@ each` and `//@ end` are repeated.
// CPU twin: src/compute/cpu/scan_tile.rs and scan_block.rs.

// Of a thread.
const ROWS = $ROWSu;
const COLS = $COLSu;
// Tokens taken into workgroup memory at a time.
const STEP = 16u;
// Width of a tile's operands in vec4.
const DELTA_WIDTH = 4u * ROWS;
const X_WIDTH = 16u * COLS;
const NO_SLOT = 0xffffffffu;

struct Params {
    // Strides and first columns in vec4.
    x_stride: u32,
    x_first: u32,
    delta_stride: u32,
    delta_first: u32,
    w_stride: u32,
    w_first: u32,
    w_row: u32,
    // Of the region inside the matrix: rows, and vec4 across.
    rows: u32,
    across: u32,
    // Vec4 of a row of the region filled up to whole tiles, and of all of it.
    width: u32,
    region: u32,
    first_chunk: u32,
    n_samples: u32,
    want_sums: u32,
    // The region's rows divided by four, rounded up.
    rows4: u32,
    want_kept: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [tokens, in]
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
// [tokens, out]
@group(0) @binding(2) var<storage, read> delta: array<vec4<f32>>;
// [out, in]
@group(0) @binding(3) var<storage, read> weights: array<vec4<f32>>;
// First token, end, slot among the kept, number of the sample.
@group(0) @binding(4) var<storage, read> samples: array<vec4<u32>>;
// First sample, end.
@group(0) @binding(5) var<storage, read> chunks: array<vec2<u32>>;
// [chunks, region]
@group(0) @binding(6) var<storage, read_write> sums: array<vec4<f32>>;
// [slots, region]
@group(0) @binding(7) var<storage, read_write> kept: array<vec4<f32>>;
// [tiles, samples]
@group(0) @binding(8) var<storage, read_write> squares: array<f32>;

var<workgroup> tile_delta: array<vec4<f32>, STEP * DELTA_WIDTH>;
var<workgroup> tile_x: array<vec4<f32>, STEP * X_WIDTH>;
var<workgroup> lanes: array<f32, 256>;
var<workgroup> folded: array<f32, 32>;

@compute @workgroup_size(256)
fn scan_tile(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) li: u32,
) {
    let down = li / 16u;
    let over = li % 16u;
    // What this thread brings into workgroup memory.
    let d_token = li / DELTA_WIDTH;
    let d_col = group.y * DELTA_WIDTH + li % DELTA_WIDTH;
    let d_inside = d_col < p.rows4;
    let d_at = p.delta_first + d_col;
    let x_token = li / X_WIDTH;
    let x_col = group.x * X_WIDTH + li % X_WIDTH;
    let x_inside = x_col < p.across;
    let x_at = p.x_first + x_col;
    // Where this thread's entries lie in the region.
    let row = group.y * 16u * ROWS + 4u * down;
    let col = group.x * X_WIDTH + over;
    let place = row * p.width + col;
    let chunk_index = p.first_chunk + group.z;
    let chunk = chunks[chunk_index];

    //@ each r ROWS
    //@ each c COLS
    var sum_$r_$c = vec4<f32>();
    //@ end
    //@ end
    //@ if HELD
    //@ each r ROWS
    //@ each c COLS
    var w_$r_$c = vec4<f32>();
    if (row + $rou < p.rows && col + $c6u < p.across) {
        w_$r_$c = weights[(p.w_row + row + $rou) * p.w_stride + p.w_first + col + $c6u];
    }
    //@ end
    //@ end
    //@ end
    //@ each v DELTA_LOADS
    var next_d$v = vec4<f32>();
    //@ end
    //@ each v X_LOADS
    var next_x$v = vec4<f32>();
    //@ end

    for (var i = chunk.x; i < chunk.y; i++) {
        let sample = samples[i];
        //@ each r ROWS
        //@ each c COLS
        var g_$r_$c = vec4<f32>();
        //@ end
        //@ end
        var token = sample.x;
        //@ part fetch
        //@ each v DELTA_LOADS
        next_d$v = vec4<f32>();
        if (d_inside && token + d_token + $vu * (256u / DELTA_WIDTH) < sample.y) {
            next_d$v = delta[(token + d_token + $vu * (256u / DELTA_WIDTH)) * p.delta_stride + d_at];
        }
        //@ end
        //@ each v X_LOADS
        next_x$v = vec4<f32>();
        if (x_inside && token + x_token + $vu * (256u / X_WIDTH) < sample.y) {
            next_x$v = x[(token + x_token + $vu * (256u / X_WIDTH)) * p.x_stride + x_at];
        }
        //@ end
        //@ end
        //@ use fetch
        while (token < sample.y) {
            // The step before has been read.
            workgroupBarrier();
            //@ each v DELTA_LOADS
            tile_delta[li + $vu * 256u] = next_d$v;
            //@ end
            //@ each v X_LOADS
            tile_x[li + $vu * 256u] = next_x$v;
            //@ end
            workgroupBarrier();
            // The next step's operands travel while this one is computed.
            token += STEP;
            //@ use fetch
            for (var q = 0u; q < STEP; q += 4u) {
                //@ each s 4
                {
                    //@ each v DELTA_LOADS
                    let d$v = tile_delta[(q + $su) * DELTA_WIDTH + $vu * 16u + down];
                    //@ end
                    //@ each c COLS
                    let x$c = tile_x[(q + $su) * X_WIDTH + $cu * 16u + over];
                    //@ end
                    //@ each r ROWS
                    //@ each c COLS
                    g_$r_$c = fma(vec4<f32>(d$rv.$rk), x$c, g_$r_$c);
                    //@ end
                    //@ end
                }
                //@ end
            }
        }
        let keep = p.want_kept != 0u && sample.z != NO_SLOT;
        let slot = sample.z * p.region + place;
        var square = vec4<f32>();
        //@ each r ROWS
        //@ each c COLS
        {
            //@ if HELD
            let a = abs(w_$r_$c * g_$r_$c);
            //@ else
            var w = vec4<f32>();
            if (row + $rou < p.rows && col + $c6u < p.across) {
                w = weights[(p.w_row + row + $rou) * p.w_stride + p.w_first + col + $c6u];
            }
            let a = abs(w * g_$r_$c);
            //@ end
            sum_$r_$c += a;
            square = fma(a, a, square);
            if (keep) {
                kept[slot + $rou * p.width + $c6u] = a;
            }
        }
        //@ end
        //@ end
        lanes[li] = dot(square, vec4<f32>(1.0));
        workgroupBarrier();
        if (li < 32u) {
            var total = 0.0;
            for (var k = li; k < 256u; k += 32u) {
                total += lanes[k];
            }
            folded[li] = total;
        }
        workgroupBarrier();
        if (li == 0u) {
            var total = 0.0;
            for (var k = 0u; k < 32u; k++) {
                total += folded[k];
            }
            squares[(group.y * groups.x + group.x) * p.n_samples + sample.w] = total;
        }
    }
    if (p.want_sums != 0u) {
        let at = chunk_index * p.region + place;
        //@ each r ROWS
        //@ each c COLS
        sums[at + $rou * p.width + $c6u] = sum_$r_$c;
        //@ end
        //@ end
    }
}
