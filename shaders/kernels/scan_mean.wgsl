// The mean of A over each domain's samples, from the chunks' sums of scan_tile.wgsl, and what is read off it: row sums, column sums, the count of
// entries above gamma, the histogram of magnitudes.
//
// domain_rows: grid (blocks of 16 rows, domains), workgroup 256 threads, 16 to a row. Leaves the mean in the sums of the domain's first chunk.
// domain_columns: grid (blocks of 256 vec4 columns, strips of 64 rows, domains), workgroup 256 threads, one to a column. Reads that mean; the
// strips' partial sums are added by reduce.wgsl.
// CPU twin: `read_mean` in src/compute/cpu/scan_tile.rs; the bins are those of src/compute/scan_job.rs.

const BINS = $BINSu;
// Key of the first bin: 2^-40, eight bins an octave.
const FIRST_BIN = $FIRST_BINu;
const STRIP = 64u;

struct Params {
    // Vec4 of a row of the region filled up to whole tiles, and of all of it.
    width: u32,
    region: u32,
    // Of the region inside the matrix.
    rows: u32,
    cols: u32,
    n_domains: u32,
    // Where the row sums begin in the results.
    rows_first: u32,
    gamma: f32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// First chunk, end, samples, 0.
@group(0) @binding(1) var<storage, read> domains: array<vec4<u32>>;
// [chunks, region]
@group(0) @binding(2) var<storage, read_write> sums: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> results: array<f32>;
// [domains, BINS + 1]: the histogram, then the count above gamma.
@group(0) @binding(4) var<storage, read_write> bins: array<atomic<u32>>;
// [strips, domains, width]
@group(0) @binding(5) var<storage, read_write> parts: array<vec4<f32>>;

var<workgroup> tally: array<atomic<u32>, BINS + 1u>;
var<workgroup> lanes: array<f32, 256>;

fn count(value: f32) {
    let key = bitcast<u32>(value) >> 20u;
    atomicAdd(&tally[min(max(key, FIRST_BIN) - FIRST_BIN, BINS - 1u)], 1u);
    if (value > p.gamma) {
        atomicAdd(&tally[BINS], 1u);
    }
}

@compute @workgroup_size(256)
fn domain_rows(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) li: u32) {
    let row = group.x * 16u + li / 16u;
    let domain = domains[group.y];
    var total = 0.0;
    if (row < p.rows) {
        for (var c = li % 16u; 4u * c < p.cols; c += 16u) {
            let at = row * p.width + c;
            var mean = vec4<f32>();
            for (var k = domain.x; k < domain.y; k++) {
                mean += sums[k * p.region + at];
            }
            mean = mean / f32(max(domain.z, 1u));
            if (domain.x < domain.y) {
                sums[domain.x * p.region + at] = mean;
            }
            total += dot(mean, vec4<f32>(1.0));
            let inside = p.cols - 4u * c;
            count(mean.x);
            if (inside > 1u) {
                count(mean.y);
            }
            if (inside > 2u) {
                count(mean.z);
            }
            if (inside > 3u) {
                count(mean.w);
            }
        }
    }
    lanes[li] = total;
    workgroupBarrier();
    if (li % 16u == 0u && row < p.rows) {
        var sum = 0.0;
        for (var k = 0u; k < 16u; k++) {
            sum += lanes[li + k];
        }
        results[p.rows_first + group.y * p.rows + row] = sum;
    }
    for (var b = li; b <= BINS; b += 256u) {
        let n = atomicLoad(&tally[b]);
        if (n > 0u) {
            atomicAdd(&bins[group.y * (BINS + 1u) + b], n);
        }
    }
}

@compute @workgroup_size(256)
fn domain_columns(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) li: u32) {
    let c = group.x * 256u + li;
    if (c >= p.width) {
        return;
    }
    let domain = domains[group.z];
    var total = vec4<f32>();
    if (domain.x < domain.y) {
        let end = min((group.y + 1u) * STRIP, p.rows);
        for (var row = group.y * STRIP; row < end; row++) {
            total += sums[domain.x * p.region + row * p.width + c];
        }
    }
    parts[(group.y * p.n_domains + group.z) * p.width + c] = total;
}
