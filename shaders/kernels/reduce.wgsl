// Sums of partial results in a fixed order: results[first + i] = sum over j of parts[j, i].
//
// grid (blocks of 16 columns, in rows of `across`), workgroup 256 threads, 16 to a column. Sixteen terms at a time, so that thousands of terms lose
// no more digits than a few hundred.

struct Params {
    // parts is [m, n].
    n: u32,
    m: u32,
    across: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read_write> results: array<f32>;

var<workgroup> lanes: array<f32, 256>;

@compute @workgroup_size(256)
fn reduce(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) li: u32) {
    let i = (group.y * p.across + group.x) * 16u + li % 16u;
    var total = 0.0;
    if (i < p.n) {
        for (var first = li / 16u; first < p.m; first += 256u) {
            var some = 0.0;
            for (var j = first; j < min(first + 256u, p.m); j += 16u) {
                some += parts[j * p.n + i];
            }
            total += some;
        }
    }
    lanes[li] = total;
    workgroupBarrier();
    if (li < 16u && i < p.n) {
        var sum = 0.0;
        for (var k = li; k < 256u; k += 16u) {
            sum += lanes[k];
        }
        results[p.first + i] = sum;
    }
}
