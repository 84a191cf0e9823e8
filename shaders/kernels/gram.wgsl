// Dot products of kept activations over one region: blocks of 8 samples with 8 others, A(a) . A(b) for all 64 pairs of a block.
//
// grid (slabs of the region, blocks), workgroup 256 threads that share a slab's entries; a thread loads 16 values for 64 products. reduce.wgsl adds
// the slabs.
// Template, expanded by src/compute/wgpu/shaders.rs. CPU twin: src/compute/cpu/scan_pairs.rs.

struct Params {
    // Entries of a region, and of a slab.
    region: u32,
    slab: u32,
    first_block: u32,
    n_blocks: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [slots, region]
@group(0) @binding(1) var<storage, read> kept: array<f32>;
// 8 slots on one side, then 8 on the other.
@group(0) @binding(2) var<storage, read> blocks: array<u32>;
// [slabs, blocks, 64]
@group(0) @binding(3) var<storage, read_write> parts: array<f32>;

// Eight products of each thread.
var<workgroup> lanes: array<f32, 2048>;
var<workgroup> folded: array<f32, 256>;

@compute @workgroup_size(256)
fn gram(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) li: u32) {
    let block = p.first_block + group.y;
    //@ each i 8
    let a_$i = blocks[block * 16u + $iu] * p.region;
    let b_$i = blocks[block * 16u + 8u + $iu] * p.region;
    //@ end
    //@ each i 8
    //@ each j 8
    var dot_$i_$j = 0.0;
    //@ end
    //@ end
    let end = min((group.x + 1u) * p.slab, p.region);
    for (var e = group.x * p.slab + li; e < end; e += 256u) {
        //@ each j 8
        let v_$j = kept[b_$j + e];
        //@ end
        //@ each i 8
        {
            let u = kept[a_$i + e];
            //@ each j 8
            dot_$i_$j = fma(u, v_$j, dot_$i_$j);
            //@ end
        }
        //@ end
    }
    let at = (group.x * p.n_blocks + block) * 64u;
    //@ each i 8
    workgroupBarrier();
    //@ each j 8
    lanes[$ju * 256u + li] = dot_$i_$j;
    //@ end
    workgroupBarrier();
    {
        let first = (li / 32u) * 256u + li % 32u;
        var total = 0.0;
        for (var k = 0u; k < 256u; k += 32u) {
            total += lanes[first + k];
        }
        folded[li] = total;
    }
    workgroupBarrier();
    if (li < 8u) {
        var total = 0.0;
        for (var k = 0u; k < 32u; k++) {
            total += folded[li * 32u + k];
        }
        parts[at + $iu * 8u + li] = total;
    }
    //@ end
}
