// y = softmax(q k^T / sqrt(D)) v in each head, without ever storing the matrix of scores.
//
// Shapes    q [B, N, C], k and v [B, M, C], C = heads * D -> y [B, N, C]
// Layout    row-major; head h is columns h D .. (h + 1) D
// Dispatch  a workgroup for QUERIES queries of one head, and COLUMNS columns of its result:
//           (ceil(N / QUERIES), B * heads folded into y and z, where z also counts ceil(D / COLUMNS))
// Reference attention in src/compute/cpu/attention.rs; one pass over the keys with running maxima (Milakov and Gimelshein 2018,
//           arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135)
//
// For each block of KEYS keys: scores by a tiled product of q and k; each query's maximum so far and the exponentials under
// it; what was summed up before is scaled from the old maximum to the new; and the block's values are added.

override CAUSAL: bool = false;

const QUERIES: u32 = 64u;
const KEYS: u32 = 32u;
const DEPTH: u32 = 16u;
const COLUMNS: u32 = 64u;
const INVOCATIONS: u32 = 128u;
// Lower than any score.
const HIDDEN: f32 = -3.0e38;

struct Parameters {
    queries: u32,
    keys: u32,
    channels: u32,
    heads: u32,
    batch: u32,
    blocks: u32, // of columns
    scale: f32,  // 1 / sqrt(D)
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> q: array<Value>;
@group(0) @binding(2) var<storage, read> k: array<Value>;
@group(0) @binding(3) var<storage, read> v: array<Value>;
@group(0) @binding(4) var<storage, read_write> y: array<Value>;

var<workgroup> q_or_v: array<vec4<f32>, DEPTH * (QUERIES / 4u + 1u)>; // q by depth and query, then v by key and column
var<workgroup> k_tile: array<vec4<f32>, DEPTH * (KEYS / 4u + 1u)>;    // by depth and key
var<workgroup> scores: array<vec4<f32>, KEYS * (QUERIES / 4u)>;       // by key and query
var<workgroup> partial: array<f32, INVOCATIONS>;
var<workgroup> largest: array<f32, QUERIES>;
var<workgroup> total: array<f32, QUERIES>;
var<workgroup> shrink: array<f32, QUERIES>;

const Q_STRIDE: u32 = QUERIES / 4u + 1u;
const K_STRIDE: u32 = KEYS / 4u + 1u;

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let depth = p.channels / p.heads;
    let first_query = workgroup.x * QUERIES;
    let number = workgroup.y + workgroup.z * workgroups.y;
    let block = number % p.blocks;
    let head = number / p.blocks % p.heads;
    let picture = number / p.blocks / p.heads;
    if picture >= p.batch {
        return;
    }
    let q_origin = picture * p.queries * p.channels + head * depth;
    let k_origin = picture * p.keys * p.channels + head * depth;
    let first_column = block * COLUMNS;

