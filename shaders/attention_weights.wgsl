// The weights of an attention, softmax(q k^T / sqrt(D)) in each head, for looking at them.
//
// Shapes    q [B, N, C], k [B, M, C], C = heads * D -> weights [B, heads, N, M]
// Layout    row-major; head h is columns h D .. (h + 1) D
// Dispatch  a workgroup for each row of weights: B * heads * N, folded
// Reference attention in src/compute/cpu/attention.rs with its weights kept

override CAUSAL: bool = false;

const HIDDEN: f32 = -3.0e38;

struct Parameters {
    queries: u32,
    keys: u32,
    channels: u32,
    heads: u32,
    batch: u32,
    scale: f32, // 1 / sqrt(D)
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> q: array<Value>;
@group(0) @binding(2) var<storage, read> k: array<Value>;
@group(0) @binding(3) var<storage, read_write> weights: array<Value>;

// The score of a key, computed anew where it is needed: M of them need not fit into any memory.
fn score(q_at: u32, k_at: u32, depth: u32) -> f32 {
    var sum = 0.0;
    for (var d = 0u; d < depth; d++) {
        sum += f32(q[q_at + d]) * f32(k[k_at + d]);
    }
    return sum * p.scale;
}

@compute @workgroup_size(REDUCE_WIDTH)
fn main(at: Invocation) {
    let local = at.local;
    let row = workgroup_number(at.workgroup, at.workgroups);
    let query = row % p.queries;
    let head = row / p.queries % p.heads;
    let picture = row / p.queries / p.heads;
    let depth = p.channels / p.heads;
    let q_at = (picture * p.queries + query) * p.channels + head * depth;
    let k_at = picture * p.keys * p.channels + head * depth;
    let visible = select(p.keys, min(query + 1u, p.keys), CAUSAL);
    let count = select(0u, visible, picture < p.batch);

    var high = HIDDEN;
    for (var key = local; key < count; key += REDUCE_WIDTH) {
        high = max(high, score(q_at, k_at + key * p.channels, depth));
    }
    let largest = workgroup_max(at, high);
    var sum = 0.0;
    for (var key = local; key < count; key += REDUCE_WIDTH) {
        sum += exp(score(q_at, k_at + key * p.channels, depth) - largest);
    }
    let total = workgroup_sum(at, sum);
    if picture < p.batch {
        for (var key = local; key < p.keys; key += REDUCE_WIDTH) {
            var weight = 0.0;
            if key < count {
                weight = exp(score(q_at, k_at + key * p.channels, depth) - largest) / total;
            }
            weights[row * p.keys + key] = Value(weight);
        }
    }
}