    // Scores: 4 queries and 4 keys an invocation. Results: 8 queries and 4 columns.
    let key_vector = local % (KEYS / 4u);
    let query_vector = local / (KEYS / 4u);
    let column_vector = local % (COLUMNS / 4u);
    let query_pair = local / (COLUMNS / 4u);
    var sum: array<vec4<f32>, 8>;
    if local < QUERIES {
        largest[local] = HIDDEN;
        total[local] = 0.0;
    }
    var end = p.keys;
    if CAUSAL {
        end = min(end, first_query + QUERIES);
    }
    for (var first_key = 0u; first_key < end; first_key += KEYS) {
        var block_scores = array<vec4<f32>, 4>();
        for (var start = 0u; start < depth; start += DEPTH) {
            for (var i = local; i < QUERIES * DEPTH; i += INVOCATIONS) {
                let query = i / DEPTH;
                let d = i % DEPTH;
                var value = 0.0;
                if first_query + query < p.queries && start + d < depth {
                    value = f32(q[q_origin + (first_query + query) * p.channels + start + d]);
                }
                q_or_v[d * Q_STRIDE + query / 4u][query % 4u] = value;
            }
            for (var i = local; i < KEYS * DEPTH; i += INVOCATIONS) {
                let key = i / DEPTH;
                let d = i % DEPTH;
                var value = 0.0;
                if first_key + key < p.keys && start + d < depth {
                    value = f32(k[k_origin + (first_key + key) * p.channels + start + d]);
                }
                k_tile[d * K_STRIDE + key / 4u][key % 4u] = value;
            }
            workgroupBarrier();
            for (var d = 0u; d < DEPTH; d++) {
                let a = q_or_v[d * Q_STRIDE + query_vector];
                let b = k_tile[d * K_STRIDE + key_vector];
                block_scores[0] += b.x * a;
                block_scores[1] += b.y * a;
                block_scores[2] += b.z * a;
                block_scores[3] += b.w * a;
            }
            workgroupBarrier();
        }
        for (var j = 0u; j < 4u; j++) {
            let key = first_key + key_vector * 4u + j;
            var values = block_scores[j] * p.scale;
            for (var i = 0u; i < 4u; i++) {
                let query = first_query + query_vector * 4u + i;
                if key >= p.keys || (CAUSAL && key > query) {
                    values[i] = HIDDEN;
                }
            }
            scores[(key_vector * 4u + j) * (QUERIES / 4u) + query_vector] = values;
        }
        workgroupBarrier();

        // Two invocations a query, each with half of the keys.
        let query = local % QUERIES;
        let first_half = local / QUERIES * (KEYS / 2u);
        var high = HIDDEN;
        for (var key = first_half; key < first_half + KEYS / 2u; key++) {
            high = max(high, scores[key * (QUERIES / 4u) + query / 4u][query % 4u]);
        }
        partial[local] = high;
        workgroupBarrier();
        let before = largest[query];
        let now = max(before, max(partial[query], partial[query + QUERIES]));
        workgroupBarrier();
        var part = 0.0;
        for (var key = first_half; key < first_half + KEYS / 2u; key++) {
            let at = key * (QUERIES / 4u) + query / 4u;
            let score = scores[at][query % 4u];
            let weight = select(exp(score - now), 0.0, score == HIDDEN);
            scores[at][query % 4u] = weight;
            part += weight;
        }
        partial[local] = part;
        workgroupBarrier();
        if local < QUERIES {
            let factor = exp(max(before - now, -80.0));
            shrink[query] = factor;
            largest[query] = now;
            total[query] = total[query] * factor + partial[query] + partial[query + QUERIES];
        }
        workgroupBarrier();

        for (var i = 0u; i < 8u; i++) {
            sum[i] *= shrink[query_pair * 8u + i];
        }
        for (var start = 0u; start < KEYS; start += DEPTH) {
            for (var i = local; i < DEPTH * COLUMNS; i += INVOCATIONS) {
                let key = i / COLUMNS;
                let column = i % COLUMNS;
                var value = 0.0;
                if first_key + start + key < p.keys && first_column + column < depth {
                    value = f32(v[k_origin + (first_key + start + key) * p.channels + first_column + column]);
                }
                q_or_v[key * (COLUMNS / 4u) + column / 4u][column % 4u] = value;
            }
            workgroupBarrier();
            for (var key = 0u; key < DEPTH; key++) {
                let values = q_or_v[key * (COLUMNS / 4u) + column_vector];
                let first = scores[(start + key) * (QUERIES / 4u) + query_pair * 2u];
                let second = scores[(start + key) * (QUERIES / 4u) + query_pair * 2u + 1u];
                sum[0] += first.x * values;
                sum[1] += first.y * values;
                sum[2] += first.z * values;
                sum[3] += first.w * values;
                sum[4] += second.x * values;
                sum[5] += second.y * values;
                sum[6] += second.z * values;
                sum[7] += second.w * values;
            }
            workgroupBarrier();
        }
    }
    for (var i = 0u; i < 8u; i++) {
        let within = query_pair * 8u + i;
        let query = first_query + within;
        let values = sum[i] / total[within];
        for (var j = 0u; j < 4u; j++) {
            let column = first_column + column_vector * 4u + j;
            if query < p.queries && column < depth {
                y[q_origin + query * p.channels + column] = Value(values[j]);
            }
        }
    }
}
